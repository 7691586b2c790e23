"""The report of ``fkflow check``: a system as the solver works with it, and what may be wrong."""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict
from typing import Any

import torch

from fkflow.errors import PotentialError
from fkflow.hamiltonian.checks import CheckedSystem, check
from fkflow.hamiltonian.masses import to_unit_masses, to_user_coordinates
from fkflow.hamiltonian.observables import observe
from fkflow.hamiltonian.species import declared_species, particle_masses
from fkflow.hamiltonian.system import System
from fkflow.hamiltonian.user_systems import display_name
from fkflow.hamiltonian.wrapped import is_differentiable
from fkflow.recipe.config import SHORTEST, Recipe, TrainConfig

#: walkers in a timing of the potential, and repetitions
WALKERS, REPEATS = 1024, 5


def check_system(recipe: Recipe) -> CheckedSystem:
    """Check the system of a recipe, also for the way in which the recipe trains. Raises PotentialError."""
    checked = check(recipe.system)
    if not is_differentiable(checked.system) and recipe.train.estimator == "pathwise":
        raise PotentialError(
            f'{display_name(recipe.system)}: {checked.notes[0].split(":")[0]}, which train.estimator = "pathwise" needs: leave '
            "it out"
        )
    check_paths(recipe, checked)
    return checked


def cautions(system: System) -> tuple[str, ...]:
    """What a user of a system may not expect, a sentence each, as the system says it."""
    found: tuple[str, ...] = getattr(system, "cautions", tuple)()
    return found


def check_paths(recipe: Recipe, checked: CheckedSystem) -> None:
    """Raise PotentialError where a recipe asks for paths in a potential that has no values for them."""
    if not (key := _needs_paths(recipe)):
        return
    if checked.landscape.walls is not None:
        why = "V is infinite beyond walls, which no path may cross"
    elif getattr(recipe.system, "contact", None):
        why = "V lacks the contact energies, which paths do not feel"
    else:
        return
    raise PotentialError(f"{display_name(recipe.system)}: {why}, so that {key} cannot be used: leave it out")


def _needs_paths(recipe: Recipe) -> str:
    """The first key of a recipe that asks for paths; "" if there is none."""
    wanted, usual = recipe.train, TrainConfig()
    if recipe.network.kind == "pair_drift":
        return 'network.kind = "pair_drift"'
    if recipe.project.weights == "girsanov":
        return 'project.weights = "girsanov"'
    if wanted.estimator == "pathwise":
        return 'train.estimator = "pathwise"'
    for key in ("steps", "paths", "antithetic"):
        if getattr(wanted, key) != getattr(usual, key):
            return f"train.{key} = {json.dumps(getattr(wanted, key))}"
    return f"train.dt = {wanted.dt:g}" if wanted.dt > SHORTEST else ""


def inspect(recipe: Recipe) -> dict[str, Any]:
    """Check the system of a recipe and describe it in plain numbers and texts; PotentialError if it does not pass."""
    system = recipe.system
    checked = check_system(recipe)
    land, scaled, mass = checked.landscape, to_unit_masses(checked.system), particle_masses(system)
    x = to_user_coordinates(scaled, land.start(WALKERS, torch.Generator().manual_seed(0)))
    took = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        checked.system.potential(x)
        took.append(time.perf_counter() - begun)
    reference, nuclei = system.reference(), system.nuclei()
    bottomless = nuclei is not None or system.point_charges() is not None
    length = land.length / math.exp(0.5 * math.fsum(map(math.log, mass)) / len(mass))
    return {
        "system": display_name(system),
        "parameters": system.parameters(),
        "particles": system.particles,
        "dimensions": system.dimensions,
        "coordinates": system.particles * system.dimensions,
        "identical": system.identical,
        **({"species": [asdict(one) for one in declared]} if (declared := declared_species(system)) else {}),
        "mass": mass[0] if len(set(mass)) == 1 else list(mass),
        "natural_length": length,
        "natural_time": land.length**2,
        "minima": None if bottomless else len(land.minima),
        "lowest": None if bottomless else float(scaled.potential(land.minima[:1])[0]),
        "nuclei": len(nuclei.charges) if nuclei else 0,
        "reference": reference and asdict(reference),
        "unit": system.energy_unit,
        "energy_unit": system.energy_unit,
        "length_unit": system.length_unit,
        "potential_seconds": min(took),
        "potential_walkers": WALKERS,
        "observables": list(observe(checked.system, x[:1])),
        "notes": list(checked.notes),
        "warnings": [*checked.warnings, *cautions(system)],
    }
