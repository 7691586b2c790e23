"""The group /liquid of result.h5: written and read."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from fkflow.results import hdf5
from fkflow.results.liquid import CURVES, DATASETS, NUMBERS, Curve, Liquid, Quantity
from fkflow.statistics import Estimate


def write_liquid(group: h5py.Group, liquid: Liquid) -> None:
    """Write all curves and numbers."""
    group.attrs.update(density=liquid.density, density_unit=liquid.density_unit)
    for name, curve in liquid.curves.items():
        _write_curve(group.create_group(name), curve)
    for name, number in liquid.numbers.items():
        _write_number(group.create_group(name), name, number)


def _write_curve(group: h5py.Group, curve: Curve) -> None:
    group.attrs.update(axis=curve.axis, long_name=curve.long_name, method=curve.method)
    words = {"r": "distance", "k": "length of the wave vector"}[curve.axis]
    scale = hdf5.write_array(group, curve.axis, curve.points, curve.point_unit, words)
    scale.make_scale(curve.axis)
    parts = [("variational", curve.values, "averaged over psi^2"), ("variational_error", curve.errors, "its error")]
    if curve.projected is not None and curve.projected_errors is not None:
        dataset, over = DATASETS[curve.method], f"averaged over phi_0^2, {curve.method}"
        parts += [(dataset, curve.projected, over), (f"{dataset}_error", curve.projected_errors, "its error")]
    for name, values, over in parts:
        written = hdf5.write_array(group, name, values, curve.unit, f"{curve.long_name}, {over}")
        written.dims[0].attach_scale(scale)
        hdf5.label_axes(written, curve.axis)
    if curve.counts is not None:
        written = hdf5.write_array(group, "count", curve.counts, "", "number of wave vectors of that length")
        written.dims[0].attach_scale(scale)
        hdf5.label_axes(written, curve.axis)


def _write_number(group: h5py.Group, name: str, number: Quantity) -> None:
    words = NUMBERS[name]
    group.attrs.update(units=number.unit, long_name=words, method=number.method)
    for dataset, estimate in (("variational", number.variational), (DATASETS.get(number.method, ""), number.projected)):
        if estimate is not None:
            hdf5.write_array(group, dataset, estimate.value, number.unit, words)
            hdf5.write_array(group, f"{dataset}_error", estimate.error, number.unit, f"error of the {words}")


def read_liquid(group: h5py.Group, path: Path) -> Liquid:
    """What `write_liquid` wrote. Raises StoreError where a part is missing."""
    attribute = hdf5.attribute_reader(group, path)
    return Liquid(
        float(attribute("density")),
        str(attribute("density_unit")),
        {name: _read_curve(group[name], name, path) for name in CURVES if name in group},
        {name: _read_number(group[name], path) for name in NUMBERS if name in group},
    )


def _read_curve(group: h5py.Group, name: str, path: Path) -> Curve:
    attribute = hdf5.attribute_reader(group, path)
    axis, method = str(attribute("axis")), str(attribute("method"))
    points, values = (hdf5.get_part(group, part, path) for part in (axis, "variational"))
    dataset = DATASETS.get(method)

    def optional(part: str | None) -> np.ndarray | None:
        return None if part is None or part not in group else np.asarray(group[part][()])

    return Curve(
        name,
        axis,
        points[()],
        values[()],
        hdf5.get_part(group, "variational_error", path)[()],
        str(points.attrs["units"]),
        str(values.attrs["units"]),
        optional(dataset),
        optional(dataset and f"{dataset}_error"),
        method,
        optional("count"),
    )


def _read_number(group: h5py.Group, path: Path) -> Quantity:
    attribute = hdf5.attribute_reader(group, path)
    method = str(attribute("method"))

    def estimate(dataset: str) -> Estimate:
        return Estimate(*(float(hdf5.get_part(group, dataset + end, path)[()]) for end in ("", "_error")))

    variational = estimate("variational")
    projected = estimate(DATASETS[method]) if method else None
    best = variational if projected is None else projected
    unit = str(attribute("units"))
    return Quantity(best.value, best.error, variational=variational, projected=projected, unit=unit, method=method)
