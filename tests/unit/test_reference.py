"""The reference of the Python interface can be made, without a warning, and says something of every public name."""

from __future__ import annotations

import dataclasses
import html
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import fkflow

ROOT = Path(__file__).resolve().parents[2]
PUBLIC = sorted(fkflow.__all__)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The pages by name."""
    folder = tmp_path_factory.mktemp("api")
    script = [sys.executable, str(ROOT / "scripts" / "make_reference.py"), "--out", str(folder)]
    done = subprocess.run(script, capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in folder.rglob("*.html")}


def words(page: str) -> str:
    """What a reader sees: text without tags and runs of blanks."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", page)).split())


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_there_with_its_docstring(pages: dict[str, str], name: str) -> None:
    a_module = inspect.ismodule(getattr(fkflow, name))
    page = pages[f"fkflow/{name}.html" if a_module else "fkflow.html"]
    assert a_module or f'id="{name}"' in page
    first = (inspect.getdoc(getattr(fkflow, name)) or "").split("\n\n")[0]
    # backquotes become code
    assert len(first) > 20 and words(first.replace("`", "")) in words(page)


def members(cls: type) -> Iterator[tuple[str, Any]]:
    """The public methods and properties that a class of fkflow defines itself."""
    for name, member in vars(cls).items():
        if not name.startswith("_") and (inspect.isfunction(member) or isinstance(member, property | classmethod)):
            yield name, member


def public_classes() -> list[type]:
    from fkflow.plot.solution_plots import Plots
    from fkflow.results import records

    found = [getattr(fkflow, name) for name in PUBLIC if isinstance(getattr(fkflow, name), type)]
    data = [each for each in vars(records).values() if dataclasses.is_dataclass(each) and isinstance(each, type)]
    return list(dict.fromkeys([*found, *(each for each in data if each.__module__ == records.__name__), Plots]))


@pytest.mark.parametrize("cls", public_classes(), ids=lambda cls: cls.__name__)
def test_every_member_says_what_it_is(cls: type) -> None:
    assert cls.__doc__
    for name, member in members(cls):
        assert inspect.getdoc(member), f"{cls.__name__}.{name} has no docstring"
    if dataclasses.is_dataclass(cls):
        named = set(re.findall(r"\w+", cls.__doc__))
        assert {field.name for field in dataclasses.fields(cls)} <= named, (
            f"{cls.__name__} does not speak of all it holds"
        )


def test_units_and_formulas_come_through(pages: dict[str, str]) -> None:
    method, interface = words(pages["fkflow/sampling/paths.html"]), words(pages["fkflow.html"])
    assert "Units ħ = m = 1." in interface
    assert "The drift v_i = ∇_i log ψ / m_i at positions x (B, N, D) or (N, D)" in interface
    assert "A = Σ_k [ v_k·dW_k + ½|v_k|² dt + ½(V_k + V_{k+1}) dt ] + U(x_0) − U(x_K), T = K dt." in method
    # no underscore or star of a formula became emphasis
    assert not re.search(r"<em>", "".join(pages.values()))
