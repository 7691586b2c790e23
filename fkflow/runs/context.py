"""The context of a run: recipe, seed, device, folder, progress, signals and checkpoints, one object for all stages."""

from __future__ import annotations

import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fkflow.errors import StoreError, UsageError
from fkflow.execution import ranks
from fkflow.execution.progress import Progress, Silent, show_warnings
from fkflow.execution.signals import Signals
from fkflow.hamiltonian.user_systems import without_folders
from fkflow.recipe.config import Loaded, Recipe
from fkflow.recipe.old_keys import current_text
from fkflow.recipe.toml import to_toml
from fkflow.results.checkpoints import CheckpointWriter
from fkflow.results.paths import CHECKPOINT
from fkflow.results.result import Result
from fkflow.results.spectrum import Spectrum
from fkflow.runs.budgets import first_change

if TYPE_CHECKING:
    from fkflow.runs.exploration import Explored
    from fkflow.training.state import Record


def draw_seed() -> int:
    """A random seed."""
    return int(np.random.SeedSequence().generate_state(1)[0])


class RunContext:
    """What all stages of a run share. All ranks must make it together.

    Args:
        loaded: the recipe.
        progress: what shows how far the run is; left out, nothing.
        seed: seed of all random numbers; left out, a random one.
        device: "auto", "cpu" or "cuda"; `model.prepare` replaces "auto" by its choice.
        threads: CPU threads; left out, `model.prepare` chooses.
        out: run folder; left out, nothing is written.
        resume: whether to go on with what is in `out`: a checkpoint, a finished run, or nothing.
        callback: called with the Record of each training iteration, on rank 0.
        signals: those of a caller that handles signals already because it has more to do than this run.
    """

    def __init__(
        self,
        loaded: Loaded,
        progress: Progress | None = None,
        *,
        seed: int | None = None,
        device: str = "auto",
        threads: int | None = None,
        out: Path | None = None,
        resume: bool = False,
        callback: Callable[[Record], object] | None = None,
        signals: Signals | None = None,
    ) -> None:
        self.began = time.time()
        self.loaded = loaded
        self.progress: Progress = Silent() if progress is None else progress
        self.given_seed = seed
        self.seed = ranks.broadcast(draw_seed() if seed is None else seed)
        self.device, self.threads = device, threads
        self.out, self.resume = out, resume
        self.callback = callback
        self.checkpoints = CheckpointWriter(None if out is None else out / CHECKPOINT)
        #: the checkpoint from which the run continues
        self.saved: dict[str, Any] | None = None
        #: the system with the scale of its potential, once it was explored
        self.explored: Explored | None = None
        #: seconds of measurements that were dropped because training went on
        self.measured = 0.0
        #: levels that were found before the projection
        self.levels: Spectrum | None = None
        #: the finished run whose training goes on
        self.finished: Result | None = None
        self.signals = Signals() if signals is None else signals
        self._handlers = self.signals if signals is None else nullcontext()

    @property
    def recipe(self) -> Recipe:
        """What is computed, and how."""
        return self.loaded.recipe

    @contextmanager
    def listen(self) -> Iterator[None]:
        """Handle signals, and show the warnings that the package logs."""
        with self._handlers, show_warnings(self.progress):
            yield

    def tell(self, notes: Sequence[str], warnings: Sequence[str]) -> None:
        """Show what was noted about the system."""
        for kind, sentences in (("note", notes), ("warning", warnings)):
            for sentence in sentences:
                self.progress.log(f"{kind}: {sentence}")

    def load_checkpoint(self) -> None:
        """Read the checkpoint in `out` into `saved`; the run takes its seed.

        Its budgets may be others (`budgets.BUDGETS`). Raises StoreError if it cannot be read, UsageError if it belongs to
        another recipe, seed or number of ranks.
        """
        path = self.checkpoints.path
        assert path is not None, "a run without a folder has no checkpoint"
        saved = ranks.broadcast(self.checkpoints.load() if ranks.rank() == 0 else {})
        try:
            before, seed = tomllib.loads(current_text(saved["recipe"])), int(saved["seed"])
        except (KeyError, TypeError, ValueError):
            raise StoreError(f"{path} is not the checkpoint of a run") from None
        if (changed := first_change(before, tomllib.loads(self.plain_recipe()))) is not None:
            raise UsageError(
                f"{path} belongs to another recipe (there: {changed}): resume with the same recipe and --set, "
                "or choose another --out"
            )
        if self.given_seed not in (None, seed):
            raise UsageError(f"--seed {self.given_seed}: the run to resume has seed {seed}; leave --seed out")
        if (world := saved.get("ranks", 1)) != ranks.count():
            raise UsageError(
                f"{path} was written by {world} ranks: resume with as many (--processes {world}), not {ranks.count()}"
            )
        self.saved, self.seed = saved, seed
        if self.checkpoints.damaged:
            self.progress.log(f"warning: {self.checkpoints.damaged}")

    def saved_stages(self) -> dict[str, Any]:
        """This rank's part of the saved measurement and projection, by the names of the stages; empty without any."""
        stages = self.saved and self.saved.get("frozen")
        return stages[ranks.rank()] if stages else {}

    def save(self, state: dict[str, Any], iteration: int) -> None:
        """Write a checkpoint. A disk that refuses it is a warning: it may have room for the next one, or for the result."""
        self.checkpoints.update(state, iteration)
        if problem := self.checkpoints.save():
            self.progress.log(f"warning: {problem}; the run goes on and tries again later")

    def plain_recipe(self) -> str:
        """The recipe with every default, by which a checkpoint is recognised wherever the file of its system lies."""
        return to_toml(without_folders(self.recipe.resolved()))
