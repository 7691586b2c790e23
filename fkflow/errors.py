"""The exceptions of fkflow, each with the exit code of the command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self


class FkflowError(Exception):
    """Base of all errors with a message for the user: one sentence, no traceback.

    `exit_code` is that of the command line. `resumable`: the same command goes on with --resume. `reported`: another process
    has printed it. `on_all_ranks`: all processes of the run raise it together.
    """

    exit_code = 1
    resumable = False
    reported = False
    on_all_ranks = False

    def with_hint(self, hint: str, resumable: bool = False) -> Self:
        """Add what the user can do, or what is left of the run, to the message."""
        self.args = (f"{self}; {hint}",)
        self.resumable = resumable
        return self


class UsageError(FkflowError):
    """Wrong input: a recipe, an option, a file argument, an output folder that cannot be used."""

    exit_code = 2


class RecipeError(UsageError):
    """A recipe (or a ``--set``) that does not describe a run; names file, key, given and allowed."""


class PotentialError(RecipeError):
    """A system whose potential or declarations the solver cannot use."""


class StoreError(UsageError):
    """A result or checkpoint file that is missing, damaged, foreign or cannot be written."""


class DamagedError(StoreError):
    """A file that is truncated or has other bytes than were written."""


class NumericalError(FkflowError):
    """The calculation failed: NaN or Inf after all retries, a collapsed population."""

    exit_code = 3


class RankError(FkflowError):
    """One of several processes of a run ended or cannot be reached; `lost` are their ranks."""

    exit_code = 3

    def __init__(self, message: str, lost: Sequence[int] = ()) -> None:
        super().__init__(message)
        self.lost = tuple(lost)


class ToleranceError(FkflowError):
    """`compare` found a result outside its tolerance."""

    exit_code = 4


class Interrupted(FkflowError):
    """The user stopped the run (Ctrl-C or SIGTERM); the message says what is left of it."""

    exit_code = 130
