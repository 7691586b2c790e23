"""Slow modes put into a network: log ψ is fitted to log(g ψ) for a function g that the walkers of a measurement gave.

A training of imaginary time t leaves modes with rates below 1/t as they were. The lowest state in the span of ψ and such modes
is known from averages over ψ² (`relaxation`); a few Gauss–Newton steps give it to the network.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fkflow.networks.choice import LogPsi
from fkflow.training.gradients import add_to_parameters, jacobian
from fkflow.training.natural_gradient import Spring

#: most walkers of the fit, its damping, steps, and the largest root mean square change of log ψ in one
WALKERS, DAMPING, STEPS, MOST_CHANGE = 2048, 1e-3, 20, 1.0
#: g, in its root mean square, from which on it is bent to stay positive: it may vanish where a mode is poorly known, ψ may not
LEAST = 0.02
#: share of the variance of log g that may be left for the fit to be a success, and at which it ends
LEFT, WELL = 0.1, 1e-3


def absorb(net: LogPsi, x: Tensor, factor: Tensor, weights: Tensor) -> bool:
    """Fit log ψ to log ψ + log g at walkers x (B, N, D) with weights (B,), for the values g (B,) of `factor`.

    Returns whether the fit succeeded; the network is unchanged otherwise.
    """
    x, factor, weights = x[:WALKERS], factor[:WALKERS], weights[:WALKERS]
    mean_square = float((weights * factor.square()).sum() / weights.sum())
    if not mean_square > 0:
        return False
    factor = factor / math.sqrt(mean_square)
    factor = 0.5 * (factor + (factor.square() + 4 * LEAST**2).sqrt())
    # both ψ² and (g ψ)² count
    weights = weights * (1 + factor.square())
    weights = weights / weights.mean()
    with torch.no_grad():
        target = net(x) + factor.log()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    optimiser = Spring(sum(p.numel() for p in net.parameters()), momentum=0.0, max_change=MOST_CHANGE)
    residual, first = _misfit(net, x, target, weights)
    best, best_state = first, before
    for _ in range(STEPS):
        change = optimiser.update(jacobian(net, x), -residual, 1.0, DAMPING, weights)
        if not bool(change.isfinite().all()):
            break
        add_to_parameters(net, change)
        trial, misfit = _misfit(net, x, target, weights)
        if misfit < best:
            residual, best = trial, misfit
            best_state = {name: tensor.clone() for name, tensor in net.state_dict().items()}
        else:
            net.load_state_dict(best_state)
            optimiser.max_change *= 0.5
        if best <= WELL * first:
            break
    success = best <= LEFT * first
    net.load_state_dict(best_state if success else before)
    return success


def _misfit(net: LogPsi, x: Tensor, target: Tensor, weights: Tensor) -> tuple[Tensor, float]:
    """What log ψ lacks (B,) up to a constant, and its variance."""
    with torch.no_grad():
        residual = target - net(x)
    residual = residual - (weights * residual).mean()
    return residual, float((weights * residual.square()).mean())
