"""The direction of imports: each package imports from itself and from the packages before it, and no modules in a circle."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

#: lowest first
PACKAGES = (
    "errors", "statistics", "text", "units", "execution", "hamiltonian", "systems", "recipe", "networks", "results", "sampling",
    "training", "measurement", "projection", "spectrum", "thermal", "plot", "runs", "api", "cli",
)  # fmt: skip

#: the files of the packages by their dotted names; the folder recipes holds no code
FILES = {
    ".".join(["fkflow", *path.relative_to(ROOT / "fkflow").with_suffix("").parts]).removesuffix(".__init__"): path
    for path in sorted([*(ROOT / "fkflow").glob("*.py"), *(ROOT / "fkflow").glob("*/*.py")])
    if path.parent.name != "recipes"
}


def imports(path: Path, package: str) -> set[str]:
    """All names (dotted) that a file of `package` imports, at its top, inside a function or for type checkers."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            depth = len(package.split(".")) + 1 - node.level
            parents = package.split(".")[:depth] if node.level else []
            base = ".".join([*parents, node.module or ""]).strip(".")
            found |= {f"{base}.{alias.name}" for alias in node.names}
    return found


def package_of(name: str) -> str | None:
    """The package of fkflow that a dotted name belongs to, or None."""
    parts = name.split(".")
    return parts[1] if parts[0] == "fkflow" and len(parts) > 1 else None


def folder_of(name: str) -> str:
    """The dotted name of the folder that holds the file of a module."""
    return name if FILES[name].name == "__init__.py" else name.rpartition(".")[0]


@cache
def imported_modules(name: str) -> frozenset[str]:
    """The other modules of fkflow that one of them imports."""
    found = set()
    for other in imports(FILES[name], folder_of(name)):
        while other and other not in FILES:
            other = other.rpartition(".")[0]
        found.add(other)
    return frozenset(found - {"", "fkflow", name})


@pytest.mark.parametrize("name", [name for name in FILES if name not in ("fkflow", "fkflow.__main__")])
def test_packages_import_downwards(name: str) -> None:
    package = package_of(name)
    assert package in PACKAGES, f"say in PACKAGES where {name} belongs"
    below = PACKAGES[: PACKAGES.index(package) + 1]
    upwards = {other for other in imported_modules(name) if package_of(other) not in below}
    assert not upwards, f"{name} imports upwards: {upwards}"


def test_no_circles() -> None:
    checked: set[str] = set()

    def walk(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, f"a circle of imports: {' -> '.join([*above, name])}"
        if name not in checked:
            for other in imported_modules(name):
                walk(other, (*above, name))
            checked.add(name)

    for name in FILES:
        walk(name, ())


@pytest.mark.parametrize("path", sorted((ROOT / "systems").glob("*.py")), ids=lambda path: path.stem)
def test_systems_know_only_the_system_base_and_distances(path: Path) -> None:
    allowed = (
        "fkflow.hamiltonian.system",
        "fkflow.hamiltonian.geometry",
        "fkflow.hamiltonian.species",
        "fkflow.hamiltonian.charge",
        "fkflow.hamiltonian.ewald",
        "fkflow.hamiltonian.interactions",
        "fkflow.systems",
    )
    for name in imports(path, "fkflow.systems"):
        assert package_of(name) is None or name.startswith(allowed), f"systems/{path.name} imports {name}"
        assert not name.startswith(("systems", "runs")), "import fkflow.systems, not the folder"


def test_every_way_of_writing_an_import_is_found(tmp_path: Path) -> None:
    source = (
        "from __future__ import annotations\nfrom typing import TYPE_CHECKING\nimport fkflow.runs.run\n"
        "from .train import x\nfrom . import cli\nfrom fkflow import measure\n"
        "def f():\n    from fkflow.plot import y\nif TYPE_CHECKING:\n    from .store import z\n"
    )
    path = tmp_path / "module.py"
    path.write_text(source)
    found = {package_of(i) for i in imports(path, "fkflow")} - {None}
    assert found == {"runs", "train", "cli", "measure", "plot", "store"}
    path.write_text("from ..run import x\n")
    assert {package_of(i) for i in imports(path, "fkflow.systems")} == {"run"}


def test_only_plot_knows_matplotlib() -> None:
    knowing = {
        package_of(name)
        for name, path in FILES.items()
        if any(i.split(".")[0] == "matplotlib" for i in imports(path, folder_of(name)))
    }
    assert knowing == {"plot"}
