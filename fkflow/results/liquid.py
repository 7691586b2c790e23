"""Records of what is measured in a periodic box: curves of distances and wave vectors, and a few numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fkflow.statistics import Estimate
from fkflow.text import with_unit

#: how averages over φ0² are found: of functions of the places exactly, of others as 2 ⟨φ0|A|ψ⟩ − ⟨ψ|A|ψ⟩
PURE, EXTRAPOLATED = "forward walking", "extrapolated"
#: the dataset of such an average
DATASETS = {PURE: "projected", EXTRAPOLATED: "extrapolated"}
#: the curves in the order in which they are shown: symbol, and what it is
CURVES = {
    "pair_correlation": ("g(r)", "pair correlation against the distance"),
    "structure_factor": ("S(k)", "static structure factor against the wave vector"),
    "density_matrix": ("n(r)", "one-body density matrix against the displacement"),
    "momentum_distribution": ("n(k)", "share of the particles in a state of that wave vector"),
}
#: the numbers: what they are
NUMBERS = {
    "zero_momentum": "share of the particles without momentum",
    "condensate_fraction": "one-body density matrix far away",
    "pressure": "pressure",
    "pressure_tail": "what V beyond its cut-off would add to the pressure, for g(r) = 1 there",
    "compressibility": "compressibility from the structure factor",
    "sound_velocity": "sound velocity from the structure factor",
    "lindemann_ratio": "root mean square distance of a particle from its site, by that of nearest sites",
    "particles_at_sites": "share of the particles that are nearer to their own site than to any other",
}


@dataclass(frozen=True, repr=False)
class Curve:
    """A function of a distance r or a wave vector k: `points` (n,) of its `axis` in `point_unit`, `values` and `errors` (n,)
    over ψ², in `unit`.

    After a projection `projected` and `projected_errors` are those of the exact ground state, found by the `method`: exactly by
    "forward walking", or "extrapolated" as 2 ⟨φ0|A|ψ⟩ − ⟨ψ|A|ψ⟩, which leaves an error of second order in φ0 − ψ. `counts` (n,)
    are numbers of wave vectors of each length.
    """

    name: str
    axis: str
    points: np.ndarray
    values: np.ndarray
    errors: np.ndarray
    point_unit: str
    unit: str = ""
    projected: np.ndarray | None = None
    projected_errors: np.ndarray | None = None
    method: str = ""
    counts: np.ndarray | None = None

    @property
    def symbol(self) -> str:
        """Such as "S(k)"."""
        return CURVES[self.name][0]

    @property
    def long_name(self) -> str:
        """What the curve is, in words."""
        return CURVES[self.name][1]

    @property
    def best(self) -> tuple[np.ndarray, np.ndarray]:
        """Values and errors (n,) of the exact ground state where they are known, else over ψ²."""
        if self.projected is None or self.projected_errors is None:
            return self.values, self.errors
        return self.projected, self.projected_errors

    def __repr__(self) -> str:
        ends = " to ".join(f"{point:.4g}" for point in self.points[[0, -1]])
        how = f", {self.method}" if self.method else ""
        ends = with_unit(ends, self.point_unit)
        return f"<Curve {self.symbol}, {self.long_name}{how}: {len(self.points)} points from {ends}>"


@dataclass(frozen=True)
class Quantity(Estimate):
    """A number of a liquid: its best average, over φ0² where that is known, else over ψ², in `unit`.

    `variational` is the average over ψ², `projected` that over φ0² or None; `method` says how it was found, as for `Curve`.
    """

    variational: Estimate = field(kw_only=True)
    projected: Estimate | None = field(default=None, kw_only=True)
    unit: str = field(default="", kw_only=True)
    method: str = field(default="", kw_only=True)

    def entry(self) -> dict[str, Any]:
        """Its averages with errors, as plain values."""
        both = {"variational": self.variational, "projected": self.projected}
        found = {name: one and {"value": one.value, "error": one.error} for name, one in both.items()}
        return {"unit": self.unit, **found, "method": self.method or None}


@dataclass(frozen=True)
class Liquid:
    """What is measured in a periodic box of several particles, in the order of `CURVES` and `NUMBERS`, as far as it is known.

    `density` is N by the length, area or volume of the box, in `density_unit`.
    """

    density: float
    density_unit: str
    curves: dict[str, Curve]
    numbers: dict[str, Quantity]

    def summary(self) -> dict[str, Any]:
        """The numbers and the curves as plain values."""
        entries: dict[str, Any] = {}
        entries |= {name: number.entry() for name, number in self.numbers.items()}
        for name, curve in self.curves.items():
            values, errors = curve.best
            entries[name] = {
                curve.axis: curve.points.tolist(),
                "value": values.tolist(),
                "error": errors.tolist(),
                "method": curve.method or None,
            }
        return {"density": self.density, **entries}
