"""What a projection leaves: energies at each time step, effective walkers, warnings; observables and densities over φ0²."""

from __future__ import annotations

import math

import numpy as np

from fkflow.errors import NumericalError
from fkflow.execution import ranks
from fkflow.measurement.verdict import start_not_forgotten
from fkflow.projection.extrapolation import Averages, Extrapolation, average_window, energy_at_time_step
from fkflow.projection.forward_walking import project_observables
from fkflow.projection.population import OBSERVED, Population
from fkflow.projection.resampling import EVEN
from fkflow.projection.time_steps import ACCEPTANCE
from fkflow.recipe.config import ProjectConfig
from fkflow.results.records import Doubt, Histogram, Projection
from fkflow.statistics import Estimate, autocorrelation_time, halves_shift, split_rhat

#: share of cut changes at the smallest time step above which the reader is warned
MANY_CUT = 1e-4
#: acceptance below which a time step is too large to be trusted
LEAST_ACCEPTANCE = 0.9
#: effective walkers of a group below which its weights have collapsed, and share below which the reader is warned
COLLAPSED, UNEVEN = 2.0, 0.1
#: σ by which the energy may differ between the two longest windows
FALLING = 4.0
#: share of the gap that slow modes may leave without a doubt: the stated error has it
SMALL = 1e-3


def summarise_projection(
    populations: list[Population],
    lag: int,
    variational: Estimate,
    found: Extrapolation,
    config: ProjectConfig,
    natural: float,
    seconds: float,
    settled: bool,
    slow_mode_error: float,
    gap: float,
) -> Projection:
    """The record of a projection whose energy `found` comes from the window number `lag`.

    `variational` is the measured energy, `natural` the natural time; `settled` says whether the energy no longer falls with the
    imaginary time, `slow_mode_error` what it may still fall, `gap` that of the relaxation (0: none). Raises NumericalError if
    the weights collapsed.
    """
    each = [average_window(p, lag) for p in populations]
    finest = populations[-1]
    curve = []
    for index in range(1, len(finest.lags)):
        if len(finest.sums.of_window(index)) < 2:
            break
        elapsed = finest.lags[index] * finest.interval
        curve.append((elapsed, *energy_at_time_step(average_window(finest, index), finest, variational)))
    last = each[-1]
    series = last.residuals
    merged = finest.sums.merged * finest.interval
    evenness = [p.effective_walkers() for p in populations]
    acceptances = ranks.reduce_mean(*(p.walkers.acceptance for p in populations))
    (cut,) = ranks.reduce_mean(finest.cuts / max(1, finest.count))
    at = np.array([energy_at_time_step(a, p, variational) for a, p in zip(each, populations, strict=True)])
    biases = [
        float(np.mean(p.sums.plain[len(p.sums.plain) // 4 :])) - energy if p.branching else 0.0
        for p, energy in zip(populations, at[:, 0], strict=True)
    ]
    warnings = collect_warnings(
        populations,
        each,
        found,
        config,
        natural,
        evenness,
        settled,
        acceptances,
        cut,
        slow_mode_error,
        gap,
        _last_fall(finest, lag),
    )
    return Projection(
        estimate=Estimate(
            found.value, found.error, (float(series.std()) / found.error) ** 2 if found.error else math.inf
        ),
        time_step_error=found.time_step_error,
        weights="girsanov" if finest.mover.girsanov else "local_energy",
        time_steps=np.array([p.mover.dt for p in populations]),
        energies=at[:, 0],
        errors=at[:, 1],
        acceptances=np.array(acceptances),
        effective_walkers=np.array(evenness),
        population_biases=np.array(biases),
        resampled=np.array([p.branching for p in populations]),
        window=finest.lags[lag] * finest.interval,
        curve=np.array(curve),
        autocorrelation=autocorrelation_time(series) * merged,
        rhat=split_rhat(series, finest.groups),
        blocks=at[-1, 0] + series.mean(1),
        independent=found.blocks,
        seconds=seconds,
        slow_mode_error=slow_mode_error,
        warnings=warnings,
    )


def _last_fall(population: Population, lag: int) -> Estimate | None:
    """The change of the energy between the two longest windows; None for resampled walkers or a single window."""
    if lag < 2 or population.branching:
        return None
    short, long = (average_window(population, index) for index in (lag - 1, lag))
    # the windows share their walkers: what is added to the variance is that of the difference
    variance = abs(long.covariance[1, 1] - short.covariance[1, 1])
    return Estimate(long.correction - short.correction, math.sqrt(variance))


def collect_warnings(
    populations: list[Population],
    each: list[Averages],
    found: Extrapolation,
    config: ProjectConfig,
    natural: float,
    evenness: list[float],
    settled: bool,
    acceptances: tuple[float, ...],
    cut: float,
    slow_mode_error: float,
    gap: float,
    fall: Estimate | None,
) -> list[str]:
    """The warnings of a projection, a sentence each; raises NumericalError if the weights collapsed."""
    warnings: list[str] = []
    for population, accepted in zip(populations, acceptances, strict=True):
        dt = population.mover.dt / natural
        if accepted < LEAST_ACCEPTANCE:
            better = dt * ((1 - ACCEPTANCE) / (1 - accepted)) ** (2 / 3)
            warnings.append(
                Doubt(
                    f"the time step {dt:.3g} (natural times) is too large for this system: {100 * accepted:.0f} % of the moves "
                    f"were accepted, 90 % are needed; use --set 'project.time_steps=[{better:.2g}, {better / 2:.1g}]'"
                )
            )
    finest = populations[-1]
    if slow_mode_error > max(found.total, config.target_error, SMALL * gap):
        warnings.append(
            Doubt(
                f"slow modes may leave {slow_mode_error:.2g} of the excess energy after the imaginary time of the projection: "
                "a longer training or a larger project.time lowers that"
            )
        )
    if fall is not None and abs(fall.value) > max(FALLING * fall.error, found.total):
        warnings.append(
            Doubt(
                f"the energy still changed by {fall.value:.2g} between the two longest imaginary times: a larger project.time "
                "helps"
            )
        )
    if cut > MANY_CUT:
        warnings.append(
            Doubt(
                f"very low local energies were cut for {100 * cut:.2g} % of the walkers, which may bias the projected energy: "
                "the drift is far from the exact one; train longer or use smaller project.time_steps"
            )
        )
    least = min(evenness)
    if least < EVEN and least * finest.size < COLLAPSED * finest.groups:
        raise NumericalError(
            f"projecting failed: the weights collapsed on {100 * least:.2g} % of the walkers, so the energy would be that of "
            "a few; train longer, use more project.walkers or smaller project.time_steps"
        )
    if least < UNEVEN:
        warnings.append(
            Doubt(
                f"the weights of the projection rest on {100 * least:.0f} % of the walkers: a longer training or more "
                "project.walkers would make the error bar surer"
            )
        )
    warnings += start_not_forgotten(halves_shift(each[-1].residuals), "projection", "; a larger project.time helps")
    if not math.isfinite(found.time_step_error):
        warnings.append(Doubt("with one time step its bias is not known: give project.time_steps two or three"))
    if found.total > config.target_error or not settled:
        missed = f"the target error {config.target_error:g}" if found.total > config.target_error else ""
        unsettled = "" if settled else "an imaginary time after which the energy no longer falls"
        sentence = (
            f"the time budget of {config.seconds:g} s ended before {' and '.join(filter(None, (missed, unsettled)))} was "
            "reached: fkflow measure RUN --set project.seconds=... projects longer"
        )
        warnings.append(sentence if settled else Doubt(sentence))
    return warnings


def average_observables(populations: list[Population], girsanov: bool, gap: float | None) -> list[Estimate] | None:
    """The numbers of the observables over φ0²; None if there are none, or no window for them was passed.

    `gap` is the rate of the slowest mode that the measurement showed, if any.
    """
    walkings = [p.walking for p in populations if p.walking is not None]
    if not walkings:
        return None
    finest = populations[-1]
    return project_observables(
        walkings,
        [p.mover.dt ** (2 if girsanov else 1) for p in populations],
        [lag * finest.interval for lag in finest.lags[OBSERVED:]],
        finest.branching,
        gap,
    )


def with_projected(measured: list[Histogram], finest: Population) -> list[Histogram]:
    """The measured densities with those of |φ0|² at the smallest time step, if its walkers have gone far enough for any."""
    assert finest.histograms is not None
    if not finest.histograms.weights.sum() > 0:  # on every rank or on none
        return measured
    return [h.with_projected(*pure) for h, pure in zip(measured, finest.histograms.densities(), strict=True)]
