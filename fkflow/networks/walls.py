"""The factor of ψ that vanishes on hard walls: the ground state of a flat region within them.

With it log ψ is −∞ beyond a wall, so that walkers never go there, and the network, which is smooth, need not know of walls.
The factor is an eigenfunction of −½Δ: where V is flat its local energy is the same everywhere, however near the wall.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fkflow.hamiltonian.surfaces import Surfaces
from fkflow.hamiltonian.system import System
from fkflow.hamiltonian.walls import Ball, Walls
from fkflow.networks.parts import Term, TermOfCoordinates
from fkflow.networks.surface_factor import SurfaceFactor

#: terms of a series that is summed to the last digit
TERMS = 24


def flat_state(axes: int) -> list[float]:
    """Coefficients of G in F(s) = (1 − s) G(s), the ground state in a ball of radius 1, s = r², in so many dimensions.

    F is cos(πr/2) on a line, J0(kr) in a disc, sin(πr)/(πr) in a sphere: Σ (−q s)^m/(m! (D/2)_m) with F(1) = 0.
    """

    def terms(q: float) -> list[float]:
        found = [1.0]
        for m in range(1, TERMS):
            found.append(-found[-1] * q / (m * (0.5 * axes + m - 1)))
        return found

    # bisection between 0 and a bound of the first zero
    low, high = 0.0, 0.5 * axes * (0.25 * axes + 2)
    for _ in range(200):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if math.fsum(terms(middle)) > 0 else (low, middle)
    series = terms(0.5 * (low + high))
    # F/(1 − s): sums of the first coefficients
    return [math.fsum(series[: m + 1]) for m in range(TERMS - 1)]


class WallFactor(TermOfCoordinates):
    """Σ λ log d (B,) over particles and their walls, λ the power of the wall, from coordinates y (D, N, B): −∞ beyond a wall.

    `walls` are in the solver's coordinates x = `origin` (N, D) + `length` · y.
    """

    def __init__(self, walls: Walls, origin: Tensor, length: float) -> None:
        super().__init__()
        #: pieces of the same axes and kind: the names of their buffers end with their number
        self.kinds: list[tuple[tuple[int, ...], bool]] = []
        names = []
        both = sorted({(piece.axes, isinstance(piece, Ball)) for region in walls.regions for piece in region})
        for number, (axes, ball) in enumerate(both):
            found = [
                (i, piece)
                for i, region in enumerate(walls.regions)
                for piece in region
                if piece.axes == axes and isinstance(piece, Ball) == ball
            ]
            which = torch.tensor([i for i, _ in found])
            offset = origin[which][:, list(axes)].T
            centre, size = zip(*(_numbers(piece) for _, piece in found), strict=True)
            powers = origin.new_tensor([piece.power for _, piece in found])[:, None]
            self.register_buffer(f"power{number}", powers)
            self.register_buffer(f"particles{number}", which)
            self.register_buffer(f"centre{number}", ((origin.new_tensor(centre).T - offset) / length)[:, :, None])
            self.register_buffer(f"size{number}", (origin.new_tensor(size) / (length if ball else 1.0))[:, None])
            self.register_buffer(f"series{number}", origin.new_tensor(flat_state(len(axes)) if ball else []))
            names += [f"{name}{number}" for name in ("centre", "size", "series", "power")]
            self.kinds.append((axes, ball))
        #: stay in double precision where the network is rounded: ψ must vanish just where V becomes infinite
        self.exact = tuple(names)

    def value(self, *inputs: Any) -> Tensor:
        (y,) = inputs
        total = y.new_zeros(y.shape[-1])
        for number in range(len(self.kinds)):
            total = total + self._piece(y, number, derivatives=False)[0]
        return total

    def evaluate(self, *inputs: Any, derivatives: bool) -> tuple[Tensor, Any]:
        (y,) = inputs
        if not derivatives:
            return self.value(y), None
        total, gradient, laplacian = y.new_zeros(y.shape[-1]), torch.zeros_like(y), y.new_zeros(y.shape[-1])
        for number, (axes, _) in enumerate(self.kinds):
            value, slope, curvature = self._piece(y, number, derivatives=True)
            total += value
            laplacian += curvature
            which = getattr(self, f"particles{number}")
            for row, axis in enumerate(axes):
                gradient[axis].index_add_(0, which, slope[row])
        return total, (gradient, laplacian)

    def _piece(self, y: Tensor, number: int, *, derivatives: bool) -> tuple[Tensor, ...]:
        """Value (B,), and with `derivatives` the gradient (axes, n, B) and Laplacian (B,), of pieces of one kind."""
        axes, ball = self.kinds[number]
        names = ("particles", "centre", "size", "power")
        which, centre, size, power = (getattr(self, f"{name}{number}") for name in names)
        part = torch.stack([y[axis].index_select(0, which) for axis in axes]).to(centre.dtype)
        offset = part - centre
        if not ball:
            distance = (size * offset).squeeze(0)
            inside = distance > 0
            safe = distance.where(inside, 1.0)
            value = (power * safe.log()).where(inside, -math.inf).sum(0)
            if not derivatives:
                return (value,)
            inverse = safe.reciprocal().where(inside, 0.0)
            return value, (power * size * inverse)[None], -(power * inverse.square()).sum(0)
        series = getattr(self, f"series{number}")
        u = offset / size
        s = u.square().sum(0)
        inside = s < 1
        s = s.where(inside, 0.0)
        g, first, second = series[-1], torch.zeros_like(s), torch.zeros_like(s)
        for coefficient in series[:-1].flip(0):
            if derivatives:
                second = torch.addcmul(2 * first, second, s)
                first = torch.addcmul(g, first, s)
            g = torch.addcmul(coefficient, g, s)
        value = (power * ((1 - s).log() + g.log())).where(inside, -math.inf).sum(0)
        if not derivatives:
            return (value,)
        near = (1 - s).reciprocal()
        by_s = first / g - near
        by_s_twice = second / g - (first / g).square() - near.square()
        slope = (2 * power * by_s / size).where(inside, 0.0) * u
        curvature = power * (2 * len(axes) * by_s + 4 * s * by_s_twice) / size.square()
        return value, slope, curvature.where(inside, 0.0).sum(0)


class BoundaryFactor(Term):
    """Σ_i log b(x_i) (B,) for the `boundary` b of a system, which is differentiated automatically."""

    def __init__(self, boundary: Callable[[Tensor], Tensor | None], origin: Tensor, length: float) -> None:
        super().__init__()
        self.boundary, self.length = boundary, length
        self.register_buffer("origin", origin.mT[:, :, None].clone())
        self.exact = ("origin",)

    def value(self, *inputs: Any) -> Tensor:
        (y,) = inputs
        found = self.boundary((self.origin + self.length * y).movedim(0, -1))
        assert found is not None
        inside = found > 0
        return found.where(inside, 1.0).log().where(inside, -math.inf).sum(0)

    if TYPE_CHECKING:
        origin: Tensor


def wall_factor(
    system: System, walls: Walls, origin: Tensor, length: float
) -> WallFactor | BoundaryFactor | SurfaceFactor:
    """The factor for these walls in coordinates y of a network, x = `origin` (N, D) + `length` · y."""
    if walls.stated:
        return BoundaryFactor(system.boundary, origin, length)
    surfaces = [piece for region in walls.regions for piece in region if isinstance(piece, Surfaces)]
    if surfaces:
        return SurfaceFactor(surfaces, origin, length)
    return WallFactor(walls, origin, length)


def _numbers(piece: Any) -> tuple[tuple[float, ...], float]:
    return (piece.centre, piece.radius) if isinstance(piece, Ball) else ((piece.edge,), piece.sign)
