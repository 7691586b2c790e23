"""Hard cores of pairs: where they are found, where walkers start, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from fkflow.errors import PotentialError
from fkflow.hamiltonian.checks import check
from fkflow.hamiltonian.geometry import pair_squares
from fkflow.hamiltonian.system import System
from fkflow.networks.choice import build


def cored(
    diameter: float, particles: int, dimensions: int, pair: Any = None, height: float = math.inf, **more: Any
) -> System:
    """Particles with cores of this diameter and height in a harmonic trap; pair(r) says nothing unless it is given."""

    def potential(self: System, x: Tensor) -> Tensor:
        cores = torch.where(pair_squares(x) < diameter**2, height, 0.0).to(x.dtype)
        return 0.5 * x.square().sum((1, 2)) + cores.sum(0)

    body = {"__module__": __name__, "particles": particles, "dimensions": dimensions, "potential": potential, **more}
    return type("Cored", (System,), body | ({} if pair is None else {"pair": lambda self, r: pair(r)}))()


def core(diameter: float, height: float = math.inf) -> Any:
    """pair(r) of such a core."""
    return lambda r: torch.where(r < diameter, height, 0.0).to(r.dtype)


@pytest.mark.parametrize(("particles", "dimensions", "diameter"), [(2, 1, 1.0), (5, 1, 0.7), (4, 2, 1.0), (6, 3, 0.01)])
def test_the_core_is_found_in_the_potential(particles: int, dimensions: int, diameter: float) -> None:
    """Its diameter, walkers outside it, the natural length of the trap, and a ψ that vanishes there."""
    checked = check(cored(diameter, particles, dimensions))
    found = checked.landscape
    assert found.diameter == pytest.approx(diameter, rel=1e-9)
    assert any("hard cores" in note for note in checked.notes) and not checked.warnings
    x = found.start(500, torch.Generator().manual_seed(0))
    assert (pair_squares(x) >= diameter**2).all()
    assert 0.5 < found.length < 2
    net = build(checked.system, found, "auto", 4, 1, 0)
    x[:, 1] = x[:, 0]
    x[:250, 1, 0] += 0.999 * diameter
    x[250:, 1, 0] += 1.001 * diameter
    free = pair_squares(x).amin(0) > diameter**2
    assert (net.value(x)[:250] == -math.inf).all()
    assert free[250:].any() and net.value(x)[free].isfinite().all()


def test_smooth_pairs_have_no_core() -> None:
    """Nor has a repulsion that grows without bound: only its overflow, closer than any walker comes, is infinite."""
    for power in (1, 12):
        system = cored(0.0, 2, 3, potential=lambda self, x, power=power: _trapped(x) + pair_squares(x)[0] ** -power)
        assert check(system).landscape.diameter is None


def _trapped(x: Tensor) -> Tensor:
    return 0.5 * x.square().sum((1, 2))


def test_a_high_finite_core_keeps_walkers_out() -> None:
    checked = check(cored(1.0, 3, 1, core(1.0, 1e6), 1e6))
    assert checked.landscape.diameter is None
    x = checked.landscape.start(500, torch.Generator().manual_seed(0))
    assert (pair_squares(x) >= 1.0).all() and 0.5 < checked.landscape.length < 2


@pytest.mark.parametrize(
    ("system", "message"),
    [
        (
            cored(0.5, 2, 2, core(0.6)),
            r"pair\(r\) is infinite at other distances r than V: V is infinite .* closer than 0.5",
        ),
        (cored(0.0, 2, 2, core(0.6)), r"pair\(r\) is infinite at other distances r than V: V is not"),
        (
            cored(
                0.0,
                3,
                1,
                identical=False,
                potential=lambda self, x: _trapped(x) + torch.where(pair_squares(x)[0] < 0.2, math.inf, 0.0),
            ),
            "not at one distance for all of them",
        ),
    ],
)
def test_cores_that_contradict_are_refused(system: System, message: str) -> None:
    with pytest.raises(PotentialError, match=message):
        check(system)


def test_a_core_that_is_told_passes() -> None:
    checked = check(cored(0.5, 2, 2, core(0.5)))
    assert not checked.warnings and not checked.notes
