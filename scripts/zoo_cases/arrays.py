"""Potentials without a torch gradient, as users write them: NumPy, SciPy, point by point, tables, single precision."""

import math

import numpy as np
import torch
from scipy.interpolate import CubicSpline

import fkflow

POINTS = np.linspace(-4.0, 6.0, 41)
CURVE = CubicSpline(POINTS, 3.0 * (1 - np.exp(-0.5 * POINTS)) ** 2)


class NumpyWell(fkflow.System):
    """NumPy from beginning to end."""

    particles = 1
    dimensions = 1

    def potential(self, x):
        q = x.numpy()[:, 0, 0]
        return torch.from_numpy(np.cosh(q) + 0.3 * np.sin(2 * q))


class NumpyPlane(fkflow.System):
    """NumPy in the plane, with an array returned."""

    particles = 1
    dimensions = 2

    def potential(self, x):
        u, v = np.asarray(x)[:, 0].T
        return 0.5 * (u**2 + 2 * v**2) + 0.4 * u**2 * v**2


class Spline(fkflow.System):
    """A spline through points, nothing beyond them."""

    particles = 1
    dimensions = 1

    def potential(self, x):
        q = np.clip(x.numpy()[:, 0, 0], POINTS[0], POINTS[-1])
        return torch.from_numpy(CURVE(q) + 5.0 * np.maximum(q - 5.5, 0) ** 2)


class OneByOne(fkflow.System):
    """A Python function of one point, called for each."""

    particles = 1
    dimensions = 1

    def potential(self, x):
        return torch.tensor([self.at(q) for q in x[:, 0, 0].tolist()], dtype=x.dtype)

    def at(self, q):
        return math.sqrt(1 + 4 * q * q) - 0.5 * math.exp(-q * q)


class Single(fkflow.System):
    """Everything in single precision."""

    particles = 1
    dimensions = 1

    def potential(self, x):
        q = x[:, 0, 0].float()
        return 0.7 * q**2 + 0.25 * q**4


class Detached(fkflow.System):
    """A torch function whose gradient is lost on the way."""

    particles = 2
    dimensions = 1

    def potential(self, x):
        q = x.detach()
        return 0.5 * q.square().sum((1, 2)) + 2.0 / (1 + 4 * (q[:, 0, 0] - q[:, 1, 0]).square())
