"""What a quantum system must say of itself: potential, symmetry, reference energy.

A system is a small pydantic model. Its fields are the parameters of the recipe's ``[system]`` section, checked
strictly; its methods are the physics. Units: ħ = 1 and the mass 1, H = −½ Σ_i ∇_i²/m_i + V, where all m_i are 1 unless the
system says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from numpy import ndarray as Array
    from torch import Generator, Tensor


@dataclass(frozen=True)
class Reference:
    """A ground-state energy known from elsewhere: `energy` and its absolute `error` in the system's unit, and the `source`."""

    energy: float
    error: float
    source: str


@dataclass(frozen=True)
class Nuclei:
    """Clamped point charges: `positions` (M, 3) in bohr, `charges` (M,). They set the Coulomb cusps."""

    positions: tuple[tuple[float, float, float], ...]
    charges: tuple[float, ...]


class System(BaseModel):
    """Base class of all systems. Subclasses add fields (parameters), say `particles` and `dimensions`, and give `potential`.

    `particles` N and `dimensions` D may be class constants or recipe parameters; d = N·D is the dimension of
    configuration space. Two more may be either: `mass`, a number or one for each particle (left out, 1), and `length`, a
    length over which the ground state varies (left out, found from the potential).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    key: ClassVar[str]
    """The name that recipes use; left out, that of the class."""
    identical: ClassVar[bool] = True
    """Particles may be exchanged (bosonic ground state: log ψ is symmetric)."""
    isotropic: ClassVar[bool] = False
    """V depends only on distances to the origin and between particles."""
    separable: ClassVar[bool] = False
    """The centre of mass moves in a harmonic trap, apart from the rest (networks then use relative coordinates)."""
    energy_unit: ClassVar[str] = "E"
    """Unit of energies, as printed and stored; "E" and "a" stand for the units of the parameters, ħ = 1."""
    length_unit: ClassVar[str] = "a"
    """Unit of lengths, as printed and stored."""

    # without values, so that fields may take their place; class variables may be set without an annotation
    if TYPE_CHECKING:

        @property
        def particles(self) -> int: ...
        @property
        def dimensions(self) -> int: ...

    else:
        particles: ClassVar[Any]
        dimensions: ClassVar[Any]
    mass: ClassVar[Any]
    length: ClassVar[Any]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "key" not in cls.__dict__:
            cls.key = cls.__name__

    def potential(self, x: Tensor) -> Tensor:
        """Potential energy V of a batch of configurations, x (B, N, D) → (B,); differentiable, any device.

        `fkflow.pair_squares` has the squared distances of all pairs.
        """
        raise NotImplementedError

    def start(self, walkers: int, generator: Generator) -> Tensor | None:
        """So many configurations (walkers, N, D) for the walkers to start from, where V is finite, with their noise from
        `generator` (on the CPU); None: Gaussians at the minima of V, which are then looked for about the origin.
        """
        return None

    def reference(self) -> Reference | None:
        """The known ground-state energy at these parameters, or None."""
        return None

    def exact_density(self, group: str, name: str, *points: Array) -> Array | None:
        """The exact ground-state density called `group`/`name` in result.h5, or None where it is not known.

        `points` are the values on its axes, arrays that broadcast; the density has their shape and integrates to 1 over the
        measure that docs/file-format.md gives.
        """
        return None

    def published(self) -> tuple[Reference, ...]:
        """Other published energies at these parameters, less accurate than the reference or not converged."""
        return ()

    def nuclei(self) -> Nuclei | None:
        """Point charges whose Coulomb singularities V has; None for smooth potentials."""
        return None

    def pair(self, r: Tensor) -> Tensor | None:
        """Energy of two particles at the distances r (any shape), where they repel each other.

        V must contain it for every pair. The network then starts from the two-particle solution (`pair_factor`), which has the
        cusp, or the hard core, of a repulsion without bound as r → 0, and saves much training where it is strong but bounded.
        None: particles meet smoothly, and all is left to the network.
        """
        return None

    def parameters(self) -> dict[str, Any]:
        """The recipe parameters (by the recipe's own key names) with their values."""
        return self.model_dump(by_alias=True)
