"""Pictures of a liquid in a periodic box: g(r), S(k), n(r) and n(k), over ψ² and for the exact ground state."""

from __future__ import annotations

from matplotlib.axes import Axes

from fkflow.plot import style
from fkflow.plot.requirements import require
from fkflow.plot.style import label
from fkflow.results.liquid import EXTRAPOLATED, Curve
from fkflow.results.result import Result

#: what the axes are called
WORDS = {"r": "distance r", "k": "wave vector k"}


def structure_factor(result: Result, ax: Axes) -> None:
    """The static structure factor."""
    curve(result, ax, "structure_factor")


def curve(result: Result, ax: Axes, name: str) -> None:
    """The curve of that name: a line with a band over ψ², points with error bars for the exact ground state.

    A dotted line is the value of an ideal gas far away, or of uncorrelated particles. Raises UsageError if the run has none.
    """
    require(result, "liquid")
    liquid = result.measurement.liquid
    assert liquid is not None
    found: Curve = liquid.curves[name]
    points, values, errors = found.points, found.values, found.errors
    of_waves = found.axis == "k"
    ax.fill_between(points, values - errors, values + errors, color=style.GREEN, alpha=0.3, linewidth=0)
    ax.plot(
        points, values, color=style.GREEN, linewidth=1.2, marker="." if of_waves else None, label="variational |ψ|²"
    )
    if found.projected is not None:
        words = "projected |φ₀|²" if found.method != EXTRAPOLATED else "extrapolated to |φ₀|²"
        step = 1 if of_waves else max(1, len(points) // 50)
        ax.errorbar(
            points[::step], found.projected[::step], found.projected_errors[::step],  # type: ignore[index]
            fmt="o", color=style.ORANGE, markersize=2.5, elinewidth=0.9, label=words,
        )  # fmt: skip
    if name in ("pair_correlation", "structure_factor"):
        ax.axhline(1.0, color="0.5", linewidth=0.8, linestyle=":")
    condensate = liquid.numbers.get("condensate_fraction")
    if name == "density_matrix" and condensate is not None:
        ax.axhline(
            condensate.value, color="0.5", linewidth=0.8, linestyle=":", label=f"condensate fraction {condensate}"
        )
    ax.set_xlim(0.0, points[-1])
    if (values >= 0).all():
        ax.set_ylim(bottom=0.0)
    ax.set_xlabel(label(WORDS[found.axis], found.point_unit))
    ax.set_ylabel(found.symbol)
    ax.legend(frameon=False)
    style.headline(result, ax, found.long_name)
