"""A/T of Girsanov paths that leave walkers, in chunks that fit."""

from __future__ import annotations

import torch
from torch import Tensor

from fkflow.execution.chunks import each, fitting
from fkflow.hamiltonian.system import System
from fkflow.networks.log_psi import LogPsi
from fkflow.sampling.paths import branched_energy, brownian_frames

#: configurations that go through a forward pass at once, for each that goes through a gradient
FORWARD = 2


def path_samples(
    psi: LogPsi,
    system: System,
    x: Tensor,
    generator: torch.Generator,
    *,
    paths: int,
    steps: int,
    dt: float,
    antithetic: bool = False,
) -> Tensor:
    """A/T (M, B) of each of the M paths that leave each walker x (B, N, D); dt in absolute time.

    Walkers go in chunks of path points that fit (`chunks.chunk_size`). A chunk has its own seed: the result does not
    depend on the number of threads.
    """

    def energies(item: tuple[Tensor, int]) -> Tensor:
        part, seed = item
        own = torch.Generator(x.device).manual_seed(seed)
        noise = brownian_frames(len(part), paths, steps, tuple(part.shape[1:]), own, antithetic=antithetic)
        return branched_energy(psi.value, psi.value_and_drift, system.potential, part, dt, noise.to(part.dtype))

    def attempt(chunk: int) -> Tensor:
        # a path ends with a forward pass, which holds a third of what a gradient holds
        parts = x.split(max(1, FORWARD * chunk // paths))
        seeds = torch.randint(2**62, (len(parts),), generator=generator, device=generator.device).tolist()
        return torch.cat(each(energies, list(zip(parts, seeds, strict=True))), 1)

    return fitting(psi, attempt)
