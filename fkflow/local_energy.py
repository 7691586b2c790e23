"""The exact local energy E_L = −½(ΔU + |∇U|²) + V of ψ = e^U, by forward-mode derivatives of the drift."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.func import grad, jvp, vmap

from fkflow.networks import LogPsi
from fkflow.system import System


def laplacian(psi: LogPsi, x: Tensor) -> tuple[Tensor, Tensor]:
    """ΔU (B,) and ∇U (B, N, D) at x (B, N, D): d Hessian–vector products, batched."""
    basis = torch.eye(x[0].numel(), dtype=x.dtype, device=x.device).view(-1, 1, *x.shape[1:])

    def along(direction: Tensor) -> tuple[Tensor, Tensor]:
        v, dv = jvp(grad(lambda y: psi(y).sum()), (x,), (direction.expand_as(x),))
        return v, (dv * direction).sum((1, 2))

    v, second = vmap(along)(basis)
    return second.sum(0), v[0]


def local_energy(psi: LogPsi, system: System, x: Tensor, chunk: int = 512) -> Tensor:
    """E_L (B,) at x (B, N, D), without graph, in chunks of walkers that bound the memory."""
    out = []
    with torch.no_grad():
        for part in x.split(chunk):
            lap, v = laplacian(psi, part)
            out.append(system.potential(part) - 0.5 * (lap + v.square().sum((1, 2))))
    return torch.cat(out)
