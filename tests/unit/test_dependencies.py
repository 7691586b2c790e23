"""The versions that .ci/lowest installs are the lowest that pyproject.toml admits."""

from __future__ import annotations

import ast
import sys
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


def test_all_that_the_package_imports_is_installed_with_it() -> None:
    """By a plain `pip install`; what an extra brings is imported inside a function alone."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    modules = {"pillow": "PIL"}
    installed = {modules.get(Requirement(line).name, Requirement(line).name) for line in project["dependencies"]}
    extras = {Requirement(line).name for key in ("ase", "data") for line in project["optional-dependencies"][key]}
    imported, at_top = set(), set()
    # the folders of systems and recipes are links; mpl_toolkits is a part of matplotlib
    for path in [*(ROOT / "fkflow").glob("*.py"), *(ROOT / "fkflow").glob("*/*.py")]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            found = (
                {name.partition(".")[0] for name in names} - set(sys.stdlib_module_names) - {"fkflow", "mpl_toolkits"}
            )
            imported |= found
            at_top |= found if node in tree.body else set()
    assert at_top <= installed and imported <= installed | extras
    # and nothing is asked for in vain
    assert installed <= imported


def test_the_tests_can_make_the_site() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert set(extras["docs"]) < set(extras["test"])


def test_the_citation_has_the_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8").splitlines()
    assert (
        f"version: {project['version']}" in citation and f"repository-code: {project['urls']['Homepage']}" in citation
    )
