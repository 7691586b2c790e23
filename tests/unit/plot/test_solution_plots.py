"""solution.plot: every kind of picture is a method that gives Axes, in a figure of its own or where it is asked to draw."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fkflow.api.solution import Solution
from fkflow.errors import UsageError
from fkflow.plot.requirements import KINDS
from fkflow.plot.solution_plots import Plots


@pytest.fixture(scope="module")
def solution(write_run: Any, made_up: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Solution]:
    """A finished run with everything there is to draw."""
    from matplotlib import pyplot

    backend = matplotlib.get_backend()
    pyplot.switch_backend("agg")
    result = write_run(tmp_path_factory.mktemp("run") / "result.h5", measurement=made_up.projected())
    yield Solution(dataclasses.replace(result, spectrum=made_up.spectrum()))
    pyplot.close("all")
    pyplot.switch_backend(backend)


def test_every_kind_of_picture_is_a_documented_method() -> None:
    for kind in KINDS:
        method = getattr(Plots, kind)
        assert method.__doc__ and inspect.signature(method).return_annotation == "Axes"


@pytest.mark.parametrize("kind", KINDS)
def test_pictures(solution: Solution, made_up: Any, kind: str) -> None:
    if kind == "liquid":
        measured = dataclasses.replace(solution.result.measurement, liquid=made_up.liquid())
        solution = Solution(dataclasses.replace(solution.result, measurement=measured))
        assert "extrapolated" in solution.plot.liquid("density_matrix").get_legend().get_texts()[1].get_text()
        assert "projected" in solution.plot.liquid().get_legend().get_texts()[1].get_text()
    if kind == "thermal":
        solution = Solution(dataclasses.replace(solution.result, thermal=made_up.thermal()))
    look = dict(matplotlib.rcParams)
    ax = getattr(solution.plot, kind)()
    assert isinstance(ax, Axes) and ax.has_data() and ax.get_title().startswith("h2")
    assert dict(matplotlib.rcParams) == look
    # all of it is inside its figure
    figure = ax.figure
    assert isinstance(figure, Figure)
    room, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert min(room.x0, room.y0) > 0 and room.x1 < width and room.y1 < height


def test_a_picture_beside_others(solution: Solution) -> None:
    figure = Figure(figsize=(8, 3))
    left, right = figure.subplots(1, 2)
    assert solution.plot.density("z", ax=left) is left and solution.plot.pair(ax=right) is right
    assert left.has_data() and right.has_data() and tuple(figure.get_size_inches()) == (8, 3)


def test_pictures_by_name(solution: Solution) -> None:
    assert {"density_z", "density_xz", "pair_r", "drift_xz", "convergence"} <= set(solution.plot.names)
    assert solution.plot.density("xz").get_xlabel() != solution.plot.density("z").get_xlabel()
    assert solution.plot.drift("z").lines and not solution.plot.drift("xz").get_ylabel().startswith("drift")
    with pytest.raises(UsageError, match="has no plot called 'density_q': it has convergence"):
        solution.plot.density("q")


def test_pictures_are_written(solution: Solution, tmp_path: Path) -> None:
    assert [path.name for path in solution.plot.save(tmp_path, ["pair"], format="svg")] == ["pair_r.svg"]
    assert (tmp_path / "pair_r.svg").read_bytes().startswith(b"<?xml")


def test_what_a_run_in_no_file_lacks(solution: Solution, made_up: Any) -> None:
    from dataclasses import replace

    plain = Solution(replace(solution.result, path=None, measurement=made_up.measurement()))
    with pytest.raises(UsageError, match=r'this run of h2 was not projected: project=\{"seconds": 60\} does it'):
        plain.plot.projection()


def test_histograms_come_as_they_were_made(write_run: Any, made_up: Any, tmp_path: Path) -> None:
    """Not as HDF5 lists them: what is drawn first does not depend on whether a run was read from a file."""
    from dataclasses import replace

    from fkflow.results.store import read_result

    measurement = made_up.measurement()
    one = measurement.histograms[1]
    made = [replace(one, name=name) for name in ("z", "rho", "zrho", "odd")]
    write_run(tmp_path / "result.h5", measurement=replace(measurement, histograms=made))
    read = read_result(tmp_path / "result.h5")
    assert [h.name for h in read.measurement.histograms] == ["z", "rho", "zrho", "odd"]
    assert np.array_equal(Solution(read).density.values, one.values)


def test_a_summary_in_one_figure(solution: Solution, write_run: Any, tmp_path: Path) -> None:
    figure = solution.plot()
    titles = [ax.get_title() or ax.get_ylabel() for ax in figure.axes]
    assert (
        isinstance(figure, Figure) and len(figure.get_axes()) >= 4 and all(ax.has_data() for ax in figure.axes[:4])
    ), titles
    # the system is named once
    assert figure.get_suptitle() == solution.result.title()
    assert not any(solution.result.title() in ax.get_title() for ax in figure.axes)
    # a run without training and projection has fewer
    less = Solution(write_run(tmp_path / "result.h5", records=[]))
    assert 2 <= len(less.plot().axes) < len(figure.axes)
