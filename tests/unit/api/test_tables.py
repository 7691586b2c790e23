"""Results as tables of pandas and trees of xarray."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import fkflow

pytestmark = pytest.mark.usefixtures("few_moves")


def test_tables_without_their_libraries(pair: fkflow.Solution, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pandas", "xarray", "h5netcdf"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(fkflow.UsageError, match=r"to_pandas needs pandas, .* pip install 'fkflow\[data\]'"):
        pair.to_pandas()
    with pytest.raises(fkflow.UsageError, match="to_xarray needs h5netcdf, which is not installed"):
        pair.to_xarray()


def test_tables_of_pandas(pair: fkflow.Solution) -> None:
    pytest.importorskip("pandas")
    training = pair.to_pandas()
    assert training.index.name == "iteration" and training["energy"].to_list() == pair.training["energy"].tolist()
    density = pair.to_pandas("density/x")
    assert np.array_equal(density.index, pair.density.axes[0].centres) and density.index.name == "x"
    assert np.array_equal(density["variational_error"], pair.density.errors) and "projected" not in density
    with pytest.raises(fkflow.UsageError, match="has no table 'density': it has training, density/x"):
        pair.to_pandas("density")


def test_a_tree_of_xarray(pair: fkflow.Solution) -> None:
    pytest.importorskip("xarray")
    pytest.importorskip("h5netcdf")
    tree = pair.to_xarray()
    density = tree["density/x/variational"]
    assert density.dims == ("x",) and np.array_equal(density.x, pair.density.axes[0].centres)
    assert np.array_equal(density, pair.density.values) and density.attrs["units"] == "1/a"
    assert (
        tree["samples"].shape == pair.samples.shape and tree["energy/variational"].attrs["value"] == pair.energy.value
    )
