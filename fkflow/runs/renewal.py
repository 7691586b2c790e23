"""What changes a training in progress: a wrong scale, a lost well, a slow mode, a charge that left, a spread that was missed.

`step` is an iteration with what is looked at during training. The other functions look at a session and return whether its
training goes on with something new. All ranks call them together.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from fkflow.execution import ranks
from fkflow.hamiltonian import scale
from fkflow.hamiltonian.free import break_up_energy
from fkflow.measurement.variational import VariationalEstimator
from fkflow.networks.choice import LogPsi
from fkflow.projection.slow_modes import QUICK
from fkflow.results.records import Doubt
from fkflow.runs.session import Session
from fkflow.training.balance import balance
from fkflow.training.fit import absorb, fit
from fkflow.training.schedule import extend_training, train_on
from fkflow.training.state import Record

#: most slow modes that are put into a network, and share of the target error below which they are left to the projection
ABSORBED, SHARE = 4, 0.3
#: stated errors by which an energy is higher than another
HIGHER = 4.0
#: how often wells that are alike are made equal
BALANCED = 3
#: how often a training of charges that came apart begins anew, and what its seed is larger by
RENEWED, ANOTHER = 1, 7919
#: the iteration after which the natural scale is checked, and the most trainings that are started anew with another
CHECK, CORRECTIONS = 30, 6
#: last iterations whose energies show how strongly a state is bound
JUDGED = 10
#: most natural length that a weak binding gives, in that of the kinetic energy
FARTHEST = 8.0


def step(session: Session) -> Record | None:
    """One iteration of a training that goes on with something new where it must; None once it has ended.

    Raises NumericalError as `train` does.
    """
    record = session.step()
    if record is None:
        again = correct_scale(session) or balance_wells(session)
    else:
        again = record.iteration == CHECK and correct_scale(session)
    return step(session) if again else record


def balance_wells(session: Session) -> bool:
    """Train on once wells that are alike have the same ψ, if one of them was lost; at most BALANCED times."""
    net, model, done = session.model.net, session.model, session.renewals
    if not isinstance(net, LogPsi) or session.training.optimiser != "spring" or done.balanced == BALANCED:
        return False
    if ranks.count() > 1 or not balance(net, model.landscape, model.system, session.state):
        return False
    done.balanced += 1
    session.context.progress.log(
        "wells that are alike had different parts of psi: they are made equal, and training goes on"
    )
    train_on(session.state)
    session.train_on()
    return True


def correct_scale(session: Session) -> bool:
    """Start the training anew with the natural scale of its walkers, if that of the potential is wrong.

    The walkers go on from where they are. A training is not started anew more than CORRECTIONS times.
    """
    walkers, landscape, before = session.state.walkers, session.model.landscape, session.model.net
    length = walkers_length(session)
    if session.renewals.corrections == CORRECTIONS or not scale.is_wrong(landscape, length):
        return False
    session.renewals.corrections += 1
    assert isinstance(before, LogPsi)
    x, weights = (ranks.gather(part) for part in (walkers.x, walkers.weights()))
    session.rescale(ranks.broadcast(scale.corrected(landscape, session.model.system, x, weights, length)))
    after = session.model.net
    assert isinstance(after, LogPsi)
    # what the walkers have learned, such as the places of wells, is not lost
    with torch.no_grad():
        fit(after, x, before(x), weights)
    ranks.broadcast_tensors(after.parameters())
    session.context.progress.log(
        f"the walkers show a natural length of {length:.3g}, not {landscape.length:.3g}: training starts anew with it"
    )
    session.start_over()
    count = len(session.state.walkers.x)
    session.state.walkers.x = walkers.x.repeat(-(-count // len(walkers.x)), 1, 1)[:count].clone()
    return True


def walkers_length(session: Session) -> float:
    """The natural length that the walkers show, the same on all ranks; that of the landscape where it cannot be wrong."""
    model, walkers = session.model, session.state.walkers
    if session.recipe.train.optimiser != "spring":  # others are far from trained after so few iterations
        return model.landscape.length
    if not isinstance(model.net, LogPsi) or model.system.nuclei() is not None or walkers.drift is None:
        return model.landscape.length
    if model.system.point_charges() is not None:
        return model.landscape.length
    # the network has changed since they moved, and the walkers with it where it is an earlier one; the training goes on
    # with what it has
    walkers = replace(walkers)
    walkers.refresh(model.net)
    drift, weights = ranks.gather(walkers.known[1]), ranks.gather(walkers.weights())
    moving = 1.0 if model.net.together is None else 1 - 1 / model.system.particles
    energies = [record["energy"] for record in session.records[-JUDGED:]]
    kinetic = scale.kinetic_length(drift, weights, moving)
    # early in a training an energy just below the threshold is chance
    binding = min(scale.binding_length(model.landscape, sum(energies) / max(1, len(energies))), FARTHEST * kinetic)
    found = max(binding, kinetic)
    if model.landscape.box is not None:
        # where particles hardly see each other nothing drifts, and their spacing is the scale
        found = min(found, model.landscape.length)
    return ranks.broadcast(found)


def absorb_slow_modes(session: Session, measuring: VariationalEstimator) -> bool:
    """Put the slow modes that a measurement showed into the network, if projecting would not soon remove what they leave.

    The walkers of the training are then those of the measurement, and the network is measured anew.
    """
    relaxation, recipe = measuring.find_relaxation(), session.recipe
    if relaxation is None or session.renewals.absorbed == ABSORBED:
        return False
    projected = recipe.project.seconds > 0
    target = SHARE * (recipe.project if projected else recipe.measure).target_error
    time = recipe.project.time * session.model.landscape.length**2 if projected else 0.0
    # a long projection removes it too, but its weights may collapse
    removed = relaxation.left(time) <= target and relaxation.rate * time >= QUICK
    if ranks.broadcast(removed or relaxation.gain <= target):
        return False
    before = measuring.estimate()
    session.renewals.absorbed += 1
    session.renewals.lowest = min(session.renewals.lowest, before.value + HIGHER * before.error)
    session.gap = min(session.gap, relaxation.gap)
    net, walkers, factor = session.model.net, measuring.walkers, measuring.ground_factor()
    assert isinstance(net, LogPsi)
    if not absorb(net, *(ranks.gather(part) for part in (walkers.x, factor, walkers.weights()))):
        return False
    ranks.broadcast_tensors(net.parameters())
    session.state.take_walkers(walkers.x, walkers.weights() * factor.square())
    # what is new in it is trained too
    train_on(session.state)
    session.train_on()
    session.context.progress.log(
        f"the measurement shows a slow mode, {relaxation.gap:.3g} above the ground state, that lowers the energy by "
        f"{relaxation.gain:.2g}: it is put into the network"
    )
    session.context.save(session.checkpoint(), session.state.iteration)
    return True


def judge_absorbed(session: Session, measuring: VariationalEstimator) -> None:
    """A doubt where a network has a higher energy than before slow modes were put into it: it has learned what is not there."""
    after, lowest = measuring.estimate(), session.renewals.lowest
    if after.value - HIGHER * after.error > lowest:
        measuring.sampler.warnings.append(
            Doubt(
                f"the network had an energy below {lowest:.6g} before a slow mode was put into it, and is worse now: "
                "try another seed"
            )
        )


def begin_anew(session: Session, measuring: VariationalEstimator) -> bool:
    """Train another network if this one lets a charge go: its energy spreads farther than it lies below the break-up.

    Now and then ψ is too large where no walker of a training comes, and those of the measurement leave. They see no force
    that brings them back: training on would take long. At most RENEWED times.
    """
    model, context = session.model, session.context
    threshold = break_up_energy(model.system, model.landscape.free)
    if model.system.point_charges() is None or threshold is None or session.renewals.renewed == RENEWED:
        return False
    if not isinstance(model.net, LogPsi) or session.recipe.train.source is not None:
        return False
    if ranks.broadcast(measuring.estimate().value + measuring.spread() < threshold):
        return False
    session.renewals.renewed += 1
    session.start_over(context.seed + ANOTHER * session.renewals.renewed)
    session.context.progress.log(
        "walkers of the measurement have left each other: training begins anew with another network"
    )
    return True


def extend(session: Session, spread: float, x: Tensor) -> bool:
    """Train on where a measurement of that spread at walkers x (B, N, D) asks for it (`schedule.extend_training`)."""
    wanted = extend_training(session.training, session.state, spread, x)
    if wanted:
        session.train_on()
        session.context.progress.log("the measured energy spreads far more than training had shown: training goes on")
    return wanted
