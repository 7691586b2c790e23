"""One run from recipe to result: build the network, train it, measure it, project it, write the result."""

from __future__ import annotations

from fkflow.errors import FkflowError, Interrupted, NumericalError, RankError, StoreError, UsageError
from fkflow.execution import ranks
from fkflow.results import store
from fkflow.results.checkpoints import Clock
from fkflow.results.paths import CHECKPOINT, RESULT
from fkflow.results.records import Measurement
from fkflow.results.result import Result
from fkflow.runs import again, renewal, thermal
from fkflow.runs.context import RunContext
from fkflow.runs.frozen import measure_and_project
from fkflow.runs.session import Session
from fkflow.runs.spectrum import add_spectrum
from fkflow.training.state import Record

#: iterations over which the energy shown while training is averaged
SHOWN_WINDOW = 10


def execute(context: RunContext) -> Result | None:
    """Train, measure, project and write result.h5; the checkpoints are removed once the result is written.

    A recipe with temperatures has no ground state: `thermal.execute` runs it.

    With `context.resume` the run continues from the checkpoint in its folder; without one it begins, or a finished run goes on
    as far as its budget has grown (`again.go_on`). Ctrl-C and SIGTERM write a checkpoint and raise Interrupted. Raises
    NumericalError (the last good checkpoint is left), StoreError if the disk refuses, UsageError if the checkpoint is another
    recipe's, RankError if another rank ended. Only rank 0 reads and writes files; the others return None.
    """
    if context.recipe.thermal.betas():
        return thermal.execute(context)
    if context.resume and context.out is not None:
        unfinished, finished = ranks.broadcast([(context.out / file).exists() for file in (CHECKPOINT, RESULT)])
        if unfinished:
            context.load_checkpoint()
            if "thermal" in (context.saved or {}):
                raise UsageError(f"{context.checkpoints.path} is that of a run at temperatures: choose another --out")
        elif finished:
            with context.listen():
                done, result = again.go_on(context, context.out / RESULT)
            if done:
                return result
    session: Session | None = None
    with context.listen():
        try:
            with context.signals.raise_at_once():
                session = Session(context)  # system, landscape, network and walkers, or what the checkpoint holds
            measurement = None
            while measurement is None:  # a measurement may show that training ended too early
                train(session)
                measurement = measure_and_project(context, session.model, session.state.walkers.x, session)
            return write_result(session, measurement)
        except KeyboardInterrupt:
            if context.signals.twice:
                raise
            raise _stop(context, session) from None
        except (Interrupted, RankError) as error:
            raise context.checkpoints.with_hint(error) from error


def train(session: Session) -> None:
    """Train to the end, with checkpoints; KeyboardInterrupt as soon as there is a signal."""
    context, state = session.context, session.state
    clock = Clock()
    context.progress.stage("train", float(session.training.iterations))
    last: Record | None = None
    while True:
        with context.signals.raise_at_once():
            record = renewal.step(session)
        if record is None:
            break
        last = record
        show(session, record)
        if context.callback is not None and ranks.rank() == 0:
            context.callback(record)
        stopped, due = ranks.reduce_any(bool(context.signals), clock.due())
        if due and not stopped:
            context.save(session.checkpoint(), state.iteration)
            clock.restart()
        elif stopped or ranks.count() == 1:  # the next iteration of a single process may be broken off
            context.checkpoints.update(session.checkpoint(), state.iteration)
        if stopped:
            raise KeyboardInterrupt
    wanted = session.training
    if last is not None and last.iteration < wanted.iterations:
        late = wanted.seconds is not None and state.seconds >= wanted.seconds
        why = "its time budget ended" if late else "more would not pay"
        context.progress.log(f"trained {last.iteration} of at most {wanted.iterations} iterations: {why}")
    # a run that continues after its training has a newer checkpoint already
    if last is not None or context.checkpoints.iteration is None:
        context.save(session.checkpoint(), state.iteration)


def show(session: Session, record: Record) -> None:
    """Show the energy of the last iterations, without those whose step was rejected."""
    records = session.records
    window = [r for r in records[-SHOWN_WINDOW:] if not r["undone"]] or records[-1:]
    energy = sum(r["energy"] for r in window) / len(window)
    error = sum(r["error"] ** 2 for r in window) ** 0.5 / len(window)
    note = f"spread {record.spread:.3g}" + (" (step rejected)" if record.undone else "")
    session.context.progress.update(float(record.iteration), energy, error, note)


def write_result(session: Session, measurement: Measurement) -> Result | None:
    """The result, written to the run folder if there is one; None on all ranks but rank 0.

    Raises NumericalError if the run failed; its file has the reason.
    """
    context, result, failure = session.context, None, None
    if ranks.rank() == 0:
        result = session.result(measurement)
        if context.out is not None:
            try:
                result = store.save_result(result, context.out / RESULT)
            except StoreError as error:
                raise context.checkpoints.with_hint(error.with_hint("what was measured is lost")) from error
            context.checkpoints.remove()
        if result.failed:
            failure = result.failure
        elif context.recipe.spectrum.states:
            result = add_spectrum(result, session.model, context)
    # the others end well only if this did
    if (failure := ranks.broadcast(failure)) is not None:
        failed = NumericalError(failure)
        failed.on_all_ranks = True
        raise failed
    return result


def _stop(context: RunContext, session: Session | None) -> FkflowError:
    """Write the checkpoint of the last finished iteration; the error that ends the run."""
    try:
        problem = context.checkpoints.save()
    except RankError as error:
        return context.checkpoints.with_hint(error)
    done = len(session.records) if session else 0
    words = f"stopped at iteration {done}" if done else "stopped before the first iteration"
    return context.checkpoints.with_hint(Interrupted(f"{words}; {problem}" if problem else words))
