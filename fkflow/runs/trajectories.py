"""Trajectories of walkers under the trained drift, dX = ∇ log ψ dt + dW, for films."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch

from fkflow.errors import NumericalError, StoreError, UsageError
from fkflow.hamiltonian.masses import to_solver_coordinates, to_user_coordinates
from fkflow.networks.choice import LogPsi
from fkflow.results.result import Result
from fkflow.runs.model import Model
from fkflow.sampling.paths import integrate

#: longest Euler–Maruyama step in natural times: far below the scale of cusps of ψ and of the range of a repulsion
STEP = 2.5e-3


def draw_starts(result: Result, walkers: int, seed: int) -> torch.Tensor:
    """Some of a run's stored walkers (W, N, D), drawn without repetition; they are distributed as |ψ|².

    Raises UsageError if the run has fewer, StoreError if it has none or they are not finite configurations of its system.
    """
    samples = result.measurement.samples
    if samples.shape[1:] != (result.particles, result.dimensions) or not np.isfinite(samples).all():
        raise StoreError(f"{result.file} is damaged: its part /samples holds no configurations of {result.system}")
    if len(samples) == 0:
        raise StoreError(f"{result.file} is not a complete result: it holds no samples to start from")
    if walkers > len(samples):
        raise UsageError(f"{result.file} holds {len(samples)} samples to start from: {walkers} walkers are too many")
    chosen = np.random.default_rng(seed).choice(len(samples), walkers, replace=False)
    return torch.as_tensor(samples[chosen], dtype=torch.float64)


def follow(model: Model, x: torch.Tensor, *, interval: float, seed: int) -> Iterator[np.ndarray]:
    """Positions (W, N, D) of walkers that start at x, at the start and after every `interval` of imaginary time, endlessly.

    All positions are in the user's coordinates. The steps are Euler–Maruyama steps of at most STEP natural times. Raises
    NumericalError if a walker goes to infinity.
    """
    generator = torch.Generator().manual_seed(seed)
    steps = max(1, math.ceil(interval / (STEP * model.landscape.length**2) - 1e-9))
    x = to_solver_coordinates(model.system, x)
    while True:
        if not bool(x.isfinite().all()):
            raise NumericalError("a walker went to infinity: the drift of this run cannot be followed; train it longer")
        yield to_user_coordinates(model.system, x).numpy().copy()
        noise = torch.randn(steps, *x.shape, generator=generator, dtype=x.dtype)
        for position, _, _ in integrate(model.net.drift, x, interval / steps, noise):
            x = position
        if isinstance(model.net, LogPsi):
            x = model.net.recentre(x)
