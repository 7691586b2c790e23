"""Estimators of the energy and of its gradient with respect to the network parameters.

covariance: ∇E = 2 Cov(∂θU(x_0), A/T) over starts x_0 ~ ψ², from paths that are not differentiated.
pathwise: backpropagation of the batch mean of A through the Euler–Maruyama steps.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.utils.checkpoint import checkpoint

from fkflow.execution import ranks
from fkflow.execution.chunks import fit_in_memory
from fkflow.execution.threads import each
from fkflow.hamiltonian.system import System
from fkflow.networks.choice import LogPsi, PairDrift
from fkflow.networks.substitution import substitute
from fkflow.sampling.paths import brownian_frames, girsanov_action

#: paths longer than this are recomputed for backpropagation, in segments of about √K steps
KEEP_STEPS = 8
#: size of a chunk for Jacobians on a CPU, in that for gradients: leaving the cache costs less than launching more operations
JACOBIAN_CHUNK = 4


def jacobian(psi: LogPsi, x: Tensor) -> Tensor:
    """Per-walker gradients ∂θU(x_b), (B, P), parameters in the order of ``psi.parameters()``."""
    # a class declares this for its own forward; that of a subclass may be written otherwise
    batched = vars(type(psi)).get("walkerwise", False)
    method = _batched_gradients if batched else _vmapped_gradients
    sizes = [p.numel() for p in psi.parameters()]
    # a walker's gradient takes memory beside its layers, but is read only once or twice
    share = psi.width / (psi.width + sum(sizes) / 4)

    def fill(item: tuple[Tensor, Tensor]) -> None:
        part, rows = item
        # written in place: concatenating pieces would take as long as computing them
        for columns, gradient in zip(rows.split(sizes, 1), method(psi, part), strict=True):
            with torch.no_grad():
                columns.copy_(gradient.reshape(columns.shape))

    def attempt(chunk: int) -> Tensor:
        out = x.new_empty(len(x), sum(sizes))
        # a chunk that the recipe or the memory of a device limits is not enlarged
        size = max(1, int(share * chunk * (JACOBIAN_CHUNK if x.is_cpu and not psi.chunk else 1)))
        items = list(zip(x.split(size), out.split(size), strict=True))
        if batched:
            each(fill, items)
        else:  # that changes the network for a while
            for item in items:
                fill(item)
        return out

    return fit_in_memory(psi, attempt)


def _batched_gradients(psi: LogPsi, x: Tensor) -> Iterable[Tensor]:
    """∂θU(x_b) (B, …) for each parameter, by one backward pass through a copy of the parameters for each walker."""
    copies = [p.detach().expand(len(x), *p.shape).requires_grad_() for p in psi.parameters()]
    instead = {id(p): own for p, own in zip(psi.parameters(), copies, strict=True)}
    with torch.enable_grad():
        total = substitute(psi, instead)(x).sum()
    return torch.autograd.grad(total, copies, materialize_grads=True)


def _vmapped_gradients(psi: LogPsi, x: Tensor) -> Iterable[Tensor]:
    """∂θU(x_b) (B, …) for each parameter of any network, by vmap over walkers.

    Slower, and its first call imports the compiler of PyTorch, which takes a second.
    """
    parameters = {name: p.detach() for name, p in psi.named_parameters()}
    buffers = dict(psi.named_buffers())

    def single(values: dict[str, Tensor], y: Tensor) -> Tensor:
        value: Tensor = functional_call(psi, (values, buffers), (y[None],))[0]
        return value

    gradients: dict[str, Tensor] = vmap(grad(single), in_dims=(None, 0))(parameters, x)
    return gradients.values()


def jacobian_and_derivatives(psi: LogPsi, x: Tensor, count: int, generator: torch.Generator, step: float) -> Tensor:
    """∂θU(x) (B, P) and below it, for the first `count` walkers, its derivative (∂θU(x + hξ) − ∂θU(x))/h along a Gaussian ξ.

    Half the mean outer product of these derivatives is K_ij = ½⟨∇∂_iU·∇∂_jU⟩. At the ground state K is the Hessian of the
    energy, ⟨∂_iψ|H − E0|∂_jψ⟩.
    """
    xi = torch.randn(count, *x.shape[1:], generator=generator, device=x.device, dtype=x.dtype)
    both = jacobian(psi, torch.cat([x, x[:count] + step * xi]))
    both[len(x) :].sub_(both[:count]).div_(step)
    return both


def covariance_gradient(psi: LogPsi, x: Tensor, energies: Tensor, weights: Tensor | None = None) -> None:
    """Put 2 Cov(∂θU(x), E) over walkers with `weights` (B,) into the parameters' .grad, by one backward pass.

    With several ranks x are this rank's walkers, energies and weights those of all: the gradient is the sum of the ranks'.
    """
    psi.zero_grad(set_to_none=True)
    share = torch.ones_like(energies) if weights is None else weights
    share = share / share.sum()
    weight = 2 * share * (energies - (share * energies).sum())
    with torch.enable_grad():
        (ranks.own_part(weight) * psi(x)).sum().backward()


def pathwise_gradient(
    net: LogPsi | PairDrift, system: System, x: Tensor, generator: torch.Generator, *, steps: int, dt: float
) -> tuple[Tensor, Tensor]:
    """Put ∂θ mean(A)/T into .grad; returns A/T (B,) and the ends x_K (B, N, D), detached.

    Walkers go in chunks where `train.chunk` is set, or where memory runs out.
    """
    noise = brownian_frames(len(x), 1, steps, tuple(x.shape[1:]), generator, orthogonal=False)[:, 0].to(x.dtype)

    def attempt(chunk: int) -> tuple[Tensor, Tensor]:
        net.zero_grad(set_to_none=True)
        size = chunk if net.chunk else len(x)
        parts = zip(x.split(size), noise.split(size, 1), strict=True)
        energies, ends = zip(*(_add_gradient(net, system, y, part, dt, len(x)) for y, part in parts), strict=True)
        return torch.cat(energies), torch.cat(ends)

    return fit_in_memory(net, attempt)


def _add_gradient(
    net: LogPsi | PairDrift, system: System, x: Tensor, noise: Tensor, dt: float, walkers: int
) -> tuple[Tensor, Tensor]:
    """Add ∂θ ΣA/(B T) over some of the B walkers to .grad; returns their A/T and ends.

    A = Σ[v·dW + ½v²dt + V dt] + U(x_0) − Û(x_K), where Û is U with its parameters detached and x_0 is fixed. A `PairDrift` has
    no Û; as only ∇Û(x_K) enters a gradient, its own drift there, held fixed, takes that place (without it, short paths teach
    v → 0). Long paths are recomputed segment by segment in the backward pass, so that memory grows as √K.
    """
    gradient_net = isinstance(net, LogPsi)
    steps = len(noise)
    frozen = {name: p.detach() for name, p in net.named_parameters()}

    def drift(y: Tensor) -> Tensor:
        if not gradient_net:
            return net(y)
        if not y.requires_grad:
            y = y.requires_grad_(True)
        return torch.autograd.grad(net(y).sum(), y, create_graph=True)[0]

    def segment(y: Tensor, part: Tensor) -> tuple[Tensor, Tensor]:
        end: list[Tensor] = []

        def height(z: Tensor) -> Tensor:
            end[:] = [z]
            return system.potential(z)

        return girsanov_action(None, drift, height, y, dt, part), end[0]

    with torch.enable_grad():
        y, action = x.detach().clone(), x.new_zeros(len(x))
        length = steps if steps <= KEEP_STEPS else max(1, math.isqrt(steps))
        for part in noise.split(length):
            if steps <= KEEP_STEPS:
                piece, y = segment(y, part)
            else:
                # the dummy requires_grad makes the first segment recompute too
                piece, y = checkpoint(segment, y.requires_grad_(True) if y.is_leaf else y, part, use_reentrant=False)
            action = action + piece
        if gradient_net:
            with torch.no_grad():
                start_value = net(x)
            end_value = functional_call(net, frozen, (y,))
            action = action + start_value - end_value
            loss = action
        else:
            loss = action - (net.drift(y) * y).sum((1, 2))
        (loss.sum() / (walkers * steps * dt)).backward()
    return action.detach() / (steps * dt), y.detach()


def add_to_parameters(net: nn.Module, change: Tensor) -> None:
    """Add a flat change (P,) to the parameters."""
    parameters = list(net.parameters())
    with torch.no_grad():
        for p, part in zip(parameters, change.split([p.numel() for p in parameters]), strict=True):
            p.add_(part.view_as(p))
