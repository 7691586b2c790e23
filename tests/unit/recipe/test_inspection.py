"""What a recipe may not ask of a system."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

import fkflow
from fkflow.errors import PotentialError
from fkflow.hamiltonian.registry import find_system
from fkflow.recipe.inspection import check_system
from fkflow.recipe.schema import Recipe
from fkflow.runs.exploration import find_landscape


class Box(fkflow.System):
    """A particle in a box."""

    particles: ClassVar[int] = 1
    dimensions: ClassVar[int] = 1

    def potential(self, x: Tensor) -> Tensor:
        q = x[:, 0, 0]
        return torch.where((q < 0) | (q > 1), torch.inf, 0 * q)


@pytest.mark.parametrize(
    ("sections", "key"),
    [
        ({"train": {"steps": 16}}, "train.steps = 16"),
        ({"train": {"dt": 1e-3}}, "train.dt = 0.001"),
        ({"train": {"paths": 4}}, "train.paths = 4"),
        ({"train": {"estimator": "pathwise", "optimiser": "adam"}}, 'train.estimator = "pathwise"'),
        ({"project": {"weights": "girsanov"}}, 'project.weights = "girsanov"'),
    ],
)
def test_no_path_crosses_a_wall(sections: dict[str, Any], key: str) -> None:
    recipe = Recipe.model_validate({"system": Box(), **sections})
    with pytest.raises(PotentialError, match=f"walls, which no path may cross, so that {key} cannot be used"):
        check_system(recipe)


def test_no_path_feels_a_contact() -> None:
    """Weights of V alone would be those of free particles; the twin has no contact energies."""
    recipe = {"project": {"weights": "girsanov"}}
    for strength in (3.0, 0.0):
        system = find_system("lieb_liniger")(particles=2, c=strength)
        wanted = Recipe.model_validate({"system": system, **recipe})
        if strength:
            with pytest.raises(PotentialError, match="V lacks the contact energies, which paths do not feel"):
                find_landscape(wanted, alone=True)
        else:
            find_landscape(wanted, alone=True)


def test_the_usual_keys_are_allowed() -> None:
    checked = check_system(Recipe.model_validate({"system": Box()}))
    assert checked.landscape.walls is not None and not checked.warnings
    assert checked.notes[-1] == "V is infinite beyond hard walls, where ψ vanishes: 0 < x < 1"
