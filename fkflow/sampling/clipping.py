"""Energies about their median, clipped so that single lost walkers do not matter."""

from __future__ import annotations

import math

import torch
from torch import Tensor

#: median deviations beyond which an energy is an outlier
OUTLIER = 1000.0


class Deviations:
    """Energies (B,) of walkers about their weighted median; `weights` (B,) turn averages into those over ψ².

    `median_deviation` is the median of |E − centre|. It and `centre` count finite energies only, and are infinite where
    there is none.
    """

    def __init__(self, energies: Tensor, weights: Tensor | None = None) -> None:
        self.energies, self.finite = energies, energies.isfinite()
        self.weights = (torch.ones_like(energies) if weights is None else weights).where(self.finite, 0.0)
        self.centre = weighted_median(energies.where(self.finite, math.inf), self.weights)
        self.distance = (energies - self.centre).abs().where(self.finite, math.inf)
        self.median_deviation = weighted_median(self.distance, self.weights)

    def clip(self, width: float, *, outlier: float = OUTLIER, least: float = 0.0) -> Tensor:
        """The energies clipped at `width` mean deviations, but no less than `least`, on both sides of the centre.

        In that mean no walker counts for more than `outlier` median deviations: a lost one does not stretch the bounds.
        Energies that are not finite become the centre; if none is finite they stay as they are.
        """
        near = self.distance.clamp(max=outlier * self.median_deviation)
        mean = (self.weights * near.where(self.finite, 0.0)).sum() / self.weights.sum()
        reach = (width * mean).clamp(min=least)
        # ±inf may come from a lost walker as well as from a bad network: neither says anything about the gradient
        known = self.energies.where(self.finite | self.centre.isinf(), self.centre)
        return known.clamp(self.centre - reach, self.centre + reach)


def clip(energies: Tensor, width: float) -> Tensor:
    """Energies (B,) clipped at `width` mean deviations about their median (`Deviations.clip`)."""
    return Deviations(energies).clip(width)


def weighted_median(values: Tensor, weights: Tensor) -> Tensor:
    """The value below which half of the weight lies."""
    ordered, order = values.sort()
    below = weights[order].cumsum(0)
    return ordered[torch.searchsorted(below, 0.5 * below[-1]).clamp(max=len(values) - 1)]
