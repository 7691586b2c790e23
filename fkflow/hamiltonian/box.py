"""Periodic boxes: a particle that leaves through one side comes back through the other.

V, ψ and all that is measured stay the same where one particle moves by a whole side. The distance of two particles is that of
their nearest images, at most half a side along each axis.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import product
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
#: room along an open axis, in deviations of the particles there
WIDE = 3.5
#: doublings and halvings of a length in which V is followed along an open axis, v y² where a state has ended, and points there
SCALES, REACH, POINTS = 20, 100.0, 300
#: temperature of the first places, in natural energies, moves of each particle at it, and of all together at most, and the
#: step, in natural lengths
WARM, MOVES, MOST_MOVES, STEP = 1.0, 30, 640, 0.5
#: share of the largest distance of sites below which two are at one place
SAME_PLACE = 1e-6


def sides(system: System) -> tuple[float, ...] | None:
    """The sides (D,) of the periodic box of a system, in the coordinates of its potential; None without one.

    The side is infinite along an axis that is open, for which `box` has None, 0 or infinity.
    """
    box: Any = getattr(system, "box", None)
    if box is None:
        return None
    given = (box,) * int(system.dimensions) if isinstance(box, (int, float)) else tuple(box)
    return tuple(float(one or math.inf) for one in given)


def open_axes(box: Sequence[float]) -> tuple[int, ...]:
    """The axes along which a box with these `sides` is not periodic."""
    return tuple(axis for axis, side in enumerate(box) if math.isinf(side))


def periodic_sides(box: Sequence[float]) -> tuple[float, ...]:
    """The sides of the axes along which it is."""
    return tuple(side for side in box if math.isfinite(side))


def find_fault_of_box(system: System) -> str | None:
    """What is wrong with the box that a system states, in a sentence that follows its name; None if nothing is."""
    box: Any = getattr(system, "box", None)
    if box is None:
        return None
    given = (box,) if isinstance(box, (int, float)) else tuple(box) if isinstance(box, (list, tuple)) else ()
    number = isinstance(box, (int, float))
    allowed = all(one is None or (type(one) in (int, float) and one >= 0) for one in given)
    periodic = allowed and any(one and one < math.inf for one in given)
    if not periodic or (not number and len(given) != int(system.dimensions)):
        return (
            f"box = {box!r} is not allowed: it must be the side of a periodic box, a number above 0, or one for each of "
            f"{system.dimensions} dimensions, 0 for one that is open"
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


def nearest_distance(sites: Tensor, box: Sequence[float]) -> float:
    """The distance of nearest sites (N, D) in a box with these sides; sites at one place do not count."""
    apart = wrapped(sites - sites[:, None], box).norm(dim=-1)
    return float(apart[apart > SAME_PLACE * apart.max()].min())


def spacing(system: System, box: Sequence[float]) -> float:
    """The side of the cube that each particle has to itself, (V/N)^(1/D), along the periodic axes."""
    found = periodic_sides(box)
    return float((math.prod(found) / system.particles) ** (1 / len(found)))


def wave_vectors(box: Sequence[float], orders: Sequence[int]) -> list[list[float]]:
    """The wave vectors 2πn/L with |n| up to the `orders` (D,) along each axis but 0, one of each two opposite ones.

    Along an open axis the order must be 0.
    """
    return [
        [2 * math.pi * number / side for number, side in zip(numbers, box, strict=True)]
        for numbers in product(*(range(-order, order + 1) for order in orders))
        # of two opposite ones that whose first number is above 0
        if next((number for number in numbers if number), 0) > 0
    ]


def lattice(particles: int, box: Sequence[float]) -> Tensor:
    """Places (N, D) in a box on the sites of a regular lattice: face-centred for 4 m³ particles in space, else simple."""
    import torch

    if opened := open_axes(box):
        # on the periodic axes, and at the origin of the others
        flat = lattice(particles, periodic_sides(box))
        wide = flat.new_zeros(particles, len(box))
        wide[:, [axis for axis in range(len(box)) if axis not in opened]] = flat
        return wide
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


def natural_length(system: System, box: Sequence[float], widths: Mapping[int, float]) -> float:
    """The natural length in a box: a part of the spacing of the particles, or √2 of the least of the `widths` of open axes."""
    room = math.prod(periodic_sides(box)) * math.prod(WIDE * width for width in widths.values())
    crowded = CROWDED * (room / system.particles) ** (1 / len(box))
    return float(min([crowded, *(math.sqrt(2) * width for width in widths.values())]))


def box_places(system: System, box: Sequence[float], generator: Generator) -> tuple[float, Tensor]:
    """The natural length of particles in a box, and configurations (n, N, D) to start from, where V is finite.

    They begin on a lattice, or near the middle of open axes, and move singly, at a temperature of the natural energy. Raises
    NumericalError if V is infinite even there, or does not hold the particles along an open axis.
    """
    import torch

    apart, sites = spacing(system, box), lattice(system.particles, box)
    opened = {axis: open_width(system, sites, axis, apart) for axis in open_axes(box)}
    for axis, (middle, _) in opened.items():
        sites[:, axis] = middle
    widths = {axis: width for axis, (_, width) in opened.items()}
    stated = getattr(system, "length", None)
    length = float(stated) if stated is not None else natural_length(system, box, widths)
    given = system.start(PLACES, generator)
    if given is not None:
        return length, torch.as_tensor(given).detach().to(torch.float64)
    count = min(PLACES, max(FEWEST, 2 * PAIRS // system.particles**2))
    x, loose = sites.repeat(count, 1, 1), LOOSE * apart
    room = x.new_tensor([widths.get(axis, side if system.particles == 1 else loose) for axis, side in enumerate(box)])
    for _ in range(HALVINGS):
        # one particle may be anywhere along a side
        moved = sites + room * (torch.rand(x.shape, generator=generator, dtype=x.dtype) - 0.5)
        finite = system.potential(moved).detach().isfinite()
        x = torch.where(finite[:, None, None], moved, x)
        room = room if system.particles == 1 else 0.5 * room
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


def open_width(system: System, x: Tensor, axis: int, unit: float) -> tuple[float, float]:
    """The mean place along an open axis and the deviation from it, of the ground state in what all particles of x (N, D) feel
    as they move along it together; `unit` is a length to begin with. Raises NumericalError where nothing holds them.
    """
    import torch

    def energy(y: Tensor) -> Tensor:
        """The energy of one particle (n,) at places y (n,)."""
        moved = x.repeat(len(y), 1, 1)
        moved[..., axis] = y[:, None]
        return system.potential(moved).detach() / system.particles

    def refuse(why: str) -> NumericalError:
        return NumericalError(
            f"{why} along direction {axis + 1}, which is open: V must confine the particles there, by a trap"
        )

    grid = unit * 2.0 ** torch.arange(-SCALES, SCALES + 1, dtype=x.dtype)
    tried = torch.cat([-grid.flip(0), grid.new_zeros(1), grid])
    found = energy(tried)
    if not bool(found.isfinite().any()):
        raise refuse("V is nowhere finite")
    best = int(found.nan_to_num(nan=math.inf).argmin())
    middle = float(tried[best])
    for _ in range(2):
        # how far a state of that scale reaches
        height = energy(middle + torch.cat([-grid.flip(0), grid])) - energy(tried.new_tensor([middle]))
        reach = grid[(grid.square() * torch.minimum(height[: len(grid)].flip(0), height[len(grid) :])) > REACH]
        if not len(reach):
            raise refuse("nothing holds the particles")
        y = torch.linspace(-1.0, 1.0, POINTS, dtype=x.dtype) * reach[0] + middle
        step = float(y[1] - y[0])
        v = energy(y)
        if not bool(v.isfinite().all()):
            raise NumericalError(
                f"V is infinite along direction {axis + 1}, which is open: hard walls are not known beside periodic directions"
            )
        matrix = torch.diag(v + 1 / step**2)
        side = torch.full((POINTS - 1,), -0.5 / step**2, dtype=x.dtype)
        state = torch.linalg.eigh(matrix + torch.diag(side, 1) + torch.diag(side, -1))[1][:, 0].square()
        middle = float((state * y).sum())
    return middle, float((state * (y - middle).square()).sum().sqrt())
