"""Euler–Maruyama paths of dX = v dt + dW and their Girsanov action: the whole method in one file.

The Feynman–Kac weight exp(−∫V dt) over Brownian paths defines a path measure P_FK whose drift is ∇ log φ0. For a model
drift v = ∇U, U = log ψ, the log density of the model's path measure against P_FK is, up to E0·T,

    A = Σ_k [ v_k·dW_k + ½|v_k|² dt + ½(V_k + V_{k+1}) dt ] + U(x_0) − U(x_K),        T = K dt.

E[A]/T ≥ E0 for x_0 ~ ψ² (dt → 0), with equality, on every single path, for ψ = φ0. No second derivative of U appears.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

Field = Callable[[Tensor], Tensor]


def brownian_frames(
    walkers: int,
    paths: int,
    steps: int,
    shape: Sequence[int],
    generator: torch.Generator,
    *,
    orthogonal: bool = True,
    antithetic: bool = False,
) -> Tensor:
    """Unit Brownian increments ξ (steps K, paths M, walkers B, N, D), so that dW = √dt ξ.

    Independent Gaussians, or with `orthogonal` the columns of random (Haar) orthogonal frames times √d, dealt out over the
    K·M increments that leave one walker. Either way E[ξ] = 0 given the earlier ones and E[ξξᵀ] = 1; a whole frame has
    Σξξᵀ = d·1 exactly, which removes the noise of the Hutchinson-like trace Σ ξᵀ∇v ξ from the action. With `antithetic` the
    second half of the paths carries the opposite increments, which removes odd powers of dW.

    Raises ValueError if `antithetic` is asked for an odd number of paths.
    """
    if antithetic:
        if paths % 2:
            raise ValueError(f"antithetic paths come in pairs: {paths} paths per walker is odd")
        half = brownian_frames(walkers, paths // 2, steps, shape, generator, orthogonal=orthogonal)
        return torch.cat([half, -half], 1)
    d = shape[0] * shape[1]
    options: dict[str, Any] = {"generator": generator, "device": generator.device, "dtype": torch.float64}
    total = paths * steps
    if not orthogonal:
        return torch.randn(steps, paths, walkers, *shape, **options)
    frames: list[Tensor] = []
    for _ in range(total // d):
        # One Haar frame for all walkers, turned by a random reflection each, vectors with random signs: Haar again, at
        # O(d²) instead of O(d³). Without the signs all walkers would share their noise in one dimension.
        q, r = torch.linalg.qr(torch.randn(d, d, **options))
        q = q * r.diagonal().sign()
        u = torch.randn(walkers, d, **{**options, "dtype": torch.float32}).double()
        # about one normal of single precision in 2^24 is exactly 0, which in one dimension has no direction: no reflection then
        u = normalize(u, dim=1)
        signs = 2.0 * torch.randint(2, (d, walkers, 1), generator=generator, device=generator.device) - 1
        frames.append(signs * (q[:, None, :] - 2 * (q @ u.T)[..., None] * u))
    if total % d:
        # Part of a frame does not sum to a fixed trace: it must be independent from walker to walker.
        q, r = torch.linalg.qr(torch.randn(walkers, d, total % d, **options))
        frames.append((q * r.diagonal(dim1=1, dim2=2).sign()[:, None]).permute(2, 0, 1))
    xi: Tensor = torch.cat(frames) * d**0.5
    return xi.view(steps, paths, walkers, *shape)


def integrate(drift: Field, x0: Tensor, dt: float, noise: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Euler–Maruyama: x_{k+1} = x_k + v(x_k) dt + √dt ξ_k; yields (x_k, v_k, dW_k) for k < K, then (x_K, −, −).

    x0 (B, N, D); noise ξ (K, B, N, D). The last item carries two empty tensors. Weak order 1.
    """
    x = x0
    for xi in noise:
        v, dw = drift(x), dt**0.5 * xi
        yield x, v, dw
        x = x + v * dt + dw
    empty = x.new_zeros(0)
    yield x, empty, empty


def girsanov_action(
    log_psi: Field | None, drift: Field, potential: Field, x0: Tensor, dt: float, noise: Tensor
) -> Tensor:
    """Action A (B,) of one Euler–Maruyama path from each start x0 (B, N, D); noise ξ (K, B, N, D).

    `log_psi` None leaves the end terms U(x_0) − U(x_K) out: for a drift that is no gradient. Differentiable if the
    arguments are. A/T estimates the energy; its spread vanishes at ψ = φ0 and dt → 0.
    """
    action = x0.new_zeros(len(x0))
    previous = None
    for x, v, dw in integrate(drift, x0, dt, noise):
        height = potential(x)
        if previous is not None:
            action = action + 0.5 * dt * (previous + height)
        previous = height
        if v.numel():
            action = action + (v * dw).sum((1, 2)) + 0.5 * dt * v.square().sum((1, 2))
        elif log_psi is not None:
            action = action + log_psi(x0) - log_psi(x)
    return action


def branched_energy(
    log_psi: Field,
    value_and_drift: Callable[[Tensor], tuple[Tensor, Tensor]],
    potential: Field,
    x0: Tensor,
    dt: float,
    noise: Tensor,
) -> Tensor:
    """A/T (M, B) of the M paths that branch from each start; noise ξ (K, M, B, N, D), nothing is differentiated.

    The same sum as `girsanov_action`, arranged so that U, v and V at x_0 are computed once for all M branches, and the
    last point of a path costs one forward pass of U: K = 1 takes one drift and M forward passes.
    """
    steps, paths, walkers = noise.shape[:3]
    value, v = value_and_drift(x0)
    start_height = potential(x0)
    x = x0.expand(paths, *x0.shape).reshape(-1, *x0.shape[1:])
    v = v.expand(paths, *v.shape).reshape(x.shape)
    height = start_height.repeat(paths)
    action = value.repeat(paths)
    for k in range(steps):
        dw = dt**0.5 * noise[k].reshape(x.shape)
        action = action + (v * dw).sum((1, 2)) + 0.5 * dt * (v.square().sum((1, 2)) + height)
        x = x + v * dt + dw
        if k + 1 < steps:
            _, v = value_and_drift(x)
        height = potential(x)
        action = action + 0.5 * dt * height
    with torch.no_grad():
        action = action - log_psi(x)
    return action.view(paths, walkers) / (steps * dt)
