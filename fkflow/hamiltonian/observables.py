"""Observables of a system: what its `observables(x)` may give, and its values as one array."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from fkflow.hamiltonian.probe import Probe, scale_of
from fkflow.hamiltonian.system import System

#: names that can stand in files, tables and JSON without quotes
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
#: configurations at which the form is checked: a number that is hardly a number of particles
TRIED = 7
#: shown in messages
EXAMPLE = '{"r": x.norm(dim=-1).mean(1)}'


def observe(system: System, x: Tensor) -> dict[str, Tensor]:
    """The observables of a system at x (B, N, D), without gradients; {} if it has none."""
    with torch.no_grad():
        return system.observables(x)


def flatten(values: Mapping[str, Tensor], count: int) -> Tensor:
    """Observables (count,) or (count, n) as the columns of one float64 tensor (count, columns)."""
    return torch.cat([value.detach().double().reshape(count, -1) for value in values.values()], 1)


def check_observables(probe: Probe) -> None:
    """Check `observables(x)` where walkers start; PotentialError with one sentence."""
    x = probe.walkers
    found = _call(probe, x[:TRIED])
    _check_units(probe, found)
    if not found:
        return
    whole = _call(probe, x)
    if list(whole) != list(found):
        raise probe.error("observables(x) gives other names for other configurations")
    for name, value in whole.items():
        if bad := int((~value.isfinite().reshape(len(x), -1).all(1)).sum()):
            raise probe.error(
                f"the observable {name} is not finite at {bad} of {len(x)} places where walkers start: its average over "
                "the ground state needs finite values"
            )
        one = _call(probe, x[:1])[name]
        if not probe.same(torch.cat([one, _call(probe, x[1:TRIED])[name]]), value[:TRIED], scale_of(value)):
            raise probe.error(
                f"the observable {name} of one configuration depends on the others in its batch, or is random: average over "
                "particles and components only, not over the first dimension"
            )


def _call(probe: Probe, x: Tensor) -> dict[str, Tensor]:
    """The observables at x (B, N, D) in the form that they must have."""
    given = x.clone()
    found = probe.call(f"observables(x) of x {tuple(x.shape)}", lambda: observe(probe.system, given))
    if not torch.equal(given, x):
        raise probe.error("observables(x) changes x: it must leave its argument as it is")
    if not isinstance(found, Mapping):
        raise probe.error(
            f"observables(x) gives {type(found).__name__}: it must give a dictionary of names and tensors, such as {EXAMPLE}"
        )
    for name, value in found.items():
        if fault := _find_fault(name, value, len(x)):
            raise probe.error(fault)
    return dict(found)


def _find_fault(name: Any, value: Any, count: int) -> str | None:
    """What is wrong with one observable of `count` configurations, in one sentence; None if nothing is."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        return (
            f"observables(x) has the name {name!r}: letters, digits and underscores make a name, and no digit begins it"
        )
    if not isinstance(value, Tensor):
        return f"the observable {name} is {type(value).__name__}: it must be a torch tensor or a numpy array"
    if value.is_complex():
        return f"the observable {name} is complex: it must be real"
    if value.ndim not in (1, 2) or len(value) != count or value.numel() == 0:
        return (
            f"the observable {name} of x with {count} configurations has the shape {tuple(value.shape)}: it must be "
            f"({count},), or ({count}, n) for n numbers of each configuration"
        )
    return None


def _check_units(probe: Probe, found: Mapping[str, Tensor]) -> None:
    units: Any = probe.system.observable_units
    if not isinstance(units, Mapping) or not all(isinstance(unit, str) for unit in units.values()):
        raise probe.error('observable_units must be a dictionary of names and texts, such as {"r": "bohr"}')
    if unknown := [name for name in units if name not in found]:
        raise probe.error(f"observable_units has {unknown[0]!r}, which observables(x) does not give")
