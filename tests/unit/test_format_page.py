"""docs/file-format.md describes all that is written."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import h5py

from fkflow.results import scan_store
from fkflow.results.provenance import collect_provenance

ROOT = Path(__file__).resolve().parents[2]


def sections(page: str) -> dict[str, set[str]]:
    """Headings of a page, and what stands in backquotes below each."""
    _, *parts = re.split(r"^##+ (.*)$", page, flags=re.M)
    return {
        heading: set(re.findall(r"`([^`\n]+)`", text)) for heading, text in zip(parts[::2], parts[1::2], strict=True)
    }


def test_the_format_describes_all_that_is_written(tmp_path: Path, write_run, made_up) -> None:
    """Every group, dataset and attribute of result.h5 stands in its section of docs/file-format.md."""
    page = (ROOT / "docs" / "file-format.md").read_text(encoding="utf-8")
    described = sections(page.split("\n## scan.h5")[0])
    everywhere = described["Conventions"] | {"units", "long_name", "warnings"}
    where = collect_provenance(seed=1, device="cpu", threads=1, started=0.0)
    measured = dataclasses.replace(made_up.projected(), curl=0.1)
    write_run(tmp_path / "result.h5", measurement=measured, provenance=where | {"measure_seed": 2})
    seen = 0

    def look(name: str, item: h5py.Group | h5py.Dataset) -> None:
        nonlocal seen
        top, *inner = name.split("/")
        if top == "model" and inner:
            return
        if not inner and isinstance(item, h5py.Dataset) and h5py.h5ds.is_scale(item.id):
            # the numbers of walkers, and of weights by their size
            assert top in everywhere or re.fullmatch(r"size_\d+(_\w+)?", top), top
            return
        words = next(words for heading, words in described.items() if f"/{top}" in heading) | everywhere
        # names of pictures and of their axes are the user's own
        given = inner[:1] if top in ("density", "pair", "drift", "observables") else []
        axes = {part for axis in ("x", "y", "z", "r") for part in (axis, f"{axis}_edges", f"{axis}_edge")}
        # what HDF5 itself says of scales and labels is in capitals
        attributes = {each for each in item.attrs if not each.isupper()}
        # stages of energy are headings in the text
        own = {part for part in inner if part not in (*given, *axes) and f"/energy/{part}" not in words}
        missing = (own | attributes) - words
        assert not missing, f"docs/file-format.md does not speak of {missing} of /{name}"
        seen += 1 + len(attributes)

    with h5py.File(tmp_path / "result.h5") as file:
        assert set(file.attrs) <= described["Layout"]
        file.visititems(look)
    assert seen > 100


def test_the_format_describes_scans() -> None:
    page = (ROOT / "docs" / "file-format.md").read_text(encoding="utf-8")
    points = sections(page.split("\n## scan.h5")[1])["/points"]
    assert {*scan_store.NUMBERS, *scan_store.TEXTS} <= points
