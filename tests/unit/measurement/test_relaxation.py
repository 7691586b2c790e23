"""The slow modes of a drift: gaps of known spectra, what imaginary time leaves, and a slow mode put into a network."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.linalg
import torch

from fkflow.hamiltonian.landscape import explore
from fkflow.hamiltonian.system import System
from fkflow.measurement import relaxation as relaxation_module
from fkflow.measurement.relaxation import Relaxation, SlowModes
from fkflow.networks.choice import LogPsi, build
from fkflow.sampling.local_energy import local_energy
from fkflow.sampling.metropolis import Walkers, metropolis
from fkflow.systems.bosons import Bosons
from fkflow.systems.harmonic import Harmonic
from fkflow.training.fit import absorb, fit


def measured(net: LogPsi, system: Harmonic | Bosons, walkers: int = 2000, sweeps: int = 5) -> SlowModes:
    """The slow modes of a network from Metropolis walkers."""
    generator = torch.Generator().manual_seed(2)
    x = explore(system).start(walkers, generator)
    moving = Walkers(x, 0.3)
    metropolis(net, moving, generator, 60)
    slow = SlowModes(system, moving.x, generator)
    for _ in range(sweeps):
        metropolis(net, moving, generator, 10, adapt=False, frozen=True)
        slow.add(moving.x, local_energy(net, system, moving.x), torch.ones(walkers, dtype=torch.float64))
    return slow


@pytest.mark.parametrize(("particles", "omega"), [(1, 1.0), (2, 0.5)])
def test_gap_of_oscillators_is_their_frequency(particles: int, omega: float) -> None:
    """The linear functions are exact modes: the gap is ω to the noise of 10⁴ walkers, that of the levels counts once."""
    system = Harmonic(particles=particles, dimensions=2, omega=omega)
    net = build(system, explore(system), "auto", 8, 2, 0)
    assert isinstance(net, LogPsi)
    found = measured(net, system).solve()
    assert found is not None
    # the lowest of several equal levels lies below by the noise of their matrix elements, about 1/√walkers
    assert abs(found.gap - omega) < 0.05 * omega
    assert found.left(0.0) < 1e-3 * omega


def test_excess_of_two_levels() -> None:
    """c² Δ e^(−Δt)/(1 − c² + c² e^(−Δt)), and the time until little is left."""
    relaxation = Relaxation(0.1, np.array([1.0, 1.1]), np.array([0.7, 0.3]), np.ones(2), 0.03, 0.03)
    left = 0.3 * np.exp(-0.1 * 20)
    assert relaxation.excess(20.0) == pytest.approx(0.1 * left / (0.7 + left), rel=1e-12)
    assert relaxation.left(0.0) == pytest.approx(0.03)
    time = relaxation.time_to(1e-3)
    assert relaxation.excess(time) <= 1e-3 < relaxation.excess(time / 1.2)
    assert relaxation.time_to(0.05) == 0.0
    again = Relaxation.from_state_dict(relaxation.state_dict())
    assert np.array_equal(again.shares, relaxation.shares) and again.gap == relaxation.gap


class DeepWells(System):
    """Two wells beside a high barrier."""

    particles = 1
    dimensions = 1

    def potential(self, x: torch.Tensor) -> torch.Tensor:
        return 0.25 * (x[:, 0, 0].square() - 4).square()


def test_a_well_with_too_little_shows_on_the_barrier(monkeypatch: pytest.MonkeyPatch) -> None:
    """ψ = φ0 exp(a tanh 4x) is right in each well, with a wrong share: its excess ½⟨g'²⟩ is found, in a mode as slow as theirs.

    The twin: clipped at ten mean deviations, the few places on the barrier, which alone have other energies, show nothing.
    """
    system = DeepWells()
    x = torch.linspace(-4.5, 4.5, 4001, dtype=torch.float64)
    step = float(x[1] - x[0])
    v = system.potential(x[:, None, None]).numpy()
    levels, states = scipy.linalg.eigh_tridiagonal(
        1 / step**2 + v, np.full(len(x) - 1, -0.5 / step**2), select="i", select_range=(0, 1)
    )
    ground = torch.from_numpy(np.abs(states[:, 0]))
    a, bend = 0.25, (4 * x).tanh()
    slope, curvature = 4 * a * (1 - bend.square()), -32 * a * bend * (1 - bend.square())
    energies = levels[0] - 0.5 * (curvature + slope.square()) - slope * torch.gradient(ground.log(), spacing=step)[0]
    weights = ground.square() * (2 * a * bend).exp()
    weights = weights / weights.sum()
    excess = 0.5 * float((weights * slope.square()).sum())
    generator = torch.Generator().manual_seed(1)
    chosen = torch.multinomial(weights, 40000, replacement=True, generator=generator)
    walkers, energies = x[chosen][:, None, None], energies[chosen]
    crossings = torch.full((1, 1, 1), 2.0, dtype=torch.float64), torch.zeros(1, 1, 1, dtype=torch.float64)

    def found(far: float) -> Relaxation:
        monkeypatch.setattr(relaxation_module, "FAR", far)
        slow = SlowModes(system, walkers, torch.Generator().manual_seed(1), crossings=crossings)
        slow.add(walkers, energies, torch.ones_like(energies))
        solved = slow.solve()
        assert solved is not None
        return solved

    assert levels[1] - levels[0] < 0.1
    right = found(relaxation_module.FAR)
    assert right.excess(0.0) == pytest.approx(excess, rel=0.1)
    assert right.gap == pytest.approx(levels[1] - levels[0], rel=0.2)
    assert right.left(5.0) > 0.5 * excess
    assert found(0.0).left(5.0) < 0.1 * excess


def test_low_energies_of_a_tail_make_no_level(monkeypatch: pytest.MonkeyPatch) -> None:
    """Walkers of an oscillator, those beyond 2.2 many and light, with energies that are too low beyond 3: the gap stays 1.

    The twin: if low energies count in full, a mode of these few lies below the ground state.
    """
    system = Harmonic(particles=1, dimensions=1, omega=1.0)
    generator = torch.Generator().manual_seed(1)
    x = math.sqrt(0.5) * torch.randn(20000, 1, 1, generator=generator, dtype=torch.float64)
    x = x[x[:, 0, 0] < 2.2]
    tail = torch.linspace(2.2, 4.2, 400, dtype=torch.float64)[:, None, None]
    shares = 20000 * (2.0 / 400) * (-tail[:, 0, 0].square()).exp() / math.sqrt(math.pi)
    walkers, weights = torch.cat([tail, x]), torch.cat([shares, torch.ones(len(x), dtype=torch.float64)])
    energies = torch.full_like(weights, 0.5).masked_fill(walkers[:, 0, 0] > 3, -10.5)
    crossings = torch.full((1, 1, 1), 1.0, dtype=torch.float64), torch.full((1, 1, 1), 3.2, dtype=torch.float64)

    def found(low: float) -> Relaxation:
        monkeypatch.setattr(relaxation_module, "LOW", low)
        slow = SlowModes(system, x, torch.Generator().manual_seed(1), walkers, weights, crossings=crossings)
        slow.add(walkers, energies, weights)
        solved = slow.solve()
        assert solved is not None
        return solved

    right, wrong = found(relaxation_module.LOW), found(relaxation_module.FAR)
    assert right.gap == pytest.approx(1.0, rel=0.03) and right.shares[0] > 0.99
    assert wrong.levels[0] < 0 and wrong.shares[0] < 0.01


def test_wrong_mixture_is_seen_and_absorbed() -> None:
    """A shifted Gaussian is not the ground state: the lowest level of the slow modes is, and the network takes it in."""
    system = Harmonic(particles=1, dimensions=2, omega=1.0)
    net = build(system, explore(system), "generic", 16, 2, 0)
    assert isinstance(net, LogPsi)
    right = measured(net, system).solve()
    assert right is not None and right.gain < 1e-3
    with torch.no_grad():
        net.centre += 0.4  # raises the energy by ½ (0.4² + 0.4²) = 0.16
    slow = measured(net, system)
    found = slow.solve()
    assert found is not None
    assert found.gain == pytest.approx(0.16, abs=0.02)
    assert found.levels[0] == pytest.approx(1.0, abs=0.02)
    generator = torch.Generator().manual_seed(5)
    walkers = Walkers(explore(system).start(2000, generator), 0.3)
    metropolis(net, walkers, generator, 80)
    factor = slow.basis.evaluate(walkers.x)[0] @ torch.from_numpy(found.ground)
    assert absorb(net, walkers.x, factor, torch.ones(2000, dtype=torch.float64))
    after = measured(net, system)
    energy = float(after.sums[:, 1, 0, 0].sum() / after.sums[:, 0, 0, 0].sum())
    assert energy == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("floor", [0.0, 1.0])
def test_a_faint_mode_is_absorbed_too(floor: float) -> None:
    """Twin: beside a floor of 1 a variance of 1e-4 counts as nothing, and the network stays as it is."""
    system = Harmonic(particles=1, dimensions=2, omega=1.0)
    net = build(system, explore(system), "generic", 16, 2, 0)
    assert isinstance(net, LogPsi)
    x = explore(system).start(1000, torch.Generator().manual_seed(5))
    wanted = 0.01 * x[:, 0, 0]
    with torch.no_grad():
        target = net(x) + wanted
        assert fit(net, x, target, torch.ones(1000, dtype=torch.float64), floor=floor)
        left = (target - net(x)).var() / wanted.var()
    assert (float(left) < 0.1) == (floor == 0.0)


def test_modes_in_rare_places_are_judged_by_the_walkers_that_visit_them() -> None:
    """The right one of two wells has 0.15 % of φ0²: of 2048 walkers of ψ² three are there, of ψ^1.24 ten times as many."""
    q, step = np.linspace(-4.5, 4.5, 901, retstep=True)
    hops = np.diag(np.full(900, 0.5 / step**2), 1)
    levels, states = np.linalg.eigh(np.diag(1 / step**2 + 0.25 * q**4 - 1.5 * q**2 + 0.4 * q) - hops - hops.T)
    density, rng, power = states[:, 0] ** 2, np.random.default_rng(0), 0.62
    slow = {}
    for told in (True, False):
        for sweep in range(10):
            chosen = rng.choice(901, 2048, p=density**power / (density**power).sum())
            x = torch.from_numpy(q[chosen] + step * (rng.random(2048) - 0.5)).view(-1, 1, 1)
            weights = torch.from_numpy(density[chosen] ** (1 - power))
            if sweep == 0:
                even = torch.from_numpy(rng.choice(q, 2048, p=density)).view(-1, 1, 1)
                generator = torch.Generator().manual_seed(3)
                slow[told] = SlowModes(
                    Harmonic(particles=1, dimensions=1), even, generator, *((x, weights) if told else ())
                )
            slow[told].add(x, torch.full((2048,), float(levels[0]), dtype=torch.float64), weights)
    found = {told: modes.solve() for told, modes in slow.items()}
    assert found[True] is not None and found[False] is not None
    gap = levels[1] - levels[0]
    assert abs(found[True].gap - gap) < 0.1 * gap < found[False].gap - gap
