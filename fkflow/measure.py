"""Measuring with the drift frozen: variational energy, densities, drift field. Never the training average."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.func import jacfwd, vmap

from fkflow.config import MeasureConfig
from fkflow.errors import NumericalError
from fkflow.landscape import Landscape
from fkflow.local_energy import local_energy
from fkflow.networks import LogPsi, PairDrift
from fkflow.observables import Histograms, drift_fields
from fkflow.paths import brownian_frames, girsanov_action
from fkflow.results import Energy, Measurement
from fkflow.sampling import Walkers, metropolis
from fkflow.statistics import Estimate, autocorrelation_time, chains_estimate, halves_shift, split_rhat
from fkflow.system import System

#: Metropolis moves between two sweeps that are measured
MOVES_PER_SWEEP = 5
#: sweeps before the error bar may end the measurement
FEWEST_SWEEPS = 10
#: walkers whose final places are stored
STORED_SAMPLES = 2048
#: σ between the halves of the measurement above which the walkers had not forgotten where they began
LARGE_DRIFT = 4.0

Report = Callable[[Estimate, float], None]


def measure(
    net: LogPsi | PairDrift,
    system: System,
    landscape: Landscape,
    config: MeasureConfig,
    x: Tensor,
    seed: int,
    *,
    dt: float,
    report: Report,
) -> Measurement:
    """Measure a trained network, starting from its training walkers x (B, N, D).

    Stops at config.target_error or config.seconds, whichever is first. `dt` (absolute) is used for a `PairDrift` only:
    without a log ψ its energy is the average of A/T over its own free-running paths. `report` gets the estimate so far and
    the seconds spent. Raises NumericalError if no finite energy comes out.
    """
    begun = time.perf_counter()
    generator = torch.Generator(x.device).manual_seed(seed + 0x5EED)
    pick = torch.randint(len(x), (config.walkers,), generator=generator, device=x.device)
    walkers = Walkers(x[pick].clone(), 0.1 * landscape.length**2)
    sampler: _Langevin | _Free
    if isinstance(net, LogPsi):
        sampler = _Langevin(net, system, walkers, generator)
    else:
        sampler = _Free(net, system, walkers, generator, dt)
    sampler.equilibrate()
    histograms = Histograms(system, walkers.x, config.bins)
    sweeps: list[np.ndarray] = []
    acceptances: list[float] = []
    estimate = Estimate(math.nan, math.inf)
    while True:
        energies, acceptance = sampler.sweep()
        sweeps.append(energies.cpu().numpy())
        acceptances.append(acceptance)
        histograms.add(walkers.x)
        spent = time.perf_counter() - begun
        if len(sweeps) >= 2:
            estimate = chains_estimate(np.stack(sweeps))
            report(estimate, spent)
        if not np.isfinite(sweeps[-1]).all():
            bad = int((~np.isfinite(sweeps[-1])).sum())
            raise NumericalError(
                f"measuring failed: {bad} of {config.walkers} local energies are not finite; the trained "
                "network is unusable, train again with a smaller train.rate"
            )
        if len(sweeps) >= FEWEST_SWEEPS and (estimate.error <= config.target_error or spent >= config.seconds):
            break
    samples = np.stack(sweeps)
    rhat = split_rhat(samples)
    warnings = list(sampler.warnings)
    if estimate.error > config.target_error:
        warnings.append(
            f"the time budget of {config.seconds:g} s ended before the target error {config.target_error:g} "
            "was reached: fkflow measure RUN --set measure.seconds=... measures longer"
        )
    shift = halves_shift(samples)
    if abs(shift) > LARGE_DRIFT:
        warnings.append(
            f"the energy moved by {abs(shift):.1f} sigma between the halves of the measurement: the walkers had "
            "not forgotten their start, the error bar is too small"
        )
    energy = Energy(
        estimate,
        float(samples.std()),
        samples.mean(1),
        autocorrelation_time(samples),
        float(np.mean(acceptances)),
        rhat,
    )
    stored = walkers.x[:STORED_SAMPLES].cpu().numpy()
    return Measurement(
        energy,
        histograms.results(),
        drift_fields(net, system, walkers.x[:4096]),
        stored,
        time.perf_counter() - begun,
        sampler.curl(),
        warnings,
    )


class _Langevin:
    """Exact local energies on Metropolis-adjusted samples of ψ²: an upper bound without time-step error."""

    def __init__(self, net: LogPsi, system: System, walkers: Walkers, generator: torch.Generator) -> None:
        self.net, self.system, self.walkers, self.generator = net, system, walkers, generator
        self.warnings: list[str] = []

    def equilibrate(self) -> None:
        """Copies of training walkers part from one another; the step size settles, then stays."""
        for _ in range(10):
            metropolis(self.net, self.walkers, self.generator, 3)
        metropolis(self.net, self.walkers, self.generator, 50, adapt=False)

    def sweep(self) -> tuple[Tensor, float]:
        """Energies (B,) after a few moves, and the acceptance of those."""
        metropolis(self.net, self.walkers, self.generator, MOVES_PER_SWEEP, adapt=False)
        return local_energy(self.net, self.system, self.walkers.x), self.walkers.acceptance

    def curl(self) -> float | None:
        """A gradient has none."""
        return None


class _Free:
    """Free-running paths of a vector drift: E[A]/T ≥ E0 holds for its own stationary density, as dt → 0."""

    STEPS = 20

    def __init__(self, net: PairDrift, system: System, walkers: Walkers, generator: torch.Generator, dt: float) -> None:
        self.net, self.system, self.walkers, self.generator, self.dt = net, system, walkers, generator, dt
        self.warnings = [
            f"a vector drift has no log psi: its energy is a path average with time step {dt:g}, whose error "
            "is not in the error bar"
        ]

    def equilibrate(self) -> None:
        """Run the diffusion for a few relaxation times of a unit oscillator."""
        for _ in range(20):
            self.sweep()

    def sweep(self) -> tuple[Tensor, float]:
        """A/T (B,) of the next piece of every walker's path; nothing is ever rejected."""
        x = self.walkers.x
        noise = brownian_frames(len(x), 1, self.STEPS, tuple(x.shape[1:]), self.generator, orthogonal=False)[:, 0]
        ends = [x]

        def height(y: Tensor) -> Tensor:
            ends[:] = [y]
            return self.system.potential(y)

        with torch.no_grad():
            action = girsanov_action(None, self.net.drift, height, x, self.dt, noise)
        self.walkers.x = ends[0]
        return action / (self.STEPS * self.dt), 1.0

    def curl(self) -> float | None:
        """Mean of |J − Jᵀ|/(2|J|) over walkers, J = ∂v/∂x the Jacobian (Frobenius norms): 0 for a gradient."""
        x = self.walkers.x[:256]
        shape, d = x.shape[1:], x[0].numel()
        jacobian = vmap(jacfwd(lambda y: self.net(y.view(1, *shape)).reshape(-1)))(x.reshape(len(x), d)).detach()
        return float(((jacobian - jacobian.mT).norm(dim=(1, 2)) / (2 * jacobian.norm(dim=(1, 2)))).mean())
