"""Parts for molecules that have a shape: bonds and angles, vibrations in the order of each exchange, their Gaussian."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from fkflow.hamiltonian.shape import SMOOTH, Coordinates
from fkflow.networks.layers import affine
from fkflow.networks.parts import Node, Part, Term
from fkflow.networks.tangents import DenseTangent, rounded


class _Saved(NamedTuple):
    """Lengths of bonds (b, B) and unit vectors along them (D, b, B); the same of the sides of angles, and cosines (a, B)."""

    length: Tensor
    unit: Tensor
    sides: tuple[Tensor, Tensor]
    ways: tuple[Tensor, Tensor]
    cosine: Tensor


class BondsAndAngles(Part):
    """Internal coordinates less their places at the minimum, (Q, B), of particles at y (D, N, B): bonds, then angles.

    `length` is the unit of y.
    """

    curved: ClassVar[bool] = True
    exact: ClassVar[tuple[str, ...]] = ("weights", "scales", "places")

    weights: Tensor
    bonds: Tensor
    angles: Tensor
    scales: Tensor
    places: Tensor

    def __init__(self, coordinates: Coordinates, places: Tensor, length: float) -> None:
        super().__init__()
        self.register_buffer("weights", coordinates.weights.clone())
        self.register_buffer("bonds", coordinates.bonds.mT.contiguous())
        self.register_buffer("angles", coordinates.angles.mT.contiguous())
        self.register_buffer("scales", coordinates.scales / length)
        self.register_buffer("places", places / length)

    def value(self, *inputs: Any) -> Tensor:
        return self.evaluate(*inputs, derivatives=False)[0]

    def evaluate(self, *inputs: Any, derivatives: bool) -> tuple[Tensor, _Saved | None]:
        y, precision = inputs
        x = y * self.weights[:, None]
        length, unit = _polar(x.index_select(1, self.bonds[0]) - x.index_select(1, self.bonds[1]))
        apex = x.index_select(1, self.angles[0])
        first, second = (_polar(x.index_select(1, self.angles[k]) - apex) for k in (1, 2))
        cosine = (first[1] * second[1]).sum(0)
        found = torch.cat([length, self.scales[:, None] * (SMOOTH * cosine).arccos()]) - self.places[:, None]
        saved = _Saved(length, unit, (first[0], second[0]), (first[1], second[1]), cosine) if derivatives else None
        return found.to(precision), saved

    def _of_cosine(self, saved: _Saved) -> tuple[Tensor, Tensor]:
        """First and second derivatives (a, B) of s·arccos(η c) by c."""
        inverse = (1 - (SMOOTH * saved.cosine).square()).rsqrt()
        slope = -SMOOTH * self.scales[:, None] * inverse
        return slope, slope * SMOOTH**2 * saved.cosine * inverse.square()

    def _slopes(self, saved: _Saved) -> tuple[Tensor, Tensor, Tensor]:
        """Gradients (D, ·, B) of the bonds by their first ends, and of the cosines by the two ends of each angle."""
        first, second = saved.ways
        by_first = (second - saved.cosine * first) / saved.sides[0]
        by_second = (first - saved.cosine * second) / saved.sides[1]
        return saved.unit, by_first, by_second

    def pull_back(self, node: Node, gradient: Tensor) -> None:
        y, saved = node.inputs[0], node.saved
        of_bonds, of_angles = gradient.split([self.bonds.shape[1], self.angles.shape[1]])
        slope = self._of_cosine(saved)[0] * of_angles
        unit, by_first, by_second = self._slopes(saved)
        along, one, other = unit * of_bonds, by_first * slope, by_second * slope
        moved = torch.zeros_like(y.value)
        for places, pull in zip((*self.bonds, *self.angles), (along, -along, -one - other, one, other), strict=True):
            moved.index_add_(1, places, pull)
        y.add(moved * self.weights[:, None])

    def tangent(self, node: Node) -> DenseTangent:
        """By all coordinates, (Q, N · D, B)."""
        saved: _Saved = node.saved
        dim, count, batch = saved.unit.shape
        slope = self._of_cosine(saved)[0]
        unit, by_first, by_second = (one.transpose(0, 1) for one in self._slopes(saved))
        one, other = by_first * slope.unsqueeze(1), by_second * slope.unsqueeze(1)
        found = unit.new_zeros(count + len(one), len(self.weights), dim, batch)
        of_bonds = torch.arange(count, device=unit.device)
        of_angles = count + torch.arange(len(one), device=unit.device)
        rows = (of_bonds, of_bonds, of_angles, of_angles, of_angles)
        for row, places, pull in zip(
            rows, (*self.bonds, *self.angles), (unit, -unit, -one - other, one, other), strict=True
        ):
            found[row, places] = pull * self.weights[places].view(-1, 1, 1)
        return DenseTangent(rounded(found).flatten(1, 2))

    def laplacian_term(self, node: Node) -> Tensor:
        saved: _Saved = node.saved
        squares, dim = self.weights.square()[:, None], len(saved.unit)
        of_bonds = (dim - 1) * (squares[self.bonds[0]] + squares[self.bonds[1]]) / saved.length
        slope, curvature = self._of_cosine(saved)
        (a, b), c = saved.sides, saved.cosine
        apex, first, second = (squares[places] for places in self.angles)
        of_cosine = 2 * apex * (dim - 2 + c.square()) / (a * b)
        of_cosine = of_cosine - (dim - 1) * c * ((first + apex) / a.square() + (second + apex) / b.square())
        _, by_first, by_second = self._slopes(saved)
        gradient = first * by_first.square().sum(0) + second * by_second.square().sum(0)
        gradient = gradient + apex * (by_first + by_second).square().sum(0)
        return torch.cat([of_bonds, slope * of_cosine + curvature * gradient])


def _polar(apart: Tensor) -> tuple[Tensor, Tensor]:
    """Lengths (n, B) of vectors (D, n, B), and unit vectors."""
    length = (apart.square().sum(0) + 1e-24).sqrt()
    return length, apart / length


class Vibrations(Part):
    """Combinations (K, G, B) of coordinates (Q, B) in the order of each exchange, for `modes` (Q, K) and `exchanges` (G, Q)."""

    modes: Tensor

    def __init__(self, modes: Tensor, exchanges: Tensor) -> None:
        super().__init__()
        self.count = len(exchanges)
        # in place p stands the coordinate exchanges[p]
        turned = torch.stack([modes[order.argsort()] for order in exchanges], 2)
        self.register_buffer("modes", turned.flatten(1).mT.contiguous())

    def value(self, *inputs: Tensor) -> Tensor:
        (coordinates,) = inputs
        return (self.modes @ coordinates).view(-1, self.count, coordinates.shape[1])

    def pull_back(self, node: Node, gradient: Tensor) -> None:
        node.inputs[0].add_product(self.modes.mT, gradient.flatten(0, 1))

    def tangent(self, node: Node) -> DenseTangent:
        of_coordinates = node.inputs[0].tangent
        assert isinstance(of_coordinates, DenseTangent)
        components = of_coordinates.components
        found = (self.modes.to(components.dtype) @ components.flatten(1)).view(-1, self.count, *components.shape[1:])
        return DenseTangent(found.transpose(1, 2).flatten(2))


class MeanGaussian(Term):
    """−½ |Lᵀ a|² (B,) averaged over the exchanges of a (K, G, B), for L (K, K) or one per walker (B, K, K)."""

    curved: ClassVar[bool] = True

    def value(self, *inputs: Any) -> Tensor:
        a, root = inputs
        return -0.5 / a.shape[1] * affine(a, root.mT).square().sum((0, 1))

    def evaluate(self, *inputs: Any, derivatives: bool) -> tuple[Tensor, Tensor]:
        a, root = inputs
        turned = (root.mT @ a.flatten(1)).view(a.shape)
        return turned.square().sum((0, 1)).mul_(-0.5 / int(a.shape[1])), turned

    def pull_back(self, node: Node, gradient: Any = None) -> None:
        a, root = node.inputs
        a.add_product(root, node.saved, -1.0 / int(a.value.shape[1]))

    def laplacian_term(self, node: Node) -> Tensor:
        a, root = node.inputs
        squares = a.tangent.linear(root.mT).squares().view(a.value.shape)
        found: Tensor = squares.sum((0, 1)) / -int(a.value.shape[1])
        return found
