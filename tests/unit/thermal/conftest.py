"""Small problems at a temperature, with their references, networks and starts."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from fkflow.hamiltonian.landscape import explore
from fkflow.hamiltonian.masses import to_unit_masses
from fkflow.hamiltonian.system import System
from fkflow.thermal.bridges import Bridges
from fkflow.thermal.cloud import Bases, Mixture
from fkflow.thermal.drift import Drift
from fkflow.thermal.fit import Fitted
from fkflow.thermal.pose import pose
from fkflow.thermal.problem import Problem
from fkflow.thermal.reference import Reference
from fkflow.thermal.starts import Starts


def gaussian(width: float, ref: Reference) -> Bases:
    """One Gaussian of that width for each body."""
    dim, of_body = ref.axes, (0,) * ref.bodies if ref.kinds is None else ref.kinds.of_body
    one, eye = torch.ones(1, dtype=torch.float64), torch.eye(dim, dtype=torch.float64)
    mixture = Mixture(one, torch.zeros(1, dim, dtype=torch.float64), width * eye[None])
    return Bases((mixture,) * len(set(of_body)), of_body)


def detuned(problem: Problem, factor: float) -> Problem:
    """The same problem with the frequencies of its reference multiplied."""
    ref = problem.reference
    other = Reference(factor * ref.frequencies, ref.bodies, ref.bosons, ref.kinds)
    return replace(problem, reference=other)


def bridges_of(system: System, beta: float, factor: float = 1.0, hidden: int = 6) -> Bridges:
    """Bridges of a system whose reference is detuned by a factor."""
    unit = to_unit_masses(system)
    problem = detuned(pose(unit, explore(unit), beta, "bose", 0), factor)
    return Bridges(problem, Drift(problem.reference, hidden, torch.float64, problem.centres()))


def random_fit(bridges: Bridges, width: float, beta: float, seed: int = 3, size: float = 0.3) -> Fitted:
    """Parameters of a drift that is not 0, and starts with a U and exchanges that are not 0."""
    ref = bridges.reference
    generator = torch.Generator().manual_seed(seed)
    starts = Starts(gaussian(width, ref), ref, beta, bridges.problem.centres())

    def noise(count: int) -> torch.Tensor:
        return size * torch.randn(count, generator=generator, dtype=torch.float64)

    return Fitted(noise(bridges.drift.size), starts, noise(starts.size))


def oscillators_log_z(beta: float, bosons: int, dimensions: int) -> float:
    """log Z of bosons in a round trap of frequency 1, by Z_N = 1/N Σ_k z(kβ) Z_(N−k)."""
    z = [(2 * math.sinh(0.5 * k * beta)) ** -dimensions for k in range(1, bosons + 1)]
    found = [1.0]
    for n in range(1, bosons + 1):
        found.append(sum(z[k - 1] * found[n - k] for k in range(1, n + 1)) / n)
    return math.log(found[bosons])


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(11)
