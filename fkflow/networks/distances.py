"""Functions of distances without cusps, their derivatives (`…_slope`) and second derivatives (`…_bend`)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


def logarithm(r: Tensor) -> Tensor:
    """½ log(1.0 + r²): no linear term at 0, so it leaves cusps alone; far out the growth ψ ~ r^p e^(−ζr) asks for."""
    return 0.5 * torch.log1p(r.square())


def logarithm_slope(r: Tensor) -> Tensor:
    """Its derivative."""
    return r / (1.0 + r.square())


def logarithm_bend(r: Tensor) -> Tensor:
    """The second derivative of `logarithm`."""
    square = r.square()
    return (1.0 - square) / (1.0 + square).square_()


def saturating(r: Tensor) -> Tensor:
    """(r/(1.0 + r))²: no linear term at 0, but a cubic one; 1 far out."""
    return (r / (1.0 + r)).square()


def saturating_slope(r: Tensor) -> Tensor:
    """Its derivative."""
    return 2.0 * r / (1.0 + r) ** 3


def saturating_bend(r: Tensor) -> Tensor:
    """The second derivative of `saturating`."""
    return (2.0 - 4.0 * r) / (1.0 + r) ** 4


def ratio_slope(r: Tensor) -> Tensor:
    """The derivative of r/(1.0 + r)."""
    return (1.0 + r).square().reciprocal_()


def ratio_bend(r: Tensor) -> Tensor:
    """The second derivative of r/(1.0 + r)."""
    return -2.0 / (1.0 + r) ** 3


class Seen(NamedTuple):
    """The distances near (n, M, B) and apart (B,), near times the charges, and functions of them that are needed again.

    `ratio` is r/(1.0 + r) of near, the others are `logarithm`s.
    """

    near: Tensor
    apart: Tensor | None
    charged: Tensor
    ratio: Tensor
    of_near: Tensor
    of_apart: Tensor | None
