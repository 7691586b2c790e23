"""Films as files: as long as they should be, readable, and what cannot be made is told."""

import dataclasses
import io
import math
import stat
import subprocess

import numpy as np
import pytest
from films import BOSONS, CHAIN, PACE, SHORT, VECTOR, WELL, frames_of
from matplotlib.animation import FFMpegWriter
from PIL import Image

from fkflow.errors import StoreError, UsageError
from fkflow.execution.progress import Silent
from fkflow.plot.animation import LINES
from fkflow.plot.film import encode
from fkflow.runs.animate import MOST_PICTURES, Film, animate


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
