"""Scans without training: ranges, order, names, the file, the table, the picture; and which weights fit."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from fkflow.errors import RecipeError, StoreError, UsageError
from fkflow.hamiltonian.registry import built_in_systems
from fkflow.hamiltonian.system import Reference
from fkflow.plot import save_scan, scan
from fkflow.plot.scans import differences
from fkflow.recipe import config
from fkflow.results.scan_records import FAILED, FINISHED, WAITING, Axis, Point, Scan, csv_text, table_text
from fkflow.results.scan_store import find_scan, read_scan, write_scan
from fkflow.runs import warm_start
from fkflow.runs.scan_grid import Over, folder_names, nearest, parse_over, parse_overs, plan, snake
from fkflow.training.loop import initial_state
from fkflow.training.schedule import HEAD_START, schedule_position, walker_count

# ---------------------------------------------------------------------------------------------- what is scanned


@pytest.mark.parametrize(
    ("given", "values"),
    [
        ("system.R=0.6:6:0.2", [round(0.6 + 0.2 * i, 1) for i in range(28)]),
        ("system.R=0.8:0.8:1", [0.8]),
        ("system.R=1:2:5.0", [1.0]),
        ("system.R=0:1:0.3", [0.0, 0.3, 0.6, 0.9]),
        # a third, rounded: the end is met all the same
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
def test_what_cannot_be_scanned(given: str, words: list[str]) -> None:
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


def test_energies_of_one_unit() -> None:
    with pytest.raises(RecipeError, match="different units"):
        plan(config.parse('[system]\nname = "h2"', "a.toml"), parse_overs(['system.name=["h2", "harmonic"]']))


def test_the_snake_moves_one_step_at_a_time() -> None:
    assert snake([3, 2]) == [(0, 0), (1, 0), (2, 0), (2, 1), (1, 1), (0, 1)]
    places = snake([4, 3, 5])
    assert len(set(places)) == 60
    for one, other in zip(places, places[1:], strict=False):
        assert sum(abs(a - b) for a, b in zip(one, other, strict=True)) == 1


def test_the_nearest_place_and_of_equals_the_last() -> None:
    done = snake([3, 2])[:4]
    assert nearest((1, 1), done)[:2] == [(2, 1), (1, 0)]
    assert nearest((0, 1), done)[0] == (0, 0)
    assert nearest((0, 0), []) == []


def test_points_have_names_that_any_disk_takes() -> None:
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
    # what a name cannot keep is told apart by a number
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


# --------------------------------------------------------------------------------------------------- the file


def made_up_scan(path: Path, count: int = 5) -> Scan:
    points = []
    for i in range(count):
        value = {"system.R": round(0.8 + 0.2 * i, 1), "system.particles": 2 + i % 2}
        reference = Reference(-1.0 - 0.1 * i, 1e-9, "made up") if i % 2 == 0 else None
        bounds = tuple(Reference(-0.9 - 0.1 * i + 0.01 * j, 1e-8, f"bound {j}") for j in range(i % 3))
        points.append(Point(value, f"R={0.8 + 0.2 * i:.1f}", seed=2**32 - 1 - i, reference=reference, published=bounds))
        if i < count - 2:
            points[-1] = dataclasses.replace(
                points[-1], status=FINISHED, kind="projected", energy=-1.0 - 0.1 * i + 1e-5, error=2e-5, variational=-1.0,
                variational_error=3e-5, projected=-1.0, projected_error=1e-5, time_step_error=1e-6, seconds=12.5,
                start="runs/scan/R=0.8",
            )  # fmt: skip
    points[-2] = dataclasses.replace(points[-2], status=FAILED, attempts=1, reason="training failed: größer")
    axes = (Axis("system.R", "distance of the nuclei (bohr)", "bohr"), Axis("system.particles", "number", ""))
    return Scan(
        path=path, name="scan_h2", system="h2", parameters={"R": 1.4, "particles": 2, "s": 0.5}, energy_unit="hartree",
        recipe_text="# größer\n", recipe_source="scan_h2.toml", resolved={"system": {"name": "h2", "R": 1.4}},
        over=("system.R=0.8:1.6:0.2", "system.particles=[2, 3]"), axes=axes, unit=2.0, warm=True, seed=7, version="0.1.0",
        points=tuple(points),
    )  # fmt: skip


def same(one: Any, other: Any) -> bool:
    """Equality in which NaN equals NaN."""
    return repr(one) == repr(other)


def test_the_file_gives_back_what_was_written(tmp_path: Path) -> None:
    made = made_up_scan(tmp_path / "scan.h5")
    write_scan(made)
    assert find_scan(tmp_path) == tmp_path / "scan.h5" == find_scan(tmp_path / "scan.h5")
    assert find_scan(tmp_path / "nothing") is None
    assert same(read_scan(tmp_path / "scan.h5"), made)
    # values that are no numbers come back too
    words = dataclasses.replace(
        made,
        points=tuple(
            dataclasses.replace(p, values={**p.values, "system.R": f"w{i}"}) for i, p in enumerate(made.points)
        ),
    )
    write_scan(words)
    assert same(read_scan(tmp_path / "scan.h5"), words)
    assert [path.name for path in tmp_path.iterdir()] == ["scan.h5"]


def test_the_file_describes_itself(tmp_path: Path) -> None:
    write_scan(made_up_scan(tmp_path / "scan.h5"))
    undescribed: list[str] = []

    def check(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and not (
            isinstance(item.attrs.get("units"), str) and isinstance(item.attrs.get("long_name"), str)
        ):
            undescribed.append(name)

    with h5py.File(tmp_path / "scan.h5") as file:
        file.visititems(check)
        assert not undescribed
        assert file.attrs["format"] == "fkflow-scan" and file.attrs["format_version"] == 1
        assert file["parameters/system.R"].attrs["units"] == "bohr"
        assert file["points/energy"].attrs["units"] == "hartree" and math.isnan(file["points/energy"][-1])
        assert [file["reference/point"][()].tolist(), file["published/point"][()].tolist()] == [[0, 2, 4], [1, 2, 2, 4]]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda content: b"", "not an HDF5 file"),
        (lambda content: b"text", "not an HDF5 file"),
        (lambda content: content[: len(content) // 2], "truncated or damaged"),
    ],
)
def test_a_damaged_file_is_refused_in_one_sentence(tmp_path: Path, damage: Any, words: str) -> None:
    path = tmp_path / "scan.h5"
    write_scan(made_up_scan(path))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(StoreError, match=words) as caught:
        read_scan(path)
    assert "scan.h5" in str(caught.value) and "\n" not in str(caught.value)


def changed(path: Path, change: Any) -> str:
    """What is said of a scan.h5 after a change of its content."""
    write_scan(made_up_scan(path))
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(StoreError) as caught:
        read_scan(path)
    return str(caught.value)


def test_foreign_newer_and_incomplete_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "scan.h5"
    assert "not one that fkflow wrote" in changed(path, lambda f: f.attrs.modify("format", "fkflow"))
    assert "newer fkflow" in changed(path, lambda f: f.attrs.modify("format_version", 2))
    assert "/points is missing" in changed(path, lambda f: f.__delitem__("points"))
    assert "seed" in changed(path, lambda f: f["config"].attrs.__delitem__("seed"))

    def shortened(file: h5py.File) -> None:
        del file["points/seconds"]
        file["points/seconds"] = np.zeros(2)

    assert "do not fit together" in changed(path, shortened)
    assert "do not fit its points" in changed(path, lambda f: f["reference/point"].write_direct(np.array([0, 2, 99])))
    flipped = tmp_path / "flipped.h5"
    write_scan(made_up_scan(path))
    content = bytearray(path.read_bytes())
    with h5py.File(path) as file:
        place = file["points/energy"].id.get_chunk_info(0).byte_offset
    content[place] ^= 1
    flipped.write_bytes(content)
    with pytest.raises(StoreError, match="damaged"):
        read_scan(flipped)


# ------------------------------------------------------------------------------------------ the table, the picture


def test_the_table_for_people(tmp_path: Path) -> None:
    lines = table_text(made_up_scan(Path("runs/scan/scan.h5"))).splitlines()
    assert lines[0] == "h2  s = 0.5   projected energies in hartree" and max(map(len, lines)) <= 80
    assert lines[1].split() == ["R", "particles", "energy", "reference", "difference", "z", "seconds"]
    assert lines[2].split() == ["0.8", "2", "-0.99999(2)", "-1.0000000000(10)", "+1.0e-05", "+0.5", "12"]
    assert lines[3].split()[2:] == ["-1.09999(2)", "-", "-", "-", "12"]
    assert lines[5].split()[2] == FAILED and lines[6].split()[2] == WAITING
    assert any("failed: R=1.4: training failed" in line for line in lines)
    assert any("2 of 5 points have a reference; root mean square of z: 0.50" in line for line in lines)


def test_the_table_as_csv() -> None:
    rows = list(csv.DictReader(io.StringIO(csv_text(made_up_scan(Path("runs/scan/scan.h5"))))))
    assert len(rows) == 5 and rows[0]["system.R"] == "0.8" and float(rows[0]["z"]) == pytest.approx(0.5)
    assert rows[-1]["status"] == WAITING and rows[-1]["energy"] == rows[-1]["z"] == ""


def test_the_picture(tmp_path: Path) -> None:
    made = made_up_scan(tmp_path / "scan.h5")
    upper, lower = Figure().subplots(2, 1)
    scan(made, upper)
    differences(made, lower)
    legend = [entry.get_text() for entry in upper.get_legend().get_texts()]
    assert {"particles = 2", "particles = 3", "reference", "published", "failed"} == set(legend)
    assert upper.get_xlabel() == "distance of the nuclei, R / 2 (bohr)" and upper.get_ylabel() == "energy (hartree)"
    # 1e-5 hartree of difference is drawn as 10 millionths
    assert "10^{-6}" in lower.get_ylabel()
    assert np.allclose(lower.containers[0].lines[0].get_ydata(), 10.0)
    assert np.allclose(upper.containers[0].lines[0].get_xdata(), [0.4, 0.6])
    for format in ("png", "svg"):
        assert save_scan(made, tmp_path, format).stat().st_size > 5000
    # nothing is finished yet
    waiting = dataclasses.replace(made, points=tuple(dataclasses.replace(p, status=WAITING) for p in made.points))
    save_scan(waiting, tmp_path)


# ------------------------------------------------------------------------------------------------- warm starts


def net(name: str, *sets: str) -> Any:
    return warm_start.build_network(config.load(name, sets).recipe, 0)


def test_which_weights_fit() -> None:
    layouts = {r: warm_start.layout(net("h2", f"system.R={r}")) for r in (1.4, 1.6)}
    assert warm_start.difference(layouts[1.4], layouts[1.6]) is None
    # particles of one kind share their weights, whatever their number
    assert (
        warm_start.difference(warm_start.layout(net("bosons")), warm_start.layout(net("bosons", "system.particles=3")))
        is None
    )
    wide = warm_start.layout(net("h2", "network.hidden=8"))
    assert "parameter net.0.weight is of shape (8" in str(warm_start.difference(layouts[1.4], wide))
    assert "network is SymmetricNet there and MolecularNet here" in str(
        warm_start.difference(layouts[1.4], warm_start.layout(net("bosons")))
    )
    # the same numbers mean another function where lengths are counted in another unit
    longer = warm_start.layout(net("bosons", "system.omega=0.1"))
    assert "natural length is" in str(warm_start.difference(warm_start.layout(net("bosons")), longer))


def test_only_what_is_learned_is_copied(perturbed: Any) -> None:
    there, here = perturbed(net("h2", "system.R=1.4")), net("h2", "system.R=1.6")
    bonds = here.bonds.clone()
    warm_start.copy_weights(here, dict(there.named_parameters()))
    assert all(torch.equal(p, dict(there.named_parameters())[name]) for name, p in here.named_parameters())
    assert torch.equal(here.bonds, bonds) and not torch.equal(here.bonds, there.bonds)
    x = torch.randn(3, 2, 3, dtype=torch.float64)
    assert not torch.equal(here(x), there(x))
    # and not one number is shared: training one leaves the other alone
    with torch.no_grad():
        here.log_beta += 1
    assert not torch.equal(here.log_beta, there.log_beta)


@pytest.mark.parametrize("given", ["nowhere", "."])
def test_a_run_that_is_none_is_named(given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=f"^train.from = {given}: "):
        warm_start.read_weights(given, {})


def test_a_warm_start_has_a_head_start_in_all_schedules() -> None:
    from fkflow.hamiltonian.landscape import explore

    cold, started = (config.load("h2", sets).recipe for sets in ((), ("train.from=runs/h2",)))
    assert schedule_position(cold.train, 3) == 3 and schedule_position(started.train, 3) == 3 + HEAD_START
    assert walker_count(cold.train, 0) < walker_count(started.train, 0) == walker_count(cold.train, HEAD_START)
    state = initial_state(net("h2"), explore(cold.system), started.train, 0, "cpu")
    assert len(state.walkers.x) == walker_count(started.train, 0)


def test_over_is_plain_data() -> None:
    over = parse_over("system.R=1:2:1", "a.toml: scan.over")
    assert over == Over("system.R", (1, 2), "system.R=1:2:1", "a.toml: scan.over") and over.short == "R"
    assert str(over.error("no")) == "a.toml: scan.over system.R=1:2:1: no"
