"""log ψ of identical particles, or of one, in a smooth potential."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from fkflow.hamiltonian.geometry import apart, inside, outside, pulled
from fkflow.hamiltonian.landscape import Landscape
from fkflow.networks.laplacian import Laplacian
from fkflow.networks.layers import affine, mlp, spread_out
from fkflow.networks.log_psi import FAINT, GAUSSIAN_SHARE, LogPsi, tails, tails_bend, tails_slope
from fkflow.networks.state import KeepsNumbers
from fkflow.networks.symmetric_bends import learned_bends
from fkflow.networks.symmetric_slopes import NO_BENDS, learned, learned_slopes
from fkflow.networks.two_body_factor import PairFactor


class SymmetricNet(KeepsNumbers, LogPsi):
    """Identical particles: Gaussian part, pair functions of several widths and one round of pair–particle messages.

    Pairs see Gaussians exp(−(r/w)²) of widths ⅛…4 ℓ and √(1 + (r/ℓ)²); particles see their place relative to the centre of
    mass (`separable` systems, whose centre of mass then stays an exact Gaussian) or to the trap. Isotropic systems enter
    through squared distances only, so ψ is rotation invariant. Summing over pairs and particles makes it symmetric.
    """

    walkerwise: ClassVar[bool] = True
    numbers: ClassVar[tuple[str, ...]] = ("length",)
    exact: ClassVar[tuple[str, ...]] = ("centre",)
    WIDTHS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0)
    OWN_WIDTHS = (0.5, 1.0, 2.0, 4.0)

    first: Tensor
    second: Tensor
    centre: Tensor
    exponents: Tensor
    own_exponents: Tensor
    pair_rates: Tensor
    own_rates: Tensor
    heights: Tensor

    def __init__(
        self,
        landscape: Landscape,
        hidden: int,
        layers: int,
        *,
        isotropic: bool,
        separable: bool,
        meeting: PairFactor | None = None,
    ) -> None:
        super().__init__()
        self.meeting = meeting
        n, dim = landscape.centre.shape
        self.particles, self.dimensions = n, dim
        self.isotropic, self.separable = isotropic, separable and n > 1
        self.length = landscape.length
        first, second = torch.triu_indices(n, n, 1)
        self.register_buffer("first", first)
        self.register_buffer("second", second)
        self.register_buffer("centre", landscape.centre[0].clone())
        widths = torch.tensor(self.WIDTHS)
        self.register_buffer("exponents", -1.0 / widths**2)
        self.register_buffer("own_exponents", -1.0 / torch.tensor(self.OWN_WIDTHS) ** 2)
        # what turns functions of z² into their derivatives, but for a reciprocal of √(1 + z²); no part of a stored network
        half = torch.tensor([0.5])
        self.register_buffer("pair_rates", torch.cat([self.exponents, half]), persistent=False)
        self.register_buffer("own_rates", torch.cat([half, self.own_exponents]), persistent=False)
        # Bounded second derivatives: a narrow Gaussian must be learned, it is not there by chance at the start.
        self.register_buffer("heights", widths.clamp(max=1.0) ** 2)
        scale = landscape.length**2
        # ψ² has the one-body covariance C: log ψ = −¼ yᵀ C⁻¹ y = −½ |y L|².
        covariance = (
            landscape.relative_covariance() * n / (n - 1) if self.separable else landscape.one_body_covariance()
        )
        own, com = 0.5 * torch.linalg.inv(covariance / scale), landscape.centre_of_mass * scale
        soft = landscape.free is not None or not (landscape.harmonic or self.separable)
        self.own_root = nn.Parameter(self._root(own * GAUSSIAN_SHARE if soft else own))
        self.com_root = nn.Parameter(self._root(com)) if self.separable else None
        weights = [(1 - GAUSSIAN_SHARE) * float(own.diagonal().mean()), FAINT]
        self.log_tails = nn.Parameter(torch.tensor(weights).log()) if soft else None

        features = 1 + len(self.OWN_WIDTHS) + (0 if isotropic else dim)
        pair_features = len(self.WIDTHS) + 1
        self.pair_in = mlp([pair_features, hidden]) if n > 1 else None
        self.message = mlp([features + (hidden if n > 1 else 0), hidden])
        self.readout = mlp([hidden] + [hidden] * (layers - 1) + [1], final_scale=0.0)
        if n > 1:
            self.pair_out = mlp([2 * hidden + pair_features, hidden])
            self.pair_readout = mlp([hidden] + [1], final_scale=0.0)
            self.jastrow = nn.Parameter(torch.zeros(pair_features))

    @property
    def centred(self) -> float:
        """By how much a place moves with another particle: 1/N where it is relative to the centre of mass, else 0."""
        return 1 / self.particles if self.separable else 0.0

    @property
    def width(self) -> int:
        rows = max(self.particles, len(self.first))
        return rows * (self.message.sizes[1] + len(self.WIDTHS) + 1)

    def _root(self, stiffness: Tensor) -> Tensor:
        """Symmetric √S (D, D), or its one number for isotropic systems."""
        values, vectors = torch.linalg.eigh(stiffness)
        root: Tensor = values.mean().sqrt() if self.isotropic else (vectors * values.sqrt()) @ vectors.T
        return root

    def gaussian(self, y: Tensor, root: Tensor) -> Tensor:
        """−½ Σ_i |Lᵀ y_i|² (B,) for y (D, n, B); L a number or (D, D)."""
        if self.isotropic:
            return -0.5 * root.square() * y.square().sum((0, 1))
        return -0.5 * affine(y, root.mT).square().sum((0, 1))

    def gaussian_slope(self, y: Tensor, root: Tensor) -> Tensor:
        """Its gradient (D, n, B)."""
        return -root.square() * y if self.isotropic else affine(y, -root @ root.mT)

    def _places(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Places (D, N, B) relative to the trap or to the centre of mass, distances (D, pairs, B), that centre (D, 1, B).

        All in the precision of the parameters, but rounded only after the differences.
        """
        precision = self.own_root.dtype
        y = inside((x - self.centre) / self.length)
        between = apart(y, self.first, self.second).to(precision)
        if self.com_root is None:
            return y.to(precision), between, None
        mean = y.mean(1, keepdim=True)
        return (y - mean).to(precision), between, mean.to(precision)

    def _confined(self, y: Tensor, square: Tensor, mean: Tensor | None) -> Tensor:
        """What confines the particles and their centre of mass (B,): Gaussians and tails."""
        value = self.gaussian(y, self.own_root)
        if self.com_root is not None and mean is not None:
            value = value + self.particles * self.gaussian(mean, self.com_root)
        return value if self.log_tails is None else value + tails(square, self.log_tails.exp())

    def forward(self, x: Tensor) -> Tensor:
        y, between, mean = self._places(x)
        square = y.square().sum(0)
        value = self._confined(y, square, mean)
        features = [(1 + square).sqrt()[None], (square * self.own_exponents[:, None, None]).exp()]
        if not self.isotropic:
            features.append(y)
        if self.particles == 1:
            return value + self.readout(silu(self.message(torch.cat(features)))).sum((0, 1))
        r2 = between.square().sum(0)
        near = self.heights[:, None, None] * (r2 * self.exponents[:, None, None]).exp()
        pair = torch.cat([near, (1 + r2).sqrt()[None]])
        assert self.pair_in is not None
        hidden = silu(self.pair_in(pair))
        received = torch.zeros(len(hidden), *square.shape, dtype=x.dtype, device=x.device)
        received = received.index_add(1, self.first, hidden).index_add(1, self.second, hidden)
        particle = silu(self.message(torch.cat([*features, received / math.sqrt(self.particles)])))
        second = silu(self._pair_layer(hidden, particle, pair))
        # what is linear in the pairs is summed over them first
        pairs = self.pair_readout(second.sum(1))[0] + (pair.sum(1) * spread_out(self.jastrow, 1)).sum(0)
        if self.meeting is not None:
            pairs = pairs + self.meeting.total(self.length**2 * r2)
        return value + self.readout(particle).sum((0, 1)) + pairs

    def _pair_layer(self, hidden: Tensor, particle: Tensor, pair: Tensor) -> Tensor:
        """The layer `pair_out` of [hidden, particle_i + particle_j, pair] for all pairs (hidden, pairs, B).

        Its part that acts on particles is applied to N of them, not to N(N − 1)/2 pairs, and nothing is concatenated.
        """
        own, ends, seen = self.pair_weights()
        sent = affine(particle, ends)
        total = affine(hidden, own, self.pair_out.layer.bias) + affine(pair, seen)
        return total + sent.index_select(1, self.first) + sent.index_select(1, self.second)

    def _value(self, x: Tensor) -> Tensor:
        """log ψ (B,), detached: what `forward` does with fewer and smaller operations."""
        if not self.written_out:
            return super()._value(x)
        with torch.no_grad():
            y, between, mean = self._places(x)
            square, r2 = y.square().sum(0), between.square().sum(0)
            value, _ = learned(self, y, square, r2, slopes=False)
            self._confine(value, y, square, mean)
            if self.meeting is not None:
                value += self.meeting.total(self.length**2 * r2)
            return value

    def _derivatives(self, x: Tensor, laplacian: Laplacian | None = None) -> tuple[Tensor, Tensor]:
        """Step by step what `forward` does, and the same backwards; `…_slope` is the gradient with respect to `…`."""
        with torch.no_grad():
            y, between, mean = self._places(x)
            square, r2 = y.square().sum(0), between.square().sum(0)
            value, kept = learned(self, y, square, r2)
            self._confine(value, y, square, mean)
            bends = NO_BENDS if laplacian is None else learned_bends(self, kept, y, between, square, r2)
            square_slope, r2_slope, y_slope = learned_slopes(self, kept, laplacian, bends)
            weights = None if self.log_tails is None else self.log_tails.exp()
            if weights is not None:
                square_slope += tails_slope(square, weights)
            if self.meeting is not None and r2_slope is not None:
                r2_slope = self._met(value, r2_slope, r2, laplacian)
            if self.isotropic:
                square_slope.sub_(self.own_root.square(), alpha=0.5)
            if laplacian is not None:
                self._bend(laplacian, square, square_slope, r2_slope, weights)
            # halves of gradients up to the last line: that of a square is twice what was squared
            slope = y * square_slope
            if y_slope is not None:
                slope.add_(y_slope.add_(self.gaussian_slope(y, self.own_root)), alpha=0.5)
            if self.com_root is not None and mean is not None:
                slope.sub_(slope.mean(1, keepdim=True)).add_(self.gaussian_slope(mean, self.com_root), alpha=0.5)
            if r2_slope is not None:
                pulled(slope, between.mul_(r2_slope))
            if laplacian is not None:
                laplacian.total.div_(self.length**2)
            return value, outside(slope.div_(0.5 * self.length))

    def _met(self, value: Tensor, r2_slope: Tensor, r2: Tensor, laplacian: Laplacian | None) -> Tensor:
        """`r2_slope` with what the factor of pairs that meet adds to it, which is added to `value` and `laplacian` too."""
        assert self.meeting is not None
        scale = self.length**2
        if laplacian is None:
            met, met_slope = self.meeting.total_and_slope(scale * r2)
        else:
            met, met_slope, met_bend = self.meeting.total_slope_and_bend(scale * r2)
            laplacian.add(met_bend, (8 * scale**2) * r2)
        value += met
        return r2_slope.add_(met_slope, alpha=scale)

    def _bend(
        self,
        laplacian: Laplacian,
        square: Tensor,
        square_slope: Tensor,
        r2_slope: Tensor | None,
        weights: Tensor | None,
    ) -> None:
        """Add to the Laplacian by y what squares, Gaussians and tails bend by: all but what is learned."""
        dim, own = self.dimensions, 1 - self.centred
        laplacian.total.add_(square_slope.sum(0), alpha=2 * dim * own)
        if r2_slope is not None:
            laplacian.total.add_(r2_slope.sum(0), alpha=4 * dim)
        if weights is not None:
            laplacian.add(tails_bend(square, weights), square.mul(4 * own))
        # the Gaussian of a round trap is a function of squares
        if not self.isotropic:
            laplacian.total.sub_(self.own_root.square().sum(), alpha=self.particles * own)
        if self.com_root is not None:
            root = self.com_root.square()
            laplacian.total.sub_(dim * root if self.isotropic else root.sum())

    def _confine(self, value: Tensor, y: Tensor, square: Tensor, mean: Tensor | None) -> None:
        """Add `_confined` to `value` (B,), in place."""
        if not self.isotropic:
            value += self._confined(y, square, mean)
            return
        value.addcmul_(square.sum(0), self.own_root.square(), value=-0.5)
        if self.com_root is not None and mean is not None:
            value.addcmul_(mean.square().sum((0, 1)), self.com_root.square(), value=-0.5 * self.particles)
        if self.log_tails is not None:
            value += tails(square, self.log_tails.exp())

    @property
    def written_out(self) -> bool:
        return self.writes_out(SymmetricNet)

    def pair_weights(self) -> list[Tensor]:
        """The weights of the layer `pair_out` for what a pair, its two particles and its distance say."""
        hidden = self.message.sizes[1]
        weight = self.pair_out.layer.weight
        return list(weight.split([hidden, hidden, weight.shape[-1] - 2 * hidden], -1))
