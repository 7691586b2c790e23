"""Closed paths: kernels of the reference, weights whose mean is Z for any drift, the Jacobian of log w, maps to other β."""

from __future__ import annotations

import math
from itertools import islice

import pytest
import torch

from fkflow.hamiltonian.registry import find_system
from fkflow.statistics import z_score
from fkflow.thermal.estimate import Sums, batches
from fkflow.thermal.reference import Reference, cycles, permuted
from tests.unit.thermal.conftest import bridges_of, oscillators_log_z, random_fit

trap, bosons, mixture = (find_system(name) for name in ("harmonic", "bosons", "mixture"))
#: two and one particle of different masses and traps, without interaction and with springs
TWO_AND_ONE = {"dimensions": 1, "count_a": 2, "count_b": 1, "omega_b": 1.4, "interaction": "spring"}


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


CASES = {
    "one in a plane": (trap(particles=1, dimensions=2), 1.5, 1),
    "three bosons": (trap(particles=3, dimensions=1), 1.0, 3),
    "two species": (mixture(**TWO_AND_ONE, g_aa=0.3, g_bb=0.0, g_ab=0.5), 1.2, 3),
}


def springs_log_z(beta: float) -> float:
    """log Z of the springs of `CASES`: the difference of both a, which an exchange reflects, and two modes of three masses."""
    # ½ xᵀ K x with masses 1, 1, 2 and traps 1, 1, 1.4: squared frequencies of M^−½ K M^−½
    k = torch.tensor([[1 + 0.3 + 0.5, -0.3, -0.5], [-0.3, 1 + 0.3 + 0.5, -0.5], [-0.5, -0.5, 2 * 1.96 + 1.0]])
    root = torch.tensor([1.0, 1.0, 2.0]).sqrt()
    values, modes = torch.linalg.eigh((k / root[:, None] / root).double())
    odd = int((modes[0] + modes[1]).abs().argmin())
    one = [0.5 / math.sinh(0.5 * beta * math.sqrt(w)) for w in values]
    reflected = 0.5 / math.cosh(0.5 * beta * math.sqrt(values[odd]))
    return math.log(0.5 * math.prod(one) * (1 + reflected / one[odd]))


@pytest.mark.parametrize("case", CASES)
def test_the_mean_weight_is_z_for_any_drift(case: str, generator: torch.Generator) -> None:
    """A wrong reference, a random drift and random starts: only the weights know the truth."""
    system, beta, count = CASES[case]
    bridges = bridges_of(system, beta, factor=0.7)
    square = bridges.problem.length**2
    fitted, sums = (
        random_fit(bridges, 1.1 / bridges.problem.length, beta / square, size=0.2),
        Sums(beta / square, bridges.problem.gain),
    )
    for batch in islice(batches(bridges, fitted, beta / square, 12, 512, generator), 10):
        sums.add(batch)

    def exact_log_z(beta: float) -> float:
        if case == "two species":
            return springs_log_z(beta)
        return oscillators_log_z(beta, count, system.dimensions)

    found, exact = sums.log_z(), exact_log_z(beta)
    assert abs(z_score(found.value, found.error, exact)) < 3.5
    assert found.error < 0.02
    # a kernel that forgets 1/n!, or a trap that is 5 % stiffer, would be seen
    assert abs(z_score(found.value, found.error, exact + 0.1)) > 3.5
    logs = [exact_log_z(beta + side * 1e-3) for side in (-1, 0, 1)]
    exact_energy = (logs[0] - logs[2]) / 2e-3
    energy, capacity, _ = sums.slopes()
    assert abs(z_score(energy.value / square, energy.error / square, exact_energy)) < 3.5 and energy.error < 0.1
    exact_capacity = beta**2 * (logs[0] - 2 * logs[1] + logs[2]) / 1e-6
    assert abs(z_score(capacity.value, capacity.error, exact_capacity)) < 3.5 and capacity.error < 0.5
    change = sums.step_error()
    assert change.value < 5 * change.error + 1e-4


@pytest.mark.parametrize(
    "system",
    [find_system("quartic")(), bosons(particles=3), mixture(count_a=2, count_b=1)],
    ids=["one", "three", "two species"],
)
def test_the_jacobian_of_log_w(system, generator: torch.Generator) -> None:
    """Against differences of the log density of the same paths with other parameters."""
    bridges = bridges_of(system, 0.8)
    fitted = random_fit(bridges, 1.0, 0.8)
    assert fitted.theta is not None
    start = fitted.starts.draw(fitted.start_theta, 3, 64, 5, jacobian=True)
    paths, jacobian = bridges.draw(fitted.theta, start.y, start.sent, 0.8, 5, generator, jacobian=True)
    assert jacobian is not None and jacobian.shape == (3, bridges.drift.size)
    along = torch.randn(bridges.drift.size, generator=generator, dtype=torch.float64)
    step = 1e-5
    ahead, behind = (log_proposal(bridges, fitted.theta + side * step * along, paths, 0.8) for side in (1, -1))
    torch.testing.assert_close(jacobian @ along, (behind - ahead) / (2 * step), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(log_proposal(bridges, fitted.theta, paths, 0.8), paths.log_proposal)


def log_proposal(bridges, theta: torch.Tensor, paths, beta: float) -> torch.Tensor:
    """log density of given paths, by distributions of PyTorch."""
    ref, y = bridges.reference, paths.y
    dt, total, end = beta / len(y), y.new_zeros(y.shape[1]), permuted(y[0], paths.sent)
    for i in range(len(y) - 1):
        bridge = ref.bridge(dt, beta - i * dt)
        mean = bridge.near * y[i] + bridge.far * end
        _, slope = bridges.problem.rest(y[i])
        step = bridges.drift.step(mean, -slope, end, bridge, torch.tensor([beta - i * dt], dtype=torch.float64))
        shift, stretch = bridges.drift.change(bridges.drift.outputs(theta, step)[0], step)
        deviation = bridge.spread.expand(-1, ref.bodies, -1).flatten()
        scale = torch.diag(deviation) @ stretch
        gauss = torch.distributions.MultivariateNormal(mean.flatten(1) + deviation * shift, scale @ scale.mT)
        total = total + gauss.log_prob(y[i + 1].flatten(1))
    return total


def test_paths_carried_to_the_same_beta_are_the_same(generator: torch.Generator) -> None:
    bridges = bridges_of(bosons(particles=2), 0.8)
    fitted = random_fit(bridges, 1.0, 0.8)
    assert fitted.theta is not None
    start = fitted.starts.draw(fitted.start_theta, 4, 64, 5)
    paths, _ = bridges.draw(fitted.theta, start.y, start.sent, 0.8, 8, generator)
    beta, one = torch.tensor([0.8, 0.8], dtype=torch.float64), torch.ones(2, 1, 2, dtype=torch.float64)
    for again, size in (bridges.carry(fitted.theta, paths, beta, one), bridges.about_centroid(paths, beta, one)):
        torch.testing.assert_close(again.y, paths.y.repeat(1, 2, 1, 1))
        torch.testing.assert_close(bridges.log_integrand(again), bridges.log_integrand(paths).repeat(2))
        torch.testing.assert_close(size, torch.zeros(8, dtype=torch.float64))


def test_the_jacobian_of_the_start(generator: torch.Generator) -> None:
    """−log q changes by U at the start and by the mean of the change of U over the pool."""
    bridges = bridges_of(bosons(particles=2), 0.8)
    fitted = random_fit(bridges, 1.0, 0.8)
    starts = fitted.starts
    first = starts.draw(fitted.start_theta, 4, 2048, 5, jacobian=True)
    assert first.jacobian is not None
    along = torch.randn(starts.size, generator=generator, dtype=torch.float64)

    def log_q(theta: torch.Tensor) -> torch.Tensor:
        """Of the same places and permutations, with the norm of the same pool."""
        return starts.log_density(theta, first.y, first.sent, 0.8) - starts.draw(theta, 4, 2048, 5).log_norm

    step = 1e-5
    slope = -(log_q(fitted.start_theta + step * along) - log_q(fitted.start_theta - step * along)) / (2 * step)
    torch.testing.assert_close(first.jacobian @ along, slope, rtol=1e-5, atol=1e-6)


def test_the_log_density_of_starts(generator: torch.Generator) -> None:
    bridges = bridges_of(bosons(particles=3), 0.8)
    fitted = random_fit(bridges, 1.0, 0.8)
    start = fitted.starts.draw(fitted.start_theta, 16, 256, 5)
    again = fitted.starts.log_density(fitted.start_theta, start.y, start.sent, 0.8)
    torch.testing.assert_close(again, start.log_density)


def test_cycles_of_a_permutation() -> None:
    found = cycles(torch.tensor([[1, 0, 2, 3, 4], [1, 2, 3, 4, 0], [0, 1, 2, 3, 4]]))
    assert found.diagonal(dim1=1, dim2=2).sum(1).tolist() == pytest.approx([4, 1, 5])
    torch.testing.assert_close(found[0, 0], torch.tensor([0.5, 0.5, 0, 0, 0], dtype=torch.float64))
    torch.testing.assert_close(found.sum(2), torch.ones(3, 5, dtype=torch.float64))


def test_a_pair_of_two_kinds_has_the_mean_of_their_variances() -> None:
    """Of two and two bodies, in steps with deviations of their own; 1 + G of a pair alone, to first order."""
    system = mixture(**TWO_AND_ONE | {"count_b": 2}, g_aa=0.0, g_bb=0.0, g_ab=0.0)
    drift = bridges_of(system, 1.0).drift
    y = torch.randn(3, 4, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    left = torch.tensor([50.0], dtype=torch.float64)
    bridge = drift.reference.bridge(0.3, left)
    step = drift.step(y, 0 * y, y.flip(1), bridge, left)
    bodies, pair = torch.zeros(3, 4, 3).double(), torch.zeros(3, 6, 4).double()
    small = 1e-6
    pair[..., 2] = small
    _, matrix = drift.change([bodies, pair], step)
    variance = 0.5 * bridge.spread[0, :, 0].square()
    assert float(variance.max() / variance.min()) > 1.01
    for p, row in enumerate(drift.signs):
        i, j = row.nonzero()[:, 0].tolist()
        expected = small * 0.5 * row[i] * row[j] * 0.5 * (variance[i] + variance[j])
        torch.testing.assert_close(matrix[:, i, j], expected.expand(3), rtol=1e-6, atol=0)
        assert drift.both[p, i, j] == 0.5 * row[i] * row[j]
