"""Pictures of a propagation: ψ(x, t) on a grid, survival amplitudes, the drift v(x, t) in time and space."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fkflow.errors import UsageError
from fkflow.plot import style
from fkflow.plot.style import LOOK, label, save_figure
from fkflow.results.folders import make_folder
from fkflow.results.propagation import Propagation

#: most maps in a figure, and width and height of a picture in inches
MAPS, SIZE = 6, (6.4, 4.4)

Draw = Callable[[Propagation, Figure], None]


def plots(found: Propagation) -> dict[str, Draw]:
    """The pictures that a propagation has data for: name → function drawing it into a figure."""
    chosen: dict[str, Draw] = {}
    if found.psi is not None and found.axes:
        chosen["psi"] = curves if len(found.axes) == 1 else maps
    if found.survival is not None and len(found.times) > 1:
        chosen["survival"] = survival
    if found.drift is not None and len(found.axes) == 1:
        chosen["drift"] = drift_map
    elif found.drift is not None and len(found.axes) == 2:
        chosen["drift"] = arrows
    return chosen


def select(found: Propagation, names: Iterable[str] | None) -> dict[str, Draw]:
    """The pictures called `names`, or all; UsageError for one that is not there."""
    there = plots(found)
    if unknown := [name for name in names or () if name not in there]:
        raise UsageError(
            f"{found.run} has no plot called {unknown[0]!r}: it has {', '.join(there) or 'none, for want of a grid'}"
        )
    return {name: draw for name, draw in there.items() if not names or name in names}


def save_all(found: Propagation, folder: Path, names: Iterable[str] | None = None, format: str = "png") -> list[Path]:
    """Draw pictures into `folder` and return the files. Raises UsageError as `select` does."""
    chosen = select(found, names)
    folder = make_folder(folder)
    return [save(partial(draw, found), folder / f"{name}.{format}") for name, draw in chosen.items()]


def save(draw: Callable[[Figure], None], path: Path, dpi: int = 150) -> Path:
    """Draw one picture into a file."""
    with rc_context(LOOK):
        figure = Figure(figsize=SIZE, layout="constrained")
        draw(figure)
        return save_figure(figure, path, dpi)


def curves(found: Propagation, figure: Figure) -> None:
    """ψ(x, t) against x, a curve a time, each divided by its largest value, with one-σ errors."""
    ax = figure.add_subplot()
    assert found.psi is not None
    (x,) = found.axes
    for k, time in enumerate(found.times):
        colour = style.COLOURS[k % len(style.COLOURS)]
        scale = np.nanmax(np.abs(found.psi.values[k]))
        y, error = found.psi.values[k] / scale, found.psi.errors[k] / scale
        ax.plot(x, y, color=colour, label=f"t = {time:g}, times {scale:.3g}")
        ax.fill_between(x, y - error, y + error, color=colour, alpha=0.3, linewidth=0)
    ax.set_xlabel(label("x", found.length_unit))
    ax.set_ylabel(r"$e^{-tH}\psi$ over its largest value")
    ax.legend(frameon=False)
    _headline(found, ax)


def maps(found: Propagation, figure: Figure) -> None:
    """ψ(x, y, t) as maps, one a time."""
    assert found.psi is not None
    x, y = found.axes
    count = min(MAPS, len(found.times))
    figure.set_size_inches(3.2 * min(3, count) + 0.6, 3.2 * -(-count // 3) + 0.4)
    panels = figure.subplots(-(-count // 3), min(3, count), squeeze=False).ravel()
    for k, ax in enumerate(panels):
        if k >= count:
            ax.set_axis_off()
            continue
        values = found.psi.values[k].reshape(len(x), len(y))
        mesh = ax.pcolormesh(x, y, values.T, cmap=style.MAP, shading="nearest", rasterized=True)
        ax.set_title(f"t = {found.times[k]:g}", fontsize="medium")
        ax.set_aspect("equal")
        ax.set_xlabel(label("x", found.length_unit))
        if k % 3 == 0:
            ax.set_ylabel(label("y", found.length_unit))
        figure.colorbar(mesh, ax=ax, shrink=0.8)
    figure.suptitle(_title(found), fontsize="medium")


def survival(found: Propagation, figure: Figure) -> None:
    """⟨ψ|e^(−tH)|ψ⟩/⟨ψ|ψ⟩ against t; its slope is that of the ground-state energy where t is long."""
    ax = figure.add_subplot()
    assert found.share is not None
    order = np.argsort(found.times)
    values, errors = found.share.values[order, 0], found.share.errors[order, 0]
    ax.errorbar(found.times[order], values, errors, color=style.BLUE, marker="o", markersize=4, capsize=3, linewidth=1)
    if bool((values > 0).all()):
        ax.set_yscale("log")
    ax.set_xlabel(label("imaginary time t", f"1/{found.energy_unit}"))
    ax.set_ylabel(r"$\langle\psi|e^{-tH}|\psi\rangle / \langle\psi|\psi\rangle$")
    _headline(found, ax)


def drift_map(found: Propagation, figure: Figure) -> None:
    """v(x, t) of a particle on a line in the plane of t and x: red to the right, blue to the left."""
    ax, film = figure.add_subplot(), found.drift
    assert film is not None
    (x,) = found.axes
    v = film.vectors.reshape(len(film.times), len(x))
    most = float(np.nanquantile(np.abs(v), 0.95))
    mesh = ax.pcolormesh(film.times, x, v.T, cmap="RdBu_r", vmin=-most, vmax=most, shading="nearest", rasterized=True)
    ax.contour(film.times, x, np.ma.masked_invalid(v.T), [0.0], colors="black", linewidths=0.8)
    ax.set_xlabel(label("imaginary time t", f"1/{found.energy_unit}"))
    ax.set_ylabel(label("x", found.length_unit))
    figure.colorbar(mesh, ax=ax, label=label("drift v(x, t)", f"1/{found.length_unit}"), extend="both")
    _headline(found, ax)


def arrows(found: Propagation, figure: Figure) -> None:
    """v(x, y, t) of a particle in a plane as arrows at the first, middle and last time, all of them in one scale."""
    film = found.drift
    assert film is not None
    x, y = found.axes
    shown = sorted({0, len(film.times) // 2, len(film.times) - 1})
    figure.set_size_inches(3.2 * len(shown) + 0.6, 3.6)
    step = max(1, len(x) // 14)
    for number, k in enumerate(shown, 1):
        ax = figure.add_subplot(1, len(shown), number)
        v = film.vectors[k].reshape(len(x), len(y), -1)[::step, ::step]
        ax.quiver(x[::step], y[::step], v[..., 0].T, v[..., 1].T, color=style.BLUE, angles="xy")
        ax.set_title(f"t = {film.times[k]:.3g}", fontsize="medium")
        ax.set_aspect("equal")
        ax.set_xlabel(label("x", found.length_unit))
        if number == 1:
            ax.set_ylabel(label("y", found.length_unit))
    figure.suptitle(f"{_title(found)}, drift before t = {film.end:g}", fontsize="medium")


def _title(found: Propagation) -> str:
    return f"{found.title()}\npsi = {found.wave}" if found.wave else found.title()


def _headline(found: Propagation, ax: Axes) -> None:
    ax.set_title(_title(found), fontsize="medium", wrap=True)
