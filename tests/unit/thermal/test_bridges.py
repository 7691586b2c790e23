"""Closed paths: kernels of the reference, weights whose mean is Z for any drift, the Jacobian of log w, maps to other β."""

from __future__ import annotations

import math
from itertools import islice

import pytest
import torch

from fkflow.hamiltonian.registry import find_system
from fkflow.statistics import z_score
from fkflow.thermal.estimate import Sums, batches
from fkflow.thermal.reference import Reference
from tests.unit.thermal.conftest import bridges_of, oscillators_log_z, random_fit

trap, bosons = find_system("harmonic"), find_system("bosons")


def kernel(x: float, y: float, omega: float, t: float) -> float:
    """Mehler's kernel of one coordinate."""
    sh, ch = math.sinh(omega * t), math.cosh(omega * t)
    return math.sqrt(omega / (2 * math.pi * sh)) * math.exp(-omega / (2 * sh) * ((x * x + y * y) * ch - 2 * x * y))


def test_the_kernel_of_the_reference_and_its_bridge() -> None:
    ref = Reference(torch.tensor([0.7, 1.9], dtype=torch.float64), 1, False)
    x, m, y = (torch.tensor([[[a, b]]], dtype=torch.float64) for a, b in ((0.3, -1.0), (0.5, 0.2), (-0.8, 0.4)))
    known = kernel(0.3, -0.8, 0.7, 1.3) * kernel(-1.0, 0.4, 1.9, 1.3)
    assert float(ref.log_kernel(x, y, 1.3)) == pytest.approx(math.log(known), rel=1e-12)
    # k0(x, m; dt) k0(m, y; τ − dt)/k0(x, y; τ) is the Gaussian of the bridge
    bridge = ref.bridge(0.4, 1.3)
    off = (m - bridge.near * x - bridge.far * y) / bridge.spread
    log_gauss = float((-0.5 * off.square() - bridge.spread.log() - 0.5 * math.log(2 * math.pi)).sum())
    log_ratio = ref.log_kernel(x, m, 0.4) + ref.log_kernel(m, y, 0.9) - ref.log_kernel(x, y, 1.3)
    assert float(log_ratio) == pytest.approx(log_gauss, rel=1e-12)


def test_the_kernel_of_bosons_is_the_sum_over_permutations(generator: torch.Generator) -> None:
    ref = Reference(torch.tensor([0.7, 1.9], dtype=torch.float64), 3, True)
    x, y = (torch.randn(4, 3, 2, generator=generator, dtype=torch.float64) for _ in range(2))
    every = torch.stack([ref.log_kernel(x, y[:, order], 0.8) for order in ref.permutations])
    expected = every.logsumexp(0) - math.log(6)
    torch.testing.assert_close(ref.log_closed_kernel(x, y, 0.8), expected)
    assert not torch.allclose(every[0], expected)


CASES = {
    "one in a plane": (trap(particles=1, dimensions=2), 1.5, 1),
    "three bosons": (trap(particles=3, dimensions=1), 1.0, 3),
}


@pytest.mark.parametrize("case", CASES)
def test_the_mean_weight_is_z_for_any_drift(case: str, generator: torch.Generator) -> None:
    """A wrong reference, a random drift and random starts: only the weights know the truth."""
    system, beta, count = CASES[case]
    bridges = bridges_of(system, beta, factor=0.7)
    square = bridges.problem.length**2
    fitted, sums = random_fit(bridges, 1.1 / bridges.problem.length), Sums(beta / square)
    for batch in islice(batches(bridges, fitted, beta / square, 10, 512, generator), 32):
        sums.add(batch)
    found, exact = sums.log_z(), oscillators_log_z(beta, count, system.dimensions)
    assert abs(z_score(found.value, found.error, exact)) < 3.5
    assert found.error < 0.02
    # a kernel that forgets 1/n!, or a trap that is 5 % stiffer, would be seen
    assert abs(z_score(found.value, found.error, exact + 0.1)) > 3.5
    logs = [oscillators_log_z(beta + side * 1e-3, count, system.dimensions) for side in (-1, 0, 1)]
    exact_energy = (logs[0] - logs[2]) / 2e-3
    energy, capacity = sums.slopes()
    assert abs(z_score(energy.value / square, energy.error / square, exact_energy)) < 3.5 and energy.error < 0.1
    exact_capacity = beta**2 * (logs[0] - 2 * logs[1] + logs[2]) / 1e-6
    assert abs(z_score(capacity.value, capacity.error, exact_capacity)) < 3.5 and capacity.error < 0.5
    change = sums.step_change()
    assert abs(change.value) < 5 * change.error + 1e-3


@pytest.mark.parametrize("system", [find_system("quartic")(), bosons(particles=3)], ids=["one", "three"])
def test_the_jacobian_of_log_w(system, generator: torch.Generator) -> None:
    """Against differences of the log density of the same paths with other parameters."""
    bridges = bridges_of(system, 0.8)
    fitted = random_fit(bridges, 1.0)
    assert fitted.theta is not None
    start = fitted.starts.draw(fitted.start_theta, 3, 64, 5, jacobian=True)
    state = generator.get_state()
    paths, jacobian = bridges.draw(fitted.theta, start.y, 0.8, 5, generator, jacobian=True)
    assert jacobian is not None and jacobian.shape == (3, bridges.drift.size)
    along = torch.randn(bridges.drift.size, generator=generator, dtype=torch.float64)
    step = 1e-5
    densities = []
    for side in (1, -1):
        generator.set_state(state)
        densities.append(log_proposal(bridges, fitted.theta + side * step * along, paths.y, 0.8))
    slope = -(densities[0] - densities[1]) / (2 * step)
    torch.testing.assert_close(jacobian @ along, slope, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(log_proposal(bridges, fitted.theta, paths.y, 0.8), paths.log_proposal)


def log_proposal(bridges, theta: torch.Tensor, y: torch.Tensor, beta: float) -> torch.Tensor:
    """log density of given paths, the sum over permutations written out."""
    ref, steps = bridges.reference, len(y)
    dt, total = beta / steps, y.new_zeros(y.shape[1])
    for i in range(steps - 1):
        bridge = ref.bridge(dt, beta - i * dt)
        share = ref.log_shares(y[i], y[0], bridge.overlap).softmax(1)
        target = sum(share[:, [k], None] * y[0][:, order] for k, order in enumerate(ref.permutations))
        mean = bridge.near * y[i] + bridge.far * target
        _, slope = bridges.problem.rest(y[i])
        step = bridges.drift.step(mean, -slope, y[0], share, target, beta - i * dt)
        shift, stretch = bridges.drift.change(bridges.drift.outputs(theta, step)[0], step, bridge, beta - i * dt)
        parts = []
        for k, order in enumerate(ref.permutations):
            centre = bridge.near * y[i] + bridge.far * y[0][:, order] + bridge.spread * shift
            scale = torch.diag(bridge.spread.repeat(ref.bodies)) @ stretch
            gauss = torch.distributions.MultivariateNormal(centre.flatten(1), scale @ scale.mT)
            parts.append(share[:, k].log() + gauss.log_prob(y[i + 1].flatten(1)))
        total = total + torch.stack(parts).logsumexp(0)
    return total


def test_paths_carried_to_the_same_beta_are_the_same(generator: torch.Generator) -> None:
    bridges = bridges_of(bosons(particles=2), 0.8)
    fitted = random_fit(bridges, 1.0)
    assert fitted.theta is not None
    start = fitted.starts.draw(fitted.start_theta, 4, 64, 5)
    paths, _ = bridges.draw(fitted.theta, start.y, 0.8, 6, generator)
    log_f = bridges.log_integrand(paths.y, paths.rest, paths.squares, 0.8)
    one = torch.ones(2, dtype=torch.float64)
    for again, size in (bridges.carry(fitted.theta, paths, 0.8, one), bridges.about_centroid(paths, 0.8, one)):
        torch.testing.assert_close(again, log_f)
        torch.testing.assert_close(size, torch.zeros(4, dtype=torch.float64))


def test_the_jacobian_of_the_start(generator: torch.Generator) -> None:
    """−log q changes by U at the start and by the mean of the change of U over the pool."""
    bridges = bridges_of(bosons(particles=2), 0.8)
    fitted = random_fit(bridges, 1.0)
    starts = fitted.starts
    first = starts.draw(fitted.start_theta, 4, 2048, 5, jacobian=True)
    assert first.jacobian is not None
    along = torch.randn(starts.size, generator=generator, dtype=torch.float64)

    def log_q(theta: torch.Tensor) -> torch.Tensor:
        """Of the same places, with the norm of the same pool."""
        inside = starts._exponent(theta, first.y)[0]
        learned = (inside - starts.level).exp() + 0.01
        return learned.log() - starts.draw(theta, 4, 2048, 5).log_norm

    step = 1e-5
    slope = -(log_q(fitted.start_theta + step * along) - log_q(fitted.start_theta - step * along)) / (2 * step)
    torch.testing.assert_close(first.jacobian @ along, slope, rtol=1e-5, atol=1e-6)
