"""The grid of a scan: ranges, order, names, shipped scans."""

from __future__ import annotations

from typing import Any

import pytest

from fkflow.errors import RecipeError
from fkflow.hamiltonian.registry import built_in_systems
from fkflow.recipe import config
from fkflow.runs.scan_grid import Over, folder_names, nearest, parse_over, parse_overs, plan, snake


@pytest.mark.parametrize(
    ("given", "values"),
    [
        ("system.R=0.6:6:0.2", [round(0.6 + 0.2 * i, 1) for i in range(28)]),
        ("system.R=0.8:0.8:1", [0.8]),
        ("system.R=1:2:5.0", [1.0]),
        ("system.R=0:1:0.3", [0.0, 0.3, 0.6, 0.9]),
        # a third, rounded: the end still counts
        ("system.R=0:1:0.333333333", [0.0, 0.333333333, 0.666666666, 0.999999999]),
        ("system.R=0:1:0.3333333334", [0.0, 0.3333333334, 0.6666666668, 1.0000000002]),
        ("system.R=-1:1:1e0", [-1.0, 0.0, 1.0]),
        (" system.R = 1e-3 : 2e-3 : 1e-3 ", [0.001, 0.002]),
        ("system.particles=2:4:1", [2, 3, 4]),
        ("system.particles=2:7:2", [2, 4, 6]),
        ("system.R=[0.8, 1.0, 1.4]", [0.8, 1.0, 1.4]),
        ('network.kind=["symmetric", "generic"]', ["symmetric", "generic"]),
        ("project.time_steps=[[0.1], [0.1, 0.2]]", [[0.1], [0.1, 0.2]]),
    ],
)
def test_ranges_and_lists(given: str, values: list[Any]) -> None:
    over = parse_over(given)
    assert over.key == given.split("=")[0].strip() and list(over.values) == values
    # 0.8, not 0.8000000000000002; whole numbers stay whole
    assert [type(value) for value in over.values] == [type(value) for value in values]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("system.R", ["the form"]),
        ("system.R=", ["the form"]),
        ("R=1:2:1", ["the form"]),
        ("system.R.x=1:2:1", ["the form"]),
        ("=1:2:1", ["the form"]),
        ("system.R=1", ["neither a range nor a list"]),
        ("system.R=2,3,4", ["neither a range nor a list", "[a, list]"]),
        ("system.R=1:2", ["three numbers"]),
        ("system.R=1:2:3:4", ["three numbers"]),
        ("system.R=a:b:c", ["three numbers"]),
        ("system.R=nan:1:1", ["three numbers"]),
        ("system.R=1:inf:1", ["three numbers"]),
        ("system.R=1:1e999:1", ["three numbers"]),
        ("system.R=1:2:0", ["step 0", "above 0"]),
        ("system.R=1:2:-0.5", ["step -0.5", "above 0"]),
        ("system.R=2:1:0.5", ["ends at 1 before it starts at 2"]),
        ("system.R=0:1:1e-4", ["10001 points", "10000"]),
        ("system.R=1e-300:1e300:1e-300", ["at most 10000"]),
        ("system.R=[]", ["the list is empty"]),
        ("system.R=[1, 2", ["not a TOML value"]),
        ("system.R=[1]\nx=2", ["one value"]),
        ("sistem.R=1:2:1", ["sistem is no section", "system, network"]),
        ("scan.unit=1:2:1", ["scan is no section"]),
        ('train.from=["a", "b"]', ["chooses itself"]),
    ],
)
def test_wrong_ranges(given: str, words: list[str]) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_over(given)
    message = str(caught.value)
    assert message.startswith(f"--over {given.split()[0]}") and "\n" not in message
    assert all(word in message for word in words), message


def planned(recipe: str, *overs: str, overrides: tuple[str, ...] = ()) -> Any:
    return plan(config.load(recipe, overrides), parse_overs(overs))


@pytest.mark.parametrize(
    ("overs", "overrides", "words"),
    [
        (["system.R=1:2:1", "system.R=[3.0]"], (), ["--over system.R=[3.0]", "scanned already", "system.R=1:2:1"]),
        (["system.R=1:101:1", "train.rate=0.1:10.0:0.1"], (), ["10100 points"]),
        (["system.R=1:2:1"], ("system.R=1.4",), ["--over system.R=1:2:1", "also given by --set"]),
        (["system.r=1:2:1"], (), ["--over system.r=1:2:1", "system.r is not a key", "did you mean R?"]),
        (["system.R=0:2:1"], (), ["--over system.R=0:2:1", "system.R = 0", "a number from 1e-06"]),
        (["system.R=[1.0, 1]"], (), ["the value 1.0 is there twice"]),
        (["system.R=[1.0, 'x']"], (), ['system.R = "x"', "a number"]),
        (["network.hidden=1:2:0.5"], (), ["network.hidden = 1.0", "a whole number"]),
        (["network.kind=['molecular', 'generic']"], (), ["network.kind", "since its nuclei"]),
        (["measure.walkers=[1.5]", "system.R=1:2:1"], (), ["--over measure.walkers=[1.5]", "measure.walkers = 1.5"]),
    ],
)
def test_every_point_is_checked_before_anything_runs(overs: list[str], overrides: Any, words: list[str]) -> None:
    with pytest.raises(RecipeError) as caught:
        planned("h2", *overs, overrides=overrides)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_all_energies_have_one_unit() -> None:
    with pytest.raises(RecipeError, match="different units"):
        plan(config.parse('[system]\nname = "h2"', "a.toml"), parse_overs(['system.name=["h2", "harmonic"]']))


def test_neighbours_in_the_order_are_neighbours_on_the_grid() -> None:
    assert snake([3, 2]) == [(0, 0), (1, 0), (2, 0), (2, 1), (1, 1), (0, 1)]
    places = snake([4, 3, 5])
    assert len(set(places)) == 60
    for one, other in zip(places, places[1:], strict=False):
        assert sum(abs(a - b) for a, b in zip(one, other, strict=True)) == 1


def test_nearest_places_first_and_of_equals_the_last() -> None:
    done = snake([3, 2])[:4]
    assert nearest((1, 1), done)[:2] == [(2, 1), (1, 0)]
    assert nearest((0, 1), done)[0] == (0, 0)
    assert nearest((0, 0), []) == []


def test_folder_names_are_valid_on_any_disk() -> None:
    points = planned("bosons", "system.g=0.5:1.5:0.5", "system.particles=[2, 3]")
    assert [p.name for p in points[:4]] == [
        "g=0.5,particles=2",
        "g=1,particles=2",
        "g=1.5,particles=2",
        "g=1.5,particles=3",
    ]
    assert points[1].values == {"system.g": 1.0, "system.particles": 2} and points[1].loaded.recipe.system.g == 1.0
    both = planned("h2", "measure.target_error=[0.1]", "project.target_error=[0.2]")
    assert both[0].name == "measure.target_error=0.1,project.target_error=0.2"
    # names that would be the same get a number
    alike = parse_overs(['system.omega=["a b", "a,b", "A B"]'])
    values = [{"system.omega": value} for value in alike[0].values]
    assert folder_names(alike, values) == ["omega=a_b", "omega=a_b~2", "omega=A_B~3"]
    lists = planned("harmonic", "system.omega=[[1.0, 1.0, 2.0], [1.0, 1.0, 2.5], 1.0]")
    assert [p.name for p in lists] == ["omega=_1_1_2_", "omega=_1_1_2.5_", "omega=1"]


def test_the_shipped_scans() -> None:
    """The dissociation curve holds all literature distances, the bosons all published strengths."""
    for name, must in (
        ("scan_h2", {("system.R", r) for r in (0.8, 1.0, 1.2, 1.4, 1.6, 2.0, 2.8, 3.0, 4.0, 6.0)}),
        ("scan_bosons", {("system.g", 2 * g) for g in (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.5, 8.0)}),
    ):
        base = config.load(name)
        assert base.scan is not None
        points = plan(base, parse_overs(base.scan.over))
        assert must <= {item for point in points for item in point.values.items()}
        assert all(point.loaded.scan is None for point in points)
    assert {p.values["system.particles"] for p in points} == {2, 3, 4} and base.scan.unit == 2.0
    # every point of the dissociation curve has a reference or lies between two that do; g = 0 is known exactly
    assert [p.loaded.recipe.system.reference().error for p in points if p.values["system.g"] == 0] == [0.0] * 3


def test_published_energies_are_those_of_the_paper_and_scale() -> None:
    bosons = built_in_systems()["bosons"]
    (found,) = bosons(particles=4, g=16.0, s=0.5).published()
    assert found.energy == 7.72579281 and "Mujal" in found.source and "upper bound" in found.source
    # E(ω, g, s) = ω E(1, g, s √ω)
    (scaled,) = bosons(particles=4, g=16.0, s=0.25, omega=4.0).published()
    assert scaled.energy == pytest.approx(4 * 7.72579281)
    assert bosons(particles=4, g=16.5, s=0.5).published() == () == bosons(particles=5, g=16.0, s=0.5).published()
    assert built_in_systems()["h2"]().published() == ()
    # upper bounds: none lies below the exact energy
    for n in (2, 3, 4):
        for g in (1.0, 10.0):
            one = bosons(particles=n, g=g, s=0.5)
            assert one.published()[0].energy > one.reference().energy


def test_over_is_plain_data() -> None:
    over = parse_over("system.R=1:2:1", "a.toml: scan.over")
    assert over == Over("system.R", (1, 2), "system.R=1:2:1", "a.toml: scan.over") and over.short == "R"
    assert str(over.error("no")) == "a.toml: scan.over system.R=1:2:1: no"


def test_one_number_of_a_species_is_scanned() -> None:
    """system.species.NAME.KEY is that number alone; a name or a key that is not there is one sentence."""
    over = parse_over("system.species.hole.mass=[1.0, 2.0]")
    points = plan(config.load("trion"), [over])
    assert [point.values for point in points] == [{over.key: 1.0}, {over.key: 2.0}]
    assert [point.name for point in points] == ["hole.mass=1", "hole.mass=2"]
    assert [one.mass for one in points[1].loaded.recipe.system.species] == [1.0, 2.0]
    # the recipe itself is as it was
    assert [one.mass for one in config.load("trion").recipe.system.species] == [1.0, 1.0]
    with pytest.raises(RecipeError, match="it has electron, hole"):
        config.load("trion", ["system.species.muon.mass=207.0"])
    with pytest.raises(RecipeError, match="--set system.species.hole.mass=-1.0: .* hole has mass = -1.0"):
        config.load("trion", ["system.species.hole.mass=-1.0"])
    with pytest.raises(RecipeError, match="it must have the form"):
        parse_over("system.species.hole=1:2:1")
