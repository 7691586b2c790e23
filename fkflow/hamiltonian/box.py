"""Periodic boxes: a particle that leaves through one side comes back through the other.

V, ψ and all that is measured stay the same where one particle moves by a whole side. The distance of two particles is that of
their nearest images, at most half a side along each axis.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fkflow.errors import NumericalError
from fkflow.hamiltonian.geometry import nearest_images

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from fkflow.hamiltonian.system import System

#: natural length of identical particles, in their spacing (V/N)^(1/D): that of free fermions on a line is 0.39
CROWDED = 0.35
#: configurations that walkers start from, at least and at most, pairs of particles in all of them, and the largest distance
#: from a lattice, in spacings
FEWEST, PLACES, PAIRS, LOOSE = 16, 1024, 2**14, 0.2
#: halvings of that distance until no cores overlap
HALVINGS = 6
#: temperature of the first places, in natural energies, moves of each particle at it, and of all together at most, and the
#: step, in natural lengths
WARM, MOVES, MOST_MOVES, STEP = 1.0, 30, 640, 0.5


def sides(system: System) -> tuple[float, ...] | None:
    """The sides (D,) of the periodic box of a system, in the coordinates of its potential; None without one."""
    box: Any = getattr(system, "box", None)
    if box is None:
        return None
    return (float(box),) * int(system.dimensions) if isinstance(box, (int, float)) else tuple(float(one) for one in box)


def find_fault_of_box(system: System) -> str | None:
    """What is wrong with the box that a system states, in a sentence that follows its name; None if nothing is."""
    box: Any = getattr(system, "box", None)
    if box is None:
        return None
    given = (box,) if isinstance(box, (int, float)) else tuple(box) if isinstance(box, (list, tuple)) else ()
    allowed = all(type(one) in (int, float) and 0 < one < math.inf for one in given)
    if not given or not allowed or len(given) not in (1, int(system.dimensions)):
        return (
            f"box = {box!r} is not allowed: it must be the side of a periodic box, a number above 0, or one for each of "
            f"{system.dimensions} dimensions"
        )
    if system.free or system.separable:
        return "a periodic box has no free centre of mass: free and separable must be left out"
    if system.nuclei() is not None:
        return "nuclei() is for open space, not for a periodic box"
    if system.particles > 1 and not system.identical:
        return "a periodic box holds one particle, or identical ones"
    return None


def wrapped(x: Tensor, box: Sequence[float] | None) -> Tensor:
    """Configurations x (…, N, D) with all particles within half a side of the origin; as they are without a box."""
    if box is None:
        return x
    return nearest_images(x.movedim(-1, 0), box).movedim(0, -1)


def spacing(system: System, box: Sequence[float]) -> float:
    """The side of the cube that each particle has to itself, (V/N)^(1/D)."""
    return float((math.prod(box) / system.particles) ** (1 / len(box)))


def lattice(particles: int, box: Sequence[float]) -> Tensor:
    """Places (N, D) in a box on the sites of a regular lattice: face-centred for 4 m³ particles in space, else simple."""
    import torch

    dim = len(box)
    base = torch.zeros(1, dim, dtype=torch.float64)
    m = math.ceil(particles ** (1 / dim) - 1e-9)
    if dim == 3 and particles % 4 == 0 and 4 * round((particles / 4) ** (1 / 3)) ** 3 == particles:
        m = round((particles / 4) ** (1 / 3))
        base = torch.tensor([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]], dtype=torch.float64)
    cells = torch.cartesian_prod(*[torch.arange(m, dtype=torch.float64)] * dim).view(-1, 1, dim)
    sites = ((cells + base).view(-1, dim) + 0.25) / m
    # of more sites than particles some stay empty, spread evenly
    pick = torch.arange(particles) * len(sites) // particles
    found: Tensor = (sites[pick] - 0.5) * sites.new_tensor(box)
    return found


def box_places(system: System, box: Sequence[float], generator: Generator) -> tuple[float, Tensor]:
    """The natural length of particles in a box, and configurations (n, N, D) to start from, where V is finite.

    They begin on a lattice and move singly, at a temperature of the natural energy. Raises NumericalError if V is infinite
    even there.
    """
    import torch

    apart = spacing(system, box)
    stated = getattr(system, "length", None)
    length = float(stated) if stated is not None else CROWDED * apart
    given = system.start(PLACES, generator)
    if given is not None:
        return length, torch.as_tensor(given).detach().to(torch.float64)
    sites = lattice(system.particles, box)
    count = min(PLACES, max(FEWEST, 2 * PAIRS // system.particles**2))
    x, loose = sites.repeat(count, 1, 1), LOOSE * apart
    for _ in range(HALVINGS):
        moved = sites + loose * (torch.rand(x.shape, generator=generator, dtype=x.dtype) - 0.5)
        if system.particles == 1:
            # one particle may be anywhere
            moved = x.new_tensor(box) * (torch.rand(x.shape, generator=generator, dtype=x.dtype) - 0.5)
        finite = system.potential(moved).detach().isfinite()
        x = torch.where(finite[:, None, None], moved, x)
        loose *= 0.5
    value = system.potential(x).detach()
    if not bool(value.isfinite().all()):
        raise NumericalError(
            f"V is not finite where {system.particles} particles stand on a lattice in the box: start() must give places "
            "where it is, or the box is too small for the cores"
        )
    for _ in range(max(1, min(MOVES, MOST_MOVES // system.particles))):
        for which in range(system.particles):
            moved = x.clone()
            moved[:, which] += STEP * length * torch.randn(x[:, 0].shape, generator=generator, dtype=x.dtype)
            after = system.potential(moved).detach()
            bound = WARM / length**2 * torch.rand(len(x), generator=generator, dtype=x.dtype).log().neg()
            accept = after - value <= bound
            x, value = torch.where(accept[:, None, None], moved, x), torch.where(accept, after, value)
    return length, wrapped(x, box)
