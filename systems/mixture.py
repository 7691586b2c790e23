"""Mixtures of two species of bosons, or impurities in bosons, in a round trap, with interactions by a key."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, ValidationInfo, field_validator

from fkflow.hamiltonian.geometry import coordinates_first, pair_squares
from fkflow.hamiltonian.species import Species
from fkflow.hamiltonian.system import Reference, System

from .bosons import Bosons, Bosons3D
from .free_energies import oscillators, relative_oscillators
from .harmonic import LARGEST, SMALLEST
from .pairs import SHORTEST, without_effect
from .references import CLOSED_FORM
from .solvers import radial_ground_state

if TYPE_CHECKING:
    from torch import Tensor

    Array = np.ndarray

#: largest strength of an interaction, either sign
STRONGEST = 1e4


def _strength(default: float, words: str, **options: Any) -> Any:
    return Field(default, ge=-STRONGEST, le=STRONGEST, description=f"strength of the interaction {words}", **options)


class Mixture(System):
    """Two species a and b in round traps, V = Σ_i ½ m_i omega_i² r_i² + Σ_{i<j} v(r_ij).

    v has a strength g for each two species. `interaction`: "gaussian" v = g/(π s²)^(D/2) exp(−r²/s²); "hard_core" v = ∞ for
    r < g, the diameter, in two or three dimensions; "dipolar" v = g/r³, in two; "spring" v = ½ g r², which closed forms solve.
    """

    key: ClassVar[str] = "mixture"
    isotropic: ClassVar[bool] = True

    dimensions: int = Field(2, ge=1, le=3, description="dimensions D of space, 1 to 3")
    count_a: int = Field(3, ge=1, le=256, description="number of bosons of species a")
    count_b: int = Field(2, ge=1, le=256, description="number of bosons of species b")
    mass_a: float = Field(1.0, ge=SMALLEST, le=LARGEST, description="mass of a boson of species a")
    mass_b: float = Field(2.0, ge=SMALLEST, le=LARGEST, description="mass of a boson of species b")
    omega_a: float = Field(1.0, ge=SMALLEST, le=LARGEST, description="trap frequency of species a")
    omega_b: float = Field(1.0, ge=SMALLEST, le=LARGEST, description="trap frequency of species b")
    interaction: Literal["gaussian", "hard_core", "dipolar", "spring"] = Field(
        "gaussian", description="gaussian, hard_core, dipolar (D = 2) or spring"
    )
    g_aa: float = _strength(1.0, "within species a")
    g_bb: float = _strength(1.0, "within species b")
    g_ab: float = _strength(1.0, "between the species", validate_default=True)
    s: float = Field(0.5, ge=SMALLEST, le=LARGEST, description="range of the gaussian interaction")

    @field_validator("interaction")
    @classmethod
    def _check_dimensions(cls, value: str, info: ValidationInfo) -> str:
        dim = info.data.get("dimensions")
        if value == "dipolar" and dim in (1, 3):
            raise ValueError(f"it is for dimensions = 2, not {dim}")
        if value == "hard_core" and dim == 1:
            raise ValueError("it is for dimensions = 2 or 3: on a line no particle can pass another")
        return value

    @field_validator("g_aa", "g_bb", "g_ab")
    @classmethod
    def _check_strength(cls, value: float, info: ValidationInfo) -> float:
        interaction = info.data.get("interaction")
        if value < 0 and interaction in ("hard_core", "dipolar"):
            raise ValueError(f'it must be 0 or more with interaction = "{interaction}"')
        given = {**info.data, "g_ab": value}
        if interaction == "spring" and info.field_name == "g_ab" and {"g_aa", "g_bb"} < given.keys():
            if min(cls.model_construct(**given)._squared_frequencies()) <= 0:
                raise ValueError(
                    "with g_aa and g_bb, springs drive the particles apart more strongly than the traps hold"
                )
        return value

    @property
    def species(self) -> tuple[Species, ...]:
        """The two species."""
        return Species("a", self.count_a, self.mass_a), Species("b", self.count_b, self.mass_b)

    @property
    def separable(self) -> bool:  # type: ignore[override]
        """Whether the centre of mass moves apart from the rest: it does where both species oscillate alike."""
        return self.omega_a == self.omega_b

    def potential(self, x: Tensor) -> Tensor:
        """Traps and interactions of x (B, N, D) → (B,)."""
        a, b = x[..., : self.count_a, :], x[..., self.count_a :, :]
        total = 0.5 * self.mass_a * self.omega_a**2 * a.square().sum((-2, -1))
        total = total + 0.5 * self.mass_b * self.omega_b**2 * b.square().sum((-2, -1))
        for own, g in ((a, self.g_aa), (b, self.g_bb)):
            if g and own.shape[-2] > 1:
                total = total + self._energy(g, pair_squares(own)).sum(0)
        if self.g_ab:
            first, second = coordinates_first(a), coordinates_first(b)
            total = total + self._energy(self.g_ab, (first[:, :, None] - second[:, None]).square().sum(0)).sum((0, 1))
        found: Tensor = total
        return found

    def _energy(self, g: float, square: Any) -> Any:
        """v of squared distances, a tensor."""
        if self.interaction == "gaussian":
            return g / math.pow(math.pi * self.s**2, self.dimensions / 2) * (-square / self.s**2).exp()
        if self.interaction == "hard_core":
            return square.new_zeros(()).expand(square.shape).masked_fill(square < g**2, math.inf)
        return g * square**-1.5 if self.interaction == "dipolar" else 0.5 * g * square

    def pair(self, a: str, b: str, r: Tensor) -> Tensor | None:  # type: ignore[override]
        """The interaction of two species at distances r, where it repels and is not that of springs; else None."""
        g = self._between(a, b)
        return None if g <= 0 or self.interaction == "spring" else self._energy(g, r.square())

    def cautions(self) -> tuple[str, ...]:
        """What a user may not expect, a sentence each: a range that the interaction does not have."""
        return without_effect(self, {"s": "gaussian"})

    def _between(self, a: str, b: str) -> float:
        return self.g_ab if a != b else self.g_aa if a == "a" else self.g_bb

    def reference(self) -> Reference | None:
        """Closed forms for springs and without interaction; for pairs alone in equal traps the radial equation; else None.

        Where the species do not see each other, the energies of both are added; where they are alike, it is that of bosons.
        """
        dim, interacting = self.dimensions, self._interacting()
        if self.interaction == "spring" or not interacting:
            modes = self._squared_frequencies() if self.interaction == "spring" else self._traps()
            return Reference(0.5 * dim * sum(map(math.sqrt, modes)), 0.0, CLOSED_FORM)
        if (alike := self._bosons()) is not None:
            return alike.reference()
        parts, frequencies = [], self._traps()
        # pairs that are alone with each other: the relative motion of each replaces one mode of the traps
        for names in interacting:
            counts = [self.count_a if name == "a" else self.count_b for name in names]
            alone = counts == [2, 2] if names[0] == names[1] else counts == [1, 1] and self.separable
            if not alone or (level := self._relative(*names)) is None:
                return None
            parts.append(level)
            frequencies.remove((self.omega_a if names[0] == "a" else self.omega_b) ** 2)
        energy = math.fsum([*(0.5 * dim * math.sqrt(square) for square in frequencies), *(e for e, _ in parts)])
        return Reference(energy, math.fsum(error for _, error in parts), "radial equation on a spectral grid")

    def free_energy(self, beta: float, statistics: str) -> Reference | None:
        """Closed forms for springs and without interaction; else None.

        Permutations of a species act on the motion about its mean alone.
        """
        bosons, dim = statistics == "bose", self.dimensions
        if not self._interacting():
            energy = oscillators([self.omega_a] * dim, self.count_a, beta, bosons)
            energy += oscillators([self.omega_b] * dim, self.count_b, beta, bosons)
            return Reference(energy, 0.0, CLOSED_FORM)
        if self.interaction != "spring":
            return None
        squares = self._squared_frequencies()
        energy = oscillators([math.sqrt(square) for square in squares[-2:] * dim], 1, beta, False)
        for count, square in ((self.count_a, squares[0]), (self.count_b, squares[-3])):
            if count > 1:
                energy += relative_oscillators([math.sqrt(square)] * dim, count, beta, bosons)
        return Reference(energy, 0.0, CLOSED_FORM)

    def _bosons(self) -> Bosons | None:
        """The same system as one species, if both are of mass 1 and alike, with a Gaussian repulsion in a plane or in space."""
        strengths = {self.g_ab, *([self.g_aa] if self.count_a > 1 else []), *([self.g_bb] if self.count_b > 1 else [])}
        alike = self.omega_a == self.omega_b and self.mass_a == self.mass_b == 1 and len(strengths) == 1
        if not alike or self.dimensions == 1 or self.interaction != "gaussian" or self.g_ab < 0:
            return None
        kind = Bosons if self.dimensions == 2 else Bosons3D
        return kind(particles=self.count_a + self.count_b, g=self.g_ab, s=self.s, omega=self.omega_a)

    def _interacting(self) -> list[tuple[str, str]]:
        """The pairs of species that there are and that interact."""
        several = {"a": self.count_a > 1, "b": self.count_b > 1}
        pairs = [("a", "a"), ("b", "b"), ("a", "b")]
        return [(a, b) for a, b in pairs if self._between(a, b) and (a != b or several[a])]

    def _traps(self) -> list[float]:
        """Squared frequencies of all particles without interaction, for one dimension."""
        return [self.omega_a**2] * self.count_a + [self.omega_b**2] * self.count_b

    def _squared_frequencies(self) -> list[float]:
        """Squared frequencies of the normal modes of springs, for one dimension.

        Particles of one species about their mean have ω² + (n k_own + n' k_ab)/m, n' the number of the others. The means
        √(n m) X of both species are coupled by a matrix of 2 × 2.
        """
        n_a, n_b, k = self.count_a, self.count_b, self.g_ab
        own_a = self.omega_a**2 + (n_a * self.g_aa + n_b * k) / self.mass_a
        own_b = self.omega_b**2 + (n_b * self.g_bb + n_a * k) / self.mass_b
        coupling = -k * math.sqrt(n_a * n_b / (self.mass_a * self.mass_b))
        means = [
            [self.omega_a**2 + n_b * k / self.mass_a, coupling],
            [coupling, self.omega_b**2 + n_a * k / self.mass_b],
        ]
        return [*[own_a] * (n_a - 1), *[own_b] * (n_b - 1), *map(float, np.linalg.eigvalsh(means))]

    def _relative(self, a: str, b: str) -> tuple[float, float] | None:
        """Energy and error of the relative motion of two in equal traps, in ρ = √μ r with the reduced mass μ."""
        if self.interaction == "hard_core":
            return None
        g, omega = self._between(a, b), self.omega_a if a == "a" else self.omega_b
        root = 1 / math.sqrt(sum(1 / (self.mass_a if name == "a" else self.mass_b) for name in (a, b)))
        height = g / math.pow(math.pi * self.s**2, self.dimensions / 2)
        shortest = SHORTEST / math.sqrt(omega)

        def well(rho: Array) -> Array:
            r = np.maximum(rho, shortest) / root
            v = height * np.exp(-((r / self.s) ** 2)) if self.interaction == "gaussian" else g / r**3
            return np.asarray(0.5 * omega**2 * rho**2 + v)

        try:
            level = radial_ground_state(
                well, self.dimensions, self.s * root if self.interaction == "gaussian" else None
            )
        except ArithmeticError:
            return None
        return level.energy, level.error
