"""What mkdocs.yml adds to the pages of the documentation, as hooks of MkDocs; `mkdocs build` makes the site in site/.

* An entry of the navigation with a star stands for all other pages of that folder, in alphabetical order.
* `<!-- commands -->` on a page stands for the commands and their options, `<!-- recipe -->` for the keys of recipes,
  `<!-- examples -->` for the scripts of the folder `examples` that the page names, in its order.
* Formulas become MathML, which browsers set themselves: the site loads nothing from other servers.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import typer.main
from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files

from fkflow.cli.commands import app
from fkflow.recipe.sections import SECTIONS, ScanConfig

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Expand the entries of the navigation that have a star; the files are known only now."""
    pages = sorted(file.src_uri for file in files.documentation_pages())
    named = {entry for entry in entries(config.nav) if "*" not in entry}
    config.nav = expanded(config.nav, [page for page in pages if page not in named])
    return files


def entries(nav: Any) -> Iterator[str]:
    """The pages of a navigation, of all levels."""
    for entry in nav:
        if isinstance(entry, dict):
            (value,) = entry.values()
            yield from entries(value) if isinstance(value, list) else [value]
        else:
            yield entry


def expanded(nav: list[Any], pages: list[str]) -> list[Any]:
    """The navigation with `pages`, each at the first pattern of its own folder that it fits."""
    found: list[Any] = []
    for entry in nav:
        if isinstance(entry, dict) and isinstance(value := next(iter(entry.values())), list):
            found.append({next(iter(entry)): expanded(value, pages)})
        elif isinstance(entry, str) and "*" in entry:
            fitting = [page for page in pages if fnmatch(page, entry) and page.count("/") == entry.count("/")]
            found += fitting
        else:
            found.append(entry)
    return found


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put the tables that the code knows into a page."""
    for name, make in (("commands", commands), ("recipe", recipe)):
        if (place := f"<!-- {name} -->") in markdown:
            markdown = markdown.replace(place, make())
    return markdown.replace("<!-- examples -->", examples(markdown))


def on_page_content(content: str, **_: Any) -> str:
    """Turn formulas into MathML."""
    return re.sub(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', mathml, content, flags=re.S)


def mathml(formula: re.Match[str]) -> str:
    """A formula in LaTeX as MathML, with the small space that TeX leaves between a function and its argument."""
    made = convert(html.unescape(formula[2]), display="block" if formula[1] == "div" else "inline")
    return re.sub(r"(<mi>(?:log|exp|min)</mi>)(?!<mo[^>]*>(?:\(|&#x00028;))", r'\1<mspace width="0.17em"/>', made)


def commands() -> str:
    """A section for each command: its help, its arguments and options."""
    lines = []
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        arguments = [parameter for parameter in command.params if not parameter.opts[0].startswith("-")]
        words = " ".join(["fkflow", name, *(argument_name(argument) for argument in arguments), "[OPTIONS]"])
        lines += ["", f"## fkflow {name}", "", f"    {words}", "", plain(command.help), ""]
        lines += ["| | what it does |", "|---|---|"]
        for parameter in command.params:
            names = ", ".join(f"`{option}`" for option in [*parameter.opts, *parameter.secondary_opts])
            if parameter in arguments:
                names = f"`{argument_name(parameter)}`"
            lines.append(f"| {names} | {cell(getattr(parameter, 'help', None))} |")
    return "\n".join(lines)


def recipe() -> str:
    """A table for each section of a recipe: keys, defaults and meanings."""
    lines = []
    for section, model in {**SECTIONS, "scan": ScanConfig}.items():
        lines += [
            "",
            f"## [{section}]",
            "",
            plain(model.__doc__),
            "",
            "| key | default | what it is |",
            "|---|---|---|",
        ]
        for name, field in model.model_fields.items():
            default = "" if field.default is None else f"`{field.get_default(call_default_factory=True)}`"
            lines.append(f"| `{field.alias or name}` | {default} | {cell(field.description)} |")
    return "\n".join(lines)


def examples(page: str) -> str:
    """A section for each script that a page links to: its docstring as text, then its code."""
    lines = []
    for name in re.findall(r"^\| \[(\w+\.py)\]", page, re.M):
        _, words, code = (EXAMPLES / name).read_text(encoding="utf-8").split('"""', 2)
        lines += ["", f"## {name}", "", words.strip(), "", f'```python title="{name}"', code.strip(), "```"]
    return "\n".join(lines)


def argument_name(argument: Any) -> str:
    """How the help of the command calls an argument."""
    return str(argument.metavar or argument.name).upper()


def plain(text: str | None) -> str:
    """A docstring without its indentation and forced breaks."""
    return "\n".join(line.strip() for line in (text or "").replace("\b", "").splitlines()).strip()


def cell(text: str | None) -> str:
    """A text within a table."""
    return " ".join((text or "").split()).replace("|", "\\|")
