"""The file of a solution."""

from __future__ import annotations

import contextlib
import warnings
from pathlib import Path

from fkflow.api.arguments import python_errors
from fkflow.errors import UsageError
from fkflow.results import folders, store
from fkflow.results.paths import RESULT
from fkflow.results.result import Result


def save_result(result: Result, path: Path, *, force: bool) -> tuple[Result, Path]:
    """Write a run folder, or a file whose name ends in .h5; the result that knows its file, and that file.

    Raises UsageError where there is a file already, unless `force` is set, or the folder cannot be written.
    """
    with python_errors(), contextlib.ExitStack() as stack:
        if path.suffix == ".h5":
            if path.exists() and not force:
                raise UsageError(f"{path} exists already: choose another file, or write over it with force=True")
            folders.make_folder(path.parent)
        else:
            stack.enter_context(folders.claim_folder(path, False, force=force))
            path = path / RESULT
        return store.save_result(result, path), path


def warn_of_missing_file(result: Result) -> None:
    """Warn if the class of the system is in no file: the drift cannot be restored from the result alone."""
    definition = result.definition
    if definition is not None and definition.path is None:
        name = definition.name
        warnings.warn(
            f"{name} is a class of this program, in no file: {result.run} keeps energies, densities and plots, but its drift "
            f"and log_psi need the class again: fkflow.load({result.run!r}, system={name})",
            stacklevel=3,
        )
