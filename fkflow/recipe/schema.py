"""A recipe: the system and the sections that say how to solve it, and which keys exclude each other."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import Field, InstanceOf, SerializeAsAny, model_validator

from fkflow.errors import UsageError
from fkflow.hamiltonian.species import is_mixture
from fkflow.hamiltonian.system import System
from fkflow.hamiltonian.user_systems import Definition
from fkflow.recipe.sections import (
    SECTIONS,
    MeasureConfig,
    NetworkConfig,
    ProjectConfig,
    Section,
    SpectrumConfig,
    ThermalConfig,
    TrainConfig,
)


class Conflict(ValueError):
    """Two keys of a recipe that exclude each other; `keys` has the one to change first."""

    def __init__(self, keys: tuple[str, ...], reason: str) -> None:
        super().__init__(reason)
        self.keys = keys


class Recipe(Section):
    """A complete run: what to solve and how."""

    system: SerializeAsAny[System]
    network: NetworkConfig = Field(default_factory=NetworkConfig)
    train: TrainConfig = Field(default_factory=TrainConfig)
    measure: MeasureConfig = Field(default_factory=MeasureConfig)
    project: ProjectConfig = Field(default_factory=ProjectConfig)
    spectrum: SpectrumConfig = Field(default_factory=SpectrumConfig)
    thermal: ThermalConfig = Field(default_factory=ThermalConfig)
    #: the file that defines the system, where the recipe names one
    definition: InstanceOf[Definition] | None = None

    @model_validator(mode="after")
    def _check_consistent(self) -> Recipe:
        system, kind = self.system, self.network.kind
        estimator, optimiser = self.train.estimator, self.train.optimiser
        fitting: tuple[str, ...]
        if system.point_charges() is not None:
            fitting, why = ("auto", "few_body"), "its charges need exact cusps"
        elif getattr(system, "box", None) is not None:
            fitting, why = ("auto", "periodic", "liquid"), "it is in a periodic box"
        elif system.nuclei() is not None:
            fitting, why = ("auto", "molecular", "pair_drift"), "its nuclei need exact cusps"
        elif system.identical and system.free:
            fitting, why = ("auto", "symmetric", "generic"), "it is free in space and has no nuclei"
        elif system.identical:
            fitting, why = ("auto", "symmetric", "generic", "pair_drift"), "it has no nuclei"
        elif is_mixture(system):
            fitting, why = ("auto", "species", "generic"), "it has several species"
        else:
            fitting, why = ("auto", "generic"), "it has distinguishable particles and no nuclei"
        if system.free and system.nuclei() is None and system.point_charges() is None:
            fitting = (*fitting, "vibrational")
        if kind not in fitting:
            choices = ", ".join(json.dumps(choice) for choice in fitting)
            raise Conflict(
                ("network.kind", "system.name"),
                f"it must be one of {choices} with the system {system.key}, since {why}",
            )
        if kind == "pair_drift" and estimator != "pathwise":
            raise Conflict(
                ("train.estimator", "network.kind"),
                'it must be "pathwise" with network.kind = "pair_drift", a drift without a log ψ',
            )
        if estimator == "pathwise" and optimiser == "spring":
            raise Conflict(
                ("train.optimiser", "train.estimator"),
                'it must be "adam" with train.estimator = "pathwise", since the natural gradient '
                "amplifies the noise of pathwise gradients",
            )
        if self.thermal.temperature is not None and self.thermal.beta is not None:
            raise Conflict(
                ("thermal.beta", "thermal.temperature"),
                "thermal.temperature is given too, and one of them sets the other: leave one out",
            )
        weights = self.project.weights
        if kind == "pair_drift" and weights != "girsanov":
            raise Conflict(
                ("project.weights", "network.kind"),
                'it must be "girsanov" with network.kind = "pair_drift", a drift without a log ψ',
            )
        if weights == "girsanov" and kind != "pair_drift" and system.nuclei() is not None:
            raise Conflict(
                ("project.weights", "system.name"),
                f'it must be "local_energy" with the system {system.key}, since the weights of paths past its nuclei have '
                "no finite variance",
            )
        if system.point_charges() is not None:
            for key, given, allowed in (
                ("project.weights", weights, "local_energy"),
                ("train.estimator", "" if estimator != "pathwise" else estimator, ""),
            ):
                if given != allowed:
                    raise Conflict(
                        (key, "system.name"),
                        f'it must be "{allowed or "covariance"}" with the system {system.key}, since paths past its charges '
                        "have weights without a finite variance",
                    )
        return self

    def resolved(self) -> dict[str, dict[str, Any]]:
        """Every key of every section with its value, in plain types."""
        named = {"name": self.system.key} if self.definition is None else {"file": self.definition.file}
        system = {**named, **self.system.parameters()}
        sections = {name: getattr(self, name).model_dump(by_alias=True) for name in SECTIONS}
        plain: dict[str, dict[str, Any]] = _plain({"system": system, **sections})
        return plain


def target_sections(error: float) -> dict[str, dict[str, Any]]:
    """The keys that --target-error sets in each section: the error, and automatic numbers of walkers. Raises UsageError."""
    if not 0 < error <= 1e9:
        raise UsageError(f"--target-error {error:g}: an energy above 0 and at most 1e9 is needed")
    measured = {"target_error": error, "walkers": 0}
    return {"train": {"target_error": error}, "measure": measured, "project": measured}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    return [_plain(entry) for entry in value] if isinstance(value, (list, tuple)) else value
