"""The sectors of a system in a periodic box: total momenta and reflections."""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor

from fkflow.errors import UsageError
from fkflow.hamiltonian.box import open_axes
from fkflow.hamiltonian.system import System
from fkflow.spectrum.mirrors import SAME, find_reflections
from fkflow.spectrum.operations import group_of, reflection_name
from fkflow.spectrum.periodic import PeriodicFunctions
from fkflow.spectrum.sector import Sector

#: total momenta along a ring that are looked at, at least and at most: up to those that move all particles by one wave
MOMENTA, MOST_MOMENTA = 3, 5


def sectors_in_box(system: System, box: tuple[float, ...], x: Tensor, functions: int, fermi: bool) -> list[Sector]:
    """Total momenta along the axes that V does not tell apart, then reflections about the origin."""
    n, dim = x.shape[1:]
    if fermi:
        raise UsageError(f"{system.key} is in a periodic box: levels of fermions are for systems that are held")
    if open_axes(box):
        raise UsageError(
            f"{system.key} is in a box with open directions: levels are found where all are periodic, or none"
        )
    even = [_is_even_along(system, axis, x) for axis in range(dim)]
    rest = tuple(0 if conserved else None for conserved in even)
    momenta = [rest]
    for axis in (axis for axis in range(dim) if even[axis]):
        most = max(MOMENTA, min(n, MOST_MOMENTA)) if dim == 1 else 1
        momenta += [(*rest[:axis], k, *rest[axis + 1 :]) for k in range(1, most + 1)]
    centre = torch.zeros(dim, dtype=x.dtype)
    reflections = find_reflections(system, centre, x)
    found = []
    for momentum in momenta:
        # f and its mirror image have the momenta K and −K: one of the two combinations is enough
        moving = next((axis for axis, k in enumerate(momentum) if k), None)
        for signs in product((1.0, -1.0), repeat=len(reflections)):
            turned = [
                sign for one, sign in zip(reflections, signs, strict=True) if moving is not None and one[moving] < 0
            ]
            if min(turned, default=1.0) < 0:
                continue
            operations = group_of(reflections, signs, n)
            name = ", ".join(
                filter(None, [_momentum_name(momentum, even), _parity_name(reflections, signs, moving, dim)])
            )
            ground = moving is None and min(signs, default=1.0) > 0
            make = lambda p, g, k=momentum: PeriodicFunctions(p, box, k, functions, g)  # noqa: E731
            found.append(
                Sector(
                    name or "all",
                    ground,
                    make,
                    operations,
                    centre,
                    family=f"K = {momentum}",
                    degeneracy=1 if moving is None else 2,
                )
            )
    return found


def _is_even_along(system: System, axis: int, x: Tensor) -> bool:
    """Whether V stays the same where all particles move together along an axis."""
    some = x[:64]
    value = system.potential(some)
    moved = some.clone()
    moved[..., axis] += torch.linspace(0.1, 1.0, len(some), dtype=x.dtype, device=x.device)[:, None] * float(x.std())
    return bool(((system.potential(moved) - value).abs() <= SAME * (value.abs() + value.std() + 1)).all())


def _momentum_name(momentum: tuple[int | None, ...], even: list[bool]) -> str:
    """Such as "K = ±1" on a ring, or "K = (±1, 0)"; "" where none is conserved."""
    if not any(even):
        return ""
    parts = ["-" if k is None else f"±{k}" if k else "0" for k in momentum]
    return f"K = {parts[0]}" if len(parts) == 1 else f"K = ({', '.join(parts)})"


def _parity_name(
    reflections: list[tuple[float, ...]], signs: tuple[float, ...], moving: int | None, dimensions: int
) -> str:
    """The parities but for those that turn the momentum round."""
    kept = [(r, s) for r, s in zip(reflections, signs, strict=True) if moving is None or r[moving] > 0]
    return reflection_name([r for r, _ in kept], tuple(s for _, s in kept), dimensions) if kept else ""
