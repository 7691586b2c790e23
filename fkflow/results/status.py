"""Whether a result can be trusted: converged, doubtful or failed, and why."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from fkflow.results.records import Doubt, Failure, Measurement

CONVERGED, DOUBTFUL, FAILED = "converged", "doubtful", "failed"
#: spread of the local energy, in natural energies times √coordinates, from which on the network is doubtful, and failed
POOR, USELESS = 1.0, 10.0
#: distance of the variational from the projected energy, in natural energies, from which on they are doubtful, and failed
FAR, TOO_FAR = 0.3, 10.0
#: coordinates of a liquid, whose energies grow with their number, for which that is so too: four particles in space
FEW = 12
#: energy above the lowest minimum of V, in natural energies per coordinate, from which on a training has failed
HIGH = 100.0
#: errors by which the energy must lie below that of separated parts to be bound, and above it from which on it is not
BOUND, UNBOUND = 3.0, 3.0
#: last iterations, and rejected steps among them from which on the end of the training is doubtful
LAST, REJECTED = 20, 4


def find_doubts(
    measurement: Measurement,
    records: Sequence[Mapping[str, Any]],
    natural_time: float,
    coordinates: int,
    lowest: float,
    threshold: float | None = None,
    charged: bool = False,
    boxed: bool = False,
) -> list[Doubt]:
    """What makes a result doubtful or failed, a sentence each, the worst first.

    `records` are the training iterations, `lowest` is V at its lowest minimum (−inf where it has none), `threshold` the lowest
    energy of the parts of a free system that have left each other (None where they cannot). `charged`: the particles are point
    charges, whose natural energy is that of pairs and may be far above the gap. `boxed`: they are in a periodic box, and what
    many of them add to an energy grows with their number.
    """
    projection, variational = measurement.projection, measurement.variational
    found = [w for w in (*measurement.warnings, *(projection.warnings if projection else ())) if isinstance(w, Doubt)]
    if threshold is not None and (doubt := _find_break_up(measurement, threshold)):
        found.append(doubt)
    spread = variational.local_energy_std
    if not spread * natural_time <= POOR * math.sqrt(coordinates):
        kind = Failure if is_useless(spread, natural_time, coordinates) else Doubt
        found.append(
            kind(
                f"the local energy of the trained network spreads by {spread:.3g}, as far as the energy "
                "itself: the network is not a ground state; train longer, or with another --seed"
            )
        )
    elif charged and measurement.gap is not None and spread > measurement.gap:
        found.append(
            Doubt(
                f"the local energy spreads by {spread:.3g}, more than the gap of {measurement.gap:.3g}: the training has not "
                "converged; train longer (train.iterations), or with another --seed"
            )
        )
    energy = variational.estimate.value
    if projection is not None:
        apart = energy - projection.estimate.value
        far = abs(apart) * natural_time
        near = FAR * max(1.0, coordinates / FEW) if boxed else FAR
        if not far <= near:
            kind = Doubt if far <= max(TOO_FAR, near) else Failure
            found.append(
                kind(
                    f"the variational energy is {apart:.3g} above the projected one, too far for a projection to be trusted: "
                    "train longer, or with another --seed"
                )
            )
    elif measurement.curl is not None:
        found.append(Doubt("the energy of a vector drift has a time-step error that is not in its error bar"))
    if not (energy - lowest) * natural_time <= HIGH * coordinates and math.isfinite(lowest):
        found.append(
            Failure(
                f"the energy is {energy - lowest:.3g} above the lowest minimum of the potential: the training failed"
            )
        )
    rejected = sum(bool(record.get("undone")) for record in records[-LAST:])
    if rejected >= REJECTED:
        found.append(
            Doubt(
                f"{rejected} of the last {min(LAST, len(records))} training steps were rejected: the training did not settle; "
                "try a smaller train.rate"
            )
        )
    return sorted(found, key=lambda doubt: not isinstance(doubt, Failure))


def _find_break_up(measurement: Measurement, threshold: float) -> Doubt | None:
    """What is doubtful about a free system whose energy is not surely below that of its parts."""
    projection, estimate = measurement.projection, measurement.variational.estimate
    error = estimate.error
    if projection is not None:
        estimate = projection.estimate
        bias = projection.time_step_error
        error = math.hypot(estimate.error, bias if math.isfinite(bias) else 0.0)
    parts = f"{threshold:.6g}, that of parts that have left each other"
    if estimate.value - threshold > UNBOUND * error:
        return Failure(
            f"the energy is {estimate.value - threshold:.3g} above {parts}: the system is not bound, or the training did not "
            "find the bound state; train longer, or with another --seed"
        )
    if estimate.value - threshold > -BOUND * error:
        return Doubt(
            f"the energy is within its error of {parts}: whether the system is bound is not known; a smaller target error "
            "may tell"
        )
    return None


def is_useless(spread: float, natural_time: float, coordinates: int) -> bool:
    """Whether a network whose local energy has this `spread` is so far from a ground state that measuring it does not pay."""
    return not spread * natural_time <= USELESS * math.sqrt(coordinates)


def status_of(doubts: Sequence[Doubt]) -> str:
    """The status that doubts lead to."""
    if any(isinstance(doubt, Failure) for doubt in doubts):
        return FAILED
    return DOUBTFUL if doubts else CONVERGED
