"""A film of the walkers of a finished run: check the request, follow the walkers, draw, encode, write."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fkflow.errors import UsageError
from fkflow.execution.threads import use_threads
from fkflow.plot.animation import LINES, Pace, frames
from fkflow.plot.film import choose_format, encode, film_path
from fkflow.results.folders import atomic_write, make_folder
from fkflow.results.result import Result
from fkflow.runs.model import restore_model
from fkflow.runs.trajectories import draw_starts, follow

if TYPE_CHECKING:
    from fkflow.execution.progress import Progress

#: pictures of the longest film
MOST_PICTURES = 1000
#: pictures times squared width of the largest GIF, which is held in memory as a whole
MOST_PIXELS = 1000 * 640**2
#: natural times a second of the fastest film
FASTEST = 10.0
#: default number of walkers: of one particle, of several
ALONE, TOGETHER = 12, 1


@dataclass(frozen=True)
class Film:
    """The request: seconds, pictures and natural times a second, walkers (None: a good number), width in pixels, seed."""

    seconds: float = 10.0
    fps: int = 20
    speed: float = 0.5
    walkers: int | None = None
    size: int = 640
    seed: int = 0

    @property
    def count(self) -> int:
        """The number of pictures; UsageError if there are none or too many, or `speed` is out of range."""
        count = round(self.seconds * self.fps) if 0 < self.seconds <= MOST_PICTURES else 0
        if not 1 <= count <= MOST_PICTURES:
            raise UsageError(
                f"--seconds {self.seconds:g} at --fps {self.fps}: a film has 1 to {MOST_PICTURES} pictures, "
                f"{1 / self.fps:.2g} to {MOST_PICTURES / self.fps:.4g} seconds at this --fps"
            )
        if not 0 < self.speed <= FASTEST:
            raise UsageError(f"--speed {self.speed:g}: a number above 0 and at most {FASTEST:g} is needed")
        return count


def animate(
    result: Result, film: Film, out: Path | None, format: str, progress: Progress, overrides: Sequence[str] = ()
) -> Path:
    """Write the film of a run to `out` (left out: walkers.mp4 or .gif among its plots) and return where it is.

    `format` is "mp4", "gif" or "auto"; `overrides` may say where the file of the system is now (system.file). The file is
    written as a whole or not at all. Raises UsageError for a request that is not possible, StoreError for a run that cannot be
    restored, NumericalError for walkers that go to infinity.
    """
    count = film.count
    format = choose_format(out, format)
    path = film_path(result.folder / "plots", out, format)
    if format == "gif" and count * film.size**2 > MOST_PIXELS:
        widest = math.isqrt(MOST_PIXELS // count)
        raise UsageError(f"--size {film.size}: a GIF of {count} pictures may be {widest} wide, for more make an MP4")
    default = ALONE if result.particles == 1 else TOGETHER
    walkers = film.walkers or min(default, len(result.measurement.samples))
    if walkers * result.particles > LINES:
        raise UsageError(
            f"--walkers {walkers} of {result.particles} particles each: at most {LINES} in all can be shown"
        )
    x = draw_starts(result, walkers, film.seed)
    # several threads would be slower for so few walkers
    use_threads(1)
    model = restore_model(result, overrides)
    pace = Pace(film.speed * model.landscape.length**2 / film.fps, film.fps, count)
    positions = follow(model, x, interval=pace.step, seed=film.seed)
    chained = not model.system.identical

    def draw() -> Iterator[np.ndarray]:
        for number, picture in enumerate(frames(result, positions, pace, film.size, chained=chained), 1):
            yield picture
            progress.update(number, None, None)

    progress.stage("animate", count)
    content = encode(draw(), count, film.fps, format)
    make_folder(path.parent)
    atomic_write(path, content)
    return path
