"""Where charged particles start: no minimum of V is needed, which falls to −∞ where opposite charges meet."""

from __future__ import annotations

import torch
from torch import Tensor

from fkflow.hamiltonian.charged_scale import scale_of_charges
from fkflow.hamiltonian.charges import PointCharges

#: configurations from which walkers start
PLACES = 2048
#: width of a bound pair where walkers start, in its length; distance of heavy charges that repel, and its width
WIDTH, APART, SPREAD = 0.7, 2.0, 0.1


def charged_places(charges: PointCharges, generator: torch.Generator) -> Tensor:
    """Places (PLACES, N, D) in the user's coordinates, all particles near each other.

    The pairs of the lowest break-up are bound to each other, heavy charges are apart.
    """
    scale, bodies, dim = scale_of_charges(charges), charges.bodies, charges.dimensions
    n = charges.moving

    def normal() -> Tensor:
        return torch.randn(PLACES, dim, generator=generator, dtype=torch.float64)

    about = max((scale.lengths[p] for p in scale.bound), default=max(scale.lengths, default=0.0))
    if charges.omega:
        about = max(about, (2 * charges.omega * min(body.mass for body in bodies)) ** -0.5)
    x = [
        about * normal() if body.place is None else torch.tensor(body.place, dtype=torch.float64).expand(PLACES, dim)
        for body in bodies
    ]
    heavy = [p for p, far in enumerate(scale.heavy) if far]
    for p in heavy:
        first, second = charges.pairs[p][:2]
        along = normal()
        along = along / along.norm(dim=1, keepdim=True)
        width = 1 + SPREAD * torch.randn(PLACES, 1, generator=generator, dtype=torch.float64)
        # the first of a pair is never pinned
        x[first] = x[second] + APART * scale.lengths[p] * width * along
    placed = {i for p in heavy for i in charges.pairs[p][:2]}
    for p in scale.bound:
        first, second = charges.pairs[p][:2]
        light, other = sorted((first, second), key=lambda i: bodies[i].mass)
        if light in placed:
            light, other = other, light
        if light not in placed and light < n:
            x[light] = x[other] + WIDTH * scale.lengths[p] * normal()
            placed |= {light, other}
    return torch.stack(x[:n], 1)
