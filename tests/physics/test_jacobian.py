"""The Jacobian of log ψ and slopes of its gradient, by every way that there is."""

from __future__ import annotations

import copy

import pytest
import torch
from gradients import SYSTEMS, flat_gradient
from landscapes import explore
from torch import Tensor

from fkflow.networks.choice import LogPsi, SymmetricNet, default_float64
from fkflow.networks.layers import affine
from fkflow.training import gradients
from fkflow.training.gradients import add_to_parameters, jacobian, jacobian_and_derivatives


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
