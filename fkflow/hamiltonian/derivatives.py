"""First and second derivatives of a potential: by automatic differentiation, or by central differences where it has none."""

from __future__ import annotations

from contextlib import suppress

import torch
from torch import Tensor

from fkflow.hamiltonian.system import System
from fkflow.hamiltonian.wrapped import is_differentiable, rounding_of

#: most configurations in one call of a potential
MOST = 2**14


def value_and_gradient(system: System, x: Tensor, length: float | Tensor) -> tuple[Tensor, Tensor]:
    """V (S,) and its gradient (S, N, D) at x (S, N, D), detached. Differences span a small part of `length`, one or (S, 1, 1).

    The error of central differences grows as h² with their step h and falls as rounding/h: h³ = rounding is best.
    """
    if is_differentiable(system):
        with torch.enable_grad():
            x = x.detach().requires_grad_(True)
            value = system.potential(x)
            (gradient,) = torch.autograd.grad(value.sum(), x)
        return value.detach(), gradient
    x = x.detach()
    step = torch.as_tensor(length, dtype=x.dtype).view(-1, 1) * rounding_of(system) ** (1 / 3)
    unit = _unit_vectors(x)
    # V in Python takes about as long for one configuration as for many: all are in one call
    shifts = torch.cat([torch.zeros_like(unit[:1]), unit, -unit])
    values, ahead, behind = _values(system, x[:, None] + step[..., None, None] * shifts).split(
        [1, len(unit), len(unit)], 1
    )
    return values[:, 0], ((ahead - behind) / (2 * step)).view(x.shape)


def gradient_error(system: System, value: Tensor) -> Tensor:
    """About the error (S,) of the gradient in units where the length is 1, for values V (S,) in these units."""
    return 0 * value if is_differentiable(system) else value.abs() * rounding_of(system) ** (2 / 3)


def hessians(system: System, x: Tensor, length: float) -> Tensor:
    """∂²V/∂x∂x (M, d, d) at configurations x (M, N, D); by differences over a small part of `length` where need be.

    That is also where torch knows no second derivative, as of a norm at 0, on which V may depend as on its square, and of
    torch.cdist. One backward pass a row, or four values an entry; as above, the step of second differences is best at h⁴ =
    rounding.
    """
    if is_differentiable(system):
        with suppress(NotImplementedError):
            found = _second_derivatives(system, x.detach().requires_grad_(True))
            if bool(found.isfinite().all()):
                return found
    x = x.detach()
    step = length * rounding_of(system) ** 0.25
    unit = step * _unit_vectors(x)
    # (d, d, N, D): ½(e_i + e_j) and ½(e_i − e_j)
    plus, minus = (0.5 * (unit[:, None] + sign * unit[None]) for sign in (1, -1))
    place = x[:, None, None]
    ends = [_values(system, place + sign * shift) for shift in (plus, minus) for sign in (1, -1)]
    return _symmetric((ends[0] + ends[1] - ends[2] - ends[3]) / step**2)


def _second_derivatives(system: System, x: Tensor) -> Tensor:
    """∂²V/∂x∂x (M, d, d) at x (M, N, D), which needs a gradient; NotImplementedError where torch has none."""
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(system.potential(x).sum(), x, create_graph=True)
        # along some coordinates V may be linear
        gradient = (gradient + 0 * x).flatten(1)
        rows = [torch.autograd.grad(column.sum(), x, retain_graph=True)[0].flatten(1) for column in gradient.unbind(1)]
    return _symmetric(torch.stack(rows, 1))


def _symmetric(matrices: Tensor) -> Tensor:
    half: Tensor = 0.5 * (matrices + matrices.mT)
    return half


def _unit_vectors(x: Tensor) -> Tensor:
    """(d, N, D): displacements of one coordinate each."""
    d = x[0].numel()
    vectors: Tensor = torch.eye(d, dtype=x.dtype, device=x.device).view(d, *x.shape[1:])
    return vectors


def _values(system: System, x: Tensor) -> Tensor:
    """V (…) of configurations x (…, N, D)."""
    parts = x.reshape(-1, *x.shape[-2:]).split(MOST)
    return torch.cat([system.potential(part) for part in parts]).view(x.shape[:-2])
