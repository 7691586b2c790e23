"""The functions of the package: solve a system, load a run, train in your own loop.

import fkflow

solution = fkflow.solve(fkflow.make_system("harmonic", particles=2, dimensions=1), project={"seconds": 0})
print(solution.energy)
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fkflow.api import arguments
from fkflow.api.saving import warn_of_missing_file
from fkflow.api.solution import Solution
from fkflow.api.training_loop import Training
from fkflow.errors import RecipeError, UsageError
from fkflow.execution.progress import Progress
from fkflow.hamiltonian import user_systems
from fkflow.hamiltonian.registry import find_system
from fkflow.hamiltonian.system import System
from fkflow.recipe import config
from fkflow.results import folders
from fkflow.results.store import read_result
from fkflow.runs.run import execute
from fkflow.training.state import Record


def make_system(name: str, **parameters: Any) -> System:
    """The system of that name (see ``fkflow list``) or FILE.py:CLASS, with the given parameters.

    >>> import fkflow
    >>> chain = fkflow.make_system("chain", particles=3, k=2.0)
    >>> chain.parameters()
    {'particles': 3, 'omega0': 1.0, 'k': 2.0}
    >>> print(f"{chain.reference().energy:.6f}")
    2.688901

    Raises:
        RecipeError: there is no such system or parameter, or a value is not allowed.
    """
    try:
        model = user_systems.load(name)[0] if ":" in name else find_system(name)
    except (KeyError, ValueError) as error:
        raise RecipeError(f"{config.shorten(repr(name))} is not allowed: {error.args[0]}") from None
    return config.make_system(model, arguments.plain_sections({"system": parameters}, None)["system"])


def solve(
    system: System | str | Path,
    *,
    network: Mapping[str, Any] | None = None,
    train: Mapping[str, Any] | None = None,
    measure: Mapping[str, Any] | None = None,
    project: Mapping[str, Any] | None = None,
    thermal: Mapping[str, Any] | None = None,
    spectrum: Mapping[str, Any] | None = None,
    target_error: float | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    force: bool = False,
    seed: int | None = None,
    threads: int | None = None,
    device: str = "auto",
    progress: bool | Progress = True,
    callback: Callable[[Record], object] | None = None,
) -> Solution:
    """Find the ground state of a system: train, measure, project. The same as ``fkflow run``, with the same numbers.

    >>> import fkflow
    >>> trap = fkflow.make_system("harmonic", particles=2, dimensions=1)
    >>> quick = {"walkers": 256, "seconds": 5.0}
    >>> solution = fkflow.solve(
    ...     trap, train={"iterations": 5, "walkers": 256}, measure=quick, project={"seconds": 0}, seed=1, progress=False
    ... )
    >>> print(f"{solution.energy.value:.3f}", solution.reference.energy)
    1.000 1.0
    >>> solution.drift(solution.samples).shape == solution.samples.shape
    True

    Args:
        system: a system, of a class of your own or from `make_system`; or, as ``fkflow run`` takes it, the name of a recipe
            (``"h2"``, ``"mine.toml"``), of a system (with its defaults), or of a finished run to repeat.
        network: keys of the recipe's section [network] with their values, such as ``{"hidden": 32}``.
        train: the same of [train], such as ``{"iterations": 200}``; ``fkflow init`` lists all keys.
        measure: the same of [measure].
        project: the same of [project]; ``{"seconds": 0}`` leaves the projection out.
        thermal: the same of [thermal]; ``{"temperature": 0.5}`` gives the free energy and more at that temperature, or at a
            list of them, in place of the ground state: see `Solution.thermal`.
        spectrum: the same of [spectrum]; ``{"states": 4}`` finds excited levels too: see `Solution.spectrum`.
        target_error: error of the energy to reach; the work is chosen to suit it.
        out: run folder for the result and for checkpoints; left out, nothing is written.
        resume: whether to go on with what is in `out`: from a checkpoint, or with a finished run where the budget is larger;
            a finished run of the same budget is given back as it is, and without a run one begins.
        force: whether to replace what another run left in `out`; its result stays until the new one is written.
        seed: seed of all random numbers; the same seed and threads give the same numbers.
        threads: CPU threads; left out, as many as suit.
        device: "auto", "cpu" or "cuda".
        progress: whether to show a bar (in notebooks and logs: lines), or a `Progress` object.
        callback: a function that is called with the Record of each training iteration (`Training` says what it has), for
            loggers such as TensorBoard; an error that it raises ends the run.

    Raises:
        UsageError: wrong input, in one sentence: RecipeError for keys and values, PotentialError for the potential.
        NumericalError: the calculation itself failed.
        KeyboardInterrupt: Ctrl-C; with `out`, the checkpoint of the last finished iteration is there.
    """
    with (
        arguments.python_errors(),
        arguments.torch_threads(),
        arguments.open_progress(progress) as watcher,
        contextlib.ExitStack() as stack,
    ):
        folder = None if out is None else Path(out).expanduser()
        context = arguments.run_context(
            system,
            {
                "network": network,
                "train": train,
                "measure": measure,
                "project": project,
                "thermal": thermal,
                "spectrum": spectrum,
            },
            watcher,
            target_error=target_error,
            seed=seed,
            threads=threads,
            device=device,
            out=folder,
            resume=resume,
            callback=callback,
        )
        if folder is not None:
            stack.enter_context(folders.claim_folder(folder, resume, force=force))
        elif resume or force:
            does = "resume=True goes on from the checkpoint of" if resume else "force=True replaces the run in"
            raise UsageError(f"{does} a folder: give it as out")
        result = execute(context)
    assert result is not None, "there is one process"
    if out is not None:
        warn_of_missing_file(result)
    return Solution(result, context.recipe, explored=context.explored)


def train(
    system: System | str | Path,
    *,
    network: Mapping[str, Any] | None = None,
    train: Mapping[str, Any] | None = None,
    measure: Mapping[str, Any] | None = None,
    project: Mapping[str, Any] | None = None,
    target_error: float | None = None,
    seed: int | None = None,
    threads: int | None = None,
    device: str = "auto",
) -> Training:
    """Train in your own loop: an iterator with one Record an iteration, which also gives the current drift.

    >>> import fkflow
    >>> well = fkflow.make_system("quartic")
    >>> training = fkflow.train(well, train={"iterations": 30, "walkers": 256}, seed=1)
    >>> for step in training:
    ...     if step.spread < 0.2:
    ...         break
    >>> step.iteration < 30
    True

    ``training.solution()`` then measures as `solve` does. Arguments and errors are those of `solve`.
    """
    with arguments.python_errors():
        return Training(
            arguments.run_context(
                system,
                {"network": network, "train": train, "measure": measure, "project": project},
                arguments.Quiet(),
                target_error=target_error,
                seed=seed,
                threads=threads,
                device=device,
            )
        )


def load(run: str | Path, *, system: System | type[System] | None = None) -> Solution:
    """Read a finished run, a run folder or its result.h5. The network is rebuilt when `drift` or `log_psi` is first called.

    Args:
        run: a folder or file that ``fkflow run`` or `solve` wrote.
        system: the system of the run, or its class, if that is in no file or its file has moved.

    Raises:
        StoreError: there is no such run, or it is damaged.
        UsageError: `system` is not that of the run.
    """
    with arguments.python_errors():
        result = read_result(Path(run).expanduser())
        solution = Solution(result, system=system)
        if system is not None:
            # raises now if it does not fit
            solution.system  # noqa: B018
        return solution
