"""Systems whose gradients are compared, and gradients as one vector."""

from __future__ import annotations

import torch
from torch import Tensor

from fkflow.hamiltonian.registry import find_system

SYSTEMS = {
    "bosons": find_system("bosons")(particles=3),
    "chain": find_system("chain")(particles=4),
    "quartic": find_system("quartic")(),
    "h": find_system("h")(),
    "h2": find_system("h2")(),
}


def flat_gradient(net: torch.nn.Module) -> Tensor:
    return torch.cat([torch.zeros(p.numel()) if p.grad is None else p.grad.flatten() for p in net.parameters()])
