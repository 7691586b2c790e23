"""Functions of all coordinates of a configuration: one particle, or particles that can be told apart."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fkflow.hamiltonian.geometry import pairs
from fkflow.spectrum.jets import Jet, constant, join, stack
from fkflow.spectrum.layers import FINE, RandomLayer
from fkflow.spectrum.products import highest_degree, products

#: distance below which functions of distances are flat, by the mean distance
TIP = 0.1
#: about how many products of coordinates there are
PRODUCTS = 60


class ConfigurationFunctions:
    """Products of the principal coordinates of ψ², and hyperbolic tangents of random combinations of them.

    Several particles in the plane or in space also have random functions of their distances. Under the `mirrors` of V about a
    `centre` (D,), each the signs (D,) of coordinates, principal coordinates are even or odd: a sector has few products.
    """

    def __init__(
        self,
        places: Jet,
        functions: int,
        generator: torch.Generator,
        mirrors: Sequence[tuple[float, ...]] = (),
        centre: Tensor | float = 0.0,
    ) -> None:
        mirrored = [(places.value - centre) * places.value.new_tensor(signs) + centre for signs in mirrors]
        points = torch.cat(mirrored or [places.value]).flatten(1)
        self.centre = points.mean(0)
        values, vectors = torch.linalg.eigh((points - self.centre).T @ (points - self.centre) / len(points))
        self.whitening = vectors / values.clamp_min(1e-12 * float(values.max())).sqrt()
        self.degree = highest_degree(len(values), PRODUCTS)
        self.layer = RandomLayer(self._principal(places).value, functions, generator)
        self.of_pairs: RandomLayer | None = None
        self.length = 0.0
        # on a line a distance has an edge where particles pass each other, which no local energy sees
        if min(places.value.shape[1:]) > 1:
            self.length = float(self._distances(places).value.mean())
            apart = self._distances(places)
            self.of_pairs = RandomLayer((apart * (1 / self.length)).value, functions, generator)

    def _principal(self, places: Jet) -> Jet:
        y: Jet = (places.each(lambda t: t.flatten(-2)) - self.centre) @ self.whitening
        return y

    def _distances(self, places: Jet) -> Jet:
        i, j = pairs(places.value.shape[1], places.value.device)
        apart = places.each(lambda t: t[..., i, :] - t[..., j, :])
        # smooth where two particles meet: in the plane the local energy of a tip varies without bound
        return ((apart * apart).sum() + (1e-24 + (TIP * self.length) ** 2)).sqrt()

    def __call__(self, places: Jet) -> Jet:
        """The functions (B, n) as jets."""
        y = self._principal(places)
        parts = [products(y, self.degree), self.layer(y)]
        if self.of_pairs is not None:
            parts.append(self.of_pairs(self._distances(places) * (1 / self.length)))
        return join(parts)


class DetailFunctions:
    """Steep hyperbolic tangents of one coordinate: wells may be narrow by their distance."""

    def __init__(self, places: Jet, functions: int, generator: torch.Generator) -> None:
        points = places.value.flatten(1)
        self.centre, self.scale = points.mean(0), float(points.std())
        self.layer = RandomLayer((points - self.centre) / self.scale, functions, generator, FINE)

    def __call__(self, places: Jet) -> Jet:
        """The functions (B, n) as jets."""
        return self.layer((places.each(lambda t: t.flatten(-2)) - self.centre) * (1 / self.scale))


class RoundFunctions:
    """Functions of one particle in a round potential about `centre` (D,), of one rank l under rotations.

    They are functions of the radius times Re (x + iy)^l.
    """

    def __init__(self, places: Jet, centre: Tensor, rank: int, functions: int, generator: torch.Generator) -> None:
        self.rank, self.centre = rank, centre
        self.scale = float((places.value - centre).square().mean().sqrt())
        self.layer = RandomLayer(self._inputs(self._reduced(places)).value, functions, generator)

    def _reduced(self, places: Jet) -> Jet:
        return places.each(lambda t: t[..., 0, :]) * (1 / self.scale) - self.centre / self.scale

    def _inputs(self, y: Jet) -> Jet:
        square = (y * y).sum()
        return stack([square.log1p(), (square + 0.01).sqrt()])

    def __call__(self, places: Jet) -> Jet:
        """The functions (B, n) as jets."""
        y = self._reduced(places)
        terms = self.layer(self._inputs(y))
        square = (y * y).sum()
        found = join([constant(terms), stack([square, square * square]), terms])
        if self.rank == 0:
            return found
        real, imaginary = y[0], y[1]
        for _ in range(self.rank - 1):
            real, imaginary = real * y[0] - imaginary * y[1], real * y[1] + imaginary * y[0]
        return found * real.each(lambda t: t[..., None])
