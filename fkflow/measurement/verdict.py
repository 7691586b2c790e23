"""What may be wrong with a measured energy: V that is not finite, budgets, walkers that had not settled, unbound states."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from fkflow.hamiltonian.mistakes import MUST_BE_INFINITE
from fkflow.hamiltonian.natural_scale import Landscape
from fkflow.hamiltonian.system import System
from fkflow.recipe.config import MeasureConfig
from fkflow.results.records import Doubt, Failure
from fkflow.statistics import Estimate

#: σ between the halves of the measurement above which the walkers had not forgotten where they began
LARGE_DRIFT = 4.0
#: errors by which an energy is surely above a threshold
SURE = 3.0


def start_not_forgotten(shift: float, stage: str, remedy: str = "") -> list[Doubt]:
    """The doubt about a `stage` whose halves differ by too many σ, `shift`; empty if they do not."""
    if abs(shift) <= LARGE_DRIFT:
        return []
    return [
        Doubt(
            f"the energy moved by {abs(shift):.1f} sigma between the halves of the {stage}: the walkers had not "
            f"forgotten their start, the error bar is too small{remedy}"
        )
    ]


def explain_energies(energies: Tensor, x: Tensor, system: System) -> str:
    """Why not all local energies (B,) at walkers x (B, N, D) are finite, and what helps."""
    bad = int((~energies.isfinite()).sum())
    beyond = int((x.isfinite().all(dim=(1, 2)) & ~system.potential(x).isfinite()).sum())
    why = (
        f"V is not finite at {beyond} walkers: where the particles cannot be it {MUST_BE_INFINITE}"
        if beyond
        else "the trained network is unusable, train again with a smaller train.rate"
    )
    return f"{bad} of {len(energies)} local energies are not finite; {why}"


def find_warnings(
    estimate: Estimate,
    lowest: float,
    shift: float,
    unknown: Sequence[str],
    config: MeasureConfig,
    system: System,
    landscape: Landscape,
) -> list[str]:
    """What is doubtful about an `estimate`, the `lowest` energy found with or without projection.

    `shift` is that between the halves of the measurement in σ, `unknown` names the observables without an average.
    """
    warnings: list[str] = []
    if estimate.error > config.target_error:
        warnings.append(
            f"the time budget of {config.seconds:g} s ended before the target error "
            f"{config.target_error:g} was reached: fkflow measure RUN --set measure.seconds=... measures longer"
        )
    warnings += start_not_forgotten(shift, "measurement")
    if unknown:
        warnings.append(
            f"{', '.join(unknown)} had values that were not finite during the measurement: there is no average"
        )
    free = None if system.free else landscape.free
    if free is not None and lowest > free:
        warnings.append(
            Failure(
                f"the energy is above {free:.4g}, that of free particles: they parted in training and are not the cluster; "
                "train again with another --seed or a smaller train.rate"
            )
        )
    threshold = landscape.threshold
    if threshold is not None and lowest > threshold:
        kind = Failure if lowest > threshold + SURE * estimate.error else Doubt
        warnings.append(
            kind(
                f"the energy is not below {threshold + 0.0:.4g}, that of a particle far away: nothing may be bound, or the "
                "walkers have left the well in training; train again with another --seed or a smaller train.rate"
            )
        )
    return warnings
