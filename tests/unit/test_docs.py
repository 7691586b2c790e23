"""Pages at the top level and in docs name files, links, commands, options, keys and names of the code that are there."""

from __future__ import annotations

import ast
import itertools
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import typer.main
from markdown_it import MarkdownIt

from fkflow.cli.commands import app
from fkflow.recipe import config
from fkflow.recipe.sections import ScanConfig

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
#: folders of the repository: what is named with one of them before it must exist
FOLDERS = ("fkflow", "systems", "scripts", "tests", "docs", ".ci")
on_each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def without_blocks(page: Path) -> str:
    """A page without its fenced and indented blocks."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
    return re.sub(r"^    .*$", "", text, flags=re.M)


def faults_of_tables(text: str) -> list[str]:
    """The rows of a page that no table holds, and those with more or fewer cells than the header of their table."""
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    tables = [token.map for token in tokens if token.type == "table_open" and token.map]
    inside = {line for begin, end in tables for line in range(begin, end)}
    # a bar is escaped within a cell
    cells = [len(re.findall(r"(?<!\\)\|", line)) for line in text.splitlines()]
    blocks = [token.map for token in tokens if token.type in ("fence", "code_block") and token.map]
    code = {line for begin, end in blocks for line in range(begin, end)}
    faults = [
        line
        for number, line in enumerate(text.splitlines())
        if line.lstrip().startswith("|") and number not in inside | code
    ]
    return faults + [
        text.splitlines()[number]
        for begin, end in tables
        for number in range(begin, end)
        if cells[number] != cells[begin]
    ]


@on_each_page
def test_tables_are_rendered(page: Path) -> None:
    faults = faults_of_tables(page.read_text(encoding="utf-8"))
    assert not faults, faults


@pytest.mark.parametrize(
    "wrong",
    [
        "| a | b |\n| 1 | 2 |\n",
        "| a | b |\n|---|---|\n| 1 |\n",
        "| a |\n|---|\n| 1 |\n\n| 2 |\n",
        "| a |\n|---|---|\n| 1 |\n",
    ],
)
def test_a_broken_table_is_found(wrong: str) -> None:
    assert not faults_of_tables("| a | b |\n|---|---|\n| 1 | `\\|x\\|` |\n")
    assert faults_of_tables(wrong)


@on_each_page
def test_headings_are_in_order(page: Path) -> None:
    """One heading of the first level, at the top, and no level is left out on the way down."""
    tokens = MarkdownIt("commonmark").parse(page.read_text(encoding="utf-8"))
    levels = [int(token.tag[1:]) for token in tokens if token.type == "heading_open"]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(deeper <= level + 1 for level, deeper in itertools.pairwise(levels)), levels


def code(page: Path) -> list[str]:
    """What stands in backquotes on a page."""
    return re.findall(r"`([^`\n]+(?:\n[^`\n]+)?)`", without_blocks(page))


def anchors(page: Path) -> set[str]:
    """The names that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", without_blocks(page), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def repository() -> str:
    """The address of the repository, as pyproject.toml has it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project["urls"]["Homepage"]


@on_each_page
def test_links_lead_somewhere(page: Path) -> None:
    text = without_blocks(page)
    ours = {f"{repository()}/blob/main/", f"{repository().replace('github', 'raw.githubusercontent')}/main/"}
    for target in re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'src="([^"]+)"', text):
        file, _, anchor = target.partition("#")
        start = next((start for start in ours if target.startswith(start)), None)
        if target.startswith("https://") and start is None:
            continue
        there = ROOT / file.removeprefix(start) if start else page.parent / file if file else page
        assert there.is_file(), f"{page.name} links to {target}"
        assert not anchor or anchor in anchors(there), f"{page.name} links to {target}"


def test_links_of_the_readme_work_elsewhere() -> None:
    """PyPI shows the README without the files beside it."""
    text = without_blocks(ROOT / "README.md")
    targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'src="([^"]+)"', text)
    assert len(targets) > 10 and all(target.startswith("https://") for target in targets)
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 200


def test_the_tests_of_the_readme_are_those_of_the_ci() -> None:
    command = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()[-1]
    assert f"\n    {command}\n" in (ROOT / "README.md").read_text(encoding="utf-8") and command.endswith("pytest")


@on_each_page
def test_files_exist(page: Path) -> None:
    for words in code(page):
        for path in re.findall(rf"(?:^|\s)((?:{'|'.join(map(re.escape, FOLDERS))})/[\w./-]+)", words):
            assert (ROOT / path).exists(), f"{page.name} names {path}"


def first_column(page: Path) -> list[str]:
    """What stands in backquotes at the beginning of the rows of the tables of a page."""
    return re.findall(r"^\| `([^`]+)` \|", page.read_text(encoding="utf-8"), re.M)


def test_the_architecture_has_all_packages_in_their_order() -> None:
    source = (ROOT / "tests" / "unit" / "test_packages.py").read_text(encoding="utf-8")
    (order,) = re.findall(r"^PACKAGES = (\(.*?\))", source, re.S | re.M)
    assert first_column(ROOT / "docs" / "architecture.md") == list(ast.literal_eval(order))


def test_the_systems_are_listed() -> None:
    from fkflow.hamiltonian.registry import built_in_systems

    page = (ROOT / "docs" / "reference" / "systems.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    listed = {name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert listed == set(built_in_systems())


def test_contributing_names_every_script() -> None:
    scripts = {f"scripts/{path.name}" for path in (ROOT / "scripts").glob("*.py")}
    assert set(first_column(ROOT / "CONTRIBUTING.md")) == scripts


@cache
def defined() -> frozenset[str]:
    """Names of functions, classes, methods and variables in the package."""
    found = set()
    for path in (ROOT / "fkflow").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                found.add(node.name)
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                found.add(node.target.id)
    return frozenset(found)


def test_the_theory_names_what_the_code_has() -> None:
    names = [words for words in code(ROOT / "docs" / "theory.md") if re.fullmatch(r"[A-Za-z_]+", words)]
    assert len(names) > 15 and set(names) <= defined(), set(names) - defined()


def test_the_architecture_names_what_the_code_has() -> None:
    """Functions, classes and tables in capitals, those of tests and of systems too."""
    files = [path for folder in ("fkflow", "systems", "tests") for path in (ROOT / folder).rglob("*.py")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)
    known = set(re.findall(r"^\s*(?:def|class) (\w+)|^\s*(\w+)(?::| = )|self\.(\w+)(?:,| = )", text, re.M))
    known = {name for names in known for name in names} | set(first_column(ROOT / "docs" / "architecture.md"))
    names = [
        words for words in code(ROOT / "docs" / "architecture.md") if re.fullmatch(r"[A-Za-z_]+(\.[a-z_]+)?", words)
    ]
    missing = {
        name
        for name in names
        if name.rpartition(".")[2] not in known and not re.search(r"^fkflow(\.|$)|\.(py|yml)$", name)
    }
    assert len(names) > 40 and not missing


def keys(page: Path) -> Iterator[tuple[str, str]]:
    """Section and key of every key of a recipe that a page names, also in its blocks."""
    sections = "|".join((*config.SECTIONS, "scan"))
    text = page.read_text(encoding="utf-8")
    yield from re.findall(rf"`(?:--set )?({sections})\.(?!csv|h5|png)(\w+)", text)
    yield from re.findall(rf"--set '?({sections})\.(\w+)=", text)


@on_each_page
def test_keys_of_recipes_exist(page: Path) -> None:
    sections = {**config.SECTIONS, "scan": ScanConfig}
    for section, key in keys(page):
        fields = sections[section].model_fields
        assert key in {field.alias or name for name, field in fields.items()}, f"{page.name} names {section}.{key}"


@on_each_page
def test_commands_and_options_exist(page: Path) -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    options = {name: {o for p in command.params for o in p.opts} for name, command in commands.items()}
    text = page.read_text(encoding="utf-8")
    # a sentence may begin with the name
    fences = "\n".join(re.findall(r"^```.*?^```$", text, re.S | re.M))
    said = re.findall(r"(?:[`$] ?|^    )fkflow ([a-z]+)([^`\n]*)", text, re.M)
    for command, rest in said + re.findall(r"^fkflow ([a-z]+)(.*)", fences, re.M):
        assert command in commands, f"{page.name} has fkflow {command}"
        for option in re.findall(r"(?<= )--[a-z][a-z-]*", rest.partition("#")[0]):
            assert option in options[command] | {"--help"}, f"{page.name} has fkflow {command} {option}"


def formulas(page: Path) -> list[str]:
    """The formulas of a page, in lines of their own and within the text."""
    text = without_blocks(page)
    alone = re.findall(r"^\$\$\n(.*?)\n\$\$$", text, re.S | re.M)
    within = re.findall(r"(?<![\w$])\$([^$`]+?)\$(?!\w)", re.sub(r"^\$\$\n.*?\n\$\$$", "", text, flags=re.S | re.M))
    return alone + within


@pytest.mark.parametrize(("name", "most"), [("theory.md", 100), ("tutorials/ring.md", 1), ("units.md", 10)])
def test_formulas_are_well_formed(name: str, most: int) -> None:
    """Matplotlib sets them; GitHub takes none of their signs for its own: no escaped sign, no _ that begins emphasis."""
    from matplotlib.mathtext import MathTextParser

    found = set(formulas(ROOT / "docs" / name))
    assert len(found) > most
    for formula in found:
        # without pictures
        MathTextParser("path").parse(f"${' '.join(formula.split())}$")
        assert not re.search(r"\\[^A-Za-z]|[^A-Za-z0-9\s]_|\*|\]\(", formula), formula


def test_the_results_have_the_table_of_the_zoo() -> None:
    """That of the notes, which the script wrote from its runs."""
    results, zoo = ((ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("results.md", "notes/zoo.md"))
    table = re.search(r"^\| kind \|.*?\n\n", zoo, re.S | re.M)
    count = re.search(r"^\* (\d+ runs of \d+ potentials)$", zoo, re.M)
    assert table and table[0] in results and count and count[1] in " ".join(results.split())
