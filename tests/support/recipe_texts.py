"""Texts of recipes."""

from __future__ import annotations

import pytest

from fkflow.errors import RecipeError
from fkflow.recipe.config import parse

H2 = '[system]\nname = "h2"\n'
KINDS = ("symmetric", "molecular", "pair_drift")
SYMMETRIC, MOLECULAR, PAIR_DRIFT = (f'[network]\nkind = "{kind}"' for kind in KINDS)
GIRSANOV = '[project]\nweights = "girsanov"'
ATOMS = "[{position = [0, 0, 0], charge = 1}, {position = [0, 0, 0], charge = 1}]"


def refused(text: str, *overrides: str) -> str:
    with pytest.raises(RecipeError) as caught:
        parse(text, "my.toml", overrides)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 500 and not message.endswith(".")
    assert caught.value.exit_code == 2
    return message


def system(name: str, *lines: str) -> str:
    return "\n".join(["[system]", f'name = "{name}"', *lines, ""])


def nucleus(keys: str) -> str:
    return system("molecule", f"nuclei = [{{{keys}}}]")
