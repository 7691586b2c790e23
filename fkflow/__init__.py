"""fkflow: quantum ground states by learning the drift of a Feynman–Kac diffusion.

Units ħ = m = 1. ``fkflow.solve(system)`` finds the ground state of a system, ``fkflow.load(run)`` reads a finished run,
``fkflow.train(system)`` trains in a loop of one's own; a Hamiltonian of one's own is a class that derives from `System`.
The command line is ``fkflow``; the physics of one path is in `fkflow.paths`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fkflow.api import load, make_system, solve, train
    from fkflow.errors import FkflowError, NumericalError, UsageError
    from fkflow.geometry import pair_squares
    from fkflow.loops import Training
    from fkflow.results import Result
    from fkflow.solution import Solution
    from fkflow.statistics import Estimate
    from fkflow.system import Nuclei, Reference, System

__version__ = "0.1.0"
__all__ = [
    "Estimate", "FkflowError", "Nuclei", "NumericalError", "Reference", "Result", "Solution", "System", "Training",
    "UsageError", "load", "make_system", "pair_squares", "solve", "train",
]  # fmt: skip

#: where each name comes from
_HOME = {
    **dict.fromkeys(("load", "make_system", "solve", "train"), "api"),
    **dict.fromkeys(("FkflowError", "NumericalError", "UsageError"), "errors"),
    **dict.fromkeys(("Nuclei", "Reference", "System"), "system"),
    "Estimate": "statistics",
    "Result": "results",
    "pair_squares": "geometry",
    "Solution": "solution",
    "Training": "loops",
}


def __getattr__(name: str) -> Any:
    """Names of the public API, imported when they are first used: ``import fkflow`` alone is instant."""
    if name in _HOME:
        value = getattr(import_module(f"fkflow.{_HOME[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
