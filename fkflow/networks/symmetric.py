"""log ψ of identical particles, or of one, in a smooth potential."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from fkflow.hamiltonian.geometry import coordinates_first
from fkflow.hamiltonian.natural_scale import Landscape
from fkflow.networks.confinement import FAINT, GAUSSIAN_SHARE, Gaussian, RoundGaussian, Tails
from fkflow.networks.coordinates import CentreOfMass, Differences, Places, Squares
from fkflow.networks.functions import Features, Gaussians, Root
from fkflow.networks.layers import SiLU, Sum, SumOverPairs, Weighted, mlp
from fkflow.networks.log_psi import LogPsi
from fkflow.networks.messages import PairLinear, Receive
from fkflow.networks.stored_numbers import StoredNumbers
from fkflow.networks.two_body_factor import RENAMED, TwoBodyFactor
from fkflow.networks.vector_messages import CoreMessages


class SymmetricNet(StoredNumbers, LogPsi):
    """Identical particles: Gaussian part, pair functions of several widths and one round of pair–particle messages.

    Pairs see Gaussians exp(−(r/w)²) of widths ⅛…4 ℓ and √(1 + (r/ℓ)²); particles see their place relative to the centre of
    mass (`separable` systems, whose centre of mass then stays an exact Gaussian, and `free` ones) or to the trap. Isotropic
    systems enter through squared distances only, so ψ is rotation invariant. Sums over pairs and particles make it symmetric.
    Pairs with a steep `core` also send vectors, whose products are a three-body factor (`vector_messages`).
    """

    walkerwise: ClassVar[bool] = True
    numbers: ClassVar[tuple[str, ...]] = ("length",)
    exact: ClassVar[tuple[str, ...]] = ("centre",)
    renamed = RENAMED | dict.fromkeys(("first", "second", "exponents", "own_exponents", "heights"))
    #: widths of the functions of distances and of places, in natural lengths
    WIDTHS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0)
    OWN_WIDTHS = (0.5, 1.0, 2.0, 4.0)

    centre: Tensor

    def __init__(
        self,
        landscape: Landscape,
        hidden: int,
        layers: int,
        *,
        isotropic: bool,
        separable: bool,
        free: bool = False,
        two_body_factor: TwoBodyFactor | None = None,
        core: float = 0.0,
    ) -> None:
        super().__init__()
        self.two_body_factor = two_body_factor
        n, dim = landscape.centre.shape
        self.particles, self.dimensions = n, dim
        self.isotropic, self.separable = isotropic, (separable or free) and n > 1
        self.length = landscape.length
        self.register_buffer("centre", landscape.centre[0].clone())
        scale = landscape.length**2
        # ψ² has the one-body covariance C: log ψ = −¼ yᵀ C⁻¹ y = −½ |y L|².
        covariance = (
            landscape.relative_covariance() * n / (n - 1) if self.separable else landscape.one_body_covariance()
        )
        own, com = 0.5 * torch.linalg.inv(covariance / scale), landscape.centre_of_mass * scale
        if landscape.loose is not None:
            # the rest is due to walls
            share = landscape.loose.mean(0).sqrt()
            own = own * share[:, None] * share
        soft = landscape.free is not None or not (landscape.harmonic or self.separable)
        gaussian, steep = (FAINT, FAINT**2) if landscape.flat is not None else (GAUSSIAN_SHARE, FAINT)
        complete = two_body_factor is not None and two_body_factor.complete
        self.own_root = None if complete else nn.Parameter(self._root(own * gaussian if soft else own))
        self.com_root = nn.Parameter(self._root(com)) if self.separable and not free else None
        weights = [(1 - gaussian) * float(own.diagonal().mean()), steep]
        self.log_tails = nn.Parameter(torch.tensor(weights).log()) if soft and not complete else None

        self.places, self.mean, self.squares = Places(self.separable), CentreOfMass(), Squares()
        self.gaussian = RoundGaussian() if isotropic else Gaussian()
        self.tails, self.silu, self.sum = Tails(), SiLU(), Sum()
        self.own_features = Features(Root(), Gaussians(self.OWN_WIDTHS))
        features = sum(self.own_features.counts) + (0 if isotropic else dim)
        if n > 1:
            # bounded second derivatives: a narrow Gaussian must be learned, it is not there by chance at the start
            heights = tuple(min(width, 1.0) ** 2 for width in self.WIDTHS)
            self.pair_features = Features(Gaussians(self.WIDTHS, heights), Root())
            pair = sum(self.pair_features.counts)
            self.pair_in = mlp([pair, hidden])
        self.message = mlp([features + (hidden if n > 1 else 0), hidden])
        self.readout = mlp([hidden] + [hidden] * (layers - 1) + [1], final_scale=0.0)
        if n > 1:
            self.differences, self.receive = Differences(), Receive()
            self.pair_out = mlp([2 * hidden + pair, hidden], first=PairLinear)
            self.pair_readout = mlp([hidden] + [1], final_scale=0.0)
            self.jastrow = nn.Parameter(torch.zeros(pair))
            self.sum_over_pairs, self.weighted = SumOverPairs(), Weighted()
        self.vector_messages = CoreMessages(core / self.length) if core and n > 2 else None

    @property
    def width(self) -> int:
        rows = max(self.particles, self.particles * (self.particles - 1) // 2)
        return rows * (self.message.sizes[1] + len(self.WIDTHS) + 1)

    def _root(self, stiffness: Tensor) -> Tensor:
        """Symmetric √S (D, D), or its one number for isotropic systems."""
        values, vectors = torch.linalg.eigh(stiffness)
        root: Tensor = values.mean().sqrt() if self.isotropic else (vectors * values.sqrt()) @ vectors.T
        return root

    def coordinates(self, x: Tensor) -> Tensor:
        return coordinates_first((x - self.centre) / self.length)

    def compose(self, y: Tensor) -> Tensor:
        precision = next(self.message.parameters()).dtype
        places = self.places(y, precision)
        square = self.squares(places)
        confined = self.confine(y, places, square) if self.own_root is not None else None
        own = (self.own_features(square), *(() if self.isotropic else (places,)))
        if self.particles == 1:
            found = self.sum(self.readout(self.silu(self.message(*own))))
            return found if confined is None else confined + found
        r2 = self.squares(self.differences(y, precision))
        pair = self.pair_features(r2)
        sent = self.silu(self.pair_in(pair))
        particle = self.silu(self.message(*own, self.receive(sent, places)))
        # what is linear in the pairs is summed over them first
        value = self.weighted(self.sum_over_pairs(pair), self.jastrow)
        value = (value if confined is None else confined + value) + self.sum(self.readout(particle))
        second = self.silu(self.pair_out(sent, particle, pair))
        value = value + self.sum(self.pair_readout(self.sum_over_pairs(second)))
        if self.vector_messages is not None:
            value = value + self.vector_messages(y, precision)
        return value if self.two_body_factor is None else value + self.two_body_factor(r2, self.length)

    def confine(self, y: Tensor, places: Tensor, square: Tensor) -> Tensor:
        """What confines ψ, Gaussians and tails, from internal coordinates, places of particles and their squares."""
        value = self.gaussian(square if self.isotropic else places, self.own_root, 1.0)
        if self.com_root is not None:
            mean = self.mean(y, self.com_root.dtype)
            value = value + self.gaussian(self.squares(mean) if self.isotropic else mean, self.com_root, self.particles)
        if self.log_tails is not None:
            value = value + self.tails(square, self.log_tails.exp())
        confined: Tensor = value
        return confined
