"""Results as tables of xarray and pandas, which need not be installed otherwise."""

from __future__ import annotations

import io
from importlib import import_module
from typing import Any

from fkflow.errors import UsageError
from fkflow.results import store
from fkflow.results.liquid import DATASETS
from fkflow.results.result import Result


def to_xarray(result: Result) -> Any:
    """An `xarray.DataTree` with the groups of result.h5, axes as coordinates, units and long names as attributes.

    Raises UsageError if xarray or h5netcdf is not installed.
    """
    _library("h5netcdf", "to_xarray")
    xarray = _library("xarray", "to_xarray")
    return xarray.open_datatree(io.BytesIO(store.encode(result)), engine="h5netcdf").load()


def to_pandas(result: Result, part: str) -> Any:
    """A `pandas.DataFrame`: "training" by iteration, or a distribution such as "density/x" or "pair/r" by the bin centres.

    Raises UsageError if there is no such part, or if pandas is not installed.
    """
    pandas = _library("pandas", "to_pandas")
    if part == "training":
        columns = dict(result.training)
        return pandas.DataFrame(columns, index=pandas.Index(columns.pop("iteration", ()), name="iteration"))
    parts = {f"{histogram.group}/{histogram.name}": histogram for histogram in result.measurement.histograms}
    liquid = result.measurement.liquid
    curves = {} if liquid is None else {f"liquid/{name}": curve for name, curve in liquid.curves.items()}
    if part in curves:
        curve = curves[part]
        found = {"variational": curve.values, "variational_error": curve.errors}
        if curve.projected is not None and curve.projected_errors is not None:
            dataset = DATASETS[curve.method]
            found |= {dataset: curve.projected, f"{dataset}_error": curve.projected_errors}
        return pandas.DataFrame(found, pandas.Index(curve.points, name=curve.axis))
    if part not in parts:
        raise UsageError(f"{result.run} has no table {part!r}: it has {', '.join(['training', *parts, *curves])}")
    histogram = parts[part]
    distributions = {
        "variational": histogram.values,
        "variational_error": histogram.errors,
        "projected": histogram.projected,
        "projected_error": histogram.projected_errors,
        "exact": histogram.exact,
    }
    index = pandas.MultiIndex.from_product(
        [axis.centres for axis in histogram.axes], names=[axis.name for axis in histogram.axes]
    )
    if len(histogram.axes) == 1:
        index = index.get_level_values(0)
    return pandas.DataFrame(
        {name: values.ravel() for name, values in distributions.items() if values is not None}, index
    )


def _library(name: str, method: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        raise UsageError(f"{method} needs {name}, which is not installed: pip install 'fkflow[data]'") from None
