"""The first step of a run: the checked system in the solver's coordinates, and the natural scale of its potential."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from fkflow.errors import NumericalError
from fkflow.execution import ranks
from fkflow.hamiltonian.checks import CheckedSystem
from fkflow.hamiltonian.landscape import explore
from fkflow.hamiltonian.masses import to_unit_masses
from fkflow.hamiltonian.natural_scale import Landscape
from fkflow.hamiltonian.registry import is_built_in
from fkflow.hamiltonian.system import System
from fkflow.recipe.config import Recipe
from fkflow.recipe.inspection import cautions, check_paths, check_system


@dataclass(frozen=True)
class Explored:
    """A system in coordinates of unit mass and the natural scale of its potential, with warnings and notes about it."""

    system: System
    landscape: Landscape
    warnings: tuple[str, ...]
    notes: tuple[str, ...]


def find_landscape(recipe: Recipe, alone: bool = False) -> Explored:
    """The system of a recipe as the solver takes it. All ranks get the same landscape, unless this one finds it `alone`.

    Raises NumericalError if the potential has no natural scale, PotentialError for a system of a user that fails the checks.
    """
    given = recipe.system
    try:
        if is_built_in(type(given)):
            found = CheckedSystem(given, explore(to_unit_masses(given)))
            check_paths(recipe, found)
        else:
            found = check_system(recipe)
        # the same bits on all ranks
        landscape = found.landscape if alone else ranks.broadcast(found.landscape)
    except torch.linalg.LinAlgError as error:
        raise NumericalError(f"the potential of {given.key} has no finite curvature at its minima: {error}") from None
    warnings = (*found.warnings, *cautions(given))
    return Explored(to_unit_masses(found.system), landscape, warnings, found.notes)
