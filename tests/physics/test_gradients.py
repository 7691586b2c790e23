"""Gradients of the energy: against closed forms, finite differences of the same paths, and one another."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from gradients import SYSTEMS, flat_gradient
from landscapes import explore
from torch import Tensor
from torch.func import functional_call

from fkflow.hamiltonian.registry import find_system
from fkflow.networks.choice import LogPsi, PairDrift, build
from fkflow.sampling.path_energies import path_samples
from fkflow.sampling.paths import brownian_frames, girsanov_action
from fkflow.training import gradients
from fkflow.training.gradients import covariance_gradient, jacobian, pathwise_gradient

FIRST_ITERATIONS = """
import sys
from fkflow.recipe.config import TrainConfig
from fkflow.training.gradients import _vmapped_gradients
from fkflow.hamiltonian.landscape import explore
from fkflow.networks.choice import build
from fkflow.hamiltonian.registry import find_system
from fkflow.training.loop import initial_state, train

for name in ("h2", "bosons"):
    system, config = find_system(name)(), TrainConfig(walkers=32, iterations=1, equilibrate=5)
    land = explore(system)
    net = build(system, land, "auto", 5, 2, 0)
    before = [p.clone() for p in net.parameters()]
    state = initial_state(net, land, config, 0, "cpu", system)
    records = list(train(system, land, config, state))
    assert len(records) == 1 and any(bool((p != q).any()) for p, q in zip(net.parameters(), before))
    print(*("torch._dynamo" in sys.modules, "sympy" in sys.modules))
_vmapped_gradients(net, state.walkers.x[:2])
print("torch._dynamo" in sys.modules)
"""


def test_training_does_not_wait_for_the_compiler() -> None:
    """The first iteration must not import what takes longer than itself; the twin is the way that does."""
    done = subprocess.run([sys.executable, "-c", FIRST_ITERATIONS], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["False"] * 4 + ["True"]


def test_backward_and_jacobian_form_agree(case) -> None:
    _, net, x, _ = case
    energies = torch.randn(len(x), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    covariance_gradient(net, x, energies)
    expected = 2 * (energies - energies.mean()) @ jacobian(net, x) / len(x)
    assert torch.allclose(flat_gradient(net), expected, rtol=1e-9, atol=1e-11)
    # a constant energy has no gradient, and the earlier .grad is replaced
    covariance_gradient(net, x, 0 * energies + 7)
    assert flat_gradient(net).abs().max() < 1e-12


@pytest.mark.parametrize("alpha", [0.6, 1.7])
@pytest.mark.parametrize("steps", [1, 4])
def test_the_covariance_gradient_of_a_gaussian(alpha: float, steps: int, gaussian, sigmas) -> None:
    """dE/dα = d/4 (1 − ω²/α²) for E = d/4 (α + ω²/α)."""
    system, psi, walkers = find_system("harmonic")(particles=2, dimensions=1), gaussian(alpha), 400
    exact = 0.5 * (1 - 1 / alpha**2)

    def gradients_of(density: LogPsi, blocks: int = 60) -> list[float]:
        found = []
        for seed in range(blocks):
            x = density.sample(walkers, (2, 1), seed)
            energies = path_samples(
                psi, system, x, torch.Generator().manual_seed(seed), paths=2, steps=steps, dt=1e-5
            ).mean(0)
            covariance_gradient(psi, x, energies)
            found.append(float(psi.alpha.grad) * walkers / (walkers - 1))  # unbiased covariance
        return found

    assert abs(sigmas(gradients_of(psi), exact)) < 4
    # the twin: the same estimator on walkers of another density
    assert abs(sigmas(gradients_of(gaussian(0.7 * alpha)), exact)) > 8


def same_noise_loss(
    net,
    system,
    x: Tensor,
    seed: int,
    steps: int,
    dt: float,
    values: dict[str, Tensor],
    pull: Tensor | None,
    terminal: bool = True,
) -> Tensor:
    """A/T (B,) at parameters `values` with the noise `pathwise_gradient` draws; Û is net as it is, or Û = pull·x."""
    generator = torch.Generator().manual_seed(seed)
    noise = brownian_frames(len(x), 1, steps, tuple(x.shape[1:]), generator, orthogonal=False)[:, 0]
    ends = [x]

    def drift(y: Tensor) -> Tensor:
        if isinstance(net, PairDrift):
            return functional_call(net, values, (y,))
        y = y.detach().requires_grad_(True)
        return torch.autograd.grad(functional_call(net, values, (y,)).sum(), y)[0]

    def height(y: Tensor) -> Tensor:
        ends[:] = [y]
        return system.potential(y)

    action = girsanov_action(None, drift, height, x, dt, noise).detach()
    if terminal and pull is not None:
        action = action - (pull * ends[0]).sum((1, 2))
    elif terminal and not isinstance(net, PairDrift):
        action = action + (net(x) - net(ends[0])).detach()
    return action / (steps * dt)


@pytest.mark.parametrize("kind", ["auto", "pair_drift"])
@pytest.mark.parametrize("name", ["bosons", "quartic", "h"])
@pytest.mark.parametrize("steps", [3, 12])
def test_the_pathwise_gradient_is_that_of_the_same_noise(name: str, kind: str, steps: int, perturbed) -> None:
    """Central differences of mean A/T along random directions, noise and x_0 held."""
    system = SYSTEMS[name]
    land = explore(system)
    net = perturbed(build(system, land, kind, 5, 1, 0), 0.1)
    x, dt = land.start(24, torch.Generator().manual_seed(0)), 0.02 * land.length**2
    if name == "h":
        x = x[x.norm(dim=-1)[:, 0] > 0.7]  # finite differences across the cusp mean nothing
    energies, ends = pathwise_gradient(net, system, x, torch.Generator().manual_seed(7), steps=steps, dt=dt)
    gradient = flat_gradient(net)
    values = {n: p.detach() for n, p in net.named_parameters()}
    # without a log ψ the slope of Û is the drift itself
    pull = net.drift(ends) if isinstance(net, PairDrift) else None

    def loss(changes: dict[str, Tensor], h: float, terminal: bool = True) -> Tensor:
        moved = {n: p + h * changes[n] for n, p in values.items()}
        return same_noise_loss(net, system, x, 7, steps, dt, moved, pull, terminal)

    assert torch.allclose(energies, loss(values, 0.0, pull is None), rtol=1e-9, atol=1e-9)
    assert ends.shape == x.shape and not ends.requires_grad
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        changes = {n: torch.randn(p.shape, generator=generator, dtype=p.dtype) for n, p in values.items()}
        along = float(gradient @ torch.cat([c.flatten() for c in changes.values()]))
        slope = (loss(changes, 1e-5) - loss(changes, -1e-5)).mean() / 2e-5
        assert along == pytest.approx(float(slope), rel=1e-4, abs=1e-6)
        # the twin: without the terminal value it is another
        slope = (loss(changes, 1e-5, False) - loss(changes, -1e-5, False)).mean() / 2e-5
        assert abs(along - float(slope)) > 1e-3


def moments_loss(alpha: Tensor, start: float, steps: int, dt: float, terminal: float) -> Tensor:
    """E[A]/T of Euler–Maruyama, v = −αx, V = ½x², by the recursion of E[x²]; Û = −½ terminal x²."""
    m, total = torch.tensor(1 / (2 * start), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    first = m
    for _ in range(steps):
        later = (1 - alpha * dt) ** 2 * m + dt
        total = total + dt * (0.5 * alpha**2 * m + 0.25 * (m + later))
        m = later
    return (total + 0.5 * terminal * (m - first)) / (steps * dt)


@pytest.mark.parametrize("alpha", [0.6, 1.7])
def test_the_pathwise_gradient_of_a_gaussian(alpha: float, gaussian, sigmas) -> None:
    """Within σ of the derivative of the moments, which obey a closed recursion; it has the sign of dE/dα."""
    system, psi, steps, dt = find_system("harmonic")(particles=2, dimensions=1), gaussian(alpha), 10, 0.02

    def exact(terminal: float) -> float:
        a = torch.tensor(alpha, dtype=torch.float64, requires_grad=True)
        (2 * moments_loss(a, alpha, steps, dt, terminal)).backward()
        return float(a.grad)

    found, means = [], []
    for seed in range(30):
        x = psi.sample(2000, (2, 1), seed)
        energies, _ = pathwise_gradient(psi, system, x, torch.Generator().manual_seed(seed), steps=steps, dt=dt)
        found.append(float(psi.alpha.grad))
        means.append(float(energies.mean()))
    assert abs(sigmas(found, exact(alpha))) < 4
    value = 2 * float(moments_loss(torch.tensor(alpha, dtype=torch.float64), alpha, steps, dt, alpha))
    assert abs(sigmas(means, value)) < 4
    assert np.sign(np.mean(found)) == np.sign(1 - 1 / alpha**2)
    # the twin: without the terminal value short paths learn something else
    assert abs(sigmas(found, exact(0.0))) > 8


@pytest.mark.parametrize("kind", ["auto", "pair_drift"])
@pytest.mark.parametrize("steps", [9, 30])
def test_recomputed_segments_change_nothing(kind: str, steps: int, perturbed, monkeypatch) -> None:
    system = SYSTEMS["bosons"]
    land = explore(system)
    net = perturbed(build(system, land, kind, 5, 1, 0), 0.1)
    x = land.start(16, torch.Generator().manual_seed(0))
    found = []
    for keep in (gradients.KEEP_STEPS, 1000):
        monkeypatch.setattr(gradients, "KEEP_STEPS", keep)
        energies, ends = pathwise_gradient(net, system, x, torch.Generator().manual_seed(7), steps=steps, dt=0.01)
        found.append((energies, ends, flat_gradient(net).clone()))
    assert steps > gradients.KEEP_STEPS or keep == 1000
    for short, whole in zip(*found, strict=True):
        assert torch.allclose(short, whole, rtol=1e-10, atol=1e-12)
