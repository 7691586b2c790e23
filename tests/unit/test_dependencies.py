"""The versions that .ci/lowest installs are the lowest that pyproject.toml admits."""

from __future__ import annotations

import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]


def bounds(requirements: list[str], operator: str) -> dict[str, Version]:
    """The version that each requirement names after `operator`, which it must have once."""
    found = {}
    for requirement in map(Requirement, requirements):
        (version,) = (part.version for part in requirement.specifier if part.operator == operator)
        found[requirement.name] = Version(version)
    return found


def test_the_lowest_versions_are_tested() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = (ROOT / ".ci" / "lowest.txt").read_text(encoding="utf-8").splitlines()
    tested = bounds([line for line in lines if not line.startswith("#")], "==")
    assert tested == bounds(project["dependencies"] + project["optional-dependencies"]["test"], ">=")
    (python,) = (line.split()[0] for line in (ROOT / ".ci" / "lowest").read_text().splitlines() if "-m venv" in line)
    assert f">={python.removeprefix('python')}" == project["requires-python"]


def test_the_tests_can_make_the_site() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert set(extras["docs"]) < set(extras["test"])


def test_the_citation_has_the_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8").splitlines()
    assert (
        f"version: {project['version']}" in citation and f"repository-code: {project['urls']['Homepage']}" in citation
    )
