"""Systems whose networks are asked what they promise, and places to ask at."""

from __future__ import annotations

import pytest
import torch
from landscapes import explore
from torch import Tensor

from fkflow.hamiltonian.registry import find_system
from fkflow.hamiltonian.system import System
from fkflow.networks.choice import build


def molecule(electrons: int, *sites: tuple[float, float, float, float]) -> System:
    """Electrons about nuclei given as (x, y, z, charge)."""
    return find_system("molecule")(electrons=electrons, nuclei=[{"position": s[:3], "charge": s[3]} for s in sites])


TRIANGLE = ((0.0, 0.0, 0.0, 1.0), (1.65, 0.0, 0.0, 1.0), (0.825, 1.429, 0.0, 2.0))
MOLECULES = {
    "h": find_system("h")(),
    "he+": molecule(1, (0.0, 0.0, 0.0, 2.0)),
    "h2+": find_system("h2plus")(),
    "heh2+": molecule(1, (0.0, 0.0, -0.7, 2.0), (0.0, 0.0, 0.7, 1.0)),
    "three nuclei, one electron": molecule(1, *TRIANGLE),
    "he": find_system("he")(),
    "h-": find_system("h_minus")(),
    "h2": find_system("h2")(),
    "heh+": find_system("heh_plus")(),
    "three nuclei, two electrons": molecule(2, *TRIANGLE),
}
SMOOTH = {
    "round": find_system("harmonic")(particles=3, dimensions=2),
    "oval": find_system("harmonic")(particles=3, dimensions=2, omega=[1.0, 2.0]),
    "one in a trap": find_system("harmonic")(particles=1, dimensions=3),
    "chain": find_system("chain")(particles=4),
    "quartic": find_system("quartic")(),
    "double_well": find_system("double_well")(),
    "mexican_hat": find_system("mexican_hat")(),
    "morse": find_system("morse")(),
    "poschl_teller": find_system("poschl_teller")(),
    "bosons": find_system("bosons")(particles=3),
}
SYSTEMS = MOLECULES | SMOOTH
each_molecule = pytest.mark.parametrize("system", MOLECULES.values(), ids=MOLECULES)
each_smooth = pytest.mark.parametrize("system", SMOOTH.values(), ids=SMOOTH)
each_system = pytest.mark.parametrize("system", SYSTEMS.values(), ids=SYSTEMS)


def network(system: System, kind: str = "auto", seed: int = 0, hidden: int = 12, layers: int = 2):
    return build(system, explore(system), kind, hidden, layers, seed)


def configurations(system: System, batch: int = 6, seed: int = 0) -> Tensor:
    """Places where the walkers of a system are."""
    return explore(system).start(batch, torch.Generator().manual_seed(seed))


def rotation(dimensions: int, seed: int = 0) -> Tensor:
    normal = torch.randn(dimensions, dimensions, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.linalg.qr(normal)[0]


def directions(count: int, seed: int = 0) -> Tensor:
    """Unit vectors (count, 3) that average to zero."""
    half = torch.randn(count // 2, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    half = half / half.norm(dim=1, keepdim=True)
    return torch.cat([half, -half])
