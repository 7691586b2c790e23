"""fkflow: quantum ground states by learning the drift of a Feynman–Kac diffusion.

Units ħ = m = 1. The command line is ``fkflow``; the physics of one path is in `fkflow.paths`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fkflow.system import Nuclei, Reference, System

__version__ = "0.1.0"
__all__ = ["Nuclei", "Reference", "System"]


def __getattr__(name: str) -> Any:
    """Names of the public API, imported when they are first used: ``import fkflow`` alone is instant."""
    if name in __all__:
        from fkflow import system

        return getattr(system, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
