"""log ψ of one or two electrons about clamped nuclei, with exact Coulomb cusps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from fkflow.hamiltonian.geometry import inside, outside
from fkflow.networks.distances import Seen, logarithm, logarithm_slope, ratio_slope, saturating, saturating_slope
from fkflow.networks.labellings import labellings, nuclear_symmetries
from fkflow.networks.laplacian import BENDS, Laplacian
from fkflow.networks.layers import mlp, spread_out
from fkflow.networks.log_psi import LogPsi
from fkflow.networks.molecular_bends import features_bend, features_tangent


def lengths(a: Tensor) -> Tensor:
    """|a| over the first axis; the floor far below any physical length keeps the gradient finite at coincidence."""
    return (a.square().sum(0) + 1e-24).sqrt()


def distances(a: Tensor, b: Tensor) -> Tensor:
    """|a − b|, as `lengths`."""
    return lengths(a - b)


class MolecularNet(LogPsi):
    """One or two electrons in the field of clamped nuclei, with exact electron–nucleus and electron–electron cusps.

    ψ = Σ_ab c_ab χ_a(1) χ_b(2) · Π_iA exp(−Z p(r_iA)) · exp(½ p(r_12)) · exp(net), the sum of Heitler–London type over two
    smooth exponentials χ = exp(−ζ r²/(1+r)) per nucleus (covalent, ionic and split-shell terms: right when stretched), and
    p(r) = r/(1.0 + βr), whose slope 1 at r = 0 is Kato's cusp (Kato 1957). The perceptron sees the distances only through
    functions without a linear term in any of them, among them r_iA·(s(r_iB) − s(R_AB)) and r_iA·(s(r_12) − s(r_jA)): the
    angular terms r (g·r) that follow the cusp, without which the local energy jumps at the nuclei. It is summed over the
    exchange of electrons and over the exchanges of equal nuclei that leave the molecule unchanged.
    """

    knows_tails: ClassVar[bool] = True
    walkerwise: ClassVar[bool] = True
    exact: ClassVar[tuple[str, ...]] = ("sites",)

    nuclei: Tensor
    charges: Tensor
    bonds: Tensor
    images: Tensor
    owner: Tensor
    turns: Tensor
    shared: Tensor
    unequal: Tensor
    of_bonds: Tensor
    orders: Tensor
    sites: Tensor
    pulls: Tensor
    shells: Tensor
    pairs: Tensor
    order: Tensor
    back: Tensor
    inverse: Tensor
    signs: Tensor

    def __init__(self, nuclei_positions: Tensor, charges: Tensor, electrons: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.electrons = electrons
        self.register_buffer("nuclei", nuclei_positions)
        self.register_buffer("charges", charges)
        self.register_buffer("bonds", distances(nuclei_positions.mT[:, :, None], nuclei_positions.mT[:, None]))
        self.register_buffer("of_bonds", logarithm(self.bonds)[..., None], persistent=False)
        m = len(charges)
        images = torch.tensor(nuclear_symmetries(self.bonds, charges))
        self.register_buffer("images", images)
        # Orbital 2A + shell sits on nucleus A; nuclei that symmetry exchanges share their exponents.
        self.register_buffer("owner", torch.arange(m).repeat_interleave(2))
        self.register_buffer("turns", (2 * images[..., None] + torch.arange(2)).flatten(1))
        self.register_buffer("shared", self.turns.amin(0))
        # Shells: one exponent at the bare charge, one softer for a screened or loosely bound electron.
        self.log_exponents = nn.Parameter(torch.tensor([1.0, 0.6]).repeat(m).log() + charges.log().repeat_interleave(2))
        self.log_weights = nn.Parameter(torch.zeros((2 * m,) * electrons))
        self.log_beta = nn.Parameter(torch.zeros(2))
        self.register_buffer("unequal", (~torch.eye(m, dtype=torch.bool)).flatten().nonzero()[:, 0])
        self.register_buffer("orders", labellings(images, electrons))
        # the same once more, in the shapes that they are needed in: nuclei, charges and those of the orbitals,
        self.register_buffer("sites", nuclei_positions.mT[:, None, :, None].clone(), persistent=False)
        self.register_buffer("pulls", charges[:, None].clone(), persistent=False)
        self.register_buffer("shells", charges[self.owner][:, None], persistent=False)
        # where the weight of each pair of orbitals stands after an exchange of nuclei,
        pairs = (2 * m * self.turns[:, :, None] + self.turns[:, None]).flatten()
        self.register_buffer("pairs", pairs, persistent=False)
        # whether r_12 grows with a step of each electron along it,
        self.register_buffer("signs", torch.tensor([1.0, -1.0])[:electrons, None, None], persistent=False)
        # which functions the labellings see, and where each function stands in every labelling
        self.register_buffer("order", self.orders.mT.flatten(), persistent=False)
        places = self.orders.argsort(1) * len(self.orders) + torch.arange(len(self.orders))[:, None]
        self.register_buffer("back", places.flatten(), persistent=False)
        self.register_buffer("inverse", self.orders.argsort(1).flatten(), persistent=False)
        features = electrons * m * (2 + (m - 1)) + (2 + 2 * m if electrons == 2 else 0)
        self.net = mlp([features] + [hidden] * layers + [1], final_scale=0.0)

    @property
    def width(self) -> int:
        return len(self.orders) * max(self.net.sizes[:2])

    def functions(self, near: Tensor, apart: Tensor | None) -> Seen:
        """What features and their slopes are made of, from the distances near (n, M, B) and apart (B,)."""
        of_apart = None if apart is None else logarithm(apart)
        return Seen(near, apart, near * self.pulls, near / (1.0 + near), logarithm(near), of_apart)

    def features(self, seen: Seen) -> Tensor:
        """Cusp-free functions (F, B) of the distances, for the first labelling.

        Any other labelling of particles and nuclei only changes their order (`orders`).
        """
        _, apart, charged, ratio, of_near, of_apart = seen
        out = [logarithm(charged).flatten(0, 1), saturating(charged).flatten(0, 1)]
        if len(self.charges) > 1:
            # r_iA (s(r_iB) - s(R_AB)) for A != B
            cross = ratio.unsqueeze(2) * (of_near.unsqueeze(1) - self.of_bonds)
            out.append(cross.flatten(1, 2).index_select(1, self.unequal).transpose(0, 1).flatten(0, 1))
        if apart is not None and of_apart is not None:
            out += [of_apart.unsqueeze(0), saturating(apart).unsqueeze(0)]
            out.append((ratio * (of_apart - of_near.flip(0))).flatten(0, 1))
        return torch.cat(out)

    def forward(self, x: Tensor) -> Tensor:
        y = inside(x)
        near = distances(y.unsqueeze(2), self.sites)
        apart = distances(y[:, 0], y[:, 1]) if self.electrons == 2 else None
        seen = self.functions(near, apart)
        charged, beta = seen.charged, self.log_beta.exp()
        value = -(charged / (1.0 + beta[..., 0] * charged)).sum((0, 1))
        exponents = spread_out(self.log_exponents.exp()[..., self.shared], 1)
        scaled = charged.index_select(1, self.owner)
        orbitals = -exponents / self.shells * scaled.square() / (1.0 + scaled)
        if apart is None:
            weights = spread_out(self.log_weights[..., self.turns].mean(-2), 1)
            value = value + torch.logsumexp(weights + orbitals[0], 0)
        else:
            value = value + 0.5 * apart / (1.0 + beta[..., 1] * apart)
            weights = self.log_weights[..., self.turns[:, :, None], self.turns[:, None]].mean(-3)
            weights = spread_out(0.5 * (weights + weights.mT), 2)
            terms = weights + orbitals[0][:, None] + orbitals[1][None]
            value = value + torch.logsumexp(terms.flatten(0, 1), 0)
        # every labelling sees the same functions in another order
        features = self.features(seen)
        seen_by_all = features.index_select(0, self.order).view(len(features), -1, features.shape[-1])
        return value + self.net(seen_by_all)[0].mean(0)

    @property
    def written_out(self) -> bool:
        return self.writes_out(MolecularNet)

    def _derivatives(self, x: Tensor, laplacian: Laplacian | None = None) -> tuple[Tensor, Tensor]:
        """Step by step what `forward` does, and the same backwards; `…_slope` is the gradient with respect to `…`."""
        with torch.no_grad():
            y = inside(x)
            # rounded, if at all, only after the differences
            precision = self.log_beta.dtype
            away = (y.unsqueeze(2) - self.sites).to(precision)
            near, between, distance = lengths(away), None, None
            if self.electrons == 2:
                between = (y[:, 0] - y[:, 1]).to(precision)
                distance = lengths(between)
            seen = self.functions(near, distance)
            charged, beta = seen.charged, self.log_beta.exp()
            bound = 1.0 + beta[0] * charged
            value = -(charged / bound).sum((0, 1))
            charged_slope = -bound.square().reciprocal()
            if laplacian is not None:
                laplacian.add(2.0 * beta[0] / bound**3, self.pulls.square().expand(near.shape))
            # orbitals −ζ/Z · c²/(1.0 + c): two shells on each nucleus
            factors = -(self.log_exponents.exp().index_select(0, self.shared).view(-1, 1) / self.shells).view(-1, 2, 1)
            inverse = 1.0 / (1.0 + charged)
            shape = charged.square() * inverse
            orbitals = (shape.unsqueeze(2) * factors).flatten(1, 2)
            distance_slope = None
            if distance is None:
                terms = self.log_weights[self.turns].mean(-2)[:, None] + orbitals[0]
                total = terms.logsumexp(0)
                orbitals_slope = (terms - total).exp()[None]
            else:
                bound = 1.0 + beta[1] * distance
                value.add_(distance / bound, alpha=0.5)
                distance_slope = 0.5 / bound.square()
                if laplacian is not None:
                    # ∇r_12 has the square 2
                    laplacian.total.sub_(2.0 * beta[1] / bound**3)
                weights = (
                    self.log_weights.flatten().index_select(0, self.pairs).view(-1, *self.log_weights.shape).mean(0)
                )
                first, second = orbitals[0].unsqueeze(1), orbitals[1].unsqueeze(0)
                terms = (0.5 * (weights + weights.mT)).unsqueeze(2) + first + second
                total = terms.flatten(0, 1).logsumexp(0)
                shares = terms.sub_(total).exp_()
                orbitals_slope = torch.stack([shares.sum(1), shares.sum(0)])
            value += total
            orbitals_slope = orbitals_slope.view(*near.shape[:2], 2, -1)
            shape_slope = (orbitals_slope * factors).sum(2)
            of_charged = 1.0 - inverse.square()
            charged_slope.addcmul_(shape_slope, of_charged)
            unit = along = None
            if laplacian is not None:
                unit = away / near
                along = None if between is None or distance is None else between / distance
                self._bend(laplacian, orbitals_slope, factors, shape_slope, of_charged * self.pulls, inverse, unit)
            learned, near_slope, apart_slope = self._learned(seen, charged_slope, laplacian, unit, along)
            value += learned
            y_slope = (away * (near_slope / near)).sum(2)
            if laplacian is not None:
                laplacian.add(near_slope, 2.0 / near)
            if between is not None and distance is not None and distance_slope is not None:
                pull = (distance_slope + apart_slope) / distance
                if laplacian is not None:
                    laplacian.total.add_(pull, alpha=4.0)
                pull = between * pull
                y_slope[:, 0] += pull
                y_slope[:, 1] -= pull
            return value, outside(y_slope)

    def _bend(
        self,
        laplacian: Laplacian,
        orbitals_slope: Tensor,
        factors: Tensor,
        shape_slope: Tensor,
        of_near: Tensor,
        inverse: Tensor,
        unit: Tensor,
    ) -> None:
        """Add what the sum over orbitals bends by: for shares p of its terms, Σ p |∇term|² − |Σ p ∇term|², and their own bends.

        `of_near` are the derivatives of the orbitals' shape by the distances (n, M, B), whose gradients are `unit` vectors.
        """
        laplacian.add(shape_slope, 2.0 * inverse**3 * self.pulls.square())
        laplacian.add((orbitals_slope * factors.square()).sum(2), of_near.square())
        mean = (unit * (shape_slope * of_near)).sum(2)
        laplacian.total.sub_(mean.square().sum((0, 1)))

    def _learned(
        self,
        seen: Seen,
        charged_slope: Tensor,
        laplacian: Laplacian | None = None,
        unit: Tensor | None = None,
        along: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The perceptron (B,) and the gradients with respect to the distances near and apart, without a graph.

        Added to the former is what the rest gives by way of the charged distances, whose gradient so far is `charged_slope`.
        A `laplacian` gets the bends of the perceptron and its features: `unit` (3, n, M, B) and `along` (3, B) are the
        directions of the distances.
        """
        near, apart, charged, ratio, of_near, log_apart = seen
        n, m, batch = near.shape
        features = self.features(seen)
        out, kept = self.net.kept(features.index_select(0, self.order).view(len(features), -1))
        each = len(self.orders)
        bends: Sequence[Tensor] = ()
        if laplacian is not None and unit is not None:
            # instead of the functions in the order of each labelling, weights in that order
            weight = self.net.layer.weight.index_select(1, self.inverse).view(-1, len(features)).to(BENDS)
            to_first = weight @ features_tangent(self, seen, unit, along).flatten(1)
            bends = self.net.bends(to_first.view(-1, each, 3 * n, batch).transpose(1, 2).flatten(2), kept)
        seen_slope = self.net.slope(torch.full_like(out, 1 / each), kept, laplacian, bends).view(-1, batch)
        slope = seen_slope.index_select(0, self.back).view(each, -1, batch).sum(0)
        if laplacian is not None and unit is not None:
            laplacian.add(slope, features_bend(self, seen, unit, along))
        of_log, of_saturating, of_cross, of_apart = slope.split(
            [n * m, n * m, n * m * (m - 1), len(slope) - n * m * (m + 1)]
        )
        charged_slope.addcmul_(of_log.view(near.shape), logarithm_slope(charged))
        charged_slope.addcmul_(of_saturating.view(near.shape), saturating_slope(charged))
        near_slope = charged_slope * self.pulls
        of_ratio, bare_slope, apart_slope = torch.zeros_like(near), torch.zeros_like(near), near.new_zeros(batch)
        if m > 1:
            cross_slope = near.new_zeros(n, m * m, batch)
            cross_slope.index_copy_(1, self.unequal, of_cross.view(-1, n, batch).transpose(0, 1))
            cross_slope = cross_slope.view(n, m, m, batch)
            of_ratio += (cross_slope * (of_near.unsqueeze(1) - self.of_bonds)).sum(2)
            bare_slope += (cross_slope * ratio.unsqueeze(2)).sum(1)
        if apart is not None and log_apart is not None:
            of_angle = of_apart[2:].view(near.shape)
            of_ratio.addcmul_(of_angle, log_apart - of_near.flip(0))
            by_angle = of_angle * ratio
            bare_slope -= by_angle.flip(0)
            apart_slope.addcmul_(of_apart[0] + by_angle.sum((0, 1)), logarithm_slope(apart))
            apart_slope.addcmul_(of_apart[1], saturating_slope(apart))
        near_slope.addcmul_(of_ratio, ratio_slope(near))
        near_slope.addcmul_(bare_slope, logarithm_slope(near))
        return out.view(each, batch).mean(0), near_slope, apart_slope
