"""Which pictures a result has, and writing them to files."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fkflow.errors import UsageError
from fkflow.plot.densities import density, pair
from fkflow.plot.energies import convergence, projection
from fkflow.plot.fields import drift
from fkflow.plot.style import undated
from fkflow.results import Result
from fkflow.store import atomic_write, make_folder

FORMATS = ("png", "pdf", "svg")


def plots(result: Result) -> dict[str, Callable[[Axes], None]]:
    """All pictures that `result` has data for: name → function drawing it into an Axes."""
    found: dict[str, Callable[[Axes], None]] = {}
    if len(result.training.get("energy", ())):
        found["convergence"] = partial(convergence, result)
    if result.measurement.projection is not None:
        found["projection"] = partial(projection, result, projection=result.measurement.projection)
    for histogram in result.measurement.histograms:
        draw = density if histogram.group == "density" else pair
        found[f"{histogram.group}_{histogram.name}"] = partial(draw, result, histogram=histogram)
    for field in result.measurement.drift:
        found[f"drift_{field.name}"] = partial(drift, result, field=field)
    return found


def select(result: Result, names: Iterable[str] | None) -> dict[str, Callable[[Axes], None]]:
    """The plots called `names` (``density`` means all densities), or all; UsageError for an unknown name."""
    found = plots(result)
    if not names:
        return found
    chosen: dict[str, Callable[[Axes], None]] = {}
    for name in names:
        matching = {key: draw for key, draw in found.items() if key == name or key.startswith(f"{name}_")}
        if not matching:
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
    written = []
    for name, draw in chosen.items():
        figure = Figure(figsize=(6.4, 4.4), layout="constrained")
        draw(figure.add_subplot())
        buffer = io.BytesIO()
        # no date in the file: the same result gives the same bytes
        figure.savefig(buffer, format=format, dpi=dpi, bbox_inches="tight", metadata=undated(format))
        path = folder / f"{name}.{format}"
        atomic_write(path, buffer.getvalue())
        written.append(path)
    return written
