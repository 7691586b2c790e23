"""The spectrum of a finished run: computed from its network and walkers, stored in its file; its functions made again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from fkflow.errors import Interrupted, NumericalError, StoreError, UsageError
from fkflow.execution import ranks
from fkflow.hamiltonian.masses import to_solver_coordinates
from fkflow.measurement.variational import VariationalEstimator
from fkflow.networks.log_psi import LogPsi
from fkflow.recipe.config import Loaded
from fkflow.results import store
from fkflow.results.result import Result
from fkflow.results.spectrum import Spectrum
from fkflow.runs.context import RunContext
from fkflow.runs.evaluation import Positions, as_given, solver_coordinates
from fkflow.runs.model import Model, load_weights, prepare
from fkflow.runs.rerun import recipe_of
from fkflow.spectrum.growth import growth_of, state_of
from fkflow.spectrum.images import SectorFunctions
from fkflow.spectrum.levels import CHECKED, Question, find_spectrum
from fkflow.spectrum.sectors import sectors_of
from fkflow.statistics import Estimate

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


def find_gap_first(model: Model, measuring: VariationalEstimator, context: RunContext) -> None:
    """Compute the levels that a recipe asks for before the projection, which takes the gap from them.

    They wait in the context for the result. The relaxation keeps its own gap, a bound from above to the same number, where the
    recipe asks for none, or for those of fermions, where several ranks share the run, and where no level is found.
    """
    wanted, relaxation = context.recipe.spectrum, measuring.relaxation
    if not wanted.states or wanted.statistics == "fermi" or relaxation is None or ranks.count() > 1:
        return
    energy = measuring.estimate()
    try:
        context.levels = _find(model, measuring.samples().cpu(), energy, energy, context)
    except (NumericalError, UsageError):
        return  # said once the result is there
    finally:
        model.net.to(context.device)
    gap = context.levels.levels[0].gap.value
    if gap > 0:
        measuring.relaxation = replace(relaxation, gap=gap)


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
    if context.levels is not None:
        found = replace(context.levels, ground=result.energy)
    else:
        x = torch.as_tensor(result.measurement.samples, dtype=torch.float64)
        measured = result.measurement.variational.estimate
        found = _find(model, to_solver_coordinates(model.system, x), result.energy, measured, context)
    measurement = result.measurement
    if found.statistics == "bose" and found.levels[0].gap.value > 0:
        measurement = replace(measurement, gap=found.levels[0].gap.value)
    seconds = {**result.seconds, "spectrum": found.seconds}
    return replace(result, measurement=measurement, spectrum=found, seconds=seconds)


def _find(model: Model, x: Tensor, ground: Estimate, variational: Estimate, context: RunContext) -> Spectrum:
    """The spectrum that the recipe asks for, from walkers x (B, N, D) of ψ² in the solver's coordinates."""
    if not isinstance(model.net, LogPsi):
        raise UsageError("a vector drift has no log psi, and no levels: train with another network.kind")
    wanted = context.recipe.spectrum
    question = Question(wanted.states or STATES, wanted.functions, wanted.statistics == "fermi", context.seed)
    context.progress.stage("spectrum", None)
    with context.signals.raise_at_once():
        return find_spectrum(model.net.cpu(), model.system, model.landscape, x, question, ground, variational)


def level_function(result: Result, model: Model, index: int, x: Positions) -> Positions:
    """The function f (…) of level `index` at positions x (…, N, D), in the user's coordinates: f ψ is the level.

    Where levels were made of ψ with the symmetries of V, which the network may lack a little, f has their ratio in it.
    Raises StoreError if this version makes other random functions than the one that wrote the file.
    """
    spectrum = result.spectrum
    assert spectrum is not None
    assert isinstance(model.net, LogPsi)
    symmetric = state_of(model.net, model.system, model.landscape, torch.from_numpy(spectrum.sample))
    functions, coefficients = _functions(model, symmetric, spectrum, index), spectrum.levels[index].coefficients
    if functions is None or not _are_same(functions, coefficients, spectrum, index):
        raise StoreError(
            f"{result.file} has a spectrum of another version: fkflow spectrum {result.run} makes it again"
        )
    z = solver_coordinates(model, x)
    found = torch.cat([functions.values(part) @ torch.from_numpy(coefficients) for part in z.split(4096)])
    if symmetric is not None:
        ratios = [symmetric.value(part) - model.net.value(part) for part in z.split(4096)]
        found = found * torch.cat(ratios).exp()
    return as_given(found.reshape(x.shape[:-2]), x)


def _functions(model: Model, symmetric: LogPsi | None, spectrum: Spectrum, index: int) -> SectorFunctions | None:
    """The functions of a level's sector, for the `symmetric` ψ if there is one; None if there is no such sector."""
    sample, fermi = torch.from_numpy(spectrum.sample), spectrum.statistics == "fermi"
    assert isinstance(model.net, LogPsi)
    growth = growth_of(model.net, symmetric, model.landscape, sample)
    known = sectors_of(model.system, model.landscape, sample, spectrum.functions, spectrum.decay, fermi, growth)
    sector = next((one for one in known if one.name == spectrum.levels[index].sector), None)
    return None if sector is None else sector.functions(sample, spectrum.seed)


def _are_same(functions: SectorFunctions, coefficients: np.ndarray, spectrum: Spectrum, index: int) -> bool:
    """Whether a level's function has the values that the file keeps."""
    values, expected = functions.values(torch.from_numpy(spectrum.sample[:CHECKED])).numpy(), spectrum.check[index]
    if values.shape[1] != len(coefficients):
        return False
    return bool(np.abs(values @ coefficients - expected).max() <= ROUNDING * np.abs(expected).max())
