"""The parts of networks, in double precision: values, drifts and Laplacians against automatic differentiation."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from compositions import (
    DOUBLE,
    TRIANGLES,
    core_messages,
    density_waves,
    in_a_box,
    of_pairs,
    of_places,
    several_species,
    sites,
    table,
    two_bodies,
    vector_messages,
)
from outer_compositions import (
    ABOUT_A_CHARGE,
    HEAVY,
    charged,
    charges,
    confined,
    few_body,
    lines,
    molecular,
    molecule,
    open_ended,
    several_wells,
    steps,
    surfaces,
    vibrating,
    vibrations,
    walled,
    wells,
    whitened,
)
from torch import Tensor, nn

from fkflow.networks import confinement, coordinates, layers
from fkflow.networks import tangents as tangents_module
from fkflow.networks.choice import default_float64
from fkflow.networks.functions import DistanceFunction, SquareFunction
from fkflow.networks.log_psi import LogPsi
from fkflow.networks.origin_factor import OriginFactor
from fkflow.networks.parts import Node, Part, Tape, Term, TermOfCoordinates
from fkflow.networks.walls import BoundaryFactor
from fkflow.sampling.local_energy import laplacian

PAGE = Path(__file__).resolve().parents[3] / "docs" / "architecture.md"
# the feature that docs/architecture.md adds is one more subclass of SquareFunction, tested as all are
(EXAMPLE,) = (
    block for block in re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.S) if "SquareFunction" in block
)
NAMES = {"torch": torch, "Tensor": Tensor, "SquareFunction": SquareFunction}
exec(EXAMPLE, NAMES)


class Composition(LogPsi):
    """log ψ that some parts make: `parts` are called by name."""

    def __init__(self, parts: dict[str, nn.Module], compose: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        self.parts = nn.ModuleDict(parts)
        self._compose = compose

    def compose(self, y: Tensor) -> Tensor:
        return self._compose(lambda name: self.parts[name], y)


CASES: dict[str, tuple[tuple[int, int], Callable[[], tuple[dict[str, nn.Module], Callable[[Any, Tensor], Tensor]]]]] = {
    "confinement": (
        (3, 2),
        lambda: (
            {
                "mean": coordinates.CentreOfMass(),
                "places": coordinates.Places(True),
                "squares": coordinates.Squares(),
                "gaussian": confinement.Gaussian(),
                "round": confinement.RoundGaussian(),
                "tails": confinement.Tails(),
            },
            confined,
        ),
    ),
    "whitening": (
        (2, 2),
        lambda: (
            {
                "whitening": coordinates.Whitening(),
                "gaussian": confinement.Gaussian(),
                "net": layers.mlp([4, 3, 1]),
                "element_squares": confinement.ElementSquares(),
                "tails": confinement.Tails(),
                "sum": layers.Sum(),
            },
            whitened,
        ),
    ),
    "open ends": (
        (2, 2),
        lambda: (
            {
                "whitening": coordinates.Whitening(),
                "saturated": confinement.Saturated(),
                "net": layers.mlp([4, 3, 1]),
                "round_tails": confinement.RoundTails(),
                "sum": layers.Sum(),
            },
            open_ended,
        ),
    ),
    "two bodies": (
        (3, 3),
        lambda: (
            {"differences": coordinates.Differences(), "squares": coordinates.Squares(), "factor": table()},
            two_bodies,
        ),
    ),
    "hard cores": (
        (3, 2),
        lambda: (
            {"differences": coordinates.Differences(), "squares": coordinates.Squares(), "factor": table(core=0.05)},
            two_bodies,
        ),
    ),
    "walls": ((2, 3), lambda: ({"factor": walled()}, lambda part, y: part("factor")(y))),
    "surfaces": ((2, 2), lambda: ({"factor": surfaces()}, lambda part, y: part("factor")(y))),
    "steps": ((1, 2), lambda: ({"factor": steps()}, lambda part, y: part("factor")(y))),
    "lines": ((2, 2), lambda: ({"factor": lines()}, lambda part, y: part("factor")(y))),
    "wells": ((2, 2), lambda: ({"factor": wells()}, several_wells)),
    "open wells": ((2, 2), lambda: ({"factor": wells(open_=True)}, several_wells)),
    "centres": ((1, 3), lambda: ({"factor": charges()}, lambda part, y: part("factor")(y))),
    "origin": (
        (1, 3),
        lambda: (
            {"factor": OriginFactor(1.7, torch.tensor([[0.2, -0.1, 0.3]], dtype=DOUBLE), 0.8)},
            lambda part, y: part("factor")(y),
        ),
    ),
    "species": ((6, 2), lambda: several_species(relative=False)),
    "species about their centre of mass": ((6, 2), lambda: several_species(relative=True)),
    "many of several species": ((9, 2), lambda: several_species(relative=True, more=3)),
    "charges": ((4, 3), lambda: few_body(species=[charged("e", 2, -1.0, 1.0), charged("p", 2, 1.0, 0.7)])),
    "charges about a pinned one": ((3, 3), lambda: few_body(species=ABOUT_A_CHARGE)),
    "heavy charges": ((3, 3), lambda: few_body(species=HEAVY)),
    "charges in a plane": ((3, 2), lambda: few_body(dimensions=2)),
    "charges in a trap": ((3, 3), lambda: few_body(omega=0.3)),
    "charges without cusps": ((3, 2), lambda: few_body(dimensions=2, interaction="keldysh")),
    "vibrations": ((4, 3), lambda: (vibrations(), vibrating)),
    "vibrations in the plane": ((4, 2), lambda: (vibrations(), vibrating)),
    "a box": ((4, 2), lambda: in_a_box(smooth=True)),
    "a slab": ((3, 2), lambda: in_a_box(smooth=True, sides=(3.0, math.inf))),
    "nearest images of many": ((9, 2), lambda: in_a_box(smooth=False)),
    "a liquid": ((4, 3), vector_messages),
    "a liquid of many": ((9, 2), lambda: vector_messages(sides=(3.0, 4.0))),
    "waves of the density": ((4, 3), density_waves),
    "sites": ((4, 2), sites),
    "cores": ((4, 3), core_messages),
    "one electron": ((1, 3), lambda: (molecule(1), molecular)),
    "two electrons": ((2, 3), lambda: (molecule(2), molecular)),
}
for kind in SquareFunction.__subclasses__():
    CASES[f"{kind.__name__} of pairs"] = (4, 2), lambda kind=kind: of_pairs(kind())
    CASES[f"{kind.__name__} of many pairs"] = (9, 2), lambda kind=kind: of_pairs(kind())
    CASES[f"{kind.__name__} of places"] = (1, 3), lambda kind=kind: of_places(kind())


@pytest.fixture(autouse=True)
def double_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tangents_module, "PRECISION", DOUBLE)


def composition(name: str) -> tuple[Composition, Tensor]:
    """A composition with random parameters, and configurations (7, N, D)."""
    shape, make = CASES[name]
    with torch.random.fork_rng(devices=[]), default_float64():
        torch.manual_seed(0)
        net = Composition(*make())
    x = torch.randn(7, *shape, generator=torch.Generator().manual_seed(1), dtype=DOUBLE)
    # without a crystal there is no place where it is
    return net, torch.tensor(TRIANGLES, dtype=DOUBLE) + 0.1 * x + x[:, :1] if name == "sites" else x


def same(found: Tensor, expected: Tensor) -> bool:
    return torch.allclose(found, expected, rtol=1e-11, atol=1e-11 * float(expected.abs().max()))


def agrees(net: Composition, x: Tensor) -> bool:
    """Whether values, drift and Laplacian from the parts are those of automatic differentiation."""
    assert net.analytic
    expected, expected_drift = net.differentiated(x)
    value, drift, found = net.value_drift_and_laplacian(x)
    assert same(net.value(x), expected) and same(value, expected)
    again = net.value_and_drift(x)[1]
    return same(drift, expected_drift) and same(again, expected_drift) and same(found, laplacian(net, x)[0])


@pytest.mark.parametrize("name", CASES)
def test_derivatives(name: str) -> None:
    net, x = composition(name)
    assert agrees(net, x)


@functools.cache
def parts_of(name: str) -> frozenset[type]:
    """The kinds of parts in a composition."""
    return frozenset(map(type, composition(name)[0].modules()))


def all_parts(kind: type[Part] = Part) -> Iterator[type[Part]]:
    for one in kind.__subclasses__():
        yield from (one, *all_parts(one))


@pytest.mark.parametrize(
    "kind", [kind for kind in all_parts() if kind.__module__.startswith("fkflow") and not kind.__name__.startswith("_")]
)
def test_every_part_is_tested_and_a_wrong_one_is_seen(kind: type[Part], monkeypatch: pytest.MonkeyPatch) -> None:
    """The counterexample of each part: with a pull back or a Laplacian term that is 1 % off its compositions disagree."""
    # the boundary that a user states is differentiated automatically (test_walls.py)
    if kind in (Term, TermOfCoordinates, BoundaryFactor):
        return
    name = next((name for name in CASES if kind in parts_of(name)), None)
    assert name, f"no composition in CASES has a {kind.__name__}"
    net, x = composition(name)
    if kind.curved:
        right = kind.laplacian_term
        monkeypatch.setattr(kind, "laplacian_term", lambda self, node: 1.01 * right(self, node))
        assert not agrees(net, x)
        monkeypatch.undo()
        monkeypatch.setattr(tangents_module, "PRECISION", DOUBLE)
    assert agrees(net, x)

    class Wrong(Node):
        """Takes 1 % too much of every gradient."""

        __slots__ = ()

        def add(self, gradient: Tensor, *, new: bool = True) -> None:
            super().add(1.01 * gradient)

        def add_product(self, matrix: Tensor, gradient: Tensor, alpha: float = 1.0) -> None:
            super().add_product(matrix, gradient, 1.01 * alpha)

    right_pull = kind.pull_back

    def wrong_pull(self: Part, node: Node, gradient: Any) -> None:
        for one in node.inputs:
            if isinstance(one, Node):
                one.__class__ = Wrong
        right_pull(self, node, None if gradient is None else 1.01 * gradient)
        for one in node.inputs:
            if isinstance(one, Node):
                one.__class__ = Node

    monkeypatch.setattr(kind, "pull_back", wrong_pull)
    assert not agrees(net, x)


@pytest.mark.parametrize("kind", DistanceFunction.__subclasses__())
def test_functions_of_a_distance(kind: type[DistanceFunction]) -> None:
    r = torch.logspace(-6, 3, 50, dtype=DOUBLE).requires_grad_()
    (first,) = torch.autograd.grad(kind.value(r).sum(), r, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), r)
    assert torch.allclose(kind.derivative(r), first, rtol=1e-10) and torch.allclose(
        kind.second_derivative(r), second, rtol=1e-8, atol=1e-12
    )
    assert not torch.allclose(1.001 * kind.derivative(r), first, rtol=1e-4)


def test_a_part_without_derivatives_is_differentiated_automatically() -> None:
    class Sine(Term):
        def value(self, *inputs: Tensor) -> Tensor:
            return inputs[0].sin().sum((0, 1))

    net = Composition({"sine": Sine()}, lambda part, y: part("sine")(y))
    x = torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    assert not net.analytic
    value, drift = net.value_and_drift(x)
    assert torch.allclose(value, x.sin().sum((1, 2))) and torch.allclose(drift, x.cos())
    assert torch.allclose(laplacian(net, x)[0], -x.sin().sum((1, 2)))


def test_only_terms_are_added() -> None:
    tape = Tape(derivatives=True)
    square = coordinates.Squares()(tape.start(torch.ones(2, 3, 4, dtype=DOUBLE)))
    with pytest.raises(AssertionError, match="terms"):
        square + square  # type: ignore[operator]
