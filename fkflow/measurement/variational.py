"""The variational energy of a frozen network, with densities and the drift field. Never the training average.

The walkers of a log ψ are distributed as ψ^(2a) with a power a below 1 and weighted back to ψ²: at a small price they visit the
tails, where a network is worst, often enough for error bars that are right (`broad.sampling_power`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from fkflow.errors import NumericalError
from fkflow.execution import ranks
from fkflow.execution.pulse import Pulse
from fkflow.hamiltonian.free import break_up_energy
from fkflow.hamiltonian.masses import to_user_coordinates
from fkflow.hamiltonian.natural_scale import Landscape
from fkflow.hamiltonian.system import System
from fkflow.measurement.coherence import Coherence
from fkflow.measurement.crystal import melted
from fkflow.measurement.drift_field import drift_fields, sample_trajectories
from fkflow.measurement.histograms import Histograms
from fkflow.measurement.liquid import LiquidMeasurement, has_liquid
from fkflow.measurement.observables import ObservableAverages
from fkflow.measurement.relaxation import Relaxation, SlowModes
from fkflow.measurement.sweeps import EnergySweeps
from fkflow.measurement.verdict import explain_energies, find_warnings
from fkflow.measurement.walkers import FEWEST_SWEEPS, samples_of, starting_walkers
from fkflow.networks.choice import LogPsi, PairDrift, VibrationalNet
from fkflow.networks.periodic import is_even
from fkflow.recipe.config import MeasureConfig
from fkflow.results.records import Energy, Histogram, Measurement, Projection
from fkflow.sampling.metropolis import Walkers
from fkflow.sampling.samplers import LangevinSampler, PathSampler
from fkflow.statistics import Estimate

#: sweeps before the time budget may end the measurement
FEWEST_IN_TIME = 4
#: sweeps after which several ranks exchange their energies
SWEEPS_APART = 4
#: walkers whose final places are stored
STORED_SAMPLES = 2048
#: the numbers in a checkpoint of a measurement
NUMBERS = ("fewest", "acceptance", "seconds")

Report = Callable[[Estimate, float], None]


class VariationalEstimator:
    """A measurement under way: `run` sweeps until an error or a time is reached, and may be called again for more.

    net is frozen; x (B, N, D) are its training walkers, at whose places config.walkers start. `dt` (absolute) is used for a
    `PairDrift` only: without a log ψ its energy is the average of A/T over its own free-running paths.

    Each rank sweeps its share of the walkers; estimates and results are those of all ranks, which must ask for them together.
    `saved` is an earlier `state_dict`: the measurement then continues to the same bits.
    """

    def __init__(
        self,
        net: LogPsi | PairDrift,
        system: System,
        landscape: Landscape,
        config: MeasureConfig,
        x: Tensor,
        seed: int,
        *,
        dt: float,
        jumps: bool = False,
        saved: Mapping[str, Any] | None = None,
    ) -> None:
        started = time.perf_counter()
        self.net, self.system, self.landscape, self.config, self.seed = net, system, landscape, config, seed
        self.generator = generator = torch.Generator(x.device).manual_seed(ranks.own_seed(seed + 0x5EED))
        #: sweeps before the error bar may end the measurement
        self.fewest = FEWEST_SWEEPS
        if saved is None:
            self.walkers, self.fewest = starting_walkers(net, system, landscape, config, x, generator)
        else:
            self.walkers = Walkers.from_state_dict(saved["walkers"], x.device)
        self.sampler: LangevinSampler | PathSampler
        if isinstance(net, LogPsi):
            shifts = landscape.shifts(system)
            self.sampler = LangevinSampler(net, system, self.walkers, generator, landscape.length**2, shifts)
        else:
            self.sampler = PathSampler(net, system, self.walkers, generator, dt)
        if saved is None:
            self.sampler.jumps = jumps and isinstance(net, LogPsi)
            self.sampler.equilibrate()
        #: what shows the slow modes of a log ψ during the first sweeps, and what it showed
        self.slow: SlowModes | None = None
        self.relaxation: Relaxation | None = None
        #: what is measured in a periodic box of several particles
        self.liquid: LiquidMeasurement | None = None
        if isinstance(net, LogPsi):
            functions = torch.Generator(x.device).manual_seed(seed)
            self.slow = SlowModes(
                system,
                self.samples(),
                functions,
                self.walkers.x,
                self.walkers.weights(),
                of_distances=isinstance(net, VibrationalNet),
                crossings=landscape.crossings(system),
                even=has_liquid(system) and is_even(system, landscape),
                natural_energy=1 / landscape.length**2,
            )
            if has_liquid(system):
                self.liquid = LiquidMeasurement(net, system, landscape, x.device, seed)
        self.histograms = Histograms(system, ranks.gather(self.samples()), config.bins)
        self.observables = ObservableAverages(
            system, self.walkers.x, None if self.liquid is None else self.liquid.columns
        )
        self.energies, self.acceptance = EnergySweeps(), 0.0
        self.seconds = time.perf_counter() - started
        if saved is not None:
            self._load(saved)

    def state_dict(self) -> dict[str, Any]:
        """Everything of this rank that a measurement needs to continue, as tensors, numbers and texts."""
        return {
            "walkers": self.walkers.state_dict(),
            "generator": self.generator.get_state(),
            "level": self.sampler.level,
            "jumps": self.sampler.jumps,
            "slow": self.slow and self.slow.state_dict(),
            "relaxation": self.relaxation and self.relaxation.state_dict(),
            "warnings": list(self.sampler.warnings),
            "histograms": self.histograms.state_dict(),
            "observables": self.observables.state_dict(),
            "coherence": self.liquid and self.liquid.coherence.state_dict(),
            **self.energies.state_dict(),
            **{name: getattr(self, name) for name in NUMBERS},
        }

    def _load(self, state: Mapping[str, Any]) -> None:
        self.generator.set_state(state["generator"])
        self.sampler.level, self.sampler.warnings = state["level"], list(state["warnings"])
        self.sampler.jumps = state.get("jumps", False)
        if state.get("slow") is None:
            self.slow = None
        elif self.slow is not None:
            self.slow.load_state_dict(state["slow"])
        self.relaxation = Relaxation.from_state_dict(state["relaxation"]) if state.get("relaxation") else None
        self.histograms.load_state_dict(state["histograms"])
        if "observables" in state:
            self.observables.load_state_dict(state["observables"])
        if self.liquid is not None and state.get("coherence"):
            self.liquid.coherence.load_state_dict(state["coherence"])
        self.energies.load_state_dict(state)
        for name in NUMBERS:
            setattr(self, name, state[name])

    def run(self, target_error: float, seconds: float, report: Report, pulse: Pulse | None = None) -> Estimate:
        """Sweep until the error is at most `target_error`, and that of the observables small, or `seconds` are over in all.

        `report` gets the estimate so far and the seconds spent; `pulse` raises KeyboardInterrupt after a sweep. Raises
        NumericalError at a local energy that is not finite.
        """
        pulse = Pulse() if pulse is None else pulse
        # the first sweeps, of an infinite target error, wait for nothing else
        sharp = self.config.observable_error if math.isfinite(target_error) else math.inf
        began = time.perf_counter() - self.seconds
        while ranks.broadcast(
            (self.observables.error() > sharp and self.seconds < seconds)
            or self.count < FEWEST_IN_TIME
            or (self.seconds < seconds and (self.count < self.fewest or self.estimate().error > target_error))
        ):
            for _ in range(_sweeps_per_round()):
                self.sweep()
                pulse.late()
            self.energies.gather()
            if self.count >= 2:
                report(self.estimate(), self.seconds)
            # estimates and reports take time too
            self.seconds = time.perf_counter() - began
        return self.estimate()

    def share(self) -> float:
        """The share of the sweeps that are made whatever the error is."""
        return min(1.0, self.count / max(FEWEST_IN_TIME, self.fewest))

    def find_relaxation(self) -> Relaxation | None:
        """The slow modes that the sweeps so far have shown, found once; None if there are none, or no log ψ."""
        if self.relaxation is None and self.slow is not None:
            self.relaxation = self.slow.solve()
            if self.relaxation is None:
                self.slow = None
            elif (threshold := self._continuum()) is not None:
                self.relaxation = self.relaxation.below(threshold)
        return self.relaxation

    def _continuum(self) -> float | None:
        """The energy at which the continuum begins, where it is known."""
        parts = self.system.free or self.system.point_charges() is not None
        return break_up_energy(self.system, self.landscape.free) if parts else self.landscape.threshold

    def ground_factor(self) -> Tensor:
        """The lowest state in the span of ψ and its slow modes, over ψ, (B,) at this rank's walkers."""
        assert self.slow is not None and self.relaxation is not None
        ground = torch.from_numpy(self.relaxation.ground).to(self.walkers.x)
        return self.slow.basis.evaluate(self.walkers.x)[0] @ ground

    def is_shortest(self) -> bool:
        """Whether this is the shortest measurement there is: its first round of sweeps was enough."""
        return self.count < self.fewest + _sweeps_per_round()

    def sweep(self) -> None:
        """Move the walkers, take their energies and count them in the densities."""
        started = time.perf_counter()
        energies, weights, acceptance = self.sampler.sweep()
        if not bool(energies.isfinite().all()):
            raise NumericalError(f"measuring failed: {explain_energies(energies, self.walkers.x, self.system)}")
        self.histograms.add(self.walkers.x, weights)
        self.observables.add(self.walkers.x, weights)
        if self.liquid is not None:
            self.liquid.coherence.add(self.walkers.x, weights)
        self.energies.add(energies, weights)
        if self.slow is not None and self.relaxation is None:
            self.slow.add(self.walkers.x, energies, weights)
        self.acceptance += acceptance
        if ranks.count() == 1:
            self.energies.gather()
        self.seconds += time.perf_counter() - started

    @property
    def count(self) -> int:
        """How many sweeps there are."""
        return self.energies.count

    def estimate(self) -> Estimate:
        """The energy so far; its error comes from the scatter of independent walkers."""
        return self.energies.estimate()

    def spread(self) -> float:
        """Standard deviation of the local energy over ψ²."""
        return self.energies.spread()

    def samples(self) -> Tensor:
        """This rank's walkers (B, N, D) resampled to ψ²."""
        return samples_of(self.walkers)

    def result(
        self,
        projection: Projection | None = None,
        histograms: list[Histogram] | None = None,
        projected: list[Estimate] | None = None,
        mixed: Coherence | None = None,
    ) -> Measurement:
        """Everything measured, with what was projected: `projection`, `histograms` with its densities, and the observables.

        `mixed` has averages over ψφ0 in a periodic box.
        """
        estimate = self.estimate()
        lowest = min(estimate.value, projection.estimate.value if projection else math.inf)
        autocorrelation, rhat, shift = self.energies.mixing()
        unknown = self.observables.unknown()
        warnings = [
            *self.sampler.warnings,
            *find_warnings(estimate, lowest, shift, unknown, self.config, self.system, self.landscape),
        ]
        (acceptance,) = ranks.reduce_mean(self.acceptance / self.count)
        energy = Energy(estimate, self.spread(), self.energies.means(), autocorrelation, acceptance, rhat)
        samples = ranks.gather(self.samples())
        # pictures have a generator of their own: they change no number
        pictures = torch.Generator(samples.device).manual_seed(self.seed)
        drift = drift_fields(self.net, self.system, samples, pictures)
        order = torch.randperm(len(samples), generator=self.generator, device=samples.device)
        densities = self.histograms.results() if histograms is None else histograms
        liquid = None
        if self.liquid is not None:
            averages = self.observables.averages(projected)
            totals = (estimate, None if projection is None else projection.total)
            resampled = projection is not None and bool(projection.resampled[-1])
            liquid = self.liquid.result(averages, totals, densities, mixed, resampled)
            warnings += melted(liquid)
        return Measurement(
            energy,
            densities,
            drift,
            to_user_coordinates(self.system, samples[order])[:STORED_SAMPLES].cpu().numpy(),
            self.seconds,
            self.sampler.curl(),
            warnings,
            projection,
            sample_trajectories(self.net, self.system, samples, self.landscape.length**2, pictures),
            None if self.relaxation is None else self.relaxation.gap,
            self.observables.results(projected),
            liquid,
        )


def _sweeps_per_round() -> int:
    """Sweeps after which the error is looked at."""
    return 1 if ranks.count() == 1 else SWEEPS_APART
