"""Sampling with a given drift: walkers, paths and what they say of the energy.

`paths` holds the method itself, Euler–Maruyama paths and their Girsanov action. `metropolis` moves walkers distributed as ψ²,
`local_energy` and `path_energies` give the energy at their places, `clipping` bounds it, and `samplers` put moves and energies
together for a measurement.
"""

from fkflow.sampling.clipping import Deviations, clip
from fkflow.sampling.local_energy import fastest_local_energy, local_energy_cost
from fkflow.sampling.metropolis import Walkers, draw_evenly, langevin_move, limited_drift
from fkflow.sampling.path_energies import path_samples
from fkflow.sampling.paths import branched_energy, brownian_frames, girsanov_action, integrate

__all__ = [
    "Deviations", "Walkers", "branched_energy", "brownian_frames", "clip", "draw_evenly", "fastest_local_energy",
    "girsanov_action", "integrate", "langevin_move", "limited_drift", "local_energy_cost", "path_samples",
]  # fmt: skip
