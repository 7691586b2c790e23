"""The report of ``fkflow check``: a system as the solver works with it, and what may be wrong."""

from __future__ import annotations

import math
import time
from dataclasses import asdict
from typing import Any

import torch

from fkflow.hamiltonian.checks import check
from fkflow.hamiltonian.masses import to_unit_masses, to_user_coordinates
from fkflow.hamiltonian.user_systems import display_name, particle_masses
from fkflow.recipe.config import Recipe

#: walkers in a timing of the potential, and repetitions
WALKERS, REPEATS = 1024, 5


def inspect(recipe: Recipe) -> dict[str, Any]:
    """Check the system of a recipe and describe it in plain numbers and texts; PotentialError if it does not pass."""
    system = recipe.system
    checked = check(system)
    land, scaled, mass = checked.landscape, to_unit_masses(system), particle_masses(system)
    x = to_user_coordinates(scaled, land.start(WALKERS, torch.Generator().manual_seed(0)))
    took = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        system.potential(x)
        took.append(time.perf_counter() - begun)
    reference, nuclei = system.reference(), system.nuclei()
    length = land.length / math.exp(0.5 * math.fsum(map(math.log, mass)) / len(mass))
    return {
        "system": display_name(system),
        "parameters": system.parameters(),
        "particles": system.particles,
        "dimensions": system.dimensions,
        "coordinates": system.particles * system.dimensions,
        "identical": system.identical,
        "mass": mass[0] if len(set(mass)) == 1 else list(mass),
        "natural_length": length,
        "natural_time": land.length**2,
        "minima": None if nuclei else len(land.minima),
        "lowest": None if nuclei else float(scaled.potential(land.minima[:1])[0]),
        "nuclei": len(nuclei.charges) if nuclei else 0,
        "reference": reference and asdict(reference),
        "unit": system.energy_unit,
        "potential_seconds": min(took),
        "potential_walkers": WALKERS,
        "warnings": list(checked.warnings),
    }
