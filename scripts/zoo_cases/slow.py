"""Potentials with slow modes, as users write them: tunnelling, several minima, lattices in a trap."""

import math

import torch

import fkflow


class Wells(fkflow.System):
    """Two wells on a line, one lower than the other by 2 a tilt."""

    particles = 1
    dimensions = 1
    height: float = 5.0
    a: float = 2.0
    tilt: float = 0.0

    def potential(self, x):
        q = x[:, 0, 0]
        return self.height * ((q / self.a) ** 2 - 1) ** 2 + self.tilt * q


class ThreeWells(fkflow.System):
    """Three wells on a line; `lower` moves the outer ones down."""

    particles = 1
    dimensions = 1
    strength: float = 0.05
    b: float = 2.5
    lower: float = 0.0

    def potential(self, x):
        q2 = x[:, 0, 0] ** 2
        return self.strength * q2 * (q2 - self.b**2) ** 2 - self.lower * q2


class NarrowAndWide(fkflow.System):
    """A narrow well that is deeper and a wide one in which the particle has less energy."""

    particles = 1
    dimensions = 1
    depth: float = 2.0
    stiff: float = 30.0

    def potential(self, x):
        q = x[:, 0, 0]
        narrow = 0.5 * self.stiff * (q + 2) ** 2 - self.depth
        wide = 0.5 * 0.5 * (q - 2) ** 2
        return -torch.logaddexp(-2 * narrow, -2 * wide) / 2


class FourWells(fkflow.System):
    """Four wells in the plane; the coupling makes two of them lower."""

    particles = 1
    dimensions = 2
    height: float = 3.0
    coupling: float = 0.05

    def potential(self, x):
        u, v = x[:, 0, 0] / 1.8, x[:, 0, 1] / 1.8
        return self.height * ((u**2 - 1) ** 2 + (v**2 - 1) ** 2) + self.coupling * u * v


class Triangle(fkflow.System):
    """Three dimples in a shallow trap in the plane, one deeper than the others."""

    particles = 1
    dimensions = 2
    depth: float = 4.0

    def potential(self, x):
        v = 0.05 * x.square().sum((1, 2))
        for k, factor in enumerate((1.0, 0.97, 0.97)):
            angle = 2 * math.pi * k / 3
            place = x.new_tensor([2.2 * math.cos(angle), 2.2 * math.sin(angle)])
            v = v - factor * self.depth * torch.exp(-(x[:, 0] - place).square().sum(1))
        return v


class Clover(fkflow.System):
    """A ring-shaped valley with three hollows."""

    particles = 1
    dimensions = 2
    height: float = 4.0
    hollows: float = 0.15

    def potential(self, x):
        u, v = x[:, 0, 0], x[:, 0, 1]
        return self.height * ((u**2 + v**2) / 4 - 1) ** 2 - self.hollows * (u**3 - 3 * u * v**2)


class TwoInWells(fkflow.System):
    """Two bosons in a double well that repel each other."""

    particles = 2
    dimensions = 1
    height: float = 3.0
    g: float = 1.0

    def potential(self, x):
        wells = self.height * ((x / 2) ** 2 - 1) ** 2
        return wells.sum((1, 2)) + self.g * torch.exp(-(x[:, 0, 0] - x[:, 1, 0]).square() / 0.5)


class Tunnel(fkflow.System):
    """A double well along a slanted direction in six coordinates, with five vibrations."""

    particles = 6
    dimensions = 1
    identical = False
    height: float = 2.0

    def potential(self, x):
        q = x[:, :, 0]
        along = q.sum(1) / math.sqrt(6)
        across = q - along[:, None] / math.sqrt(6)
        return self.height * ((along / 1.8) ** 2 - 1) ** 2 + 0.5 * 2.25 * across.square().sum(1)


class CloudInWells(fkflow.System):
    """Bosons in a trap whose centre of mass has two places to be."""

    particles: int = 4
    dimensions = 3
    height: float = 2.0

    def potential(self, x):
        centre = x[:, :, 2].mean(1) * math.sqrt(self.particles)
        trap = 0.5 * (x.square().sum((1, 2)) - centre**2)
        return trap + self.height * ((centre / 1.7) ** 2 - 1) ** 2


class Lattice(fkflow.System):
    """A standing wave in a weak trap."""

    particles = 1
    dimensions = 1
    depth: float = 6.0
    omega: float = 0.2

    def potential(self, x):
        q = x[:, 0, 0]
        return self.depth * torch.sin(1.5 * q) ** 2 + 0.5 * self.omega**2 * q**2


class Hexagons(fkflow.System):
    """Three standing waves in a weak round trap in the plane."""

    particles = 1
    dimensions = 2
    depth: float = 1.0

    def potential(self, x):
        u, v = x[:, 0, 0], x[:, 0, 1]
        waves = torch.cos(2 * u) + torch.cos(u + 1.7320508 * v) + torch.cos(u - 1.7320508 * v)
        return self.depth * (1.5 + waves) + 0.1 * (u**2 + v**2)


class Stack(fkflow.System):
    """A lattice along z, a trap across: three dimensions."""

    particles = 1
    dimensions = 3

    def potential(self, x):
        u, v, w = x[:, 0].unbind(1)
        return 2.5 * (1 - torch.cos(2.2 * w)) + 0.03 * w**2 + 0.5 * (u**2 + v**2) * (1 + 0.2 * torch.tanh(w) ** 2)


class Leaning(fkflow.System):
    """Two wells of which the higher one has a seven hundredth of the density."""

    particles = 1
    dimensions = 1

    def potential(self, x):
        q = x[:, 0, 0]
        return 0.25 * q**4 - 1.5 * q**2 + 0.4 * q


class Dimples(fkflow.System):
    """Three dimples of different depth and width in a plane; the narrowest, which descents step over, is the lowest."""

    particles = 1
    dimensions = 2

    def potential(self, x):
        u, v = x[:, 0].unbind(1)
        wide = 3.4 * torch.exp(-0.6 * ((u + 0.9) ** 2 + (v + 2.1) ** 2))
        middle = 4.0 * torch.exp(-((u - 2) ** 2) - v**2)
        narrow = 5.5 * torch.exp(-1.7 * ((u + 1.8) ** 2 + (v - 1.4) ** 2))
        return 0.15 * (u**2 + v**2) - wide - middle - narrow
