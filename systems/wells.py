"""One particle in a smooth well: quartic, double well, Morse, Pöschl–Teller (1D), Mexican hat (2D)."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import ConfigDict, Field, ValidationInfo, field_validator

from fkflow.hamiltonian.system import Reference, System

from .free_energies import on_a_line
from .harmonic import LARGEST, SMALLEST
from .references import CLOSED_FORM, RADIAL_GRID, SPECTRAL_GRID
from .solvers import Level, radial_ground_state

if TYPE_CHECKING:
    from torch import Tensor

    Array = np.ndarray


class Well(System):
    """One particle; N = 1."""

    particles: ClassVar[int] = 1
    dimensions: ClassVar[int] = 1


class Polynomial(Well):
    """A well that is a polynomial c0 + c1 r² + c2 r⁴ of the squared distance to the origin."""

    isotropic: ClassVar[bool] = True

    def coefficients(self) -> tuple[float, float, float]:
        """(c0, c1, c2)."""
        raise NotImplementedError

    def potential(self, x: Tensor) -> Tensor:
        """c0 + c1 r² + c2 r⁴ of x (B, 1, D) → (B,)."""
        c0, c1, c2 = self.coefficients()
        squares = x.square().sum(dim=(-2, -1))
        return c0 + squares * (c1 + c2 * squares)

    def reference(self) -> Reference | None:
        """The radial equation on two spectral grids; None in the (extreme) case that they disagree."""
        level = _polynomial_level(self.coefficients(), self.dimensions)
        if level is None:
            return None
        return Reference(level.energy, level.error, SPECTRAL_GRID if self.dimensions == 1 else RADIAL_GRID)

    def free_energy(self, beta: float, statistics: str) -> Reference | None:
        """Levels on two grids, on a line; None in the case that they disagree."""
        level = _polynomial_level(self.coefficients(), self.dimensions)
        if self.dimensions > 1 or level is None:
            return None
        c0, c1, c2 = self.coefficients()
        lowest = c0 if c1 >= 0 else c0 - c1**2 / (4 * c2)
        found = on_a_line(lambda x: c0 + x**2 * (c1 + c2 * x**2) - lowest, beta, level.energy - lowest)
        return found and Reference(found[0] + lowest, found[1], SPECTRAL_GRID)

    def exact_density(self, group: str, name: str, *points: Array) -> Array | None:
        """From the radial equation; None where its two grids disagree."""
        level = _polynomial_level(self.coefficients(), self.dimensions)
        return None if level is None else level.density(np.sqrt(sum(x**2 for x in points)))


class DoubleWellForm(Polynomial):
    """V = height ((r/a)² − 1)² in D dimensions."""

    height: float = Field(2.0, ge=SMALLEST, le=LARGEST, description="height of the barrier at the origin")
    a: float = Field(2.0, ge=SMALLEST, le=LARGEST, description="distance of the minima from the origin")

    def coefficients(self) -> tuple[float, float, float]:
        """height (1, −2/a², 1/a⁴)."""
        return self.height, -2 * self.height / self.a**2, self.height / self.a**4

    def potential(self, x: Tensor) -> Tensor:
        """height ((r/a)² − 1)² of x (B, 1, D) → (B,): as written, so that nothing cancels at the minima."""
        return self.height * (x.square().sum(dim=(-2, -1)) / self.a**2 - 1).square()


class Quartic(Polynomial):
    """An anharmonic oscillator, V = ½ a x² + b x⁴."""

    key: ClassVar[str] = "quartic"

    a: float = Field(1.0, ge=-LARGEST, le=LARGEST, description="harmonic coefficient; may be 0 or negative")
    b: float = Field(1.0, ge=SMALLEST, le=LARGEST, description="quartic coefficient")

    def coefficients(self) -> tuple[float, float, float]:
        """(0, ½ a, b)."""
        return 0.0, 0.5 * self.a, self.b


class DoubleWell(DoubleWellForm):
    """A particle between two minima, V = height ((x/a)² − 1)²."""

    key: ClassVar[str] = "double_well"


class MexicanHat(DoubleWellForm):
    """A particle in a ring-shaped valley (2D), V = height ((r/a)² − 1)²."""

    key: ClassVar[str] = "mexican_hat"
    dimensions: ClassVar[int] = 2


class Morse(Well):
    """An anharmonic bond, V = depth (1 − exp(−a x))²."""

    key: ClassVar[str] = "morse"

    depth: float = Field(10.0, ge=SMALLEST, le=LARGEST, description="dissociation energy")
    a: float = Field(1.0, ge=SMALLEST, le=LARGEST, validate_default=True, description="inverse width of the well")

    @field_validator("a")
    @classmethod
    def _check_bound(cls, a: float, info: ValidationInfo) -> float:
        depth = info.data.get("depth")
        if depth is not None and not a**2 < 8 * depth:
            raise ValueError(f"it must be below sqrt(8 depth) = {math.sqrt(8 * depth):.6g} to bind a state")
        return a

    def potential(self, x: Tensor) -> Tensor:
        """depth (1 − exp(−a x))² of x (B, 1, 1) → (B,)."""
        return self.depth * (1 - (-self.a * x).exp()).square().sum(dim=(-2, -1))

    def reference(self) -> Reference:
        """E0 = a √(depth/2) − a²/8."""
        return Reference(self.a * math.sqrt(self.depth / 2) - self.a**2 / 8, 0.0, CLOSED_FORM)

    def exact_density(self, group: str, name: str, *points: Array) -> Array:
        """a ξ^p e^−ξ / Γ(p) with ξ = 2l e^(−a x), l = √(2 depth)/a, p = 2l − 1."""
        strength = math.sqrt(2 * self.depth) / self.a
        power = 2 * strength - 1
        log_xi = math.log(2 * strength) - self.a * points[0]
        # far to the left ξ is beyond all bounds, and the density is 0
        xi = np.exp(np.minimum(log_xi, 700.0))
        return np.exp(math.log(self.a) + power * log_xi - xi - math.lgamma(power))


class PoschlTeller(Well):
    """A well that vanishes far away, V = −½ lambda (lambda + 1) sech² x."""

    key: ClassVar[str] = "poschl_teller"
    isotropic: ClassVar[bool] = True
    model_config = ConfigDict(populate_by_name=True)

    lambda_: float = Field(3.0, ge=1e-3, le=1e3, alias="lambda", description="strength of the well")

    def potential(self, x: Tensor) -> Tensor:
        """−½ lambda (lambda + 1) sech² x of x (B, 1, 1) → (B,)."""
        # 1 − tanh² has finite derivatives everywhere; 1/cosh² gives NaN gradients where cosh overflows
        return -0.5 * self.lambda_ * (self.lambda_ + 1) * (1 - x.tanh().square()).sum(dim=(-2, -1))

    def reference(self) -> Reference:
        """E0 = −½ lambda²."""
        return Reference(-0.5 * self.lambda_**2, 0.0, CLOSED_FORM)

    def exact_density(self, group: str, name: str, *points: Array) -> Array:
        """sech^(2 lambda) x, normalised."""
        x = np.abs(points[0])
        log_cosh = x + np.log1p(np.exp(-2 * x)) - math.log(2)
        norm = math.lgamma(self.lambda_ + 0.5) - math.lgamma(self.lambda_) - 0.5 * math.log(math.pi)
        density: Array = np.exp(norm - 2 * self.lambda_ * log_cosh)
        return density


@lru_cache(maxsize=256)
def _polynomial_level(coefficients: tuple[float, float, float], dimensions: int) -> Level | None:
    c0, c1, c2 = coefficients

    def well(r: Any) -> Any:
        return c0 + r**2 * (c1 + c2 * r**2)

    try:
        return radial_ground_state(well, dimensions)
    except ArithmeticError:
        return None
