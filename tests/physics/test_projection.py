"""Projection with a drift that is off: exact energies and densities all the same, and error bars that are right."""

from __future__ import annotations

import itertools
import math
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from landscapes import explore
from scipy.linalg import eigh_tridiagonal

from fkflow.errors import NumericalError
from fkflow.execution.pulse import Pulse
from fkflow.hamiltonian.registry import find_system
from fkflow.hamiltonian.system import System
from fkflow.measurement.variational import VariationalEstimator
from fkflow.networks.choice import LogPsi
from fkflow.projection.project import project
from fkflow.recipe.sections import MeasureConfig, ProjectConfig
from fkflow.results.records import Histogram, Projection
from fkflow.sampling.metropolis import Walkers, metropolis
from fkflow.statistics import Estimate, z_score
from fkflow.systems.solvers import radial_ground_state

#: seconds that pass at each look at the clock; a turn of a projection looks at it twice, a sweep of a measurement too
TICKS = {"fkflow.projection.project": 0.12, "fkflow.measurement.variational": 0.02}

QUARTIC = find_system("quartic")(a=1.0, b=1.0)
TWO = find_system("bosons")(particles=2, g=15.0, s=0.5)


@pytest.fixture(autouse=True)
def work_for_time(monkeypatch) -> None:
    """Budgets of seconds become amounts of work: a busy machine neither shortens a projection nor changes its numbers."""
    for module, tick in TICKS.items():
        clock = SimpleNamespace(perf_counter=itertools.count(step=tick).__next__)
        monkeypatch.setattr(f"{module}.time", clock)
    monkeypatch.setattr(Pulse, "late", lambda *_: False)


@pytest.fixture
def gaussian(gaussian):
    """The Gaussian trial function with its drift in closed form, for speed; `correlated` differentiates."""

    class Closed(gaussian):
        def value_and_drift(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            with torch.no_grad():
                return self(x), -self.alpha * x

        def value_drift_and_laplacian(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
            value, drift = self.value_and_drift(x)
            return value, drift, -(self.alpha.detach() * torch.ones_like(x)).sum((1, 2))

        #: whether local energies come from that Laplacian
        analytic = False

    return Closed


def projected(
    psi, system: System, seed: int = 0, walkers: int = 2048, measured: float = 1e-3, **changes
) -> tuple[Projection, Estimate, dict[str, Histogram]]:
    """Measure and project a trial function; its projection, variational energy, and densities by group and name."""
    landscape = explore(system)
    start = psi.sample(2048, (system.particles, system.dimensions), seed)
    settings = MeasureConfig(walkers=walkers, target_error=measured, seconds=5.0, bins=40)
    measuring = VariationalEstimator(psi, system, landscape, settings, start, seed, dt=1e-8)
    measuring.run(measured, 5.0, lambda *_: None)
    config = ProjectConfig(**{"walkers": walkers, "seconds": 12.0} | changes)
    found, histograms = project(measuring, config, seed, lambda *_: None)
    assert found is not None and histograms is not None
    return found, measuring.estimate(), {f"{h.group}/{h.name}": h for h in histograms}


def z_of(estimate: Estimate, exact: float) -> float:
    return z_score(estimate.value, estimate.error, exact)


def line_density(potential, edges: np.ndarray) -> np.ndarray:
    """φ0² in one dimension, averaged over bins: second differences on a fine grid, diagonalised."""
    x = np.linspace(-6, 6, 1601)
    h = x[1] - x[0]
    side = np.full(len(x) - 1, -0.5 / h**2)
    _, states = eigh_tridiagonal(potential(x) + 1 / h**2, side, select="i", select_range=(0, 0))
    return binned(x, states[:, 0] ** 2 / h, edges) / np.diff(edges)


def binned(x: np.ndarray, density: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Integral of a density on a fine grid over each bin."""
    total = np.concatenate([[0.0], np.cumsum(0.5 * (density[1:] + density[:-1]) * np.diff(x))])
    return np.diff(np.interp(edges, x, total))


def chi_square(values: np.ndarray, errors: np.ndarray, exact: np.ndarray, volumes: np.ndarray) -> float:
    """Mean squared deviation in σ over the bins that hold something: where many walkers are, whose scatter is known."""
    seen = exact * volumes > 0.02 * (exact * volumes).max()
    return float(np.mean(((values - exact)[seen] / errors[seen]) ** 2))


@pytest.mark.parametrize("weights", ["local_energy", "girsanov"])
def test_a_gaussian_drift_gives_the_exact_energy_of_the_quartic_well(weights: str, gaussian) -> None:
    """Both kinds of weights agree with a spectral solution; the variational energy, the twin, is far above."""
    steps = {"local_energy": (0.04, 0.01), "girsanov": (0.1, 0.05)}[weights]
    found, variational, _ = projected(
        gaussian(1.6), QUARTIC, weights=weights, time_steps=steps, target_error=5e-3, seconds=60.0
    )
    exact = radial_ground_state(lambda x: 0.5 * x**2 + x**4, 1).energy
    assert found.weights == weights
    assert abs(z_of(found.total, exact)) < 4
    assert found.total.error < 1.2e-2
    assert z_of(variational, exact) > 8 and variational.value - exact > 3 * found.total.error


def check_density(name: str, exact, psi, system: System, shells: int = 1, **changes) -> list[Projection]:
    """Forward walking gives the density `exact` (edges → bins) within its errors; that of ψ² itself, the twin, does not.

    Bins are shells of the dimension `shells`.

    Neighbouring bins rise and fall together (most of all a whole peak with its walkers), so that χ² of one projection has
    an uncertainty of 0.5 however many bins there are: the mean of three is judged.
    """
    pure, twin, projections = [], [], []
    for seed in range(3):
        found, _, densities = projected(psi, system, seed, target_error=1e-3, **changes)
        seen = densities[name]
        edges = seen.axes[0].edges
        expected, volumes = exact(edges), np.diff(edges**shells)
        assert seen.projected is not None and seen.projected_errors is not None
        pure.append(chi_square(seen.projected, seen.projected_errors, expected, volumes))
        twin.append(chi_square(seen.values, seen.errors, expected, volumes))
        projections.append(found)
    assert 0.4 < np.mean(pure) < 2.0, pure
    assert min(twin) > 8
    return projections


def test_pure_density_of_the_double_well(gaussian) -> None:
    """One broad Gaussian becomes two peaks: the broader the more walkers carry the weights, a tenth here."""
    system = find_system("double_well")()

    def exact(edges: np.ndarray) -> np.ndarray:
        return line_density(lambda x: system.potential(torch.from_numpy(x)[:, None, None]).numpy(), edges)

    changes = {"walkers": 2048, "time_steps": (0.05,), "time": 10.0, "seconds": 5.0}
    found = [f.estimate for f in check_density("density/x", exact, gaussian(0.4), system, **changes)]
    deviation = np.mean([f.value for f in found]) - system.reference().energy
    # one time step: its bias is allowed for by a tenth of what the projection removed
    assert abs(deviation) < 4 * math.hypot(*(f.error for f in found)) / len(found) + 5e-3


def test_two_bosons_from_the_trap_alone(gaussian) -> None:
    """The drift of the trap knows nothing of the repulsion, and the projected energy is right all the same."""
    found, variational, _ = projected(
        gaussian(1.0), TWO, walkers=2048, target_error=1e-3, time_steps=(0.02, 0.005), measured=2e-2, seconds=5.0
    )
    assert abs(z_of(found.total, 2.715321216)) < 4 and found.total.error < 0.12
    assert bool(found.resampled.all()) and found.effective_walkers.min() > 0.02
    assert z_of(variational, 2.715321216) > 20


def test_pair_distribution_of_two_bosons(correlated) -> None:
    """A crude correlation hole becomes the one of the radial equation."""
    changes = {"walkers": 2048, "measured": 0.02, "time_steps": (0.01,), "time": 5.0, "seconds": 4.5}
    check_density("pair/r", pair_distribution, correlated(0.9), TWO, shells=2, **changes)


@pytest.fixture
def correlated():
    """A function of the depth c that gives log ψ = −½ Σ r_i² − c exp(−2 r_12²)."""

    class Correlated(LogPsi):
        width = 16

        def __init__(self, depth: float) -> None:
            super().__init__()
            self.depth = depth

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            apart = (x[:, 0] - x[:, 1]).square().sum(-1)
            return -0.5 * x.square().sum((1, 2)) - self.depth * (-2 * apart).exp()

        def sample(self, walkers: int, shape: tuple[int, int], seed: int) -> torch.Tensor:
            """Walkers after enough Metropolis moves from the Gaussian."""
            generator = torch.Generator().manual_seed(seed)
            start = torch.randn(walkers, *shape, generator=generator, dtype=torch.float64) * 0.5**0.5
            moved = Walkers(start, 0.2)
            metropolis(self, moved, generator, 100)
            return moved.x

    return Correlated


def pair_distribution(edges: np.ndarray) -> np.ndarray:
    """φ0² against r_12, normalised over 2πr dr: cell-centred differences of −∂²−∂/r + r²/4 + V(r)."""
    h = 5e-3
    r = (np.arange(1600) + 0.5) * h
    inner, outer = r - 0.5 * h, r + 0.5 * h
    diagonal = (inner + outer) / (r * h**2) + 0.25 * r**2 + 15 / (math.pi * 0.25) * np.exp(-4 * r**2)
    side = -outer[:-1] / h**2 / np.sqrt(r[:-1] * r[1:])
    levels, states = eigh_tridiagonal(diagonal, side, select="i", select_range=(0, 0))
    assert levels[0] + 1 == pytest.approx(2.715321216, abs=1e-4)
    return binned(r, states[:, 0] ** 2 / h, edges) / (math.pi * np.diff(edges**2))


def test_girsanov_weights_have_the_energy_of_the_trotter_product(gaussian) -> None:
    """One step size, exact drift: cosh(2 E dt) = 1 + dt²/2 for the oscillator, at any dt."""
    dt = 0.5
    system = find_system("harmonic")(particles=1, dimensions=1)
    natural = explore(system).length ** 2
    found, _, _ = projected(
        gaussian(1.0), system, weights="girsanov", time_steps=(dt / natural,), target_error=1e-3, seconds=80.0
    )
    trotter = math.acosh(1 + dt**2 / 2) / (2 * dt)
    assert found.time_steps == pytest.approx([dt]) and found.estimate.error < 2e-3
    assert abs(z_of(found.estimate, trotter)) < 4
    assert abs(z_of(found.estimate, 0.5)) > 4
    # the twin: a potential that counts a tenth too much in the action
    assert abs(z_of(found.estimate, math.acosh(1 + 1.1 * dt**2 / 2) / (2 * dt))) > 6
    assert math.isnan(found.time_step_error) and any("one time step" in warning for warning in found.warnings)


def test_error_bars_are_calibrated(gaussian) -> None:
    """Over seeds the deviation from the exact energy has the size of its error bar, not that of a third of it."""
    system = find_system("harmonic")(particles=2, dimensions=1)
    z, excess = [], []
    for seed in range(16):
        found, variational, _ = projected(
            gaussian(0.85),
            system,
            seed,
            walkers=256,
            time=3.0,
            target_error=3e-2,
            measured=3e-2,
            time_steps=(0.2, 0.08),
        )
        z.append(z_of(found.total, 1.0))
        excess.append(z_of(variational, 0.5 * (0.85 + 1 / 0.85)))
    for deviations in (np.array(z), np.array(excess)):
        # rms of 16 normal deviates: 1 ± 0.177
        assert 0.6 < np.sqrt(np.mean(deviations**2)) < 1.45
        assert abs(deviations.mean()) < 4 / math.sqrt(len(deviations))
        assert np.sqrt(np.mean((3 * deviations) ** 2)) > 1.45


def test_too_large_a_time_step_is_said(gaussian) -> None:
    found, _, _ = projected(gaussian(1.6), QUARTIC, time_steps=(2.0, 1.0), seconds=2.0, target_error=1e-2)
    said = [warning for warning in found.warnings if "too large" in warning]
    assert len(said) == 2 and found.acceptances.max() < 0.9
    assert "project.time_steps=[" in said[0] and "% of the moves" in said[0]
    fine, _, _ = projected(gaussian(1.6), QUARTIC, time_steps=(0.05, 0.02), seconds=2.0, target_error=1e-2)
    assert not any("too large" in warning for warning in fine.warnings) and fine.acceptances.min() > 0.9


def test_collapsing_weights_are_refused(gaussian) -> None:
    """Twenty oscillators with a drift of half their width: no weights can mend that."""
    system = find_system("harmonic")(particles=20, dimensions=3)
    psi = gaussian(6.0)
    # short paths, which need no Laplacian, take long for sixty coordinates
    psi.analytic = True
    with pytest.raises(NumericalError, match="weights collapsed on"):
        projected(psi, system, walkers=256, time=0.5, seconds=2.5, measured=1.0)


def test_a_budget_ends_a_turn_of_any_length(gaussian, monkeypatch) -> None:
    """Steps so small that one weighing takes far longer: the projection ends in time, without an energy and with the reason."""
    monkeypatch.undo()
    monkeypatch.setattr("fkflow.projection.plan.largest_step", lambda net, walkers, generator, natural: 1e-6 * natural)
    psi = gaussian(1.0)
    settings = MeasureConfig(walkers=512, seconds=0.5, bins=40)
    start = psi.sample(512, (1, 1), 0)
    measuring = VariationalEstimator(psi, QUARTIC, explore(QUARTIC), settings, start, 0, dt=1e-8)
    measuring.run(1e-2, 0.5, lambda *_: None)
    begun = time.perf_counter()
    found = project(measuring, ProjectConfig(walkers=512, seconds=0.4, target_error=1e-9), 0, lambda *_: None)
    assert 0.4 <= time.perf_counter() - begun < 1.1 * 0.4 + 2
    assert found == (None, None) and "no projected energy" in measuring.sampler.warnings[-1]
