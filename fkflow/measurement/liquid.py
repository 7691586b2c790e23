"""What is measured in a periodic box of several particles: structure factor, density matrix, momenta, pressure, sound."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fkflow.execution import chunks
from fkflow.execution.threads import each
from fkflow.hamiltonian.box import sides
from fkflow.hamiltonian.masses import user_masses
from fkflow.hamiltonian.natural_scale import Landscape
from fkflow.hamiltonian.system import System
from fkflow.hamiltonian.virial import Virial, tail_virial
from fkflow.measurement.coherence import Coherence
from fkflow.measurement.crystal import AT_SITES, DISPLACEMENT, Crystal, is_solid
from fkflow.measurement.waves import box_waves
from fkflow.networks.log_psi import LogPsi
from fkflow.networks.periodic import is_even
from fkflow.networks.two_body_factor import contact_strength
from fkflow.results.liquid import EXTRAPOLATED, PURE, Curve, Liquid, Quantity
from fkflow.results.records import Histogram
from fkflow.statistics import Estimate

#: names of what is a function of the places; those of users have no colon
STRUCTURE, VIRIAL = "box:structure", "box:virial"
#: waves that are summed at once over all walkers and particles
AT_ONCE = 2**22

Pair = tuple[Estimate, Estimate | None]


def has_liquid(system: System) -> bool:
    """Whether a system is in a box, with several particles."""
    return system.particles > 1 and sides(system) is not None


class LiquidMeasurement:
    """Averages over ψ² in a box, of walkers in the solver's coordinates.

    `columns` are functions of the places, which `ObservableAverages` takes; `coherence` has the sums that need ψ elsewhere.
    """

    def __init__(self, net: LogPsi, system: System, landscape: Landscape, device: torch.device, seed: int) -> None:
        box = sides(system)
        assert box is not None
        self.net, self.system, self.box = net, system, box
        self.waves = box_waves(box, system.particles, device)
        self.even = is_even(system, landscape)
        self.contact = contact_strength(system) != 0
        self.virial: Virial | None = None
        closed = all(math.isfinite(side) for side in box)
        if closed and (landscape.diameter is None or len(box) == 1):
            self.virial = Virial(system, landscape.diameter)
        sites = system.crystal_sites()
        self.crystal = None if sites is None else Crystal(sites, box, device)
        self.coherence = Coherence(net, box, self.waves, seed)
        self.seed = seed

    def columns(self, x: Tensor) -> dict[str, Tensor]:
        """Functions of the places x (B, N, D): S(k) of each shell (B, shells), what the pressure needs (B,), and how far
        particles are from the sites of a crystal (B,)."""
        chunk = max(1, AT_ONCE // (x.shape[1] * self.waves.vectors.shape[1]))
        found = {STRUCTURE: torch.cat(each(self._structure, x.split(chunk)))}
        if self.virial is not None:
            potential = self.system.potential(x).detach()
            if self.contact:
                # V lacks the contact energy E − T − V
                kinetic = 0.5 * chunks.value_and_drift(self.net, x)[1].square().sum((1, 2))
                found[VIRIAL] = potential + self.virial(x) - kinetic
            else:
                found[VIRIAL] = 2 * potential + self.virial(x)
        if self.crystal is not None:
            found |= self.crystal.columns(x)
        return found

    def _structure(self, x: Tensor) -> Tensor:
        angle = x @ self.waves.vectors
        square = angle.cos().sum(1).square() + angle.sin().sum(1).square()
        return self.waves.mean(square) / x.shape[1]

    def copy(self) -> Coherence:
        """Empty sums of the same ratios, for walkers of a projection."""
        return Coherence(self.net, self.box, self.waves, self.seed + 1)

    def result(
        self,
        averages: Mapping[str, Sequence[Pair]],
        energies: Pair,
        histograms: Sequence[Histogram],
        mixed: Coherence | None,
        resampled: bool,
    ) -> Liquid:
        """The record in the user's coordinates. Collective.

        `averages` are those of `columns` over ψ² and φ0², `energies` of ψ and of the ground state; `mixed` are the ratios over
        ψφ0, of walkers that were `resampled` or not.
        """
        root = math.sqrt(user_masses(self.system)[0])
        unit, energy = self.system.length_unit, self.system.energy_unit
        closed = all(math.isfinite(side) for side in self.box)
        periodic = [side / root for side in self.box if math.isfinite(side)]
        dim, volume = len(periodic), math.prod(periodic)
        power = f"^{dim}" if dim > 1 else ""
        k = root * self.waves.lengths.cpu().numpy()
        counts = self.waves.counts.cpu().numpy()
        curves: dict[str, Curve] = {}
        numbers: dict[str, Quantity] = {}
        if closed:
            curves["pair_correlation"] = _pair_correlation(next(h for h in histograms if h.group == "pair"), volume)
        structure = averages[STRUCTURE]
        curves["structure_factor"] = _local_curve("structure_factor", k, structure, f"1/{unit}", counts)
        ratios, extrapolated = self._ratios(mixed, resampled)
        n = len(k) + 1

        def part(rows: slice) -> list[Any]:
            found = [None, None] if extrapolated is None else [numbers[rows] for numbers in extrapolated]
            return [*(numbers[rows] for numbers in ratios), *found]

        def curve(name: str, axis: str, points: np.ndarray, rows: slice, axis_unit: str, counts: Any = None) -> Curve:
            values, errors, pure, pure_errors = part(rows)
            method = "" if pure is None else EXTRAPOLATED
            return Curve(name, axis, points, values, errors, axis_unit, "", pure, pure_errors, method, counts)

        distances = self.coherence.distances.cpu().numpy() / root
        curves["density_matrix"] = curve("density_matrix", "r", distances, slice(n + 1, None), unit)
        curves["momentum_distribution"] = curve(
            "momentum_distribution", "k", np.append(0.0, k), slice(n), f"1/{unit}", np.append(1.0, counts)
        )
        numbers["zero_momentum"] = _number(part(slice(0, 1)), "")
        if dim > 1:
            numbers["condensate_fraction"] = _number(part(slice(n, n + 1)), "")
        if self.virial is not None:
            found = self._pressure(averages[VIRIAL][0], energies, root)
            if found is not None:
                numbers["pressure"] = _quantity(*found, f"{energy}/{unit}{power}")
            tail = tail_virial(self.system)
            if found is not None and tail is not None:
                beyond = Estimate(-tail / (dim * volume), 0.0)
                numbers["pressure_tail"] = _quantity(beyond, None, f"{energy}/{unit}{power}")
        if self.even and closed and len(k) > 1:
            sound = [_stiffness(k / root, [pair[which] for pair in structure]) for which in (0, 1)]
            if sound[0] is not None:
                density = self.system.particles / volume
                stiff: Any = (sound[0], sound[1])
                softness = [None if s is None else _map(s, lambda v: 1 / (density * v), -1.0) for s in stiff]
                speed = [None if s is None else _map(s, lambda v: math.sqrt(v) / root, 0.5) for s in stiff]
                numbers["compressibility"] = _quantity(softness[0], softness[1], f"{unit}{power}/{energy}")
                numbers["sound_velocity"] = _quantity(speed[0], speed[1], f"{unit} {energy}")
        # an older version began without
        if DISPLACEMENT in averages:
            numbers |= _of_crystal(averages)
        return Liquid(self.system.particles / volume, f"1/{unit}{power}", curves, numbers)

    def _ratios(
        self, mixed: Coherence | None, resampled: bool
    ) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray] | None]:
        """Values and errors of all ratios over ψ², and extrapolated ones; None without a projection."""
        value, deviations = self.coherence.averages()
        error = np.sqrt((deviations**2).sum(1))
        if mixed is None:
            return (value, error), None
        if resampled:
            other, apart = mixed.averages()
            return (value, error), (2 * other - value, np.sqrt(4 * (apart**2).sum(1) + error**2))
        # walkers that were never resampled also give the average over ψ²: common noise cancels
        change, apart = mixed.differences()
        return (value, error), (value + 2 * change, np.sqrt(4 * (apart**2).sum(1) + error**2))

    def _pressure(self, virial: Pair, energies: Pair, root: float) -> tuple[Estimate, Estimate | None] | None:
        assert self.virial is not None
        if not math.isfinite(virial[0].value):
            return None
        volume = math.prod(side / root for side in self.box)
        share = 1 / (len(self.box) * volume * self.virial.free)
        times = 1.0 if self.contact else 2.0

        def pressure(energy: Estimate, found: Estimate) -> Estimate:
            return Estimate(
                share * (times * energy.value - found.value), share * math.hypot(times * energy.error, found.error)
            )

        variational = pressure(energies[0], virial[0])
        # the kinetic energy of the contact's ψ is no function of the places
        if self.contact or energies[1] is None or virial[1] is None or not math.isfinite(virial[1].error):
            return variational, None
        return variational, pressure(energies[1], virial[1])


def _of_crystal(averages: Mapping[str, Sequence[Pair]]) -> dict[str, Quantity]:
    """The share of the particles at their sites and, where they are, Lindemann's ratio."""
    (apart,), (share,) = averages[DISPLACEMENT], averages[AT_SITES]
    found: dict[str, Quantity] = {}
    if is_solid(share):
        found["lindemann_ratio"] = _quantity(
            _map(apart[0], math.sqrt, 0.5), apart[1] and _map(apart[1], math.sqrt, 0.5), ""
        )
    found["particles_at_sites"] = _quantity(*share, "")
    return found


def _stiffness(k: np.ndarray, structure: Sequence[Estimate | None]) -> Estimate | None:
    """m c² from S(k) → k/(2 m c) as k → 0, for wave vectors k (shells,) in coordinates of unit mass.

    k/2S of the two shortest waves is extrapolated as a polynomial in k²; all of that step is an error.
    """
    first, second = structure[:2]
    if first is None or second is None or not (first.value > 0 and second.value > 0):
        return None
    c = [0.5 * wave / s.value for wave, s in zip(k, (first, second), strict=False)]
    errors = [abs(one * s.error / s.value) for one, s in zip(c, (first, second), strict=True)]
    share = k[0] ** 2 / (k[1] ** 2 - k[0] ** 2)
    speed = c[0] - share * (c[1] - c[0])
    error = math.hypot((1 + share) * errors[0], share * errors[1], speed - c[0])
    if not error < speed:
        return None
    return Estimate(speed**2, 2 * speed * error)


def _map(given: Estimate, function: Any, power: float) -> Estimate:
    value = function(given.value)
    return Estimate(value, abs(power * value * given.error / given.value))


def _number(found: Sequence[Any], unit: str) -> Quantity:
    """A number from one value and error over ψ², and extrapolated ones or None."""
    value, error, pure, pure_error = found
    variational = Estimate(float(value[0]), float(error[0]))
    projected = None if pure is None else Estimate(float(pure[0]), float(pure_error[0]))
    return _quantity(variational, projected, unit, EXTRAPOLATED)


def _quantity(variational: Any, projected: Estimate | None, unit: str, method: str = PURE) -> Quantity:
    best = variational if projected is None else projected
    method = "" if projected is None else method
    return Quantity(best.value, best.error, variational=variational, projected=projected, unit=unit, method=method)


def _local_curve(name: str, points: np.ndarray, averages: Sequence[Pair], unit: str, counts: np.ndarray) -> Curve:
    values, errors = (np.array([getattr(pair[0], part) for pair in averages]) for part in ("value", "error"))
    pure = None
    if all(pair[1] is not None for pair in averages):
        pure = [np.array([getattr(pair[1], part) for pair in averages]) for part in ("value", "error")]
    projected, projected_errors = pure or (None, None)
    method = "" if pure is None else PURE
    return Curve(name, "k", points, values, errors, unit, "", projected, projected_errors, method, counts)


def _pair_correlation(histogram: Histogram, volume: float) -> Curve:
    """g(r), which is 1 for an ideal gas, from the distribution of the distance of two particles."""
    (axis,) = histogram.axes
    # on a line distances count from both sides
    share = 0.5 * volume if histogram.measure == "dr" else volume
    scaled = [
        None if numbers is None else share * numbers
        for numbers in (histogram.values, histogram.errors, histogram.projected, histogram.projected_errors)
    ]
    values, errors, projected, projected_errors = scaled
    assert values is not None and errors is not None
    method = "" if projected is None else PURE
    return Curve(
        "pair_correlation", "r", axis.centres, values, errors, axis.unit, "", projected, projected_errors, method
    )
