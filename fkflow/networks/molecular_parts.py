"""Distances of electrons from nuclei and from each other, and the factors of ψ that are made of them."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from fkflow.networks.layers import Linear, affine, spread_out
from fkflow.networks.parts import Node, Part, Term
from fkflow.networks.tangents import DenseTangent, Tangent


def lengths(a: Tensor) -> Tensor:
    """|a| over the first axis; the floor far below any physical length keeps the gradient finite at coincidence."""
    return (a.square().sum(0) + 1e-24).sqrt()


class RayTangent(Tangent):
    """Functions of distances from nuclei (n, M, B): by the position of electron i along the `unit` vectors (3, n, M, B)."""

    def __init__(self, unit: Tensor, derivative: Tensor | None = None) -> None:
        self.unit, self.derivative = unit, torch.ones_like(unit[0]) if derivative is None else derivative

    def scaled(self, factor: Tensor) -> RayTangent:
        return RayTangent(self.unit, factor * self.derivative)

    def squares(self) -> Tensor:
        return self.derivative.square()


class AxisTangent(Tangent):
    """The distance (B,) of two electrons: by the position of the first along the unit vectors (3, B), by the second against."""

    def __init__(self, unit: Tensor) -> None:
        self.unit = unit

    def squares(self) -> Tensor:
        return torch.full_like(self.unit[0], 2.0)


class NucleusDistances(Part):
    """Distances r_iA (n, M, B) of electrons at y (3, n, B) from sites (3, 1, M, 1), rounded after the differences."""

    curved: ClassVar[bool] = True

    def value(self, *inputs: Any) -> Tensor:
        y, sites, precision = inputs
        return lengths((y.unsqueeze(2) - sites).to(precision))

    def evaluate(self, *inputs: Any, derivatives: bool) -> tuple[Tensor, Tensor]:
        y, sites, precision = inputs
        away = (y.unsqueeze(2) - sites).to(precision)
        return lengths(away), away

    def pull_back(self, node: Node, gradient: Tensor) -> None:
        node.inputs[0].add((node.saved * (gradient / node.value)).sum(2))

    def tangent(self, node: Node) -> RayTangent:
        return RayTangent(node.saved / node.value)

    def laplacian_term(self, node: Node) -> Tensor:
        return 2 / node.value


class ElectronDistance(Part):
    """The distance r_12 (B,) of two electrons at y (3, 2, B), rounded after the difference."""

    curved: ClassVar[bool] = True

    def value(self, *inputs: Any) -> Tensor:
        y, precision = inputs
        return lengths((y[:, 0] - y[:, 1]).to(precision))

    def evaluate(self, *inputs: Any, derivatives: bool) -> tuple[Tensor, Tensor]:
        y, precision = inputs
        between = (y[:, 0] - y[:, 1]).to(precision)
        return lengths(between), between

    def pull_back(self, node: Node, gradient: Tensor) -> None:
        pull = node.saved * (gradient / node.value)
        node.inputs[0].add(torch.stack([pull, -pull], 1))

    def tangent(self, node: Node) -> AxisTangent:
        return AxisTangent(node.saved / node.value)

    def laplacian_term(self, node: Node) -> Tensor:
        return 4 / node.value


class Scaled(Part):
    """A value times constants."""

    def value(self, *inputs: Tensor) -> Tensor:
        a, factor = inputs
        return a * factor

    def pull_back(self, node: Node, gradient: Tensor) -> None:
        a, factor = node.inputs
        a.add(gradient * factor)

    def tangent(self, node: Node) -> Tangent:
        a, factor = node.inputs
        return a.tangent.scaled(factor)


class CuspFactor(Term):
    """c Σ p(r) (B,) over distances r (…, B), p(r) = r/(1 + βr), for a number β or one per walker (B,).

    The slope 1 of p at r = 0 is Kato's cusp condition (Kato 1957) for c = −1 and r in 1/Z, or c = ½ for two electrons.
    """

    curved: ClassVar[bool] = True

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def value(self, *inputs: Tensor) -> Tensor:
        r, beta = inputs
        pade = r / (1 + beta * r)
        return self.factor * (pade.flatten(0, -2).sum(0) if pade.dim() > 1 else pade)

    def evaluate(self, *inputs: Tensor, derivatives: bool) -> tuple[Tensor, Tensor]:
        r, beta = inputs
        bound = 1 + beta * r
        pade = r / bound
        return (pade.flatten(0, -2).sum(0) if pade.dim() > 1 else pade) * self.factor, bound

    def pull_back(self, node: Node, gradient: Any = None) -> None:
        node.inputs[0].add(node.saved.square().reciprocal_().mul_(self.factor))

    def laplacian_term(self, node: Node) -> Tensor:
        r, beta = node.inputs
        term = (-2 * self.factor) * beta / node.saved**3 * r.tangent.squares()
        return term.flatten(0, -2).sum(0) if term.dim() > 1 else term


class Orbitals(Term):
    """log Σ c_a χ_a(1) or log Σ c_ab χ_a(1) χ_b(2) (B,) over exponentials χ = exp(−ζ c²/(Z (1 + c))) about the nuclei.

    Its inputs are the charged distances c = Z r (n, M, B), log ζ and log c for 2 orbitals on each nucleus, or copies of them
    per walker. Nuclei that symmetry exchanges (`images`, rows of nuclei in their order) share their exponents and weights.
    """

    curved: ClassVar[bool] = True

    owner: Tensor
    turns: Tensor
    shared: Tensor
    charges: Tensor
    pairs: Tensor

    def __init__(self, charges: Tensor, images: Tensor) -> None:
        super().__init__()
        m = len(charges)
        # orbital 2A + shell sits on nucleus A
        owner, turns = torch.arange(m).repeat_interleave(2), (2 * images[..., None] + torch.arange(2)).flatten(1)
        self.register_buffer("owner", owner, persistent=False)
        self.register_buffer("turns", turns, persistent=False)
        self.register_buffer("shared", turns.amin(0), persistent=False)
        self.register_buffer("charges", charges[owner][:, None], persistent=False)
        # where the weight of each pair of orbitals stands after an exchange of nuclei
        pairs = (2 * m * turns[:, :, None] + turns[:, None]).flatten()
        self.register_buffer("pairs", pairs, persistent=False)

    def value(self, *inputs: Tensor) -> Tensor:
        charged, log_exponents, log_weights = inputs
        exponents = spread_out(log_exponents.exp()[..., self.shared], 1)
        scaled = charged.index_select(1, self.owner)
        orbitals = -exponents / self.charges * scaled.square() / (1.0 + scaled)
        if len(charged) == 1:
            weights = spread_out(log_weights[..., self.turns].mean(-2), 1)
            return torch.logsumexp(weights + orbitals[0], 0)
        weights = log_weights[..., self.turns[:, :, None], self.turns[:, None]].mean(-3)
        weights = spread_out(0.5 * (weights + weights.mT), 2)
        terms = weights + orbitals[0][:, None] + orbitals[1][None]
        return torch.logsumexp(terms.flatten(0, 1), 0)

    def evaluate(self, *inputs: Tensor, derivatives: bool) -> tuple[Tensor, Any]:
        charged, log_exponents, log_weights = inputs
        factors = -(log_exponents.exp().index_select(0, self.shared).view(-1, 1) / self.charges).view(-1, 2, 1)
        inverse = 1.0 / (1.0 + charged)
        orbitals = ((charged.square() * inverse).unsqueeze(2) * factors).flatten(1, 2)
        if len(charged) == 1:
            terms = log_weights[self.turns].mean(-2)[:, None] + orbitals[0]
            total = terms.logsumexp(0)
            shares = (terms - total).exp()[None] if derivatives else None
        else:
            weights = log_weights.flatten().index_select(0, self.pairs).view(-1, *log_weights.shape).mean(0)
            terms = (0.5 * (weights + weights.mT)).unsqueeze(2) + orbitals[0].unsqueeze(1) + orbitals[1].unsqueeze(0)
            total = terms.flatten(0, 1).logsumexp(0)
            shares = None
            if derivatives:
                both = terms.sub_(total).exp_()
                shares = torch.stack([both.sum(1), both.sum(0)])
        if shares is None:
            return total, None
        shares = shares.view(*charged.shape[:2], 2, -1)
        # by the shape c²/(1 + c) of the orbitals of each electron and nucleus
        return total, (shares, factors, (shares * factors).sum(2), inverse)

    def pull_back(self, node: Node, gradient: Any = None) -> None:
        _, _, by_shape, inverse = node.saved
        node.inputs[0].add(by_shape * (1 - inverse.square()))

    def laplacian_term(self, node: Node) -> Tensor:
        """Σ p |∇term|² − |Σ p ∇term|² for shares p of the terms of the sum, and p times second derivatives of the terms."""
        shares, factors, by_shape, inverse = node.saved
        tangent = node.inputs[0].tangent
        assert isinstance(tangent, RayTangent)
        by_distance = (1 - inverse.square()) * tangent.derivative
        total = 2 * by_shape * inverse**3 * tangent.squares()
        total += (shares * factors.square()).sum(2) * by_distance.square()
        mean = (tangent.unit * (by_shape * by_distance)).sum(2)
        return total.sum((0, 1)) - mean.square().sum((0, 1))


class LabelledLinear(Linear):
    """A linear layer of features (F, B) in the order of every labelling: (out, labellings, B).

    Row l of `orders` (labellings, F) says which feature stands in each place after exchange l of electrons and nuclei.
    """

    order: Tensor
    inverse: Tensor
    labellings: int

    def label(self, orders: Tensor) -> None:
        """Say what the labellings are."""
        self.labellings = len(orders)
        self.register_buffer("order", orders.mT.flatten(), persistent=False)
        self.register_buffer("inverse", orders.argsort(1).flatten(), persistent=False)

    def value(self, *inputs: Tensor) -> Tensor:
        (features,) = inputs
        ordered = features.index_select(0, self.order).view(len(features), self.labellings, features.shape[-1])
        return affine(ordered, self.weight, self.bias)

    def _weights(self, weight: Tensor) -> Tensor:
        """(out · labellings, F): instead of the features, the weights in the order of each labelling."""
        return weight.index_select(1, self.inverse).view(-1, weight.shape[1])

    def evaluate(self, *inputs: Tensor, derivatives: bool) -> tuple[Tensor, Tensor]:
        (features,) = inputs
        weights = self._weights(self.weight)
        out = (weights @ features).view(len(self.weight), self.labellings, features.shape[1])
        return out.add_(self.bias.view(-1, 1, 1)), weights

    def pull_back(self, node: Node, gradient: Tensor) -> None:
        node.inputs[0].add_product(node.saved.mT, gradient.flatten(0, 1))

    def tangent(self, node: Node) -> DenseTangent:
        features = node.inputs[0].tangent
        assert isinstance(features, DenseTangent)
        components = features.components
        found = self._weights(self.weight.to(components.dtype)) @ components.flatten(1)
        found = found.view(len(self.weight), self.labellings, *components.shape[1:])
        return DenseTangent(found.transpose(1, 2).flatten(2))


class LabellingMean(Term):
    """The mean (B,) over labellings of a value (1, labellings, B)."""

    def value(self, *inputs: Tensor) -> Tensor:
        return inputs[0][0].mean(0)

    def pull_back(self, node: Node, gradient: Any = None) -> None:
        (a,) = node.inputs
        a.add(torch.full_like(a.value, 1 / int(a.value.shape[1])))
