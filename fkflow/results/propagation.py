"""A propagation as plain data: (e^(−tH) ψ)(x), kernels, survival amplitudes and drifts, with their errors."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fkflow.statistics import Estimate
from fkflow.text import strict_json, title, with_unit

#: most numbers of a kind in the JSON object, and most places that a table lists
MOST_JSON, LISTED = 2000, 12
#: size below which a value is written with a power of ten
TINY = 1e-3


@dataclass(frozen=True)
class Column:
    """Values (T, n) at T times with errors, in which the `step_errors` of the time step are, and effective shares of paths.

    NaN where too few paths had all the weight.
    """

    values: np.ndarray
    errors: np.ndarray
    ess: np.ndarray
    step_errors: np.ndarray


@dataclass(frozen=True)
class DriftFilm:
    """v(x, t) = ∇ log(e^(−(t_end − t)H) ψ)/m (J, P, N, D) at J `times` before `end`, with errors and shares (J, P)."""

    times: np.ndarray
    end: float
    vectors: np.ndarray
    errors: np.ndarray
    ess: np.ndarray


@dataclass(frozen=True)
class Propagation:
    """What e^(−tH) makes of a function ψ, as stored in propagation.h5.

    `times` (T,) are imaginary times. `places` (P, N, D) are where `psi` is known, on the grid of the `axes` if there are any;
    `ends` (K, 2, N, D) are the ends of the `kernel`s; `survival` is ⟨ψ|e^(−tH)|ψ⟩ and `share` its part of ⟨ψ|ψ⟩, both (T, 1).
    `wave` says what ψ is. All numbers are in the units of the system.
    """

    path: Path | None
    name: str
    system: str
    parameters: dict[str, Any]
    particles: int
    dimensions: int
    energy_unit: str
    length_unit: str
    resolved: dict[str, Any]
    provenance: dict[str, Any]
    wave: str
    times: np.ndarray
    places: np.ndarray
    axes: tuple[np.ndarray, ...]
    potential: np.ndarray
    psi: Column | None
    ends: np.ndarray
    kernel: Column | None
    survival: Column | None
    share: Column | None
    drift: DriftFilm | None
    paths: int
    seconds: float
    doubts: list[str] = field(default_factory=list)

    @property
    def run(self) -> str | None:
        """The folder, or None if nothing was written."""
        return None if self.path is None else self.path.parent.as_posix()

    @property
    def status(self) -> str:
        """ "converged" or "doubtful"."""
        return "doubtful" if self.doubts else "converged"

    def title(self) -> str:
        """System and parameters in one line."""
        return title(self.system, self.parameters)

    def estimate(self, column: Column, time: int, number: int) -> Estimate:
        """One value with its error."""
        return Estimate(float(column.values[time, number]), float(column.errors[time, number]))

    def _text(self, column: Column, time: int, number: int) -> str:
        """One value with its error; kernels are often tiny."""
        found = self.estimate(column, time, number)
        if not math.isfinite(found.value):
            return "none"
        return f"{found.value:.4e} +- {found.error:.0e}" if abs(found.value) < TINY else str(found)

    def summary(self) -> dict[str, Any]:
        """The JSON object; numbers that are not finite become None. Large grids are in the file alone."""
        found: dict[str, Any] = {
            "system": self.system,
            "parameters": self.parameters,
            "run": self.run,
            "seed": self.provenance.get("seed"),
            "version": self.provenance.get("version"),
            "status": self.status,
            "doubts": self.doubts,
            "energy_unit": self.energy_unit,
            "length_unit": self.length_unit,
            "psi": self.wave or None,
            "paths": self.paths,
            "propagated": [],
            "kernels": [],
            "survival": [],
            "seconds": self.seconds,
        }
        for k, time in enumerate(self.times.tolist()):
            if self.psi is not None:
                entry = {"time": time, "places": len(self.places), "ess": float(np.median(self.psi.ess[k]))}
                if self.psi.values.size * self.places[0].size <= MOST_JSON:
                    columns = {"value": self.psi.values, "error": self.psi.errors}
                    entry |= {name: column[k].tolist() for name, column in columns.items()}
                    entry["x"] = self.places.reshape(len(self.places), -1).tolist()
                found["propagated"].append(entry)
            if self.kernel is not None:
                for n, (start, end) in enumerate(self.ends.reshape(len(self.ends), 2, -1).tolist()):
                    found["kernels"].append({"time": time, "from": start, "to": end, **_entry(self.kernel, k, n)})
            if self.survival is not None and self.share is not None:
                share = {"share": float(self.share.values[k, 0]), "share_error": float(self.share.errors[k, 0])}
                found["survival"].append({"time": time, **_entry(self.survival, k, 0), **share})
        plain: dict[str, Any] = strict_json(found)
        return plain

    def table(self) -> str:
        """What was found, in aligned lines."""
        lines = [self.title(), f"  psi        {self.wave}"] if self.wave else [self.title()]
        if self.doubts:
            lines.append(f"  status     {self.status}")
        for k, time in enumerate(self.times.tolist()):
            at = f"  t = {time:<6g}"
            if self.psi is not None:
                if len(self.places) <= LISTED:
                    for n, place in enumerate(self.places.reshape(len(self.places), -1)):
                        lines.append(f"{at} psi({_words(place)}) = {self._text(self.psi, k, n)}")
                else:
                    share, error = (
                        np.median(self.psi.ess[k]),
                        np.nanmedian(self.psi.errors[k] / abs(self.psi.values[k])),
                    )
                    lines.append(
                        f"{at} psi at {len(self.places)} places, error {error:.1%}, effective paths {share:.2f}"
                    )
            if self.kernel is not None:
                for n, (start, end) in enumerate(self.ends.reshape(len(self.ends), 2, -1)):
                    lines.append(f"{at} <{_words(end)}|e^-tH|{_words(start)}> = {self._text(self.kernel, k, n)}")
            if self.survival is not None and self.share is not None:
                one, part = self._text(self.survival, k, 0), self._text(self.share, k, 0)
                lines.append(f"{at} <psi|e^-tH|psi> = {one}, {part} of <psi|psi>")
        if self.drift is not None:
            lines.append(f"  drift at {len(self.drift.times)} times before t = {self.drift.end:g}")
        unit = with_unit("", self.energy_unit).strip()
        lines.append(f"  times in units of 1/{unit}" if unit else "  times in units of an inverse energy")
        lines.append(f"  time       {self.seconds:.1f} s")
        if self.path is not None:
            lines += [f"  result     {self.path.as_posix()}", f"  plots      fkflow plot {self.run}"]
        lines += [f"  doubt: {doubt}" for doubt in self.doubts]
        return "\n".join(lines)


def _entry(column: Column, time: int, number: int) -> dict[str, float]:
    named = {"value": column.values, "error": column.errors, "ess": column.ess, "time_step_error": column.step_errors}
    return {name: float(array[time, number]) for name, array in named.items()}


def _words(place: np.ndarray) -> str:
    return ", ".join(f"{c:g}" for c in place)
