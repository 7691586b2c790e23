"""Recipes and ``--set`` texts from a generator: every one is a run plan or one sentence that says what is wrong."""

from __future__ import annotations

import datetime
import string
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from fkflow.errors import RecipeError
from fkflow.hamiltonian.registry import built_in_systems, shipped_recipes
from fkflow.recipe.config import Loaded, parse, to_toml
from fkflow.recipe.sections import SECTIONS

SOURCE = "mine.toml"


def fuzz(cases: int) -> settings:
    """So many cases, the same ones every time."""
    return settings(
        max_examples=cases,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
    )


def planned(text: str, overrides: list[str] | None = None) -> Loaded | str:
    """The recipe, once it has come back the same from its own resolved text; or the sentence that refuses it."""
    try:
        loaded = parse(text, SOURCE, overrides or [])
    except RecipeError as error:
        said = str(error)
        assert said.startswith((SOURCE, "--set ")) and said.isprintable() and 20 < len(said) < 1000, said
        # nobody is shown the words of a programmer
        assert not any(word in said for word in ("pydantic", "Traceback", "object at 0x", "input_value")), said
        return said
    resolved = loaded.recipe.resolved()
    written = to_toml(resolved)
    again = parse(written, SOURCE).recipe
    assert again == loaded.recipe and again.resolved() == resolved and to_toml(again.resolved()) == written
    assert loaded.recipe.system.reference() is None or loaded.recipe.system.reference().error >= 0
    return loaded


words = st.text(string.ascii_letters + string.digits + "_-. =[]{}\"'\\#\n\t\0\x7fäψ\u202e\U0001f600", max_size=12)
names = [key for model in (*built_in_systems().values(), *SECTIONS.values()) for key in model.model_fields]
numbers = st.one_of(
    st.integers(-3, 70),
    st.integers(),
    st.sampled_from([0, 1, -1, 2**31, 2**63, 10**18, -(10**400), 10**400]),
    st.floats(),
    st.floats(1e-3, 10.0),
    st.sampled_from([0.0, -0.0, 1e-320, 1e308, 1e-6, 0.5]),
)
plain = st.one_of(
    numbers,
    st.booleans(),
    words,
    st.sampled_from(
        ["auto", "spring", "adam", "pathwise", "covariance", "girsanov", "generic", "pair_drift", "molecular"]
    ),
    st.sampled_from([datetime.date(2020, 1, 2), datetime.time(3, 4), datetime.datetime(2020, 1, 2, 3, 4)]),
)
values = st.recursive(
    plain,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(names) | words, inner, max_size=3),
    max_leaves=8,
)


def tables(keys: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from(keys) | words, values, max_size=3)


def fitting(model: type) -> st.SearchStrategy[dict[str, Any]]:
    """Some of a section's own keys, with values that are mostly of the right type."""
    keys = [field.alias or name for name, field in model.model_fields.items()]
    return st.dictionaries(st.sampled_from(keys), numbers | values, max_size=3) if keys else st.just({})


@st.composite
def near_recipes(draw: st.DrawFn) -> dict[str, Any]:
    """Tables close to those of a recipe: known systems and keys, with values right and wrong."""
    name = draw(st.sampled_from(list(built_in_systems())))
    made: dict[str, Any] = {"system": {"name": name, **draw(fitting(built_in_systems()[name]))}}
    for section in draw(st.lists(st.sampled_from(list(SECTIONS)), max_size=3)):
        made[section] = draw(fitting(SECTIONS[section]))
    return made


def toml(value: Any) -> str:
    """TOML of any tables, written independently of the package."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{text(key)} = {toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return text(value)
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    return repr(value)


def text(value: str) -> str:
    return '"' + "".join(c if " " <= c <= "~" and c not in '"\\' else f"\\U{ord(c):08x}" for c in value) + '"'


def document(made: dict[str, Any]) -> str:
    return "\n".join(f"{text(key)} = {toml(value)}" for key, value in made.items())


@fuzz(150)
@given(near_recipes())
def test_tables_near_a_recipe(made: dict[str, Any]) -> None:
    said = planned(document(made))
    if isinstance(said, str):
        named = {f"{section}.{key}" for section, table in made.items() for key in table}
        # a default may not go with what was given
        named |= {f"system.{key}" for key in built_in_systems()[made["system"]["name"]].model_fields}
        assert any(name in said for name in named), said


@fuzz(150)
@given(st.dictionaries(st.sampled_from(["system", *SECTIONS]) | words, values | tables(names), max_size=4))
def test_any_tables(made: dict[str, Any]) -> None:
    planned(document(made))


SHIPPED = [path.read_text(encoding="utf-8") for path in shipped_recipes().values()]


@fuzz(120)
@given(st.data())
def test_recipes_with_typing_errors(data: st.DataObject) -> None:
    """Parts of a shipped recipe cut out, doubled or replaced."""
    whole = data.draw(st.sampled_from(SHIPPED))
    a, b = sorted(data.draw(st.tuples(*[st.integers(0, len(whole))] * 2)))
    planned(whole[:a] + data.draw(words | st.just(whole[a:b] * 2)) + whole[data.draw(st.sampled_from([a, b])) :])


@fuzz(150)
@given(st.text(max_size=60))
@example("[" * 100_000)
@example("system = " + "[" * 5_000 + "]" * 5_000)
@example("system = " + "{a = " * 5_000 + "}" * 5_000)
@example("[system]\n" + "a." * 2_000 + "b = 1")
@example("[" + "a." * 2_000 + "b]")
@example('[system]\nname = "h2"\nR = ' + "9" * 100_000)
@example('[system]\nname = "h2"\nR = ' + "0x" + "f" * 10_000)
@example('[system]\nname = "h2"\nR = 1e999999')
@example("a = 1\n" * 1_000)
@example("[train]\nwalkers = [" + "1, " * 5_000 + "]")
@example('[system]\nname = "' + "h" * 100_000 + '"')
def test_any_text(whole: str) -> None:
    planned(whole)


@fuzz(150)
@given(st.data())
def test_any_set(data: st.DataObject) -> None:
    """`--set` of known and made-up keys to values and junk: the sentence begins with what was given."""
    model = data.draw(st.sampled_from(sorted(SECTIONS)))
    key = data.draw(
        st.sampled_from([f"{model}.{k}" for k in SECTIONS[model].model_fields] + ["system.name", "system.R"]) | words
    )
    value = data.draw(st.one_of(values.map(toml), words, st.text(max_size=20)))
    override = data.draw(st.sampled_from([f"{key}={value}", f" {key} = {value} ", f"{key}{value}"]))
    said = planned(data.draw(st.sampled_from(SHIPPED)), [override])
    assert not isinstance(said, str) or said.startswith("--set "), said


@pytest.mark.parametrize(
    "override",
    ["", "=", ".=", "a.b.c=1", "train.iterations=" + "[" * 10_000, "train.dt=" + "9" * 10_000, "train.chunk=1\n2", "\0.\0=\0",
     "system.name=" + "{a=" * 900 + "1" + "}" * 900],
)  # fmt: skip
def test_odd_sets(override: str) -> None:
    said = planned(SHIPPED[0], [override])
    assert isinstance(said, str) and said.startswith("--set "), said
