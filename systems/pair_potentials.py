"""Pair potentials of atoms and molecules that attract each other weakly, in kelvin and ångström, with their sources.

Each is a function of distances r of any shape, and has the mass that belongs to it as ħ²/m.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from torch import Tensor

#: ħ²/u in K Å² for the atomic mass unit u (CODATA 2018); a hartree in K and a bohr in Å, as most of the literature on helium
#: clusters has them: the dimer of the potential of Tang, Toennies and Yiu feels the fifth digit
HBAR2_OVER_U, HARTREE, BOHR = 48.50868, 315766.2067, 0.529177


@dataclass(frozen=True)
class PairPotential:
    """A potential `energy` (K) of distances (Å), `hbar2_over_mass` (K Å²) of one particle and the `source`."""

    energy: Callable[[Tensor], Tensor]
    hbar2_over_mass: float
    source: str


class OfPairPotential:
    """What a system whose pairs have one of these potentials takes from it: the mass, V of a pair, kelvin and ångström."""

    energy_unit: ClassVar[str] = "K"
    length_unit: ClassVar[str] = "Å"

    def model(self) -> PairPotential:
        """The potential of two particles, and their mass."""
        raise NotImplementedError

    @property
    def mass(self) -> float:
        """m/ħ² in 1/(K Å²)."""
        return 1 / self.model().hbar2_over_mass

    def pair(self, r: Tensor) -> Tensor:
        """V (K) of two particles at distances r (Å)."""
        return self.model().energy(r)


@dataclass(frozen=True)
class Aziz:
    """A Hartree–Fock-dispersion potential in the form of Aziz, in x = r/minimum and units of the depth:

    A e^(−αx + βx²) − F(x) (C6/x⁶ + C8/x⁸ + C10/x¹⁰) with F = e^(−(D/x − 1)²) for x < D, else 1.
    """

    depth: float
    minimum: float
    height: float
    alpha: float
    beta: float
    c6: float
    c8: float
    c10: float
    reach: float

    def __call__(self, r: Tensor) -> Tensor:
        x = r / self.minimum
        inverse = 1 / x.square()
        attraction = inverse**3 * (self.c6 + inverse * (self.c8 + inverse * self.c10))
        damping = (-((self.reach / x).clamp_min(1.0) - 1).square()).exp()
        found: Tensor = self.depth * (
            self.height * (-self.alpha * x + self.beta * x.square()).exp() - damping * attraction
        )
        return found


@dataclass(frozen=True)
class Rippled:
    """A potential with a sine, of this height in kelvin, added between two distances (Å): 0 at both, smooth there."""

    plain: Aziz
    height: float
    first: float
    last: float

    def __call__(self, r: Tensor) -> Tensor:
        phase = 2 * math.pi * ((r - self.first) / (self.last - self.first)).clamp(0, 1) - math.pi / 2
        return self.plain(r) + self.height * (phase.sin() + 1)


def tang_toennies_yiu(r: Tensor) -> Tensor:
    """Helium: D x^(7/(2β) − 1) e^(−2βx) − Σ_{n=3}^{12} f_2n(bx) C_2n/x^2n in hartree, x in bohr, damping f as in the source."""
    beta, height = 1.3443, 7.449
    c = {3: 1.461, 4: 14.11, 5: 183.5}
    for n in range(6, 13):
        c[n] = (c[n - 1] / c[n - 2]) ** 3 * c[n - 3]
    x, power = r / BOHR, 3.5 / beta - 1
    reduced = 2 * beta * x - power
    # f_k(z) = 1 − e^(−z) Σ_{i ≤ k} z^i/i!, from the rest of the series where what is left of 1 is small
    found = height * x.log().mul(power).exp() * (-2 * beta * x).exp()
    for n, coefficient in c.items():
        found = found - coefficient * damping(2 * n, reduced) / x ** (2 * n)
    energy: Tensor = HARTREE * found
    return energy


def damping(order: int, z: Tensor) -> Tensor:
    """1 − e^(−z) Σ_{i ≤ order} z^i/i! for z (any shape) > 0: the regularised lower incomplete gamma function."""
    import torch  # a recipe is read without it

    found: Tensor = torch.special.gammainc(torch.full_like(z, order + 1.0), z.clamp_min(1e-300))
    return found


@dataclass(frozen=True)
class LennardJones:
    """4 ε ((σ/r)¹² − (σ/r)⁶)."""

    depth: float
    zero: float

    def __call__(self, r: Tensor) -> Tensor:
        sixth = (self.zero / r).square() ** 3
        return 4 * self.depth * sixth * (sixth - 1)


def silvera_goldman(r: Tensor) -> Tensor:
    """Para-hydrogen: e^(α − βx − γx²) − F(x) (C6/x⁶ + C8/x⁸ − C9/x⁹ + C10/x¹⁰) in hartree, x in bohr, F as in `Aziz`."""
    x = r / BOHR
    inverse = 1 / x.square()
    attraction = inverse**3 * (12.14 + inverse * (215.2 - 143.1 / x + inverse * 4813.9))
    damped = (-((8.321 / x).clamp_min(1.0) - 1).square()).exp()
    found: Tensor = HARTREE * ((1.713 - 1.5671 * x - 0.00993 * x.square()).exp() - damped * attraction)
    return found


#: ħ²/m of ⁴He in K Å² as in most of the literature on clusters (12.11928, of newer constants, lowers the trimer by 0.1 mK)
HELIUM = 12.12

LM2M2 = PairPotential(
    Rippled(
        Aziz(10.97, 2.9695, 1.89635353e5, 10.70203539, -1.90740649, 1.34687065, 0.41308398, 0.17060159, 1.4088),
        0.0026 * 10.97,
        1.003535949 * 2.9695,
        1.454790369 * 2.9695,
    ),
    HELIUM,
    "Aziz and Slaman, J. Chem. Phys. 94, 8047 (1991)",
)
HFDHE2 = PairPotential(
    Aziz(10.8, 2.9673, 544850.4, 13.353384, 0.0, 1.3732412, 0.4253785, 0.178100, 1.241314),
    HELIUM,
    "Aziz, Nain, Carley, Taylor, McConville, J. Chem. Phys. 70, 4330 (1979)",
)
HFD_B = PairPotential(
    Aziz(10.948, 2.963, 184431.01, 10.43329537, -2.27965105, 1.36745214, 0.42123807, 0.17473318, 1.4826),
    HELIUM,
    "Aziz, McCourt, Wong, Mol. Phys. 61, 1487 (1987)",
)
TTY = PairPotential(tang_toennies_yiu, HELIUM, "Tang, Toennies, Yiu, Phys. Rev. Lett. 74, 1546 (1995)")
#: natural neon, 20.1797 u
NEON_LENNARD_JONES = PairPotential(LennardJones(35.6, 2.749), HBAR2_OVER_U / 20.1797, "Lennard-Jones, ε = 35.6 K")
NEON = PairPotential(
    Aziz(42.25, 3.091, 8.9571795e5, 13.86434671, -0.12993822, 1.21317545, 0.53222749, 0.24570703, 1.36),
    HBAR2_OVER_U / 20.1797,
    "Aziz and Slaman, Chem. Phys. 130, 187 (1989)",
)
#: natural argon, 39.948 u; the wall of the source differs below 2.98 Å, where V is above 970 K and no atom comes
ARGON = PairPotential(
    Aziz(143.25, 3.761, 1.13211845e5, 9.00053441, -2.60270226, 1.09971113, 0.54511632, 0.39278653, 1.04),
    HBAR2_OVER_U / 39.948,
    "HFD-TCS2, Aziz and Slaman, J. Chem. Phys. 92, 1030 (1990)",
)
#: H2, 2.01588 u
PARAHYDROGEN = PairPotential(
    silvera_goldman, HBAR2_OVER_U / 2.01588, "Silvera and Goldman, J. Chem. Phys. 69, 4209 (1978)"
)
