"""Films of walkers: the network comes back, the walkers follow its drift, the pictures show them, the files can be read."""

import dataclasses
import io
import itertools
import math
import stat
import subprocess
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from matplotlib.animation import FFMpegWriter
from PIL import Image

from fkflow.errors import NumericalError, StoreError, UsageError
from fkflow.execution.progress import Silent
from fkflow.hamiltonian.landscape import explore
from fkflow.measurement.drift_field import STEPS_IN_TIME
from fkflow.plot.animation import LINES, POINTS, Pace, Plane, Row, Strip, frames
from fkflow.plot.background import background
from fkflow.plot.film import encode
from fkflow.plot.grid import smooth
from fkflow.results.records import Axis, Histogram, Trajectories
from fkflow.runs.animate import MOST_PICTURES, Film, animate
from fkflow.runs.model import Model, restore_model
from fkflow.runs.trajectories import STEP, draw_starts, follow

BOSONS = ('name = "bosons"', "particles = 2")
H2 = ('name = "h2"',)
WELL = ('name = "double_well"',)
CHAIN = ('name = "chain"', "particles = 5")
TRAP = ('name = "harmonic"', "particles = 2", "dimensions = 3")
LINE = ('name = "harmonic"', "particles = 2", "dimensions = 1")
CALOGERO = ('name = "calogero"', "particles = 3")
VECTOR = (*BOSONS, "[network]", 'kind = "pair_drift"')
#: two pictures, and walkers that move so slowly that few steps lead to them
SHORT = Film(seconds=0.2, fps=10, speed=0.05, size=160, seed=5)


@pytest.fixture(scope="module")
def run(tmp_path_factory, untrained_run):
    """A function: a recipe → the result of an untrained run of it, in a folder that no test changes."""
    return cache(lambda *lines, **changes: untrained_run(tmp_path_factory.mktemp("run"), *lines, **changes))


# ------------------------------------------------------------------------------------------------ the network


@pytest.mark.parametrize("recipe", [BOSONS, H2, WELL, CHAIN, VECTOR])
def test_the_network_comes_back(run, recipe):
    result = run(*recipe)
    model = restore_model(result)
    assert model.system.key == result.system and len(model.landscape.centre) == result.particles
    state = model.net.state_dict()
    assert list(state) == list(result.model)
    assert all(np.array_equal(state[name].numpy(), weights) for name, weights in result.model.items())


@pytest.mark.parametrize("recipe", [BOSONS, CALOGERO, VECTOR])
def test_the_network_is_the_same_where_the_potential_looks_another(monkeypatch, run, recipe):
    """Another machine may find another natural length, even another width: the numbers of the run count."""
    result = run(*recipe)
    model = restore_model(result)
    x = torch.as_tensor(result.measurement.samples, dtype=torch.float64)
    expected = model.net.drift(x)

    def wider(system):
        land = explore(system)
        return dataclasses.replace(land, length=2**0.5 * land.length, covariance=1.1 * land.covariance)

    monkeypatch.setattr("fkflow.runs.exploration.explore", wider)
    there = restore_model(result)
    assert there.landscape.length > model.landscape.length
    assert torch.equal(there.net.drift(x), expected)
    # a run of before these numbers were kept: the same only where the natural length is, as its trajectories tell
    numbers = ("length", "stiffness", "start", "step")
    before = {name: weights for name, weights in result.model.items() if name.split(".")[-1] not in numbers}
    assert 0 < len(before) < len(result.model)
    times = model.landscape.length**2 / STEPS_IN_TIME * np.arange(3)
    shown = dataclasses.replace(result.measurement, trajectories=Trajectories(times, np.zeros((1, 3, *x.shape[1:]))))
    older = dataclasses.replace(result, model=before, measurement=shown)
    with pytest.raises(StoreError, match=r"result.h5 is of an earlier version.*natural length.*run it again"):
        restore_model(older)
    monkeypatch.undo()
    assert torch.equal(restore_model(older).net.drift(x), expected)


def test_weights_of_another_network_are_refused(run):
    result = run(*BOSONS)
    for model in ({}, result.model | {"more": np.zeros(2)}, {n: np.zeros((1, 1)) for n in result.model}):
        with pytest.raises(StoreError, match="result.h5 holds a network this version cannot load"):
            restore_model(dataclasses.replace(result, model=model))


# ------------------------------------------------------------------------------------------------ the walkers


def oscillator(frequency, factor=1.0):
    """Its exact drift, −ω x, times a factor."""
    landscape = SimpleNamespace(length=frequency**-0.5)
    return Model(None, landscape, SimpleNamespace(drift=lambda x: -factor * frequency * x))


@pytest.mark.parametrize("factor, right", [(1.0, True), (1.3, False), (0.7, False)])
def test_walkers_follow_the_drift(sigmas, factor, right):
    """⟨x(0) x(t)⟩ = exp(−ω t)/(2ω) and ⟨x(t)²⟩ = 1/(2ω) for the exact drift of an oscillator, not for another."""
    frequency, interval = 4.0, 0.1
    normal = torch.randn(6000, 1, 1, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    x = normal * (2 * frequency) ** -0.5
    first, *_, last = itertools.islice(follow(oscillator(frequency, factor), x, interval=interval, seed=8), 3)
    assert np.array_equal(first, x.numpy())
    correlation = sigmas((first * last).ravel(), math.exp(-2 * interval * frequency) / (2 * frequency))
    square = sigmas((last**2).ravel(), 1 / (2 * frequency))
    assert (abs(correlation) < 3 and abs(square) < 3) if right else abs(square) > 5


def test_steps_are_short_and_seeded():
    model, calls = oscillator(4.0), []
    drift = model.net.drift
    model.net.drift = lambda x: calls.append(x) or drift(x)
    x = torch.ones(2, 3, 1, dtype=torch.float64)

    def two(interval, seed):
        return list(itertools.islice(follow(model, x, interval=interval, seed=seed), 2))[1]

    natural = 0.25
    one = two(0.1 * natural, 1)
    assert len(calls) == round(0.1 / STEP)
    assert np.array_equal(one, two(0.1 * natural, 1)) and not np.array_equal(one, two(0.1 * natural, 2))
    calls.clear()
    two(1e-3 * STEP * natural, 1)
    assert len(calls) == 1
    assert (x == 1).all()


def test_a_walker_that_leaves_is_told():
    model = Model(None, SimpleNamespace(length=1.0), SimpleNamespace(drift=lambda x: 1e200 * x))
    with pytest.raises(NumericalError, match="infinity"):
        list(itertools.islice(follow(model, torch.ones(1, 1, 1, dtype=torch.float64), interval=0.1, seed=0), 9))


def test_starts_are_stored_walkers(run):
    result = run(*BOSONS, walkers=20)
    samples = result.measurement.samples
    x = draw_starts(result, 20, seed=1).numpy()
    assert np.array_equal(np.sort(x, 0), np.sort(samples, 0)) and not np.array_equal(x, samples)
    with pytest.raises(UsageError, match="20 samples"):
        draw_starts(result, 21, seed=1)
    none = dataclasses.replace(result.measurement, samples=samples[:0])
    with pytest.raises(StoreError, match="no samples"):
        draw_starts(dataclasses.replace(result, measurement=none), 1, seed=1)
    for broken in (samples[..., :1], np.full_like(samples, np.nan)):
        measurement = dataclasses.replace(result.measurement, samples=broken)
        with pytest.raises(StoreError, match="samples"):
            draw_starts(dataclasses.replace(result, measurement=measurement), 1, seed=1)


# ----------------------------------------------------------------------------------------------- the pictures


PACE = Pace(interval=0.05, fps=10, count=3)


def walked(result, walkers, points, seed=0):
    """A random walk (points, W, N, D) from stored walkers."""
    noise = 0.05 * np.random.default_rng(seed).normal(size=(points, walkers, result.particles, result.dimensions))
    return result.measurement.samples[:walkers] + np.cumsum(noise, 0)


@pytest.mark.parametrize(
    "recipe, kind, words",
    [
        (BOSONS, Plane, ("coordinate x", "coordinate y")),
        (H2, Plane, ("coordinate z (bohr)", "coordinate x (bohr)")),
        (TRAP, Plane, ("coordinate x", "coordinate y")),
        (CHAIN, Row, ("particle", "displacement")),
    ],
)
@pytest.mark.parametrize("walkers", [1, 3])
def test_what_a_picture_shows(run, recipe, kind, words, walkers):
    result = run(*recipe)
    history = walked(result, walkers, PACE.points(kind.memory))
    scene = kind(result, walkers, PACE, 200)
    picture = scene.frame(history, 1.25)
    (ax,) = scene.figure.axes
    assert (ax.get_xlabel(), ax.get_ylabel()) == words and result.system in scene.figure.get_suptitle()
    now = history[-1].reshape(-1, result.dimensions)
    dots = scene.moving[1].get_offsets()
    if kind is Row:
        expected = np.stack([np.tile(np.arange(1, 6), walkers), now[:, 0]], 1)
    else:
        expected = now[:, [2, 0] if recipe is H2 else [0, 1]]
    assert np.allclose(dots, expected)
    # the newest lines end at the dots, the oldest begin where the history does, and are fainter
    lines, colours = scene.moving[0].get_segments(), scene.moving[0].get_colors()
    assert np.allclose(lines[-1][-1], dots[-1]) and colours[0, 3] < colours[-1, 3]
    clock = scene.moving[-1].get_text()
    assert clock == ("imaginary time 1.25 ħ/hartree" if recipe is H2 else "imaginary time 1.25")
    assert picture.dtype == np.uint8 and picture.shape[1:] == (200, 3) and picture.shape[0] % 2 == 0


@pytest.mark.parametrize("recipe, walkers", [(WELL, 4), (LINE, 2)])
def test_one_coordinate_is_seen_with_its_past(run, recipe, walkers):
    result = run(*recipe)
    scene = Strip(result, walkers, PACE, 200)
    history = walked(result, walkers, PACE.points(Strip.memory))
    scene.show(history)
    now = history[-1].ravel()
    assert np.allclose(scene.trails.dots.get_offsets(), np.stack([now, 0 * now], 1))
    riders = np.asarray(scene.riders.dots.get_offsets())
    assert np.allclose(riders[:, 0], now) and (riders[:, 1] >= 0).all() and riders[:, 1].max() > 0
    first = scene.trails.lines.get_segments()[0]
    assert np.allclose(first[0], [history[0].ravel()[0], -Strip.memory * PACE.fps * PACE.interval])


def test_only_what_moves_is_drawn_again(run):
    """A picture is the one that drawing everything afresh would give; without the walkers it is another one."""
    result = run(*BOSONS)
    scene = Plane(result, 1, PACE, 200)
    points = PACE.points(Plane.memory)
    scene.frame(0.1 * walked(result, 1, points, seed=1), 0.0)
    quick = scene.frame(0.5 * walked(result, 1, points), 1.0)
    still = np.asarray(scene.canvas.buffer_rgba())[..., :3].copy()
    assert np.array_equal(quick, still)
    scene.canvas.restore_region(scene.still)
    without = np.asarray(scene.canvas.buffer_rgba())[..., :3]
    assert (quick != without).any(-1).mean() > 0.01
    scene.figure.set_layout_engine("none")
    for artist in scene.moving:
        artist.set_animated(False)
    scene.canvas.draw()
    assert (quick != np.asarray(scene.canvas.buffer_rgba())[..., :3]).any(-1).mean() < 2e-3


@pytest.mark.parametrize("pixels", [160, 333, 640, 1027, 1920])
def test_sizes_are_even(run, pixels):
    height, width, _ = next(frames_of(run(*WELL), PACE, pixels)).shape
    assert abs(width - pixels) <= 1 and width % 2 == height % 2 == 0


def frames_of(result, pace, pixels=160, walkers=1):
    positions = iter(walked(result, walkers, 500))
    return frames(result, positions, pace, pixels, chained=result.system == "chain")


def test_walkers_move_from_picture_to_picture(run):
    result = run(*BOSONS)
    taken = []
    positions = (taken.append(p) or p for p in walked(result, 1, 500))
    drawn = list(frames(result, positions, PACE, 160, chained=False))
    assert len(drawn) == PACE.count and all((a != b).any() for a, b in itertools.pairwise(drawn))
    # no position is computed that is not shown
    assert len(taken) == PACE.points(Plane.memory) + POINTS * (PACE.count - 1)


def cells(seen):
    return np.multiply.outer(*(np.diff(axis.edges) for axis in seen.axes))


def test_the_ground_is_the_measured_density(run):
    seen = background(run(*BOSONS, walkers=4000))
    assert seen.columns == [0, 1] and [axis.name for axis in seen.axes] == ["x", "y"] and seen.words == "density"
    assert (seen.values * cells(seen)).sum() == pytest.approx(1.0, abs=0.02)


def test_a_ground_from_samples_has_their_width(run):
    """Where no density of a plane was measured and no direction is like another."""
    result = run(*TRAP, "omega = [1.0, 2.0, 3.0]", walkers=4000)
    seen = background(result)
    weights = seen.values * cells(seen)
    assert weights.sum() == pytest.approx(1.0, abs=0.02) and "other coordinates" in seen.words
    for axis, along in zip(seen.axes, (weights.sum(1), weights.sum(0)), strict=True):
        exact = result.measurement.samples[..., "xyz".index(axis.name)].var()
        assert float(axis.centres**2 @ along) == pytest.approx(exact, rel=0.1)


def test_a_ground_turned_about_the_centre(run):
    """A Gaussian density of the distance, of width a², is the same Gaussian in the plane; for an atom its root."""
    for recipe, power in ((TRAP, 1.0), (('name = "he"',), 0.5)):
        result = run(*recipe, walkers=4000)
        radius = Axis("r", "a", "r", np.linspace(0, 30, 3001))
        gaussian = np.exp(-(radius.centres**2))
        known = Histogram("density", "r", (radius,), "4 pi r^2 dr", gaussian, 0 * gaussian, "1/a^3", "density")
        seen = background(
            dataclasses.replace(result, measurement=dataclasses.replace(result.measurement, histograms=[known]))
        )
        distance = np.hypot(*np.meshgrid(*(axis.centres for axis in seen.axes), indexing="ij"))
        assert np.allclose(seen.values, np.exp(-power * distance**2), atol=2e-3) and np.allclose(seen.low, -seen.high)
        assert ("root" in seen.words) == (power < 1)


def test_the_ground_of_a_molecule_is_the_root_of_the_mirrored_density(run):
    z, rho = Axis("z", "bohr", "z", np.linspace(-9, 9, 61)), Axis("rho", "bohr", "rho", np.linspace(0, 9, 61))
    values = np.exp(-0.1 * z.centres[:, None] ** 2 - 0.1 * rho.centres**2)
    both = Histogram("density", "zrho", (z, rho), "2 pi rho dz drho", values, 0 * values, "1/bohr^3", "density")
    result = run(*H2)
    seen = background(
        dataclasses.replace(result, measurement=dataclasses.replace(result.measurement, histograms=[both]))
    )
    assert seen.columns == [2, 0] and seen.words.startswith("root of the density")
    assert seen.values.shape == (60, 120) and np.allclose(seen.values, seen.values[:, ::-1])
    assert np.allclose(seen.values[5:-5, 60:-5], np.sqrt(values)[5:-5, :-5], rtol=0.05, atol=1e-4)


@pytest.mark.parametrize("away, second", [("0.7, 0.0", 0), ("0.0, 0.7", 1)])
def test_the_plane_holds_the_nuclei(run, away, second):
    nuclei = f"nuclei = [{{position = [{away}, 0.5], charge = 1.0}}, {{position = [0.0, 0.0, -0.6], charge = 1.0}}]"
    result = run('name = "molecule"', nuclei)
    assert background(result).columns == [2, second]


def test_smoothing_keeps_the_sum_and_flattens():
    spike = np.zeros((9, 9))
    spike[4, 4] = 1.0
    flat = smooth(spike, 3)
    assert flat.sum() == pytest.approx(1.0) and flat.max() < 0.2 and np.allclose(flat, flat.T)
    assert np.array_equal(smooth(np.ones((3, 4)), 5), np.ones((3, 4)))


def test_a_run_without_densities_is_told(run):
    result = run(*WELL)
    bare = dataclasses.replace(result, measurement=dataclasses.replace(result.measurement, histograms=[]))
    with pytest.raises(StoreError, match="no density"):
        Strip(bare, 1, PACE, 200)


# -------------------------------------------------------------------------------------------------- the files


@pytest.mark.parametrize("fps", [7, 30])
def test_a_gif_runs_as_long_as_it_should(run, fps):
    pace = dataclasses.replace(PACE, fps=fps, count=8)
    content = encode(frames_of(run(*BOSONS), pace), pace.count, fps, "gif")
    with Image.open(io.BytesIO(content)) as film:
        assert film.n_frames == pace.count and film.info["loop"] == 0
        durations = []
        for number in range(film.n_frames):
            film.seek(number)
            durations.append(film.info["duration"])
            assert film.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
    assert sum(durations) == 10 * round(100 * pace.count / fps) and max(durations) - min(durations) <= 10


def test_a_gif_shows_the_pictures(run):
    result = run(*BOSONS)
    drawn = list(frames_of(result, PACE, 240))
    with Image.open(io.BytesIO(encode(iter(drawn), PACE.count, PACE.fps, "gif"))) as film:
        for number, picture in enumerate(drawn):
            film.seek(number)
            shown = np.asarray(film.convert("RGB"), dtype=float)
            others = [np.abs(shown - other).mean() for other in drawn]
            assert others[number] == min(others) < 3 and shown.shape == picture.shape


@pytest.mark.skipif(not FFMpegWriter.isAvailable(), reason="no ffmpeg on this machine: MP4 is not tested")
def test_an_mp4_can_be_decoded(tmp_path, run):
    pace = dataclasses.replace(PACE, count=6)
    drawn = list(frames_of(run(*BOSONS), pace, 241))
    film = tmp_path / "film.mp4"
    film.write_bytes(encode(iter(drawn), pace.count, pace.fps, "mp4"))
    assert b"avc1" in film.read_bytes()
    command = [FFMpegWriter.bin_path(), "-loglevel", "error", "-i", film, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    shown = np.frombuffer(raw, np.uint8).reshape(pace.count, *drawn[0].shape)
    assert all(np.abs(a.astype(float) - b).mean() < 5 for a, b in zip(shown, drawn, strict=True))


def test_an_ffmpeg_that_fails_is_told(tmp_path, untrained_run, monkeypatch):
    result = untrained_run(tmp_path, *WELL)
    program = tmp_path / "bin" / "ffmpeg"
    program.parent.mkdir()
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    for text, word in (("#!/bin/sh\necho no such encoder >&2\nexit 1\n", "no such encoder"), ("\0", "started")):
        program.write_text(text)
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        with pytest.raises(StoreError, match=f"{word}.*--format gif"):
            animate(result, SHORT, None, "mp4", Silent())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bin", "result.h5"]


# ------------------------------------------------------------------------------------------------- the command


@pytest.mark.parametrize("recipe", [VECTOR, WELL, CHAIN])
def test_animate(tmp_path, untrained_run, recipe):
    path = animate(untrained_run(tmp_path, *recipe), SHORT, None, "gif", Silent())
    assert path == tmp_path / "plots" / "walkers.gif" and [p.name for p in path.parent.iterdir()] == ["walkers.gif"]
    with Image.open(path) as opened:
        assert opened.n_frames == 2 and opened.width == 160


def test_films_differ_by_what_is_asked(tmp_path, untrained_run):
    result, out = untrained_run(tmp_path, *WELL), tmp_path / "film.GIF"

    def film(**changes):
        return animate(result, dataclasses.replace(SHORT, size=96, **changes), out, "auto", Silent()).read_bytes()

    content = film()
    assert film() == content
    assert content not in (film(seed=6), film(speed=0.1), film(walkers=3))


@pytest.mark.parametrize(
    "film, word",
    [
        (Film(seconds=0.0), "--seconds"),
        (Film(seconds=-1.0), "--seconds"),
        (Film(seconds=math.nan), "--seconds"),
        (Film(seconds=math.inf), "--seconds"),
        (Film(seconds=0.01), "--seconds"),
        (Film(seconds=MOST_PICTURES / 20 + 0.1), str(MOST_PICTURES)),
        (Film(speed=0.0), "--speed"),
        (Film(speed=math.nan), "--speed"),
        (Film(speed=11.0), "--speed"),
        (Film(walkers=65), "64 samples"),
        (Film(size=1920), "GIF of 200 pictures may be 1431 wide"),
        (Film(walkers=LINES), "--walkers"),
    ],
)
def test_films_that_cannot_be(run, film, word):
    result = run(*BOSONS)
    with pytest.raises(UsageError, match=word):
        animate(result, film, None, "gif", Silent())
    assert [path.name for path in result.folder.iterdir()] == ["result.h5"]
