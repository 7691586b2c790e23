"""The Girsanov action: zero variance at the ground state, upper bound, semigroup."""

from __future__ import annotations

import math

import pytest
import torch
from landscapes import explore
from torch import Tensor

from fkflow.hamiltonian.registry import find_system
from fkflow.networks.choice import build
from fkflow.sampling.local_energy import local_energy
from fkflow.sampling.path_energies import path_samples
from fkflow.sampling.paths import branched_energy, brownian_frames, girsanov_action


def normal(walkers: int, steps: int, shape: tuple[int, int], seed: int) -> Tensor:
    """Independent Gaussian increments (K, B, N, D)."""
    generator = torch.Generator().manual_seed(seed)
    return brownian_frames(walkers, 1, steps, shape, generator, orthogonal=False)[:, 0]


def without_ito(action: Tensor, drift, x: Tensor, dt: float, noise: Tensor) -> Tensor:
    """The action of the same paths less its Itô term Σ v·dW."""
    for xi in noise:
        v, dw = drift(x), dt**0.5 * xi
        action, x = action - (v * dw).sum((1, 2)), x + v * dt + dw
    return action


ANISOTROPIC = torch.tensor([1.0, 3.0], dtype=torch.float64)
#: ground states in closed form: system, log φ0, its gradient
GROUND_STATES = {
    "harmonic": (
        find_system("harmonic")(particles=2, dimensions=2, omega=2.0),
        lambda x: -x.square().sum((1, 2)),
        lambda x: -2 * x,
    ),
    "anisotropic": (
        find_system("harmonic")(particles=2, dimensions=2, omega=[1.0, 3.0]),
        lambda x: -0.5 * (ANISOTROPIC * x.square()).sum((1, 2)),
        lambda x: -ANISOTROPIC * x,
    ),
    "poschl_teller": (
        find_system("poschl_teller")(**{"lambda": 3.0}),
        lambda x: -3 * x.cosh().log().sum((1, 2)),
        lambda x: -3 * x.tanh(),
    ),
    "moshinsky": (
        find_system("moshinsky")(particles=3, dimensions=2, omega=1.0, kappa=1.0),
        lambda x: -x.square().sum((1, 2)) + 1.5 * x.mean(1).square().sum(1),
        lambda x: -2 * x + x.mean(1, keepdim=True),
    ),
    "hydrogen": (find_system("h")(), lambda x: -x.norm(dim=-1).sum(1), lambda x: -x / x.norm(dim=-1, keepdim=True)),
}


def starts(name: str, walkers: int) -> Tensor:
    system = GROUND_STATES[name][0]
    return explore(system).start(walkers, torch.Generator().manual_seed(1))


def typical_error(name: str, dt: float, factor: float = 1.0) -> float:
    """Median of |A − E0 T| over paths with the drift times `factor`, T = 0.08."""
    system, log_psi, drift = GROUND_STATES[name]
    steps, walkers = round(0.08 / dt), 8000
    x = starts(name, walkers)
    noise = normal(walkers, steps, tuple(x.shape[1:]), 2)
    action = girsanov_action(lambda y: factor * log_psi(y), lambda y: factor * drift(y), system.potential, x, dt, noise)
    return float((action - system.reference().energy * steps * dt).abs().median())


@pytest.mark.parametrize("name", GROUND_STATES)
def test_every_path_gives_the_energy_at_the_ground_state(name: str) -> None:
    """|A − E0 T| of each path falls as √dt: what is left of dW² − dt."""
    errors = [typical_error(name, dt) for dt in (0.016, 0.004, 0.001)]
    orders = [math.log(a / b, 4) for a, b in zip(errors[:-1], errors[1:], strict=True)]
    assert orders == pytest.approx([0.5, 0.5], abs=0.12)
    # the twin: with a drift half too strong the error stays
    wrong = [typical_error(name, dt, 1.5) for dt in (0.004, 0.001)]
    assert math.log(wrong[0] / wrong[1], 4) < 0.25 and wrong[1] > 2 * errors[2]


def test_frames_make_the_error_of_each_path_of_first_order() -> None:
    """A path whose increments are whole frames has no dW² − dt left: |A − E0 T| ~ dt."""
    system, log_psi, drift = GROUND_STATES["harmonic"]
    errors = []
    for dt in (0.02, 0.005):
        steps = round(0.08 / dt)
        x = starts("harmonic", 2000)
        noise = brownian_frames(2000, 1, steps, (2, 2), torch.Generator().manual_seed(2))[:, 0]
        action = girsanov_action(log_psi, drift, system.potential, x, dt, noise)
        errors.append(float((action - 4.0 * 0.08).abs().median()))
    assert math.log(errors[0] / errors[1], 4) == pytest.approx(1.0, abs=0.15)
    assert errors[1] < 0.3 * typical_error("harmonic", 0.005)


@pytest.mark.parametrize("name", ["harmonic", "anisotropic", "poschl_teller"])
def test_dropping_the_ito_term_keeps_the_mean_and_ruins_the_variance(name: str, sigmas) -> None:
    system, log_psi, drift = GROUND_STATES[name]
    dt, steps, walkers = 0.001, 20, 20_000
    x = starts(name, walkers)
    noise = normal(walkers, steps, tuple(x.shape[1:]), 3)
    action = girsanov_action(log_psi, drift, system.potential, x, dt, noise)
    dropped = without_ito(action, drift, x, dt, noise)
    assert abs(sigmas(dropped - action, 0.0)) < 4
    assert dropped.var() > 50 * action.var()


@pytest.mark.parametrize("alpha", [[1.3, 0.6], [0.5, 4.0]])
def test_the_mean_action_is_the_variational_energy(alpha: list[float], gaussian, sigmas) -> None:
    """Wrong Gaussians in an anisotropic trap: E = ¼ N Σ (α + ω²/α), from paths of several steps."""
    psi, shape, dt, steps, walkers = gaussian(alpha), (2, 2), 5e-4, 8, 30_000
    system = find_system("harmonic")(particles=2, dimensions=2, omega=[1.0, 2.0])
    exact = sum(2 * 0.25 * (a + w**2 / a) for a, w in zip(alpha, (1.0, 2.0), strict=True))
    assert exact > system.reference().energy + 0.05
    x = psi.sample(walkers, shape, 1)
    noise = normal(walkers, steps, shape, 2)
    energies = girsanov_action(psi, psi.drift, system.potential, x, dt, noise).detach() / (steps * dt)
    assert abs(sigmas(energies, exact)) < 4
    # twins: another density at the start, no end terms, another potential
    elsewhere = gaussian([1.3 * a for a in alpha]).sample(walkers, shape, 1)
    biased = girsanov_action(psi, psi.drift, system.potential, elsewhere, dt, noise).detach() / (steps * dt)
    assert abs(sigmas(biased, exact)) > 8
    other = find_system("harmonic")(particles=2, dimensions=2, omega=[1.4, 2.0])
    assert (
        abs(sigmas(girsanov_action(psi, psi.drift, other.potential, x, dt, noise).detach() / (steps * dt), exact)) > 8
    )


def test_the_energy_of_hydrogen_with_a_wrong_charge(hydrogenic, sigmas) -> None:
    """⟨e^(−ζr)|H|e^(−ζr)⟩ = ζ²/2 − ζ, through the cusp."""
    psi = hydrogenic(0.8)
    x = psi.sample(40_000, 5)
    energies = path_samples(
        psi, find_system("h")(), x, torch.Generator().manual_seed(6), paths=3, steps=1, dt=1e-5
    ).mean(0)
    assert abs(sigmas(energies, 0.32 - 0.8)) < 4
    elsewhere = hydrogenic(0.9).sample(40_000, 5)
    biased = path_samples(
        psi, find_system("h")(), elsewhere, torch.Generator().manual_seed(6), paths=3, steps=1, dt=1e-5
    ).mean(0)
    assert abs(sigmas(biased, 0.32 - 0.8)) > 8


@pytest.mark.parametrize(
    ("shape", "paths", "steps", "dt"), [((1, 1), 1, 16, 1e-3), ((8, 1), 1, 1, 1e-5), ((8, 1), 3, 1, 1e-5)]
)
def test_the_scatter_of_walkers_is_the_error_of_their_mean(shape, paths: int, steps: int, dt: float, gaussian) -> None:
    """Over 200 seeds of the noise, walkers fixed: the mean errs by what the scatter says."""
    psi = gaussian(torch.linspace(0.5, 2.0, shape[0]).double()[:, None])
    system = find_system("quartic")() if shape == (1, 1) else find_system("chain")(particles=8)
    walkers, seeds = 128, 200
    x = psi.sample(walkers, shape, 1)
    exact = local_energy(psi, system, x)
    ratios = []
    for seed in range(seeds):
        rest = (
            path_samples(psi, system, x, torch.Generator().manual_seed(seed), paths=paths, steps=steps, dt=dt).mean(0)
            - exact
        )
        ratios.append(float(rest.mean() / (rest.std() / walkers**0.5)))
    assert torch.tensor(ratios).var() == pytest.approx(1.0, abs=5 * math.sqrt(2 / seeds))


def overlap(alpha: float, omega: float, time: float) -> float:
    """⟨ψ|e^(−TH)|ψ⟩/⟨ψ|ψ⟩ in one dimension for ψ = e^(−αx²/2), which e^(−TH) keeps Gaussian (Mehler)."""
    c, s = math.cosh(omega * time), math.sinh(omega * time)
    later = omega * (alpha * c + omega * s) / (omega * c + alpha * s)
    return math.sqrt(2 * alpha / (alpha + later) / (c + alpha / omega * s))


def test_the_closed_form_of_the_semigroup() -> None:
    """The formula itself: stationary at α = ω, −d/dT at T = 0 the variational energy."""
    assert overlap(2.0, 2.0, 1.3) == pytest.approx(math.exp(-1.3))
    assert -math.log(overlap(0.7, 1.0, 1e-6)) / 1e-6 == pytest.approx(0.25 * (0.7 + 1 / 0.7), rel=1e-4)


@pytest.mark.parametrize("beta", [0.6, 1.4])
def test_weights_make_the_semigroup_whatever_the_drift(beta: float, gaussian, sigmas) -> None:
    """E[e^(−A)] of paths with a drift −βx that belongs to no ψ in sight, up to Trotter's dt²."""
    psi, shape, dt, walkers = gaussian(0.7), (2, 1), 0.02, 40_000
    system = find_system("harmonic")(particles=2, dimensions=1, omega=1.0)
    x = psi.sample(walkers, shape, 4)
    means = {}
    for time in (0.5, 1.5, 2.5):
        noise = normal(walkers, round(time / dt), shape, 5)
        action = girsanov_action(psi, lambda y: -beta * y, system.potential, x, dt, noise).detach()
        weights = (-action).exp()
        assert abs(sigmas(weights, overlap(0.7, 1.0, time) ** 2)) < 4
        means[time] = (float(weights.mean()), float(weights.std() / walkers**0.5))
        # the twin: weights without the Itô term
        wrong = (-without_ito(action, lambda y: -beta * y, x, dt, noise)).exp()
        assert abs(sigmas(wrong, overlap(0.7, 1.0, time) ** 2)) > 10
    # −d/dT log E[e^(−A)] → E0 = 1, from below the variational energy
    (first, first_error), (last, last_error) = means[1.5], means[2.5]
    error = math.hypot(first_error / first, last_error / last)
    assert abs(-math.log(last / first) - 1.0) < 4 * error + 3e-3
    assert error < 0.02 < 2 * 0.25 * (0.7 + 1 / 0.7) - 1


@pytest.mark.parametrize("steps", [1, 5])
@pytest.mark.parametrize("paths", [1, 4])
@pytest.mark.parametrize("name", ["bosons", "he", "chain"])
def test_branches_and_single_paths_agree(name: str, paths: int, steps: int, perturbed) -> None:
    system = find_system(name)(particles=3) if name != "he" else find_system("he")()
    land = explore(system)
    net = perturbed(build(system, land, "auto", 8, 2, 0), 0.1)
    x, dt = land.start(20, torch.Generator().manual_seed(0)), 1e-3
    # the seed that path_samples gives its only chunk
    seed = int(torch.randint(2**62, (1,), generator=torch.Generator().manual_seed(1)))
    noise = brownian_frames(20, paths, steps, tuple(x.shape[1:]), torch.Generator().manual_seed(seed))
    single = torch.stack([girsanov_action(net, net.drift, system.potential, x, dt, noise[:, m]) for m in range(paths)])
    single = single.detach().mean(0) / (steps * dt)
    branched = branched_energy(net, net.value_and_drift, system.potential, x, dt, noise).mean(0)
    # U(x_0) − U(x_K) loses digits to 1/T
    assert torch.allclose(branched, single, rtol=1e-10, atol=1e-14 / (steps * dt) * 100)
    generators = [torch.Generator().manual_seed(1) for _ in range(2)]
    whole = path_samples(net, system, x, generators[0], paths=paths, steps=steps, dt=dt).mean(0)
    assert torch.allclose(whole, branched, rtol=1e-12, atol=1e-10)
    net.chunk = 2 * paths
    parts = path_samples(net, system, x, generators[1], paths=paths, steps=steps, dt=dt).mean(0)
    assert parts.shape == (20,) and not torch.allclose(parts, whole)  # other noise, the same walkers


def test_a_free_drift_has_no_end_terms(gaussian) -> None:
    psi, shape, dt = gaussian([1.3, 0.6]), (2, 2), 0.01
    system = find_system("harmonic")(particles=2, dimensions=2)
    x, noise = psi.sample(10, shape, 1), normal(10, 7, shape, 2)
    *_, end = (y for y in trajectory(psi.drift, x, dt, noise))
    whole = girsanov_action(psi, psi.drift, system.potential, x, dt, noise)
    free = girsanov_action(None, psi.drift, system.potential, x, dt, noise)
    assert torch.allclose(whole, free + psi(x) - psi(end), rtol=1e-12, atol=1e-12)


def trajectory(drift, x: Tensor, dt: float, noise: Tensor):
    for xi in noise:
        x = x + drift(x) * dt + dt**0.5 * xi
        yield x


@pytest.mark.parametrize("stiffness", [1.0, 1.6])
def test_a_free_drift_bounds_the_energy(stiffness: float, gaussian, sigmas) -> None:
    """A `PairDrift` of −αx whose paths run on in its own stationary density: E[A]/T = d/4 (α + 1/α)."""
    system = find_system("harmonic")(particles=2, dimensions=2)
    net = build(system, explore(system), "pair_drift", 4, 1, 0)
    with torch.no_grad():
        for part in (net.pair[-1], net.single[-1]):
            part.weight.zero_()
        net.stiffness *= stiffness
    dt, steps, walkers = 2e-3, 100, 8000
    x = gaussian(stiffness).sample(walkers, (2, 2), 0)
    assert torch.allclose(net.drift(x), -stiffness * x, rtol=1e-9)
    noise = normal(walkers, steps, (2, 2), 1)
    energies = girsanov_action(None, net.drift, system.potential, x, dt, noise) / (steps * dt)
    assert abs(sigmas(energies, stiffness + 1 / stiffness)) < 4
    # the twin: the same walkers in a trap that is a little stiffer
    other = find_system("harmonic")(particles=2, dimensions=2, omega=1.3)
    assert (
        abs(
            sigmas(
                girsanov_action(None, net.drift, other.potential, x, dt, noise) / (steps * dt),
                stiffness + 1 / stiffness,
            )
        )
        > 8
    )
