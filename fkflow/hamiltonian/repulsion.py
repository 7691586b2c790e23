"""A repulsion of one particle from the origin that is singular there: a centrifugal energy g/r², or the core of an atom.

Where V ~ λ(λ + D − 2)/(2 r²) in D dimensions, ψ ~ r^λ for a particle of mass 1. It is found from values of V alone.
"""

from __future__ import annotations

import math

import torch

from fkflow.hamiltonian.system import System

#: distances from the origin, in natural lengths, at which V r² is measured, in so many directions; relative deviations allowed,
#: and the least V r² that counts
DISTANCES, DIRECTIONS, SAME, WEAK = (1e-5, 1e-6), 16, 1e-2, 1e-4
#: λ where V r² grows without bound: local energies of V ~ r^(−6) have a variance with it
STEEP = 6.0


def find_power(system: System, length: float) -> float | None:
    """λ of ψ ~ r^λ at the origin, for one particle of mass 1 in two or more dimensions; None where V is not so singular."""
    dim = system.dimensions
    if system.particles > 1 or dim == 1:
        return None
    along = torch.randn(DIRECTIONS, 1, dim, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    along = along / along.norm(dim=2, keepdim=True)
    strength = torch.stack([system.potential(length * r * along).detach() * (length * r) ** 2 for r in DISTANCES])
    far, near = strength
    if not bool(strength.isfinite().all()) or float(near.min()) < WEAK:
        return None
    if bool((near > 2 * far).all()):
        return STEEP
    if float((strength - near.mean()).abs().max()) > SAME * float(near.mean()):
        return None
    return power_of(float(near.mean()), dim)


def power_of(strength: float, dimensions: int) -> float:
    """The larger λ of λ(λ + D − 2)/2 = V r² = `strength`."""
    half = 0.5 * dimensions - 1
    return math.sqrt(half**2 + 2 * strength) - half
