"""The spectrum of a finished run: computed from its network and walkers, stored in its file; its functions made again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from fkflow.errors import Interrupted, NumericalError, StoreError, UsageError
from fkflow.hamiltonian.masses import to_solver_coordinates
from fkflow.networks.log_psi import LogPsi
from fkflow.recipe.config import Loaded
from fkflow.results import store
from fkflow.results.result import Result
from fkflow.results.spectrum import Spectrum
from fkflow.runs.context import RunContext
from fkflow.runs.evaluation import Positions, as_given, solver_coordinates
from fkflow.runs.model import Model, load_weights
from fkflow.runs.rerun import recipe_of
from fkflow.runs.session import prepare
from fkflow.spectrum.levels import CHECKED, Question, find_spectrum
from fkflow.spectrum.sectors import SectorFunctions, sectors_of

#: states that are computed where nothing is said, and at most
STATES, MOST_STATES = 6, 100
#: relative difference of a function's values from those in the file that counts as rounding
ROUNDING = 1e-6


def recipe_for(result: Result, overrides: Sequence[str]) -> Loaded:
    """The recipe of a finished run with other keys of [spectrum]. Raises UsageError for a key of another section."""
    for text in overrides:
        if not text.strip().startswith(("spectrum.", "system.file")):
            raise UsageError(f"--set {text}: only keys of [spectrum] can change for the levels of a finished run")
    return recipe_of(result, overrides)


def add_spectrum(result: Result, model: Model, context: RunContext) -> Result:
    """The result of a run with the spectrum that its recipe asks for, written to its file if it has one.

    A signal, or a system without resolved levels, leaves the result as it is. Raises Interrupted after a signal.
    """
    try:
        found = _with_spectrum(result, model, context)
    except (NumericalError, UsageError) as error:
        context.progress.log(f"warning: no spectrum: {error}")
        return result
    except KeyboardInterrupt:
        raise Interrupted(
            f"stopped in the spectrum; {result.file} has the ground state: fkflow spectrum {result.run} computes levels"
        ) from None
    return found if result.path is None else store.save_result(found, result.path)


def compute_spectrum(result: Result, context: RunContext) -> Result:
    """The finished run `result` with the spectrum that the section [spectrum] of the context's recipe asks for.

    It replaces that in its file, if there is one. Raises UsageError for a run without a log ψ or a system without such levels,
    NumericalError if no level is resolved, Interrupted after a signal.
    """
    with context.listen():
        model = load_weights(prepare(context), context.recipe, result)
        try:
            found = _with_spectrum(result, model, context)
        except KeyboardInterrupt:
            raise Interrupted(f"stopped; {result.file} is unchanged") from None
    return found if result.path is None else store.save_result(found, result.path)


def _with_spectrum(result: Result, model: Model, context: RunContext) -> Result:
    """The result with its spectrum; errors as `compute_spectrum` says, KeyboardInterrupt after a signal."""
    if result.failed:
        raise UsageError(f"{result.run} failed: there is no ground state whose excitations could be found")
    if not isinstance(model.net, LogPsi):
        raise UsageError(f"{result.run} has a vector drift, which has no log psi: train with another network.kind")
    if model.net.box is not None:
        raise UsageError(f"{result.run} is in a periodic box: levels are found in open space only")
    wanted = context.recipe.spectrum
    x = torch.as_tensor(result.measurement.samples, dtype=torch.float64)
    question = Question(wanted.states or STATES, wanted.functions, wanted.statistics == "fermi", context.seed)
    context.progress.stage("spectrum", None)
    with context.signals.raise_at_once():
        found = find_spectrum(
            model.net.cpu(),
            model.system,
            model.landscape,
            to_solver_coordinates(model.system, x),
            question,
            result.energy,
            result.measurement.variational.estimate,
        )
    return replace(result, spectrum=found, seconds={**result.seconds, "spectrum": found.seconds})


def level_function(result: Result, model: Model, index: int, x: Positions) -> Positions:
    """The function f (…) of level `index` at positions x (…, N, D), in the user's coordinates.

    Raises StoreError if this version makes other random functions than the one that wrote the file.
    """
    spectrum = result.spectrum
    assert spectrum is not None
    functions, coefficients = _functions(model, spectrum, index)
    sample = torch.from_numpy(spectrum.sample[:CHECKED])
    values = functions(sample).value.numpy() @ coefficients
    if np.abs(values - spectrum.check[index]).max() > ROUNDING * np.abs(spectrum.check[index]).max():
        raise StoreError(
            f"{result.file} has a spectrum of another version: fkflow spectrum {result.run} makes it again"
        )
    z = solver_coordinates(model, x)
    found = torch.cat([functions(part).value @ torch.from_numpy(coefficients) for part in z.split(4096)])
    return as_given(found.reshape(x.shape[:-2]), x)


def _functions(model: Model, spectrum: Spectrum, index: int) -> tuple[SectorFunctions, np.ndarray]:
    """The functions of a level's sector and its coefficients."""
    level, sample = spectrum.levels[index], torch.from_numpy(spectrum.sample)
    fermi = spectrum.statistics == "fermi"
    known = sectors_of(model.system, model.landscape, sample, spectrum.functions, spectrum.decay, fermi)
    (sector,) = (one for one in known if one.name == level.sector)
    return sector.functions(sample, spectrum.seed), level.coefficients
