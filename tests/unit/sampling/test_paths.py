"""Noise and Euler–Maruyama steps: torchsde on the same noise, order of convergence, orthogonal frames."""

from __future__ import annotations

import math

import pytest
import torch
import torchsde
from landscapes import explore
from torch import Tensor

from fkflow.hamiltonian.registry import find_system
from fkflow.networks.choice import build
from fkflow.sampling.paths import brownian_frames, integrate


class Increments:
    """A Brownian motion for torchsde that hands out the increments √dt ξ_k of given noise (K, B, d)."""

    def __init__(self, noise: Tensor, dt: float) -> None:
        self.noise, self.dt, self.shape = noise, dt, noise.shape[1:]
        self.levy_area_approximation = "none"

    def __call__(self, start: Tensor, end: Tensor) -> Tensor:
        assert float(end - start) == pytest.approx(self.dt)
        return self.noise[round(float(start) / self.dt)] * self.dt**0.5


class Diffusion:
    """dX = v dt + dW for flat states (B, d)."""

    noise_type, sde_type = "diagonal", "ito"

    def __init__(self, drift, shape: tuple[int, int]) -> None:
        self.drift, self.shape = drift, shape

    def f(self, t: Tensor, y: Tensor) -> Tensor:
        return self.drift(y.view(-1, *self.shape)).flatten(1)

    def g(self, t: Tensor, y: Tensor) -> Tensor:
        return torch.ones_like(y)


@pytest.mark.parametrize("kind", ["symmetric", "pair_drift"])
def test_torchsde_takes_the_same_steps(kind: str, perturbed) -> None:
    system = find_system("bosons")(particles=3)
    net = perturbed(build(system, explore(system), kind, 8, 1, seed=0))
    generator = torch.Generator().manual_seed(0)
    x0 = torch.randn(7, 3, 2, generator=generator, dtype=torch.float64)
    steps, dt = 64, 2.0**-7
    noise = brownian_frames(7, 1, steps, (3, 2), generator)[:, 0]
    ours = torch.stack([x for x, _, _ in integrate(net.drift, x0, dt, noise)])
    assert ours.shape == (steps + 1, 7, 3, 2)

    def theirs(drift) -> Tensor:
        times = dt * torch.arange(steps + 1, dtype=torch.float64)
        return torchsde.sdeint(
            Diffusion(drift, (3, 2)),
            x0.flatten(1),
            times,
            bm=Increments(noise.flatten(2), dt),
            method="euler",
            dt=dt,
        ).view_as(ours)

    assert (theirs(net.drift) - ours).abs().max() < 1e-12
    # the twin: a drift wrong by a part in a thousand is seen at once
    assert (theirs(lambda x: 1.001 * net.drift(x)) - ours).abs().max() > 1e-4


def test_integrate_yields_state_drift_and_noise() -> None:
    x0, noise = (
        torch.ones(2, 1, 1, dtype=torch.float64),
        torch.tensor([[[[1.0]], [[-2.0]]]], dtype=torch.float64),
    )
    (x, v, dw), (end, no_drift, no_noise) = integrate(lambda y: -3 * y, x0, 0.25, noise)
    assert torch.equal(x, x0) and torch.equal(v, -3 * x0)
    assert dw.flatten().tolist() == [0.5, -1.0]
    assert end.flatten().tolist() == [1 - 0.75 + 0.5, 1 - 0.75 - 1.0]
    assert not no_drift.numel() and not no_noise.numel()


def test_weak_order_one() -> None:
    """E[x_T²] of an Ornstein–Uhlenbeck process, T = 1: the error falls as dt."""
    walkers, start, sizes = 400_000, 2.0, (4, 8, 16, 32)
    square, variance = start**2 * math.exp(-2), 0.5 * (1 - math.exp(-2))
    exact = square + variance
    fine = torch.randn(sizes[-1], walkers, 1, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def errors(drift) -> list[float]:
        found = []
        for steps in sizes:
            # the same Brownian paths at every step size: the bias is compared, not the noise
            noise = fine.view(steps, -1, walkers, 1, 1).sum(1) * (steps / sizes[-1]) ** 0.5
            *_, (end, _, _) = integrate(drift, torch.full_like(noise[0], start), 1 / steps, noise)
            found.append(float(end.square().mean()) - exact)
        return found

    found = errors(lambda x: -x)
    sigma = math.sqrt((4 * square * variance + 2 * variance**2) / walkers)
    assert abs(found[0]) > 20 * sigma
    # Richardson's differences are free of the common noise and of the exact value
    ratios = [(a - b) / (b - c) for a, b, c in zip(found[:-2], found[1:-1], found[2:], strict=True)]
    assert [math.log2(r) for r in ratios] == pytest.approx([1.0, 1.0], abs=0.2)
    extrapolated = 2 * found[-1] - found[-2]
    assert abs(extrapolated) < 4 * sigma + 0.1 * abs(found[-1])
    # the twin: with a wrong drift the limit is wrong
    wrong = errors(lambda x: -1.1 * x)
    assert abs(2 * wrong[-1] - wrong[-2]) > 20 * sigma


@pytest.mark.parametrize(
    ("paths", "steps", "shape"),
    [(1, 1, (1, 1)), (6, 1, (3, 2)), (1, 6, (3, 2)), (4, 3, (2, 2)), (5, 4, (1, 10))],
)
def test_whole_frames_have_exact_second_moments(paths: int, steps: int, shape: tuple[int, int]) -> None:
    xi = brownian_frames(9, paths, steps, shape, torch.Generator().manual_seed(4))
    assert xi.shape == (steps, paths, 9, *shape) and xi.dtype == torch.float64
    flat, d = xi.reshape(steps * paths, 9, -1), shape[0] * shape[1]
    moments = torch.einsum("mbi,mbj->bij", flat, flat) / (steps * paths)
    assert (moments - torch.eye(d)).abs().max() < 1e-12
    independent = brownian_frames(9, paths, steps, shape, torch.Generator().manual_seed(4), orthogonal=False).view_as(
        flat
    )
    assert (torch.einsum("mbi,mbj->bij", independent, independent) / (steps * paths) - torch.eye(d)).abs().max() > 0.1


def test_a_normal_that_is_exactly_zero_still_gives_a_frame() -> None:
    """Single precision draws 0 about once in 2^24: in one dimension that reflection has no direction. Seen in a whole run."""
    walkers, found = 2**21, 0
    for seed in range(40):
        same = torch.Generator().manual_seed(seed)
        torch.randn(1, 1, generator=same, dtype=torch.float64)
        zeros = torch.randn(walkers, 1, generator=same, dtype=torch.float32) == 0
        if bool(zeros.any()):
            xi = brownian_frames(walkers, 1, 1, (1, 1), torch.Generator().manual_seed(seed))
            assert bool((xi.abs() == 1).all())
            found += int(zeros.sum())
        if found > 2:
            break
    assert found, "no such draw in 40 seeds: the test shows nothing"


def test_part_of_a_frame_is_orthogonal() -> None:
    xi = brownian_frames(9, 3, 1, (2, 4), torch.Generator().manual_seed(4))[0].flatten(2)
    gram = torch.einsum("mbi,nbi->bmn", xi, xi)
    assert (gram - 8 * torch.eye(3)).abs().max() < 1e-12


def draws(count: int, **options) -> Tensor:
    """Independent draws of one walker's frame, d = 4: (count, M, 4)."""
    generator = torch.Generator().manual_seed(11)
    return torch.stack(
        [brownian_frames(1, 4, 1, (2, 2), generator, **options)[0, :, 0].flatten(1) for _ in range(count)]
    )


def moment_deviations(xi: Tensor, fourth: float) -> Tensor:
    """Deviations in σ of E[ξ] = 0, E[ξξᵀ] = 1 and E[ξ_i⁴] for each path and direction (M, 24)."""
    second = torch.einsum("nmi,nmj->nmij", xi, xi).flatten(2) - torch.eye(4).flatten()
    values = torch.cat([xi, second, xi**4 - fourth], -1)
    return values.mean(0) / (values.std(0) / len(xi) ** 0.5)


def test_moments_over_draws() -> None:
    """Haar frames: each column √d times uniform on the sphere, E[ξ_i⁴] = 3d/(d + 2); Gaussians: 3."""
    assert moment_deviations(draws(4000), 3 * 4 / 6).abs().max() < 4.5
    assert moment_deviations(draws(4000, orthogonal=False), 3.0).abs().max() < 4.5
    assert moment_deviations(draws(4000), 3.0).abs().max() > 10  # the twin: spheres are no Gaussians


def test_moments_see_frames_that_are_not_haar() -> None:
    """The twin: Q of a QR decomposition without the signs of R, as LAPACK leaves it."""
    normal = torch.randn(4000, 4, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    assert moment_deviations(2 * torch.linalg.qr(normal)[0], 2.0).abs().max() > 10


@pytest.mark.parametrize(("paths", "shape"), [(1, (1, 1)), (1, (3, 1)), (2, (4, 2))])
@pytest.mark.parametrize("orthogonal", [True, False])
def test_walkers_do_not_share_their_noise(paths: int, shape: tuple[int, int], orthogonal: bool, sigmas) -> None:
    """E[ξ_a ξ_bᵀ] = 0 between walkers: else the mean over walkers is noisier than their scatter says."""
    generator = torch.Generator().manual_seed(5)
    pairs = torch.stack(
        [brownian_frames(2, paths, 1, shape, generator, orthogonal=orthogonal)[0].flatten(2) for _ in range(2000)]
    )
    overlap = torch.einsum("nmi,nmi->n", pairs[:, :, 0], pairs[:, :, 1])
    if overlap.std() == 0:
        pytest.fail("all walkers get the same noise")
    assert abs(sigmas(overlap, 0.0)) < 4.5


def test_antithetic_pairs_cancel() -> None:
    xi = brownian_frames(5, 6, 2, (3, 1), torch.Generator().manual_seed(4), antithetic=True)
    assert xi.shape == (2, 6, 5, 3, 1)
    assert torch.equal(xi[:, :3], -xi[:, 3:])
    moments = torch.einsum("kmbi,kmbj->bij", xi[..., 0], xi[..., 0]) / 12
    assert (moments - torch.eye(3)).abs().max() < 1e-12


def test_antithetic_paths_come_in_pairs() -> None:
    with pytest.raises(ValueError, match="3 paths per walker is odd"):
        brownian_frames(5, 3, 2, (3, 1), torch.Generator(), antithetic=True)


def test_noise_depends_on_the_generator_alone() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first, second = (brownian_frames(3, 2, 2, (2, 1), torch.Generator().manual_seed(8)) for _ in range(2))
    assert torch.equal(first, second) and torch.equal(before, torch.get_rng_state())
