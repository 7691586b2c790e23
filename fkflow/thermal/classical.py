"""The classical limit of a temperature: F and E of particles without ħ, by importance sampling of e^(−βV)."""

from __future__ import annotations

import math

import torch

from fkflow.thermal.cloud import Bases
from fkflow.thermal.problem import Problem

#: draws
DRAWS = 2**15


def classical_limit(problem: Problem, base: Bases, beta: float) -> tuple[float, float]:
    """F and E at β, in natural units, from draws of `base`.

    Z = (2πβ)^(−nD/2)/n! ∫ e^(−βV), n! for each kind; identical particles count once, without exchange. NaN where the draws do
    not fit.
    """
    n, dim = problem.reference.bodies, problem.reference.axes
    sobol = torch.quasirandom.SobolEngine(n * (dim + 1), scramble=True, seed=0)
    y = base.draw(sobol.draw(DRAWS, dtype=torch.float64).view(DRAWS, n, dim + 1))
    value = problem.potential(y)
    log_w = -beta * value - base.log_density(y)
    w = log_w.softmax(0)
    if not bool(w.isfinite().all()) or 1 / float(w.square().sum()) < 100:
        return math.nan, math.nan
    log_z = float(log_w.logsumexp(0)) - math.log(DRAWS) - 0.5 * n * dim * math.log(2 * math.pi * beta)
    log_z -= problem.reference.log_orders
    return -log_z / beta, 0.5 * n * dim / beta + float((w * value.nan_to_num(posinf=0.0)).sum())
