"""The wheel: systems and recipes inside fkflow, nothing else at the top, usable without the checkout. The sdist: tests too."""

from __future__ import annotations

import email
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def can_build() -> bool:
    """Whether this environment has the setuptools that pyproject.toml asks for (nothing is downloaded here)."""
    if importlib.util.find_spec("setuptools") is None:
        return False
    return int(version("setuptools").split(".")[0]) >= 77


pytestmark = pytest.mark.skipif(not can_build(), reason="building a wheel needs setuptools 77 or newer, installed")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout in a folder called fkflow, so that nothing is built in the checkout itself."""
    copy = tmp_path_factory.mktemp("clones") / "fkflow"
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    # caches and the results of runs stay behind
    for name in ("fkflow", "systems"):
        shutil.copytree(ROOT / name, copy / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "runs").mkdir()
    for file in [*(ROOT / "runs").glob("*.toml"), ROOT / "runs" / "__init__.py"]:
        shutil.copy(file, copy / "runs")
    return copy


@pytest.fixture(scope="module")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    build = f"from setuptools.build_meta import build_wheel; build_wheel({str(out)!r})"
    done = subprocess.run([sys.executable, "-c", build], cwd=checkout, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    (built,) = out.glob("fkflow-*.whl")
    return built


def test_what_is_inside(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        entry = next(name for name in names if name.endswith(".dist-info/entry_points.txt"))
        assert "fkflow = fkflow.__main__:command" in archive.read(entry).decode()
    code = {f"fkflow/{path.relative_to(ROOT / 'fkflow')}" for path in (ROOT / "fkflow").rglob("*.py")}
    systems = {f"fkflow/systems/{path.name}" for path in (ROOT / "systems").glob("*.py")}
    recipes = {f"fkflow/recipes/{path.name}" for path in (ROOT / "runs").glob("*.toml")}
    assert len(code) > 100 and len(systems) > 5 and len(recipes) > 20
    assert code | systems | recipes | {"fkflow/py.typed"} <= names
    assert any(name.endswith("LICENSE") for name in names)
    # a top-level package called systems or runs would clash with other projects
    assert {name.split("/")[0].split("-")[0] for name in names} == {"fkflow"}


def test_what_an_index_shows(wheel: Path) -> None:
    """The page of the project: its description is the README, as Markdown, with links to the project."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        head, _, description = archive.read(name).decode().partition("\n\n")
    metadata = email.message_from_string(head)
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert description.strip() == (ROOT / "README.md").read_text(encoding="utf-8").strip()
    assert metadata["Author"] == "The fkflow developers" and metadata["License-Expression"] == "MIT"
    links = dict(link.split(", ") for link in metadata.get_all("Project-URL", []))
    assert {"Homepage", "Documentation", "Issues", "Changelog"} == set(links)
    pages = [link.partition("/blob/main/")[2] for link in links.values() if "/blob/main/" in link]
    assert pages and all((ROOT / page).is_file() for page in pages)


def test_the_sdist_holds_what_the_tests_read(tmp_path: Path) -> None:
    """Whoever packages fkflow can run the tests from the sdist; caches and results of runs are not in it."""
    parts = ("tests", "docs", "scripts", "systems", ".ci", ".github", "examples")
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc", ".ipynb_checkpoints")
    copy = tmp_path / "fkflow"
    copy.mkdir()
    for path in (
        *ROOT.glob("*.md"),
        *(ROOT / name for name in ("MANIFEST.in", "LICENSE", "CITATION.cff", "mkdocs.yml")),
    ):
        shutil.copy(path, copy)
    shutil.copy(ROOT / "pyproject.toml", copy)
    for part in (part for part in (*parts, "fkflow") if (ROOT / part).is_dir()):
        shutil.copytree(ROOT / part, copy / part, symlinks=True, ignore=ignored)
    (copy / "runs" / "old").mkdir(parents=True)
    (copy / "runs" / "old" / "result.h5").touch()
    (copy / "systems" / "__pycache__").mkdir()
    (copy / "systems" / "__pycache__" / "wells.pyc").touch()
    for file in [*(ROOT / "runs").glob("*.toml"), ROOT / "runs" / "__init__.py"]:
        shutil.copy(file, copy / "runs")
    build = f"from setuptools.build_meta import build_sdist; build_sdist({str(tmp_path)!r})"
    done = subprocess.run([sys.executable, "-c", build], cwd=copy, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    (built,) = tmp_path.glob("fkflow-*.tar.gz")
    with tarfile.open(built) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {
        path.relative_to(copy).as_posix() for part in parts for path in (copy / part).rglob("*") if path.is_file()
    }
    wanted -= {"systems/__pycache__/wells.pyc"}
    assert len(wanted) > 200 and wanted <= inside, wanted - inside
    assert {"README.md", "CONTRIBUTING.md", "CITATION.cff", "mkdocs.yml", "pyproject.toml", "runs/h2.toml"} <= inside
    assert not [name for name in inside if name.endswith(".pyc") or name.startswith("runs/old")]


def new_environment(folder: Path, *what: str | Path) -> Path:
    """A virtual environment in which `what` is installed, which sees the libraries of this one, but not its fkflow."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True, timeout=60)
    # as plain paths: what an editable install adds to the path, which leads to the checkout, is not read from there
    libraries = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    Path(place(folder, "purelib"), "libraries.pth").write_text("\n".join(libraries))
    pip = [sys.executable, "-m", "pip", "--python", folder, "install", "--no-deps", "--no-index", "-q"]
    done = subprocess.run([*pip, "--no-build-isolation", *what], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return new_environment(tmp_path_factory.mktemp("environment"), wheel)


def test_it_is_installed_from_a_clone(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """`pip install -e .` in a clone called fkflow works beside the clone, in it and elsewhere, in scripts and with -c."""
    python = place(new_environment(tmp_path_factory.mktemp("clone"), "-e", checkout), "scripts") / "python"
    code = "import fkflow, fkflow.systems, fkflow.recipes; print(fkflow.__file__)"
    # what is imported when it is first used: beside the clone, where its folder looks like a package
    assert "fkflow.errors.UsageError" in output(
        [python, "-c", "import fkflow; print(fkflow.UsageError)"], checkout.parent
    )
    for folder in (checkout.parent, checkout, tmp_path_factory.mktemp("elsewhere")):
        script = folder / "script.py"
        script.write_text(code)
        for command in ([python, "-c", code], [python, script]):
            assert output(command, folder).split()[-1] == str(checkout / "fkflow" / "__init__.py")


def place(environment: Path, kind: str) -> Path:
    """Where an environment keeps its "scripts" or its packages ("purelib")."""
    return Path(sysconfig.get_path(kind, "venv", {"base": str(environment)}))


def output(command: list[str | Path], folder: Path) -> str:
    """What a command that ends well prints, run in a folder without paths to any other fkflow."""
    plain = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=folder, env=plain, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_module_imports(environment: Path, tmp_path: Path) -> None:
    code = (
        "import importlib, pkgutil, fkflow\n"
        "for module in pkgutil.walk_packages(fkflow.__path__, 'fkflow.'):\n"
        "    if module.name != 'fkflow.__main__':\n"
        "        print(importlib.import_module(module.name).__file__)\n"
    )
    found = output([place(environment, "scripts") / "python", "-c", code], tmp_path).splitlines()
    inside = place(environment, "purelib") / "fkflow"
    assert all(Path(file).is_relative_to(inside) for file in found)
    ours = [*(ROOT / "fkflow").glob("*.py"), *(ROOT / "fkflow").glob("*/*.py")]
    # all but __main__ and the package itself
    assert len(found) == len(ours) - 2


def test_it_works_without_the_checkout(environment: Path, tmp_path: Path) -> None:
    command = place(environment, "scripts") / "fkflow"
    assert output([command, "--version"], tmp_path).split() == ["fkflow", version("fkflow")]
    # what the shell completes: without PyTorch, and without the references that `fkflow list` computes
    code = "from fkflow.cli import completion; print(*completion.systems(''))"
    names = output([place(environment, "scripts") / "python", "-c", code], tmp_path).split()
    assert {path.stem for path in (ROOT / "runs").glob("*.toml")} <= set(names)
    assert 'name = "h2"' in output([command, "init", "h2"], tmp_path)
    assert list(tmp_path.iterdir()) == []
    keys = ["train.iterations=2", "train.walkers=64", "measure.walkers=64", "measure.seconds=0.1", "project.seconds=0"]
    changes = [word for key in keys for word in ("--set", key)]
    output([command, "run", "double_well.toml", "--out", "here", "--threads", "1", *changes], tmp_path)
    assert (tmp_path / "here" / "result.h5").is_file()
