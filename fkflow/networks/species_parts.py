"""Parts for particles of several species: places and differences by mass, layers with biases by kind, choices of rows.

Internal coordinates are those of unit mass, y = √m x, (D, N, B). A kind is that of a particle, its species, or of a pair.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from fkflow.hamiltonian.geometry import add_to_pairs, add_to_particles, pair_differences, pairs
from fkflow.networks.layers import Linear, affine, spread_out
from fkflow.networks.messages import PairLinear
from fkflow.networks.pair_tangents import CoordinateTangent, Masses, PairTangent
from fkflow.networks.parts import Node, Part
from fkflow.networks.tangents import Tangent


class _ByMass(Part):
    """A part that knows the `masses` (N,) of the particles: √m (N, 1), 1/m (N, 1), and 2μ of all pairs (pairs, 1)."""

    exact: ClassVar[tuple[str, ...]] = ("roots", "inverse", "reduced")

    roots: Tensor
    inverse: Tensor
    reduced: Tensor

    def __init__(self, masses: Sequence[float]) -> None:
        super().__init__()
        given = torch.tensor(masses, dtype=torch.float64)[:, None]
        first, second = pairs(len(given), given.device)
        self.register_buffer("roots", given.sqrt(), persistent=False)
        self.register_buffer("inverse", 1 / given, persistent=False)
        self.register_buffer("reduced", 2 / (self.inverse[first] + self.inverse[second]), persistent=False)
        self.total = float(given.sum())


class SpeciesPlaces(_ByMass):
    """Places √m x of particles from internal coordinates, in the given precision, less an offset (D, N, 1) of each particle.

    `relative`: from their centre of mass X, √m (x − X).
    """

    exact: ClassVar[tuple[str, ...]] = ("roots", "inverse", "reduced", "offsets")

    offsets: Tensor

    def __init__(self, masses: Sequence[float], offsets: Tensor, relative: bool) -> None:
        super().__init__(masses)
        self.relative = relative
        self.register_buffer("offsets", offsets)

    def _project(self, y: Tensor) -> Tensor:
        if not self.relative:
            return y
        roots = self.roots.to(y.dtype)
        return y - (y * roots).sum(1, keepdim=True) * (roots / self.total)

    def value(self, *inputs: Tensor) -> Tensor:
        y, precision = inputs
        return (self._project(y) - self.offsets).to(precision)

    def pull_back(self, node: Node, gradient: Tensor) -> None:
        node.inputs[0].add(self._project(gradient), new=self.relative)

    def tangent(self, node: Node) -> CoordinateTangent:
        share = 1 / self.total if self.relative else 0.0
        norm = 1 - share * self.roots.square() if self.relative else torch.ones_like(self.roots)
        masses = Masses(self.inverse, self.reduced, share)
        return CoordinateTangent(node.value, norm, of_pairs=False, masses=masses)


class SpeciesDifferences(_ByMass):
    """√(2μ) (x_i − x_j) of all pairs i < j with the reduced mass μ, rounded to the given precision.

    In these the relative motion of two particles has the Hamiltonian −Δ + V of two of mass 1.
    """

    def value(self, *inputs: Tensor) -> Tensor:
        y, precision = inputs
        found = pair_differences(y / self.roots, *pairs(int(y.shape[1]), y.device))
        return (found * self.reduced.sqrt()).to(precision)

    def pull_back(self, node: Node, gradient: Tensor) -> None:
        y, precision = node.inputs[0], gradient.dtype
        scaled = gradient * self.reduced.sqrt().to(precision)
        of_particles = add_to_particles(y.value.new_empty(y.value.shape, dtype=precision), scaled, sign=-1, keep=False)
        y.add(of_particles / self.roots.to(precision))

    def tangent(self, node: Node) -> CoordinateTangent:
        return CoordinateTangent(node.value, 2.0, of_pairs=True)


class Means(Part):
    """Sums over the particles (K, D, B) of coordinates (D, N, B) with orthonormal weights W (K, N), in the given precision.

    `flat`: all components one behind the other, (K · D, 1, B).
    """

    exact: ClassVar[tuple[str, ...]] = ("weights",)

    weights: Tensor

    def __init__(self, weights: Tensor, flat: bool) -> None:
        super().__init__()
        self.flat = flat
        self.register_buffer("weights", weights, persistent=False)

    def value(self, *inputs: Tensor) -> Tensor:
        y, precision = inputs
        found = (self.weights.to(y.dtype) @ y.movedim(1, 0).flatten(1)).view(len(self.weights), y.shape[0], y.shape[2])
        return (found.flatten(0, 1).unsqueeze(1) if self.flat else found).to(precision)

    def pull_back(self, node: Node, gradient: Tensor) -> None:
        y, weights = node.inputs[0], self.weights.to(gradient.dtype)
        dim, n, batch = y.value.shape
        found = (weights.mT @ gradient.reshape(len(weights), -1)).view(n, dim, batch)
        y.add(found.movedim(0, 1).contiguous())

    def tangent(self, node: Node) -> CoordinateTangent:
        return CoordinateTangent(node.value, 1.0, of_pairs=False)


class Select(Part):
    """Some particles or pairs (…, rows, B) of values (…, particles or pairs, B)."""

    rows: Tensor

    def __init__(self, rows: Sequence[int]) -> None:
        super().__init__()
        self.register_buffer("rows", torch.tensor(rows, dtype=torch.long), persistent=False)

    def value(self, *inputs: Tensor) -> Tensor:
        return inputs[0].index_select(-2, self.rows)

    def pull_back(self, node: Node, gradient: Tensor) -> None:
        node.inputs[0].own_gradient(gradient.dtype).index_add_(-2, self.rows, gradient)

    def tangent(self, node: Node) -> Tangent:
        found: Tangent = node.inputs[0].tangent.selected(self.rows)
        return found


class Join(Part):
    """Values (C, pairs, B) of all pairs from those of each kind, whose `rows` are given; the last input are the differences."""

    order: Tensor

    def __init__(self, rows: Sequence[Sequence[int]]) -> None:
        super().__init__()
        self.counts = [len(one) for one in rows]
        together = torch.tensor([row for one in rows for row in one], dtype=torch.long)
        self.register_buffer("order", together.argsort(), persistent=False)
        self.register_buffer("together", together, persistent=False)

    def value(self, *inputs: Tensor) -> Tensor:
        return torch.cat(inputs[:-1], -2).index_select(-2, self.order)

    def pull_back(self, node: Node, gradient: Tensor) -> None:
        pieces = gradient.index_select(-2, self.together).split(self.counts, -2)
        for one, piece in zip(node.inputs[:-1], pieces, strict=True):
            one.add(piece.contiguous())

    def tangent(self, node: Node) -> PairTangent:
        *kinds, differences = node.inputs
        derivatives = torch.cat([kind.tangent.derivative for kind in kinds], 1)
        return PairTangent(derivatives.index_select(1, self.order), differences.tangent)

    together: Tensor


class KindLinear(Linear):
    """A linear layer with a bias for each kind of row: biases (kinds, out), and the kind of each row of its input."""

    kinds: Tensor

    def __init__(self, ins: int, outs: int, kinds: Sequence[int]) -> None:
        super().__init__(ins, outs)
        self.bias = nn.Parameter(torch.zeros(max(kinds) + 1, outs))
        self.register_buffer("kinds", torch.tensor(kinds, dtype=torch.long), persistent=False)

    def value(self, *inputs: Tensor) -> Tensor:
        return affine(torch.cat(inputs), self.weight) + of_kinds(self.bias, self.kinds)

    def evaluate(self, *inputs: Tensor, derivatives: bool) -> tuple[Tensor, Any]:
        weights = self.pieces(inputs)
        out = weights[0] @ inputs[0].flatten(1)
        for one, weight in zip(inputs[1:], weights[1:], strict=True):
            out.addmm_(weight, one.flatten(1))
        return out.view(len(self.weight), *inputs[0].shape[1:]).add_(of_kinds(self.bias, self.kinds)), None


class KindPairLinear(PairLinear):
    """As `PairLinear`, with a bias for each kind of pair."""

    kinds: Tensor

    def __init__(self, ins: int, outs: int, kinds: Sequence[int]) -> None:
        super().__init__(ins, outs)
        self.bias = nn.Parameter(torch.zeros(max(kinds) + 1, outs))
        self.register_buffer("kinds", torch.tensor(kinds, dtype=torch.long), persistent=False)

    def value(self, *inputs: Tensor) -> Tensor:
        sent, particle, features = inputs
        of_sent, of_particle, of_features = self.pieces(inputs)
        ends = affine(particle, of_particle)
        first, second = pairs(particle.shape[1], particle.device)
        total = affine(sent, of_sent) + affine(features, of_features) + of_kinds(self.bias, self.kinds)
        return total + ends.index_select(1, first) + ends.index_select(1, second)

    def evaluate(self, *inputs: Tensor, derivatives: bool) -> tuple[Tensor, Any]:
        sent, particle, features = inputs
        of_sent, of_particle, of_features = self.pieces(inputs)
        out = (of_sent @ sent.flatten(1)).addmm_(of_features, features.flatten(1)).view(-1, *sent.shape[1:])
        ends = (of_particle @ particle.flatten(1)).view(len(self.weight), *particle.shape[1:])
        return add_to_pairs(out.add_(of_kinds(self.bias, self.kinds)), ends), None


def of_kinds(bias: Tensor, kinds: Tensor) -> Tensor:
    """The biases (out, rows, 1 or B) of rows of these kinds (rows,), from (kinds, out) or a copy of that per walker."""
    return spread_out(bias, 2).index_select(0, kinds).transpose(0, 1)
