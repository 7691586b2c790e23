"""Recipes, the TOML files that describe a run.

`config` loads them, `sources` finds their text, `schema` has every section and key with its default, `messages` the error
messages, `old_keys` the keys of earlier versions. `toml` writes them, `template` writes the one of ``fkflow init``, and
`inspection` (which needs torch) makes the report of ``fkflow check``.
"""

from fkflow.recipe.config import Loaded, compose, load, make_system, parse
from fkflow.recipe.schema import Recipe, target_sections
from fkflow.recipe.sections import MeasureConfig, ProjectConfig, ScanConfig, TrainConfig
from fkflow.recipe.toml import to_toml

__all__ = [
    "Loaded", "MeasureConfig", "ProjectConfig", "Recipe", "ScanConfig", "TrainConfig", "compose", "load", "make_system",
    "parse", "target_sections", "to_toml",
]  # fmt: skip
