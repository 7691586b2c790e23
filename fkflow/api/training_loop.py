"""Training one iteration at a time, for your own loops."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fkflow.api.arguments import open_progress, python_errors, torch_threads
from fkflow.api.solution import Solution
from fkflow.errors import Interrupted, RankError, UsageError
from fkflow.execution.progress import Progress
from fkflow.hamiltonian.system import System
from fkflow.networks.choice import LogPsi, PairDrift
from fkflow.runs import evaluation, renewal
from fkflow.runs.context import RunContext
from fkflow.runs.evaluation import Positions
from fkflow.runs.frozen import measure_and_project
from fkflow.runs.session import Session
from fkflow.training.state import Record


class Training(Iterator[Record]):
    """A training in progress, which `fkflow.train` returns: iterate over it, look at the drift, stop when you like.

    Each item is one iteration's Record: `iteration`, `energy`, `error`, `spread` (of the local energy over the walkers, 0
    for an exact drift), `seconds`, `rate`, `damping`, `acceptance`, `undone` (step rejected). After a loop is left, also by
    Ctrl-C, another one continues after the last finished iteration.
    """

    def __init__(self, context: RunContext) -> None:
        if context.recipe.thermal.betas():
            raise UsageError("a loop of one's own has no temperatures: fkflow.solve finds free energies")
        with torch_threads():
            self._session = Session(context)
        self._last: dict[str, Any] = self._session.state.state_dict()

    def __next__(self) -> Record:
        """One iteration. Raises NumericalError if the steps of many iterations in a row were rejected."""
        session = self._session
        try:
            with torch_threads(session.context.threads):
                record = renewal.step(session)
        except BaseException:
            session.rewind(self._last)
            raise
        if record is None:
            raise StopIteration
        self._last = session.state.state_dict()
        return record

    @property
    def records(self) -> list[dict[str, Any]]:
        """The iterations so far, each as a dictionary."""
        return [dict(record) for record in self._session.records]

    @property
    def iteration(self) -> int:
        """How many iterations are done."""
        return self._session.state.iteration

    @property
    def seed(self) -> int:
        """The seed of all random numbers: the same seed gives the same training."""
        return self._session.context.seed

    @property
    def system(self) -> System:
        """The system."""
        return self._session.recipe.system

    @property
    def net(self) -> LogPsi | PairDrift:
        """The network, a PyTorch module; for masses other than 1 it takes the coordinates √m x."""
        return self._session.model.net

    def drift(self, x: Positions) -> Positions:
        """The current drift; see `Solution.drift`."""
        return evaluation.drift(self._session.model, x)

    def log_psi(self, x: Positions) -> Positions:
        """The current log ψ; see `Solution.log_psi`."""
        return evaluation.log_psi(self._session.model, x)

    def solution(self, *, progress: bool | Progress = True) -> Solution:
        """Measure and project the current network, as the recipe says; training can go on afterwards.

        Raises:
            KeyboardInterrupt: Ctrl-C.
            NumericalError: the energy or the weights are not finite.
        """
        session = self._session
        with python_errors(), torch_threads(session.context.threads), open_progress(progress) as watcher:
            context = RunContext(session.context.loaded, watcher, seed=self.seed)
            with context.listen():
                try:
                    measurement = measure_and_project(context, session.model, session.state.walkers.x)
                except (Interrupted, RankError) as error:
                    raise error.with_hint("the training is unchanged") from None
            assert measurement is not None, "training does not go on by itself"
            return Solution(session.result(measurement), session.recipe, explored=session.context.explored)

    def __repr__(self) -> str:
        wanted = self._session.recipe.train.iterations
        return f"<Training of {self.system.key}: {self.iteration} of at most {wanted} iterations, seed {self.seed}>"
