"""The classical limit of a temperature: F and E of particles without ħ, by importance sampling of e^(−βV)."""

from __future__ import annotations

import math

import torch

from fkflow.thermal.cloud import Mixture
from fkflow.thermal.problem import Problem

#: draws
DRAWS = 2**15


def classical_limit(problem: Problem, base: Mixture, beta: float, bosons: bool) -> tuple[float, float]:
    """F and E at β, in natural units, from draws of `base` for each body.

    Z = (2πβ)^(−nD/2)/n! ∫ e^(−βV); identical particles count once, without exchange. NaN where the draws do not fit.
    """
    n, dim = problem.reference.bodies, len(problem.reference.frequencies)
    sobol = torch.quasirandom.SobolEngine(n * (dim + 1), scramble=True, seed=0)
    uniform = sobol.draw(DRAWS, dtype=torch.float64).view(DRAWS * n, dim + 1)
    y = base.draw(uniform).view(DRAWS, n, dim)
    value = problem.potential(y)
    log_w = -beta * value - base.log_density(y).sum(1)
    w = log_w.softmax(0)
    if not bool(w.isfinite().all()) or 1 / float(w.square().sum()) < 100:
        return math.nan, math.nan
    log_z = float(log_w.logsumexp(0)) - math.log(DRAWS) - 0.5 * n * dim * math.log(2 * math.pi * beta)
    log_z -= math.lgamma(n + 1) if bosons else 0.0
    return -log_z / beta, 0.5 * n * dim / beta + float((w * value.nan_to_num(posinf=0.0)).sum())
