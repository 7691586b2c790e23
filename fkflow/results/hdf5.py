"""HDF5 with units, long names and checksums on every array; damage and missing parts give an error of one sentence."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from fkflow.errors import StoreError
from fkflow.results.checksum import strip_checksum
from fkflow.results.paths import reason

SIGNATURE = b"\x89HDF\r\n\x1a\n"


@contextmanager
def open_file(path: Path, format: str, newest: int) -> Iterator[h5py.File]:
    """Open a file of that format, of a version up to `newest`, for reading.

    Raises StoreError, also for whatever is raised while the file is read.
    """
    try:
        with open(path, "rb") as stream:
            content = stream.read(len(SIGNATURE))
            # another file may be very long
            content += stream.read() if content == SIGNATURE else b""
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {reason(error)}") from error
    if not content.startswith(SIGNATURE):
        raise StoreError(f"{path} is not an HDF5 file, so not a result of fkflow")
    if content[8:9] == b"\x03" and content[11:12] == b"\x01":  # version and flags of the superblock
        raise StoreError(
            f"{path} is open for writing in another program, or was when that broke off (h5clear -s mends it)"
        )
    try:
        # from memory, since another program may have locked the file
        file = h5py.File(io.BytesIO(strip_checksum(content, path)), "r")
    except StoreError:
        raise
    except Exception as error:
        raise StoreError(f"{path} cannot be opened: the file is truncated or damaged") from error
    with file:
        try:
            kind, version = file.attrs.get("format"), file.attrs.get("format_version")
        except Exception as error:
            raise StoreError(f"{path} is damaged: its header cannot be read") from error
        if kind != format or not isinstance(version, int | np.integer):
            raise StoreError(f"{path} is an HDF5 file, but not one that fkflow wrote")
        if version > newest:
            raise StoreError(
                f"{path} was written by a newer fkflow: its format version is {version}, this one reads up to {newest}"
            )
        try:
            yield file
        except StoreError:
            raise
        except Exception as error:  # whatever h5py and the conversions raise on nonsense
            raise StoreError(f"{path} is damaged: part of its content cannot be read") from error


def get_part(group: h5py.Group, name: str, path: Path) -> Any:
    """The group or dataset of that name; raises StoreError if it is missing."""
    if name not in group:
        full = f"{group.name.rstrip('/')}/{name}"
        raise StoreError(f"{path} is not a complete result: its part {full} is missing")
    return group[name]


def attribute_reader(item: Any, path: Path) -> Any:
    """A function that returns the attribute of `item` with a given name, or raises StoreError."""

    def attribute(name: str) -> Any:
        if name not in item.attrs:
            raise StoreError(f"{path} is not a complete result: attribute {name} of {item.name} is missing")
        return item.attrs[name]

    return attribute


def label_axes(dataset: h5py.Dataset, *labels: str) -> None:
    """Name the dimensions."""
    for dimension, name in enumerate(labels):
        dataset.dims[dimension].label = name


def complete_scales(file: h5py.File) -> None:
    """Attach a scale, the numbers 0, 1, …, to each dimension of each dataset that has none; its name is the dimension's label.

    Programs that read netCDF, such as xarray, then open every group. A scale lies in the group of its dataset; those of the
    weights of a network, named by their size, in the root.
    """
    found: dict[str, h5py.Dataset] = {}
    file.visititems(lambda path, item: found.update({path: item}) if isinstance(item, h5py.Dataset) else None)
    for path, dataset in found.items():
        if h5py.h5ds.is_scale(dataset.id):
            continue
        names: list[str] = []
        for dimension, size in zip(dataset.dims, dataset.shape, strict=True):
            if len(dimension):
                # HDF5 searches for the name of what lies behind a reference, which takes long
                names.append(str(dimension[0].name.rsplit("/", 1)[-1]))
                continue
            name, scale = _index_scale(file, path, dimension.label or f"size_{size}", size, names)
            dimension.attach_scale(scale)
            dimension.label = name
            names.append(name)


def _index_scale(file: h5py.File, path: str, label: str, size: int, taken: list[str]) -> tuple[str, h5py.Dataset]:
    """Name, none of those `taken`, and scale of that label and size for the dataset at `path`; made if there is none."""
    parent = "" if path.startswith("model/") else path.rpartition("/")[0]
    group = file[f"/{parent}"]

    def fits(name: str) -> bool:
        there = group.get(name)
        return name not in taken and (there is None or (h5py.h5ds.is_scale(there.id) and there.shape == (size,)))

    name = next(filter(fits, (label, f"{label}_{size}", *(f"{label}_{n}th" for n in range(2, 9)))))
    if name not in group:
        scale = write_array(group, name, np.arange(size, dtype=np.int32), "", f"number of the {label}, from 0")
        scale.make_scale(name)
    return name, group[name]


def write_array(group: h5py.Group, name: str, values: Any, unit: str, long_name: str) -> h5py.Dataset:
    """Write a dataset of numbers with a checksum."""
    values = np.asarray(values)
    if values.dtype.kind not in "biuf":
        raise TypeError(f"{group.name}/{name}: only numbers are stored, not {values.dtype}")
    # filters (here the checksum) need chunks, which scalars and empty arrays cannot have
    checksum = values.ndim > 0 and values.size > 0
    dataset = group.create_dataset(name, data=values, fletcher32=True if checksum else None)
    dataset.attrs.update(units=unit, long_name=long_name)
    return dataset


def write_text(group: h5py.Group, name: str, text: str | list[str], long_name: str) -> None:
    """Write a text, or a list of texts."""
    dataset = group.create_dataset(name, data=text, dtype=h5py.string_dtype("utf-8"))
    dataset.attrs.update(units="", long_name=long_name)


def write_mapping(group: h5py.Group, values: Mapping[str, Any]) -> None:
    """Write plain values as attributes, nested mappings as groups, None as an empty attribute."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            write_mapping(group.create_group(key), value)
        elif value is None:
            group.attrs[key] = h5py.Empty("f8")
        elif isinstance(value, str | bool | int | float):
            group.attrs[key] = value
        elif all(isinstance(item, str) for item in value):
            group.attrs.create(key, list(value), shape=(len(value),), dtype=h5py.string_dtype("utf-8"))
        elif all(isinstance(item, bool | int | float) for item in value):
            group.attrs[key] = np.asarray(value)
        else:
            group.attrs[key] = json.dumps(value)
