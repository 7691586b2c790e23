"""The exceptions fkflow raises on purpose; each class knows the exit code of the command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self


class FkflowError(Exception):
    """Base of all errors with a message meant for the user: one sentence, no traceback.

    `exit_code` is that of the command line, `resumable` says whether the same command goes on with --resume, `reported`
    whether another process said it first.
    """

    exit_code = 1
    resumable = False
    reported = False

    def with_hint(self, kept: str, resumable: bool = False) -> Self:
        """The same, saying what is left of the run too."""
        self.args = (f"{self}; {kept}",)
        self.resumable = resumable
        return self


class UsageError(FkflowError):
    """Wrong input: a recipe, an option, a file argument, an output folder that cannot be used."""

    exit_code = 2


class RecipeError(UsageError):
    """A recipe (or a ``--set``) that does not describe a run; names file, key, given and allowed."""


class PotentialError(RecipeError):
    """A system whose potential, or what it says of it, is not what the solver needs."""


class StoreError(UsageError):
    """A result or checkpoint file that is missing, damaged, foreign or cannot be written."""


class DamagedError(StoreError):
    """A file that cannot be read as what it was written to be: truncated, or with other bytes than were written."""


class NumericalError(FkflowError):
    """The calculation itself failed: NaN or Inf that could not be undone, a collapsed population."""

    exit_code = 3


class RankError(FkflowError):
    """One of several processes of a run ended or cannot be reached; `lost` are the numbers of those that are gone."""

    exit_code = 3

    def __init__(self, message: str, lost: Sequence[int] = ()) -> None:
        super().__init__(message)
        self.lost = tuple(lost)


class ToleranceError(FkflowError):
    """`compare` found a result outside its tolerance."""

    exit_code = 4


class Interrupted(FkflowError):
    """The user stopped the run (Ctrl-C or SIGTERM); it says what is left of it."""

    exit_code = 130
