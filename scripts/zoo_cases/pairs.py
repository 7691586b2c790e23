"""Particles that repel or bind each other, as users write them."""

import torch

import fkflow


class Dimer(fkflow.System):
    """Two rare-gas atoms, Lennard-Jones, in kelvin and ångström; their centre of mass is held by a weak trap."""

    particles = 2
    dimensions = 3
    isotropic = True
    separable = True
    atomic: float = 39.948
    epsilon: float = 120.0
    sigma: float = 3.4
    hold: float = 0.5
    energy_unit = "K"
    length_unit = "Å"

    @property
    def mass(self):
        return self.atomic / 48.50868

    def pair(self, r):
        q = (self.sigma / r) ** 6
        return 4 * self.epsilon * (q * q - q)

    def potential(self, x):
        centre = x.mean(1).square().sum(1)
        hold = 0.5 * self.particles * self.mass * self.hold**2 * centre
        return self.pair(fkflow.pair_squares(x).sqrt()).sum(0) + hold


class MorsePair(fkflow.System):
    """Two bosons bound by a Morse curve in a trap, in three dimensions."""

    particles = 2
    dimensions = 3
    depth: float = 8.0

    def potential(self, x):
        r = (x[:, 0] - x[:, 1]).norm(dim=1)
        return 0.5 * 0.25 * x.square().sum((1, 2)) + self.depth * ((1 - torch.exp(-(r - 1.5))) ** 2 - 1)


class InverseSquare(fkflow.System):
    """The Calogero gas on a line."""

    particles: int = 3
    dimensions = 1
    lam: float = 1.2

    def pair(self, r):
        return self.lam * (self.lam - 1) / r**2

    def potential(self, x):
        return 0.5 * x.square().sum((1, 2)) + self.pair(fkflow.pair_squares(x).sqrt()).sum(0)


class Electrons(fkflow.System):
    """Two electrons (a singlet) in a round trap."""

    particles = 2
    dimensions: int = 3
    omega: float = 0.25

    def pair(self, r):
        return 1 / r

    def potential(self, x):
        return 0.5 * self.omega**2 * x.square().sum((1, 2)) + self.pair(fkflow.pair_squares(x).sqrt()).sum(0)


class ElectronsPlain(fkflow.System):
    """The same without pair(): V alone."""

    particles = 2
    dimensions = 3
    omega: float = 0.6

    def potential(self, x):
        return 0.5 * self.omega**2 * x.square().sum((1, 2)) + 1 / (x[:, 0] - x[:, 1]).norm(dim=1)


class SoftAtom(fkflow.System):
    """Two electrons and a nucleus on a line, all charges softened."""

    particles = 2
    dimensions = 1
    charge: float = 2.0
    soft: float = 0.7

    def potential(self, x):
        a, b = x[:, :, 0].unbind(1)
        repulsion = 1 / torch.sqrt((a - b) ** 2 + self.soft)
        return repulsion - self.charge / torch.sqrt(a**2 + self.soft) - self.charge / torch.sqrt(b**2 + self.soft)


class SoftMolecule(fkflow.System):
    """An electron and two softened nuclei far apart on a line."""

    particles = 1
    dimensions = 1
    distance: float = 6.0

    def potential(self, x):
        q, half = x[:, 0, 0], self.distance / 2
        return -1 / torch.sqrt((q - half) ** 2 + 1) - 1 / torch.sqrt((q + half) ** 2 + 1)


class GaussianBosons(fkflow.System):
    """Bosons in a trap with a Gaussian repulsion."""

    particles: int = 2
    dimensions: int = 2
    g: float = 8.0
    s: float = 0.4

    def potential(self, x):
        repulsion = self.g * torch.exp(-fkflow.pair_squares(x) / (2 * self.s**2)).sum(0)
        return 0.5 * x.square().sum((1, 2)) + repulsion


class Attraction(fkflow.System):
    """Bosons in a trap with a short-ranged Gaussian attraction."""

    particles: int = 2
    dimensions: int = 3
    depth: float = 6.0

    def potential(self, x):
        return 0.5 * x.square().sum((1, 2)) - self.depth * torch.exp(-fkflow.pair_squares(x) / 0.5).sum(0)


class DipolesOnALine(fkflow.System):
    """Two dipoles on a line that repel each other."""

    particles = 2
    dimensions = 1
    strength: float = 0.5

    def pair(self, r):
        return self.strength / r**3

    def potential(self, x):
        return 0.5 * x.square().sum((1, 2)) + self.pair(fkflow.pair_squares(x).sqrt()).sum(0)


class QuarticPairs(fkflow.System):
    """Bosons on a line, springs between all that harden."""

    particles: int = 3
    dimensions = 1

    def potential(self, x):
        return 0.5 * x.square().sum((1, 2)) + 0.3 * fkflow.pair_squares(x).square().sum(0)


class Hard(fkflow.System):
    """Two or more particles with hard cores of diameter 1 in a harmonic trap; `told` says whether pair(r) has the cores too."""

    particles: int = 2
    dimensions: int = 1
    told: bool = True

    def cores(self, r):
        return torch.where(r < 1.0, torch.inf, 0.0).to(r.dtype)

    def pair(self, r):
        return self.cores(r) if self.told else None

    def potential(self, x):
        return 0.5 * x.square().sum((1, 2)) + self.cores(fkflow.pair_squares(x).sqrt()).sum(0)


class Rods(fkflow.System):
    """Hard rods in a box from 0 to 1."""

    particles: int = 3
    dimensions = 1
    rod: float = 0.2

    def pair(self, r):
        return torch.where(r < self.rod, torch.inf, 0.0).to(r.dtype)

    def potential(self, x):
        box = torch.where((x < 0) | (x > 1), torch.inf, 0.0).to(x.dtype).sum((1, 2))
        return box + self.pair(fkflow.pair_squares(x).sqrt()).sum(0)
