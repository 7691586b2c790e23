"""Hard walls of other shapes: planes in any direction, spheres and other quadrics, found from where V becomes infinite.

Rays from place to place inside the region end on its walls. Surfaces are drawn through a few neighbouring ends and kept if
many other ends lie on them, as RANSAC does (Fischler and Bolles 1981), the simplest kind first. The region is where all are
positive.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

#: rounds of rays that find the size of the region and then its walls, rays in each, and halvings of a distance
FIRST, ROUNDS, RAYS, HALVINGS = 4, 5, 256, 60
#: share of rays that see a wall without being aimed at it
SEEN = 0.1
#: distances along a ray, as powers of 2: coarse ones on all scales, and closer ones in that of the region
COARSE, FINE = torch.arange(-40, 40.5, 0.5, dtype=torch.float64), torch.arange(-8, 2, 0.125, dtype=torch.float64)
#: trials for one surface, ends among which its points are drawn, and most surfaces
TRIALS, NEIGHBOURS, MOST = 200, 24, 32
#: how far, relative to the size of the region, an end may be from its surface; ends that a surface has at least
CLOSE, LEAST = 1e-7, 12
#: how near to a right angle, and to none, the angle of an edge counts as one
SAME = 1e-6
#: Newton steps towards an edge
NEWTON = 20
#: most distance of an end, in the size of the region
FAR = 4.0
#: standard deviation in the ground state of a flat region, by that of places spread evenly: 0.63 to 0.69 for intervals to balls
FLAT = 0.66


@dataclass(frozen=True)
class Surfaces:
    """The region of one particle in which K functions d = c + b·u + uᵀ A u, u = (x − centre)/size, are above 0.

    centre (D,), size, constant (K,), linear (K, D), square (K, D, D); about the wall d is the distance from it in units of
    size. edges: pairs of surfaces that meet at an angle inside the region other than a right one, and the angle: ψ goes as
    r^(π/angle) there. low, high and deviation (D,): bounds of x, infinite where a ray met no wall, and its standard deviation
    in a flat region.
    """

    axes: tuple[int, ...]
    centre: Tensor
    size: float
    constant: Tensor
    linear: Tensor
    square: Tensor
    edges: tuple[tuple[int, int, float], ...]
    low: Tensor
    high: Tensor
    deviation: Tensor
    power: float = 1.0

    def distances(self, x: Tensor) -> Tensor:
        """d (…, K) at places x (…, D)."""
        u = (x - self.centre) / self.size
        return self.constant + u @ self.linear.mT + torch.einsum("...i,kij,...j->...k", u, self.square, u)

    def inside(self, x: Tensor) -> Tensor:
        """Whether places x (…, D) are in the region."""
        return (self.distances(x) > 0).all(-1)


def find_surfaces(
    finite: Callable[[Tensor], Tensor], x: Tensor, generator: torch.Generator, beyond: Tensor | None = None
) -> tuple[Surfaces, Tensor] | None:
    """The surfaces about places x (M, D), and places inside (m, D); None if not all walls are quadrics, or they are not all.

    `finite` says of places (n, D) whether V is finite there; `beyond` (k, D) are places at which it is not, if any are known.
    """
    ends, inside, closed = _ends(finite, x, x[:0] if beyond is None else beyond, generator)
    dim = x.shape[1]
    if len(ends) < LEAST:
        return None
    centre = inside.mean(0)
    away = (ends - centre).norm(dim=1)
    size = float(away.quantile(0.9))
    if not 0 < size < math.inf:
        return None
    # where the region is endless, few ends are very far away
    u, within = (ends[away <= FAR * size] - centre) / size, (inside - centre) / size
    found: list[Tensor] = []
    left = u
    while len(left) and len(found) < MOST:
        best = _surface(left, generator)
        if best is None:
            return None
        found.append(best)
        left = left[_apart(best, left) > CLOSE]
    if len(left):
        return None
    functions = torch.stack(found)
    sign = _values(functions, within).sign()
    if not bool((sign == sign[0]).all()):
        return None
    functions = functions * sign[0][:, None]
    # the slope on the wall is 1
    for k in range(len(functions)):
        on_wall = u[_apart(functions[k], u) <= CLOSE]
        functions[k] /= _slopes(functions[k : k + 1], on_wall).norm(dim=2).mean()
    square = functions.new_zeros(len(functions), dim, dim)
    for column, (i, j) in enumerate(itertools.combinations_with_replacement(range(dim), 2)):
        square[:, i, j] += 0.5 * functions[:, 1 + dim + column]
        square[:, j, i] += 0.5 * functions[:, 1 + dim + column]
    endless = torch.full((dim,), math.inf, dtype=x.dtype)
    surfaces = Surfaces(
        tuple(range(dim)),
        centre,
        size,
        functions[:, 0],
        functions[:, 1 : 1 + dim],
        square,
        _edges(functions, u),
        ends.amin(0) if closed else -endless,
        ends.amax(0) if closed else endless,
        FLAT * inside.std(0) if closed else endless,
    )
    return surfaces, inside


def _ends(
    finite: Callable[[Tensor], Tensor], x: Tensor, beyond: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor, bool]:
    """Where rays from places x (M, D) on first leave the region, places on the rays, and whether all rays do."""
    ends, inside, closed = [], [], True
    weights, scale = torch.ones(len(x), dtype=x.dtype), 0.0
    for number in range(FIRST + ROUNDS):
        origin = x[torch.multinomial(weights, RAYS, replacement=True, generator=generator)]
        along = torch.randn(RAYS, x.shape[1], generator=generator, dtype=x.dtype)
        if len(beyond):
            # few rays would meet a core that is small from here
            aimed = beyond[torch.randint(len(beyond), (RAYS // 2,), generator=generator)]
            along[: RAYS // 2] = aimed - origin[: RAYS // 2]
        along = along / along.norm(dim=1, keepdim=True)
        grid = torch.cat([x.new_zeros(1), COARSE.exp2(), *([scale * FINE.exp2()] if scale else [])]).sort().values
        free = finite((origin[:, None] + grid[:, None] * along[:, None]).flatten(0, 1)).view(RAYS, -1)
        first = (~free).int().argmax(1)
        met = (~free).any(1) & (first > 0)
        if not bool(met.any()):
            break
        low, high = grid[(first - 1).clamp(min=0)], grid[first]
        if not len(beyond) and int(met.sum()) < SEEN * RAYS:
            beyond = (origin + high[:, None] * along)[met]
        for _ in range(HALVINGS):
            middle = 0.5 * (low + high)
            good = finite(origin + middle[:, None] * along)
            low, high = torch.where(good, middle, low), torch.where(good, high, middle)
        scale = max(scale, float(low[met].quantile(0.9)))
        reach = torch.where(met, low, scale)
        x = origin + (torch.rand(RAYS, generator=generator, dtype=x.dtype) * reach)[:, None] * along
        # places in a far corner do not stay there
        weights = reach if number < FIRST else torch.ones_like(reach)
        weights = weights * finite(x)
        if number >= FIRST:
            ends.append((origin + low[:, None] * along)[met])
            inside.append(x[finite(x)])
            closed &= bool(met.all())
    return (torch.cat(ends), torch.cat(inside), closed) if ends else (x[:0], x[:0], False)


def _monomials(u: Tensor) -> Tensor:
    """1, u_i and u_i u_j (…, columns) of u (…, D)."""
    dim = u.shape[-1]
    second = [u[..., i] * u[..., j] for i, j in itertools.combinations_with_replacement(range(dim), 2)]
    return torch.stack([torch.ones_like(u[..., 0]), *u.unbind(-1), *second], -1)


def _values(functions: Tensor, u: Tensor) -> Tensor:
    """Values (n, K) of functions with coefficients (K, columns) at u (n, D)."""
    return _monomials(u) @ functions.mT


def _slopes(functions: Tensor, u: Tensor) -> Tensor:
    """Gradients (n, K, D) of functions with coefficients (K, columns) at u (n, D)."""
    dim = u.shape[1]
    found = functions[:, 1 : 1 + dim].repeat(len(u), 1, 1)
    for column, (i, j) in enumerate(itertools.combinations_with_replacement(range(dim), 2)):
        weight = functions[:, 1 + dim + column]
        found[:, :, i] += weight * u[:, j, None]
        found[:, :, j] += weight * u[:, i, None]
    return found


def _apart(function: Tensor, u: Tensor) -> Tensor:
    """How far places u (n, D) are from the surface of one function, to first order."""
    slope: Tensor = _slopes(function[None], u)[:, 0].norm(dim=1)
    return _values(function[None], u)[:, 0].abs() / slope.clamp(min=1e-12 * float(function.abs().max()))


def _designs(u: Tensor) -> list[Tensor]:
    """The columns that planes, spheres and quadrics are made of: matrices (columns, unknowns)."""
    dim, columns = u.shape[1], _monomials(u[:1]).shape[1]
    full = torch.eye(columns, dtype=u.dtype)
    pairs = list(itertools.combinations_with_replacement(range(dim), 2))
    round_ = full[:, [1 + dim + n for n, (i, j) in enumerate(pairs) if i == j]].sum(1, keepdim=True)
    return [full[:, : 1 + dim], torch.cat([full[:, : 1 + dim], round_], 1), full]


def _surface(u: Tensor, generator: torch.Generator) -> Tensor | None:
    """Coefficients of the simplest surface through many of the ends u (n, D); None if there is none."""
    monomials = _monomials(u)
    near = torch.cdist(u, u).topk(min(len(u), max(NEIGHBOURS, len(u) // 10)), largest=False).indices
    for design in _designs(u):
        columns = monomials @ design
        count = columns.shape[1] - 1
        best, most = None, max(LEAST, 2 * count) - 1
        for _ in range(TRIALS):
            around = near[int(torch.randint(len(u), (1,), generator=generator))]
            pick = around[torch.randperm(len(around), generator=generator)[:count]]
            function = design @ _null(columns[pick])
            on_it = _apart(function, u) <= 1e3 * CLOSE
            if int(on_it.sum()) > most:
                # all of them together place it better
                better = design @ _null(columns[on_it])
                fine = int((_apart(better, u) <= CLOSE).sum())
                if fine > most:
                    best, most = better, fine
        if best is not None:
            return best
    return None


def _null(columns: Tensor) -> Tensor:
    """The combination of columns (n, m) that is nearest to 0."""
    combination: Tensor = torch.linalg.svd(columns, full_matrices=True).Vh[-1]
    return combination


def _edges(functions: Tensor, u: Tensor) -> tuple[tuple[int, int, float], ...]:
    """Pairs of surfaces that meet on the region's boundary, with the angle inside, right angles left out."""
    found = []
    for j, k in itertools.combinations(range(len(functions)), 2):
        both = functions[[j, k]]
        on_first = u[_apart(functions[j], u) <= CLOSE]
        start = on_first[_apart(functions[k], on_first).topk(min(8, len(on_first)), largest=False).indices]
        for _ in range(NEWTON):
            step = torch.linalg.pinv(_slopes(both, start)) @ _values(both, start)[:, :, None]
            start = start - step[:, :, 0]
        good = (_values(both, start).abs().amax(1) < CLOSE) & (_values(functions, start).amin(1) > -CLOSE)
        if not bool(good.any()):
            continue
        normals = _slopes(both, start[good])
        normals = normals / normals.norm(dim=2, keepdim=True)
        angle = math.pi - (normals[:, 0] * normals[:, 1]).sum(1).clamp(-1, 1).acos()
        if float(angle.max() - angle.min()) > SAME:
            # not one power along the edge
            continue
        if SAME < float(angle[0]) < math.pi - SAME and abs(float(angle[0]) - 0.5 * math.pi) > SAME:
            found.append((j, k, float(angle[0])))
    return tuple(found)
