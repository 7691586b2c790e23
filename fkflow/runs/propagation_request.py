"""What `fkflow propagate` is asked for, checked, and the ψ that it names."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fkflow.errors import UsageError
from fkflow.hamiltonian.masses import to_solver_coordinates
from fkflow.results.store import read_result
from fkflow.runs import evaluation
from fkflow.runs.model import restore_model
from fkflow.thermal.formulas import Formula, Gaussian, Signed
from fkflow.thermal.propagate import Wave

#: most coordinates of a grid, and most places and times
GRID, MOST = 2, 100_000


@dataclass(frozen=True)
class Request:
    """What is asked: ψ as a `formula`, a `gaussian` (centre, width) or the ground state of `run`, or none; imaginary times.

    Values are wanted at the `points` (P, N, D), on the `grid` of one axis a coordinate, or, with ψ and nothing else, on one
    that suits; kernels between `ends` (K, 2, N, D); `survival` amplitudes; the drift at so many `frames`. `paths` of a value
    are as many as suit where None.
    """

    times: tuple[float, ...]
    formula: str | None = None
    gaussian: tuple[tuple[float, ...], float] | None = None
    run: str | None = None
    points: np.ndarray | None = None
    grid: tuple[np.ndarray, ...] = ()
    ends: np.ndarray | None = None
    survival: bool = False
    frames: int = 0
    paths: int | None = None
    iterations: int = 40


def check_request(request: Request, shape: tuple[int, int]) -> None:
    """Raise UsageError, in one sentence, for a request that makes no sense for N particles in D dimensions."""
    n_d = math.prod(shape)
    if not request.times:
        raise UsageError("there is no time: give --time T, an imaginary time above 0; several are allowed")
    for t in request.times:
        if not 0 < t < 1e9:
            raise UsageError(f"--time {t:g} is not allowed: it must be a number above 0")
    if len(set(request.times)) < len(request.times):
        raise UsageError("--time has the same time twice: leave one out")
    given = [name for name in ("formula", "gaussian", "run") if getattr(request, name) is not None]
    if len(given) > 1:
        raise UsageError("psi is given twice: choose one of --psi, --gaussian and --psi-run")
    if not given and request.ends is None:
        raise UsageError(
            'there is nothing to propagate: give --psi "exp(-x**2)", --gaussian CENTRE:WIDTH, --psi-run RUN or --kernel X:Y'
        )
    if not given and (request.survival or request.frames or request.points is not None or request.grid):
        raise UsageError("places, survival amplitudes and drifts need a function: give --psi, --gaussian or --psi-run")
    if request.points is not None and request.grid:
        raise UsageError("places are given twice: choose one of --point and --grid")
    for name, array, ndim in (("--point", request.points, 1), ("--kernel", request.ends, 2)):
        if array is None:
            continue
        if array.ndim != ndim + 2 or array.shape[-2:] != shape:
            raise UsageError(
                f"{name} must have {n_d} numbers for a place: {shape[0]} particles in {shape[1]} dimensions"
            )
        if not np.isfinite(array).all() or not 0 < len(array) <= MOST:
            raise UsageError(f"{name} must be 1 to {MOST} places of finite numbers")
    if request.grid and (len(request.grid) != n_d or n_d > GRID):
        few = f"here are {n_d}" if n_d > GRID else f"here is one axis for each of {n_d} to be given"
        raise UsageError(f"a grid has 1 or {GRID} coordinates, and {few}: --point takes any number")
    if request.grid and not 0 < math.prod(map(len, request.grid)) <= MOST:
        raise UsageError(f"a grid has 1 to {MOST} places")
    if request.gaussian is not None:
        centre, width = request.gaussian
        if len(centre) != n_d or not all(map(math.isfinite, centre)):
            raise UsageError(
                f"--gaussian needs a centre of {n_d} numbers: {shape[0]} particles in {shape[1]} dimensions"
            )
        if not 0 < width < 1e9:
            raise UsageError(f"--gaussian: the width {width:g} is not allowed: it must be a number above 0")


def wave_of(request: Request, shape: tuple[int, int]) -> Wave | None:
    if request.formula is not None:
        return Formula(request.formula, *shape)
    if request.gaussian is not None:
        centre, width = request.gaussian
        return Gaussian(torch.tensor(centre, dtype=torch.float64).view(shape), width)
    if request.run is None:
        return None
    result = read_result(Path(request.run).expanduser())
    if (result.particles, result.dimensions) != shape:
        raise UsageError(
            f"{result.run} has {result.particles} particles in {result.dimensions} dimensions, and the system has "
            f"{shape[0]} in {shape[1]}: a ground state can be propagated by a system of its shape"
        )
    model = restore_model(result)
    evaluation.log_psi(model, np.zeros((1, *shape)))

    def ground(x: Tensor) -> Signed:
        if torch.is_grad_enabled() and x.requires_grad:
            log = model.net(to_solver_coordinates(model.system, x))
        else:
            log = evaluation.log_psi(model, x)
        return torch.ones_like(log), log

    return ground


def words_of(request: Request) -> str:
    """What ψ is, in words."""
    if request.gaussian is not None:
        centre, width = request.gaussian
        return f"Gaussian of width {width:g} at {', '.join(f'{c:g}' for c in centre)}"
    return f"ground state of {request.run}" if request.run is not None else request.formula or ""
