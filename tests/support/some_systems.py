"""All built-in systems as they come, and molecules of a few centres."""

from __future__ import annotations

from fkflow.hamiltonian.registry import built_in_systems
from fkflow.systems.molecules import Molecule

DEFAULTS = [system() for system in built_in_systems().values()]
KEYS = [system.key for system in DEFAULTS]
THREE_CENTRES = Molecule(
    electrons=2,
    nuclei=[
        {"position": [0, 0, 0], "charge": 1},
        {"position": [1.5, 0.2, 0], "charge": 0.5},
        {"position": [0, -1, 2.0], "charge": 2},
    ],
)
ATOM = {"position": [3.0, 1.0, 0.0], "charge": 2.0}
