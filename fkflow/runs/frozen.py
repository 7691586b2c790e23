"""The stages after training, in which the drift is frozen: measure, then project."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from fkflow.errors import Interrupted, NumericalError
from fkflow.execution import ranks
from fkflow.execution.pulse import Pulse
from fkflow.hamiltonian.conversion import share_outside
from fkflow.measurement.variational import VariationalEstimator
from fkflow.networks.choice import LogPsi
from fkflow.projection.project import Projector, can_project
from fkflow.recipe.config import MeasureConfig, ProjectConfig
from fkflow.results.checkpoints import Clock
from fkflow.results.records import Doubt, Measurement
from fkflow.results.status import is_useless
from fkflow.runs import renewal
from fkflow.runs.context import RunContext
from fkflow.runs.model import Model
from fkflow.runs.session import Session
from fkflow.runs.spectrum import find_gap_first
from fkflow.statistics import Estimate

#: spread of the local energy, in natural energies times √coordinates, of an exact network: the excess of its energy, about the
#: square of that, is below the rounding of an energy
EXACT = 1e-7
#: gap in natural energies below which walkers jump between the wells of ψ²
SLOW = 0.2
#: share of the values of a table beyond its ends from which on a result is doubtful
MOST_OUTSIDE = 1e-3
#: what messages call a stage under way
WORDS = {"measure": "measuring", "project": "projecting"}


def measure_and_project(
    context: RunContext, model: Model, x: Tensor, session: Session | None = None
) -> Measurement | None:
    """Measure the frozen network of a model from this rank's walkers x (B, N, D), then project it.

    With the `session` that trained it, checkpoints are written, and training may go on: None is returned if it must, after the
    first sweeps. Raises Interrupted as soon as there is a signal.
    """
    recipe, saved = context.recipe, context.saved_stages()
    watch, pulse = _Watch(context, session), Pulse(context.signals)
    try:
        with context.signals.raise_at_once():
            measuring = _estimator(context, model, x, saved=saved.get("measure"))
            watch.stages["measure"] = measuring
            report = watch.begin("measure", recipe.measure)
            if "project" not in saved:
                measuring.run(math.inf, recipe.measure.seconds, report, pulse)
                if is_useless(measuring.spread(), model.landscape.length**2, model.landscape.centre.numel()):
                    return measuring.result()
                # a measurement that is dropped has used up its part of the budget
                context.measured = measuring.seconds
                if is_slow(measuring):
                    measuring = _estimator(context, model, measuring.samples(), jumps=True)
                    watch.stages["measure"] = measuring
                    measuring.run(math.inf, recipe.measure.seconds, report, pulse)
                    context.measured = measuring.seconds
                if session and (
                    renewal.begin_anew(session, measuring) or renewal.absorb_slow_modes(session, measuring)
                ):
                    return None
                if (
                    session
                    and measuring.is_shortest()
                    and renewal.extend(session, measuring.spread(), measuring.walkers.x)
                ):
                    return None
                measuring.run(recipe.measure.target_error, recipe.measure.seconds, report, pulse)
                if session and renewal.begin_anew(session, measuring):
                    return None
                if session:
                    renewal.judge_absorbed(session, measuring)
            exact = recipe.project.seconds > 0 and is_exact(measuring)
            if exact:
                context.progress.log(
                    "the local energy does not vary: the network is exact, a projection changes nothing"
                )
            if exact or not can_project(measuring, recipe.project):
                _judge_tables(measuring)
                return measuring.result()
            if "project" not in saved:
                find_gap_first(model, measuring, context)
            report = watch.begin("project", recipe.project)
            projecting = Projector(measuring, recipe.project, context.seed, saved.get("project"), pulse)
            watch.stages["project"] = projecting
            projected = projecting.run(report)
            _judge_tables(measuring)
            return measuring.result(*projected, projecting.observables(), projecting.coherence())
    except torch.linalg.LinAlgError as error:
        raise NumericalError(f"measuring failed: {error}") from None
    except KeyboardInterrupt:
        raise Interrupted(f"stopped while {WORDS[watch.stage]}") from None


def _estimator(
    context: RunContext, model: Model, x: Tensor, jumps: bool = False, saved: Mapping[str, Any] | None = None
) -> VariationalEstimator:
    recipe, dt = context.recipe, context.recipe.train.dt * model.landscape.length**2
    measuring = VariationalEstimator(
        model.net, model.system, model.landscape, recipe.measure, x, context.seed, dt=dt, jumps=jumps, saved=saved
    )
    if saved is None:
        measuring.seconds += context.measured
    return measuring


def _judge_tables(measuring: VariationalEstimator) -> None:
    """A doubt where walkers have left a table that does not say how V goes on."""
    (share,) = ranks.reduce_mean(share_outside(measuring.system, measuring.samples()))
    if share > MOST_OUTSIDE:
        measuring.sampler.warnings.append(
            Doubt(
                f"{100 * share:.2g} % of what was asked of the tables of V lay beyond their ends, where V is not known and "
                'went on linearly: a longer table is needed, or outside="linear", or a number, if V goes on like that'
            )
        )


def is_exact(measuring: VariationalEstimator) -> bool:
    """Whether the local energy does not vary over ψ² but for rounding: ψ, which has no nodes, is then the ground state."""
    natural_time, coordinates = measuring.landscape.length**2, measuring.landscape.centre.numel()
    exact = measuring.spread() * natural_time <= EXACT * math.sqrt(coordinates)
    return ranks.broadcast(isinstance(measuring.net, LogPsi) and exact)


def is_slow(measuring: VariationalEstimator) -> bool:
    """Whether walkers that move without jumps take too long between the wells of ψ²."""
    relaxation = measuring.find_relaxation()
    if relaxation is None or measuring.sampler.jumps:
        return False
    return bool(relaxation.gap * measuring.landscape.length**2 < SLOW)


class _Watch:
    """Progress, signals and checkpoints of the stages under way."""

    def __init__(self, context: RunContext, session: Session | None) -> None:
        self.context = context
        self.session = None if context.out is None else session
        self.stage = "measure"
        self.stages: dict[str, VariationalEstimator | Projector] = {}
        self.clock = Clock()

    def begin(self, stage: str, wanted: MeasureConfig | ProjectConfig) -> Callable[[Estimate, float], None]:
        """Begin a stage; returns the function to which it reports its estimate and the seconds spent."""
        self.stage = stage
        self.context.progress.stage(stage, 1.0)
        most = 0.0

        def report(estimate: Estimate, spent: float) -> None:
            stopped, due = ranks.reduce_any(bool(self.context.signals), self.session is not None and self.clock.due())
            if stopped:
                raise KeyboardInterrupt
            # the most seen so far: an error that is not known well yet may have been too small
            nonlocal most
            most = max(most, self._share(stage, wanted, estimate.error), min(1.0, spent / wanted.seconds))
            self.context.progress.update(most, estimate.value, estimate.error)
            if self.session is not None and due:
                self.save(self.session)

        return report

    def _share(self, stage: str, wanted: MeasureConfig | ProjectConfig, error: float) -> float:
        """The share of a stage's work that is done: some is done in any case, and errors fall as 1/√time."""
        way = self.stages[stage].share()
        if not math.isfinite(error):
            return 0.5 * way
        return min(way, (wanted.target_error / error) ** 2) if error > 0 else way

    def save(self, session: Session) -> None:
        """Write a checkpoint of the session and all ranks' stages."""
        # what is written must not change meanwhile
        with self.context.signals.defer():
            stages = ranks.gather_values({name: stage.state_dict() for name, stage in self.stages.items()})
            self.context.save({**session.checkpoint(), "frozen": stages}, session.state.iteration)
        self.clock.restart()
