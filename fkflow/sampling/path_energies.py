"""A/T of the Girsanov paths that leave walkers, computed in chunks that fit in the cache or device."""

from __future__ import annotations

import torch
from torch import Tensor

from fkflow.execution.chunks import fit_in_memory
from fkflow.hamiltonian.system import System
from fkflow.networks.log_psi import LogPsi
from fkflow.sampling.paths import branched_energy, brownian_frames

#: size of a chunk for forward passes, in that for gradients: a forward pass holds a third of what a gradient holds
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

    Each chunk of walkers has its own seed.
    """

    def energies(part: Tensor, seed: int) -> Tensor:
        own = torch.Generator(x.device).manual_seed(seed)
        noise = brownian_frames(len(part), paths, steps, tuple(part.shape[1:]), own, antithetic=antithetic)
        return branched_energy(psi.value, psi.value_and_drift, system.potential, part, dt, noise.to(part.dtype))

    def attempt(chunk: int) -> Tensor:
        parts = x.split(max(1, FORWARD * chunk // paths))
        seeds = torch.randint(2**62, (len(parts),), generator=generator, device=generator.device).tolist()
        return torch.cat(list(map(energies, parts, seeds)), 1)

    return fit_in_memory(psi, attempt)
