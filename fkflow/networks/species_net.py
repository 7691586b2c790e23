"""log ψ of several species of particles, some of more than one, in a smooth potential."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations_with_replacement
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from fkflow.hamiltonian.geometry import coordinates_first, pairs
from fkflow.hamiltonian.natural_scale import Landscape
from fkflow.networks.confinement import FAINT, GAUSSIAN_SHARE, Gaussian, RoundGaussian, Tails
from fkflow.networks.coordinates import Places, Squares
from fkflow.networks.functions import Features, Gaussians, Root
from fkflow.networks.layers import SiLU, Sum, SumOverPairs, Weighted, mlp
from fkflow.networks.log_psi import LogPsi
from fkflow.networks.messages import Receive
from fkflow.networks.species_parts import (
    Join,
    KindLinear,
    KindPairLinear,
    Means,
    Select,
    SpeciesDifferences,
    SpeciesPlaces,
)
from fkflow.networks.stored_numbers import StoredNumbers
from fkflow.networks.symmetric import SymmetricNet
from fkflow.networks.two_body_factor import TwoBodyFactor

#: kind of a pair: the numbers of its two species, the lower one first
Kind = tuple[int, int]


def pair_kinds(groups: Sequence[Sequence[int]]) -> dict[Kind, list[int]]:
    """The numbers of the pairs of each kind, in the order of `pairs`, for the numbers of the particles of each species."""
    species = {i: s for s, group in enumerate(groups) for i in group}
    ends = [one.tolist() for one in pairs(len(species), torch.device("cpu"))]
    found: dict[Kind, list[int]] = {}
    for number, (i, j) in enumerate(zip(*ends, strict=True)):
        found.setdefault((species[i], species[j]), []).append(number)
    every = combinations_with_replacement(range(len(groups)), 2)
    return {kind: found[kind] for kind in every if kind in found}


class SpeciesNet(StoredNumbers, LogPsi):
    """Particles of several species, as `SymmetricNet` for one: a Gaussian part, pair functions and one round of messages.

    The Gaussian part has, for each species, the places about their mean and, together, all means: what is symmetric within
    each species of the Gaussian of any coupled oscillators, which it so solves from the start. Where the trap is the same for
    all (`separable`), the centre of mass stays an exact Gaussian. Every kind of pair has functions, messages, a two-body
    factor and a readout of its own, every species its tails and readout; the layer that puts the messages of a particle
    together has a bias for each species. Sums over the pairs of a kind and the particles of a species make ψ symmetric within
    each species; they take the same time for any number of species.
    """

    walkerwise: ClassVar[bool] = True
    numbers: ClassVar[tuple[str, ...]] = ("length",)
    exact: ClassVar[tuple[str, ...]] = ("centre",)
    WIDTHS, OWN_WIDTHS = SymmetricNet.WIDTHS, SymmetricNet.OWN_WIDTHS

    centre: Tensor

    def __init__(
        self,
        landscape: Landscape,
        groups: Sequence[Sequence[int]],
        masses: Sequence[float],
        hidden: int,
        layers: int,
        *,
        isotropic: bool,
        separable: bool,
        free: bool = False,
        two_body_factors: dict[Kind, TwoBodyFactor] | None = None,
    ) -> None:
        super().__init__()
        n, dim = landscape.centre.shape
        self.particles, self.dimensions = n, dim
        self.isotropic, self.length = isotropic, landscape.length
        # of a free system nothing depends on the centre of mass
        relative = separable or free
        self.groups, self.kinds = [list(group) for group in groups], pair_kinds(groups)
        roots = torch.tensor(masses).sqrt()[:, None]
        total = float(roots.square().sum())
        # of one place in space, so that differences of positions are what they are
        centre = roots * (roots * landscape.centre).sum(0) / total
        self.register_buffer("centre", centre)
        offsets = torch.zeros(dim, n, 1)
        if not (isotropic or relative):
            for group in self.groups:
                mean = (landscape.centre - centre)[group].mean(0) / self.length
                offsets[:, group] = mean[:, None, None]
        covariance = landscape.covariance.reshape(n, dim, n, dim) / landscape.length**2
        soft = landscape.free is not None or not (landscape.harmonic or relative)
        gaussian, steep = (FAINT, FAINT**2) if landscape.flat is not None else (GAUSSIAN_SHARE, FAINT)
        share = gaussian if soft else 1.0

        self.select = nn.ModuleList(Select(group) for group in self.groups)
        self.places = SpeciesPlaces(masses, offsets, False)
        self.relative_places = SpeciesPlaces(masses, torch.zeros(dim, n, 1), True) if relative else None
        self.deviations, self.squares = Places(True), Squares()
        self.gaussian, self.round_gaussian, self.tails = Gaussian(), RoundGaussian(), Tails()
        self._confine(landscape, covariance, roots, share, [1 - gaussian, steep] if soft else None, free=free)

        self.own_features = Features(Root(), Gaussians(self.OWN_WIDTHS))
        own = sum(self.own_features.counts) + (0 if isotropic else dim)
        heights = tuple(min(width, 1.0) ** 2 for width in self.WIDTHS)
        self.pair_features = Features(Gaussians(self.WIDTHS, heights), Root())
        pair = sum(self.pair_features.counts)
        self.differences, self.receive = SpeciesDifferences(masses), Receive()
        self.silu, self.sum, self.sum_over_pairs, self.weighted = SiLU(), Sum(), SumOverPairs(), Weighted()
        self.select_pairs = nn.ModuleList(Select(rows) for rows in self.kinds.values())
        self.join = Join(list(self.kinds.values()))
        of_particle = [next(s for s, group in enumerate(self.groups) if i in group) for i in range(n)]
        of_pair = [0] * (n * (n - 1) // 2)
        for number, rows in enumerate(self.kinds.values()):
            for row in rows:
                of_pair[row] = number
        self.pair_in = nn.ModuleList(mlp([pair, hidden]) for _ in self.kinds)
        self.message = mlp([own + hidden, hidden], first=lambda a, b: KindLinear(a, b, of_particle))
        self.readout = nn.ModuleList(mlp([hidden] * layers + [1], final_scale=0.0) for _ in self.groups)
        self.pair_out = mlp([2 * hidden + pair, hidden], first=lambda a, b: KindPairLinear(a, b, of_pair))
        self.pair_readout = nn.ModuleList(mlp([hidden, 1], final_scale=0.0) for _ in self.kinds)
        self.jastrow = nn.ParameterList(nn.Parameter(torch.zeros(pair)) for _ in self.kinds)
        factors = two_body_factors or {}
        self.factored = [kind in factors for kind in self.kinds]
        self.two_body_factor = (
            nn.ModuleList(factors[kind] for kind in self.kinds if kind in factors) if factors else None
        )

    def _confine(
        self,
        landscape: Landscape,
        covariance: Tensor,
        roots: Tensor,
        share: float,
        tails: list[float] | None,
        *,
        free: bool,
    ) -> None:
        """Start the Gaussian parts from the `covariance` (N, D, N, D) of ψ², with this share of it, and the tails."""
        n, dim = roots.shape[0], covariance.shape[1]
        total = float(roots.square().sum())
        sums = torch.stack([roots.new_zeros(n).index_fill(0, torch.tensor(g), len(g) ** -0.5) for g in self.groups])
        own_roots, weights = [], []
        for group in self.groups:
            blocks = covariance[group][:, :, group]
            # the rest is due to walls
            loose = roots.new_ones(dim) if landscape.loose is None else landscape.loose[group].mean(0)
            loose = loose.sqrt()[:, None] * loose.sqrt()
            trace, together = torch.einsum("iaib->ab", blocks), blocks.sum((0, 2)) / len(group)
            if len(group) > 1:
                own = self._stiffness((trace - together) / (len(group) - 1)) * loose
                own_roots.append(nn.Parameter(self._root(own * share)))
            one_body = self._stiffness(trace / len(group)) * loose
            weights.append((float(one_body.diagonal().mean()), 1.0))
        self.own_root = nn.ParameterList(own_roots)
        self.log_tails = None
        if tails is not None:
            starts = (torch.tensor(tails) * torch.tensor(pair) for pair in weights)
            self.log_tails = nn.ParameterList(nn.Parameter(start.log()) for start in starts)
        self.com_root = None
        if self.relative_places is not None:
            along = roots[:, 0] / total**0.5
            if not free:
                self.centre_of_mass = Means(along[None], flat=not self.isotropic)
                root = self._root(landscape.centre_of_mass * landscape.length**2)
                self.com_root = nn.Parameter(root.view(1, 1) if self.isotropic else root)
            # what of the means is orthogonal to the centre of mass
            sums = torch.linalg.svd(sums @ along[:, None])[0][:, 1:].mT @ sums
        self.means = Means(sums, flat=not self.isotropic)
        cov = torch.einsum("ki,iajb,lj->kalb", sums, covariance, sums)
        if self.isotropic:
            matrix = torch.einsum("kala->kl", cov) / dim
        else:
            matrix = cov.reshape(len(sums) * dim, -1)
        stiffness = self._stiffness(matrix) * share
        if landscape.loose is not None:
            stiffness = stiffness * float(landscape.loose.mean())
        values, vectors = torch.linalg.eigh(stiffness)
        self.mean_root = nn.Parameter((vectors * values.clamp_min(0).sqrt()) @ vectors.mT)

    @staticmethod
    def _stiffness(covariance: Tensor) -> Tensor:
        """½ C⁻¹: ψ² of covariance C is log ψ = −¼ yᵀ C⁻¹ y = −½ |y L|², L Lᵀ = ½ C⁻¹."""
        return 0.5 * torch.linalg.inv(covariance)

    def _root(self, stiffness: Tensor) -> Tensor:
        """Symmetric √S (D, D), or its one number for isotropic systems."""
        values, vectors = torch.linalg.eigh(stiffness)
        values = values.clamp_min(0)
        root: Tensor = values.mean().sqrt() if self.isotropic else (vectors * values.sqrt()) @ vectors.T
        return root

    @property
    def width(self) -> int:
        rows = max(self.particles, self.particles * (self.particles - 1) // 2)
        return 2 * rows * (self.message.sizes[1] + len(self.WIDTHS) + 1)

    def coordinates(self, x: Tensor) -> Tensor:
        return coordinates_first((x - self.centre) / self.length)

    def compose(self, y: Tensor) -> Tensor:
        precision = self.mean_root.dtype
        places = self.places(y, precision)
        relative = places if self.relative_places is None else self.relative_places(y, precision)
        square = self.squares(relative)
        value = self.gaussian(self.means(places, precision), self.mean_root, 1.0)
        if self.com_root is not None:
            value = value + self.gaussian(self.centre_of_mass(places, precision), self.com_root, 1.0)
        roots = iter(self.own_root)
        for number, select in enumerate(self.select):
            if len(self.groups[number]) > 1:
                apart = self.deviations(select(places), precision)
                if self.isotropic:
                    value = value + self.round_gaussian(self.squares(apart), next(roots), 1.0)
                else:
                    value = value + self.gaussian(apart, next(roots), 1.0)
            if self.log_tails is not None:
                value = value + self.tails(select(square), self.log_tails[number].exp())
        differences = self.differences(y, precision)
        r2 = self.squares(differences)
        pair = self.pair_features(r2)
        of_kinds = [select(pair) for select in self.select_pairs]
        sent = self.join(*(self.silu(net(one)) for net, one in zip(self.pair_in, of_kinds, strict=True)), differences)
        own = (self.own_features(square), *(() if self.isotropic else (relative,)))
        particle = self.silu(self.message(*own, self.receive(sent, relative)))
        second = self.silu(self.pair_out(sent, particle, pair))
        factors: Any = iter(self.two_body_factor or ())
        for number, select in enumerate(self.select_pairs):
            value = value + self.weighted(self.sum_over_pairs(of_kinds[number]), self.jastrow[number])
            value = value + self.sum(self.pair_readout[number](self.sum_over_pairs(select(second))))
            if self.factored[number]:
                value = value + next(factors)(select(r2), self.length)
        for select, readout in zip(self.select, self.readout, strict=True):
            value = value + self.sum(readout(select(particle)))
        return value
