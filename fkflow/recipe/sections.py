"""The sections of a recipe: every key with its type, bounds, default and meaning."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


class Section(BaseModel):
    """A section, or all of a recipe: it is not changed, and has no other keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class NetworkConfig(Section):
    """The network for log ψ (or, as `pair_drift`, for the drift itself)."""

    kind: Literal[
        "auto",
        "symmetric",
        "species",
        "generic",
        "molecular",
        "few_body",
        "vibrational",
        "periodic",
        "liquid",
        "pair_drift",
    ] = Field(
        "auto",
        description="auto: the network that suits the system; an error names others that do",
    )
    hidden: int = Field(16, ge=1, le=4096, description="width of the hidden layers")
    layers: int = Field(2, ge=1, le=64, description="number of hidden layers")


#: time step of paths, in natural times, up to which an orthogonal frame of paths has the value of their limit dt → 0
SHORTEST = 1e-8
#: other defaults of train keys for an estimator or optimiser: backpropagation needs paths of a finite length, Adam a step in
#: its own units
ESTIMATOR_DEFAULTS: dict[str, dict[str, Any]] = {
    "pathwise": {"optimiser": "adam", "walkers": 512, "steps": 32, "dt": 0.01, "iterations": 400},
}
PAIR_DRIFT_DEFAULTS: dict[str, dict[str, Any]] = {
    "train": {"estimator": "pathwise"},
    "project": {"weights": "girsanov"},
}
OPTIMISER_DEFAULTS: dict[str, dict[str, Any]] = {"adam": {"rate": 3e-3, "decay": 400.0, "iterations": 400}}


class TrainConfig(Section):
    """Training on Girsanov paths."""

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        filled = {**ESTIMATOR_DEFAULTS.get(str(given.get("estimator")), {}), **given}
        return {**OPTIMISER_DEFAULTS.get(str(filled.get("optimiser")), {}), **filled}

    # the recipe says `from`, a word Python keeps for itself
    source: str | None = Field(
        None, alias="from", description="finished run whose weights to start from; if left out, none"
    )
    estimator: Literal["covariance", "pathwise", "local_energy"] = Field(
        "covariance", description="gradient: covariance, pathwise or local_energy (for comparison)"
    )
    optimiser: Literal["spring", "adam"] = Field("spring", description="spring (natural gradient) or adam")
    walkers: int = Field(1024, ge=2, le=10**6, description="walkers, each the start of paths")
    grow: int = Field(
        80, ge=0, le=10**6, description="spring: iterations over which the walkers grow from a quarter to all"
    )
    paths: int = Field(
        0,
        ge=0,
        le=10**4,
        description="paths of each walker; 0: an orthogonal frame, or as much of it as pays",
    )
    scouts: float = Field(
        0.125,
        ge=0,
        le=1,
        description="spring, identical particles: a share of exploring walkers, in crowds and in wells",
    )
    antithetic: bool = Field(False, description="paths in pairs of opposite noise (an even number of paths)")
    steps: int = Field(1, ge=1, le=10**5, description="Euler-Maruyama steps K of a path")
    dt: float = Field(
        SHORTEST, gt=0, le=1, description="time step, in units of the natural time; up to 1e-8 the limit of short ones"
    )
    iterations: int = Field(120, ge=0, le=10**7, description="most iterations; a slow mode put in adds half")
    rate: float = Field(0.3, gt=0, le=100, description="imaginary time of an update, in natural times (Adam: step)")
    ramp: int = Field(
        0, ge=0, le=10**6, description="spring: iterations over which the rate grows from 0.3 to its value; 0: none"
    )
    decay: float = Field(80.0, gt=0, le=1e9, description="the rate falls as 1/(1 + iteration/decay)")
    curvature: float = Field(1.0, ge=0, le=1, description="share of walkers that make the step implicit; 0: explicit")
    damping: float = Field(1e-3, gt=0, le=1e6, description="damping of the natural gradient at the end")
    damping_start: float = Field(0.1, ge=0, le=1e6, description="added to the damping at the start")
    damping_decay: float = Field(10.0, gt=0, le=1e9, description="iterations over which that falls by e")
    momentum: float = Field(0.8, ge=0, lt=1, description="momentum of the natural gradient")
    max_change: float = Field(0.2, gt=0, le=1e3, description="largest rms change of log psi in one step")
    clip: float = Field(50.0, gt=0, le=1e6, description="outliers are clipped to so many mean absolute deviations")
    moves: int = Field(5, ge=1, le=10**5, description="Metropolis moves of the walkers between iterations")
    equilibrate: int = Field(50, ge=0, le=10**6, description="Metropolis moves before the first iteration")
    stop_spread: float = Field(
        1e-3, ge=0, le=1e6, description="train no further once the energy spreads by less, in natural energies"
    )
    chunk: int = Field(0, ge=0, le=10**7, description="walkers worked on at once; 0: as many as suit cache or device")
    target_error: float | None = Field(
        None,
        gt=0,
        le=1e9,
        description="train only until measuring to this error is cheap; if left out, all iterations",
    )
    seconds: float | None = Field(None, gt=0, le=1e9, description="time budget; if left out, none")

    @field_validator("source", mode="before")
    @classmethod
    def _check_source(cls, value: Any) -> Any:
        if value is not None and not (isinstance(value, str) and value.strip() and "\0" not in value):
            raise ValueError('it must be the folder of a finished run, such as "runs/h2", or its result.h5')
        return value


class MeasureConfig(Section):
    """Measuring with the frozen drift, until the target error or the time budget is reached."""

    walkers: int = Field(4096, ge=0, le=10**7, description="walkers; 0: as many as the target error calls for")
    target_error: float = Field(1e-4, gt=0, le=1e9, description="error of the energy at which to stop")
    seconds: float = Field(60.0, gt=0, le=1e9, description="time budget")
    observable_error: float = Field(
        0.01,
        gt=0,
        le=1e9,
        description="error of observables at which to stop, in their standard deviations",
    )
    bins: int = Field(100, ge=2, le=10**4, description="bins of each density")

    @field_validator("walkers")
    @classmethod
    def _check_walkers(cls, value: int) -> int:
        return _none_or_at_least(value, 2)


class ProjectConfig(Section):
    """Projecting to the exact ground state, until the target error or the time budget is reached."""

    walkers: int = Field(
        4096,
        ge=0,
        le=10**7,
        description="walkers of each time step; 0: as many as the target error calls for",
    )
    target_error: float = Field(1e-4, gt=0, le=1e9, description="statistical and time-step error at which to stop")
    seconds: float = Field(60.0, ge=0, le=1e9, description="time budget; 0: no projection")
    time_steps: tuple[float, ...] = Field(
        (), description="time steps to extrapolate from, in natural times; []: two that suit the system"
    )
    time: float = Field(6.0, gt=0, le=1e4, description="imaginary time of the projection, in natural times")
    weights: Literal["local_energy", "girsanov"] = Field(
        "local_energy", description="local_energy, or girsanov (no local energy; smooth potentials)"
    )

    @field_validator("walkers")
    @classmethod
    def _check_walkers(cls, value: int) -> int:
        return _none_or_at_least(value, 64)

    @field_validator("time_steps", mode="before")
    @classmethod
    def _check_time_steps(cls, value: Any) -> tuple[float, ...]:
        listed: list[Any] = list(value) if isinstance(value, (list, tuple)) else [None]
        good = all(type(dt) in (int, float) and 0 < dt <= 10 for dt in listed)
        if not good or len(listed) > 8 or len(set(listed)) < len(listed):
            raise ValueError(
                "it must be a list of up to 8 different numbers above 0 and at most 10, such as [0.04, 0.01]"
            )
        return tuple(float(dt) for dt in listed)


class SpectrumConfig(Section):
    """Excited states of the trained drift, once it is measured; `fkflow spectrum` computes them later."""

    states: int = Field(0, ge=0, le=100, description="excited levels to compute; 0: none")
    functions: int = Field(
        48, ge=4, le=1000, description="random functions of one kind in the basis of a symmetry sector"
    )
    statistics: Literal["bose", "fermi"] = Field(
        "bose", description="bose, or fermi: levels that change sign with an exchange of identical particles"
    )


#: smallest temperature and β that are taken
SMALLEST_BETA = 1e-9


class ThermalConfig(Section):
    """Temperatures instead of the ground state, by learned bridges; without one, the ground state is found."""

    temperature: float | tuple[float, ...] | None = Field(
        None, description="temperature T, k_B = 1, or a list of them; if left out, the ground state"
    )
    beta: float | tuple[float, ...] | None = Field(None, description="the same as inverse temperatures 1/T")
    statistics: Literal["bose", "boltzmann"] = Field(
        "bose", description="bose, or boltzmann: identical particles as if they could be told apart"
    )
    iterations: int = Field(60, ge=1, le=10**6, description="most iterations of the training at a temperature")
    target_error: float = Field(1e-4, gt=0, le=1e9, description="error of the free energy at which to stop")
    seconds: float = Field(20.0, gt=0, le=1e9, description="time budget of measuring a temperature")
    time_step: float | None = Field(
        None, gt=0, le=1, description="time step of measured paths, in natural times; if left out, one that suits"
    )

    @field_validator("temperature", "beta", mode="before")
    @classmethod
    def _check_temperatures(cls, value: Any) -> float | tuple[float, ...] | None:
        if value is None:
            return None
        listed = list(value) if isinstance(value, (list, tuple)) else [value]
        good = all(type(each) in (int, float) and SMALLEST_BETA <= each <= 1 / SMALLEST_BETA for each in listed)
        if not good or not listed or len(set(listed)) < len(listed):
            raise ValueError("it must be a number above 0, or a list of different ones")
        numbers = tuple(float(each) for each in listed)
        return numbers if isinstance(value, (list, tuple)) else numbers[0]

    def betas(self) -> tuple[float, ...]:
        """The inverse temperatures that are asked for; () for the ground state."""
        given, inverse = (self.temperature, True) if self.beta is None else (self.beta, False)
        if given is None:
            return ()
        listed = given if isinstance(given, tuple) else (given,)
        return tuple(1 / each if inverse else each for each in listed)


class ScanConfig(Section):
    """What a scan varies, and how it is plotted."""

    over: tuple[str, ...] = Field(
        (), description='what to vary, such as ["system.R=0.6:6:0.2"]; the first key is the x axis'
    )
    unit: float = Field(1.0, gt=0, le=1e9, description="unit of the x axis: the first key is divided by it")
    warm: bool = Field(True, description="each point starts from the weights of the nearest finished one")

    @field_validator("over", mode="before")
    @classmethod
    def _check_over(cls, value: Any) -> tuple[str, ...]:
        if not isinstance(value, (list, tuple)) or not all(isinstance(text, str) for text in value):
            raise ValueError('it must be a list of texts, such as ["system.R=0.6:6:0.2"]')
        return tuple(value)


def _none_or_at_least(value: int, least: int) -> int:
    if 0 < value < least:
        raise ValueError(f"it must be 0 or an integer of at least {least}")
    return value


#: the sections beside [system]
SECTIONS: dict[str, type[Section]] = {
    "network": NetworkConfig,
    "train": TrainConfig,
    "measure": MeasureConfig,
    "project": ProjectConfig,
    "spectrum": SpectrumConfig,
    "thermal": ThermalConfig,
}
