"""fkflow: quantum ground states by learning the drift of a Feynman–Kac diffusion.

Units ħ = m = 1. ``fkflow.solve(system)`` finds the ground state of a system, ``fkflow.load(run)`` reads a finished run,
``fkflow.train(system)`` trains in your own loop. Your own Hamiltonian is a class that derives from `System`.
The command line is ``fkflow``; the physics of one path is in `fkflow.sampling.paths`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fkflow import units
    from fkflow.api.functions import load, make_system, solve, train
    from fkflow.api.propagation import propagate
    from fkflow.api.solution import Solution
    from fkflow.api.training_loop import Training
    from fkflow.errors import FkflowError, NumericalError, UsageError
    from fkflow.hamiltonian.ewald import Ewald
    from fkflow.hamiltonian.geometry import pair_squares
    from fkflow.hamiltonian.pointwise import PointByPoint
    from fkflow.hamiltonian.species import Species
    from fkflow.hamiltonian.system import Nuclei, Reference, System
    from fkflow.hamiltonian.table import Table
    from fkflow.results.result import Result
    from fkflow.statistics import Estimate

__version__ = "0.1.0"
__all__ = [
    "Estimate", "Ewald", "FkflowError", "Nuclei", "NumericalError", "PointByPoint", "Reference", "Result", "Solution",
    "Species", "System", "Table", "Training", "UsageError", "load", "make_system", "pair_squares", "propagate", "solve",
    "train", "units",
]  # fmt: skip

#: the module of each name
_HOME = {
    **dict.fromkeys(("load", "make_system", "solve", "train"), "api.functions"),
    "propagate": "api.propagation",
    **dict.fromkeys(("FkflowError", "NumericalError", "UsageError"), "errors"),
    **dict.fromkeys(("Nuclei", "Reference", "System"), "hamiltonian.system"),
    "Species": "hamiltonian.species",
    "Estimate": "statistics",
    "Result": "results.result",
    "PointByPoint": "hamiltonian.pointwise",
    "Table": "hamiltonian.table",
    "Ewald": "hamiltonian.ewald",
    "pair_squares": "hamiltonian.geometry",
    "Solution": "api.solution",
    "Training": "api.training_loop",
}


def __getattr__(name: str) -> Any:
    """Import a name of the public API when it is first used, so that ``import fkflow`` is instant."""
    if name == "units":
        return import_module("fkflow.units")
    if name in _HOME:
        value = getattr(import_module(f"fkflow.{_HOME[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
