"""The examples run to their end, where each checks its own result, with target errors four times as large."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from commands import start
from targets import looser

FOLDER = Path(__file__).resolve().parents[2] / "examples"
EXAMPLES = sorted(FOLDER.glob("*.py"))
#: how a script is run, without importing the libraries again
RUN = "import runpy, sys\nrunpy.run_path(sys.argv[1], run_name='__main__')\n"
#: what is set before an example: pools whose levels are good enough for its check; commands that need no new Python
BEFORE = {
    "restart": "import subprocess\nfrom commands import Forked\nsubprocess.Popen = Forked\n",
    "water": "from fkflow.spectrum import correlations, levels\n"
    "levels.FINDING, levels.JUDGING, correlations.PATHS = (700, 4), (1500, 4), 400\n",
}


def test_there_are_eight_short_ones() -> None:
    """Each has a docstring that could stand on a page, cells, and a check of its result."""
    assert len(EXAMPLES) >= 8
    for path in EXAMPLES:
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        assert len(text.splitlines()) <= 60, path.name
        assert len(ast.get_docstring(tree) or "") > 100 and text.count("# %%") >= 3, path.name
        assert any(isinstance(node, ast.Assert) for node in ast.walk(tree)) and "print(" in text, path.name


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example(path: Path, tmp_path: Path) -> None:
    # the errors of the ions are as large as the check of their result allows
    text = path.read_text(encoding="utf-8")
    if path.stem != "ions_in_a_trap" and (program := looser(text)) != text:
        path = tmp_path / path.name
        path.write_text(program, encoding="utf-8")
    code, out, err = start(
        tmp_path, path, code=BEFORE.get(path.stem, "") + RUN, environment={"MPLBACKEND": "agg"}
    ).finish()
    assert code == 0 and out.strip(), err


def test_a_wrong_result_would_be_seen(tmp_path: Path) -> None:
    """The twin has the potential of another spring than its closed form."""
    text = (FOLDER / "own_potential.py").read_text(encoding="utf-8")
    (tmp_path / "wrong.py").write_text(text.replace("Pair(k=2.0)", "Pair(k=1.9)"), encoding="utf-8")
    code, _, err = start(tmp_path, "wrong.py", code=RUN).finish()
    assert code == 1 and "AssertionError" in err
