"""The mirrors and rotations of V, and about which place."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations, product

import torch
from torch import Tensor

from fkflow.hamiltonian.natural_scale import Landscape
from fkflow.hamiltonian.system import System

#: the signs (D,) of coordinates, or those of a function under reflections
Signs = tuple[float, ...]

#: relative difference of V that counts as none
SAME = 1e-9
#: most reflections that each split the sectors in two
MOST_REFLECTIONS = 3


def find_centre(system: System, landscape: Landscape, x: Tensor) -> Tensor:
    """The origin where V is round or even about it, else the mean place of the walkers (D,)."""
    origin = torch.zeros(x.shape[2], dtype=x.dtype)
    if system.isotropic or find_reflections(system, origin, x) or is_round(system, origin, x):
        return origin
    return landscape.centre.mean(0).to(x.dtype)


def find_turns(system: System, centre: Tensor, x: Tensor) -> list[Tensor]:
    """The group of orthogonal matrices (D, D) about `centre` (D,) that ψ is averaged over; the identity alone if V has none.

    Of all rotations of a round potential they are reflections of axes and their cyclic exchanges: a function of rank 1 to 3 has
    no average over these.
    """
    dim = x.shape[2]
    one = torch.eye(dim, dtype=x.dtype, device=x.device)
    if system.isotropic:
        return [one]  # as its networks are
    if dim in (2, 3) and is_round(system, centre, x):
        signs = [torch.diag(x.new_tensor(each)) for each in product((1.0, -1.0), repeat=dim)]
        return [sign @ one.roll(k, 0) for sign in signs for k in range(dim)]
    found = [one]
    for reflection in find_reflections(system, centre, x):
        found += [turn * x.new_tensor(reflection) for turn in found]
    return found


def is_round(system: System, centre: Tensor, x: Tensor) -> bool:
    """Whether rotations of all particles about `centre` (D,) leave V at walkers x (B, N, D) as it is."""
    if x.shape[2] < 2:
        return False
    some = x[:64]
    value = system.potential(some)
    noise = torch.randn(x.shape[2], x.shape[2], dtype=x.dtype, generator=torch.Generator().manual_seed(0))
    turned = (some - centre) @ torch.linalg.qr(noise)[0].to(x.device) + centre
    size = SAME * (value.abs() + value.std())
    return bool(((system.potential(turned) - value).abs() <= size).all())


def find_axis_orders(system: System, centre: Tensor, x: Tensor) -> list[tuple[int, ...]]:
    """The orders of the axes, of at most three, that leave V at walkers x (B, N, D) as it is about `centre` (D,)."""
    dim, some = x.shape[2], x[:64]
    value = system.potential(some)
    size = SAME * (value.abs() + value.std())
    orders = permutations(range(dim)) if dim <= MOST_REFLECTIONS else [tuple(range(dim))]
    return [
        order
        for order in orders
        if bool(((system.potential((some - centre)[..., list(order)] + centre) - value).abs() <= size).all())
    ]


def find_parities(system: System, centre: Tensor, x: Tensor) -> tuple[list[Signs], dict[Signs, int]]:
    """The reflections of V, and their signs in each kind of sector, with how many sectors an order of axes makes of one."""
    reflections = find_reflections(system, centre, x)
    orders = find_axis_orders(system, centre, x) if len(reflections) > 1 else []
    found: dict[Signs, int] = {}
    seen: set[Signs] = set()
    for signs in product((1.0, -1.0), repeat=len(reflections)):
        if signs in seen:
            continue
        sign_of = dict(zip(reflections, signs, strict=True))
        alike = {signs}
        for order in orders:
            turned = [tuple(one[axis] for axis in order) for one in reflections]
            if all(one in sign_of for one in turned):
                alike.add(tuple(sign_of[one] for one in turned))
        seen |= alike
        # odd in x rather than in y
        found[min(alike)] = len(alike)
    return reflections, found


def find_reflections(system: System, centre: Tensor, x: Tensor) -> list[tuple[float, ...]]:
    """The reflections (D,) of all particles about `centre` that leave V at walkers x (B, N, D) as it is.

    Those of single axes, and the inversion where not all axes have one.
    """
    dim = x.shape[2]
    some = x[:64]
    value = system.potential(some)
    size = SAME * (value.abs() + value.std())

    def keeps(signs: Sequence[float]) -> bool:
        moved = (some - centre) * some.new_tensor(signs) + centre
        return bool(((system.potential(moved) - value).abs() <= size).all())

    single = [tuple(-1.0 if a == axis else 1.0 for a in range(dim)) for axis in range(dim)]
    found = [signs for signs in single if keeps(signs)][:MOST_REFLECTIONS]
    inversion = (-1.0,) * dim
    if len(found) < dim and len(found) < MOST_REFLECTIONS and inversion not in found and keeps(inversion):
        found.append(inversion)
    return found
