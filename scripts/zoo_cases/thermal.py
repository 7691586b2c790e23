"""Potentials of scripts/thermal_zoo.py."""

from __future__ import annotations

import itertools
from typing import ClassVar

from torch import Tensor

import fkflow


class Line(fkflow.System):
    """One particle on a line."""

    particles: ClassVar[int] = 1
    dimensions: ClassVar[int] = 1

    def along(self, x: Tensor) -> Tensor:
        """V (B,) at x (B,)."""
        raise NotImplementedError

    def potential(self, x: Tensor) -> Tensor:
        return self.along(x[:, 0, 0])


class Skew(Line):
    """A quartic well with a shoulder."""

    def along(self, x: Tensor) -> Tensor:
        return 0.25 * x**4 + 0.6 * x**3 + 0.1 * x**2 - 0.5 * x


class Wells(Line):
    """Two wells, of which the left one is lower and wider."""

    tilt: float = 0.02

    def along(self, x: Tensor) -> Tensor:
        return 0.3 * (x**2 - 4) ** 2 + 0.06 * x**3 + (self.tilt - 0.24) * x


class Morse(Line):
    """A bond in a wide box with soft walls: warm, it breaks."""

    def along(self, x: Tensor) -> Tensor:
        return 5 * (1 - (-x).exp()) ** 2 + (x / 9) ** 8


class Holes(fkflow.System):
    """Two holes in a plane, a narrow and deep one and a wide and flat one."""

    particles: ClassVar[int] = 1
    dimensions: ClassVar[int] = 2

    def potential(self, x: Tensor) -> Tensor:
        a, b = x[:, 0, 0], x[:, 0, 1]
        narrow = ((a - 1.8) ** 2 + (b - 0.7) ** 2) / (2 * 0.55**2)
        wide = ((a + 1.8) ** 2 + (b + 0.7) ** 2) / (2 * 1.3**2)
        return 0.15 * (a**2 + b**2) - 9 * (-narrow).exp() - 4.5 * (-wide).exp()


class Coupled(fkflow.System):
    """One particle in space, whose three axes are coupled."""

    particles: ClassVar[int] = 1
    dimensions: ClassVar[int] = 3

    def potential(self, x: Tensor) -> Tensor:
        a, b, c = x[:, 0].unbind(1)
        return 0.5 * (a**2 + 2 * b**2 + 3 * c**2) + 0.4 * a**2 * b**2 + 0.3 * a * b * c + 0.1 * (a**4 + c**4) + 0.3 * a


class Three(fkflow.System):
    """Three bosons on a line with Gaussian repulsion."""

    particles: ClassVar[int] = 3
    dimensions: ClassVar[int] = 1
    height: float = 1.0

    def potential(self, x: Tensor) -> Tensor:
        y = x[:, :, 0]
        pairs = sum((-0.5 * ((y[:, i] - y[:, j]) / 0.5) ** 2).exp() for i, j in itertools.combinations(range(3), 2))
        return 0.5 * y.square().sum(1) + self.height * pairs


class Soft(fkflow.System):
    """Two bosons on a line with soft Coulomb repulsion in a quartic trap."""

    particles: ClassVar[int] = 2
    dimensions: ClassVar[int] = 1

    def potential(self, x: Tensor) -> Tensor:
        y = x[:, :, 0]
        return (0.2 * y**2 + 0.05 * y**4).sum(1) + 3 / ((y[:, 0] - y[:, 1]) ** 2 + 0.1).sqrt()


class Narrow(fkflow.System):
    """A trap that is twenty times as stiff across as along, and bent."""

    particles: ClassVar[int] = 1
    dimensions: ClassVar[int] = 2

    def potential(self, x: Tensor) -> Tensor:
        a, b = x[:, 0, 0], x[:, 0, 1]
        return 0.5 * a**2 + 200 * (b - 0.05 * a**2) ** 2


class Rings(fkflow.System):
    """Four wells in a plane."""

    particles: ClassVar[int] = 1
    dimensions: ClassVar[int] = 2

    def potential(self, x: Tensor) -> Tensor:
        a, b = x[:, 0, 0], x[:, 0, 1]
        return 0.25 * (a**2 - 3) ** 2 + 0.35 * (b**2 - 3) ** 2 + 0.15 * a * b + 0.1 * a
