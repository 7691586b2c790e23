"""Distances of charged particles, and the factors of ψ that are made of them: cusps, bonds of nuclei, sums over pairings.

Everything is a function of the distances u = r/a of pairs (pairs, B), each in the length a of its pair
(`charged_scale.ChargeScale`), so that translations and rotations are exact.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from fkflow.hamiltonian.charges import PointCharges
from fkflow.networks.layers import spread_out
from fkflow.networks.molecular_parts import lengths
from fkflow.networks.parts import Node, Part, Term
from fkflow.networks.tangents import DenseTangent, rounded

#: share of a pivot's first value below which it is rounding: the gradients of some distances depend on each other
DEPENDENT = 1e-12


class ChargeDistances(Part):
    """u = |x_i − x_j|/a (pairs, B) of all pairs, for coordinates y = √m x (D, N, B); pinned bodies stand at their places.

    A difference is taken in the precision of the coordinates and rounded afterwards.
    """

    curved: ClassVar[bool] = True
    exact: ClassVar[tuple[str, ...]] = ("roots", "places")

    first: Tensor
    second: Tensor
    roots: Tensor
    places: Tensor
    units: Tensor
    inverse: Tensor
    shared: Tensor

    def __init__(self, charges: PointCharges, units: Tensor) -> None:
        super().__init__()
        bodies, n = charges.bodies, charges.moving
        self.particles, self.pinned = n, len(bodies) - n
        signs = torch.zeros(len(charges.pairs), len(bodies), dtype=torch.float64)
        for p, pair in enumerate(charges.pairs):
            signs[p, pair.first], signs[p, pair.second] = 1.0, -1.0
        self.register_buffer("first", torch.tensor([pair.first for pair in charges.pairs]), persistent=False)
        self.register_buffer("second", torch.tensor([pair.second for pair in charges.pairs]), persistent=False)
        masses = torch.tensor([body.mass for body in bodies[:n]], dtype=torch.float64)
        self.register_buffer("roots", masses.sqrt()[:, None], persistent=False)
        places = torch.tensor([body.place for body in bodies[n:]], dtype=torch.float64).view(-1, charges.dimensions)
        self.register_buffer("places", places.mT[..., None].clone(), persistent=False)
        self.register_buffer("units", units[:, None].clone(), persistent=False)
        # 1/μ of each pair, and ∇r_p·∇r_q without the cosine of their directions, Σ_i ±1/m_i
        inverse = torch.tensor([1 / pair.mass for pair in charges.pairs], dtype=torch.float64)
        self.register_buffer("inverse", inverse[:, None], persistent=False)
        self.register_buffer("shared", (signs[:, :n] / masses) @ signs[:, :n].mT, persistent=False)

    def _between(self, y: Tensor, precision: torch.dtype) -> Tensor:
        x = y / self.roots
        if self.pinned:
            x = torch.cat([x, self.places.to(x.dtype).expand(-1, -1, x.shape[2])], 1)
        return (x.index_select(1, self.first) - x.index_select(1, self.second)).to(precision)

    def value(self, *inputs: Any) -> Tensor:
        return lengths(self._between(*inputs)) / self.units

    def evaluate(self, *inputs: Any, derivatives: bool) -> tuple[Tensor, Any]:
        between = self._between(*inputs)
        r = lengths(between)
        return r / self.units, between / r

    def pull_back(self, node: Node, gradient: Tensor) -> None:
        y = node.inputs[0]
        along = node.saved * (gradient / self.units)
        found = along.new_zeros(len(along), self.particles + self.pinned, along.shape[2])
        found.index_add_(1, self.first, along).index_add_(1, self.second, along, alpha=-1.0)
        y.add(found[:, : self.particles] / self.roots.to(found.dtype))

    def tangent(self, node: Node) -> DenseTangent:
        """∇u of all pairs in as many directions as there are pairs: rows of L with L Lᵀ = ∇u_p·∇u_q."""
        direction = node.saved
        products = torch.einsum("dpb,dqb->pqb", direction, direction) * (
            self.shared / (self.units * self.units.mT)
        ).unsqueeze(2)
        return DenseTangent(rounded(root_of(products)))

    def laplacian_term(self, node: Node) -> Tensor:
        """Δu = (D − 1)/(μ a r)."""
        return (len(node.saved) - 1) * self.inverse / (self.units.square() * node.value)


def root_of(products: Tensor) -> Tensor:
    """L (P, P, B) with L Lᵀ = products (P, P, B), which may be singular; by Cholesky, without looking at values."""
    count = len(products)
    columns: list[Tensor] = []
    for k in range(count):
        column = products[:, k]
        for other in columns:
            column = column - other * other[k]
        pivot, first = column[k], products[k, k]
        good = pivot > DEPENDENT * first
        scale = torch.where(good, pivot.clamp_min(0), torch.ones_like(pivot)).rsqrt()
        column = (column * scale).masked_fill(~good, 0.0)
        # what is above the diagonal is rounding
        columns.append(torch.cat([torch.zeros_like(column[:k]), column[k:]]))
    return torch.stack(columns, 1)


def add_to_rows(node: Node, rows: Tensor, gradient: Tensor) -> None:
    """Add to the gradient of some rows of a node, each of which is there once."""
    found = torch.zeros_like(node.value)
    node.add(found.index_copy_(0, rows, gradient))


class Cusps(Term):
    """Σ f(u) (B,) over pairs with Coulomb singularities, with the slope c = 2μ q_i q_j/(D − 1) in r (Kato 1957).

    Pairs that attract each other: f = c a u/(1 + βu). Pairs that repel: f = c a u (1 + u)/(1 + (1 + β)u + u²), which saturates
    and for β = c a/(2D), where it starts, is c r − (c r)²/(2D) + …: the next term of two charges at zero energy. β is a number
    for each pair (pairs,) or a copy of it per walker.
    """

    curved: ClassVar[bool] = True

    rows: Tensor
    slopes: Tensor
    repels: Tensor

    def __init__(self, rows: Tensor, slopes: Tensor) -> None:
        super().__init__()
        self.register_buffer("rows", rows, persistent=False)
        self.register_buffer("slopes", slopes[rows][:, None], persistent=False)
        self.register_buffer("repels", (slopes[rows] > 0).to(slopes)[:, None], persistent=False)

    def _parts(self, u: Tensor, beta: Tensor) -> tuple[Tensor, Tensor]:
        """u (1 + v) and 1 + (1 + β) v + v² for pairs that repel, for others with v = 0 and β u."""
        v = self.repels * u
        return u * (1 + v), 1 + beta * u + v + v.square()

    def value(self, *inputs: Tensor) -> Tensor:
        u, beta = inputs
        above, below = self._parts(u.index_select(0, self.rows), spread_out(beta, 1).index_select(0, self.rows))
        return (self.slopes * above / below).sum(0)

    def pull_back(self, node: Node, gradient: Any = None) -> None:
        u, beta = node.inputs[0].value.index_select(0, self.rows), node.inputs[1][self.rows][:, None]
        above, below = self._parts(u, beta)
        v = self.repels * u
        first = ((1 + 2 * v) * below - above * (beta + self.repels + 2 * self.repels * v)) / below.square()
        add_to_rows(node.inputs[0], self.rows, self.slopes * first)

    def laplacian_term(self, node: Node) -> Tensor:
        u, beta = node.inputs[0].value.index_select(0, self.rows), node.inputs[1][self.rows][:, None]
        above, below = self._parts(u, beta)
        v, repels = self.repels * u, self.repels
        slope = beta + repels + 2 * repels * v
        second = 2 * repels / below - 2 * (1 + 2 * v) * slope / below.square()
        second = second + 2 * above * (slope.square() / below - repels) / below.square()
        squares = node.inputs[0].tangent.components.square().sum(1).index_select(0, self.rows)
        return (self.slopes * second * squares).sum(0)


class Bonds(Term):
    """−Σ λ (e^(−t) + t) (B,), t = α(u − u0), over pairs of heavy charges: about the ground state of their bond.

    Parameters are u0, log α and log λ of each kind of pair (3, kinds), or a copy of them per walker.
    """

    curved: ClassVar[bool] = True

    rows: Tensor
    kinds: Tensor

    def __init__(self, rows: Tensor, kinds: Tensor) -> None:
        super().__init__()
        self.register_buffer("rows", rows, persistent=False)
        self.register_buffer("kinds", kinds[rows], persistent=False)

    def _parts(self, u: Tensor, bonds: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """t, α and λ of the pairs."""
        place, steep, height = spread_out(bonds[..., self.kinds], 2).unbind(0)
        return steep.exp() * (u.index_select(0, self.rows) - place), steep.exp(), height.exp()

    def value(self, *inputs: Tensor) -> Tensor:
        t, _, height = self._parts(*inputs)
        return -(height * ((-t).exp() + t)).sum(0)

    def pull_back(self, node: Node, gradient: Any = None) -> None:
        t, steep, height = self._parts(node.inputs[0].value, node.inputs[1])
        first = height * steep * ((-t).exp() - 1)
        add_to_rows(node.inputs[0], self.rows, first)

    def laplacian_term(self, node: Node) -> Tensor:
        t, steep, height = self._parts(node.inputs[0].value, node.inputs[1])
        squares = node.inputs[0].tangent.components.square().sum(1).index_select(0, self.rows)
        return -(height * steep.square() * (-t).exp() * squares).sum(0)


class Pairings(Term):
    """log Σ_k Σ_g exp(w_k − Σ_p ζ_kg(p) u²/(1 + u)) (B,): templates k, each with all exchanges g of identical particles.

    Every template is a way in which opposite charges are bound to each other, as in Heitler and London's hydrogen molecule.
    Inputs are u, w (templates,) and the exponents ζ (templates, pairs that attract), or copies of both per walker; `images`
    (exchanges, pairs that attract) say which of them stands in the place of each after an exchange.
    """

    curved: ClassVar[bool] = True

    rows: Tensor
    images: Tensor

    def __init__(self, rows: Tensor, images: Tensor) -> None:
        super().__init__()
        self.register_buffer("rows", rows, persistent=False)
        self.register_buffer("images", images, persistent=False)

    def value(self, *inputs: Tensor) -> Tensor:
        u, weights, exponents = inputs
        u = u.index_select(0, self.rows)
        shapes = u.square() / (1 + u)
        of_terms = exponents[..., self.images]
        if of_terms.dim() > 3:
            # copies for each walker
            found = torch.einsum("bkgp,pb->kgb", of_terms, shapes)
        else:
            found = (of_terms.flatten(0, 1) @ shapes).view(*of_terms.shape[:2], -1)
        return torch.logsumexp((spread_out(weights, 1).unsqueeze(1) - found).flatten(0, 1), 0)

    def evaluate(self, *inputs: Tensor, derivatives: bool) -> tuple[Tensor, Any]:
        u, weights, exponents = inputs
        u = u.index_select(0, self.rows)
        matrix = exponents[:, self.images].flatten(0, 1)
        terms = weights.repeat_interleave(len(self.images))[:, None] - matrix @ (u.square() / (1 + u))
        total = terms.logsumexp(0)
        return total, ((terms - total).exp(), matrix, 1 / (1 + u)) if derivatives else None

    def pull_back(self, node: Node, gradient: Any = None) -> None:
        shares, matrix, inverse = node.saved
        # the derivative of u²/(1 + u) is 1 − 1/(1 + u)²
        first = (matrix.mT @ shares).mul_(inverse.square() - 1)
        add_to_rows(node.inputs[0], self.rows, first)

    def laplacian_term(self, node: Node) -> Tensor:
        """Σ s (|∇t|² + Δt) − |Σ s ∇t|² for the shares s of the terms t."""
        shares, matrix, inverse = node.saved
        components = node.inputs[0].tangent.components.index_select(0, self.rows)
        slopes = (rounded(1 - inverse.square()).unsqueeze(1) * components).flatten(1)
        along = (rounded(matrix) @ slopes).view(len(matrix), *components.shape[1:])
        small = rounded(shares)
        total = (small * along.square().sum(1)).sum(0) - (small.unsqueeze(1) * along).sum(0).square().sum(0)
        second = (matrix.mT @ shares) * 2 * inverse**3 * components.square().sum(1)
        return total - second.sum(0)
