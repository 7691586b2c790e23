"""The records of a scan: its file, its table, its picture."""

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
from matplotlib.figure import Figure

from fkflow.errors import StoreError
from fkflow.hamiltonian.system import Reference
from fkflow.plot import save_scan, scan
from fkflow.plot.scans import differences, sizes
from fkflow.results.scan_records import FAILED, FINISHED, WAITING, Axis, Point, Scan
from fkflow.results.scan_store import find_scan, read_scan, write_scan
from fkflow.results.scan_tables import csv_text, table_text


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


def test_a_scan_is_read_as_it_was_written(tmp_path: Path) -> None:
    made = made_up_scan(tmp_path / "scan.h5")
    write_scan(made)
    assert find_scan(tmp_path) == tmp_path / "scan.h5" == find_scan(tmp_path / "scan.h5")
    assert find_scan(tmp_path / "nothing") is None
    assert same(read_scan(tmp_path / "scan.h5"), made)
    # also values that are no numbers
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
def test_damaged_files(tmp_path: Path, damage: Any, words: str) -> None:
    path = tmp_path / "scan.h5"
    write_scan(made_up_scan(path))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(StoreError, match=words) as caught:
        read_scan(path)
    assert "scan.h5" in str(caught.value) and "\n" not in str(caught.value)


def changed(path: Path, change: Any) -> str:
    """The error of a scan.h5 after a change of its content."""
    write_scan(made_up_scan(path))
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(StoreError) as caught:
        read_scan(path)
    return str(caught.value)


def test_foreign_newer_and_incomplete_files(tmp_path: Path) -> None:
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


def test_the_table_as_text(tmp_path: Path) -> None:
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


def test_no_point_is_outside_the_axes(tmp_path: Path) -> None:
    """Curves stand side by side in the lower panel, also at the ends."""
    made = made_up_scan(tmp_path / "scan.h5", 6)
    points = []
    for i, point in enumerate(made.points):
        values = {"system.R": 0.8 + 0.4 * (i // 2), "system.particles": 2 + i % 2}
        known = Reference(-1.0, 1e-9, "made up")
        points.append(
            dataclasses.replace(
                point, values=values, reference=known, status=FINISHED, energy=-1.0 + 1e-5 * i, error=2e-5
            )
        )
    ax = Figure().subplots()
    differences(dataclasses.replace(made, points=tuple(points)), ax)
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    assert len(ax.containers) == 2
    for container in ax.containers:
        x, y = container.lines[0].get_data()
        (bars,) = container.lines[2]
        ends = np.concatenate([segment[:, 1] for segment in bars.get_segments()])
        assert len(x) == 3 and left < x.min() and x.max() < right and low < ends.min() and ends.max() < high
    # they do not stand on one another
    first, second = (container.lines[0].get_xdata() for container in ax.containers)
    assert (second - first > 0.02).all()


def test_a_scan_over_numbers_of_particles_shows_the_energy_of_one(tmp_path: Path) -> None:
    """E/N stands at 1/N, with its error; the twin: another scan has no such picture."""
    made = made_up_scan(tmp_path / "scan.h5")
    save_scan(made, tmp_path)
    assert not (tmp_path / "sizes.png").exists()
    points = tuple(
        dataclasses.replace(point, values={"system.particles": n}) for n, point in enumerate(made.points[:3], 2)
    )
    sized = dataclasses.replace(made, axes=made.axes[1:], points=points, unit=1.0)
    save_scan(sized, tmp_path)
    assert (tmp_path / "sizes.png").stat().st_size > 5000
    ax = Figure().add_subplot()
    sizes(sized, ax)
    (bars,) = ax.containers
    x, y = bars.lines[0].get_data()
    best = [point.best.value for point in points]
    assert list(x) == [1 / 2, 1 / 3, 1 / 4] and list(y) == [e / n for e, n in zip(best, (2, 3, 4), strict=True)]
