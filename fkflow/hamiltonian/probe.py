"""Calls to a user's potential: its values as the solver needs them, and every failure as one sentence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from fkflow.errors import PotentialError
from fkflow.hamiltonian import user_systems
from fkflow.hamiltonian.conversion import convert
from fkflow.hamiltonian.mistakes import remedy
from fkflow.hamiltonian.system import System
from fkflow.hamiltonian.wrapped import rounding_of

#: relative difference that rounding explains, in the rounding of one value
ROUNDING = 1e6
#: configurations at which gradients and symmetries are tried
TRIED = 16


class Probe:
    """A system under test in the user's coordinates, float64 on the CPU, with random numbers of its own.

    `system` is the one that is given, as the solver calls it (`conversion.convert`). `warnings` collects what may turn out
    badly and `notes` what the user may want to know, a sentence each. `walkers` (B, N, D) are where a run would start.
    """

    walkers: Tensor

    def __init__(self, system: System, seed: int) -> None:
        self.own, self.system = system, convert(system)
        self.generator = torch.Generator().manual_seed(seed)
        self.warnings: list[str] = []
        self.notes: list[str] = []

    def error(self, text: str) -> PotentialError:
        """The error that names the system."""
        return PotentialError(f"{user_systems.display_name(self.own)}: {text}")

    def normal(self, count: int) -> Tensor:
        """Standard normal numbers (count, N, D)."""
        shape = count, self.system.particles, self.system.dimensions
        return torch.randn(shape, generator=self.generator, dtype=torch.float64)

    def direction(self) -> Tensor:
        """A random unit vector (D,)."""
        vector = self.normal(1)[0, 0]
        unit: Tensor = vector / vector.norm()
        return unit

    def call(self, what: str, function: Callable[[], Any]) -> Any:
        """The result of `function`; PotentialError says what it raised, and what may mend it."""
        try:
            return function()
        except PotentialError:
            raise
        except Exception as error:
            text = user_systems.describe_error(error, user_systems.source_file(type(self.own)))
            raise self.error(f"{what} raises {text}{remedy(error)}") from None

    def value(self, x: Tensor) -> Tensor:
        """V (B,) of x (B, N, D); PotentialError for an exception, a wrong type or a wrong shape."""
        value = self.call(f"potential(x) of x {tuple(x.shape)}", lambda: self.system.potential(x))
        if not isinstance(value, Tensor):
            raise self.error(
                f"potential(x) gives {type(value).__name__}: it must give a torch tensor or a numpy array (B,)"
                + (", so it may lack a return" if value is None else "")
            )
        if tuple(value.shape) != (len(x),):
            raise self.error(
                f"potential(x) of x {tuple(x.shape)} has the shape {tuple(value.shape)}: it must be ({len(x)},), one energy "
                "for each configuration"
            )
        if value.dtype != torch.float64:
            kind = str(value.dtype).removeprefix("torch.")
            raise self.error(f"potential(x) of float64 x is {kind}: energies are real numbers, float64")
        return value

    def same(self, a: Tensor, b: Tensor, scale: float) -> bool:
        """Whether two sets of energies, of the magnitude `scale`, agree to rounding."""
        allowed = ROUNDING * rounding_of(self.system)
        return torch.allclose(a, b, rtol=min(allowed, 1e-5), atol=min(allowed, 1e-5) * scale, equal_nan=True)


def scale_of(value: Tensor) -> float:
    """The largest finite |V|: differences of such values are measured by it."""
    finite = value[value.isfinite()].abs()
    return float(finite.max()) if len(finite) else 1.0
