"""A potential of the zoo with its parameters and its reference."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fkflow
from fkflow.hamiltonian.system import System

from .answers import Answer, Solver

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Case:
    """A potential of the zoo: `system` is FILE.py:CLASS in this folder; the answer is computed, not stored."""

    name: str
    system: str
    answer: Solver = field(repr=False)
    parameters: dict[str, Any] = field(default_factory=dict, hash=False)

    def make(self) -> System:
        """The system, as a user makes it."""
        return fkflow.make_system(f"{FOLDER / self.system}", **self.parameters)

    def solve(self) -> Answer:
        """Its reference."""
        return self.answer(self.make())
