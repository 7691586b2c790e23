"""The network that a training leaves: the best on unseen walkers of the last one, an average of the last, and the best so far.

Which of them is the best differs: the average has less of the noise of single steps, the last one is ahead where training still
gains, and the best so far is left where the last steps went wrong.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fkflow.execution import ranks
from fkflow.networks.choice import LogPsi
from fkflow.sampling.clipping import Deviations
from fkflow.sampling.local_energy import fastest_local_energy
from fkflow.sampling.metropolis import Walkers, metropolis
from fkflow.training.observation import Problem
from fkflow.training.safeguards import CLIP, FAR, weighted_moments
from fkflow.training.state import TrainState

#: share of the newest network in the average of the last ones, in each iteration
NEWEST = 0.1
#: moves that take walkers away from where the network was trained, in those between two iterations
AWAY = 2


def update_average(state: TrainState, accepted: bool) -> None:
    """Count the network of this iteration in the average of the last ones, which begins anew after a rejected step."""
    if not accepted:
        state.average = None
        return
    newest = torch.cat([p.detach().flatten() for p in state.net.parameters()])
    state.average = newest if state.average is None else torch.lerp(state.average, newest, NEWEST)


def freeze(problem: Problem, state: TrainState) -> None:
    """Take the best network for the one of `state`, with its energy and spread on unseen walkers in `state.unseen`.

    Without a log ψ, and where this iteration's network has been chosen already, nothing changes. All ranks must call together.
    """
    net = state.net
    if not isinstance(net, LogPsi) or state.frozen_at == state.iteration:
        return
    state.keep_unfrozen()
    last = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    candidates: list[dict[str, Any]] = [last]
    if state.average is not None:
        named = dict(net.named_parameters())
        parts = state.average.split([p.numel() for p in named.values()])
        averaged = {name: part.view_as(p) for (name, p), part in zip(named.items(), parts, strict=True)}
        candidates.append({**last, **averaged})
    if state.snapshot is not None:
        candidates.append(state.snapshot["net"])
    judged, noise = [], state.generator.get_state()
    for weights in candidates:
        # the same noise for all: what one of them shows in rare places is not chance
        state.generator.set_state(noise)
        net.load_state_dict(weights)
        judged.append(_judge(problem, state, net))
    # the same choice on all ranks; NaN is no better than anything
    best = ranks.broadcast(min(range(len(judged)), key=lambda i: (sum(judged[i]) != sum(judged[i]), sum(judged[i]))))
    net.load_state_dict(candidates[best])
    if best and state.spring:
        state.spring.last.zero_()
    if state.snapshot is not None and candidates[best] is state.snapshot["net"]:
        state.walkers.x, state.walkers.step = state.snapshot["x"].clone(), state.snapshot["step"]
    state.unseen, state.frozen_at = ranks.broadcast(judged[best]), state.iteration


def _judge(problem: Problem, state: TrainState, net: LogPsi) -> tuple[float, float]:
    """Energy and spread of a network on walkers that have moved away and visit its tails.

    Only energies that no tail of ψ² has are clipped. A firm clip would hide a network that is wrong in rare places, such as a
    barrier or where two particles meet, and its mean would look lower than that of a better one.
    """
    x: Tensor = state.walkers.x
    walkers = Walkers(x, state.walkers.step, broad=state.walkers.broad)
    metropolis(net, walkers, state.generator, AWAY * problem.config.moves, adapt=False)
    energies = fastest_local_energy(net, problem.system, walkers.x, state.generator, problem.natural_time)
    energies, log_ratio = ranks.gather(energies), ranks.gather(walkers.log_ratio())
    deviations = Deviations(energies, walkers.weights(log_ratio))
    energy, _, spread = weighted_moments(deviations.clip(CLIP, least=FAR / problem.natural_time), deviations.weights)
    return energy, spread
