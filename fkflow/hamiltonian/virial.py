"""How V changes where a periodic box and all that is in it grow: what the pressure is made of."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from fkflow.hamiltonian.box import sides
from fkflow.hamiltonian.geometry import coordinates_first, nearest_images
from fkflow.hamiltonian.system import System
from fkflow.hamiltonian.wrapped import WrappedSystem

#: relative change of the sides for a central difference
STEP = 1e-4


def in_scaled_box(system: System, factor: float) -> System:
    """The same system in a box whose sides are `factor` times as long, and so is a distance `cutoff` at which it cuts V."""
    if isinstance(system, WrappedSystem):
        return system.model_copy(update={"own": in_scaled_box(system.own, factor)})
    box: Any = system.box
    if getattr(system, "cutoff", None) is not None:
        system = system.model_copy(update={"cutoff": factor * system.cutoff})  # type: ignore[attr-defined]
    scaled = factor * box if isinstance(box, int | float) else tuple(factor * side for side in box)
    if "box" in type(system).model_fields:
        return system.model_copy(update={"box": scaled})
    # a constant of the class, or what follows from its fields
    kind: Any = type(type(system).__name__, (type(system),), {"box": scaled, "__module__": type(system).__module__})
    found: System = kind.model_construct(**dict(system))
    return found


def tail_virial(system: System) -> float | None:
    """d/d ln L of what an interaction beyond its cut-off would add to the energy; None where nothing is cut."""
    high, low = (in_scaled_box(system, 1 + sign * STEP) for sign in (1, -1))
    while isinstance(high, WrappedSystem) and isinstance(low, WrappedSystem):
        high, low = high.own, low.own
    ends = high.tail(), low.tail()
    return None if None in ends else float((ends[0] - ends[1]) / (2 * STEP))  # type: ignore[operator]


class Virial:
    """dV/d ln L (B,) of a periodic box whose sides L, and all places in it, grow by the same factor.

    Hard rods of length `core` on a line do not grow: the gaps between them do, and L is what they leave of the ring. Raises
    ValueError for hard cores off the line.
    """

    def __init__(self, system: System, core: float | None) -> None:
        box = sides(system)
        assert box is not None
        if core is not None and len(box) > 1:
            raise ValueError("hard cores off the line do not scale with the box")
        self.core, self.side = core or 0.0, box[0]
        #: length of the ring, or side of the box, that scales, and its share of the whole
        self.free = 1.0 if core is None else 1 - system.particles * core / self.side
        self.scaled = [(s, in_scaled_box(system, 1 + s * STEP * self.free)) for s in (1.0, -1.0)]

    def __call__(self, x: Tensor) -> Tensor:
        """x (B, N, D) → (B,)."""
        high, low = (scaled.potential(self._moved(x, 1 + s * STEP)).detach() for s, scaled in self.scaled)
        return (high - low) / (2 * STEP)

    def _moved(self, x: Tensor, factor: float) -> Tensor:
        if not self.core:
            return factor * x
        # in the order along the ring: rods before a particle take their length
        along = nearest_images(coordinates_first(x), (self.side,))[0].mT
        rank = along.argsort(1).argsort(1).to(x)
        moved: Tensor = factor * (along - self.core * rank) + self.core * rank
        return moved[..., None]
