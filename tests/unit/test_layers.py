"""The direction of imports: entry → cli → scan → run → project → train, measure → gradients, paths, networks → system, …"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

#: lowest first; a module imports from its own layer and those before it, never in a circle
LAYERS = (
    {
        "errors",
        "statistics",
        "system",
        "userfile",
        "masses",
        "plugins",
        "device",
        "parallel",
        "ranks",
        "joining",
        "seal",
        "geometry",
        "kept",
        "outliers",
        "twin",
        "replay",
        "startup",
        "forking",
        "shared_memory",
        "toml",
        "options",
        "wording",
    },
    {"complaints", "registry", "results", "scans", "schema", "folders", "hdf5", "progress", "interrupts"},
    {
        "config",
        "template",
        "grid",
        "checkpoints",
        "reader",
        "store",
        "scan_store",
        "landscape",
        "summary",
        "report",
        "rerun",
    },
    {
        "bends",
        "perceptron",
        "logpsi",
        "single",
        "distances",
        "labellings",
        "molecular_bends",
        "molecular",
        "pair_drift",
        "pair_factor",
        "generic",
        "symmetric_slopes",
        "symmetric_bends",
        "symmetric",
        "networks",
        "paths",
        "sampling",
        "scouts",
        "gradients",
        "optimisers",
        "local_energy",
        "observables",
        "population",
        "extrapolation",
        "checks",
    },
    {
        "train_state",
        "schedule",
        "judging",
        "samplers",
        "training",
        "measure",
        "restore",
        "inspection",
        "trajectories",
        "warm",
        "provenance",
        "calls",
    },
    {"project", "projected", "evaluation"},
    {"frozen"},
    {"session", "plot"},
    {"run"},
    {"animate", "scan", "solution"},
    {"loops"},
    {"api"},
    {"cli", "__init__"},
    {"entry"},
    {"__main__"},
)
LEVEL = {module: level for level, modules in enumerate(LAYERS) for module in modules}


def imports(path: Path, package: str) -> set[str]:
    """All modules (dotted) that a file of `package` imports when it runs, at its top or inside a function."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(node)
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and ast.unparse(branch.test).endswith("TYPE_CHECKING")
        for statement in branch.body
        for node in ast.walk(statement)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            depth = len(package.split(".")) + 1 - node.level
            parents = package.split(".")[:depth] if node.level else []
            base = ".".join([*parents, node.module or ""]).strip(".")
            found |= {f"{base}.{alias.name}" for alias in node.names}
    return found


def inside(name: str) -> str | None:
    """The fkflow module a dotted name belongs to (``systems`` for any system), or None."""
    parts = name.split(".")
    return parts[1] if parts[0] == "fkflow" and len(parts) > 1 else None


#: the files of every module: one, or those of a package
FILES = {path.stem: [path] for path in sorted((ROOT / "fkflow").glob("*.py"))}
FILES |= {path.parent.name: sorted(path.parent.glob("*.py")) for path in (ROOT / "fkflow").glob("*/__init__.py")}


def imported(name: str) -> set[str]:
    """All modules (dotted) that the files of a module of fkflow import."""
    folders = {path: "fkflow" if path.parent.name == "fkflow" else f"fkflow.{name}" for path in FILES[name]}
    return set().union(*(imports(path, package) for path, package in folders.items()))


@cache
def used(name: str) -> set[str]:
    """The other modules of fkflow that one of them imports."""
    return {inside(i) for i in imported(name)} & {*FILES, "systems"} - {name}


@pytest.mark.parametrize("name", FILES)
def test_modules_import_downwards(name: str) -> None:
    assert name in LEVEL, f"say in LAYERS where fkflow/{name}.py belongs"
    upwards = {other for other in used(name) if other in LEVEL and LEVEL[other] > LEVEL[name]}
    assert not upwards, f"fkflow/{name}.py imports upwards: {upwards}"
    if "systems" in used(name):
        assert name in ("registry", "__init__"), "only the registry knows the systems"


def test_no_circles() -> None:
    def walk(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, f"a circle of imports: {' → '.join([*above, name])}"
        for other in used(name):
            if other not in ("__init__", "systems"):
                walk(other, (*above, name))

    for name in FILES:
        walk(name, ())


@pytest.mark.parametrize("path", sorted((ROOT / "systems").glob("*.py")), ids=lambda path: path.stem)
def test_systems_know_only_the_system_base_and_distances(path: Path) -> None:
    for name in imports(path, "fkflow.systems"):
        module = inside(name)
        assert module in (None, "system", "geometry", "systems"), f"systems/{path.name} imports {name}"
        assert not name.startswith(("systems", "runs")), "import fkflow.systems, not the folder"


def test_the_walker_sees_what_it_must(tmp_path: Path) -> None:
    """The check has teeth: every way of writing an import is seen, one for type checkers only is not."""
    source = (
        "from __future__ import annotations\nfrom typing import TYPE_CHECKING\nimport fkflow.run\n"
        "from .train import x\nfrom . import cli\nfrom fkflow import measure\n"
        "def f():\n    from fkflow.plot import y\nif TYPE_CHECKING:\n    from .store import z\n"
    )
    path = tmp_path / "module.py"
    path.write_text(source)
    assert {inside(i) for i in imports(path, "fkflow")} - {None} == {"run", "train", "cli", "measure", "plot"}
    path.write_text("from ..run import x\n")
    assert {inside(i) for i in imports(path, "fkflow.systems")} == {"run"}


def test_only_plot_knows_matplotlib() -> None:
    knowing = {name for name in FILES if any(i.split(".")[0] == "matplotlib" for i in imported(name))}
    assert knowing == {"plot"}
