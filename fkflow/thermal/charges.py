"""The Coulomb part of a potential in space: pairs of charges, moving or pinned, whose steps have the exact kernel.

A pair that is c/r apart, ρ = √μ r/ℓ in natural units with the reduced mass μ, has the energy κ/ρ with κ = c ℓ √μ, and moves as
one particle of mass 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from fkflow.hamiltonian.geometry import pairs
from fkflow.hamiltonian.masses import user_masses
from fkflow.hamiltonian.natural_scale import Landscape
from fkflow.hamiltonian.system import System
from fkflow.thermal.coulomb_kernel import action

#: distances in natural lengths at which c of two particles is measured, their relative deviations, and the least c
DISTANCES, SAME, LEAST, PLACES = (1e-5, 1e-6), 0.02, 1e-3, 64
#: length, in that of a pair 1/|κ|, over which charges are softened where a drift or a start is guessed
SOFT = 0.5


@dataclass(frozen=True)
class Charges:
    """Pairs κ/ρ: rows (P, N) and places (P, D) that give ρ ℓ = rows·z − place of configurations z (…, N, D).

    `centres` (A, N, D) are places of z where a particle is at a pinned charge.
    """

    rows: Tensor
    places: Tensor
    strengths: tuple[float, ...]
    length: float
    centres: Tensor

    def apart(self, z: Tensor) -> Tensor:
        """The vectors ρ (…, P, D)."""
        found: Tensor = (self.rows @ z - self.places) / self.length
        return found

    def _sizes(self) -> Tensor:
        return torch.tensor(self.strengths, dtype=torch.float64)

    def _widths(self, soft: bool) -> Tensor:
        return (SOFT if soft else 0.0) / self._sizes().abs()

    def energy(self, z: Tensor, soft: bool = False) -> Tensor:
        """Σ κ/ρ (…), of charges that are smeared if `soft`."""
        square = self.apart(z).square().sum(-1) + self._widths(soft).square()
        return (self._sizes() * square.rsqrt()).sum(-1)

    def slope(self, z: Tensor, soft: bool = False) -> Tensor:
        """ℓ times the gradient of `energy` (…, N, D)."""
        apart = self.apart(z)
        cube = (apart.square().sum(-1) + self._widths(soft).square()) ** -1.5
        found: Tensor = self.rows.T @ (-(self._sizes() * cube)[..., None] * apart)
        return found

    def action(self, z: Tensor, dt: Tensor) -> Tensor:
        """Σ u (B,) of all steps of paths z (M + 1, B, N, D) with the time step dt, (1,) or (B,)."""
        apart = self.apart(z)
        r, between = apart.norm(dim=-1), (apart[1:] - apart[:-1]).norm(dim=-1)
        total: Tensor = r.new_zeros(z.shape[1])
        times = dt.expand(z.shape[1])
        for time in times.unique().tolist():
            rows = times == time
            for p, strength in enumerate(self.strengths):
                total[rows] += action(strength, time, r[:-1, rows, p], r[1:, rows, p], between[:, rows, p]).sum(0)
        return total


def find_charges(system: System, landscape: Landscape) -> Charges | None:
    """The charges of a system in coordinates of unit mass: stated nuclei, and pairs with V = c/r where they meet.

    None where there are none, or not in space.
    """
    if system.dimensions != 3:
        return None
    n, length = system.particles, landscape.length
    roots = torch.tensor(user_masses(system), dtype=torch.float64).sqrt()
    rows, places, strengths, centres = [], [], [], []

    def pinned(particle: int, place: tuple[float, ...], c: float) -> None:
        row = torch.zeros(n, dtype=torch.float64)
        row[particle] = 1.0
        rows.append(row)
        at = roots[particle] * torch.tensor(place, dtype=torch.float64)
        places.append(at)
        strengths.append(float(c * length * roots[particle]))

    if (nuclei := system.nuclei()) is not None:
        for place, charge in zip(nuclei.positions, nuclei.charges, strict=True):
            for particle in range(n):
                pinned(particle, place, -charge)
            centres.append(roots[:, None] * torch.tensor(place, dtype=torch.float64))
    for i, j in zip(*(part.tolist() for part in pairs(n, torch.device("cpu"))), strict=True):
        if (meeting := _meeting(system, landscape, roots, i, j)) is not None:
            size = 1 / math.sqrt(float(1 / roots[i] ** 2 + 1 / roots[j] ** 2))
            row = torch.zeros(n, dtype=torch.float64)
            row[i], row[j] = size / roots[i], -size / roots[j]
            rows.append(row)
            places.append(torch.zeros(3, dtype=torch.float64))
            strengths.append(meeting * length * size)
    if not rows:
        return None
    at = torch.stack(centres) if centres else torch.zeros(0, n, 3, dtype=torch.float64)
    return Charges(torch.stack(rows), torch.stack(places), tuple(strengths), length, at)


def _meeting(system: System, landscape: Landscape, roots: Tensor, i: int, j: int) -> float | None:
    """c where V is c/r as the particles i and j meet; None where it is not."""
    x = landscape.start(PLACES, torch.Generator().manual_seed(0)) / roots[:, None]
    unit = torch.nn.functional.normalize(x[:, i] - x[:, j] + 1e-9, dim=-1)
    found = []
    for part in DISTANCES:
        r = part * landscape.length / float(roots[i])
        met = x.clone()
        met[:, j] = met[:, i] + r * unit
        found.append(float((r * system.potential(met * roots[:, None])).median()))
    far, near = found
    if not math.isfinite(near) or abs(near) < LEAST or abs(near - far) > SAME * abs(near):
        return None
    return near
