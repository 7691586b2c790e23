"""Observables of a class of users: what is wrong with them raises one sentence, what is right becomes float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fkflow.errors import PotentialError
from fkflow.hamiltonian.checks import check
from fkflow.hamiltonian.conversion import convert
from fkflow.hamiltonian.masses import to_unit_masses
from fkflow.hamiltonian.observables import flatten, observe
from fkflow.hamiltonian.system import System


def made(observables: Any, units: Any = None, **more: Any) -> System:
    """Two particles in a trap with these observables."""
    body = {"particles": 2, "dimensions": 1, "potential": lambda self, x: x.square().sum((1, 2)), **more}
    if units is not None:
        body["observable_units"] = units
    body["observables"] = lambda self, x: observables(x)
    return type("Made", (System,), {"__module__": __name__, **body})()


def square(x: Tensor) -> Tensor:
    return x.square().sum((1, 2))


WRONG: dict[str, tuple[System, str]] = {
    "raises": (made(lambda x: {"r": x.nope}), r"observables\(x\) of x \(7, 2, 1\) raises AttributeError"),
    "gives nothing": (made(lambda x: None), "gives NoneType: it must give a dictionary of names and tensors"),
    "a tensor": (made(square), "gives Tensor: it must give a dictionary"),
    "a name with a slash": (made(lambda x: {"1/r": square(x)}), "has the name '1/r': letters, digits and underscores"),
    "a number for a name": (made(lambda x: {2: square(x)}), "has the name 2: letters"),
    "a list": (made(lambda x: {"r": [1.0] * len(x)}), "the observable r is list: it must be a torch tensor"),
    "one number": (made(lambda x: {"r": square(x).mean()}), r"shape \(\): it must be \(7,\), or \(7, n\)"),
    "too many": (made(lambda x: {"r": x}), r"with 7 configurations has the shape \(7, 2, 1\)"),
    "none of them": (made(lambda x: {"r": x[:, :0, 0]}), r"has the shape \(7, 0\)"),
    "complex": (made(lambda x: {"r": square(x) + 0j}), "is complex: it must be real"),
    "infinite": (
        made(lambda x: {"r": 1 / (square(x) * 0)}),
        "r is not finite at 256 of 256 places where walkers start",
    ),
    "neighbours": (made(lambda x: {"r": square(x) + x.mean()}), "depends on the others in its batch, or is random"),
    "random": (made(lambda x: {"r": torch.rand(len(x))}), "depends on the others in its batch, or is random"),
    "in place": (made(lambda x: {"r": square(x.mul_(2))}), r"observables\(x\) changes x"),
    "other names": (made(lambda x: {f"r{len(x) > 9}": square(x)}), "gives other names"),
    "units of another": (made(lambda x: {"r": square(x)}, {"q": "bohr"}), "has 'q', which observables"),
    "units in a list": (made(lambda x: {"r": square(x)}, ["bohr"]), "must be a dictionary of names and texts"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_wrong_is_said(kind: str) -> None:
    system, words = WRONG[kind]
    with pytest.raises(PotentialError, match=words) as raised:
        check(system)
    assert str(raised.value).startswith("the system Made: ") and raised.value.exit_code == 2
    assert "\n" not in str(raised.value)


RIGHT = {
    "one number": lambda x: {"r": square(x)},
    "several": lambda x: {"r": x[:, :, 0], "q2": square(x)},
    "numpy": lambda x: {"r": (np.asarray(x) ** 2).sum((1, 2))},
    "float32": lambda x: {"r": square(x).float()},
    "whole numbers": lambda x: {"left": (x[:, :, 0] < 0).sum(1)},
    "true or false": lambda x: {"left": x[:, 0, 0] < 0},
    "none": lambda x: {},
}


@pytest.mark.parametrize("kind", RIGHT)
def test_what_is_right_passes(kind: str) -> None:
    system = made(RIGHT[kind])
    checked = check(system).system
    x = torch.randn(5, 2, 1, dtype=torch.float64)
    found = observe(checked, x)
    assert list(found) == list(RIGHT[kind](x)) and not any(value.requires_grad for value in found.values())
    for name, value in found.items():
        expected = torch.as_tensor(RIGHT[kind](x)[name]).double()
        assert value.dtype == torch.float64 and torch.equal(value, expected)
    if found:
        assert flatten(found, 5).shape == (5, sum(value[0].numel() for value in found.values()))


def test_x_is_in_the_coordinates_of_the_user() -> None:
    """The solver's coordinates are √m times as large; the twin takes those."""
    system = made(lambda x: {"r": x[:, :, 0]}, mass=[1.0, 4.0], identical=False)
    solver = to_unit_masses(convert(system))
    x = torch.randn(5, 2, 1, dtype=torch.float64)
    z = x * x.new_tensor([1.0, 4.0]).sqrt()[:, None]
    assert torch.allclose(observe(solver, z)["r"], x[:, :, 0]) and not torch.allclose(
        observe(solver, x)["r"], x[:, :, 0]
    )
    assert solver.observable_units == {}
