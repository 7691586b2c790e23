"""The local energy E_L = −½(ΔU + |∇U|²) + V of ψ = e^U: exact by second derivatives, or the limit of short paths.

It is also what A/T of a whole frame of one-step Girsanov paths from one place tends to, on average, as dt → 0: their noise
ξᵀ∇v ξ adds up to the trace of ∇v, which is ΔU. A network that knows its Laplacian gives it for the price of a few drifts.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fkflow.execution.chunks import each, fitting
from fkflow.hamiltonian.system import System
from fkflow.networks.choice import LogPsi, PairDrift
from fkflow.sampling.path_energies import path_samples

#: time step of the paths that stand for the local energy, in natural times
SHORT = 1e-9
#: evaluations of log ψ that one takes as long as with its gradient and its Laplacian
WRITTEN_OUT = 4


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
    """E_L (B,) at x (B, N, D) of any log ψ by automatic differentiation, without graph, in chunks of walkers."""

    def energies(part: Tensor) -> Tensor:
        lap, v = laplacian(psi, part)
        return _energy(system, part, v, lap)

    # the graph of the gradient stays while every row of the Hessian is taken
    return fitting(psi, lambda chunk: torch.cat(each(energies, x.split(max(1, chunk // 2)))))


def analytic_local_energy(psi: LogPsi, system: System, x: Tensor) -> Tensor:
    """E_L (B,) at x (B, N, D) of a network that `knows_laplacian`."""

    def energies(part: Tensor) -> Tensor:
        _, v, lap = psi.value_drift_and_laplacian(part)
        return _energy(system, part, v, lap)

    return fitting(psi, lambda chunk: torch.cat(each(energies, x.split(chunk))))


def _energy(system: System, x: Tensor, v: Tensor, lap: Tensor) -> Tensor:
    return system.potential(x) - 0.5 * (lap + v.square().sum((1, 2)))


def fastest_local_energy(
    psi: LogPsi,
    system: System,
    x: Tensor,
    generator: torch.Generator,
    natural_time: float,
) -> Tensor:
    """E_L (B,) at x (B, N, D) the fastest way there is: by the Laplacian that psi knows, or as `path_local_energy`."""
    if writes_out(psi, path_count(system)):
        return analytic_local_energy(psi, system, x)
    return path_local_energy(psi, system, x, generator, natural_time)


def local_energy_cost(psi: LogPsi | PairDrift, system: System) -> int:
    """What `fastest_local_energy` costs for a walker, in evaluations of log ψ."""
    paths = path_count(system)
    return WRITTEN_OUT if isinstance(psi, LogPsi) and writes_out(psi, paths) else paths


def writes_out(psi: LogPsi, paths: int) -> bool:
    """Whether psi knows its Laplacian and that takes less time than to send so many paths."""
    return psi.knows_laplacian and paths > WRITTEN_OUT


def path_count(system: System) -> int:
    """Paths that `path_local_energy` sends from each walker: a whole frame, in pairs of opposite ones near nuclei."""
    return system.particles * system.dimensions * (1 if system.nuclei() is None else 2)


def path_local_energy(
    psi: LogPsi,
    system: System,
    x: Tensor,
    generator: torch.Generator,
    natural_time: float,
) -> Tensor:
    """E_L (B,) at x (B, N, D) as A/T of one-step Girsanov paths in a whole orthogonal frame, dt → 0: no second derivative.

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
    ).mean(0)
