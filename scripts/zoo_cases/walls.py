"""Potentials with walls, as users write them: boxes, balls, half-lines, hard rods and spheres."""

import torch

import fkflow


class Box(fkflow.System):
    """A particle in a box from 0 to L in each of D dimensions."""

    particles = 1
    dimensions: int = 1
    L: float = 2.0

    def potential(self, x):
        inside = ((x > 0) & (x < self.L)).all(dim=2).all(dim=1)
        return torch.where(inside, 0.0, torch.inf)


class TiltedBox(fkflow.System):
    """A box with a field in it."""

    particles = 1
    dimensions = 1
    field: float = 3.0

    def potential(self, x):
        q = x[:, 0, 0]
        return torch.where(q.abs() < 1.5, self.field * q, torch.inf)


class Ball(fkflow.System):
    """A particle in a ball of radius R."""

    particles = 1
    dimensions: int = 3
    R: float = 1.3

    def potential(self, x):
        r = x.square().sum((1, 2)).sqrt()
        return torch.where(r < self.R, 0.0, torch.inf)


class Ring(fkflow.System):
    """A particle between two circles."""

    particles = 1
    dimensions = 2

    def potential(self, x):
        r = x[:, 0].norm(dim=1)
        return torch.where((r > 0.8) & (r < 2.0), 0.0, torch.inf)


class HalfDisc(fkflow.System):
    """A particle in half a disc."""

    particles = 1
    dimensions = 2

    def potential(self, x):
        inside = (x[:, 0].norm(dim=1) < 1.6) & (x[:, 0, 1] > 0)
        return torch.where(inside, 0.0, torch.inf)


class Corner(fkflow.System):
    """A particle in an equilateral triangle of side L."""

    particles = 1
    dimensions = 2
    L: float = 3.0

    def potential(self, x):
        u, v = x[:, 0, 0], x[:, 0, 1]
        inside = (v > 0) & (v < 3**0.5 * u) & (v < 3**0.5 * (self.L - u))
        return torch.where(inside, 0.0, torch.inf)


class HalfLine(fkflow.System):
    """An oscillator on the right of a wall."""

    particles = 1
    dimensions = 1

    def potential(self, x):
        q = x[:, 0, 0]
        return torch.where(q > 0, 0.5 * 1.44 * q**2, torch.inf)


class Bouncer(fkflow.System):
    """A particle that gravity pulls onto a mirror."""

    particles = 1
    dimensions = 1
    g: float = 2.0

    def potential(self, x):
        q = x[:, 0, 0]
        return torch.where(q > 0, self.g * q, torch.inf)


class Isotonic(fkflow.System):
    """x² and 1/x² on the half-line."""

    particles = 1
    dimensions = 1

    def potential(self, x):
        q = x[:, 0, 0]
        return torch.where(q > 0, 0.5 * q**2 + 1.5 / q**2, torch.inf)


class Spiked(fkflow.System):
    """The same with 1/x⁴, which is more singular than any power of ψ balances."""

    particles = 1
    dimensions = 1

    def potential(self, x):
        q = x[:, 0, 0]
        return torch.where(q > 0, 0.5 * q**2 + 0.5 / q**4, torch.inf)


class Centrifugal(fkflow.System):
    """A trap in the plane, with the energy of a flux through its origin."""

    particles = 1
    dimensions = 2
    flux: float = 0.77

    def potential(self, x):
        r2 = x.square().sum((1, 2))
        return 0.5 * r2 + 0.5 * self.flux**2 / r2


class HighWalls(fkflow.System):
    """A box of very high walls."""

    particles = 1
    dimensions = 1

    def potential(self, x):
        return torch.where(x[:, 0, 0].abs() < 1.0, 0.0, 1e6)


class Rods(fkflow.System):
    """Hard rods of length a; their centres stay between 0 and L."""

    particles: int = 2
    dimensions = 1
    L: float = 4.0
    a: float = 0.7

    def potential(self, x):
        r2 = fkflow.pair_squares(x)
        bad = ((x < 0) | (x > self.L)).any(dim=2).any(dim=1) | (r2 < self.a**2).any(dim=0)
        return torch.where(bad, torch.inf, 0.0)


class TrappedRods(fkflow.System):
    """Hard rods in a trap, the core told by pair()."""

    particles: int = 2
    dimensions = 1
    a: float = 1.0

    def pair(self, r):
        return torch.where(r < self.a, torch.inf, 0.0)

    def potential(self, x):
        return 0.5 * x.square().sum((1, 2)) + self.pair(fkflow.pair_squares(x).sqrt()).sum(0)


class Spheres(fkflow.System):
    """Hard spheres (discs) of diameter a in a round trap."""

    particles: int = 2
    dimensions: int = 3
    a: float = 0.3

    def pair(self, r):
        return torch.where(r < self.a, torch.inf, 0.0)

    def potential(self, x):
        return 0.5 * x.square().sum((1, 2)) + self.pair(fkflow.pair_squares(x).sqrt()).sum(0)


class SquarePair(fkflow.System):
    """Two bosons with a square barrier between them."""

    particles = 2
    dimensions = 2

    def potential(self, x):
        r = (x[:, 0] - x[:, 1]).norm(dim=1)
        return 0.5 * x.square().sum((1, 2)) + torch.where(r < 0.9, 8.0, 0.0)
