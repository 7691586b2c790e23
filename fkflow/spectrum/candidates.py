"""Candidates for levels: the states of one sector with their energies, errors, and whether they are resolved."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fkflow.errors import NumericalError
from fkflow.spectrum import eigen
from fkflow.spectrum.images import SectorFunctions
from fkflow.spectrum.sector import Sector
from fkflow.statistics import Estimate

#: largest spread of the local energy, by the gap or the distance of the next, of a level that is resolved
LARGEST_SPREAD = 0.25
#: smallest effective share of the configurations that a level rests on, if they reach where it is
LEAST_SUPPORT = 0.02
#: statistical errors by which an energy must lie above another to be another
SURE = 4.0
#: error of a difference in one pool, in that from the energy of the run, from which on the latter is taken
NOISY = 3.0


@dataclass(frozen=True)
class Candidate:
    """One level of a sector, its state number `number`, before the levels of all are put in order."""

    sector: Sector
    number: int
    functions: SectorFunctions
    coefficients: np.ndarray
    energy: Estimate
    gap: Estimate
    variance: float
    #: how far the bound may lie above its level at most, by the variance (Temple 1928)
    excess: float
    #: the same of the lowest state of the sector of the ground state, from which the gap counts; 0 if it counts from the run's
    lowest_excess: float
    resolved: bool
    reached: bool


@dataclass(frozen=True)
class Lowest:
    """The lowest level of the sector of the ground state, its jackknife samples (groups,), and how far it may lie too high."""

    energy: float
    samples: np.ndarray
    excess: float


def levels_of(
    sector: Sector,
    found: eigen.Levels,
    functions: SectorFunctions,
    vectors: np.ndarray,
    lowest: Lowest | None,
    energies: tuple[Estimate, Estimate | None],
) -> list[Candidate]:
    """The lowest levels of a sector, above the ground state where that belongs to it.

    `lowest` is the lowest level of the sector of the ground state in the same pool, None if there is none. `energies` are those
    of the ground state and of ψ, as the run measured them, None where ψ has been averaged.
    """
    below = int(sector.ground)
    ground, variational = energies
    # noise of E_L that all levels share with ψ, whose energy is better known
    direct, shared = eigen.jackknife_error(found.samples), eigen.jackknife_error(found.samples - found.means[:, None])
    excesses = excesses_of(found)
    levels = []
    for k in range(below, len(found.energies)):
        energy = Estimate(float(found.energies[k]), float(direct[k]))
        if variational is not None:
            by_difference = math.hypot(float(shared[k]), variational.error)
            if by_difference < energy.error:
                energy = Estimate(float(found.energies[k]) - found.mean + variational.value, by_difference)
        gap, lowest_excess = Estimate(energy.value - ground.value, math.hypot(energy.error, ground.error)), 0.0
        if lowest is not None:
            # what ψ lacks raises both alike; but the run may know the lowest far better
            error = float(eigen.jackknife_error(found.samples[:, k] - lowest.samples))
            if error < NOISY * gap.error:
                gap, lowest_excess = Estimate(float(found.energies[k]) - lowest.energy, error), lowest.excess
        variance = float(found.variances[k])
        spread = math.sqrt(max(variance - found.noise, 0.0))
        # one of two tunnelling levels is near the other, but far from the next of its sector
        apart = [gap.value, *np.diff(found.energies[k : k + 2])]
        resolved = spread <= LARGEST_SPREAD * max(apart)
        reached = bool(found.support[k] >= LEAST_SUPPORT)
        levels.append(
            Candidate(
                sector,
                k,
                functions,
                vectors[:, k],
                energy,
                gap,
                variance,
                float(excesses[k]),
                lowest_excess,
                resolved,
                reached,
            )
        )
    return levels


def is_above(found: eigen.Levels, other: eigen.Levels, count: int) -> bool:
    """Whether the lowest `count` energies lie higher than those of other states, by more than these may be too high or off."""
    errors = eigen.jackknife_error(other.samples)[:count] + eigen.jackknife_error(found.samples)[:count]
    allowed = SURE * errors + excesses_of(found)[:count]
    return bool((found.energies[:count] - other.energies[:count] > allowed).any())


def excesses_of(found: eigen.Levels) -> np.ndarray:
    """How far the bounds (k,) of a sector may lie above their levels: variance by distance of the highest state (Temple).

    What a state lacks is orthogonal to all states that were found with it, and has a higher energy. Infinite for the highest.
    """
    apart = found.energies[-1] - found.energies
    return np.where(
        apart > 0, found.variances / np.where(apart > 0, apart, 1.0), np.where(found.variances > 0, np.inf, 0.0)
    )


def choose(candidates: list[Candidate], count: int, limit: float) -> tuple[list[Candidate], list[str]]:
    """The lowest `count` levels of all sectors in order, up to the first that is not resolved or not bound; what is missing.

    Nothing above the `limit` is bound. Raises NumericalError if none is left.
    """
    ordered = sorted(candidates, key=lambda one: one.energy.value)
    unresolved = next((k for k, one in enumerate(ordered) if not (one.resolved and one.reached)), len(ordered))
    kept = ordered[: min(unresolved, count)]
    loose = next((k for k, one in enumerate(kept) if one.energy.value > limit - one.energy.error), len(kept))
    if loose < len(kept):
        sentence = f"parts of the system are apart from {limit + 0.0:.6g} on, where no level is bound"
        if not loose:
            raise NumericalError(f"no excited level is bound: {sentence}")
        return kept[:loose], [sentence]
    if len(kept) == count:
        return kept, []
    hint = "more functions resolve more"
    if unresolved < len(ordered):
        poor = ordered[unresolved]
        where = f"one near {poor.energy.value:.6g} ({poor.sector.name})"
        if poor.reached:
            hint = f"{where} has a local-energy variance of {poor.variance:.2g}; {hint}"
        else:
            hint = f"{where} lies farther out than the walkers reach"
    if not kept:
        raise NumericalError(f"no excited level is resolved: {hint}")
    return kept, [f"{len(kept)} of {count} levels are resolved: {hint}"]
