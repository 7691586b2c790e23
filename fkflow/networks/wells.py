"""The factor of ψ for several wells: a sum of Gaussians, one at each minimum of V, like a combination of atomic orbitals.

A network that is smooth on the scale of all wells together does not resolve each of them, and loses those where it is small by
chance. With this factor ψ is there in all from the start, and how much is in each is one parameter.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from fkflow.hamiltonian.natural_scale import Landscape
from fkflow.networks.parts import TermOfCoordinates

#: most wells, which many particles have very many of
MOST_WELLS = 16


class Wells(TermOfCoordinates):
    """log Σ_k exp(h_k − q_k), q_k = ½ e^{s_k} |R_k (y − c_k)|² (B,) of coordinates y (D, N, B), for h and s, (m,) or (B, m).

    `open`: √(1 + 2q) − 1 in the place of q, with which ψ falls exponentially far out.
    """

    centres: Tensor
    roots: Tensor

    def __init__(self, centres: Tensor, widths: Tensor, *, open_: bool = False) -> None:
        super().__init__()
        self.open = open_
        #: (m, d) and (m, d, d): |R y|² is half the square in standard deviations of ψ², `widths` (m, d, d)
        self.register_buffer("centres", centres.clone())
        self.register_buffer("roots", torch.linalg.inv(widths) * math.sqrt(0.5))

    def value(self, *inputs: Any) -> Tensor:
        return self.evaluate(*inputs, derivatives=False)[0]

    def evaluate(self, *inputs: Any, derivatives: bool) -> tuple[Tensor, Any]:
        y, heights, stiffness = inputs
        dim, n, batch = y.shape
        flat = y.transpose(0, 1).reshape(n * dim, batch).to(self.centres.dtype)
        turned = self.roots @ (flat - self.centres[:, :, None])
        stiff = _rows(stiffness).exp()
        twice = stiff * turned.square().sum(1)
        root = (1 + twice).sqrt() if self.open else torch.ones_like(twice)
        exponents = _rows(heights) - (root - 1 if self.open else 0.5 * twice)
        total = exponents.logsumexp(0)
        if not derivatives:
            return total, None
        share = (exponents - total).exp()
        slopes = -stiff[:, None] * (self.roots.mT @ turned) / root[:, None]
        gradient = (share[:, None] * slopes).sum(0)
        squares = slopes.square().sum(1)
        curvature = squares - stiff * self.roots.square().sum((1, 2))[:, None] / root
        if self.open:
            curvature = curvature + squares / root
        laplacian = (share * curvature).sum(0) - gradient.square().sum(0)
        return total, (gradient.view(n, dim, batch).transpose(0, 1).contiguous(), laplacian)


def has_wells(landscape: Landscape) -> bool:
    """Whether ψ of distinguishable particles starts as a sum over several wells."""
    return landscape.places is None and 1 < len(landscape.minima) <= MOST_WELLS


def wells_of(landscape: Landscape, *, open_: bool = False) -> Wells:
    """The factor for the minima of a landscape, in coordinates about its centre."""
    return Wells((landscape.minima - landscape.centre).flatten(1), landscape.widths, open_=open_)


def _rows(parameter: Tensor) -> Tensor:
    """One parameter a well as rows (m, 1), or (m, B) for one copy per walker."""
    return parameter[:, None] if parameter.dim() == 1 else parameter.T
