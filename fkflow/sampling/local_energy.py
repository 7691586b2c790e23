"""The local energy E_L = −½(ΔU + |∇U|²) + V of ψ = e^U: by second derivatives, or as the limit of short paths.

It is also the limit dt → 0 of the mean A/T over a whole frame of one-step Girsanov paths: their noise ξᵀ∇v ξ adds up to the
trace of ∇v, which is ΔU. A network that knows its Laplacian gives E_L for the price of a few drifts.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from fkflow.execution.chunks import fit_in_memory
from fkflow.execution.threads import each
from fkflow.hamiltonian.system import System
from fkflow.networks.choice import LogPsi, PairDrift
from fkflow.sampling.path_energies import path_samples

#: time step of the paths that replace second derivatives, in natural times
SHORT = 1e-9
#: price of log ψ with its gradient and its Laplacian, in evaluations of log ψ
LAPLACIAN_COST = 4


def laplacian(psi: LogPsi, x: Tensor) -> tuple[Tensor, Tensor]:
    """ΔU (B,) and ∇U (B, N, D) at x (B, N, D), detached, by d backward passes through the gradient."""
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
    # the graph of the gradient stays while every row of the Hessian is taken
    return _by_chunks(lambda part: laplacian(psi, part), psi, system, x, 2)


def analytic_local_energy(psi: LogPsi, system: System, x: Tensor) -> Tensor:
    """E_L (B,) at x (B, N, D) of a network that is `analytic`."""

    def at(part: Tensor) -> tuple[Tensor, Tensor]:
        _, v, lap = psi.value_drift_and_laplacian(part)
        return lap, v

    return _by_chunks(at, psi, system, x, 1)


def _by_chunks(
    at: Callable[[Tensor], tuple[Tensor, Tensor]], psi: LogPsi, system: System, x: Tensor, pieces: int
) -> Tensor:
    """E_L (B,) from ΔU and ∇U `at` walkers, in chunks of the usual size divided by `pieces`."""

    def attempt(chunk: int) -> Tensor:
        parts = x.split(max(1, chunk // pieces))
        # V may be a user's: it is asked by one thread
        found = zip(parts, each(at, parts), strict=True)
        return torch.cat([_energy(system, part, v, lap) for part, (lap, v) in found])

    return fit_in_memory(psi, attempt)


def derivatives(psi: LogPsi, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """U (B,), ∇U (B, N, D) and ΔU (B,) at x (B, N, D) of any log ψ, detached, in chunks of walkers."""

    def at(part: Tensor) -> tuple[Tensor, ...]:
        if psi.analytic:
            return psi.value_drift_and_laplacian(part)
        lap, v = laplacian(psi, part)
        return psi.value(part), v, lap

    def attempt(chunk: int) -> tuple[Tensor, Tensor, Tensor]:
        parts = each(at, x.split(chunk if psi.analytic else max(1, chunk // 2)))
        value, v, lap = (torch.cat(column) for column in zip(*parts, strict=True))
        return value, v, lap

    return fit_in_memory(psi, attempt)


def _energy(system: System, x: Tensor, v: Tensor, lap: Tensor) -> Tensor:
    return system.potential(x) - 0.5 * (lap + v.square().sum((1, 2)))


def fastest_local_energy(
    psi: LogPsi,
    system: System,
    x: Tensor,
    generator: torch.Generator,
    natural_time: float,
) -> Tensor:
    """E_L (B,) at x (B, N, D) the fastest way: by the Laplacian that psi knows, or as `path_local_energy`.

    Short paths see nothing of how log ψ diverges at hard walls: there the Laplacian is always taken.
    """
    if prefers_laplacian(psi, path_count(system)):
        return (analytic_local_energy if psi.analytic else local_energy)(psi, system, x)
    return path_local_energy(psi, system, x, generator, natural_time)


def local_energy_cost(psi: LogPsi | PairDrift, system: System) -> int:
    """What `fastest_local_energy` costs for a walker, in evaluations of log ψ."""
    paths = path_count(system)
    return LAPLACIAN_COST if isinstance(psi, LogPsi) and prefers_laplacian(psi, paths) else paths


def prefers_laplacian(psi: LogPsi, paths: int) -> bool:
    """Whether psi knows its Laplacian and that is faster than so many paths, or psi is singular: at walls, jumps, pairs, cusps.

    Next to ψ ~ r^λ the noise of a path is √dt/r³: where ψ does not fall fast as r → 0 it has no finite variance, however short
    the path.
    """
    if psi.edges:
        return True
    return psi.analytic and (paths > LAPLACIAN_COST or psi.has_singular_points)


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

    A whole frame has no trace noise. What is left is of order √dt and random in sign; opposite paths cancel it where nuclei
    make the third derivatives large. 1.2 to 5 times as fast as `local_energy`, with a bias of order dt = 1e-9.
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
