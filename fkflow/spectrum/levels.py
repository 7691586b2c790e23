"""The spectrum of a trained ψ: the lowest levels of all its symmetry sectors, with errors."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fkflow.hamiltonian.free import break_up_energy
from fkflow.hamiltonian.natural_scale import Landscape
from fkflow.hamiltonian.smooth_landscape import lowest_far
from fkflow.hamiltonian.system import System
from fkflow.measurement.views import views
from fkflow.networks.log_psi import LogPsi
from fkflow.results.spectrum import Level, Spectrum
from fkflow.spectrum import correlations, eigen, sectors
from fkflow.spectrum.candidates import (
    LEAST_SUPPORT,
    Candidate,
    Lowest,
    choose,
    excesses_of,
    is_above,
    levels_of,
)
from fkflow.spectrum.growth import growth_of, state_of
from fkflow.spectrum.images import Family
from fkflow.spectrum.level_densities import densities_of, values_of
from fkflow.spectrum.lowering import lower
from fkflow.spectrum.pool import Pool, draw_pool
from fkflow.spectrum.sector import Sector, functions_of
from fkflow.statistics import Estimate

#: walkers and sweeps of the pool that finds the states and of the one that judges them
FINDING, JUDGING = (3000, 8), (6000, 8)
#: about nuclei so many times the configurations, by fewer walkers with more sweeps, since most moves come before the first
ABOUT_NUCLEI, FEWER = 2, 3
#: walkers whose places the random functions are made for, and values of each function that a file keeps
SAMPLE, CHECKED = 512, 8
#: levels of one sector that are looked for beyond those that are asked for
SPARE = 2
#: growth of the density about nuclei, by the decay of ψ: no function grows faster
GROWTH = 0.65


@dataclass(frozen=True)
class Question:
    """What to compute: how many `states`, with how many random `functions` of a kind; `fermi`: antisymmetric ones."""

    states: int = 6
    functions: int = 48
    fermi: bool = False
    seed: int = 0


def find_spectrum(
    net: LogPsi,
    system: System,
    landscape: Landscape,
    x: Tensor,
    question: Question,
    ground: Estimate,
    variational: Estimate,
) -> Spectrum:
    """The lowest levels above the `ground` energy, from walkers x (B, N, D) of ψ², all in the solver's coordinates.

    `variational` is the energy of ψ as the run measured it, more accurately than here. Raises UsageError if the system has no
    such sector, NumericalError if no level is found.
    """
    began = time.perf_counter()
    nuclei = system.nuclei()
    decay = _decay(net, x) if nuclei is not None else 0.0
    growth = GROWTH * decay if nuclei is not None else None
    more, fewer = (1, 1) if nuclei is None else (ABOUT_NUCLEI, FEWER)
    symmetric = state_of(net, system, landscape, x)
    psi = net if symmetric is None else symmetric
    pools = [
        draw_pool(
            net,
            system,
            landscape,
            x,
            walkers=more * walkers // fewer,
            sweeps=sweeps * fewer,
            seed=question.seed + k,
            growth=growth,
            symmetric=symmetric,
        )
        for k, (walkers, sweeps) in enumerate((FINDING, JUDGING), 0x5EC7)
    ]
    sample = pools[0].x[:SAMPLE].clone()
    growing = growth_of(net, symmetric, landscape, sample)
    if growing is not None:
        for pool in pools:
            growing.remember(pool)
    wanted = sectors.sectors_of(system, landscape, sample, question.functions, decay, question.fermi, growing)
    found: list[Candidate] = []
    states: dict[str, correlations.States] = {}
    lowest: Lowest | None = None
    for family in _families(wanted):
        each = functions_of(family, sample, question.seed)
        below = [int(sector.ground) for sector in family]
        best = _best_states(Family(each), sample, pools, [question.states + SPARE + n for n in below], below)
        for sector, functions, result in zip(family, each, best, strict=True):
            if result is None:
                continue
            vectors, judged = result
            if sector.ground:
                lowest = Lowest(float(judged.energies[0]), judged.samples[:, 0], float(excesses_of(judged)[0]))
            states[sector.name] = functions, vectors
            found += levels_of(
                sector, judged, functions, vectors, lowest, (ground, variational if psi is net else None)
            )
        energies = sorted(one.energy.value for one in found)
        of_first = best[0]
        if family[0].rising and of_first is not None and len(energies) > question.states:
            if of_first[1].energies[0] > energies[question.states]:
                break
    kept, warnings = choose(found, question.states, _continuum(system, landscape, ground.value))
    lowered = lower(psi, system, landscape, pools[1], kept, states, question.seed, question.fermi)
    view = views(system)[0]
    axis, ground_density, shown = densities_of(system, view, pools[1], kept)
    levels = [
        Level(
            one.sector.name,
            energy,
            gap,
            one.variance,
            bound,
            strengths,
            one.coefficients,
            density,
            function,
            projected,
            sign,
            one.sector.degeneracy,
        )
        for one, (energy, gap, bound, projected, sign), (density, function, strengths) in zip(
            kept, lowered, shown, strict=True
        )
    ]
    return Spectrum(
        ground=ground,
        levels=levels,
        axis=axis,
        measure=view.measure,
        ground_density=ground_density,
        sample=sample.cpu().numpy(),
        check=np.array(values_of([(one.functions, one.coefficients) for one in kept], sample[:CHECKED])),
        searched=[sector.name for sector in wanted],
        asked=question.states,
        functions=question.functions,
        decay=decay,
        seed=question.seed,
        statistics="fermi" if question.fermi else "bose",
        walkers=len(pools[1].x),
        seconds=time.perf_counter() - began,
        time=correlations.TIME * landscape.length**2,
        warnings=warnings,
    )


def _families(sectors: Sequence[Sector]) -> list[list[Sector]]:
    """Sectors that share their functions, with that of the ground state first, of all and in its family."""
    ordered = sorted(sectors, key=lambda one: not one.ground)
    found: dict[str, list[Sector]] = {}
    for sector in ordered:
        found.setdefault(sector.family or sector.name, []).append(sector)
    return list(found.values())


def _best_states(
    family: Family, sample: Tensor, pools: Sequence[Pool], counts: Sequence[int], below: Sequence[int]
) -> list[tuple[np.ndarray, eigen.Levels] | None]:
    """The states (n, k) of each sector that one pool finds, turned as the other judges them; None where all functions vanish.

    `counts` levels of each are wanted, with the `below` lowest that need not count. `sample` (B, N, D) are any configurations.
    """
    sizes = family.sizes(sample)
    matrices = eigen.collect(family, pools[0])
    best: list[tuple[np.ndarray, eigen.Levels] | None] = [None] * len(counts)
    open_ = list(range(len(counts)))
    for most in range(len(sizes), 0, -1):
        vectors = {k: matrices[k].states(counts[k], sizes[:most]) for k in open_}
        open_ = [k for k in open_ if vectors[k].shape[1]]
        if not open_:
            break
        some = family.of(open_)
        for k, found in zip(open_.copy(), eigen.evaluate(some, [vectors[k] for k in open_], pools[1]), strict=True):
            known, first = best[k], 1 + below[k]
            reached = bool(found.support[:first].min() >= LEAST_SUPPORT)
            # functions that grow too fast reach farther out than the walkers; without them a level must not be lost
            if known is None or (reached and not is_above(found, known[1], first)):
                best[k] = vectors[k] @ found.turn, found
            if reached:
                open_.remove(k)
    return best


def _continuum(system: System, landscape: Landscape, ground: float) -> float:
    """The lowest energy at which parts of the system may leave each other; infinite where none is known."""
    known = [break_up_energy(system, landscape.free), landscape.threshold]
    if system.particles == 1 and system.nuclei() is None:
        generator, none = torch.Generator().manual_seed(0), landscape.centre.new_zeros(0, *landscape.centre.shape)
        with np.errstate(all="ignore"):
            known.append(lowest_far(system, landscape.centre, landscape.length, none, generator))
    # a well may lie above what is far away
    return min((limit for limit in known if limit is not None and limit > ground), default=math.inf)


def _decay(net: LogPsi, x: Tensor) -> float:
    """−∂ log ψ/∂r of the outermost of an electron, over the hundredth of the walkers that is farthest out."""
    far = x.norm(dim=-1).amax(1)
    chosen = x[far >= torch.quantile(far, 0.99)]
    drift = net.value_and_drift(chosen)[1].detach()
    r = chosen.norm(dim=-1)
    outer = r.argmax(1)
    rows = torch.arange(len(chosen))
    along = (drift * chosen).sum(-1) / r
    return max(float(-along[rows, outer].mean()), 1e-6)
