"""Coupled anharmonic oscillators in two to twelve coordinates, as users write them; also unequal masses."""

import torch

import fkflow


class HenonHeiles(fkflow.System):
    """Hénon–Heiles with a quartic wall, so that it is bound."""

    particles = 1
    dimensions = 2
    cubic: float = 0.3

    def potential(self, x):
        u, v = x[:, 0, 0], x[:, 0, 1]
        r2 = u**2 + v**2
        return 0.5 * r2 + self.cubic * (u**2 * v - v**3 / 3) + 0.05 * r2**2


class Cross(fkflow.System):
    """x² y²: channels along both axes."""

    particles = 1
    dimensions = 2
    trap: float = 0.1

    def potential(self, x):
        u, v = x[:, 0, 0], x[:, 0, 1]
        return 0.5 * u**2 * v**2 + 0.5 * self.trap * (u**2 + v**2)


class Water(fkflow.System):
    """Three vibrations with cubic and quartic couplings."""

    particles = 3
    dimensions = 1
    identical = False

    def potential(self, x):
        a, b, c = x[:, :, 0].unbind(1)
        harmonic = 0.5 * (a**2 + 2.2 * b**2 + 0.6 * c**2)
        return harmonic + 0.15 * a**2 * b - 0.1 * b * c**2 + 0.1 * (a**2 + b**2 + c**2) ** 2


class Masses(fkflow.System):
    """A light and a heavy particle, tied by an anharmonic spring."""

    particles = 2
    dimensions = 1
    identical = False
    mass = [1.0, 25.0]

    def potential(self, x):
        u, v = x[:, :, 0].unbind(1)
        return 0.5 * u**2 + 2.0 * v**2 + 0.8 * (u - v) ** 4


class Electron(fkflow.System):
    """Three coordinates of one particle with different effective masses: silicon, scaled."""

    particles = 3
    dimensions = 1
    identical = False
    mass = [0.19, 0.19, 0.92]

    def potential(self, x):
        r2 = x.square().sum((1, 2))
        return 0.5 * r2 + 0.1 * r2**2


class Slanted(fkflow.System):
    """Quartic oscillators along slanted directions: all coordinates are coupled."""

    particles: int = 6
    dimensions = 1
    identical = False
    quartic: float = 0.5

    def potential(self, x):
        n = self.particles
        place = torch.arange(n, dtype=x.dtype)
        # a reflection
        normal = torch.cos(1.0 + place)
        normal = normal / normal.norm()
        q = x[:, :, 0] - 2 * (x[:, :, 0] @ normal)[:, None] * normal
        stiff = 1 + 0.3 * place
        return (0.5 * stiff * q**2 + self.quartic * q**4).sum(1)


class Network(fkflow.System):
    """Harmonic springs between all, each of another strength."""

    particles: int = 8
    dimensions = 1
    identical = False

    def potential(self, x):
        return 0.5 * torch.einsum("bi,ij,bj->b", x[:, :, 0], self.matrix(x), x[:, :, 0])

    def matrix(self, x):
        place = torch.arange(self.particles, dtype=x.dtype)
        springs = torch.cos(place[:, None] * place[None, :] + place[:, None] + place[None, :])
        return springs @ springs.T + 0.3 * torch.eye(self.particles, dtype=x.dtype)


class Shell(fkflow.System):
    """A shell in the space of all coordinates: V depends on the sum of squares alone."""

    particles: int = 3
    dimensions: int = 3
    radius: float = 2.0

    def potential(self, x):
        return 0.5 * (x.square().sum((1, 2)) - self.radius**2) ** 2


class Chain(fkflow.System):
    """Three particles on a line between walls of springs, quartic springs between neighbours."""

    particles = 3
    dimensions = 1
    identical = False

    def potential(self, x):
        a, b, c = x[:, :, 0].unbind(1)
        return sum(0.5 * d**2 + 0.5 * d**4 for d in (a, b - a, c - b, c))


class Cosines(fkflow.System):
    """Four oscillators coupled by cosines."""

    particles = 4
    dimensions = 1
    identical = False

    def potential(self, x):
        q = x[:, :, 0]
        return 0.5 * q.square().sum(1) + 0.7 * torch.cos(q[:, :-1] - q[:, 1:]).sum(1)
