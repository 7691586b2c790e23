"""How values of pairs and of particles that exchange messages change with the positions of all particles.

What a pair sends depends on its distance alone. So the gradient of what particle i makes of its messages is −A_ik r_ik by
the position of another particle k, r_ik = z_i − z_k, with a number A_ik for each feature; by its own position it is
F_i = Σ_k A_ik r_ik + E_i, E_i by the place z_i itself; and all of them less E_i/N where places are relative to the centre of
mass. Layers of particles act on A, F and E alike.
"""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fkflow.hamiltonian.geometry import FEW, add_pair_gradients, pairs
from fkflow.networks.tangents import DenseTangent, Tangent, rounded


class Masses(NamedTuple):
    """Particles of several masses in coordinates z = √m x: what differences and places are made of.

    A difference is √(2μ) (x_i − x_j) with the reduced mass μ of the pair, whose gradients by z have the square 2, as for one
    mass; a place is √m x, or √m (x − X) with the centre of mass X. A, F and E above are then by the positions x, of
    differences of x, and squares of gradients are weighted by 1/m. `inverse` (N, 1) are 1/m, `reduced` (pairs, 1) are 2μ,
    and `share` is 1/Σm where places are relative, else 0.
    """

    inverse: Tensor
    reduced: Tensor
    share: float


class CoordinateTangent(Tangent):
    """Coordinates a_d (D, particles or pairs, B), whose gradients have the square `norm` and are orthogonal for different d.

    `norm` is a number, or one for each particle (N, 1). Those of pairs are `chained` where they are differences of places, so
    that a_ij = a_ik − a_jk.
    """

    def __init__(
        self, values: Tensor, norm: Any, *, of_pairs: bool, masses: Masses | None = None, chained: bool = True
    ) -> None:
        self.values, self.of_pairs, self.masses, self.chained = rounded(values), of_pairs, masses, chained
        self.norm = rounded(norm) if isinstance(norm, Tensor) else norm
        self.lengths_squared = self.values.square().sum(0)

    def selected(self, rows: Tensor) -> CoordinateTangent:
        """Those of some particles or pairs, which exchange no messages."""
        norm = self.norm.index_select(0, rows) if isinstance(self.norm, Tensor) else self.norm
        values = self.values.index_select(1, rows)
        return CoordinateTangent(values, norm, of_pairs=self.of_pairs, chained=self.chained)

    def radial(self, derivative: Tensor) -> Tangent:
        """Those of functions of the squared length |a|² with this derivative (C, particles or pairs, B) by it."""
        return PairTangent(derivative, self) if self.of_pairs else ParticleTangent(self, radial=derivative)

    def linear(self, weight: Tensor) -> Tangent:
        return ParticleTangent(self, direct=rounded(weight))

    def squares_of(self, weight: Tensor) -> Tensor:
        """Σ |∇(W a)|² over the rows of W (out, D) and the particles."""
        norm = self.norm.sum() if isinstance(self.norm, Tensor) else self.norm * int(self.values.shape[1])
        return weight.square().sum() * norm


class SquareTangent(Tangent):
    """Squared lengths |a|² of coordinates a."""

    def __init__(self, coordinates: CoordinateTangent) -> None:
        self.coordinates = coordinates

    def scaled(self, factor: Tensor) -> Tangent:
        return self.coordinates.radial(factor)

    def squares(self) -> Tensor:
        return self.coordinates.lengths_squared * (4 * self.coordinates.norm)

    def selected(self, rows: Tensor) -> SquareTangent:
        """Those of some particles or pairs."""
        return SquareTangent(self.coordinates.selected(rows))


class PairTangent(Tangent):
    """Functions (C, pairs, B) of the squared distance of each pair, with these derivatives by it."""

    def __init__(self, derivative: Tensor, pairs: CoordinateTangent) -> None:
        self.derivative, self.pairs = derivative, pairs

    def linear(self, weight: Tensor) -> PairTangent:
        found = rounded(weight) @ self.derivative.flatten(1)
        return PairTangent(found.view(len(weight), *self.derivative.shape[1:]), self.pairs)

    def add_linear(self, weight: Tensor, other: PairTangent) -> PairTangent:
        """These, in place, with those of weight (C, features) @ another value added."""
        self.derivative.flatten(1).addmm_(rounded(weight), other.derivative.flatten(1))
        return self

    def scaled(self, factor: Tensor) -> PairTangent:
        return PairTangent(factor.view(len(factor), *self.derivative.shape[1:]) * self.derivative, self.pairs)

    def squares(self) -> Tensor:
        # ∇r² is 2 r_ij by one particle and the opposite by the other
        return self.derivative.square().mul_(8 * self.pairs.lengths_squared).flatten(1)

    def selected(self, rows: Tensor) -> PairTangent:
        """Those of some pairs."""
        return PairTangent(self.derivative.index_select(1, rows), self.pairs.selected(rows))


class ParticleTangent(Tangent):
    """Values (C, N, B) of particles below their first nonlinear layer, by what they are made of.

    `radial` (C, N, B): derivatives by the squares of the `places`, `direct` (C, D): by the places themselves, `own`
    (C, D, N, B): the same where they vary, `sent`: by what all pairs of a particle send to it, times `weight`.
    """

    def __init__(
        self,
        places: CoordinateTangent,
        radial: Tensor | None = None,
        direct: Tensor | None = None,
        sent: PairTangent | None = None,
        weight: float = 1.0,
        own: Tensor | None = None,
    ) -> None:
        self.places, self.radial, self.direct, self.sent, self.weight = places, radial, direct, sent, weight
        self.own = own

    def linear(self, weight: Tensor) -> ParticleTangent:
        small = rounded(weight)
        radial = None
        if self.radial is not None:
            radial = (small @ self.radial.flatten(1)).view(len(small), *self.radial.shape[1:])
        direct = None if self.direct is None else small @ self.direct
        sent = None if self.sent is None else self.sent.linear(weight * self.weight)
        own = None if self.own is None else (small @ self.own.flatten(1)).view(len(small), *self.own.shape[1:])
        return ParticleTangent(self.places, radial, direct, sent, own=own)

    def __add__(self, other: Any) -> ParticleTangent:
        assert isinstance(other, ParticleTangent)
        radial, direct, sent, own = (
            _sum(getattr(self, name), getattr(other, name)) for name in ("radial", "direct", "sent", "own")
        )
        return ParticleTangent(self.places, radial, direct, sent, own=own)

    def scaled(self, factor: Tensor) -> MessageTangent:
        return self.dense.scaled(factor)

    def squares(self) -> Tensor:
        return self.dense.squares()

    @cached_property
    def dense(self) -> MessageTangent:
        """A, F and E in numbers."""
        places = self.places.values
        dim, n, batch = places.shape
        share = self.share
        others = 0 if self.sent is None else n
        rows = others + dim + (dim if share and others else 0)
        given = self.radial, self.direct, self.own, None if self.sent is None else self.sent.derivative
        count = next(len(one) for one in given if one is not None)
        components, metric = places.new_empty(count, rows, n, batch), places.new_empty(rows, n, batch)
        by_own, by_place = components[:, others : others + dim], components[:, rows - dim :]
        if self.radial is None:
            by_place.zero_()
        else:
            torch.mul(self.radial.mul(2).unsqueeze(1), places, out=by_place)
        if self.direct is not None:
            by_place += self.direct[:, :, None, None]
        if self.own is not None:
            by_place += self.own
        masses = self.places.masses
        if masses is not None:
            by_place *= rounded(masses.inverse).rsqrt()
        metric[others:] = (1.0 if others else 1 - share) if masses is None else rounded(masses.inverse)
        if masses is not None and not others:
            metric -= share
        if self.sent is not None:
            if share:
                by_own.copy_(by_place)
                metric[n + dim :] = -share
            received, apart = self.sent.derivative * (2 * self.weight), self.sent.pairs.values
            squares = self.sent.pairs.lengths_squared
            if masses is not None:
                reduced = rounded(masses.reduced)
                received, apart, squares = received * reduced, apart / reduced.sqrt(), squares / reduced
            _to_matrix(received, components[:, :n])
            _to_matrix(squares.unsqueeze(0), metric[:n].unsqueeze(0))
            if masses is not None:
                metric[:n] *= rounded(masses.inverse).unsqueeze(1)
            arrives = (received.unsqueeze(1) * apart).flatten(0, 1)
            by_own += add_pair_gradients(arrives.new_zeros(count * dim, n, batch), arrives).view(by_own.shape)
        return MessageTangent(components.flatten(2), metric.flatten(1), self)

    @property
    def share(self) -> Any:
        """By how much a place moves with every other particle, the opposite way; with masses, per mass of the other."""
        masses = self.places.masses
        return 1 - self.places.norm if masses is None else masses.share


def _sum(first: Any, second: Any) -> Any:
    return second if first is None else first if second is None else first + second


class MessageTangent(DenseTangent):
    """A, F and, where places are relative, E, in rows of components (C, N + D + D, N · B); without messages E alone."""

    def __init__(self, components: Tensor, metric: Tensor, made_of: ParticleTangent) -> None:
        super().__init__(components, metric)
        self.made_of = made_of

    def linear(self, weight: Tensor) -> MessageTangent:
        return self._like(super().linear(weight))

    def scaled(self, factor: Tensor) -> MessageTangent:
        return self._like(super().scaled(factor))

    def selected(self, rows: Tensor) -> DenseTangent:
        """Those of some particles, which exchange no further messages."""
        shape = tuple(self.made_of.places.values.shape[1:])
        pieces = (self.components, self.metric)
        found = (one.unflatten(-1, shape).index_select(-2, rows).flatten(-2) for one in pieces if one is not None)
        return DenseTangent(*found)

    def _like(self, other: DenseTangent) -> MessageTangent:
        assert other.metric is not None
        return MessageTangent(other.components, other.metric, self.made_of)


@lru_cache(maxsize=32)
def _ends(particles: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """(1, N·N, pairs): the elements of a symmetric matrix from those above its diagonal; stored on the device."""
    first, second = pairs(particles, device)
    matrix = first.new_zeros((1, particles**2, len(first)), dtype=dtype)
    column = torch.arange(len(first), device=device)
    matrix[0, first * particles + second, column] = 1.0
    matrix[0, second * particles + first, column] = 1.0
    return matrix


def _to_matrix(of_pairs: Tensor, out: Tensor) -> None:
    """Write numbers of pairs (C, pairs, B) into `out` (C, N, N, B), a symmetric matrix without a diagonal."""
    n = int(out.shape[1])  # a tensor while a graph is recorded, which no cache would know
    flat = out.flatten(1, 2)
    if n <= FEW:
        flat.copy_(_ends(n, out.device, out.dtype).expand(len(out), -1, -1) @ of_pairs)
        return
    first, second = pairs(n, out.device)
    flat.index_copy_(1, first * n + second, of_pairs).index_copy_(1, second * n + first, of_pairs)
    flat[:, :: n + 1] = 0.0
