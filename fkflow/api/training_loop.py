"""Training iteration by iteration, for loops of one's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, overload

from torch import Tensor

from fkflow.api.arguments import Order, Quiet, kept_threads, python_words, shown
from fkflow.api.solution import Solution
from fkflow.errors import Interrupted, RankError
from fkflow.execution.progress import Progress, notices
from fkflow.execution.signals import Signals
from fkflow.hamiltonian.system import System
from fkflow.networks.choice import LogPsi, PairDrift
from fkflow.runs import evaluation
from fkflow.runs.evaluation import Array
from fkflow.runs.frozen import measured
from fkflow.runs.session import Session, drawn_seed
from fkflow.training.state import Record


class Training(Iterator[Record]):
    """A training under way, which `fkflow.train` returns: iterate over it, look at the drift, stop when you like.

    Each item is one iteration's Record: `iteration`, `energy`, `error`, `spread` (of the local energy over the walkers, 0
    for an exact drift), `seconds`, `rate`, `damping`, `acceptance`, `undone`. A loop that is left, also by Ctrl-C, can be
    taken up again: the training is as it was after its last finished iteration.
    """

    def __init__(self, order: Order) -> None:
        seed = drawn_seed() if order.seed is None else order.seed
        with kept_threads():
            self._session = Session(
                order.loaded, seed=seed, device=order.device, threads=order.threads, progress=Quiet()
            )
        self._last: dict[str, Any] = self._session.state.state_dict()

    def __next__(self) -> Record:
        """One iteration. Raises NumericalError if the steps of many iterations in a row had to be taken back."""
        session = self._session
        try:
            with kept_threads(session.ready.threads):
                record = session.step()
        except BaseException:
            session.back(self._last)
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
        """The seed of all random numbers: given to `fkflow.train`, it gives the same training."""
        return self._session.ready.seed

    @property
    def system(self) -> System:
        """What is solved."""
        return self._session.recipe.system

    @property
    def net(self) -> LogPsi | PairDrift:
        """The network itself, a PyTorch module; where masses are not 1, it counts in the coordinates √m x."""
        return self._session.ready.net

    @overload
    def drift(self, x: Tensor) -> Tensor: ...
    @overload
    def drift(self, x: Array) -> Array: ...
    def drift(self, x: Tensor | Array) -> Tensor | Array:
        """The drift as it is now, as `Solution.drift`."""
        return evaluation.drift(self._session.ready.model, x)

    @overload
    def log_psi(self, x: Tensor) -> Tensor: ...
    @overload
    def log_psi(self, x: Array) -> Array: ...
    def log_psi(self, x: Tensor | Array) -> Tensor | Array:
        """log ψ as it is now, as `Solution.log_psi`."""
        return evaluation.log_psi(self._session.ready.model, x)

    def solution(self, *, progress: bool | Progress = True) -> Solution:
        """Measure and project the network as it is now, as the recipe says; training can go on afterwards.

        Raises:
            KeyboardInterrupt: Ctrl-C.
            NumericalError: the energy or the weights are not finite.
        """
        session = self._session
        ready = session.ready
        with python_words(), kept_threads(ready.threads), shown(progress) as watcher, notices(watcher):
            with Signals() as signals:
                try:
                    x = session.state.walkers.x
                    measurement = measured(session.recipe, ready.model, x, ready.seed, watcher, signals)
                    assert measurement is not None
                except (Interrupted, RankError) as error:
                    raise error.leaving("the training is unchanged") from None
            return Solution(session.result(measurement), session.recipe)

    def __repr__(self) -> str:
        wanted = self._session.recipe.train.iterations
        return f"<Training of {self.system.key}: {self.iteration} of at most {wanted} iterations, seed {self.seed}>"
