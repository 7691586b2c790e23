"""log ψ of few charged particles of any masses, with exact Coulomb cusps, out of the distances of all pairs."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from fkflow.hamiltonian.charged_scale import ChargeScale, scale_of_charges
from fkflow.hamiltonian.charged_start import APART
from fkflow.hamiltonian.charges import PointCharges
from fkflow.hamiltonian.geometry import coordinates_first
from fkflow.networks.charge_features import ChargeFeatures, pair_images
from fkflow.networks.charge_parts import Bonds, ChargeDistances, Cusps, Pairings
from fkflow.networks.confinement import Gaussian
from fkflow.networks.coordinates import Places
from fkflow.networks.layers import mlp
from fkflow.networks.log_psi import LogPsi
from fkflow.networks.molecular_parts import LabelledLinear, LabellingMean

#: exponents of the templates at the start, for pairs that are bound in the lowest break-up and for others that attract
TEMPLATES = ((1.0, 0.2), (0.6, 0.4), (1.2, 0.05))
#: least exponent of a pair that attracts: with none a particle could leave for good
LEAST = 0.02
#: steepness of a bond, and the curvature of its potential in units of its Coulomb energy
STEEPNESS, CURVATURE = 0.7, 0.1


class FewBodyNet(LogPsi):
    """Few charges, all of whose pairs have their distances: log ψ = cusps + bonds + log Σ of pairings + a perceptron.

    The cusps are exact and the perceptron sees nothing linear in a distance. Exponents have a lower bound, so that ψ falls off
    in all directions. The perceptron and the pairings are averaged over all exchanges of identical particles. In a trap ψ has a
    Gaussian factor, the ground state of the trap alone, in which the centre of mass is exact.
    """

    knows_tails: ClassVar[bool] = True
    walkerwise: ClassVar[bool] = True

    def __init__(self, charges: PointCharges, hidden: int, layers: int) -> None:
        super().__init__()
        scale = scale_of_charges(charges)
        pairs, units = charges.pairs, torch.tensor(scale.lengths)
        slopes = torch.tensor([charges.cusp(pair) for pair in pairs]) * units
        kinds = torch.tensor([pair.kind for pair in pairs])
        heavy = torch.tensor(scale.heavy)
        self.particles, self.dimensions = charges.moving, charges.dimensions
        masses = torch.tensor([body.mass for body in charges.bodies[: charges.moving]])
        if len(set(masses.tolist())) > 1:
            # in coordinates of unit mass heavy particles step as far as ψ is wide for them
            self.step_shape = (masses / masses.min()).pow(0.25).repeat_interleave(charges.dimensions).diag()

        self.distances = ChargeDistances(charges, units)
        self.register_buffer("kinds", kinds, persistent=False)
        beta = torch.zeros(int(kinds.max()) + 1)
        for p, pair in enumerate(pairs):
            if slopes[p] > 0:
                beta[pair.kind] = math.log(float(slopes[p]) / (2 * charges.dimensions))
        self.log_beta = nn.Parameter(beta)
        self.cusps = Cusps((~heavy & (slopes != 0)).nonzero()[:, 0], slopes)

        rows = heavy.nonzero()[:, 0]
        bonds = self._bonds(charges, scale)
        self.bonds = nn.Parameter(bonds) if len(rows) else None
        self.bond_factor = Bonds(rows, kinds) if len(rows) else None
        middle, width = bonds[0, kinds[rows]], (-0.5 * bonds[2] - bonds[1]).exp()[kinds[rows]]

        self._pairings(charges, scale)
        length = min((a for a, pair in zip(scale.lengths, pairs, strict=True) if pair.strength < 0), default=1.0)
        self.features = ChargeFeatures(charges, units, length, rows, middle, width)
        self.net = mlp([self.features.count] + [hidden] * layers + [1], final_scale=0.0, first=LabelledLinear)
        first = self.net[0]
        assert isinstance(first, LabelledLinear)
        first.label(self.features.orders)
        self.labellings, self.mean = first.labellings, LabellingMean()

        self.places, self.trap = Places(False), Gaussian()
        root = math.sqrt(charges.omega) * torch.eye(charges.dimensions) if charges.omega else None
        self.register_buffer("trap_root", root, persistent=False)

    @staticmethod
    def _bonds(charges: PointCharges, scale: ChargeScale) -> Tensor:
        """u0, log α and log λ of each kind of pair (3, kinds): the ground state of a harmonic bond."""
        kinds = 1 + max(pair.kind for pair in charges.pairs)
        bonds = torch.zeros(3, kinds)
        for p, pair in enumerate(charges.pairs):
            if scale.heavy[p]:
                a = scale.lengths[p]
                stiffness = CURVATURE * pair.strength / a**3
                height = math.sqrt(stiffness * pair.mass) * a**2 / STEEPNESS**2
                bonds[:, pair.kind] = torch.tensor([APART, math.log(STEEPNESS), math.log(height)])
        return bonds

    def _pairings(self, charges: PointCharges, scale: ChargeScale) -> None:
        """The templates: in all of them the pairs of the lowest break-up are bound, more or less firmly."""
        rows = [p for p, pair in enumerate(charges.pairs) if pair.strength < 0]
        # alone with each other, all pairs are bound: one template is enough
        templates = TEMPLATES[:1] if set(rows) <= set(scale.bound) else TEMPLATES
        start = torch.tensor([[tight if p in scale.bound else loose for p in rows] for tight, loose in templates])
        place = {p: n for n, p in enumerate(rows)}
        images = torch.tensor([[place[image[p]] for p in rows] for image in pair_images(charges)], dtype=torch.long)
        self.pairings = Pairings(torch.tensor(rows, dtype=torch.long), images)
        self.weights = nn.Parameter(torch.zeros(len(templates))) if rows else None
        self.log_exponents = nn.Parameter((start - LEAST).log()) if rows else None

    @property
    def width(self) -> int:
        return self.labellings * max(self.net.sizes[:2])

    @property
    def has_singular_points(self) -> bool:
        return True

    def coordinates(self, x: Tensor) -> Tensor:
        return coordinates_first(x)

    def compose(self, y: Tensor) -> Tensor:
        precision = self.log_beta.dtype
        u = self.distances(y, precision)
        value: Any = self.mean(self.net(self.features(u)))
        value = value + self.cusps(u, self.log_beta.exp()[..., self.kinds])
        if self.bond_factor is not None:
            value = value + self.bond_factor(u, self.bonds)
        if self.log_exponents is not None and self.weights is not None:
            value = value + self.pairings(u, self.weights, LEAST + self.log_exponents.exp())
        if self.trap_root is not None:
            value = value + self.trap(self.places(y, precision), self.trap_root, 1.0)
        found: Tensor = value
        return found

    kinds: Tensor
    trap_root: Tensor | None
