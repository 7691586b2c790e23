"""Recipe keys of earlier versions: accepted with one notice, however they are given."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from fkflow.errors import RecipeError
from fkflow.hamiltonian.registry import find_system
from fkflow.recipe import old_keys
from fkflow.recipe.config import Loaded, compose, parse
from fkflow.recipe.sections import SECTIONS

#: a key that was renamed, and one that was removed, in a version that only this test knows
RENAMED = "warning: train.epochs is now called train.iterations: the old name still works"
REMOVED = "warning: train.warp is ignored: training is as fast without it"


@pytest.fixture(autouse=True)
def table(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(old_keys.RENAMED, "train.epochs", "iterations")
    monkeypatch.setitem(old_keys.REMOVED, "train.warp", "training is as fast without it")
    old_keys._warn.cache_clear()
    yield
    old_keys._warn.cache_clear()


def toml(keys: str, *overrides: str) -> Loaded:
    return parse(f'[system]\nname = "h2"\n[train]\n{keys}\n', "my.toml", overrides)


@pytest.mark.parametrize(
    "read",
    [
        lambda: toml("epochs = 7\nwarp = 2"),
        lambda: toml("", "train.epochs=7", "train.warp=2"),
        lambda: compose(find_system("h2")(), {"train": {"epochs": 7, "warp": 2}}),
    ],
    ids=["toml", "set", "python"],
)
def test_old_keys_work_with_a_notice(read: object, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        loaded = read()  # type: ignore[operator]
        assert loaded.recipe.train.iterations == 7
        assert "epochs" not in loaded.recipe.resolved()["train"]
    # once, though it was read twice
    assert [record.getMessage() for record in caplog.records] == [RENAMED, REMOVED]
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


def test_the_later_of_two_names_wins() -> None:
    assert toml("epochs = 7\niterations = 9").recipe.train.iterations == 9
    assert toml("iterations = 9", "train.epochs=7").recipe.train.iterations == 7


def test_a_wrong_value_of_an_old_key_is_an_error_of_the_new_one() -> None:
    with pytest.raises(RecipeError, match=r"my.toml: train.iterations = -1 is not allowed"):
        toml("epochs = -1")
    with pytest.raises(RecipeError, match=r"--set train.epochs=-1: train.iterations = -1 is not allowed"):
        toml("", "train.epochs=-1")


def test_stored_recipes_are_read_without_a_notice(caplog: pytest.LogCaptureFixture) -> None:
    text = '[system]\nname = "h2"\n\n[train]\nepochs = 7\nwarp = 2\n'
    assert old_keys.current_text(text) == '[system]\nname = "h2"\n\n[train]\niterations = 7\n'
    assert not caplog.records


def test_the_tables_name_no_key_of_today() -> None:
    for old in [*old_keys.RENAMED, *old_keys.REMOVED]:
        section, key = old.split(".")
        fields = SECTIONS[section].model_fields
        assert key not in {field.alias or name for name, field in fields.items()}
        assert old_keys.RENAMED.get(old) is None or old_keys.RENAMED[old] in fields
