"""The exact local energy E_L = −½(ΔU + |∇U|²) + V of ψ = e^U, by differentiating the drift once more."""

from __future__ import annotations

import torch
from torch import Tensor

from fkflow.networks import LogPsi
from fkflow.system import System

#: walker coordinates differentiated at once: bounds the memory and keeps the work in the processor's cache
CHUNK = 4096


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
    out = []
    for part in x.split(max(16, CHUNK // x[0].numel())):
        lap, v = laplacian(psi, part)
        out.append(system.potential(part) - 0.5 * (lap + v.square().sum((1, 2))))
    return torch.cat(out)
