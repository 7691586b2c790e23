"""Plain data of a measurement: histograms, drift fields, trajectories, energies, projection.

Units are those of the system (`energy_unit`, `length_unit`), ħ = m = 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from fkflow.results.liquid import Liquid
from fkflow.statistics import Estimate
from fkflow.text import with_unit


@dataclass(frozen=True, repr=False)
class Axis:
    """One coordinate axis of n bins, given by their increasing `edges` (n + 1,) in `unit`.

    `name` is that of the coordinate in result.h5, `long_name` its description.
    """

    name: str
    unit: str
    long_name: str
    edges: np.ndarray

    @property
    def centres(self) -> np.ndarray:
        """Midpoints of the bins, (n,)."""
        return np.asarray(0.5 * (self.edges[1:] + self.edges[:-1]))

    def __repr__(self) -> str:
        low, high = (with_unit(f"{edge:.4g}", self.unit) for edge in self.edges[[0, -1]])
        return f"<Axis {self.name}, {self.long_name}: {len(self.edges) - 1} bins from {low} to {high}>"


@dataclass(frozen=True, repr=False)
class Histogram:
    """A probability density of |ψ|² on a grid, integrating to 1 over `measure` (such as ``2 pi r dr``).

    `group` is "density" (one particle) or "pair" (two), `name` that of its `axes`, such as "r" or "xy", `long_name` its
    description; `values` and one-σ `errors` have the shape of the axes and the unit `unit`. After a projection `projected`
    and `projected_errors` are those of |φ0|² of the exact ground state. `exact` is that density in the same bins where it is
    known in closed form or by quadrature.
    """

    group: str
    name: str
    axes: tuple[Axis, ...]
    measure: str
    values: np.ndarray
    errors: np.ndarray
    unit: str
    long_name: str
    projected: np.ndarray | None = None
    projected_errors: np.ndarray | None = None
    exact: np.ndarray | None = None

    def with_projected(self, values: np.ndarray, errors: np.ndarray) -> Histogram:
        """The histogram with the density of |φ0|² added."""
        return replace(self, projected=values, projected_errors=errors)

    def __repr__(self) -> str:
        known = {"projected": self.projected, "exact": self.exact}
        arrays = ", ".join(["values, errors", *(name for name, values in known.items() if values is not None)])
        axes = " and ".join(map(repr, self.axes))
        over = f"normalised over {self.measure}"
        return f"<Histogram {self.group}/{self.name}, {self.long_name}, {over}; {axes}; {arrays} {self.values.shape}>"


@dataclass(frozen=True)
class DriftField:
    """The drift ∇ log ψ of particle `moved` on a line or a plane, its `name`, with all others fixed.

    `axes` are 1 or 2 axes whose centres are the points (n[, m]); `vectors` (n[, m], P) are the components along
    the directions of the plane in 1/length; `log_psi` (n[, m]) is up to a constant; `positions` (N, D) are those of the
    particles.
    """

    name: str
    axes: tuple[Axis, ...]
    vectors: np.ndarray
    log_psi: np.ndarray
    moved: int
    positions: np.ndarray


@dataclass(frozen=True)
class Trajectories:
    """Paths of walkers under the drift, dX = ∇ log ψ dt + dW: `positions` (W, T, N, D) at imaginary `times` (T,)."""

    times: np.ndarray
    positions: np.ndarray


class Doubt(str):
    """A warning that a number may be wrong by more than its error says; a result with one is doubtful."""


class Failure(Doubt):
    """A warning that there is no number: the run failed."""


@dataclass(frozen=True)
class Energy:
    """A measured energy, `estimate`, with the data behind its error bar.

    `local_energy_std` is the standard deviation of the local energy over |ψ|² (0 for an eigenstate), `blocks` are block means
    (n,), `autocorrelation` is the integrated autocorrelation time in sweeps, `acceptance` that of the Metropolis steps, `rhat`
    the between/within ratio of the groups of walkers.
    """

    estimate: Estimate
    local_energy_std: float
    blocks: np.ndarray
    autocorrelation: float
    acceptance: float
    rhat: float


@dataclass(frozen=True)
class Projection:
    """The energy projected to the exact ground state, with the data behind its error bars.

    `estimate` has the statistical error at dt = 0, `time_step_error` is that of the extrapolation (NaN for one time step),
    `slow_mode_error` what the slowest modes may leave of the variational energy's excess after the imaginary time `window`,
    `weights` is "local_energy" or "girsanov". One entry a time step (n,): `time_steps` dt, `energies` and their statistical
    `errors`, `acceptances`, `effective_walkers` the effective sample size over the number of walkers, `population_biases` the
    bias of a population of fixed size without memory, `resampled` whether walkers had to be copied. `window` is the
    imaginary time over which weights are taken; `curve` (m, 4) is the energy at the smallest dt against the imaginary time:
    time, energy, its error, and the error of its distance from the variational energy. `blocks` are means over successive
    pieces of the run at the smallest dt, `independent` is the number of independent blocks behind the error;
    `autocorrelation` is an imaginary time, `rhat` the between/within ratio of the groups of walkers. `seconds` is the
    wall-clock time, `warnings` are sentences, a `Doubt` each where the energy may be wrong.
    """

    estimate: Estimate
    time_step_error: float
    weights: str
    time_steps: np.ndarray
    energies: np.ndarray
    errors: np.ndarray
    acceptances: np.ndarray
    effective_walkers: np.ndarray
    population_biases: np.ndarray
    resampled: np.ndarray
    window: float
    curve: np.ndarray
    autocorrelation: float
    rhat: float
    blocks: np.ndarray
    independent: int
    seconds: float
    slow_mode_error: float = 0.0
    warnings: list[str] = field(default_factory=list)

    @property
    def total(self) -> Estimate:
        """The energy with all errors combined; without that of the time step if it is unknown."""
        step = self.time_step_error if math.isfinite(self.time_step_error) else 0.0
        error = math.hypot(self.estimate.error, step, self.slow_mode_error)
        return Estimate(self.estimate.value, error, self.estimate.n_effective)


@dataclass(frozen=True)
class Observable(Estimate):
    """A quantity that the system defines: its best average, projected to φ0² where that is known, else over ψ².

    `value`, `error` and `n_effective` are those of the best average; `variational` is the average over ψ², `projected` that
    over φ0² or None, all in `unit` ("" if it has none).
    """

    variational: Estimate = field(kw_only=True)
    projected: Estimate | None = field(default=None, kw_only=True)
    unit: str = field(default="", kw_only=True)

    @classmethod
    def of(cls, variational: Estimate, projected: Estimate | None, unit: str) -> Observable:
        """The observable with these averages."""
        best = variational if projected is None else projected
        return cls(best.value, best.error, best.n_effective, variational=variational, projected=projected, unit=unit)


#: observables by name; a tuple where one has several numbers
Observables = dict[str, Observable | tuple[Observable, ...]]


def components(observable: Observable | tuple[Observable, ...]) -> tuple[Observable, ...]:
    """The numbers of an observable, one or several."""
    return observable if isinstance(observable, tuple) else (observable,)


def observable_text(observable: Observable | tuple[Observable, ...], kind: str = "") -> str:
    """The best averages, or those of a `kind`, without their unit; several in a row."""
    return ", ".join(str(getattr(part, kind) if kind else part) for part in components(observable))


def observable_entries(observables: Observables) -> dict[str, Any]:
    """Observables as in JSON: a name → its averages "variational" and "projected" (or None), and its "unit".

    "value" and "error" of an average are numbers, or lists where the observable has several.
    """
    entries = {}
    for name, observable in observables.items():
        parts = components(observable)
        entry: dict[str, Any] = {"unit": parts[0].unit}
        for kind in ("variational", "projected"):
            found = [getattr(part, kind) for part in parts]
            columns = None if None in found else {"value": [e.value for e in found], "error": [e.error for e in found]}
            if columns is not None and not isinstance(observable, tuple):
                columns = {key: column[0] for key, column in columns.items()}
            entry[kind] = columns
        entries[name] = entry
    return entries


@dataclass(frozen=True)
class Measurement:
    """Everything measured with the frozen drift. `samples` (n, N, D) are distributed as |ψ|².

    `variational` is the energy of ψ, `projection` that of the exact ground state or None; `histograms` are densities, `drift`
    fields, `trajectories` paths of a few walkers. `curl` is the mean antisymmetric part of the Jacobian of the drift relative
    to its norm (vector drifts only). `gap` is an estimate of E1 − E0 from the slowest mode of the drift. `observables` are
    averages of what the system defines, `liquid` what is measured in a periodic box of several particles.
    `seconds` is the wall-clock time without the projection, `warnings` are sentences, a `Doubt` each where the energy may be
    wrong.
    """

    variational: Energy
    histograms: list[Histogram]
    drift: list[DriftField]
    samples: np.ndarray
    seconds: float
    curl: float | None = None
    warnings: list[str] = field(default_factory=list)
    projection: Projection | None = None
    trajectories: Trajectories | None = None
    gap: float | None = None
    observables: Observables = field(default_factory=dict)
    liquid: Liquid | None = None
