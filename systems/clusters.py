"""Clusters of atoms or molecules that attract each other weakly, free in space: helium, neon, argon, para-hydrogen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, ValidationInfo, field_validator

from fkflow.hamiltonian.geometry import pair_squares
from fkflow.hamiltonian.system import Reference, System

from . import pair_potentials
from .pair_potentials import OfPairPotential, PairPotential
from .pairs import sum_of_pairs
from .solvers import bound_pair

if TYPE_CHECKING:
    from torch import Generator, Tensor

#: frequency (K) of the centre of mass in the trap that held it in earlier versions
HOLD = 0.2
#: distance (Å) of the nearest two helium atoms where walkers start, at least
APART = 3.0
#: of ⁴He in u
ATOMIC_MASS = 4.002602
#: over which clusters of helium vary (Å)
HALO = 5.0

HELIUM = {
    "LM2M2": pair_potentials.LM2M2,
    "HFDHE2": pair_potentials.HFDHE2,
    "HFD-B": pair_potentials.HFD_B,
    "TTY": pair_potentials.TTY,
}
NEON = {"HFD-B": pair_potentials.NEON, "LJ": pair_potentials.NEON_LENNARD_JONES}

_GAUSSIANS = "Hiyama and Kamimura, Phys. Rev. A 85, 022502 (2012)"
#: two energies that agree with those of LM2M2 by first-order perturbation to a millikelvin
_FADDEEV = "Roudnev and Yakovlev, arXiv:physics/9910030"
#: (potential, particles) → (energy in K, error, source) of ⁴He with ħ²/m = 12.12 K Å²
_PUBLISHED = {
    ("LM2M2", 3): (-0.12640, 1e-5, _GAUSSIANS),
    ("LM2M2", 4): (-0.55898, 1e-5, _GAUSSIANS),
    ("HFDHE2", 3): (-0.1171, 1e-3, _FADDEEV),
    ("HFD-B", 3): (-0.1330, 1e-3, _FADDEEV),
}


class Cluster(OfPairPotential, System):
    """N particles in space whose pairs have one of the potentials of `pair_potentials`; kelvin and ångström."""

    model_config = ConfigDict(populate_by_name=True)
    dimensions: ClassVar[int] = 3
    isotropic: ClassVar[bool] = True
    free: ClassVar[bool] = True

    def potential(self, x: Tensor) -> Tensor:
        """Energy of all pairs of x (B, N, 3) → (B,)."""
        return sum_of_pairs(self.pair, x)

    def known(self, particles: int) -> Reference | None:
        """The known energy of a cluster of so many: that of two from the radial equation."""
        if particles != 2 or (level := _dimer(self.model())) is None:
            return None
        return Reference(*level, "radial equation")

    def reference(self) -> Reference | None:
        """The known energy of this cluster."""
        return self.known(self.particles)

    @property
    def threshold(self) -> float:
        """The lowest energy of parts whose energies are known, 0 for single particles."""
        lowest = [0.0, 0.0]
        for n in range(2, self.particles + 1):
            lowest.append(min(lowest[k] + lowest[n - k] for k in range(1, n)))
            if n < self.particles and (found := self.known(n)) is not None:
                lowest[n] = min(lowest[n], found.energy)
        return lowest[self.particles]


@lru_cache(maxsize=32)
def _dimer(model: PairPotential) -> tuple[float, float] | None:
    import torch  # a recipe is read without it

    def well(r: Any) -> Any:
        return model.energy(torch.from_numpy(r)).numpy()

    return bound_pair(well, model.hbar2_over_mass)


class Helium(Cluster):
    """A cluster of ⁴He atoms, or of an isotope of another mass; kelvin and ångström.

    ħ²/m is 12.12 K Å² for ⁴He with all potentials, as in most of the literature.
    """

    key: ClassVar[str] = "helium"
    #: larger steps are spoilt by the few walkers whose atoms all touch
    recipe_defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {"train": {"rate": 0.1, "clip": 20.0}}

    particles: int = Field(3, ge=2, le=64, description="number of atoms N")
    model_: Literal["LM2M2", "HFDHE2", "HFD-B", "TTY"] = Field(
        "LM2M2", alias="potential", description="pair potential: LM2M2, HFDHE2, HFD-B or TTY"
    )
    trap: bool = Field(False, description="a harmonic trap holds the centre of mass, as in earlier versions")

    atomic_mass: float = Field(ATOMIC_MASS, ge=1.0, le=20.0, description="mass of an atom in u")

    @field_validator("atomic_mass")
    @classmethod
    def _check_bound(cls, value: float, info: ValidationInfo) -> float:
        if info.data.get("particles") == 2 and "model_" in info.data:
            pair = cls.model_construct(**{**info.data, "atomic_mass": value})
            if pair.known(2) is None:
                raise ValueError(f"two atoms of this mass are not bound by {pair.model_}: there is no ground state")
        return value

    @property
    def free(self) -> bool:  # type: ignore[override]
        """Whether nothing holds the centre of mass."""
        return not self.trap

    @property
    def separable(self) -> bool:  # type: ignore[override]
        """Whether a trap holds the centre of mass."""
        return self.trap

    def model(self) -> PairPotential:
        """The chosen potential."""
        chosen = HELIUM[self.model_]
        return replace(chosen, hbar2_over_mass=chosen.hbar2_over_mass * ATOMIC_MASS / self.atomic_mass)

    def known(self, particles: int) -> Reference | None:
        """The radial equation for two, the literature for three and four ⁴He atoms."""
        if self.atomic_mass == ATOMIC_MASS and (self.model_, particles) in _PUBLISHED:
            return Reference(*_PUBLISHED[self.model_, particles])
        return super().known(particles)

    def potential(self, x: Tensor) -> Tensor:
        """Energy of all pairs of x (B, N, 3) → (B,), and of the trap, less its ground-state energy, if there is one."""
        total = super().potential(x)
        if self.trap:
            total = total + 0.5 * self.particles * self.mass * HOLD**2 * x.mean(-2).square().sum(-1) - 1.5 * HOLD
        return total

    def start(self, walkers: int, generator: Generator) -> Tensor:
        """Atoms spread over the cluster, none inside the core of another."""
        import torch  # a recipe is read without it

        x = self.length * torch.randn(walkers, self.particles, 3, generator=generator, dtype=torch.float64)
        nearest = pair_squares(x).amin(0).sqrt()
        spread: Tensor = x * (APART / nearest).clamp_min(1.0)[:, None, None]
        return spread

    @property
    def length(self) -> float:
        """Over which the cluster varies (Å): 5, or half of what two reach beyond their well."""
        pair = self.known(2) if self.particles == 2 else None
        return HALO if pair is None else max(HALO, 0.5 / math.sqrt(-self.mass * pair.energy))


class Neon(Cluster):
    """A cluster of neon atoms of the natural mass; kelvin and ångström."""

    key: ClassVar[str] = "neon"

    particles: int = Field(3, ge=2, le=64, description="number of atoms N")
    model_: Literal["HFD-B", "LJ"] = Field("HFD-B", alias="potential", description="pair potential: HFD-B or LJ")

    def model(self) -> PairPotential:
        """The chosen potential."""
        return NEON[self.model_]


class Argon(Cluster):
    """A cluster of argon atoms of the natural mass, HFD-TCS2 potential; kelvin and ångström."""

    key: ClassVar[str] = "argon"

    particles: int = Field(3, ge=2, le=64, description="number of atoms N")

    def model(self) -> PairPotential:
        """HFD-TCS2."""
        return pair_potentials.ARGON


class Parahydrogen(Cluster):
    """A cluster of para-hydrogen molecules, Silvera–Goldman potential; kelvin and ångström."""

    key: ClassVar[str] = "parahydrogen"
    length: ClassVar[float] = 1.2

    particles: int = Field(4, ge=2, le=64, description="number of molecules N")

    def model(self) -> PairPotential:
        """Silvera and Goldman."""
        return pair_potentials.PARAHYDROGEN
