"""Gradients of the energy: against closed forms, finite differences of the same paths, and one another."""

from __future__ import annotations

import copy
import subprocess
import sys

import numpy as np
import pytest
import torch
from landscapes import explore
from torch import Tensor
from torch.func import functional_call

from fkflow.hamiltonian.registry import find_system
from fkflow.networks.choice import LogPsi, PairDrift, SymmetricNet, build, default_float64
from fkflow.networks.layers import affine
from fkflow.sampling.path_energies import path_samples
from fkflow.sampling.paths import brownian_frames, girsanov_action
from fkflow.training import gradients
from fkflow.training.gradients import (
    add_to_parameters,
    covariance_gradient,
    jacobian,
    jacobian_and_derivatives,
    pathwise_gradient,
)

SYSTEMS = {
    "bosons": find_system("bosons")(particles=3),
    "chain": find_system("chain")(particles=4),
    "quartic": find_system("quartic")(),
    "h": find_system("h")(),
    "h2": find_system("h2")(),
}


@pytest.fixture(params=SYSTEMS)
def case(request, perturbed):
    """A system, a small network with random parameters, walkers, the natural time."""
    system = SYSTEMS[request.param]
    land = explore(system)
    net = perturbed(build(system, land, "auto", 5, 1, 0), 0.15)
    return system, net, land.start(12, torch.Generator().manual_seed(0)), land.length**2


def flat_gradient(net: torch.nn.Module) -> Tensor:
    return torch.cat([torch.zeros(p.numel()) if p.grad is None else p.grad.flatten() for p in net.parameters()])


# ----------------------------------------------------------------------------------------- the Jacobian


def test_jacobian_against_autograd(case) -> None:
    _, net, x, _ = case
    rows = []
    for walker in x:
        net.zero_grad()
        net(walker[None])[0].backward()
        rows.append(flat_gradient(net))
    found = jacobian(net, x)
    assert torch.allclose(found, torch.stack(rows), rtol=1e-9, atol=1e-10)
    net.chunk = 20
    assert torch.allclose(jacobian(net, x), found, rtol=1e-9, atol=1e-10)
    assert not found.requires_grad


def one_by_one(net: LogPsi, x: Tensor) -> Tensor:
    """The Jacobian of any network."""
    return torch.cat([g.reshape(len(x), -1) for g in gradients._vmapped_gradients(net, x)], 1)


def same(found: Tensor, expected: Tensor) -> bool:
    return torch.allclose(found, expected, rtol=1e-12, atol=1e-12 * float(expected.detach().abs().max()))


def forgetful(net: LogPsi, name: str) -> LogPsi:
    """The same network, whose forward pass has no gradient with respect to one of its parameters."""

    class Forgetful(type(net)):
        walkerwise = True

        def forward(self, x: Tensor) -> Tensor:
            module, _, parameter = name.rpartition(".")
            held = self.get_submodule(module)._parameters
            held[parameter] = held[parameter].detach()
            return super().forward(x)

    other = copy.deepcopy(net)
    other.__class__ = Forgetful
    return other


def test_both_ways_to_the_jacobian_agree(random_case) -> None:
    net, x = random_case
    assert type(net).walkerwise
    before = {name: p.clone() for name, p in net.named_parameters()}
    expected = one_by_one(net, x)
    for net.chunk in (0, 30, 1):
        assert same(jacobian(net, x), expected)
    with torch.no_grad():
        assert same(jacobian(net, x), expected)
    # the network is as it was
    assert all(torch.equal(p, before[name]) and p.grad is None for name, p in net.named_parameters())
    # the twin: a parameter that is left out is missed, whichever it is
    for name in before:
        assert not same(jacobian(forgetful(net, name), x), expected)


def test_a_subclass_does_not_inherit_walkerwise(perturbed) -> None:
    """Its own forward pass may be one that copies of the parameters would silently make wrong."""

    class Squeezed(SymmetricNet):
        def __init__(self, *arguments, **options) -> None:
            super().__init__(*arguments, **options)
            self.squeeze = torch.nn.Parameter(torch.tensor(0.1))

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) - (self.squeeze * x.square()).sum((1, 2))

    class Overconfident(Squeezed):
        walkerwise = True

    land = explore(SYSTEMS["bosons"])
    x = land.start(2, torch.Generator().manual_seed(0))  # as many walkers as dimensions: the copies fit, but wrongly
    for kind in (Squeezed, Overconfident):
        with default_float64():
            net = perturbed(kind(land, 5, 1, isotropic=True, separable=False))
        assert same(jacobian(net, x), one_by_one(net, x)) == (kind is Squeezed)


@pytest.mark.parametrize("middle", [(), (3,), (3, 2)])
@pytest.mark.parametrize("biased", [True, False])
def test_layers_of_walkers(middle: tuple[int, ...], biased: bool) -> None:
    """Copies of one weight: the same values and slopes as the shared one, and gradients walker by walker."""
    generator = torch.Generator().manual_seed(0)
    a, weight, bias, slope = (
        torch.randn(shape, generator=generator, dtype=torch.float64)
        for shape in ((4, *middle, 5), (2, 4), (2,), (2, *middle, 5))
    )
    a.requires_grad_()
    shared = (weight, bias) if biased else (weight,)
    copies = [p.expand(5, *p.shape).requires_grad_() for p in shared]
    out = affine(a, *copies)
    assert torch.equal(out, affine(a, *shared))
    to_a, *found = torch.autograd.grad((slope * out).sum(), [a, *copies])
    assert torch.allclose(to_a, torch.einsum("o...,oi->i...", slope, weight), rtol=1e-13)
    expected = [torch.einsum("o...b,i...b->boi", slope, a), slope.reshape(2, -1, 5).sum(1).mT]
    for one, other in zip(found, expected, strict=False):
        assert torch.allclose(one, other, rtol=1e-13, atol=1e-14)
    with pytest.raises(AssertionError):
        affine(a, *(p.contiguous() for p in copies))


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


def test_a_flat_step_follows_the_order_of_the_jacobian(case) -> None:
    """U(θ + h δ) − U(θ) = h O δ: the columns of O are the parameters in the order that `add_to_parameters` takes."""
    _, net, x, _ = case
    o, before, h = jacobian(net, x), net(x).detach(), 1e-6
    direction = torch.randn(o.shape[1], generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    add_to_parameters(net, h * direction)
    assert torch.allclose((net(x).detach() - before) / h, o @ direction, rtol=1e-4, atol=1e-4)


def test_slopes_against_finite_differences(case) -> None:
    """K_ij = ½⟨∇∂_iU·∇∂_jU⟩: the slopes are ∇∂_iU·ξ, and half their mean outer product over ξ is K."""
    _, net, x, unit = case
    h, step = 1e-4 * unit**0.5, 1e-5 * unit**0.5
    columns = []
    for i in range(x.shape[1]):
        for a in range(x.shape[2]):
            shift = torch.zeros_like(x)
            shift[:, i, a] = h
            columns.append((jacobian(net, x + shift) - jacobian(net, x - shift)) / (2 * h))
    mixed = torch.stack(columns, -1)  # ∂_x ∂_θ U, (B, P, d)
    here = jacobian(net, x)
    beside, slope = jacobian_and_derivatives(net, x, len(x), torch.Generator().manual_seed(3), step).split(len(x))
    assert torch.allclose(beside, here, rtol=1e-9, atol=1e-12)
    xi = torch.randn(x.shape, generator=torch.Generator().manual_seed(3), dtype=x.dtype).flatten(1)
    expected = torch.einsum("bpd,bd->bp", mixed, xi)
    assert float((slope - expected).norm() / expected.norm()) < 2e-3
    # mean over directions, for one combination c of parameters at a time, in standard errors
    repeats = 200
    crowd = x.repeat(repeats, 1, 1)
    many = jacobian_and_derivatives(net, crowd, len(crowd), torch.Generator().manual_seed(4), step)[len(crowd) :]
    for seed in range(3):
        c = torch.randn(here.shape[1], generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        exact = torch.einsum("bpd,p->bd", mixed, c).square().sum(1).mean()
        values = (many @ c).square().view(repeats, -1).mean(1)
        sigma = float(values.std()) / repeats**0.5
        assert abs(float(values.mean() - exact)) < 4 * sigma + 1e-2 * float(exact)
        assert abs(float(values.mean() - 1.5 * exact)) > 4 * sigma  # the twin: half as much again is seen


# ---------------------------------------------------------------------------------- covariance gradient


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


# ------------------------------------------------------------------------------------ pathwise gradient


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
