"""Fits of log ψ to given values: another natural scale, and slow modes that a measurement showed.

A fit is a few Gauss–Newton steps at fixed walkers. It gives a network at once what training would take much imaginary time for.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fkflow.networks.choice import LogPsi
from fkflow.training.gradients import add_to_parameters, jacobian
from fkflow.training.natural_gradient import Spring

#: most walkers of a fit, its steps, and the largest root mean square change of log ψ in one
WALKERS, STEPS, MOST_CHANGE = 2048, 20, 1.0
#: damping at the start, and what a step that lowers the misfit and one that does not multiply it by (Levenberg and Marquardt)
DAMPING, BOLDER, CAREFUL = 1e-2, 0.3, 10.0
#: share of the variance of what is fitted that may be left for a success; the fit ends at the second, or at that variance
LEFT, WELL = 0.1, 1e-3
#: g, in its root mean square, from which on it is bent to stay positive: it may vanish where a mode is poorly known, ψ may not
LEAST = 0.02


def fit(net: LogPsi, x: Tensor, target: Tensor, weights: Tensor, floor: float = 1.0) -> bool:
    """Fit log ψ, up to a constant, to `target` (B,) at walkers x (B, N, D) with weights (B,).

    A variance that is small beside `floor` is good enough. Returns whether the fit succeeded; the network is unchanged
    otherwise.
    """
    x, target, weights = x[:WALKERS], target[:WALKERS], weights[:WALKERS]
    weights = weights / weights.mean()
    optimiser = Spring(sum(p.numel() for p in net.parameters()), momentum=0.0, max_change=MOST_CHANGE)
    before = best_state = _copy(net)
    residual, first = _misfit(net, x, target, weights)
    best, damping = first, DAMPING
    for _ in range(STEPS):
        if best <= WELL * max(first, floor):
            break
        change = optimiser.update(jacobian(net, x), -residual, 1.0, damping, weights)
        if not bool(change.isfinite().all()):
            break
        add_to_parameters(net, change)
        trial, misfit = _misfit(net, x, target, weights)
        if misfit < best:
            residual, best, best_state, damping = trial, misfit, _copy(net), damping * BOLDER
        else:
            net.load_state_dict(best_state)
            damping *= CAREFUL
    success = best <= max(LEFT * first, WELL * floor)
    net.load_state_dict(best_state if success else before)
    return success


def absorb(net: LogPsi, x: Tensor, factor: Tensor, weights: Tensor) -> bool:
    """Fit log ψ to log(g ψ) for the values g (B,) of `factor` at walkers x (B, N, D) with weights (B,); whether it succeeded.

    The lowest state in the span of ψ and its slow modes is g ψ (`relaxation`).
    """
    mean_square = float((weights * factor.square()).sum() / weights.sum())
    if not mean_square > 0:
        return False
    factor = factor / math.sqrt(mean_square)
    factor = 0.5 * (factor + (factor.square() + 4 * LEAST**2).sqrt())
    with torch.no_grad():
        target = net(x) + factor.log()
    # both ψ² and (g ψ)² count; log g may be small everywhere
    return fit(net, x, target, weights * (1 + factor.square()), floor=0.0)


def _copy(net: LogPsi) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in net.state_dict().items()}


def _misfit(net: LogPsi, x: Tensor, target: Tensor, weights: Tensor) -> tuple[Tensor, float]:
    """What log ψ lacks (B,) up to a constant, and its variance."""
    with torch.no_grad():
        residual = target - net(x)
    residual = residual - (weights * residual).mean()
    return residual, float((weights * residual.square()).mean())
