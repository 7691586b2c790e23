"""The temperatures of a run as a table."""

from __future__ import annotations

from fkflow.results.result import Result
from fkflow.results.thermal import Thermal
from fkflow.text import aligned, with_unit

HEADINGS = ("T", "beta", "free energy", "energy", "entropy", "heat capacity", "effective", "paths")


def thermal_text(result: Result, thermal: Thermal) -> str:
    """One row a temperature, and what the numbers are."""
    rows = [
        (
            f"{state.temperature:.5g}",
            f"{state.beta:.5g}",
            *map(str, (state.free_energy, state.energy, state.entropy, state.heat_capacity)),
            f"{state.ess:.3f}",
            str(state.paths),
        )
        for state in thermal.states
    ]
    lines = [result.title()]
    if result.doubts:
        lines.append(f"  {'status':<20} {result.status}")
    lines += aligned([HEADINGS, *rows])
    unit = with_unit("", result.energy_unit).strip() or "those of the parameters"
    many = "" if result.particles == 1 else f"; {thermal.statistics} statistics"
    lines.append(f"  energies and temperatures in units {unit}, entropy and heat capacity in k_B{many}")
    steps = max(state.time_step_error for state in thermal.states)
    lines.append(
        f"  time step {thermal.states[0].time_step:.3g}, at most {steps:.1g} in a free energy, part of its error"
    )
    lines += [f"  time                 {', '.join(f'{took:.1f} s {stage}' for stage, took in result.seconds.items())}"]
    if result.path is not None:
        lines.append(f"  result               {result.path.as_posix()}")
    lines += [f"  doubt: {doubt}" for doubt in result.doubts]
    lines += [f"  warning: {warning}" for warning in thermal.warnings if warning not in result.doubts]
    return "\n".join(lines)
