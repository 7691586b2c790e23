"""Open paths: weights whose mean is e^(−tH) for any drift, their Jacobian, and the formulas that they end in."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from fkflow.errors import UsageError
from fkflow.hamiltonian.registry import find_system
from fkflow.statistics import z_score
from fkflow.thermal.ends import Ends, points
from fkflow.thermal.formulas import Formula, Gaussian
from fkflow.thermal.open_paths import Sender, action, weights
from tests.unit.thermal.conftest import bridges_of
from tests.unit.thermal.test_bridges import kernel

trap = find_system("harmonic")


def sender_of(system, factor: float = 1.0) -> Sender:
    made = bridges_of(system, 2.0, factor)
    return Sender(made.problem, made.drift)


def mixture(sender: Sender) -> Ends:
    """Two Gaussians, of which none is the function that is propagated."""
    means = torch.tensor([[0.6], [0.9]], dtype=torch.float64)
    return Ends(sender.reference.frequencies, torch.zeros(2, dtype=torch.float64), means, 0.4 + 0.2 * means)


def random_theta(sender: Sender, generator: torch.Generator) -> torch.Tensor:
    return 0.15 * torch.randn(sender.drift.size, generator=generator, dtype=torch.float64)


def test_the_mean_weight_is_the_evolved_function_for_any_drift(generator: torch.Generator) -> None:
    """A wrong reference, a wrong end and a random drift: only the weights know Mehler's kernel."""
    sender = sender_of(trap(particles=1, dimensions=1), factor=0.7)
    length, t, x = sender.problem.length, 1.5, 1.3
    start = torch.full((20_000, 1, 1), x / length, dtype=torch.float64)
    found = sender.send(random_theta(sender, generator), start, mixture(sender), t / length**2, 8, generator)
    z = found.last.flatten() * length
    w = (found.log_w - 2 * (z - 1).square()).exp()
    value, error = float(w.mean()), float(w.std()) / math.sqrt(len(w))
    grid = np.linspace(-8, 8, 1601)
    exact = sum(kernel(x, a, 1.0, t) * math.exp(-2 * (a - 1) ** 2) for a in grid) * 0.01
    assert abs(z_score(value, error, exact)) < 3.5 and error < 0.015 * exact
    # another time, or V counted once too often, would be seen
    assert abs(z_score(value, error, 1.1 * exact)) > 3.5
    coarse = float((found.log_coarse - 2 * (z - 1).square()).exp().mean())
    assert coarse == pytest.approx(exact, rel=0.05)
    # the kernel to a point
    end = points(sender.reference.frequencies, torch.full((len(start), 1), -0.4 / length, dtype=torch.float64))
    w = sender.send(random_theta(sender, generator), start, end, t / length**2, 8, generator).log_w.exp() / length
    exact = kernel(x, -0.4, 1.0, t)
    assert float(w.mean()) == pytest.approx(exact, abs=3.5 * float(w.std()) / math.sqrt(len(w)))
    assert float(w.std()) / math.sqrt(len(w)) < 2e-3 * exact


def test_the_error_of_the_time_step_is_of_fourth_order() -> None:
    """Kernels and actions as matrices on a grid: half the step has a sixteenth of the error, without noise."""
    x = np.linspace(-4, 4, 161)
    step, t = x[1] - x[0], 1.2
    rest, slope = x**4, 4 * x**3
    apart = np.arange(len(x))[:, None] - np.arange(len(x))
    kinetic = np.where(apart == 0, math.pi**2 / 6, (-1.0) ** apart / np.where(apart == 0, 1, apart) ** 2) / step**2
    levels, states = np.linalg.eigh(kinetic + np.diag(0.5 * x**2 + rest))
    exact = (states * np.exp(-t * levels)) @ states.T / step
    offs = []
    for steps in (4, 8):
        dt, found = t / steps, np.eye(len(x))
        free = np.array([[kernel(a, b, 1.0, dt) for b in x] for a in x]) * step
        for number, weight in enumerate(weights(steps).tolist()):
            extra = dt**2 / 12 * slope**2 if number % 2 else 0.0
            found = found @ (free if number else np.eye(len(x))) @ np.diag(np.exp(-weight * dt * (rest + extra)))
        offs.append(float(np.abs(found / step - exact).max() / exact.max()))
    assert 1e-6 < offs[1] < offs[0] / 10


def test_the_action_has_these_weights() -> None:
    rest, squares = torch.rand(9, 3, dtype=torch.float64), torch.rand(9, 3, dtype=torch.float64)
    extra = torch.tensor([k % 2 for k in range(9)], dtype=torch.float64)[:, None] * 0.04 / 12 * squares
    torch.testing.assert_close(action(rest, squares, 0.2), 0.2 * (weights(8)[:, None] * (rest + extra)).sum(0))


@pytest.mark.parametrize("ends", ["function", "point"])
def test_the_jacobian_of_the_log_weight(ends: str, generator: torch.Generator) -> None:
    """The mean of e^log w is the same for all parameters: so is that of its score, ⟨w ∂ log w/∂θ⟩ = 0."""
    sender = sender_of(find_system("quartic")(), factor=0.8)
    start = torch.full((6000, 1, 1), 0.4, dtype=torch.float64)
    goal = mixture(sender) if ends == "function" else points(sender.reference.frequencies, -start[:, 0])
    theta = random_theta(sender, generator)
    found = sender.send(theta, start, goal, 0.8, 4, generator, jacobian=True)
    assert found.jacobian is not None
    # under the proposal a score has the mean 0, each within its error
    z = found.jacobian.mean(0) / (found.jacobian.std(0) / math.sqrt(len(start)) + 1e-300)
    z = z[found.jacobian.std(0) > 1e-12]
    assert float(z.square().mean()) == pytest.approx(1.0, abs=0.8) and len(z) > 20
    assert float(((1.5 * found.jacobian + found.jacobian.std(0)).mean(0) / found.jacobian.std(0)).mean()) > 0.5


def test_formulas() -> None:
    x = torch.linspace(-3, 3, 13, dtype=torch.float64)
    sign, log = Formula("(x - 1)*exp(-x**2/2) - 0.1*cos(pi*x)/(1 + r)", 1, 1)(x[:, None, None])
    known = (x - 1) * (-(x**2) / 2).exp() - 0.1 * (math.pi * x).cos() / (1 + x.abs())
    torch.testing.assert_close(sign * log.exp(), known)
    several = torch.randn(5, 2, 2, dtype=torch.float64)
    sign, log = Formula("exp(-r12)*y2**2", 2, 2)(several)
    torch.testing.assert_close(log.exp(), (-(several[:, 0] - several[:, 1]).norm(dim=1)).exp() * several[:, 1, 1] ** 2)
    far = torch.full((1, 1, 1), 50.0, dtype=torch.float64)
    assert float(Formula("2*exp(-(x-1)**2)", 1, 1)(far)[1]) == pytest.approx(math.log(2) - 49**2)
    assert float(Gaussian(torch.ones(1, 1).double(), 0.5)(far)[1]) == pytest.approx(-2 * 49**2)


@pytest.mark.parametrize(
    "text, word",
    [
        ("exp(-(x-1)**2", "no formula"),
        ("x^2", "power"),
        ("exp(-y**2)", "unknown name y"),
        ("__import__('os').system('ls')", "something else"),
        ("open(x)", "unknown"),
        ("exp(x, x)", "one value"),
        ("x.real", "something else"),
        ("exp", "without what"),
        ("[x][0]", "something else"),
        ("x if x else 1", "something else"),
        ("x % 2", "operator"),
        ("(" * 80 + "x" + "+1)" * 80, "deep"),
        ("1" * 2000, "characters"),
        ("", "no formula"),
    ],
)
def test_what_is_no_formula(text: str, word: str) -> None:
    with pytest.raises(UsageError, match=word) as caught:
        Formula(text, 1, 1)
    assert "\n" not in str(caught.value)
