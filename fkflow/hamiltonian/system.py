"""The base class of all systems: potential, symmetries, reference energy.

A system is a small pydantic model. Its fields are the parameters of the recipe's ``[system]`` section, checked
strictly; its methods are the physics. Units: ħ = 1, H = −½ Σ_i ∇_i²/m_i + V, with masses m_i = 1 unless the system sets them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict, model_validator

from fkflow.hamiltonian.species import read_species

if TYPE_CHECKING:
    from numpy import ndarray as Array
    from torch import Generator, Tensor

    from fkflow.hamiltonian.charges import PointCharges


@dataclass(frozen=True)
class Reference:
    """A known ground-state energy: `energy` and its absolute `error` in the system's unit, and the `source`."""

    energy: float
    error: float
    source: str


@dataclass(frozen=True)
class Nuclei:
    """Clamped point charges: `positions` (M, 3) in bohr, `charges` (M,). They set the Coulomb cusps."""

    positions: tuple[tuple[float, float, float], ...]
    charges: tuple[float, ...]


def _count_particles(system: System) -> int:
    """The particles of all species."""
    return sum(species.count for species in read_species(system.species))


def _has_one_species(system: System) -> bool:
    """Whether all particles are of one species."""
    return len(read_species(system.species)) == 1


class System(BaseModel):
    """Base class of all systems. Subclasses add fields (parameters), set `particles` and `dimensions`, and define `potential`.

    `particles` N and `dimensions` D may be class constants or recipe parameters; d = N·D is the dimension of
    configuration space. So may `mass`, a number or one for each particle (default 1), `length`, a length over which the
    ground state varies (default: found from the potential), and, for free systems, `threshold`, the lowest energy of parts that
    have left each other (default: that of separated particles).

    `species` says which particles are of one kind (see `species.Species`). `particles`, the masses and `identical` then follow
    from it and are left out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    key: ClassVar[str]
    """The name in recipes; default: the name of the class."""
    identical: ClassVar[bool] = True
    """Particles may be exchanged (bosonic ground state: log ψ is symmetric)."""
    isotropic: ClassVar[bool] = False
    """V depends only on distances to the origin and between particles."""
    separable: ClassVar[bool] = False
    """The centre of mass moves in a harmonic trap, apart from the rest (networks then use relative coordinates)."""
    free: ClassVar[bool] = False
    """Nothing holds the centre of mass: V depends on differences of places alone, and energies are internal ones."""
    energy_unit: ClassVar[str] = "E"
    """Unit of energies, as printed and stored; "E" and "a" stand for the units of the parameters, ħ = 1."""
    length_unit: ClassVar[str] = "a"
    """Unit of lengths, as printed and stored."""

    recipe_defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Other defaults of keys of a recipe, by section, that suit the system; those of train are for the natural gradient."""

    observable_units: ClassVar[Mapping[str, str]] = {}
    """Units of what `observables` gives, by name; left out, a number has none."""

    # without values, so that fields may take their place; class variables may be set without an annotation
    if TYPE_CHECKING:

        @property
        def particles(self) -> int: ...
        @property
        def dimensions(self) -> int: ...

        @property
        def box(self) -> Any: ...

        @property
        def contact(self) -> Any: ...

    else:
        particles: ClassVar[Any]
        dimensions: ClassVar[Any]
        box: ClassVar[Any]
        contact: ClassVar[Any]
    mass: ClassVar[Any]
    length: ClassVar[Any]
    species: ClassVar[Any]
    threshold: ClassVar[Any]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__init__" in cls.__dict__:
            raise TypeError(
                f"{cls.__name__} has an __init__, which a system must not have: parameters are fields with a type in "
                "the class, such as omega: float = 1.0"
            )
        # one that stands for another has its key
        if "key" not in cls.__dict__ and not isinstance(getattr(cls, "key", None), property):
            cls.key = cls.__name__

    @classmethod
    def __pydantic_init_subclass__(cls, **options: Any) -> None:
        super().__pydantic_init_subclass__(**options)
        if "species" not in cls.__dict__ and "species" not in cls.model_fields:
            return
        # what the class states itself is checked against its species (`find_fault`)
        if not hasattr(cls, "particles") and "particles" not in cls.model_fields:
            cls.particles = property(_count_particles)  # type: ignore[method-assign, assignment]
        if "identical" not in cls.__dict__ and cls.identical is System.identical:
            cls.identical = property(_has_one_species)  # type: ignore[assignment]

    @model_validator(mode="before")
    @classmethod
    def _take_lists(cls, given: Any) -> Any:
        """A recipe has lists, where a class may say that its box is a tuple."""
        field = cls.model_fields.get("box")
        if field is None or not isinstance(given, dict) or not isinstance(given.get("box"), list):
            return given
        return {**given, "box": tuple(given["box"])} if "tuple" in str(field.annotation) else given

    def potential(self, x: Tensor) -> Tensor:
        """Potential energy V of a batch of configurations, x (B, N, D) → (B,); differentiable, any device.

        `fkflow.pair_squares` has the squared distances of all pairs.
        """
        raise NotImplementedError

    def start(self, walkers: int, generator: Generator) -> Tensor | None:
        """Configurations (walkers, N, D) to start from, where V is finite, with noise from `generator` (on the CPU).

        None: Gaussians at the minima of V, which are searched about the origin.
        """
        return None

    def crystal_sites(self) -> Tensor | None:
        """The sites (N, D) of a crystal in a periodic box, near which particles start; None for liquids.

        How far particles are from their sites is then measured, as `liquid.numbers["lindemann_ratio"]`.
        """
        return None

    def reference(self) -> Reference | None:
        """The known ground-state energy at these parameters, or None."""
        return None

    def free_energy(self, beta: float, statistics: str) -> Reference | None:
        """The known free energy at the inverse temperature `beta` for "bose" or "boltzmann" statistics, or None."""
        return None

    def tail(self) -> float | None:
        """What an interaction that is cut at a distance would add to the energy beyond it, if pairs were spread evenly there.

        None where nothing is cut: summaries then give no energy of a particle.
        """
        return None

    def exact_density(self, group: str, name: str, *points: Array) -> Array | None:
        """The exact ground-state density called `group`/`name` in result.h5, or None where it is not known.

        `points` are the values on its axes, arrays that broadcast; the density has their shape and integrates to 1 over the
        measure in docs/file-format.md.
        """
        return None

    def observables(self, x: Tensor) -> dict[str, Tensor]:
        """Quantities to measure beside the energy: a name → its values (B,) or (B, n) at configurations x (B, N, D).

        They are functions of the positions, such as ``{"r": x.norm(dim=-1).mean(1)}``; no gradient is asked for. Their averages
        over ψ² and φ0² are measured with errors. {}: there are none.
        """
        return {}

    def published(self) -> tuple[Reference, ...]:
        """Other published energies at these parameters, less accurate than the reference or not converged."""
        return ()

    def nuclei(self) -> Nuclei | None:
        """Point charges with the Coulomb singularities of V; None for smooth potentials."""
        return None

    def point_charges(self) -> PointCharges | None:
        """All charges and masses where V is made of point charges alone that also attract each other; None for others."""
        return None

    def pair(self, r: Tensor) -> Tensor | None:
        """Energy of two particles at the distances r (any shape), where they repel each other: they may attract farther out.

        A system with species may take their names before it, pair(self, a, b, r), in either order; then it may return None for
        some of them.

        V must contain it for every pair. The network then starts from the two-particle solution (two-body factor), which has
        the cusp, or the hard core (+∞, or very high, below a diameter), of a repulsion without bound as r → 0, and saves much
        training for a strong bounded one. None: V is smooth where particles meet, or has a hard core that is found in V, and
        there is no other such factor.
        """
        return None

    def boundary(self, x: Tensor) -> Tensor | None:
        """A smooth function of one particle's coordinates x (…, D), above 0 where it may be and 0 on hard walls (…).

        Its gradient must not vanish on the wall. It is needed only where V is +inf beyond walls that are neither planes across
        the axes nor spheres, discs or cylinders, which are found from V. None: there are no such walls.
        """
        return None

    def parameters(self) -> dict[str, Any]:
        """The parameters by their recipe keys."""
        return self.model_dump(by_alias=True)
