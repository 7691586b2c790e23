"""Species: how a system declares them, what follows from them, and what is said about wrong ones."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import torch

import fkflow
from fkflow.errors import PotentialError, RecipeError
from fkflow.hamiltonian.checks import check
from fkflow.hamiltonian.masses import to_unit_masses, to_user_coordinates, user_masses
from fkflow.hamiltonian.species import (
    Species,
    SpeciesList,
    groups_of,
    pair_names,
    pair_of_species,
    particle_masses,
    species_of,
)
from fkflow.hamiltonian.user_systems import find_fault
from fkflow.recipe.config import make_system
from fkflow.systems.mixture import Mixture


class Gas(fkflow.System):
    """Two bosons and an impurity on a line."""

    dimensions = 1
    species = [("boson", 2, {"mass": 2.0}), ("impurity", 1, {"mass": 8.0, "charge": 1})]

    def potential(self, x):
        return x.square().sum((1, 2))

    def pair(self, a, b, r):
        return {"boson": 1.0, "impurity": 10.0}[a] * {"boson": 1.0, "impurity": 10.0}[b] * r


class Field(fkflow.System):
    """Species of a recipe."""

    dimensions = 1
    species: SpeciesList

    def potential(self, x):
        return x.square().sum((1, 2))


class Counted(fkflow.System):
    """As many as a parameter says."""

    dimensions = 1
    bosons: int = 3

    @property
    def species(self):
        return [Species("boson", self.bosons), Species("impurity", 1)]

    def potential(self, x):
        return x.square().sum((1, 2))


def test_what_follows_from_species() -> None:
    gas = Gas()
    assert (gas.particles, gas.identical, find_fault(gas)) == (3, False, None)
    assert species_of(gas) == (Species("boson", 2, 2.0), Species("impurity", 1, 8.0, 1.0))
    assert groups_of(gas) == ((0, 1), (2,)) and particle_masses(gas) == (2.0, 2.0, 8.0)
    assert Counted(bosons=5).particles == 6 and groups_of(Counted()) == ((0, 1, 2), (3,))
    one = make_system(Field, {"species": [{"name": "boson", "count": 4, "mass": 3}]})
    assert one.identical and one.particles == 4
    assert one.parameters() == {"species": [{"name": "boson", "count": 4, "mass": 3.0}]}
    assert make_system(Field, one.parameters()) == one
    assert isinstance(fkflow.Species("a", 1), Species)


def test_systems_without_species_have_them_too() -> None:
    class Plain(fkflow.System):
        particles = 3
        dimensions = 1
        mass = [1.0, 1.0, 4.0]
        identical = False

    class Alike(Plain):
        mass = 4.0
        identical = True

    assert species_of(Alike()) == (Species("particle", 3, 4.0),) and groups_of(Alike()) == ((0, 1, 2),)
    assert [one.mass for one in species_of(Plain())] == [1.0, 1.0, 4.0] and groups_of(Plain()) == ((0,), (1,), (2,))


def test_pairs_in_coordinates_of_unit_mass() -> None:
    """The relative motion of two has the mass μ: a distance r is s/√(2μ)."""
    gas = Gas()
    scaled = to_unit_masses(gas)
    assert species_of(scaled) == (Species("boson", 2), Species("impurity", 1, charge=1.0))
    assert particle_masses(scaled) == (1.0, 1.0, 1.0) and user_masses(scaled) == (2.0, 2.0, 8.0)
    s = torch.tensor([1.0, 3.0], dtype=torch.float64)
    for names, twice_mu in ((("boson", "boson"), 2.0), (("boson", "impurity"), 3.2), (("impurity", "boson"), 3.2)):
        expected = gas.pair(*names, s / math.sqrt(twice_mu))
        torch.testing.assert_close(pair_of_species(scaled, *names, s), expected)

    class Nameless(Gas):
        def pair(self, r):
            return r**2

    torch.testing.assert_close(pair_of_species(to_unit_masses(Nameless()), "boson", "impurity", s), s**2 / 3.2)
    torch.testing.assert_close(pair_of_species(Nameless(), "boson", "impurity", s), s**2)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([("a", 0)], "a has count = 0: it must be a whole number of at least 1"),
        ([("a", True)], "a has count = True"),
        ([("a", 2.0)], "a has count = 2.0"),
        ([("a", 1), ("a", 2)], "it has two species called a"),
        ([("a", 1, {"mas": 2})], "a has the unknown key 'mas': allowed are name, count, mass, charge"),
        ([("a", 1, {"mass": 0})], "a has mass = 0: it must be a number above 0"),
        ([("a", 1, {"mass": math.inf})], "a has mass = inf"),
        ([("a", 1, {"charge": "e"})], "a has charge = 'e': it must be a number"),
        ([("a", 1, {"count": 2})], "species number 1 gives its count twice"),
        ([("a", 1), ("b c", 1)], "species number 2 has the name 'b c'"),
        ([{"name": "a"}], "a lacks its count"),
        ([("a",)], "species number 1 has another form: it must be "),
        (["a"], "species number 1 has another form"),
        ("a", "it must be a list of species"),
        ([], "it must be a list of species"),
        ({"a": 1}, "it must be a list of species"),
    ],
)
def test_what_are_no_species(given: Any, said: str) -> None:
    wrong = type("Wrong", (Gas,), {"species": given, "__module__": __name__})()
    fault = find_fault(wrong)
    assert fault is not None and fault.startswith("species is not allowed: ") and said in fault and "\n" not in fault
    if not isinstance(given, dict):
        with pytest.raises(RecipeError, match="system.species .*is not allowed: "):
            make_system(Field, {"species": given})


@pytest.mark.parametrize(
    ("name", "value"), [("particles", 4), ("mass", 1.0), ("mass", [1.0, 1.0, 1.0]), ("identical", True)]
)
def test_what_species_say_already(name: str, value: Any) -> None:
    wrong = type("Wrong", (Gas,), {"species": Gas.species, name: value, "__module__": __name__})()
    fault = find_fault(wrong)
    assert fault is not None and fault.startswith(f"{name} = {json.dumps(value)}".replace("true", "True"))
    assert "leave it out" in fault


def test_species_that_raise() -> None:
    wrong = type("Wrong", (Gas,), {"species": property(lambda self: 1 / 0), "__module__": __name__})()
    assert "species raises ZeroDivisionError" in (find_fault(wrong) or "")


class Trapped(Gas):
    """The bosons and the impurity in a trap, each repelled as `pair` says."""

    dimensions = 2
    isotropic = True

    def energy(self, x):
        """What `pair` says of all pairs, in the order 01, 02, 12."""
        r = fkflow.pair_squares(x).sqrt()
        return sum(self.pair(a, b, one) for (a, b), one in zip(pair_names(self), r, strict=True))

    def potential(self, x):
        return x.square().sum((1, 2)) + self.energy(x)

    def pair(self, a, b, r):
        return {"boson": 1.0, "impurity": 2.0}[a] * {"boson": 1.0, "impurity": 2.0}[b] / r


class Uneven(Trapped):
    def potential(self, x):
        return x[:, 0].square().sum(1) + super().potential(x)


class Backwards(Trapped):
    def pair(self, a, b, r):
        return (2.0 if a == "impurity" else 1.0) / r

    def potential(self, x):
        return x.square().sum((1, 2))


class Short(Backwards):
    def pair(self, a, b, r):
        return r.sum(-1)


class Other(Trapped):
    def potential(self, x):
        return x.square().sum((1, 2)) + 2 * self.energy(x)


class Silent(Trapped):
    def potential(self, x):
        return x.square().sum((1, 2)) + fkflow.pair_squares(x)[1:].rsqrt().sum(0)

    def pair(self, a, b, r):
        return None


class Hard(Trapped):
    def potential(self, x):
        inside = fkflow.pair_squares(x) < x.new_tensor([0.01, 0.09, 0.09])[:, None]
        return x.square().sum((1, 2)).masked_fill(inside.any(0), math.inf)

    def pair(self, a, b, r):
        return torch.zeros_like(r).masked_fill(r < (0.1 if a == b else 0.3), math.inf)


class Unsaid(Hard):
    def pair(self, a, b, r):
        return None


class Larger(Hard):
    def pair(self, a, b, r):
        return torch.zeros_like(r).masked_fill(r < (0.1 if a == b else 0.1), math.inf)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (Uneven, "V changes when two particles of the species boson change places"),
        (Backwards, r"pair\('boson', 'impurity', r\) is not pair\('impurity', 'boson', r\)"),
        (Short, r"pair\('boson', 'boson', r\) must give a torch tensor of the shape of r"),
        (Other, "V changes by .* where two particles approach each other"),
        (Unsaid, r"a system with species must say: pair\(self, a, b, r\)"),
        (Larger, r"pair\('boson', 'impurity', r\) is infinite at other distances r than V"),
    ],
)
def test_what_the_checks_say(kind: type[fkflow.System], said: str) -> None:
    with pytest.raises(PotentialError, match=said) as caught:
        check(kind())
    assert "\n" not in str(caught.value)


def test_what_passes_the_checks() -> None:
    assert check(Trapped()).warnings == ()
    (warning,) = check(Silent()).warnings
    assert "def pair(self, a, b, r)" in warning
    # two of the species b stand in most directions from an atom of a
    large = Mixture(dimensions=3, interaction="hard_core", g_ab=8.0)
    places = check(large).landscape.places
    assert places is not None
    x = to_user_coordinates(to_unit_masses(large), places)
    assert bool(large.potential(x).isfinite().all())
