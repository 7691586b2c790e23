"""The local energy E_L = −½(ΔU + |∇U|²) + V of ψ = e^U: exact by second derivatives, or the limit of short paths."""

from __future__ import annotations

import torch
from torch import Tensor

from fkflow.gradients import path_samples
from fkflow.networks import LogPsi
from fkflow.parallel import each, fitting
from fkflow.system import System

#: time step of the paths that stand for the local energy, in natural times
SHORT = 1e-9


def laplacian(psi: LogPsi, x: Tensor) -> tuple[Tensor, Tensor]:
    """ΔU (B,) and ∇U (B, N, D) at x (B, N, D), detached: the diagonal of the Hessian by d backward passes."""
    with torch.enable_grad():
        x = x.detach().requires_grad_(True)
        (v,) = torch.autograd.grad(psi(x).sum(), x, create_graph=True)
        flat = v.flatten(1)
        total = x.new_zeros(len(x))
        for i in range(flat.shape[1]):
            (row,) = torch.autograd.grad(flat[:, i].sum(), x, retain_graph=True)
            total += row.flatten(1)[:, i]
    return total, v.detach()


def local_energy(psi: LogPsi, system: System, x: Tensor) -> Tensor:
    """E_L (B,) at x (B, N, D), without graph, in chunks of walkers."""

    def energies(part: Tensor) -> Tensor:
        lap, v = laplacian(psi, part)
        return system.potential(part) - 0.5 * (lap + v.square().sum((1, 2)))

    # the graph of the gradient stays while every row of the Hessian is taken
    return fitting(psi, lambda chunk: torch.cat(each(energies, x.split(max(1, chunk // 2)))))


def path_count(system: System) -> int:
    """Paths that `path_local_energy` sends from each walker: a whole frame, in pairs of opposite ones near nuclei."""
    return system.particles * system.dimensions * (1 if system.nuclei() is None else 2)


def path_local_energy(
    psi: LogPsi,
    system: System,
    x: Tensor,
    generator: torch.Generator,
    natural_time: float,
    known: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """E_L (B,) at x (B, N, D) as A/T of one-step Girsanov paths in a whole orthogonal frame, dt → 0: no second derivative.

    `known` are log ψ (B,) and drift (B, N, D) at x, as `Walkers.known` has them.

    A whole frame leaves no trace noise; what is left is of order √dt, random in sign, hence pairs of opposite paths where
    nuclei make the third derivatives large. 1.2 to 5 times as fast as `local_energy`, with a bias of order dt = 1e-9.
    """
    pairs = system.nuclei() is not None
    return path_samples(
        psi,
        system,
        x,
        generator,
        paths=path_count(system),
        steps=1,
        dt=SHORT * natural_time,
        antithetic=pairs,
        known=known,
    ).mean(0)
