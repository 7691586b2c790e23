"""The spectrum of a trained ψ: the lowest levels of all its symmetry sectors, with errors."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fkflow.errors import NumericalError
from fkflow.hamiltonian.box import sides
from fkflow.hamiltonian.free import break_up_energy
from fkflow.hamiltonian.masses import to_user_coordinates
from fkflow.hamiltonian.natural_scale import Landscape
from fkflow.hamiltonian.smooth_landscape import lowest_far
from fkflow.hamiltonian.system import System
from fkflow.measurement.views import View, views
from fkflow.networks.log_psi import LogPsi
from fkflow.results.records import Axis
from fkflow.results.spectrum import PROJECTED, UPPER, Level, Spectrum
from fkflow.spectrum import correlations, eigen, sectors
from fkflow.spectrum.growth import growth_of, state_of
from fkflow.spectrum.pool import Pool, draw_pool
from fkflow.statistics import Estimate

#: walkers and sweeps of the pool that finds the states and of the one that judges them; about nuclei so many times the walkers
FINDING, JUDGING, ABOUT_NUCLEI = (3000, 8), (6000, 8), 2
#: walkers whose places the random functions are made for, and values of each function that a file keeps
SAMPLE, CHECKED = 512, 8
#: levels of one sector that are looked for beyond those that are asked for
SPARE = 2
#: largest spread of the local energy, by the gap or the distance of the next, of a level that is resolved
LARGEST_SPREAD = 0.25
#: smallest effective share of the configurations that a level rests on, if they reach where it is
LEAST_SUPPORT = 0.02
#: growth of the density about nuclei, by the decay of ψ: no function grows faster
GROWTH = 0.65
#: statistical errors by which an energy must lie above another to be another
SURE = 4.0
#: error of a difference in one pool, in that from the energy of the run, from which on the latter is taken
NOISY = 3.0
#: an average sign that nobody has looked at
UNKNOWN = Estimate(math.nan, math.nan)
#: configurations whose values are computed at once
PART = 2048
#: bins of the densities of the levels
BINS = 50


@dataclass(frozen=True)
class Question:
    """What to compute: how many `states`, with how many random `functions` of a kind; `fermi`: antisymmetric ones."""

    states: int = 6
    functions: int = 48
    fermi: bool = False
    seed: int = 0


@dataclass(frozen=True)
class _Candidate:
    """One level of a sector, its state number `number`, before the levels of all are put in order."""

    sector: sectors.Sector
    number: int
    functions: sectors.SectorFunctions
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
class _Lowest:
    """The lowest level of the sector of the ground state, its jackknife samples (groups,), and how far it may lie too high."""

    energy: float
    samples: np.ndarray
    excess: float


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
    more = 1 if nuclei is None else ABOUT_NUCLEI
    symmetric = state_of(net, system, landscape, x)
    psi = net if symmetric is None else symmetric
    pools = [
        draw_pool(
            net,
            system,
            landscape,
            x,
            walkers=more * walkers,
            sweeps=sweeps,
            seed=question.seed + k,
            growth=growth,
            symmetric=symmetric,
        )
        for k, (walkers, sweeps) in enumerate((FINDING, JUDGING), 0x5EC7)
    ]
    sample = pools[0].x[:SAMPLE].clone()
    growing = growth_of(net, system, landscape, sample)
    if growing is not None:
        for pool in pools:
            growing.remember(pool.x)
    wanted = sectors.sectors_of(system, landscape, sample, question.functions, decay, question.fermi, growing)
    candidates: list[_Candidate] = []
    states: dict[str, correlations.States] = {}
    lowest: _Lowest | None = None
    # the sector of the ground state comes first
    for sector in sorted(wanted, key=lambda one: not one.ground):
        functions = sector.functions(sample, question.seed)
        count = question.states + int(sector.ground) + SPARE
        sizes = functions.sizes(sample)
        first = 1 + int(sector.ground)
        best: tuple[np.ndarray, eigen.Levels] | None = None
        for most in range(len(sizes), 0, -1):
            vectors = eigen.ritz_vectors(functions, pools[0], count, sizes[:most])
            if not vectors.shape[1]:
                break  # all functions vanish
            found = eigen.evaluate(functions, vectors, pools[1])
            reached = bool(found.support[:first].min() >= LEAST_SUPPORT)
            # functions that grow too fast reach farther out than the walkers; without them a level must not be lost
            if best is None or (reached and not _is_above(found, best[1], first)):
                best = vectors, found
            if reached:
                break
        if best is None:
            continue
        vectors, found = best
        if sector.ground:
            lowest = _Lowest(float(found.energies[0]), found.samples[:, 0], float(_excesses(found)[0]))
        states[sector.name] = functions, vectors @ found.turn
        candidates += _levels_of(
            sector, found, functions, vectors @ found.turn, lowest, (ground, variational if psi is net else None)
        )
        energies = sorted(one.energy.value for one in candidates)
        if sector.rising and len(energies) > question.states and found.energies[0] > energies[question.states]:
            break
    candidates.sort(key=lambda one: one.energy.value)
    warnings = []
    unresolved = next((k for k, one in enumerate(candidates) if not (one.resolved and one.reached)), len(candidates))
    kept = candidates[: min(unresolved, question.states)]
    limit = _continuum(system, landscape, ground.value)
    loose = next((k for k, one in enumerate(kept) if one.energy.value > limit - one.energy.error), len(kept))
    if loose < len(kept):
        kept = kept[:loose]
        sentence = f"parts of the system are apart from {limit:.6g} on, where no level is bound"
        if not kept:
            raise NumericalError(f"no excited level is bound: {sentence}")
        warnings.append(sentence)
    elif len(kept) < question.states:
        hint = "more functions resolve more"
        if unresolved < len(candidates):
            poor = candidates[unresolved]
            where = f"one near {poor.energy.value:.6g} ({poor.sector.name})"
            if poor.reached:
                hint = f"{where} has a local-energy variance of {poor.variance:.2g}; {hint}"
            else:
                hint = f"{where} lies farther out than the walkers reach"
        if not kept:
            raise NumericalError(f"no excited level is resolved: {hint}")
        warnings.append(f"{len(kept)} of {question.states} levels are resolved: {hint}")
    lowered = _lowered(psi, system, landscape, pools[1], kept, states, question.seed, question.fermi)
    view = views(system)[0]
    axis, ground_density, shown = _densities(system, view, pools[1], kept)
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
        check=np.array([_values(one.functions, one.coefficients, sample[:CHECKED]) for one in kept]),
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


def _levels_of(
    sector: sectors.Sector,
    found: eigen.Levels,
    functions: sectors.SectorFunctions,
    vectors: np.ndarray,
    lowest: _Lowest | None,
    energies: tuple[Estimate, Estimate | None],
) -> list[_Candidate]:
    """The lowest levels of a sector, above the ground state where that belongs to it.

    `lowest` is the lowest level of the sector of the ground state in the same pool, None if there is none. `energies` are those
    of the ground state and of ψ, as the run measured them, None where ψ has been averaged.
    """
    below = int(sector.ground)
    ground, variational = energies
    # noise of E_L that all levels share with ψ, whose energy is better known
    direct, shared = eigen.jackknife_error(found.samples), eigen.jackknife_error(found.samples - found.means[:, None])
    excesses = _excesses(found)
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
            _Candidate(
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


def _is_above(found: eigen.Levels, other: eigen.Levels, count: int) -> bool:
    """Whether the lowest `count` energies lie higher than those of other states, by more than these may be too high or off."""
    errors = eigen.jackknife_error(other.samples)[:count] + eigen.jackknife_error(found.samples)[:count]
    allowed = SURE * errors + _excesses(found)[:count]
    return bool((found.energies[:count] - other.energies[:count] > allowed).any())


def _excesses(found: eigen.Levels) -> np.ndarray:
    """How far the bounds (k,) of a sector may lie above their levels: variance by distance of the highest state (Temple).

    What a state lacks is orthogonal to all states that were found with it, and has a higher energy. Infinite for the highest.
    """
    apart = found.energies[-1] - found.energies
    return np.where(
        apart > 0, found.variances / np.where(apart > 0, apart, 1.0), np.where(found.variances > 0, np.inf, 0.0)
    )


def _continuum(system: System, landscape: Landscape, ground: float) -> float:
    """The lowest energy at which parts of the system may leave each other; infinite where none is known."""
    known = [break_up_energy(system, landscape.free), landscape.threshold]
    if system.particles == 1 and system.nuclei() is None:
        generator, none = torch.Generator().manual_seed(0), landscape.centre.new_zeros(0, *landscape.centre.shape)
        with np.errstate(all="ignore"):
            known.append(lowest_far(system, landscape.centre, landscape.length, none, generator))
    # a well may lie above what is far away
    return min((limit for limit in known if limit is not None and limit > ground), default=math.inf)


def _lowered(
    net: LogPsi,
    system: System,
    landscape: Landscape,
    pool: Pool,
    levels: list[_Candidate],
    states: dict[str, correlations.States],
    seed: int,
    fermi: bool,
) -> list[tuple[Estimate, Estimate, str, Estimate | None, Estimate]]:
    """The energy, the gap and the kind of bound of each level, its projected energy, and its average sign.

    Gaps are differences of bounds that both fall. The fall counts where it shows above the noise.
    """
    ground = next((level.sector.name for level in levels if level.sector.ground), None)
    most: dict[str, int] = {}
    for level in levels:
        # where the variance leaves less than the error there is nothing to lower
        if fermi or level.excess > level.energy.error:
            most[level.sector.name] = max(most.get(level.sector.name, 0), level.number)
    wanted = [(states[name][0], states[name][1][:, : number + 1]) for name, number in most.items()]
    falls_of = dict(zip(most, correlations.find_drops(net, system, landscape, pool, wanted, seed), strict=True))
    below = (0.0, 0.0)
    if ground in falls_of and falls_of[ground].seen[0]:
        below = float(falls_of[ground].drops[0]), float(falls_of[ground].errors[0])
    lowered: list[tuple[Estimate, Estimate, str, Estimate | None, Estimate]] = []
    for level in levels:
        k, spread = level.number, math.sqrt(level.variance)
        falls = falls_of.get(level.sector.name)
        if falls is None or k >= len(falls.drops):
            lowered.append((*_with_excess(level, level.excess), UPPER, None, UNKNOWN))
            continue
        drop, error = float(falls.drops[k]), float(falls.errors[k])
        sign = Estimate(float(falls.signs[k]), float(falls.sign_errors[k]))
        after = Estimate(level.energy.value - drop, math.hypot(level.energy.error, error))
        projected = after if falls.allowed(k, spread) else None
        if not falls.seen[k] or drop > spread or projected is None:
            # what longer paths would bring is in the error of the fall
            left = level.excess if projected is None else min(level.excess, max(drop, 0.0) + error)
            lowered.append((*_with_excess(level, left), UPPER, projected, sign))
            continue
        gap = Estimate(level.gap.value - drop + below[0], math.hypot(level.gap.error, error, below[1]))
        lowered.append((after, gap, PROJECTED, projected, sign))
    return lowered


def _with_excess(level: _Candidate, left: float) -> tuple[Estimate, Estimate]:
    """The energy and the gap of a bound that may lie too high by what is `left`: both have it in their errors."""
    if not math.isfinite(left):
        left = 0.0  # an upper bound, and no more
    energy = Estimate(level.energy.value, math.hypot(level.energy.error, left))
    return energy, Estimate(level.gap.value, math.hypot(level.gap.error, left, level.lowest_excess))


def _strengths(x: Tensor, w: Tensor) -> dict[str, float]:
    """|⟨f ψ|A ψ⟩|² of Σ_i x_i and Σ_i x_i², for walkers x (B, N, D) in the user's coordinates; `w` (B,) is weight times f."""
    first, square = x.sum(1), x.square().sum((1, 2))
    dipole = float(((w[:, None] * (first - first.mean(0))).sum(0)).square().sum())
    return {"dipole": dipole, "monopole": float((w * (square - square.mean())).sum() ** 2)}


def _wave_strength(x: Tensor, w: Tensor, share: Tensor, box: tuple[float, ...]) -> dict[str, float]:
    """The largest share that the level has in a density wave Σ_i cos k·x_i or sin along an axis, of |⟨fψ|ρψ⟩|²/⟨ψ|ρ²|ψ⟩ over
    walkers x (B, N, D) with weights `share` (B,), which sum up to 1."""
    most = 0.0
    for axis, side in enumerate(box):
        for number in range(1, x.shape[1] + 2) if math.isfinite(side) else ():
            angle = 2 * math.pi * number / side * x[..., axis]
            for wave in (angle.cos().sum(1), angle.sin().sum(1)):
                wave = wave - (share * wave).sum()
                most = max(most, float((w * wave).sum() ** 2 / (share * wave.square()).sum().clamp_min(1e-300)))
    return {"density wave": min(1.0, most)}


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


def _values(functions: sectors.SectorFunctions, coefficients: np.ndarray, x: Tensor) -> np.ndarray:
    """f (B,), or of several coefficients (n, k) (B, k), at x (B, N, D)."""
    parts = [functions.values(part).cpu().numpy() @ coefficients for part in x.split(PART)]
    return np.concatenate(parts)


def _densities(
    system: System, view: View, pool: Pool, levels: list[_Candidate]
) -> tuple[Axis, np.ndarray, list[tuple[np.ndarray, np.ndarray, dict[str, float]]]]:
    """The axis, the density of ψ², and for each level its density, the mean of f, and its strengths."""
    x = to_user_coordinates(system, pool.x)
    points = view.coordinates(x)[..., 0]
    weights = pool.weights.cpu().numpy()
    spread = points.cpu().numpy()
    low, high = np.quantile(spread, [0.0005, 0.9995])
    if view.shells[0] > 1:
        low = 0.0
    edges = np.linspace(low, high, BINS + 1)
    volumes = view.volumes([edges])
    particles = spread.shape[1]

    def histogram(values: np.ndarray) -> np.ndarray:
        return np.histogram(spread.ravel(), edges, weights=np.repeat(values, particles))[0]

    total = weights.sum()
    plain = histogram(weights)
    ground = plain / (particles * volumes * total)
    box = sides(system)
    found = []
    # those of a sector have the same functions
    sectors_values = {
        name: _values(some[0].functions, np.stack([one.coefficients for one in some], 1), pool.x)
        for name in {level.sector.name for level in levels}
        if (some := [level for level in levels if level.sector.name == name])
    }
    seen: dict[str, int] = {}
    for level in levels:
        number = seen[level.sector.name] = seen.get(level.sector.name, -1) + 1
        f = sectors_values[level.sector.name][:, number]
        f = f / math.sqrt(float((weights * f * f).sum() / total))
        density = histogram(weights * f * f) / (particles * volumes * total)
        with np.errstate(invalid="ignore"):
            mean = np.where(plain > 0, histogram(weights * f) / np.where(plain > 0, plain, 1.0), np.nan)
        w, share = torch.from_numpy(weights * f) / total, torch.from_numpy(weights) / total
        found.append((density, mean, _strengths(x, w) if box is None else _wave_strength(pool.x, w, share, box)))
    words = view.axis_name(view.axes[0])
    return Axis(view.axes[0], system.length_unit, words, edges), ground, found
