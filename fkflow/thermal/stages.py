"""The stages of a run at temperatures, its trainings and measurements: their random numbers, and states of checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import torch

from fkflow.results.records import Axis, Doubt, Histogram
from fkflow.results.thermal import ThermalState
from fkflow.statistics import Estimate

#: number of the first stage of a temperature that is solved alone
FIRST_ALONE = 10**6


def seed_of(seed: int, number: int) -> int:
    """The seed of a stage."""
    return int(np.random.SeedSequence(seed, spawn_key=(number,)).generate_state(1)[0])


def pack(state: ThermalState) -> dict[str, Any]:
    """A state in plain values and tensors."""
    found: dict[str, Any] = {}
    for field in fields(ThermalState):
        if (value := getattr(state, field.name)) is None:
            continue
        if isinstance(value, Estimate):
            value = [float(value.value), float(value.error), float(value.n_effective)]
        elif field.name == "histograms":
            value = [_pack_histogram(histogram) for histogram in value]
        else:
            value = int(value) if isinstance(value, int) else float(value)
        found[field.name] = value
    return found


def unpack(found: Mapping[str, Any]) -> ThermalState:
    """The state that `pack` took."""
    values: dict[str, Any] = {}
    for name, value in found.items():
        if name == "histograms":
            values[name] = [_unpack_histogram(histogram) for histogram in value]
        else:
            values[name] = Estimate(*value) if isinstance(value, list) else value
    return ThermalState(**values)


def pack_warnings(warnings: Sequence[str]) -> list[list[Any]]:
    """Warnings, and whether they are doubts."""
    return [[str(warning), isinstance(warning, Doubt)] for warning in warnings]


def unpack_warnings(found: Sequence[Sequence[Any]]) -> list[str]:
    """The warnings that `pack_warnings` took."""
    return [Doubt(text) if doubt else str(text) for text, doubt in found]


def _pack_histogram(histogram: Histogram) -> dict[str, Any]:
    texts = {name: str(getattr(histogram, name)) for name in ("group", "name", "measure", "unit", "long_name")}
    axes = [[axis.name, axis.unit, axis.long_name, torch.from_numpy(axis.edges.copy())] for axis in histogram.axes]
    arrays = {name: torch.from_numpy(np.array(getattr(histogram, name))) for name in ("values", "errors")}
    return {**texts, "axes": axes, **arrays}


def _unpack_histogram(found: Mapping[str, Any]) -> Histogram:
    axes = tuple(Axis(name, unit, words, edges.numpy()) for name, unit, words, edges in found["axes"])
    arrays = {name: found[name].numpy() for name in ("values", "errors")}
    return Histogram(**{**found, "axes": axes, **arrays})
