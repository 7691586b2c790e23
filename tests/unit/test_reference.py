"""The site of the documentation builds without a warning, shows what the pages hold, and describes every public name."""

from __future__ import annotations

import dataclasses
import html
import inspect
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

import fkflow

ROOT = Path(__file__).resolve().parents[2]
PUBLIC = sorted(fkflow.__all__)
#: pages of the documentation by their address on the site
SOURCES = {
    "" if path.stem == "index" and path.parent == ROOT / "docs" else
    f"{path.relative_to(ROOT / 'docs').with_suffix('')}/".replace("index/", ""): path
    for path in (ROOT / "docs").rglob("*.md")
}  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the site. Dead links, and pages that no entry of the navigation has, are warnings, which fail."""
    pytest.importorskip("mkdocs", reason='the site needs pip install -e ".[docs]"')
    folder = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(build, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[str, str]:
    """What each page of the site holds, by its address."""
    found = {path.relative_to(site).as_posix(): path.read_text(encoding="utf-8") for path in site.rglob("index.html")}
    return {name.removesuffix("index.html"): content for name, content in found.items()}


def words(page: str) -> str:
    """What a reader sees: text without tags and runs of blanks."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", page)).split())


def article(page: str) -> str:
    """A page without header, navigation and footer."""
    return page.split("<article", 1)[1].split("</article>")[0]


def test_every_page_is_on_the_site(pages: dict[str, str]) -> None:
    assert set(SOURCES) == set(pages)
    # each is found from the start page
    assert {"tutorials/ring/", "units/", "notes/zoo/"} <= set(pages)


@pytest.mark.parametrize("address", sorted(SOURCES))
def test_a_page_looks_as_its_source_does(pages: dict[str, str], address: str) -> None:
    """The site has other rules than GitHub for lists, tables and blocks: both must find the same ones in a page."""
    source = SOURCES[address].read_text(encoding="utf-8")
    if "<!--" in source or ":::" in source:
        pytest.skip("a table of the code, or docstrings, stand on this page")
    tokens = MarkdownIt("commonmark").enable("table").parse(source)
    shown = article(pages[address])
    for kind, tag in (("table_open", "<table"), ("tr_open", "<tr"), ("list_item_open", "<li"), ("fence", "<pre")):
        wanted = sum(token.type == kind or (kind == "fence" and token.type == "code_block") for token in tokens)
        assert len(re.findall(rf"{tag}[ >]", shown)) == wanted, tag
    headings = [token.tag for token in tokens if token.type == "heading_open"]
    assert re.findall(r"<(h[1-6])[ >]", shown) == headings


def test_all_examples_are_on_the_site(pages: dict[str, str]) -> None:
    """With their code; and the page in the repository names each once."""
    examples = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "examples").glob("*.py")}
    named = re.findall(r"^\| \[(\w+\.py)\]", SOURCES["examples/"].read_text(encoding="utf-8"), re.M)
    assert sorted(named) == sorted(examples)
    shown = words(pages["examples/"])
    for name, text in examples.items():
        assert all(" ".join(line.split()) in shown for line in text.splitlines() if "assert " in line), name


def test_formulas_are_set(pages: dict[str, str]) -> None:
    theory = pages["theory/"]
    assert theory.count("<math") > 200 and "arithmatex" not in theory
    assert not re.search(r"\\(frac|psi|mathbb|langle)|\$", words(theory))


def test_nothing_comes_from_other_servers(site: Path, pages: dict[str, str]) -> None:
    """Scripts, styles, fonts and pictures are those of the site: it can be read without a network."""
    for name, page in pages.items():
        loaded = re.findall(r'<(?:script|img|iframe)[^>]* src="?(https?:[^" >]+)', page)
        loaded += re.findall(r'<link[^>]* rel="?(?:stylesheet|preconnect)"? href="?(https?:[^" >]+)', page)
        loaded += re.findall(r'<link[^>]* href="?(https?:[^" >]+)[^>]* rel="?(?:stylesheet|preconnect)', page)
        assert not loaded, f"{name} loads {loaded}"


def test_the_search_finds_pages_and_names(site: Path) -> None:
    index = json.loads((site / "search" / "search_index.json").read_text(encoding="utf-8"))
    places = {entry["location"] for entry in index["docs"]}
    assert {"theory/#the-action-of-a-path", "reference/api/#fkflow.solve", "reference/commands/#fkflow-run"} <= places


def test_commands_and_keys_are_listed(pages: dict[str, str]) -> None:
    from typer.main import get_command

    from fkflow.cli.commands import app
    from fkflow.recipe.sections import SECTIONS

    commands = article(pages["reference/commands/"])
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        assert f'id="fkflow-{name}"' in commands
        for parameter in command.params:
            assert parameter.opts[0].removeprefix("-") in commands or parameter.metavar in commands
    keys = article(pages["reference/recipe/"])
    for model in SECTIONS.values():
        for name, field in model.model_fields.items():
            assert f"<code>{field.alias or name}</code>" in keys


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_there_with_its_docstring(pages: dict[str, str], name: str) -> None:
    page = pages["reference/api/"]
    assert f'id="fkflow.{name}"' in page
    first = (inspect.getdoc(getattr(fkflow, name)) or "").split("\n\n")[0]
    # backquotes become code, dashes and quotes stay
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
    reference = words(pages["reference/api/"])
    assert "Units ħ = m = 1." in reference
    assert "The drift v_i = ∇_i log ψ / m_i at positions x (B, N, D) or (N, D)" in reference
    assert "A = Σ_k [ v_k·dW_k + ½|v_k|² dt + ½(V_k + V_{k+1}) dt ] + U(x_0) − U(x_K), T = K dt." in reference
    # no underscore or star of a formula became emphasis; arguments are "required"
    assert not re.search(r"<em>(?!required<)", article(pages["reference/api/"]))
