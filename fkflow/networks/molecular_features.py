"""Features of the distances of electrons and nuclei, and the exchanges under which `MolecularNet` is symmetric."""

from __future__ import annotations

import itertools
from typing import Any, ClassVar

import torch
from torch import Tensor

from fkflow.networks.functions import Logarithm, Ratio, Saturating
from fkflow.networks.molecular_parts import AxisTangent, RayTangent
from fkflow.networks.parts import Node, Part
from fkflow.networks.tangents import DenseTangent, rounded


class MolecularFeatures(Part):
    """Functions (F, B) of distances without cusps, for the first labelling of electrons and nuclei.

    With s(r) = ½ log(1 + r²) and q(r) = r/(1 + r): s and q² of the charged distances Z_A r_iA; q(r_iA)(s(r_iB) − s(R_AB)) for
    A ≠ B; and for two electrons s and q² of r_12 and q(r_iA)(s(r_12) − s(r_jA)). The products are the angular terms r (g·r)
    that follow the cusp, without which the local energy jumps at the nuclei. Any other labelling only changes their order.

    Inputs are r_iA (n, M, B), Z_A r_iA, and r_12 (B,) or None; `bonds` (M, M) are the distances R_AB.
    """

    curved: ClassVar[bool] = True

    of_bonds: Tensor
    unequal: Tensor
    signs: Tensor
    charges: Tensor

    def __init__(self, bonds: Tensor, charges: Tensor, electrons: int) -> None:
        super().__init__()
        m = len(charges)
        self.count = electrons * m * (2 + (m - 1)) + (2 + 2 * m if electrons == 2 else 0)
        self.register_buffer("charges", charges[:, None].clone(), persistent=False)
        self.register_buffer("of_bonds", Logarithm.value(bonds)[..., None], persistent=False)
        self.register_buffer("unequal", (~torch.eye(m, dtype=torch.bool)).flatten().nonzero()[:, 0], persistent=False)
        # whether r_12 grows with a step of each electron along it
        self.register_buffer("signs", torch.tensor([1.0, -1.0])[:electrons, None, None], persistent=False)

    def value(self, *inputs: Any) -> Tensor:
        return self.evaluate(*inputs, derivatives=True)[0]

    def evaluate(self, *inputs: Any, derivatives: bool) -> tuple[Tensor, tuple[Tensor, Tensor, Any]]:
        near, charged, apart = inputs
        ratio, of_near, of_apart = Ratio.value(near), Logarithm.value(near), None
        out = [Logarithm.value(charged).flatten(0, 1), Saturating.value(charged).flatten(0, 1)]
        if near.shape[1] > 1:
            cross = ratio.unsqueeze(2) * (of_near.unsqueeze(1) - self.of_bonds)
            out.append(self._unequal(cross))
        if apart is not None:
            of_apart = Logarithm.value(apart)
            out += [of_apart.unsqueeze(0), Saturating.value(apart).unsqueeze(0)]
            out.append((ratio * (of_apart - of_near.flip(0))).flatten(0, 1))
        return torch.cat(out), (ratio, of_near, of_apart)

    def _unequal(self, cross: Tensor) -> Tensor:
        """Rows for A ≠ B and each electron from (n, M, M, B)."""
        return cross.flatten(1, 2).index_select(1, self.unequal).transpose(0, 1).flatten(0, 1)

    def pull_back(self, node: Node, gradient: Tensor) -> None:
        near, charged, apart = node.inputs
        r = near.value
        n, m, batch = r.shape
        ratio, of_near, log_apart = node.saved
        of_log, of_saturating, of_cross, of_apart = gradient.split(
            [n * m, n * m, n * m * (m - 1), len(gradient) - n * m * (m + 1)]
        )
        by_charged = of_log.view(r.shape) * Logarithm.derivative(charged.value)
        charged.add(by_charged.addcmul_(of_saturating.view(r.shape), Saturating.derivative(charged.value)))
        if m == 1 and apart is None:
            return
        by_ratio, by_log = torch.zeros_like(r), torch.zeros_like(r)
        if m > 1:
            by_cross = r.new_zeros(n, m * m, batch)
            by_cross.index_copy_(1, self.unequal, of_cross.view(m * (m - 1), n, batch).transpose(0, 1))
            by_cross = by_cross.view(n, m, m, batch)
            by_ratio += (by_cross * (of_near.unsqueeze(1) - self.of_bonds)).sum(2)
            by_log += (by_cross * ratio.unsqueeze(2)).sum(1)
        if apart is not None:
            of_angle = of_apart[2:].view(r.shape)
            by_ratio.addcmul_(of_angle, log_apart - of_near.flip(0))
            by_angle = of_angle * ratio
            by_log -= by_angle.flip(0)
            by_apart = (of_apart[0] + by_angle.sum((0, 1))) * Logarithm.derivative(apart.value)
            apart.add(by_apart.addcmul_(of_apart[1], Saturating.derivative(apart.value)))
        near.add(by_ratio.mul_(Ratio.derivative(r)).addcmul_(by_log, Logarithm.derivative(r)))

    def laplacian_term(self, node: Node) -> Tensor:
        r, c, apart = node.inputs[0].value, node.inputs[1].value, node.inputs[2]
        unit, charges = self._unit(node), self.charges.square()
        out = [Logarithm.second_derivative(c) * charges, Saturating.second_derivative(c) * charges]
        out = [one.flatten(0, 1) for one in out]
        if r.shape[1] == 1 and apart is None:
            return torch.cat(out)
        ratio, of_near, of_apart = node.saved
        by_ratio, ratio_twice = Ratio.derivative(r), Ratio.second_derivative(r)
        by_log, log_twice = Logarithm.derivative(r), Logarithm.second_derivative(r)
        if r.shape[1] > 1:
            angle = (unit.unsqueeze(3) * unit.unsqueeze(2)).sum(0)
            cross = ratio_twice.unsqueeze(2) * (of_near.unsqueeze(1) - self.of_bonds)
            cross += ratio.unsqueeze(2) * log_twice.unsqueeze(1)
            cross.addcmul_(by_ratio.unsqueeze(2) * by_log.unsqueeze(1), angle, value=2.0)
            out.append(self._unequal(cross))
        if apart is not None:
            d, along = apart.value, self._along(node)
            of_both = 2.0 * Logarithm.second_derivative(d)
            out += [of_both.unsqueeze(0), 2.0 * Saturating.second_derivative(d).unsqueeze(0)]
            angle = (unit * along.unsqueeze(1).unsqueeze(1)).sum(0) * self.signs
            product = ratio_twice * (of_apart - of_near.flip(0)) + ratio * (of_both - log_twice.flip(0))
            out.append(product.addcmul_(by_ratio * Logarithm.derivative(d), angle, value=2.0).flatten(0, 1))
        return torch.cat(out)

    @staticmethod
    def _unit(node: Node) -> Tensor:
        """The vectors e_iA (3, n, M, B) from nuclei to electrons."""
        tangent = node.inputs[0].tangent
        assert isinstance(tangent, RayTangent)
        return tangent.unit

    @staticmethod
    def _along(node: Node) -> Tensor:
        """The vector e_12 (3, B)."""
        tangent = node.inputs[2].tangent
        assert isinstance(tangent, AxisTangent)
        return tangent.unit

    def tangent(self, node: Node) -> DenseTangent:
        """Gradients (F, 3 n, B) by the positions of all electrons."""
        r, c = node.inputs[0].rounded, node.inputs[1].rounded
        n, m, batch = r.shape
        unit = rounded(self._unit(node)).movedim(0, 2)  # (n, M, 3, B)
        out = unit.new_zeros(self.count, 3, n, batch)
        plain = out[: 2 * n * m].view(2, n, m, 3, n, batch).diagonal(dim1=1, dim2=4)
        derivatives = torch.stack([Logarithm.derivative(c), Saturating.derivative(c)]) * rounded(self.charges)
        plain.copy_((derivatives.unsqueeze(3) * unit).movedim(1, -1))
        if m == 1 and node.inputs[2] is None:
            return DenseTangent(out.flatten(1, 2))
        ratio, of_near = (rounded(one) for one in node.saved[:2])
        by_ratio, by_log = Ratio.derivative(r), Logarithm.derivative(r)
        if m > 1:
            by_first = by_ratio.unsqueeze(2) * (of_near.unsqueeze(1) - rounded(self.of_bonds))
            by_second = ratio.unsqueeze(2) * by_log.unsqueeze(1)
            cross = by_first.unsqueeze(3) * unit.unsqueeze(2) + by_second.unsqueeze(3) * unit.unsqueeze(1)
            cross = cross.flatten(1, 2).index_select(1, self.unequal)
            place = out[2 * n * m : 2 * n * m + n * m * (m - 1)].view(m * (m - 1), n, 3, n, batch)
            place.diagonal(dim1=1, dim2=3).copy_(cross.permute(1, 2, 3, 0))
        if node.inputs[2] is not None:
            d, along, of_apart = node.inputs[2].rounded, rounded(self._along(node)), rounded(node.saved[2])
            both = torch.stack([along, -along], 1)  # (3, 2, B)
            rest = out[n * m * (m + 1) :]
            torch.mul(both, Logarithm.derivative(d), out=rest[0])
            torch.mul(both, Saturating.derivative(d), out=rest[1])
            place = rest[2:].view(n, m, 3, n, batch)
            place += (ratio * Logarithm.derivative(d)).unsqueeze(2).unsqueeze(2) * both
            own = (by_ratio * (of_apart - of_near.flip(0))).unsqueeze(2) * unit
            other = (ratio * by_log.flip(0)).unsqueeze(2) * unit.flip(0)
            for electron in range(n):
                place[electron, :, :, electron] += own[electron]
                place[electron, :, :, 1 - electron] -= other[electron]
        return DenseTangent(out.flatten(1, 2))


def labellings(images: Tensor, electrons: int) -> Tensor:
    """Which functions (labellings, F) of `MolecularFeatures` an exchange of nuclei and electrons puts in each place."""
    m = images.shape[1]

    def names(electron: list[int], nucleus: list[int]) -> list[tuple[int, ...]]:
        """What each feature is about when particles and nuclei are taken in this order: the order of the features."""
        near = [(i, a) for i in electron for a in nucleus]
        out: list[tuple[int, ...]] = [(kind, *pair) for kind in range(2) for pair in near]
        out += [(2, a, b, i) for a in nucleus for b in nucleus if a != b for i in electron]
        return out + ([(3,), (4,)] + [(5, *pair) for pair in near] if electrons == 2 else [])

    first = list(range(electrons))
    plain = names(first, list(range(m)))
    turned = [names(electron, image) for image in images.tolist() for electron in (first, first[::-1])[:electrons]]
    return torch.tensor([[plain.index(name) for name in order] for order in turned])


def nuclear_symmetries(bonds: Tensor, charges: Tensor) -> list[list[int]]:
    """Permutations of the nuclei that keep charges and all distances: [[0, 1], [1, 0]] for H2.

    Beyond four nuclei only the identity is used: the search grows as M!, and the symmetry is a convenience.
    """
    if len(charges) > 4:
        return [list(range(len(charges)))]
    found = []
    for image in itertools.permutations(range(len(charges))):
        index = torch.tensor(image)
        if torch.equal(charges[index], charges) and torch.allclose(bonds[index][:, index], bonds, rtol=1e-9):
            found.append(list(image))
    return found
