"""What the perceptron of charged particles sees: functions of distances that leave the cusps alone, and their exchanges."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from fkflow.hamiltonian.charges import PointCharges
from fkflow.networks.functions import Logarithm, Ratio, Saturating
from fkflow.networks.parts import Node, Part
from fkflow.networks.tangents import DenseTangent, rounded

#: widths of a bond, from its middle, beyond which a feature no longer grows
BOND = 6.0


def pair_images(charges: PointCharges) -> list[list[int]]:
    """For each exchange, which pair stands in the place of each pair."""
    number = {frozenset(pair[:2]): p for p, pair in enumerate(charges.pairs)}
    return [
        [number[frozenset((order[pair.first], order[pair.second]))] for pair in charges.pairs]
        for order in charges.exchanges
    ]


class ChargeFeatures(Part):
    """Functions (F, B) of the distances u (pairs, B): for each pair s(u) = ½ log(1 + u²) and (u/(1 + u))²; triples.

    For a pair of heavy charges the second is y/√(1 + (y/6)²) with y = (u − middle)/width of their bond. Triples are
    u_ij/(1 + u_ij) · (s(r_ik/ℓ) − s(r_jk/ℓ)) for unlike particles i and j and a third one k: what follows the cusp of i and j
    as an angle. `orders` (exchanges, F) say which feature stands in each place after an exchange.
    """

    curved: ClassVar[bool] = True

    scales: Tensor
    heavy: Tensor
    middle: Tensor
    width: Tensor
    sides: Tensor

    def __init__(
        self, charges: PointCharges, units: Tensor, length: float, heavy: Tensor, middle: Tensor, width: Tensor
    ) -> None:
        super().__init__()
        pairs, bodies = charges.pairs, charges.bodies
        number = {frozenset(pair[:2]): p for p, pair in enumerate(pairs)}
        triples = []
        for p, pair in enumerate(pairs):
            if bool((heavy == p).any()) or bodies[pair.first].species == bodies[pair.second].species:
                continue
            for k in range(len(bodies)):
                sides = [number.get(frozenset((end, k))) for end in pair[:2]]
                if k not in pair[:2] and None not in sides:
                    triples.append((p, *sides))
        place = {triple: n for n, triple in enumerate(triples)}
        count = len(pairs)
        images = pair_images(charges)
        self.orders = torch.tensor(
            [
                [
                    *image,
                    *(count + p for p in image),
                    *(2 * count + place[tuple(image[p] for p in triple)] for triple in triples),  # type: ignore[index]
                ]
                for image in images
            ]
        )
        self.count = 2 * count + len(triples)
        self.register_buffer("sides", torch.tensor(triples, dtype=torch.long).view(-1, 3).mT.clone(), persistent=False)
        self.register_buffer("scales", (units / length)[:, None], persistent=False)
        self.register_buffer("heavy", heavy, persistent=False)
        self.register_buffer("middle", middle[:, None], persistent=False)
        self.register_buffer("width", width[:, None], persistent=False)

    def _bond(self, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The feature of heavy pairs and its two derivatives."""
        y = (u.index_select(0, self.heavy) - self.middle) / self.width
        root = (1 + (y / BOND).square()).rsqrt()
        return y * root, root**3 / self.width, -3 * y * root**5 / (BOND * self.width).square()

    def value(self, *inputs: Tensor) -> Tensor:
        (u,) = inputs
        second = Saturating.value(u)
        if len(self.heavy):
            second = second.index_copy(0, self.heavy, self._bond(u)[0].to(second))
        found = [Logarithm.value(u), second]
        if self.sides.shape[1]:
            p, first, other = self.sides
            s = Logarithm.value(u * self.scales)
            apart = s.index_select(0, first) - s.index_select(0, other)
            found.append(Ratio.value(u).index_select(0, p) * apart)
        return torch.cat(found)

    def _derivatives(self, u: Tensor) -> tuple[Tensor, Tensor, Any]:
        """Derivatives of the two functions of a pair, and of triples by their pair and by both sides."""
        second = Saturating.derivative(u)
        if len(self.heavy):
            second = second.index_copy(0, self.heavy, self._bond(u)[1].to(second))
        of_triples = None
        if self.sides.shape[1]:
            p, first, other = self.sides
            scaled = u * self.scales
            s, slope = Logarithm.value(scaled), Logarithm.derivative(scaled) * self.scales
            ratio = Ratio.value(u).index_select(0, p)
            by_pair = Ratio.derivative(u).index_select(0, p) * (s.index_select(0, first) - s.index_select(0, other))
            of_triples = by_pair, ratio * slope.index_select(0, first), -ratio * slope.index_select(0, other)
        return Logarithm.derivative(u), second, of_triples

    def pull_back(self, node: Node, gradient: Tensor) -> None:
        u = node.inputs[0].value
        by_log, by_second, of_triples = self._derivatives(u)
        count = len(u)
        found = by_log.mul_(gradient[:count]).addcmul_(by_second, gradient[count : 2 * count])
        if of_triples is not None:
            for side, derivative in zip(self.sides, of_triples, strict=True):
                found.index_add_(0, side, derivative * gradient[2 * count :])
        node.inputs[0].add(found)

    def tangent(self, node: Node) -> DenseTangent:
        components = node.inputs[0].tangent.components
        by_log, by_second, of_triples = self._derivatives(node.inputs[0].rounded)
        found = [rounded(by_log).unsqueeze(1) * components, rounded(by_second).unsqueeze(1) * components]
        if of_triples is not None:
            of_sides = zip(self.sides, of_triples, strict=True)
            found.append(sum(rounded(d).unsqueeze(1) * components.index_select(0, side) for side, d in of_sides))
        return DenseTangent(torch.cat(found))

    def laplacian_term(self, node: Node) -> Tensor:
        u, components = node.inputs[0].value, node.inputs[0].tangent.components
        squares = components.square().sum(1)
        second = Saturating.second_derivative(u)
        if len(self.heavy):
            second = second.index_copy(0, self.heavy, self._bond(u)[2].to(second))
        found = [Logarithm.second_derivative(u) * squares, second * squares]
        if self.sides.shape[1]:
            p, first, other = self.sides
            scaled = u * self.scales
            s, slope = Logarithm.value(scaled), Logarithm.derivative(scaled) * self.scales
            curve = Logarithm.second_derivative(scaled) * self.scales.square() * squares
            own = components.index_select(0, p)
            of_sides = []
            for side in (first, other):
                mixed = (own * components.index_select(0, side)).sum(1)
                of_sides.append((curve.index_select(0, side), slope.index_select(0, side) * mixed))
            apart = s.index_select(0, first) - s.index_select(0, other)
            total = (Ratio.second_derivative(u) * squares).index_select(0, p) * apart
            total = total + Ratio.value(u).index_select(0, p) * (of_sides[0][0] - of_sides[1][0])
            found.append(total + 2 * Ratio.derivative(u).index_select(0, p) * (of_sides[0][1] - of_sides[1][1]))
        return torch.cat(found)
