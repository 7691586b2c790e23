"""`fkflow.propagate`: e^(−tH) from Python."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fkflow.api import arguments
from fkflow.errors import UsageError
from fkflow.execution.progress import Progress
from fkflow.hamiltonian.system import System
from fkflow.results import folders
from fkflow.results.propagation import Propagation
from fkflow.results.propagation_store import claim_propagation
from fkflow.runs.propagate import execute
from fkflow.runs.propagation_request import Request


def propagate(
    system: System | str | Path,
    psi: str | None = None,
    *,
    times: float | Sequence[float],
    gaussian: tuple[float | Sequence[float], float] | None = None,
    run: str | Path | None = None,
    points: Any = None,
    grid: Any = None,
    kernels: Any = None,
    survival: bool = False,
    drift: int = 0,
    paths: int | None = None,
    iterations: int = 40,
    out: str | Path | None = None,
    force: bool = False,
    seed: int | None = None,
    threads: int | None = None,
    progress: bool | Progress = True,
) -> Propagation:
    """Apply e^(−tH) to a function ψ, by open paths with a learned drift and exact weights. The same as ``fkflow propagate``.

    >>> import fkflow
    >>> trap = fkflow.make_system("harmonic", particles=1, dimensions=1)
    >>> found = fkflow.propagate(trap, "exp(-x**2/2)", times=1.0, points=[[0.0]], paths=2000, seed=1, progress=False)
    >>> print(f"{found.psi.values[0, 0]:.2f}")
    0.61

    Args:
        system: as `fkflow.solve` takes it.
        psi: a formula in x (in a plane x, y; of several particles x1, x2, … or x1, y1, …), such as ``"exp(-(x-1)**2)"``.
        times: imaginary times above 0.
        gaussian: instead of a formula, the centre and width of exp(−|x − centre|²/2 width²).
        run: instead, a run whose ground state is taken.
        points: places (P, N·D) or (P, N, D).
        grid: instead, one axis (n,) for each of one or two coordinates. Left out too, a grid that suits.
        kernels: pairs of places (K, 2, N·D) between which ⟨y|e^(−tH)|x⟩ is wanted.
        survival: whether ⟨ψ|e^(−tH)|ψ⟩ is wanted.
        drift: the number of times before the last one at which ∇ log(e^(−(t_end − t)H) ψ)/m is wanted.
        paths: paths of a value; left out, as many as suit.
        iterations: most iterations of the training.
        out: folder for propagation.h5; left out, nothing is written.
        force: whether to replace a propagation in `out`.
        seed, threads, progress: as for `fkflow.solve`.

    Raises:
        UsageError: wrong input, or a system that has no temperature either.
        NumericalError: the calculation itself failed.
    """
    with (
        arguments.python_errors(),
        arguments.torch_threads(),
        arguments.open_progress(progress) as watcher,
        contextlib.ExitStack() as stack,
    ):
        folder = None if out is None else Path(out).expanduser()
        context = arguments.run_context(
            system, {}, watcher, target_error=None, seed=seed, threads=threads, device="cpu", out=folder
        )
        shape = int(context.recipe.system.particles), int(context.recipe.system.dimensions)
        arguments.whole_number("paths", paths, 50, 10**7)
        arguments.whole_number("iterations", iterations, 1, 10**6)
        arguments.whole_number("drift", drift, 0, 1000)
        request = Request(
            tuple(_floats("times", times).reshape(-1).tolist()),
            psi,
            None if gaussian is None else _gaussian(gaussian),
            None if run is None else str(run),
            None if points is None else _places("points", points, shape, 1),
            () if grid is None else tuple(_axes(grid)),
            None if kernels is None else _places("kernels", kernels, shape, 2),
            survival,
            drift,
            paths,
            iterations,
        )
        if folder is not None:
            stack.enter_context(folders.claim_folder(folder, False, claim_propagation, force=force))
        return execute(context, request)


def _floats(name: str, value: Any) -> np.ndarray:
    try:
        return np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        raise UsageError(f"{name} is not allowed: it must be numbers") from None


def _gaussian(value: Any) -> tuple[tuple[float, ...], float]:
    try:
        centre, width = value
        return tuple(np.atleast_1d(np.asarray(centre, dtype=float)).ravel().tolist()), float(width)
    except (TypeError, ValueError):
        raise UsageError("gaussian is not allowed: it must be a centre and a width") from None


def _axes(grid: Any) -> list[np.ndarray]:
    axes = [grid] if np.ndim(grid[0]) == 0 else list(grid)
    return [_floats("grid", axis).ravel() for axis in axes]


def _places(name: str, value: Any, shape: tuple[int, int], leading: int) -> np.ndarray:
    """Places (…, N, D) of numbers (…, N·D) or (…, N, D)."""
    array, (n, dim) = _floats(name, value), shape
    if array.ndim == leading and n * dim == 1:
        array = array[..., None]
    if array.shape[leading:] not in ((n * dim,), (n, dim)):
        raise UsageError(f"{name} has the shape {array.shape}: a place has {n * dim} numbers")
    return array.reshape(*array.shape[:leading], n, dim)
