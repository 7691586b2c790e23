"""Potentials of several kinds, as users write them: round wells and corners, weak binding in a plane, charges in fields."""

import numpy as np
import torch

import fkflow


class RoundWell(fkflow.System):
    """Nothing within a ball, and a step of this height at its surface."""

    particles = 1
    dimensions = 3
    height: float = 1e4

    def potential(self, x):
        return torch.where(x[:, 0].norm(dim=1) < 1.0, 0.0, self.height)


class HollowWell(fkflow.System):
    """A spherical shell with a higher step inside than outside."""

    particles = 1
    dimensions = 3

    def potential(self, x):
        r = x[:, 0].norm(dim=1)
        return torch.where((r > 1) & (r < 1.6), 0.0, torch.where(r < 1, 30.0, 12.0))


class Dot(fkflow.System):
    """A round dot in a plane, 0 outside."""

    particles = 1
    dimensions = 2

    def potential(self, x):
        return torch.where(x[:, 0].norm(dim=1) < 1.5, -3.0, 0.0)


class Triangles(fkflow.System):
    """A triangle with a right angle and an angle of 45 or 60 degrees, between sides of length 1."""

    particles = 1
    dimensions = 2
    steep: float = 1.0

    def potential(self, x):
        u, v = x[:, 0, 0] - 1, x[:, 0, 1] - 2
        return torch.where((u > 0) & (v > 0) & (v < self.steep * (1 - u)), 0.0, torch.inf)


class ShallowPlane(fkflow.System):
    """A shallow pit in a plane, which binds however shallow it is."""

    particles = 1
    dimensions = 2

    def potential(self, x):
        return -1.2 * torch.exp(-x[:, 0].square().sum(1))


class ScreenedPlane(fkflow.System):
    """A screened charge in a plane."""

    particles = 1
    dimensions = 2

    def potential(self, x):
        r = x[:, 0].norm(dim=1)
        return -torch.exp(-r) / r


class PoschlTeller(fkflow.System):
    """A well of one over cosh squared in space, written with a norm."""

    particles = 1
    dimensions = 3
    strength: float = 3.0

    def potential(self, x):
        return -0.5 * self.strength * (self.strength + 1) / torch.cosh(x[:, 0].norm(dim=1)) ** 2


class Diamagnetic(fkflow.System):
    """Hydrogen in a strong magnetic field, without the part that vanishes for its ground state."""

    particles = 1
    dimensions = 3

    def potential(self, x):
        u, v, w = x[:, 0].unbind(1)
        return -1 / torch.sqrt(u**2 + v**2 + w**2) + (u**2 + v**2) / 8


class HighBarrier(fkflow.System):
    """Two wells with a barrier of 30 between them, one lower."""

    particles = 1
    dimensions = 1

    def potential(self, x):
        q = x[:, 0, 0]
        return 30.0 * ((q / 2.5) ** 2 - 1) ** 2 + 0.05 * q


class Bonds(fkflow.System):
    """Two bonds that are coupled."""

    particles = 2
    dimensions = 1
    identical = False

    def potential(self, x):
        bend = 1 - torch.exp(-0.5 * x[:, :, 0])
        return 6 * bend.square().sum(1) + 0.4 * bend[:, 0] * bend[:, 1]


class SixSites(fkflow.System):
    """Six sites on a circular valley."""

    particles = 1
    dimensions = 2

    def potential(self, x):
        u, v = x[:, 0].unbind(1)
        return 8 * (torch.sqrt(u**2 + v**2) - 2) ** 2 + 3 * (1 + torch.cos(6 * torch.atan2(v, u)))


class SoftDipoles(fkflow.System):
    """Two dipoles in a plane, softened where they meet."""

    particles = 2
    dimensions = 2

    def potential(self, x):
        return 0.5 * x.square().sum((1, 2)) + 2.0 * ((fkflow.pair_squares(x) + 0.2) ** -1.5).sum(0)


class Tilted(fkflow.System):
    """NumPy, frequencies from 1 to 10 along slanted axes, far from the origin."""

    particles = 1
    dimensions = 3

    def potential(self, x):
        q = np.asarray(x)[:, 0] - np.array([5.0, -3.0, 1.0])
        matrix = np.array([[1.0, 0.5, 0.0], [0.5, 9.0, 1.0], [0.0, 1.0, 100.0]])
        return 0.5 * np.einsum("bi,ij,bj->b", q, matrix, q) + 0.3 * q[:, 0] ** 4


class RosenMorse(fkflow.System):
    """A well between two plains of different height."""

    particles = 1
    dimensions = 1

    def potential(self, x):
        q = x[:, 0, 0]
        return -3.0 / torch.cosh(q) ** 2 + 0.5 * torch.tanh(q)


class TwoSteps(fkflow.System):
    """A square well between a high step and a low one."""

    particles = 1
    dimensions = 1

    def potential(self, x):
        q = x[:, 0, 0]
        return torch.where(q < 0, 1.5, torch.where(q < 1.4, -1.0, 0.0))


class Confined(fkflow.System):
    """Hydrogen in a hard sphere."""

    particles = 1
    dimensions = 3
    R: float = 2.0

    def potential(self, x):
        r = x[:, 0].norm(dim=1)
        return torch.where(r < self.R, -1 / r, torch.inf)


class Image(fkflow.System):
    """An electron that its image charge binds to the surface of a conductor."""

    particles = 1
    dimensions = 1

    def potential(self, x):
        z = x[:, 0, 0]
        return torch.where(z > 0, -1 / (4 * z), torch.inf)


class WellsInBox(fkflow.System):
    """A box on a line with a wide well and a narrow one far from it."""

    particles = 1
    dimensions = 1

    def potential(self, x):
        q = x[:, 0, 0]
        wells = 8.0 * torch.exp(-(((q - 8.3) / 0.35) ** 2)) + 3.0 * torch.exp(-(((q - 2.0) / 1.2) ** 2))
        return torch.where((q > 0) & (q < 10), -wells, torch.inf)


class DimpleInBox(fkflow.System):
    """The same in a rectangle."""

    particles = 1
    dimensions = 2

    def potential(self, x):
        u, v = x[:, 0].unbind(1)
        narrow = 9.0 * torch.exp(-((u - 4.6) ** 2 + (v - 0.9) ** 2) / 0.3)
        wide = 2.4 * torch.exp(-((u - 1.5) ** 2 + (v - 2.5) ** 2) / 1.5)
        return torch.where((u > 0) & (u < 6) & (v > 0) & (v < 4), -narrow - wide, torch.inf)


class Hollow(fkflow.System):
    """A ring-shaped valley with one deep and narrow hollow."""

    particles = 1
    dimensions = 2

    def potential(self, x):
        u, v = x[:, 0].unbind(1)
        hollow = 6.0 * torch.exp(-4 * ((u - 2.1) ** 2 + (v - 2.1) ** 2))
        return 0.075 * (u**2 + v**2 - 9) ** 2 - hollow
