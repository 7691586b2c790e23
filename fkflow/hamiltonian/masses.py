"""Particles of any mass: the solver works in the coordinates z_i = √m_i x_i, in which all masses are 1.

H = −½ Σ_i ∂²/(m_i ∂x_i²) + V(x) = −½ Δ_z + V(z/√m): energies and imaginary time are the same. The diffusion dZ = w dt + dW
with w = ∇_z log ψ is dX_i = v_i dt + dW_i/√m_i in the user's coordinates, with the drift v_i = w_i/√m_i = ∇_i log ψ / m_i:
positions and drifts are converted by the same division.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import PrivateAttr

from fkflow import units
from fkflow.hamiltonian.box import sides
from fkflow.hamiltonian.geometry import pair_squares, pairs
from fkflow.hamiltonian.species import Species, declared_species, pair_of_species, particle_masses, species_of
from fkflow.hamiltonian.system import Nuclei, Reference, System
from fkflow.hamiltonian.wrapped import WrappedSystem

if TYPE_CHECKING:
    from torch import Generator, Tensor

#: how near to 1 the mass of an electron is in units that need no other
SAME_MASS = 1e-3
#: masses below it are in kilograms: with ħ = 1 those of electrons and atoms are 1e37 and more in joule and metre
KILOGRAMS = 1e-20


class UnitMassSystem(WrappedSystem):
    """The system `own` in the coordinates z_i = √m_i x_i; its densities and reference are in the user's coordinates.

    Identical particles have one mass, and rotations do not change masses: the symmetries stay.
    """

    _roots: dict[Any, Any] = PrivateAttr(default_factory=dict)

    @property
    def length(self) -> float | None:
        """The length of the system in these coordinates, by the geometric mean of the masses."""
        own = getattr(self.own, "length", None)
        return own and float(own * math.exp(0.5 * np.mean(np.log(particle_masses(self.own)))))

    @property
    def box(self) -> tuple[float, ...] | None:
        """The sides of the periodic box in these coordinates, for particles of one mass."""
        own = sides(self.own)
        return own and tuple(math.sqrt(self.masses[0]) * side for side in own)

    @property
    def contact(self) -> float:
        """The contact strength in these coordinates, in which δ(x) is √m δ(z)."""
        own = getattr(self.own, "contact", None)
        return float(own or 0.0) * math.sqrt(self.masses[0])

    def potential(self, x: Tensor) -> Tensor:
        """V of z (B, N, D) → (B,)."""
        return self.own.potential(x / self.root(x))

    def start(self, walkers: int, generator: Generator) -> Tensor | None:
        """The start of the system in these coordinates."""
        return self._scaled(self.own.start(walkers, generator))

    def crystal_sites(self) -> Tensor | None:
        """The sites of the system in these coordinates."""
        return self._scaled(self.own.crystal_sites(), double=True)

    def _scaled(self, x: Tensor | None, double: bool = False) -> Tensor | None:
        """Places (…, N, D) of the system in these coordinates, of their own type or in double precision."""
        import torch  # a recipe is read without it

        if x is None:
            return None
        x = torch.as_tensor(x, dtype=torch.float64 if double else None)
        scaled: Tensor = x * self.root(x)
        return scaled

    def reference(self) -> Reference | None:
        """The reference of the system."""
        return self.own.reference()

    def exact_density(self, group: str, name: str, *points: np.ndarray) -> np.ndarray | None:
        """The density in the user's coordinates."""
        return self.own.exact_density(group, name, *points)

    def nuclei(self) -> Nuclei | None:
        """None: networks have cusps of nuclei for the mass 1 only."""
        return None

    @property
    def species(self) -> tuple[Species, ...] | None:
        """The species that the system declares, all of mass 1."""
        declared = declared_species(self.own)
        return declared and tuple(replace(one, mass=1.0) for one in declared)

    @property
    def takes_names(self) -> bool:
        """Whether `pair` takes the names of two species: it does where they have several masses."""
        return len(set(self.masses)) > 1 or super().takes_names

    def pair(self, *given: Any) -> Tensor | None:
        """The pair energy at the distances s, the last argument; names of two species may come before it.

        s = √(2μ) r with the reduced mass μ, in which H of the relative motion is −Δ_s + pair(s/√(2μ)), as for particles of
        mass 1. It is the distance in these coordinates for particles of one mass.
        """
        if len(given) == 1:
            return self.own.pair(given[0] / self.root(given[0]))
        first, second, distance = given
        return pair_of_species(self.own, first, second, distance / self.pair_root(first, second))

    def boundary(self, x: Tensor) -> Tensor | None:
        """The boundary of the system, for coordinates of particles of one mass."""
        return self.own.boundary(x / self.root(x))

    @property
    def masses(self) -> tuple[float, ...]:
        """The mass of each particle in the user's coordinates."""
        if "masses" not in self._roots:
            self._roots["masses"] = particle_masses(self.own)
        found: tuple[float, ...] = self._roots["masses"]
        return found

    def observables(self, x: Tensor) -> dict[str, Tensor]:
        """The observables of the system at z (B, N, D), which it takes in the user's coordinates."""
        return self.own.observables(x / self.root(x))

    def root(self, like: Tensor) -> Any:
        """√m: a number where all masses are equal, else a tensor (N, 1) of the device and type of `like`."""
        masses = self.masses
        if len(set(masses)) == 1:
            return math.sqrt(masses[0])
        place = like.device, like.dtype
        if place not in self._roots:
            self._roots[place] = like.new_tensor(masses).sqrt()[:, None]
        return self._roots[place]

    def pair_root(self, first: str, second: str) -> float:
        """√(2μ) of the reduced mass μ of a particle of the species `first` and one of `second`."""
        mass = {one.name: one.mass for one in species_of(self.own)}
        return math.sqrt(2 / (1 / mass[first] + 1 / mass[second]))


def reduced_squares(system: System, z: Tensor) -> Tensor:
    """The squares (pairs, …) of s = √(2μ) r for all pairs of particles in z (…, N, D), whose reduced mass is μ and distance r.

    In coordinates of unit mass they are squared distances of particles of one mass; `UnitMassSystem.pair` takes their roots.
    """
    weights = centre_weights(system).to(z)
    if bool((weights == 1).all()):
        return pair_squares(z)
    first, second = pairs(z.shape[-2], z.device)
    inverse = 0.5 * (weights[first] ** -2 + weights[second] ** -2)
    return pair_squares(z / weights) / inverse.view(-1, *[1] * (z.dim() - 2))


def to_unit_masses(system: System) -> System:
    """The system in coordinates of unit mass: itself where all masses are 1. ValueError for wrong masses."""
    return system if set(particle_masses(system)) == {1.0} else UnitMassSystem(own=system)


def user_masses(system: System) -> tuple[float, ...]:
    """The mass of each particle in the user's coordinates, of a system in those or in coordinates of unit mass."""
    own: Any = system
    while own is not None and not isinstance(own, UnitMassSystem):
        own = getattr(own, "own", None)
    return particle_masses(system) if own is None else own.masses


def centre_weights(system: System) -> Tensor:
    """√(m_i N/Σm) (N, 1): in coordinates of unit mass, how far each particle moves with the centre of mass; 1 for one mass."""
    import torch  # a recipe is read without it

    masses = torch.tensor(user_masses(system), dtype=torch.float64)
    same = bool((masses == masses[0]).all())
    return (torch.ones_like(masses) if same else (masses / masses.mean()).sqrt())[:, None]


def to_user_coordinates(system: System, z: Tensor) -> Tensor:
    """Convert positions, or a drift, (…, N, D) from coordinates of unit mass to the user's."""
    return z / system.root(z) if isinstance(system, UnitMassSystem) else z


def user_sides(system: System) -> tuple[float, ...] | None:
    """The sides (D,) of the periodic box of a system in the user's coordinates, infinite along open axes; None without one."""
    box = sides(system)
    root = math.sqrt(system.masses[0]) if isinstance(system, UnitMassSystem) else 1.0
    return box and tuple(side / root for side in box)


def to_solver_coordinates(system: System, x: Tensor) -> Tensor:
    """Convert positions (…, N, D) from the user's coordinates to those of unit mass."""
    return x * system.root(x) if isinstance(system, UnitMassSystem) else x


def warn_of_masses(system: System) -> str | None:
    """A warning if masses look like kilograms, are called otherwise, or are left at 1 in units where no electron has that."""
    if (lightest := min(particle_masses(system))) < KILOGRAMS:
        return (
            f"mass = {lightest:.6g} looks like kilograms, but ħ = 1 here: fkflow.units.mass(particle, energy, length) "
            "gives the mass for the units of V and x"
        )
    energy, length = system.energy_unit, system.length_unit
    default = getattr(system, "mass", None) is None and set(particle_masses(system)) == {1.0}
    others = [name for name in type(system).model_fields if name.startswith("mass")]
    if default and others and declared_species(system) is None:
        return (
            f"{others[0]} is a parameter that V alone sees, and every particle has mass 1: mass, a number or a list of one for "
            "each particle, is what fkflow reads"
        )
    if not default or not units.is_known(energy, length):
        return None
    electron, atom = (units.mass(1.0, energy, length, unit=unit) for unit in ("m_e", "u"))
    if abs(electron - 1) < SAME_MASS:
        return None
    return (
        f"its energies are in {energy} and its lengths in {length}, where the default mass = 1 is {1 / electron:.4g} electron "
        f"masses (ħ²/m = 1 {energy} {length}²): an electron has mass = {electron:.6g}, a particle of 1 u mass = {atom:.6g}, "
        f'and fkflow.units.mass(particle, "{energy}", "{length}") gives that of others'
    )
