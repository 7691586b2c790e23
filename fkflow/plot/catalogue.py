"""Which pictures a result has, and writing them to files."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fkflow.errors import UsageError
from fkflow.plot import levels, liquids, temperatures
from fkflow.plot.densities import density, density_map, pair
from fkflow.plot.energies import convergence, projection
from fkflow.plot.fields import conditional, drift
from fkflow.plot.paths import trajectories
from fkflow.plot.requirements import KINDS, missing_reason
from fkflow.plot.style import LOOK, save_figure
from fkflow.results.folders import make_folder
from fkflow.results.result import Result

FORMATS = ("png", "pdf", "svg")
#: width and height of a picture, in inches
SIZE = (6.4, 4.4)


def plots(result: Result) -> dict[str, Callable[[Axes], None]]:
    """All pictures that `result` has data for: name → function drawing it into an Axes."""
    found: dict[str, Callable[[Axes], None]] = {}
    for kind in KINDS:
        if missing_reason(result, kind):
            continue
        if kind in ("density", "pair"):
            for histogram in result.measurement.histograms:
                if histogram.group == kind:
                    draw = pair if kind == "pair" else density if len(histogram.axes) == 1 else density_map
                    found[f"{kind}_{histogram.name}"] = partial(draw, result, name=histogram.name)
        elif kind in ("drift", "conditional"):
            draw = drift if kind == "drift" else conditional
            for field in result.measurement.drift:
                found[f"{kind}_{field.name}"] = partial(draw, result, name=field.name)
        elif kind == "liquid" and result.measurement.liquid is not None:
            for name in result.measurement.liquid.curves:
                found[f"liquid_{name}"] = partial(liquids.curve, result, name=name)
        elif kind == "thermal":
            found |= _temperatures(result)
        elif kind == "levels":
            drawings = {"": levels.diagram, "_density": levels.densities, "_function": levels.functions}
            found |= {f"levels{ending}": partial(draw, result) for ending, draw in drawings.items()}
        else:
            single = {"convergence": convergence, "projection": projection, "trajectories": trajectories}[kind]
            found[kind] = partial(single, result)
    return found


def _temperatures(result: Result) -> dict[str, Callable[[Axes], None]]:
    """The pictures of a run at temperatures."""
    drawings = {"energies": temperatures.energies, "heat_capacity": temperatures.heat_capacity}
    found = {f"thermal_{name}": partial(draw, result) for name, draw in drawings.items()}
    for group in ("density", "pair") if result.particles > 1 else ("density",):
        found[f"thermal_{group}"] = partial(temperatures.densities, result, group=group)
    assert result.thermal is not None
    for number, state in enumerate(result.thermal.states, 1):
        ending = f"_{number}" if len(result.thermal.states) > 1 else ""
        if any(h.group == "matrix" for h in state.histograms):
            found[f"thermal_matrix{ending}"] = partial(temperatures.density_matrix, result, state=state)
    return dict(found)


def missing_reasons(result: Result) -> list[str]:
    """For each kind of picture that `result` cannot have one sentence saying why, and which command makes it."""
    # a run has a ground state or temperatures, in a box or not, and nobody misses the pictures of the other
    kinds = [kind for kind in KINDS if kind not in ("thermal", "liquid")] if result.thermal is None else []
    return [reason for kind in kinds if (reason := missing_reason(result, kind))]


def select(result: Result, names: Iterable[str] | None) -> dict[str, Callable[[Axes], None]]:
    """The plots called `names` (``density`` means all densities), or all; UsageError for one that is not there."""
    found = plots(result)
    if not names:
        return found
    chosen: dict[str, Callable[[Axes], None]] = {}
    for name in names:
        matching = {key: draw for key, draw in found.items() if key == name or key.startswith(f"{name}_")}
        if not matching:
            reason = missing_reason(result, name.split("_")[0])
            if reason:
                raise UsageError(reason)
            raise UsageError(f"{result.run} has no plot called {name!r}: it has {', '.join(found) or 'none'}")
        chosen |= matching
    return chosen


def save_all(
    result: Result,
    folder: str | Path,
    names: Iterable[str] | None = None,
    format: str = "png",
    dpi: int = 150,
) -> list[Path]:
    """Draw the plots called `names` (default: all) into `folder` and return the files written.

    Raises UsageError for an unknown name or format, or a folder that cannot be written.
    """
    if format not in FORMATS:
        raise UsageError(f"plots cannot be written as {format!r}: choose {', '.join(FORMATS)}")
    chosen = select(result, names)
    folder = make_folder(Path(folder))
    return [save(draw, folder / f"{name}.{format}", dpi) for name, draw in chosen.items()]


def save(draw: Callable[[Axes], None], path: Path, dpi: int = 150) -> Path:
    """Draw one picture into a file whose ending is one of FORMATS; the same picture gives the same bytes."""
    with rc_context(LOOK):
        figure = Figure(figsize=SIZE)
        draw(figure.add_subplot())
        return save_figure(figure, path, dpi)
