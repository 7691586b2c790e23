"""Drift and log ψ of a model as functions of positions in the user's coordinates; arrays or tensors in, the same kind out."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fkflow.errors import UsageError
from fkflow.execution import chunks
from fkflow.hamiltonian.masses import to_solver_coordinates, to_user_coordinates
from fkflow.networks.choice import LogPsi
from fkflow.runs.model import Model

Array = NDArray[Any]
#: arrays in, arrays out; tensors in, tensors out
Positions = TypeVar("Positions", Tensor, Array)


def drift(model: Model, x: Positions) -> Positions:
    """The drift v_i = ∇_i log ψ / m_i (…, N, D) at positions x (…, N, D), detached; in 1/length (times 1/mass).

    Arrays give float64 arrays. Tensors give tensors of their own type on their own device. Raises UsageError if x has another
    shape.
    """
    # the drift is a gradient also if the caller is in inference mode
    with torch.inference_mode(False):
        z = solver_coordinates(model, x)
        if isinstance(model.net, LogPsi):
            v = chunks.value_and_drift(model.net, z)[1]
        else:
            v = torch.cat([model.net.drift(part) for part in z.split(chunks.chunk_size(model.net))])
        return as_given(to_user_coordinates(model.system, v).reshape(x.shape), x)


def log_psi(model: Model, x: Positions) -> Positions:
    """log ψ (…) at positions x (…, N, D), detached, up to one constant: ψ is not normalised.

    Arrays and tensors as in `drift`. Raises UsageError if x has another shape, or for a vector drift, which has no log ψ.
    """
    net = model.net
    if not isinstance(net, LogPsi):
        raise UsageError("a vector drift has no log ψ: train with another network.kind")
    z = solver_coordinates(model, x)
    with torch.no_grad():
        value = torch.cat([net(part) for part in z.split(chunks.chunk_size(net))])
    return as_given(value.reshape(x.shape[:-2]), x)


def solver_coordinates(model: Model, x: Tensor | Array) -> Tensor:
    """Positions (B, N, D) in the solver's coordinates, on the network's device."""
    shape = model.system.particles, model.system.dimensions
    if not isinstance(x, Tensor | np.ndarray) or tuple(x.shape[-2:]) != shape:
        given = f"the shape {tuple(x.shape)}" if isinstance(x, Tensor | np.ndarray) else f"the type {type(x).__name__}"
        n, dim = shape
        raise UsageError(
            f"x has {given}: it must be an array or tensor (B, {n}, {dim}) or ({n}, {dim}), for B configurations of "
            f"{n} particle{'s' if n > 1 else ''} in {dim} dimension{'s' if dim > 1 else ''}"
        )
    device = next(iter(model.net.parameters())).device
    positions = torch.as_tensor(x).detach().to(device, torch.float64, copy=True)
    return to_solver_coordinates(model.system, positions.reshape(-1, *shape))


def as_given(value: Tensor, x: Positions) -> Positions:
    """An array if x is one, else a tensor of the type and on the device of x."""
    if isinstance(x, Tensor):
        return value.to(x.device, x.dtype if x.is_floating_point() else value.dtype)
    return np.asarray(value.cpu().numpy())
