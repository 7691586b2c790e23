"""The wheel: systems and recipes inside fkflow, nothing else at the top, usable without the checkout."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def can_build() -> bool:
    """Whether this environment has the setuptools that pyproject.toml asks for (nothing is downloaded here)."""
    if importlib.util.find_spec("setuptools") is None:
        return False
    from importlib.metadata import version

    return int(version("setuptools").split(".")[0]) >= 77


pytestmark = pytest.mark.skipif(not can_build(), reason="building a wheel needs setuptools 77 or newer, installed")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a copy of the checkout, so that no build folder is left in it."""
    copy, out = tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    # caches and the results of runs stay behind
    for name in ("fkflow", "fkflow/plot", "systems", "runs"):
        (copy / name).mkdir()
        for file in (ROOT / name).iterdir():
            if file.is_file():
                shutil.copy(file, copy / name)
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", ".", "--no-deps", "--no-build-isolation", "--no-index", "-q", "-w", out],
        cwd=copy,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    (built,) = out.glob("fkflow-*.whl")
    return built


def test_what_is_inside(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        entry = next(name for name in names if name.endswith(".dist-info/entry_points.txt"))
        assert "fkflow = fkflow.cli:main" in archive.read(entry).decode()
    for folder, pattern in (("fkflow", "*.py"), ("fkflow/plot", "*.py"), ("systems", "*.py"), ("runs", "*.toml")):
        inside = {"systems": "fkflow/systems", "runs": "fkflow/recipes"}.get(folder, folder)
        expected = {f"{inside}/{path.name}" for path in (ROOT / folder).glob(pattern)}
        assert expected and expected <= names
    assert "fkflow/py.typed" in names
    assert any(name.endswith("LICENSE") for name in names)
    # a top-level package called systems or runs would clash with other projects
    assert {name.split("/")[0].split("-")[0] for name in names} == {"fkflow"}


def test_it_works_without_the_checkout(wheel: Path, tmp_path: Path) -> None:
    site, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    elsewhere.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    # before the site packages, where an editable install may point to the checkout
    code = "import fkflow, sys; from fkflow.cli import main; print(fkflow.__file__); sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, "run", "h2.toml", "--dry-run"],
        cwd=elsewhere,
        text=True,
        capture_output=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(site)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(site)) and 'name = "h2"' in done.stdout and list(elsewhere.iterdir()) == []
