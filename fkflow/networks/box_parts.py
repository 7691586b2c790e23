"""Parts of networks in periodic boxes: distances and places as functions that are the same at every image.

Along a periodic axis of side L a difference d enters as (L/π)² sin²(πd/L), which is d² where d is small, and smooth where the
nearest image changes. Any smooth function of the sum over the axes is a smooth function in the box. Its gradient is along
(L/2π) sin(2πd/L) on each axis, which takes the place of the difference itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from fkflow.hamiltonian.geometry import add_to_particles, nearest_images, pair_differences, pairs
from fkflow.networks.confinement import FAR
from fkflow.networks.pair_tangents import CoordinateTangent, ParticleTangent, SquareTangent
from fkflow.networks.parts import Node, Part, TermOfCoordinates
from fkflow.networks.tangents import rounded

if TYPE_CHECKING:
    from fkflow.hamiltonian.geometry import Ends


class PairSquares(Part):
    """Squared distances (pairs, B) in a box, from coordinates y (D, N, B), rounded to the given precision.

    They are smooth, or those of the nearest images. `sides` (D,) are in units of the coordinates, infinite along open axes. A
    third input are the pairs (`geometry.Ends`), if they are not all.
    """

    curved: ClassVar[bool] = True

    def __init__(self, sides: Sequence[float], *, smooth: bool) -> None:
        super().__init__()
        self.smooth = smooth
        self.sides = tuple(sides)

    def _along(self, y: Tensor, near: Sequence[Ends]) -> tuple[Tensor, Tensor]:
        """The differences (D, pairs, B) of nearest images, and the sides (D, 1, 1)."""
        apart = pair_differences(y, *(near[0] if near else pairs(int(y.shape[1]), y.device)))
        side = torch.tensor(self.sides, dtype=y.dtype, device=y.device).view(-1, 1, 1)
        return nearest_images(apart, self.sides), side

    def value(self, *inputs: Any) -> Tensor:
        y, precision, *near = inputs
        apart, side = self._along(y, near)
        if self.smooth:
            apart = _half(side, apart, (math.pi / side * apart).sin())
        return apart.to(precision).square().sum(0)

    def evaluate(self, *inputs: Any, derivatives: bool) -> tuple[Tensor, Any]:
        y, precision, *near = inputs
        if not derivatives:
            return self.value(*inputs), None
        apart, side = self._along(y, near)
        if not self.smooth:
            apart = apart.to(precision)
            return apart.square().sum(0), (apart, None)
        angle = math.pi / side * apart
        sine, cosine = angle.sin(), angle.cos()
        half = _half(side, apart, sine).to(precision)
        # half the gradient of the square, and its derivative
        return half.square().sum(0), (half * cosine.to(precision), (1 - 2 * sine.square()).to(precision))

    def pull_back(self, node: Node, gradient: Tensor) -> None:
        half, _ = node.saved
        y, _, *near = node.inputs
        ends = near[0] if near else None
        add_to_particles(y.own_gradient(gradient.dtype), half * (2 * gradient), sign=-1, ends=ends)

    def tangent(self, node: Node) -> SquareTangent:
        return SquareTangent(CoordinateTangent(node.saved[0], 2.0, of_pairs=True, chained=False))

    def laplacian_term(self, node: Node) -> Any:
        half, curvature = node.saved
        return 4.0 * len(half) if curvature is None else 4.0 * curvature.sum(0)


def _half(side: Tensor, apart: Tensor, sine: Tensor) -> Tensor:
    """L/π times the sine of half an angle, the difference itself along an open axis."""
    return torch.where(side.isinf(), apart, side.nan_to_num(posinf=0.0) / math.pi * sine)


class Harmonics(Part):
    """h cos ky and h sin ky with k = 2πm/L, m = 1 … `count`, along each axis: (2 · count · D, N, B) of places y (D, N, B).

    Along an open axis both are 0. Their heights h = min(1, 1/k²) bound their second derivatives: short waves must be learned,
    they are not there by chance.
    """

    curved: ClassVar[bool] = True

    def __init__(self, sides: Sequence[float], count: int) -> None:
        super().__init__()
        self.sides, self.count = tuple(sides), count

    def _wave_numbers(self, y: Tensor) -> Tensor:
        """2πm/L (count, D, 1, 1)."""
        side = torch.tensor(self.sides, dtype=y.dtype, device=y.device)
        order = torch.arange(1, self.count + 1, dtype=y.dtype, device=y.device)
        return (2 * math.pi * order[:, None] / side)[..., None, None]

    def value(self, *inputs: Any) -> Tensor:
        y, precision = inputs
        k = self._wave_numbers(y)
        angle, height = k * y, k.square().reciprocal().clamp(max=1.0) * (k > 0)
        return torch.stack([height * angle.cos(), height * angle.sin()]).flatten(0, 2).to(precision)

    def _derivatives(self, node: Node) -> Tensor:
        """By the coordinate of each function: (2, count, D, N, B)."""
        y = node.inputs[0].value
        cosine, sine = node.value.view(2, self.count, *y.shape)
        return torch.stack([-sine, cosine]) * self._wave_numbers(y).to(sine)

    def pull_back(self, node: Node, gradient: Tensor) -> None:
        y = node.inputs[0]
        shape = 2, self.count, *y.value.shape
        y.add((gradient.view(shape) * self._derivatives(node)).sum((0, 1)))

    def tangent(self, node: Node) -> ParticleTangent:
        y = node.inputs[0].value
        slopes = rounded(self._derivatives(node))
        dim = len(y)
        own = slopes.new_zeros(2, self.count, dim, dim, *y.shape[1:])
        for axis in range(dim):
            own[:, :, axis, axis] = slopes[:, :, axis]
        return ParticleTangent(CoordinateTangent(y, 1.0, of_pairs=False), own=own.flatten(0, 2))

    def laplacian_term(self, node: Node) -> Tensor:
        y = node.inputs[0].value
        square = self._wave_numbers(y).to(node.value).square()
        return -(node.value.view(2, self.count, *y.shape) * square).view(node.value.shape)


class OpenPlaces(Part):
    """s = t/√(1 + t²/FAR²) and s²/2 of t = (y − c)/w for open axes, (2 · axes, N, B) of places y (D, N, B).

    `axes` with the `middles` c and the deviations w of the particles, in units of the coordinates.
    """

    curved: ClassVar[bool] = True

    def __init__(self, axes: Sequence[int], middles: Sequence[float], widths: Sequence[float]) -> None:
        super().__init__()
        self.axes, self.middles, self.widths = tuple(axes), tuple(middles), tuple(widths)

    def _derivatives(self, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """s and its first two derivatives by y, (axes, N, B)."""
        t, width = _reduced(self, y)
        flat = (1 + (t / FAR).square()).rsqrt()
        return t * flat, flat**3 / width, -3 * t / FAR**2 * flat**5 / width.square()

    def value(self, *inputs: Any) -> Tensor:
        y, precision = inputs
        s, _, _ = self._derivatives(y)
        return torch.cat([s, 0.5 * s.square()]).to(precision)

    def pull_back(self, node: Node, gradient: Tensor) -> None:
        y = node.inputs[0]
        s, slope, _ = self._derivatives(y.value)
        first, second = gradient.chunk(2)
        found = torch.zeros_like(y.value)
        found[list(self.axes)] = (slope * (first + s * second)).to(found)
        y.add(found)

    def tangent(self, node: Node) -> ParticleTangent:
        y = node.inputs[0].value
        s, slope, _ = self._derivatives(y)
        own = rounded(slope).new_zeros(2, len(self.axes), len(y), *y.shape[1:])
        for number, axis in enumerate(self.axes):
            own[0, number, axis], own[1, number, axis] = slope[number], (s * slope)[number]
        return ParticleTangent(CoordinateTangent(y, 1.0, of_pairs=False), own=own.flatten(0, 1))

    def laplacian_term(self, node: Node) -> Tensor:
        s, slope, curvature = self._derivatives(node.inputs[0].value)
        return torch.cat([curvature, s * curvature + slope.square()])


def _reduced(part: OpenPlaces | OpenTails, y: Tensor) -> tuple[Tensor, Tensor]:
    """t = (y − c)/w along the open axes (axes, N, B), and w (axes, 1, 1)."""
    width, middle = (y.new_tensor(numbers).view(-1, 1, 1) for numbers in (part.widths, part.middles))
    return (y[list(part.axes)] - middle) / width, width


class OpenTails(TermOfCoordinates):
    """−Σ [½ w_0 t² + w_1 (√(1 + t²) − 1) + w_2 ((1 + t²)^{3/2} − 1)] (B,) of t = (y − c)/w of all particles along open axes.

    Called with places y (D, N, B) and weights (axes, 3), or one copy per walker (B, axes, 3).
    """

    def __init__(self, axes: Sequence[int], middles: Sequence[float], widths: Sequence[float]) -> None:
        super().__init__()
        self.axes, self.middles, self.widths = tuple(axes), tuple(middles), tuple(widths)

    def value(self, *inputs: Any) -> Tensor:
        return self.evaluate(*inputs, derivatives=False)[0]

    def evaluate(self, *inputs: Any, derivatives: bool) -> tuple[Tensor, Any]:
        y, weights = inputs
        t, width = _reduced(self, y)
        root = (1 + t.square()).sqrt()
        # (axes, 1, 1), or (axes, 1, B)
        first, second, third = (w.movedim(0, -1) if w.dim() > 1 else w[:, None] for w in weights.unbind(-1))
        first, second, third = (w.unsqueeze(1) for w in (first, second, third))
        value = -(0.5 * first * t.square() + second * (root - 1) + third * (root**3 - 1)).sum((0, 1))
        if not derivatives:
            return value, None
        slope = -(first + second / root + 3 * third * root) * t / width
        curvature = -(first + second / root**3 + 3 * third * (root + t.square() / root)) / width.square()
        gradient = torch.zeros_like(y)
        gradient[list(self.axes)] = slope.to(gradient)
        return value, (gradient, curvature.sum((0, 1)))
