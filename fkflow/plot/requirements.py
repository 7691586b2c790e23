"""The data a picture needs, or one sentence saying what the run lacks and which command makes it."""

from __future__ import annotations

from fkflow.errors import UsageError
from fkflow.results.records import DriftField, Histogram
from fkflow.results.result import Result
from fkflow.results.thermal import no_ground_state

#: what the names of the pictures begin with
KINDS = (
    "convergence", "projection", "density", "pair", "liquid", "conditional", "drift", "trajectories", "levels", "thermal",
)  # fmt: skip


def missing_reason(result: Result, kind: str) -> str | None:
    """Why `result` has no picture of that kind and what to do about it; None if it has one."""
    if result.thermal is not None:
        return None if kind == "thermal" else no_ground_state(result.run)
    if kind == "thermal":
        return f"{result.run} has no temperatures: fkflow run with --temperature makes a run that has"
    run, measured = result.run, result.measurement
    again = f"fkflow measure {run} makes it"
    if kind == "convergence" and not len(result.training.get("energy", ())):
        return f"{run} was not trained: fkflow run with train.iterations above 0 makes a convergence"
    if kind == "projection" and measured.projection is None:
        saved = result.path is not None
        how = f"fkflow measure {run} --set project.seconds=60" if saved else 'project={"seconds": 60}'
        return f"{run} was not projected: {how} does it"
    if kind in ("density", "pair") and not any(h.group == kind for h in measured.histograms):
        if kind == "pair" and result.particles == 1:
            return f"{run} has no pair distribution: it is a single particle"
        return f"{run} has no {kind} distribution: {again}"
    if kind == "liquid" and measured.liquid is None:
        return f"{run} is no liquid: structure factor and momenta are those of several particles in a periodic box"
    if kind in ("conditional", "drift") and not measured.drift:
        return f"{run} has no drift field: {again}"
    if kind == "conditional" and result.particles == 1:
        return f"{run} has no conditional density: it is a single particle, see its density"
    if kind == "conditional" and measured.curl is not None:
        return f"{run} has no conditional density: a vector drift has no log psi; train with another network.kind"
    if kind == "trajectories" and measured.trajectories is None:
        return f"{run} has no trajectories, an older version wrote it: {again}"
    if kind == "levels" and result.spectrum is None:
        return f"{run} has no spectrum: fkflow spectrum {run} computes it"
    return None


def require(result: Result, kind: str) -> None:
    """Raise UsageError if `result` has no picture of that kind."""
    reason = missing_reason(result, kind)
    if reason:
        raise UsageError(reason)


def require_histogram(result: Result, group: str, name: str | None, axes: int) -> Histogram:
    """The histogram `group`/`name`, or the first of `group` with so many axes; UsageError if there is none."""
    require(result, group)
    found = [h for h in result.measurement.histograms if h.group == group and len(h.axes) == axes]
    for histogram in found:
        if name in (None, histogram.name):
            return histogram
    there = ", ".join(h.name for h in found) or "none"
    dimensions = "one axis" if axes == 1 else "two axes"
    asked = f"no {group} called {name!r}" if name else f"no {group}"
    raise UsageError(f"{result.run} has {asked} with {dimensions}: it has {there}")


def require_drift(result: Result, name: str | None, kind: str = "drift") -> DriftField:
    """The drift field called `name`, or the first; UsageError if there is none or its log psi is wanted and not there."""
    require(result, kind)
    for field in result.measurement.drift:
        if name in (None, field.name):
            return field
    there = ", ".join(field.name for field in result.measurement.drift)
    raise UsageError(f"{result.run} has no drift field called {name!r}: it has {there}")
