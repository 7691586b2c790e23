"""Places of particles and differences of pairs, their squares, and how functions of these change with the positions.

Coordinates are (D, particles or pairs, B) in natural lengths, and tangents are gradients by those.
"""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from fkflow.hamiltonian.geometry import add_to_particles, pair_differences, pairs
from fkflow.networks.pair_tangents import CoordinateTangent, SquareTangent
from fkflow.networks.parts import Node, Part
from fkflow.networks.tangents import DenseTangent


class Places(Part):
    """Places of particles from internal coordinates, in the given precision: themselves, or relative to their centre of mass.

    A difference is taken in the precision of the coordinates and rounded afterwards.
    """

    def __init__(self, relative: bool) -> None:
        super().__init__()
        self.relative = relative

    def value(self, *inputs: Tensor) -> Tensor:
        y, precision = inputs
        return (y - y.mean(1, keepdim=True) if self.relative else y).to(precision)

    def pull_back(self, node: Node, gradient: Tensor) -> None:
        y = node.inputs[0]
        y.add(gradient - gradient.mean(1, keepdim=True) if self.relative else gradient, new=self.relative)

    def tangent(self, node: Node) -> CoordinateTangent:
        # a place moves by 1/N less with its own particle, and by −1/N with any other
        norm = 1 - 1 / node.value.shape[1] if self.relative else 1.0
        return CoordinateTangent(node.value, norm, of_pairs=False)


class CentreOfMass(Part):
    """The centre of mass (D, 1, B) of N particles, in the given precision."""

    def value(self, *inputs: Tensor) -> Tensor:
        y, precision = inputs
        return y.mean(1, keepdim=True).to(precision)

    def pull_back(self, node: Node, gradient: Tensor) -> None:
        (y, _), particles = node.inputs, node.inputs[0].value.shape[1]
        y.add((gradient / particles).expand(y.value.shape), new=False)

    def tangent(self, node: Node) -> CoordinateTangent:
        return CoordinateTangent(node.value, 1 / node.inputs[0].value.shape[1], of_pairs=False)


class Differences(Part):
    """Differences y_i − y_j of all pairs i < j, rounded to the given precision."""

    def value(self, *inputs: Tensor) -> Tensor:
        y, precision = inputs
        return pair_differences(y, *pairs(int(y.shape[1]), y.device)).to(precision)

    def pull_back(self, node: Node, gradient: Tensor) -> None:
        add_to_particles(node.inputs[0].own_gradient(gradient.dtype), gradient, sign=-1)

    def tangent(self, node: Node) -> CoordinateTangent:
        return CoordinateTangent(node.value, 2.0, of_pairs=True)


class Squares(Part):
    """Squared lengths (particles or pairs, B) of places or differences (D, particles or pairs, B)."""

    curved: ClassVar[bool] = True

    def value(self, *inputs: Tensor) -> Tensor:
        return inputs[0].square().sum(0)

    def pull_back(self, node: Node, gradient: Tensor) -> None:
        (a,) = node.inputs
        a.add(a.value * (2 * gradient))

    def tangent(self, node: Node) -> SquareTangent:
        tangent = node.inputs[0].tangent
        assert isinstance(tangent, CoordinateTangent)
        return SquareTangent(tangent)

    def laplacian_term(self, node: Node) -> Any:
        (a,) = node.inputs
        assert isinstance(a.tangent, CoordinateTangent)
        return 2.0 * len(a.value) * a.tangent.norm


class Whitening(Part):
    """z = Wᵀ y (d, 1, B) for all d = N D coordinates of y (D, N, B), particle by particle, and W (d, d)."""

    def value(self, *inputs: Tensor) -> Tensor:
        y, whiten = inputs
        return (whiten.mT @ y.transpose(0, 1).flatten(0, 1).to(whiten.dtype)).unsqueeze(1)

    def pull_back(self, node: Node, gradient: Tensor) -> None:
        y, whiten = node.inputs
        dim, n, batch = y.value.shape
        y.add((whiten @ gradient.squeeze(1)).view(n, dim, batch).transpose(0, 1).contiguous())

    def tangent(self, node: Node) -> DenseTangent:
        return DenseTangent(node.inputs[1].mT.unsqueeze(2))
