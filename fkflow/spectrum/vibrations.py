"""Functions of the bonds and angles of a free molecule: vibrations, without rotation."""

from __future__ import annotations

import torch
from torch import Tensor

from fkflow.hamiltonian.shape import SMOOTH, Shape
from fkflow.spectrum.jets import Jet, join
from fkflow.spectrum.layers import RandomLayer
from fkflow.spectrum.products import highest_degree, products

#: about how many products of vibrations there are
PRODUCTS = 90


class VibrationFunctions:
    """Products of the vibrations of a shape, and random functions of them, not yet exchanged."""

    def __init__(self, places: Jet, shape: Shape, functions: int, generator: torch.Generator) -> None:
        self.shape, self.modes = shape, shape.vibrations
        self.degree = highest_degree(self.modes.shape[1], PRODUCTS)
        self.layer = RandomLayer(self._vibrations(places).value, functions, generator)

    def _vibrations(self, places: Jet) -> Jet:
        known = self.shape.coordinates
        x = places * known.weights[:, None]
        found = [(_dot(a, a) + 1e-24).sqrt() for a in [_between(x, known.bonds[:, 0], known.bonds[:, 1])]]
        if len(known.angles):
            apex, one, other = known.angles.unbind(1)
            a, b = _between(x, one, apex), _between(x, other, apex)
            cosine = _dot(a, b) * (_dot(a, a) * _dot(b, b)).sqrt().reciprocal()
            found.append(_arccos(cosine * SMOOTH) * known.scales)
        vibrations: Jet = (join(found) - self.shape.places) @ self.modes
        return vibrations

    def __call__(self, places: Jet) -> Jet:
        """The functions (B, n) as jets."""
        y = self._vibrations(places)
        return join([products(y, self.degree), self.layer(y)])


def _between(x: Jet, first: Tensor, second: Tensor) -> Jet:
    """The vectors (B, n, D) from the particles `second` to the particles `first`."""
    return x.each(lambda t: t[..., first, :] - t[..., second, :])


def _dot(a: Jet, b: Jet) -> Jet:
    return (a * b).sum()


def _arccos(c: Jet) -> Jet:
    slope = -(1 - c.value.square()).rsqrt()
    return c.map(c.value.arccos(), slope, c.value * slope**3)
