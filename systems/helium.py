"""Clusters of ⁴He atoms with the LM2M2 potential of Aziz and Slaman, JCP 94, 8047 (1991)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from fkflow.hamiltonian.geometry import pair_squares
from fkflow.hamiltonian.system import Reference, System

from .pairs import sum_of_pairs

if TYPE_CHECKING:
    from torch import Generator, Tensor

#: ħ²/m in K Å², as in most of the literature (the newer 12.11928 lowers the trimer by 0.1 mK)
HBAR2_OVER_MASS = 12.12
#: depth (K) and distance (Å) of the minimum
DEPTH, MINIMUM = 10.97, 2.9695
#: A*, α*, β*; C6, C8, C10; D
HEIGHT, ALPHA, BETA = 1.89635353e5, 10.70203539, -1.90740649
C6, C8, C10 = 1.34687065, 0.41308398, 0.17060159
RANGE = 1.4088
#: the sine that is added from x = ζ1 to ζ2: its height, ζ1 and ζ2
RIPPLE, RIPPLE_FROM, RIPPLE_TO = 0.0026, 1.003535949, 1.454790369

#: frequency (K) of the centre of mass in the trap that holds it
HOLD = 0.2
#: distance (Å) of the nearest two atoms where walkers start, at least
APART = 3.0


def lm2m2(r: Tensor) -> Tensor:
    """The potential (K) of two atoms at distances r (Å), any shape."""
    x = r / MINIMUM
    inverse = 1 / x.square()
    attraction = inverse**3 * (C6 + inverse * (C8 + inverse * C10))
    damping = (-((RANGE / x).clamp_min(1.0) - 1).square()).exp()
    reduced = HEIGHT * (-ALPHA * x + BETA * x.square()).exp() - damping * attraction
    phase = 2 * math.pi * ((x - RIPPLE_FROM) / (RIPPLE_TO - RIPPLE_FROM)).clamp(0, 1) - math.pi / 2
    return DEPTH * (reduced + RIPPLE * (phase.sin() + 1))


class Helium(System):
    """A cluster of ⁴He atoms, LM2M2 potential; kelvin and ångström.

    The centre of mass is in a harmonic trap of frequency `HOLD`, whose ground-state energy is subtracted from V: energies are
    those of the free cluster.
    """

    key: ClassVar[str] = "helium"
    energy_unit: ClassVar[str] = "K"
    length_unit: ClassVar[str] = "Å"
    dimensions: ClassVar[int] = 3
    isotropic: ClassVar[bool] = True
    separable: ClassVar[bool] = True
    mass: ClassVar[float] = 1 / HBAR2_OVER_MASS
    length: ClassVar[float] = 5.0

    particles: int = Field(3, ge=3, le=64, description="number of atoms N")

    def pair(self, r: Tensor) -> Tensor:
        """LM2M2 (K) of the distances r (Å)."""
        return lm2m2(r)

    def potential(self, x: Tensor) -> Tensor:
        """Energy of all pairs of x (B, N, 3) and of the trap of the centre of mass → (B,)."""
        trap = 0.5 * self.particles * self.mass * HOLD**2 * x.mean(-2).square().sum(-1) - 1.5 * HOLD
        return trap + sum_of_pairs(lm2m2, x)

    def start(self, walkers: int, generator: Generator) -> Tensor:
        """Atoms spread over the cluster, none inside the core of another."""
        import torch  # a recipe is read without it

        x = self.length * torch.randn(walkers, self.particles, 3, generator=generator, dtype=torch.float64)
        nearest = pair_squares(x).amin(0).sqrt()
        spread: Tensor = x * (APART / nearest).clamp_min(1.0)[:, None, None]
        return spread

    def reference(self) -> Reference | None:
        """The trimer from the literature."""
        return Reference(-0.12640, 1e-5, "Hiyama, Kamimura, PRA 85 022502 (2012)") if self.particles == 3 else None
