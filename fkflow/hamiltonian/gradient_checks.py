"""Whether V has a gradient that is that of its values, and how many digits these have."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from fkflow.hamiltonian import user_systems
from fkflow.hamiltonian.conversion import SINGLE, ConvertedSystem
from fkflow.hamiltonian.natural_scale import Landscape
from fkflow.hamiltonian.probe import TRIED, Probe, scale_of
from fkflow.hamiltonian.wrapped import DOUBLE, rounding_of

#: how far a gradient may be from the differences of V, relative to its length
GRADIENT = 1e-4


def find_no_gradient(probe: Probe, x: Tensor, value: Tensor) -> str | None:
    """Why torch finds no gradient of V at x, where it has the `value` (B,); None if it finds one."""
    leaf = x.clone().requires_grad_(True)
    try:
        with torch.enable_grad():
            differentiable = probe.system.potential(leaf)
            if not (isinstance(differentiable, Tensor) and differentiable.requires_grad):
                return "it is not computed from x by torch functions alone, or it is constant in steps"
            (gradient,) = torch.autograd.grad(differentiable.sum(), leaf, create_graph=True)
    except Exception as error:
        text = user_systems.describe_error(error, user_systems.source_file(type(probe.own)))
        return "numpy takes no part in automatic differentiation" if "numpy" in text else f"torch raises {text}"
    if not torch.equal(leaf, x):
        return "it changes x"
    if bool((value.isfinite() & ~gradient.detach().isfinite().flatten(1).all(1)).any()):
        return "it is not finite where V is, as from a norm at 0 or from both sides of torch.where"
    return None


def note_no_gradient(probe: Probe, why: str) -> None:
    """Have V differentiated by differences from now on, and say so."""
    assert isinstance(probe.system, ConvertedSystem)
    probe.system.note(differentiable=False)
    probe.notes.append(
        f"V has no gradient of torch ({why}): the default method needs none, and minima are found by differences; "
        'train.estimator = "pathwise" and network.kind = "pair_drift" cannot be used'
    )


def note_single(probe: Probe, what: str) -> None:
    """Expect values of few digits from now on, and say so."""
    assert isinstance(probe.system, ConvertedSystem)
    probe.system.note(rounding=SINGLE)
    probe.notes.append(
        f"{what}, about seven digits, which are converted to float64: energies are no more accurate than that; x is float64, "
        "and constants made by x.new_tensor(...) are too"
    )


def has_wrong_gradient(probe: Probe, landscape: Landscape) -> bool:
    """Whether torch finds a gradient that is not that of the values, by central differences along random directions.

    Finds values of few digits on the way. Built-in systems are not asked: they are right.
    """
    if not isinstance(probe.system, ConvertedSystem):
        return False
    x = probe.walkers[:TRIED]
    # of one minimum: several may lie far apart
    width = landscape.length / math.exp(0.5 * np.mean(np.log(user_systems.particle_masses(probe.own))))
    along = probe.normal(TRIED)
    along = along / along.flatten(1).norm(dim=1)[:, None, None]
    value = probe.value(x)
    scale = scale_of(value - value.mean()) / width
    farthest = float(x.abs().max())

    def differs(step: float, expected: Tensor, allowed: float, length: Tensor | float) -> bool:
        """Whether most differences over a step are others than `expected`, relative to a gradient of that length."""
        # of the values and of the places
        rounding = 10 * (rounding_of(probe.system) * value.abs() + DOUBLE * farthest * length) / step
        # at a kink a few differ
        off = (_slope(probe, x, step * along) - expected).abs() > allowed * (length + scale) + rounding
        return int(off.sum()) > TRIED // 2

    # a small step shows numbers of few digits
    slope = _slope(probe, x, 1e-4 * width * along)
    if rounding_of(probe.system) == DOUBLE and differs(1e-9 * width, slope, 0.05, slope.abs()):
        note_single(probe, "V is not computed in float64 throughout but in float32")
    if not probe.system.differentiable:
        return False
    with torch.enable_grad():
        leaf = x.clone().requires_grad_(True)
        (gradient,) = torch.autograd.grad(probe.value(leaf).sum(), leaf)
    # a larger one a part that is cut off
    if not differs(1e-4 * width, (gradient * along).sum((1, 2)), GRADIENT, gradient.flatten(1).norm(dim=1)):
        return False
    note_no_gradient(probe, "the one it has does not belong to its values: part is cut off, by detach, numpy or item")
    return True


def _slope(probe: Probe, x: Tensor, step: Tensor) -> Tensor:
    """Differences of V (B,) between x + step and x − step (B, N, D), divided by the distance."""
    ahead, behind = (probe.value(x + sign * step) for sign in (1, -1))
    slope: Tensor = (ahead - behind) / (2 * step.flatten(1).norm(dim=1))
    return slope
