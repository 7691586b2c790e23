"""How many walkers a measurement begins with, where, and which of them stand for ψ²."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from fkflow.execution import ranks
from fkflow.execution.chunks import IN_CACHE, chunk_size
from fkflow.hamiltonian.natural_scale import Landscape
from fkflow.hamiltonian.system import System
from fkflow.networks.choice import LogPsi, PairDrift
from fkflow.recipe.config import MeasureConfig, ProjectConfig
from fkflow.sampling.broad import sampling_power
from fkflow.sampling.clipping import clip
from fkflow.sampling.local_energy import fastest_local_energy
from fkflow.sampling.metropolis import Walkers, draw_evenly

#: sweeps before the error bar may end a measurement
FEWEST_SWEEPS = 10
#: independent energies that each walker gives where their number is left to the target error, and bounds of that number
SAMPLES, FEWEST_WALKERS, MOST_WALKERS = 20, 512, 4096
#: the same bound of a network of which so many walkers are BUSY chunks or more: they keep a processor busy, and twice as many
#: only take twice as long to part from one another and to pass a window of imaginary time
MOST_OF_WIDE, BUSY = 1024, 4
#: energies that are taken at least then: with fewer, the rare places where a network is poor are often missed, and the error
#: bar is too small (5 000 gave 2 bosons a rms z of 1.55, 20 000 one of 0.99)
FEWEST_ENERGIES = 20480
#: mean absolute deviations at which energies are clipped for it
CLIP = 10.0


def choose_walker_count(
    net: LogPsi | PairDrift,
    config: MeasureConfig | ProjectConfig,
    spread: Callable[[], float],
    fewest: int = FEWEST_WALKERS,
) -> int:
    """The recipe's number of walkers or, where it leaves that open, one that suits its target error: a power of two.

    With so many walkers of `net` each gives about SAMPLES energies of this `spread`, or more of a wide network; all ranks must
    ask together.
    """
    if config.walkers:
        return config.walkers
    ratio = spread() / config.target_error
    # an unknown spread is infinite
    most = min(MOST_WALKERS, max(MOST_OF_WIDE, BUSY * chunk_size(net)))
    wanted = min(most, max(fewest, ratio * ratio / SAMPLES))
    walkers: int = 2 ** math.ceil(math.log2(wanted))
    return ranks.broadcast(walkers)


def starting_walkers(
    net: LogPsi | PairDrift,
    system: System,
    landscape: Landscape,
    config: MeasureConfig,
    x: Tensor,
    generator: torch.Generator,
) -> tuple[Walkers, int]:
    """This rank's walkers, as many as the recipe or its target error asks for, at places of x (B, N, D); the fewest sweeps."""
    natural, fewest = landscape.length**2, FEWEST_SWEEPS

    def spread() -> float:
        """Standard deviation of the clipped local energy at x; infinite where there is no log ψ."""
        if not isinstance(net, LogPsi):
            return math.inf
        return float(clip(fastest_local_energy(net, system, x, generator, natural), CLIP).std())

    wanted = choose_walker_count(net, config, spread)
    if config.walkers == 0 and not (isinstance(net, LogPsi) and net.knows_tails):
        # Few walkers of a small network take as long as many: most of their time goes into launching operations. Beyond
        # that, more of them only take longer to part from one another.
        wanted = max(wanted, min(FEWEST_ENERGIES // FEWEST_SWEEPS, IN_CACHE // (2 * net.width) // 512 * 512))
        fewest = max(FEWEST_SWEEPS, -(-FEWEST_ENERGIES // wanted))
    pick = draw_evenly(len(x), -(-wanted // ranks.count()), generator)
    power = sampling_power(x[0].numel()) if isinstance(net, LogPsi) else 1.0
    return Walkers(x[pick].clone(), 0.1 * natural, power), fewest


def samples_of(walkers: Walkers) -> Tensor:
    """Walkers (B, N, D) resampled to ψ²: a comb of their weights takes some twice and leaves others out."""
    x = walkers.x
    if walkers.power == 1:
        return x
    share = (walkers.weights() / len(x)).cumsum(0)
    teeth = (torch.arange(len(x), device=x.device, dtype=x.dtype) + 0.5) / len(x)
    return x[torch.searchsorted(share, teeth).clamp(max=len(x) - 1)]
