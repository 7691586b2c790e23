"""log ψ networks of smooth systems, symmetric for identical particles, plain for distinguishable ones; and `build`.

Every network maps configurations x (B, N, D) to log ψ(x) (B,), in the length unit of the system. Internally lengths are
divided by the natural length of the potential (`landscape.Landscape`), so that no tuning depends on the user's units.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from fkflow.geometry import apart, inside
from fkflow.landscape import Landscape
from fkflow.logpsi import LogPsi, affine, mlp, spread_out
from fkflow.molecular import MolecularNet
from fkflow.pair_drift import PairDrift
from fkflow.pair_factor import PairFactor, pair_factor
from fkflow.system import System

__all__ = ["GenericNet", "LogPsi", "MolecularNet", "PairDrift", "SymmetricNet", "build"]


def tails(square: Tensor, weights: Tensor) -> Tensor:
    """Confining part −Σ [w_0 (√(1+z²) − 1) + w_1 ((1+z²)^{3/2} − 1)] for z² (n, B): exponential and steeper tails."""
    root = (1 + square).sqrt() - 1
    steep = (1 + square) * (1 + root) - 1
    return -(weights[..., 0] * root.sum(0) + weights[..., 1] * steep.sum(0))


#: share of the start's curvature that sits in a Gaussian where tails may be softer; the rest is √(1 + z²). A start that
#: is too broad is seen by its walkers and corrected; the tail of one that is too narrow is never visited.
GAUSSIAN_SHARE = 0.25
#: weight of the steeper tail at the start: hardly there, yet within reach of a gradient
FAINT = 0.02


class GenericNet(LogPsi):
    """Distinguishable particles (or one): −½|Lz|² with a full learnable L, tails, and a perceptron of z.

    z are the whitened coordinates and L starts so that ψ is the harmonic approximation, which solves any set of coupled
    oscillators exactly. LᵀL cannot become negative: ψ stays normalisable whatever the optimiser does.
    """

    walkerwise: ClassVar[bool] = True

    centre: Tensor
    whiten: Tensor

    def __init__(self, landscape: Landscape, hidden: int, layers: int, meeting: PairFactor | None = None) -> None:
        super().__init__()
        d = landscape.centre.numel()
        self.meeting = meeting
        self.register_buffer("centre", landscape.centre.reshape(-1).clone())
        # Whitening z = W (x − c): unit variance of ψ² in the Gaussian approximation.
        self.register_buffer("whiten", landscape.whitening())
        # ψ² of unit variance in z: log ψ = −z²/4, with tails d²/dz² = w_0 at the centre
        soft = d <= 3 and not landscape.harmonic
        self.root = nn.Parameter(torch.eye(d) * math.sqrt(0.5 * (GAUSSIAN_SHARE if soft else 1.0)))
        self.log_tails = nn.Parameter(torch.tensor([0.5 * (1 - GAUSSIAN_SHARE), FAINT]).log()) if soft else None
        self.net = mlp([d] + [hidden] * layers + [1], final_scale=0.0)

    @property
    def width(self) -> int:
        return max(layer.in_features + layer.out_features for layer in self.net if isinstance(layer, nn.Linear))

    def forward(self, x: Tensor) -> Tensor:
        z = ((x.flatten(1) - self.centre) @ self.whiten).mT.contiguous()
        value = -0.5 * affine(z, self.root.mT).square().sum(0) + self.net(z)[0]
        if self.meeting is not None:
            value = value + self.meeting(x)
        return value if self.log_tails is None else value + tails(z.square(), self.log_tails.exp())


class SymmetricNet(LogPsi):
    """Identical particles: Gaussian part, pair functions of several widths and one round of pair–particle messages.

    Pairs see Gaussians exp(−(r/w)²) of widths ⅛…4 ℓ and √(1 + (r/ℓ)²); particles see their place relative to the centre of
    mass (`separable` systems, whose centre of mass then stays an exact Gaussian) or to the trap. Isotropic systems enter
    through squared distances only, so ψ is rotation invariant. Summing over pairs and particles makes it symmetric.
    """

    walkerwise: ClassVar[bool] = True
    WIDTHS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0)
    OWN_WIDTHS = (0.5, 1.0, 2.0, 4.0)

    first: Tensor
    second: Tensor
    centre: Tensor
    exponents: Tensor
    own_exponents: Tensor
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

    def forward(self, x: Tensor) -> Tensor:
        y = inside((x - self.centre) / self.length)
        between = apart(y, self.first, self.second)
        if self.com_root is not None:
            mean = y.mean(1, keepdim=True)
            y = y - mean
            value = self.particles * self.gaussian(mean, self.com_root) + self.gaussian(y, self.own_root)
        else:
            value = self.gaussian(y, self.own_root)
        square = y.square().sum(0)
        if self.log_tails is not None:
            value = value + tails(square, self.log_tails.exp())
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
        layer, width = self.pair_out[0], len(hidden)
        assert isinstance(layer, nn.Linear)
        own, ends, seen = layer.weight.split([width, width, len(pair)], -1)
        sent = affine(particle, ends)
        total = affine(hidden, own, layer.bias) + affine(pair, seen)
        return total + sent.index_select(1, self.first) + sent.index_select(1, self.second)


def build(system: System, landscape: Landscape, kind: str, hidden: int, layers: int, seed: int) -> LogPsi | PairDrift:
    """The network of a system, float64, initialised from `seed` alone.

    kind "auto" picks "molecular" for nuclei, "symmetric" for identical particles (or one in an isotropic potential), else
    "generic".
    """
    nuclei = system.nuclei()
    if kind == "auto":
        symmetric = system.identical and (system.particles > 1 or system.isotropic)
        kind = "molecular" if nuclei else "symmetric" if symmetric else "generic"
    positions = charges = None
    if nuclei is not None:
        positions = torch.tensor(nuclei.positions, dtype=torch.float64)
        charges = torch.tensor(nuclei.charges, dtype=torch.float64)
    with torch.random.fork_rng(devices=[]), default_float64():
        torch.manual_seed(seed)
        if kind == "molecular":
            assert positions is not None and charges is not None
            net: LogPsi | PairDrift = MolecularNet(positions, charges, system.particles, hidden, layers)
        elif kind == "symmetric":
            net = SymmetricNet(
                landscape,
                hidden,
                layers,
                isotropic=system.isotropic,
                separable=system.separable,
                meeting=pair_factor(system, landscape.length),
            )
        elif kind == "generic":
            net = GenericNet(landscape, hidden, layers, pair_factor(system, landscape.length))
        else:
            # log ψ = −y²/(4 variance): its drift is −y/(2 variance)
            variance = float(landscape.one_body_covariance().diagonal().mean()) / landscape.length**2
            stiffness = 0.0 if nuclei else 0.5 / variance
            net = PairDrift(
                landscape.length,
                landscape.centre[0].clone(),
                stiffness,
                system.particles,
                hidden,
                layers,
                positions,
                charges,
            )
    return net


@contextmanager
def default_float64() -> Iterator[None]:
    """Parameters made inside are float64 from the start: rounding through float32 would spoil exact starts."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
