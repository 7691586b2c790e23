"""The pictures of a result as methods, ``solution.plot.density()``: each returns the Axes it drew into."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fkflow.plot import densities, energies, fields, levels, liquids, paths, temperatures
from fkflow.plot.catalogue import SIZE, plots, save_all, select
from fkflow.plot.style import LOOK, fit_figure
from fkflow.results.result import Result

#: most panels of a summary
PANELS = 4


class Plots:
    """The pictures of one result. Each method draws into `ax` or, if that is left out, into a new figure of pyplot.

    What a run has no data for is a UsageError that says how to get it.
    """

    def __init__(self, result: Result) -> None:
        self._result = result

    def __call__(self) -> Figure:
        """A summary in one figure: the training, the projection, a density, and the pair distribution or the drift.

        What the run has no data for is left out.
        """
        from matplotlib import pyplot

        found = plots(self._result)
        kinds = dict.fromkeys(name.split("_")[0] for name in found if name.split("_")[0] != "conditional")
        names = [next(name for name in found if name.split("_")[0] == kind) for kind in kinds][:PANELS]
        rows = -(-len(names) // 2)
        with rc_context(LOOK):
            figure = pyplot.figure(figsize=(min(2, len(names)) * SIZE[0], rows * SIZE[1]), layout="constrained")
            figure.suptitle(title := self._result.title())
            for number, name in enumerate(names, 1):
                found[name](ax := figure.add_subplot(rows, min(2, len(names)), number))
                # the system and its parameters stand over all of them
                ax.set_title(ax.get_title().removeprefix(title).strip(), fontsize="medium")
        return figure

    @property
    def names(self) -> list[str]:
        """The pictures that this result has data for, by the names that `fkflow plot` and `save` know."""
        return list(plots(self._result))

    def convergence(self, *, ax: Axes | None = None) -> Axes:
        """Training energy ± error against iteration and seconds, with the measured energy and the reference."""
        return self._draw(lambda on: energies.convergence(self._result, on), ax)

    def projection(self, *, ax: Axes | None = None) -> Axes:
        """Energy against imaginary time and, beside it, against the time step down to 0."""
        return self._draw(lambda on: energies.projection(self._result, on), ax)

    def density(self, name: str | None = None, *, ax: Axes | None = None) -> Axes:
        """A one-body density: |ψ|², beside it the exact |φ0|² if the run was projected.

        `name` is that of its axes, such as "r", "z" or, for a map, "xy"; left out, the first along a line.
        """
        return self._draw_named("density", densities.density, name, ax)

    def pair(self, name: str | None = None, *, ax: Axes | None = None) -> Axes:
        """The distribution of the distance of two particles."""
        return self._draw_named("pair", densities.pair, name, ax)

    def liquid(self, name: str | None = None, *, ax: Axes | None = None) -> Axes:
        """A curve of a liquid in a periodic box: `name` is "pair_correlation", "structure_factor", "density_matrix" or
        "momentum_distribution"; left out, the structure factor."""
        return self._draw_named("liquid", liquids.structure_factor, name, ax)

    def conditional(self, name: str | None = None, *, ax: Axes | None = None) -> Axes:
        """|ψ|² of one particle while the others are held; `name` is that of the plane, such as "xy"."""
        return self._draw_named("conditional", fields.conditional, name, ax)

    def drift(self, name: str | None = None, *, ax: Axes | None = None) -> Axes:
        """The drift of one particle among others at rest: a line, or streamlines; `name` as for `conditional`."""
        return self._draw_named("drift", fields.drift, name, ax)

    def trajectories(self, *, ax: Axes | None = None) -> Axes:
        """Paths of particles under dX = ∇ log ψ dt + dW."""
        return self._draw(lambda on: paths.trajectories(self._result, on), ax)

    def levels(self, name: str | None = None, *, ax: Axes | None = None) -> Axes:
        """The level diagram of a spectrum; `name` "density" or "function" draws those of the lowest levels."""
        return self._draw_named("levels", levels.diagram, name, ax)

    def thermal(self, name: str | None = None, *, ax: Axes | None = None) -> Axes:
        """F and E against the temperature; `name` "heat_capacity", "density", "pair" or "matrix" draws those."""
        return self._draw_named("thermal", temperatures.energies, name, ax)

    def save(
        self, folder: str | Path, names: Iterable[str] | None = None, *, format: str = "png", dpi: int = 150
    ) -> list[Path]:
        """Write the pictures called `names` (left out: all; "density" means all densities) and return the files.

        `format` is png, pdf or svg. Raises UsageError for a name or format that is not there, or a folder that cannot be
        written.
        """
        return save_all(self._result, folder, names, format, dpi)

    def _draw_named(self, kind: str, first: Callable[[Result, Axes], None], name: str | None, ax: Axes | None) -> Axes:
        """The picture KIND_NAME of the catalogue or, without a name, the first of its kind."""
        if name is None:
            return self._draw(lambda on: first(self._result, on), ax)
        (draw,) = select(self._result, [f"{kind}_{name}"]).values()
        return self._draw(draw, ax)

    def _draw(self, draw: Callable[[Axes], None], ax: Axes | None) -> Axes:
        with rc_context(LOOK):
            if ax is not None:
                draw(ax)
                return ax
            # notebooks and windows show the figures that pyplot knows
            from matplotlib import pyplot

            figure = pyplot.figure(figsize=SIZE)
            ax = figure.add_subplot()
            draw(ax)
            fit_figure(figure, ax)
        return ax
