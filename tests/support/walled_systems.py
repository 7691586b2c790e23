"""Systems of a potential that is given as a function, and walls as a value of V."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor

import fkflow
from fkflow.hamiltonian.landscape import explore


def system(
    potential: Callable[[Tensor], Tensor], particles: int = 1, dimensions: int = 1, **more: Any
) -> fkflow.System:
    """A system of this potential."""
    names = {"particles": particles, "dimensions": dimensions, **more}
    notes = {name: ClassVar[Any] for name in names if not callable(names[name])}
    body = {"__annotations__": notes, "__module__": __name__, "potential": lambda self, x: potential(x), **names}
    return type("Test", (fkflow.System,), body)()


def walls(inside: Tensor, v: Tensor | float = 0.0) -> Tensor:
    """`v` where it is inside, else infinity."""
    return torch.where(inside, torch.as_tensor(v, dtype=torch.float64), math.inf)


def deviation(one: fkflow.System) -> list[float]:
    return [float(s) for s in explore(one).covariance.diagonal().sqrt()]
