"""Pictures of films: what they show, and the ground behind the walkers."""

import dataclasses
import itertools

import numpy as np
import pytest
from films import BOSONS, CHAIN, H2, LINE, PACE, TRAP, WELL, frames_of, walked

from fkflow.errors import StoreError
from fkflow.plot.animation import POINTS, Plane, Row, Strip, frames
from fkflow.plot.background import background
from fkflow.plot.grid import smooth
from fkflow.results.records import Axis, Histogram


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
