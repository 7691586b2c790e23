"""The levels of a run as a table."""

from __future__ import annotations

from fkflow.results.result import Result
from fkflow.results.spectrum import UPPER, Spectrum
from fkflow.text import aligned

HEADINGS = ("level", "sector", "energy", "gap", "variance", "strongest")
#: further columns of fermions
OF_FERMIONS = ("projected", "sign")
#: smallest strength that is shown
WEAK = 1e-3


def spectrum_text(result: Result, spectrum: Spectrum) -> str:
    """The levels as aligned columns, with what they are below."""
    fermi = spectrum.statistics == "fermi"
    headings: tuple[str, ...] = (*HEADINGS, *OF_FERMIONS) if fermi else HEADINGS
    rows: list[tuple[str, ...]] = [("0", "", str(spectrum.ground), *[""] * (len(headings) - 3))]
    for number, level in enumerate(spectrum.levels, 1):
        name, strength = max(level.strengths.items(), key=lambda item: item[1])
        strongest = f"{name} {strength:.3g}" if strength > WEAK else ""
        energy = str(level.energy) + ("" if level.bound == UPPER else " projected")
        sector = f"{level.sector} ×{level.degeneracy}" if level.degeneracy > 1 else level.sector
        row: tuple[str, ...] = (str(number), sector, energy, str(level.gap), f"{level.variance:.1g}", strongest)
        rows.append((*row, str(level.projected or "lost in noise"), str(level.sign)) if fermi else row)
    lines = [result.title(), *aligned([headings, *rows])]
    upper = all(level.bound == UPPER for level in spectrum.levels)
    kind = "upper bounds within their errors" if upper else "upper bounds, lowered by imaginary time where it says so"
    lines.append(f"  energies in {result.energy_unit}: {kind}; gaps are differences of such bounds")
    lines.append(
        f"  {spectrum.walkers} configurations, {spectrum.functions} random functions of a kind, {spectrum.seconds:.0f} s"
    )
    if fermi:
        lines.append(
            f"  projected energies and average signs are those of paths of the imaginary time {spectrum.time:.3g}"
        )
    lines.append(f"  looked for in the sectors {'; '.join(spectrum.searched)}: others may hold levels between these")
    lines += [f"  warning: {warning}" for warning in spectrum.warnings]
    return "\n".join(lines)
