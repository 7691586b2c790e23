"""One step of the optimiser: clipped energies become a change of the parameters."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from fkflow.execution import ranks
from fkflow.networks.choice import LogPsi
from fkflow.training.gradients import add_to_parameters, covariance_gradient, jacobian, jacobian_and_derivatives
from fkflow.training.observation import Observation, Problem
from fkflow.training.schedule import StepSize
from fkflow.training.state import TrainState

#: natural energies that are never clipped: where a network is good except in rare places, those must still be learned
NEVER_CLIPPED = 0.2
#: norm beyond which a gradient for Adam is scaled down
MOST_GRADIENT = 10.0
#: displacement, in natural lengths, that gives derivatives of the Jacobian
DISPLACEMENT = 1e-3
NOT_FINITE = "the step led to parameters that are not finite"


def update_network(problem: Problem, state: TrainState, observation: Observation, size: StepSize) -> str:
    """Change the parameters by one step of the recipe's optimiser; returns what went wrong, "" if nothing did."""
    clipped = observation.deviations.clip(problem.config.clip, least=NEVER_CLIPPED / problem.natural_time)
    step = _spring_step if state.adam is None else _adam_step
    return step(problem, state, observation, clipped, size) or ("" if _finite(state.net.parameters()) else NOT_FINITE)


def _adam_step(problem: Problem, state: TrainState, observation: Observation, clipped: Tensor, size: StepSize) -> str:
    net, adam, share = state.net, state.adam, 1 / ranks.count()
    assert adam is not None
    if problem.config.estimator != "pathwise":
        assert isinstance(net, LogPsi)
        covariance_gradient(net, state.walkers.x, clipped, observation.weights)
        share = 1.0
    if ranks.count() > 1:
        for p in net.parameters():
            p.grad = None if p.grad is None else share * ranks.reduce_sum(p.grad)
    if not _finite(p.grad for p in net.parameters() if p.grad is not None):
        return "the gradient is not finite"
    torch.nn.utils.clip_grad_norm_(net.parameters(), MOST_GRADIENT)
    for group in adam.param_groups:
        group["lr"] = size.rate
    adam.step()
    ranks.broadcast_tensors(net.parameters())
    return ""


def _spring_step(problem: Problem, state: TrainState, observation: Observation, clipped: Tensor, size: StepSize) -> str:
    net, x, config, scouts = state.net, state.walkers.x, problem.config, observation.scouts
    assert isinstance(net, LogPsi) and state.spring is not None
    everyone = x if scouts is None else torch.cat([x, scouts.x])
    if config.curvature > 0:
        count = max(1, round(config.curvature * len(x)))
        step = DISPLACEMENT * problem.natural_time**0.5
        rows = jacobian_and_derivatives(net, everyone, count, state.generator, step)
    else:
        rows = jacobian(net, everyone)
    # each rank brings its own walkers to the update
    energies, weights = ranks.own_part(clipped), ranks.own_part(observation.weights)
    if scouts is not None:
        rows[len(x) : len(everyone)].masked_fill_(~(scouts.weights[:, None] > 0), 0.0)
        energies = torch.cat([energies, scouts.bounded_energies(clipped, problem.natural_time)])
        weights = torch.cat([weights, scouts.weights])
    exploring = 0 if scouts is None else len(scouts.x)
    change = state.spring.update(rows, energies, size.rate * problem.natural_time, size.damping, weights, exploring)
    if not _finite([change]):
        return "the natural gradient has no solution"
    add_to_parameters(net, change)
    return ""


def _finite(tensors: Iterable[Tensor]) -> bool:
    """Whether all numbers are finite; the device is asked once."""
    return bool(torch.cat([tensor.detach().flatten() for tensor in tensors]).isfinite().all())
