"""The levels of a run as a table."""

from __future__ import annotations

from fkflow.results.result import Result
from fkflow.results.spectrum import UPPER, Spectrum

HEADINGS = ("level", "sector", "energy", "gap", "variance", "strongest")
#: smallest strength that is shown
WEAK = 1e-3


def spectrum_text(result: Result, spectrum: Spectrum) -> str:
    """The levels as aligned columns, with what they are below."""
    rows = [("0", "", str(spectrum.ground), "", "", "")]
    for number, level in enumerate(spectrum.levels, 1):
        name, strength = max(level.strengths.items(), key=lambda item: item[1])
        strongest = f"{name} {strength:.3g}" if strength > WEAK else ""
        energy = str(level.energy) + ("" if level.bound == UPPER else " projected")
        rows.append((str(number), level.sector, energy, str(level.gap), f"{level.variance:.1g}", strongest))
    widths = [max(len(row[k]) for row in (HEADINGS, *rows)) for k in range(len(HEADINGS))]
    lines = [result.title()]
    for row in (HEADINGS, *rows):
        lines.append("  " + "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
    upper = all(level.bound == UPPER for level in spectrum.levels)
    kind = "upper bounds within their errors" if upper else "upper bounds, lowered by imaginary time where it says so"
    lines.append(f"  energies in {result.energy_unit}: {kind}; gaps are differences of such bounds")
    lines.append(
        f"  {spectrum.walkers} configurations, {spectrum.functions} random functions of a kind, {spectrum.seconds:.0f} s"
    )
    lines.append(f"  looked for in the sectors {'; '.join(spectrum.searched)}: others may hold levels between these")
    lines += [f"  warning: {warning}" for warning in spectrum.warnings]
    return "\n".join(lines)
