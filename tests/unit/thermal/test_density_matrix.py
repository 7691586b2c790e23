"""ρ(x, x′) of oscillators in closed form, also with the exchange of two bosons and in a frame that does not fit."""

from __future__ import annotations

import math
from itertools import islice

import numpy as np
import pytest
import torch

from fkflow.hamiltonian.registry import find_system
from fkflow.thermal.density_matrix import DensityMatrix
from fkflow.thermal.estimate import batches
from tests.unit.thermal.conftest import bridges_of, oscillators_log_z, random_fit
from tests.unit.thermal.test_bridges import kernel

trap = find_system("harmonic")


def exact(x: np.ndarray, y: np.ndarray, beta: float, bosons: int) -> np.ndarray:
    """ρ(x, x′) of trace 1: Σ_k k0(x, x′; kβ) Z_(N−k)/(N Z_N)."""
    log_z = [0.0, *(oscillators_log_z(beta, n, 1) for n in range(1, bosons + 1))]
    found = np.zeros(np.broadcast(x, y).shape)
    for k in range(1, bosons + 1):
        one = np.vectorize(lambda a, b, k=k: kernel(a, b, 1.0, k * beta))(x, y)
        found = found + one * math.exp(log_z[bosons - k] - log_z[bosons]) / bosons
    return found


@pytest.mark.parametrize("bosons", [1, 2])
def test_oscillators(bosons: int) -> None:
    beta, generator = 1.5, torch.Generator().manual_seed(1)
    bridges = bridges_of(trap(particles=bosons, dimensions=1), beta, factor=0.8)
    square = bridges.problem.length**2
    fitted = random_fit(bridges, 1.1 / bridges.problem.length, beta / square, size=0.1)
    matrix = None
    for batch in islice(batches(bridges, fitted, beta / square, 12, 256, generator), 16):
        matrix = matrix or DensityMatrix(bridges.problem, batch, float(batch.log_w.max()))
        matrix.add(batch)
    assert matrix is not None
    (found,) = matrix.histograms()
    assert found.unit.startswith("1/") and [axis.name for axis in found.axes] == ["x", "x_prime"]
    edges = found.axes[0].edges
    width = edges[1] - edges[0]
    assert found.values.trace() * width == pytest.approx(1.0, abs=0.02)
    # the mean over a bin along the diagonal
    along = (np.arange(5) - 2) / 5 * width
    x, y = np.meshgrid(found.axes[0].centres, found.axes[1].centres, indexing="ij")
    known = np.mean([exact(x + a, y + a, beta, bosons) for a in along], 0)
    clear = known > 0.1 * known.max()
    z = ((found.values - known) / found.errors)[clear]
    assert clear.sum() > 60 and (z**2).mean() < 3 and np.abs(z).max() < 5
    # without its off-diagonal width, or at another temperature, it would be seen
    other = np.mean([exact(x + a, y + a, 2.5 * beta, bosons) for a in along], 0)
    assert ((((found.values - other) / found.errors)[clear]) ** 2).mean() > 4
    assert np.median(found.errors[clear]) < 0.1 * known.max()
