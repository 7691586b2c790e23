"""Systems of users as the solver calls them: energies become float64 tensors, whatever the potential returns.

A potential may use numpy or scipy, return arrays or float32, or know the CPU only. It is called without automatic
differentiation unless a gradient is wanted.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pydantic import PrivateAttr

from fkflow.hamiltonian.registry import is_built_in
from fkflow.hamiltonian.system import Nuclei, Reference, System
from fkflow.hamiltonian.table import watch
from fkflow.hamiltonian.wrapped import DOUBLE, WrappedSystem

if TYPE_CHECKING:
    from torch import Tensor

# numpy says it of every function that is given a tensor
warnings.filterwarnings("ignore", "__array_wrap__ must accept context", DeprecationWarning)

#: relative rounding of an energy in single precision
SINGLE = 1e-6
#: real types of numpy and torch with fewer digits than float64
SHORT = {"float16", "bfloat16", "float32"}


class ConvertedSystem(WrappedSystem):
    """The system `own` with `potential` and `pair` that give float64 tensors on the device of their argument.

    `differentiable`: torch differentiates the potential. `rounding`: relative rounding of its values. `on_cpu`: it is called
    with tensors on the CPU. `checks` finds out which of these hold.
    """

    _traits: dict[str, Any] = PrivateAttr(
        default_factory=lambda: {"differentiable": True, "rounding": DOUBLE, "on_cpu": False, "outside": 0.0}
    )

    @property
    def mass(self) -> Any:
        """The mass or masses of the system; 1 where it says nothing, None where its species say it."""
        return getattr(self.own, "mass", 1.0 if self.species is None else None)

    @property
    def differentiable(self) -> bool:
        """Whether torch differentiates the potential."""
        return bool(self._traits["differentiable"])

    @property
    def rounding(self) -> float:
        """Relative rounding of the energies."""
        return float(self._traits["rounding"])

    def note(self, **traits: Any) -> None:
        """Set some of `differentiable`, `rounding` and `on_cpu`."""
        self._traits.update(traits)

    def potential(self, x: Tensor) -> Tensor:
        """V of x (B, N, D) → (B,)."""
        value: Tensor = self._call(self.own.potential, x)
        return value

    def pair(self, *given: Any) -> Tensor | None:
        """The pair energy at the distances r, the last argument; names of two species may come before it."""
        *names, r = given
        value: Tensor | None = self._call(partial(self.own.pair, *names), r)
        return value

    def observables(self, x: Tensor) -> Any:
        """The observables of the system with float64 tensors on the device of x; what is no dictionary stays as it is."""
        found = self._call(self.own.observables, x)
        if not isinstance(found, Mapping):
            return found
        return {name: to_energies(value, x.device) for name, value in found.items()}

    def boundary(self, x: Tensor) -> Tensor | None:
        """The boundary of the system."""
        return self.own.boundary(x)

    def reference(self) -> Reference | None:
        """The reference of the system."""
        return self.own.reference()

    def published(self) -> tuple[Reference, ...]:
        """Other published energies of the system."""
        return self.own.published()

    def exact_density(self, group: str, name: str, *points: np.ndarray) -> np.ndarray | None:
        """The density of the system."""
        return self.own.exact_density(group, name, *points)

    def nuclei(self) -> Nuclei | None:
        """The nuclei of the system."""
        return self.own.nuclei()

    def parameters(self) -> dict[str, Any]:
        """The parameters of the system."""
        return self.own.parameters()

    def _call(self, function: Callable[[Tensor], Any], x: Tensor) -> Any:
        where = x.device
        if self._traits["on_cpu"]:
            x = x.cpu()
        wanted = x.requires_grad and torch.is_grad_enabled()
        # numpy warns of infinities, which checks find where they matter
        with np.errstate(all="ignore"), torch.set_grad_enabled(wanted), watch() as outside:
            value = function(x if wanted else x.detach())
        self.note(outside=max(outside, default=0.0))
        if str(getattr(value, "dtype", "")).removeprefix("torch.") in SHORT:
            self.note(rounding=SINGLE)
        return to_energies(value, where)


def convert(system: System) -> System:
    """A system of a user as the solver calls it; a built-in one, or one that is converted already, as it is."""
    return system if isinstance(system, ConvertedSystem) or is_built_in(type(system)) else ConvertedSystem(own=system)


def converted_part(system: System | None) -> ConvertedSystem | None:
    """The converted system within one in other coordinates, or this one; None for a built-in system."""
    while system is not None and not isinstance(system, ConvertedSystem):
        system = getattr(system, "own", None)
    return system


def share_outside(system: System, x: Tensor) -> float:
    """The share of what a system asks of its tables at x (B, N, D) that lies beyond their ends, where they do not say more."""
    converted = converted_part(system)
    system.potential(x)
    return 0.0 if converted is None else float(converted._traits["outside"])


def to_energies(value: Any, device: torch.device) -> Any:
    """An array or a tensor of real numbers as a float64 tensor on the device; anything else as it is."""
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "fiub":
        value = torch.tensor(value, dtype=torch.float64)
    if isinstance(value, torch.Tensor) and not value.is_complex():
        value = value.to(device, torch.float64)
    return value
