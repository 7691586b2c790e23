"""Series whose true error is known."""

from __future__ import annotations

import math

import numpy as np


def autoregressive(shape: tuple[int, ...], memory: float, seed: int) -> np.ndarray:
    """Stationary x_t = m x_{t−1} + ξ_t along the first axis; variance 1/(1 − m²), τ = (1 + m)/(1 − m)."""
    noise = np.random.default_rng(seed).normal(size=shape)
    noise[0] /= math.sqrt(1 - memory**2)
    for t in range(1, shape[0]):
        noise[t] += memory * noise[t - 1]
    return noise


def mean_error(n: int, memory: float) -> float:
    """Standard error of the mean of n ≫ τ terms of such a series."""
    return 1 / (1 - memory) / math.sqrt(n)
