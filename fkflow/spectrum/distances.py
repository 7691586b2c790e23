"""Functions of the distances of particles: motion that leaves the centre of mass and the orientation as they are."""

from __future__ import annotations

import torch
from torch import Tensor

from fkflow.hamiltonian.geometry import pairs
from fkflow.spectrum.jets import Jet, join
from fkflow.spectrum.layers import RandomLayer
from fkflow.spectrum.products import highest_degree, products

#: about how many products of distances there are
PRODUCTS = 90


class DistanceFunctions:
    """Products of the principal combinations of all distances, and random functions of them, not yet exchanged.

    On a line they are differences with their signs: a distance has an edge where particles pass each other.
    Places are in coordinates of unit mass; `inverse_roots` (N, 1) or a number are 1/√m, which turn them into the user's.
    """

    def __init__(self, places: Jet, inverse_roots: Tensor, functions: int, generator: torch.Generator) -> None:
        self.inverse_roots = inverse_roots
        r = self._distances(places).value
        self.centre = r.mean(0)
        values, vectors = torch.linalg.eigh((r - self.centre).T @ (r - self.centre) / len(r))
        self.whitening = vectors / values.clamp_min(1e-12 * float(values.max())).sqrt()
        self.degree = highest_degree(len(values), PRODUCTS)
        self.layer = RandomLayer((r - self.centre) @ self.whitening, functions, generator)

    def _distances(self, places: Jet) -> Jet:
        x = places * self.inverse_roots
        i, j = pairs(x.value.shape[1], x.value.device)
        apart = x.each(lambda t: t[..., i, :]) - x.each(lambda t: t[..., j, :])
        return apart.sum() if x.value.shape[2] == 1 else ((apart * apart).sum() + 1e-24).sqrt()

    def __call__(self, places: Jet) -> Jet:
        """The functions (B, n) as jets."""
        y = (self._distances(places) - self.centre) @ self.whitening
        return join([products(y, self.degree), self.layer(y)])
