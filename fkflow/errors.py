"""The exceptions fkflow raises on purpose; each class knows the exit code of the command line."""


class FkflowError(Exception):
    """Base of all errors with a message meant for the user: one sentence, no traceback."""

    exit_code = 1


class UsageError(FkflowError):
    """Wrong input: a recipe, an option, a file argument, an output folder that cannot be used."""

    exit_code = 2


class RecipeError(UsageError):
    """A recipe (or a ``--set``) that does not describe a run; names file, key, given and allowed."""


class StoreError(UsageError):
    """A result or checkpoint file that is missing, damaged, foreign or cannot be written."""


class NumericalError(FkflowError):
    """The calculation itself failed: NaN or Inf that could not be undone, a collapsed population."""

    exit_code = 3


class ToleranceError(FkflowError):
    """`compare` found a result outside its tolerance."""

    exit_code = 4


class Interrupted(FkflowError):
    """The user stopped the run (Ctrl-C or SIGTERM); a checkpoint was written."""

    exit_code = 130
