"""Functions of one or two electrons about nuclei, whose excited states reach much farther than the ground state."""

from __future__ import annotations

import torch
from torch import Tensor

from fkflow.hamiltonian.system import Nuclei
from fkflow.spectrum.jets import Jet, join, stack
from fkflow.spectrum.layers import RandomLayer

#: exponents of the growth, by the decay of ψ
GROWTHS = (0.0, 0.4, 0.6)


def smooth(r: Jet) -> Jet:
    """s(r) = r²/(1 + r): no cusp at 0, and the slope 1 far out."""
    return r * r * (r + 1.0).reciprocal()


def distance(a: Jet, b: Jet | Tensor) -> Jet:
    """|a − b| of vectors on the last axis."""
    apart = a - b
    return ((apart * apart).sum() + 1e-24).sqrt()


class ElectronFunctions:
    """e^{b s(r)} (1, tanh …) of the first electron, not yet exchanged, times one of its coordinates if `axis` is given.

    r is its distance from the centre of the nuclear charge; the arguments are functions of all distances. `decay` is that of ψ
    far out, −∂ log ψ/∂r.
    """

    def __init__(
        self, places: Jet, nuclei: Nuclei, decay: float, functions: int, generator: torch.Generator, axis: int | None
    ) -> None:
        like = places.value
        self.sites, charges = like.new_tensor(nuclei.positions), like.new_tensor(nuclei.charges)
        self.middle = (charges[:, None] * self.sites).sum(0) / charges.sum()
        self.growths, self.axis = [growth * decay for growth in GROWTHS], axis
        self.layer = RandomLayer(self._inputs(places).value, functions, generator)

    def _inputs(self, places: Jet) -> Jet:
        electrons = [places.each(lambda t, i=i: t[..., i, :]) for i in range(places.value.shape[1])]  # type: ignore[misc]
        found = []
        for electron in electrons:
            for site in self.sites:
                r = distance(electron, site)
                found += [r.log1p(), smooth(r) * 0.3]
        if len(electrons) == 2:
            r = distance(electrons[0], electrons[1])
            found.append(r * (r + 1.0).reciprocal())
        return stack(found)

    def __call__(self, places: Jet) -> Jet:
        """The functions (B, n) as jets."""
        first = places.each(lambda t: t[..., 0, :])
        s = smooth(distance(first, self.middle))
        terms = self.layer(self._inputs(places))
        parts = []
        for b in self.growths:
            growth = (s * b).exp()
            if self.axis is not None:
                growth = growth * (first[self.axis] - self.middle[self.axis])
            growth = growth.each(lambda t: t[..., None])
            parts += [growth, terms * growth]
        return join(parts)
