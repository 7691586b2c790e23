"""A film of v(x, t): walkers that the drift of a propagation leads on a line, over the potential."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from fkflow.errors import UsageError
from fkflow.plot import style
from fkflow.plot.film import choose_format, encode, film_path
from fkflow.plot.style import LOOK, label
from fkflow.results.folders import atomic_write, make_folder
from fkflow.results.propagation import DriftFilm, Propagation

#: walkers, steps of a picture, width of a figure in inches
WALKERS, STEPS, WIDTH = 60, 20, 5.0
#: most pictures of a film
MOST = 2000


def write_film(
    found: Propagation,
    out: Path | None,
    format: str,
    seconds: float,
    fps: int,
    size: int,
    walkers: int | None,
    seed: int,
) -> Path:
    """Write the film of a propagation with a drift on a line, and return where it is. Raises UsageError without one."""
    if found.drift is None or len(found.axes) != 1:
        raise UsageError(
            f"{found.run} has no drift on a line: fkflow propagate with --drift 60 of one coordinate makes one"
        )
    format = choose_format(out, format)
    folder = (found.path or Path()).parent / "plots"
    path = film_path(folder, out, format) if out is not None else folder / f"drift.{format}"
    count = round(seconds * fps) if 0 < seconds < MOST else 0
    if not 1 <= count <= MOST:
        raise UsageError(f"--seconds {seconds:g} at --fps {fps}: a film has 1 to {MOST} pictures")
    with rc_context(LOOK):
        content = encode(_frames(found, found.drift, count, size, walkers or WALKERS, seed), count, fps, format)
    make_folder(path.parent)
    atomic_write(path, content)
    return path


def _frames(
    found: Propagation, film: DriftFilm, count: int, size: int, walkers: int, seed: int
) -> Iterator[np.ndarray]:
    """Frames (height, width, 3) uint8 of walkers from a place where V is low, and of the drift as it is at the time."""
    (x,) = found.axes
    v = film.vectors.reshape(len(film.times), len(x))
    known = np.isfinite(v)
    v = np.array([np.interp(x, x[k], row[k]) for row, k in zip(v, known, strict=True)])
    dpi = size / WIDTH
    across, up = ((2 * round(length / 2) + 0.5) / dpi for length in (size, 0.8 * size))
    figure = Figure(figsize=(across, up), dpi=dpi, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    upper, lower = figure.subplots(2, 1, sharex=True)
    figure.suptitle(f"{found.title()}, psi = {found.wave}", fontsize="small", wrap=True)
    low, high = float(found.potential.min()), float(np.quantile(found.potential, 0.9))
    room = high - low or 1.0
    upper.plot(x, found.potential, color="0.5")
    upper.set_ylim(low - 0.1 * room, high)
    upper.set_ylabel(label("V", found.energy_unit))
    most = float(np.quantile(np.abs(v), 0.97))
    lower.set_ylim(-1.1 * most, 1.1 * most)
    lower.axhline(0.0, color="0.7", linewidth=0.8)
    lower.set_xlabel(label("x", found.length_unit))
    lower.set_ylabel("drift v(x, t)")
    lower.set_xlim(x[0], x[-1])
    (curve,) = lower.plot(x, v[0], color=style.ORANGE)
    (dots,) = upper.plot([], [], "o", color=style.BLUE, markersize=4, markeredgecolor="white", markeredgewidth=0.4)
    clock = upper.text(0.02, 0.95, "", transform=upper.transAxes, va="top", fontsize="small")
    generator = np.random.default_rng(seed)
    start = float(x[np.argmin(np.where(x < 0, found.potential, math.inf) if (x < 0).any() else found.potential)])
    places = np.full(walkers, start)
    heights = generator.uniform(0, 0.12 * room, walkers)
    dt = film.end / (count * STEPS)
    for number in range(count):
        t = film.end * number / count
        curve.set_ydata(_at(film, v, t))
        dots.set_data(places, np.interp(places, x, found.potential) + heights)
        clock.set_text(f"t = {t:.2f} of {film.end:g}")
        canvas.draw()
        yield np.asarray(canvas.buffer_rgba())[..., :3].copy()
        for step in range(STEPS):
            here = np.interp(places, x, _at(film, v, t + step * dt))
            places = places + here * dt + math.sqrt(dt) * generator.standard_normal(walkers)


def _at(film: DriftFilm, v: np.ndarray, time: float) -> np.ndarray:
    """The drift (P,) at a time, between those that are known."""
    if len(film.times) == 1:
        return np.asarray(v[0])
    place = min(max(int(np.searchsorted(film.times, time)) - 1, 0), len(film.times) - 2)
    share = min(1.0, max(0.0, (time - film.times[place]) / (film.times[place + 1] - film.times[place])))
    return np.asarray((1 - share) * v[place] + share * v[place + 1])
