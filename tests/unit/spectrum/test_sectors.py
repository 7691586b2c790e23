"""Sectors: which there are, their symmetries, and the reflections and turns that make them."""

from __future__ import annotations

import pytest
import torch
from landscapes import explore
from places import FEW, walkers
from torch import Tensor

import fkflow
from fkflow.errors import UsageError
from fkflow.hamiltonian.registry import find_system
from fkflow.spectrum.images import Family
from fkflow.spectrum.jets import Jet, coordinates
from fkflow.spectrum.mirrors import find_reflections, find_turns
from fkflow.spectrum.sector import functions_of
from fkflow.spectrum.sectors import sectors_of


def test_sectors_have_the_symmetries_that_their_names_say() -> None:
    system = find_system("double_well")()
    x = walkers(64, 1, 1)
    found = {sector.name: sector for sector in sectors_of(system, explore(system), x, FEW, 0.0, False)}
    assert list(found) == ["even", "odd"] and found["even"].ground and not found["odd"].ground
    for name, sign in (("even", 1), ("odd", -1)):
        functions = found[name].functions(x, 0)
        torch.testing.assert_close(functions(-x).value, sign * functions(x).value, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(functions.values(x), functions(x).value)
        other = found[name].functions(x, 1)(x).value
        assert not torch.allclose(other, functions(x).value)


class Cubic(fkflow.System):
    """Alike in all axes but for a term that tells them apart; with `turning` the axes can only turn."""

    particles, dimensions = 1, 3
    apart: float = 0.0
    turning: float = 0.0

    def potential(self, x: Tensor) -> Tensor:
        y = x[:, 0].square()
        turns = (y * y.roll(1, -1).square()).sum(-1)
        return y.square().sum(-1) + self.apart * y[:, 0] + self.turning * turns


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, [1, 3, 3, 1]),
        ({"turning": 0.1}, [1, 3, 3, 1]),
        ({"apart": 1e-3}, [1, 2, 1, 1, 2, 1]),
        ({"apart": 1e-3, "turning": 0.1}, [1] * 8),
    ],
)
def test_sectors_that_an_order_of_axes_makes_of_one_are_one(parameters: dict, expected: list[int]) -> None:
    system, x = Cubic(**parameters), walkers(64, 1, 3)
    found = sectors_of(system, explore(system), x, FEW, 0.0, False)
    assert [sector.degeneracy for sector in found] == expected
    assert len({sector.name for sector in found}) == len(found) and sum(expected) == 8
    if not parameters:
        assert [sector.name for sector in found][1] == "x odd, y even, z even"


@pytest.mark.parametrize("fermi", [False, True])
def test_a_family_shares_images_and_nothing_else(fermi: bool) -> None:
    """Its functions are averages of images with the factors of each sector; the twin has another sector's factors."""
    system, x = (find_system("hooke")() if fermi else Cubic()), walkers(40, 2 if fermi else 1, 3)
    known = sectors_of(system, explore(system), x, FEW, 0.0, fermi)
    each = functions_of(known, x, 0)
    family = Family(each)
    some, places = family.jets(x), x - each[0].centre
    for number, (functions, jet) in enumerate(zip(each, some, strict=True)):
        averages = [
            sum(
                one.factor * functions.functions(coordinates(places * x.new_tensor(one.signs))).value
                for one in sector.operations
            )
            / 8
            for sector in known
        ]
        torch.testing.assert_close(jet.value, averages[number])
        assert not torch.allclose(jet.value, averages[number - 1])
        torch.testing.assert_close(functions(x).value, jet.value)
    present = family.present(x)
    others = family.jets(x, chosen=present)
    coefficients = [walkers(len(there), 3) for there in present]
    for there, jet, chosen, c, state in zip(
        present, some, others, coefficients, family.states(x, coefficients), strict=True
    ):
        # of products of coordinates few are in a sector
        assert fermi or 0 < there.sum() < len(there) / 2 and jet.value[:, ~there].abs().max() < 1e-12
        for name in Jet.__slots__:
            torch.testing.assert_close(getattr(chosen, name), getattr(jet, name)[..., there])
            torch.testing.assert_close(getattr(state, name), getattr(jet, name) @ c)


def test_functions_of_rank_1_and_2_have_no_average_over_the_turns_of_space() -> None:
    y = walkers(8, 1, 3)

    class Round(fkflow.System):
        particles, dimensions = 1, 3

        def potential(self, x: Tensor) -> Tensor:
            return x.square().sum((1, 2)) + (1 + x.square().sum((1, 2))).log()

    turns = find_turns(Round(), torch.zeros(3, dtype=y.dtype), y)
    turned = torch.stack([y[:, 0] @ turn for turn in turns])
    assert len(turns) == 24 and turned.mean(0).abs().max() < 1e-12
    squares = turned.square().mean(0)
    torch.testing.assert_close(squares, squares.mean(1, keepdim=True).expand_as(squares))
    assert len(find_turns(find_system("double_well")(), torch.zeros(1, dtype=y.dtype), walkers(8, 1, 1))) == 1


def test_triplets_change_sign_with_an_exchange() -> None:
    system = find_system("he")()
    x = walkers(64, 2, 3)
    found = {sector.name: sector for sector in sectors_of(system, explore(system), x, FEW, 1.3, False)}
    assert set(found) == {"singlet S", "singlet P", "triplet S", "triplet P"}
    for name, sector in found.items():
        functions = sector.functions(x, 0)
        sign = -1 if name.startswith("triplet") else 1
        torch.testing.assert_close(functions(x.flip(1)).value, sign * functions(x).value, rtol=1e-9, atol=1e-12)


def test_reflections_are_those_of_the_potential() -> None:
    def reflections(name: str, **parameters) -> list[tuple[float, ...]]:
        system = find_system(name)(**parameters)
        x = walkers(64, system.particles, system.dimensions)
        return find_reflections(system, torch.zeros(system.dimensions, dtype=x.dtype), x)

    assert reflections("harmonic", dimensions=2, omega=[1.0, 2.0]) == [(-1.0, 1.0), (1.0, -1.0)]
    assert reflections("chain") == [(-1.0,)]
    assert reflections("morse") == []


def test_what_has_no_sector_is_refused() -> None:
    for name, words in (("double_well", "no fermions"), ("chain", "no fermions")):
        system = find_system(name)()
        x = walkers(64, system.particles, system.dimensions)
        with pytest.raises(UsageError, match=words):
            sectors_of(system, explore(system), x, FEW, 0.0, True)
    five = find_system("bosons")(particles=5)
    with pytest.raises(UsageError, match="at most 4 off the line"):
        sectors_of(five, explore(five), walkers(64, 5, 2), FEW, 0.0, True)
