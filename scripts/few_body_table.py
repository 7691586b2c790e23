"""Energies of few charged particles over seeds, as docs/notes/few_body.md has them, and the pair distributions of Ps2.

    python scripts/few_body_table.py                     all cases, one seed: some 12 minutes of one core
    python scripts/few_body_table.py ps_minus hd_plus --seeds 3
    python scripts/few_body_table.py --figure RUN        docs/figures/ps2_pairs.png from a finished run of ps2: seconds

A case is a shipped recipe or one of those below, with the energy that is published or follows from the radial equation. Each
run is the installed command in a process of its own with default settings; seconds are CPU seconds of the whole command.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from pathlib import Path

from seeds import run_case

ROOT = Path(__file__).resolve().parents[1]
MUON, PROTON, DEUTERON, TRITON, ALPHA = 206.768283, 1836.15267343, 3670.48296788, 5496.92153573, 7294.29954142


def recipe(
    error: float, *species: tuple[str, int, float, float], dimensions: int = 3, more: str = "", at: str = ""
) -> str:
    """The text of a recipe of species (name, count, mass, charge); the mass 0 pins one at the origin, or at the places `at`."""
    places = at or f"[{', '.join(['0.0'] * dimensions)}]"
    tables = [
        f'    {{name = "{name}", charge = {charge}, '
        + (f"count = {count}, mass = {mass}}},\n" if mass else f"at = [{places}]}},\n")
        for name, count, mass, charge in species
    ]
    wanted = f"target_error = {error:g}\n"
    return (
        f'[system]\nname = "coulomb"\ndimensions = {dimensions}\n{more}species = [\n{"".join(tables)}]\n'
        f"[measure]\n{wanted}[project]\n{wanted}"
    )


ELECTRONS, ELECTRON = ("electron", 2, 1.0, -1.0), ("electron", 1, 1.0, -1.0)
SHIPPED = (
    "exciton", "exciton2d", "keldysh_exciton", "ps_minus", "ps2", "hps", "h2plus_moving", "he_moving", "trion", "biexciton",
)  # fmt: skip
#: other masses and charges: recipe, and the published energy
OTHERS: dict[str, tuple[str, float | None]] = {
    "hd_plus": (
        recipe(2e-6, ("electron", 1, 1.0, -1.0), ("proton", 1, PROTON, 1.0), ("deuteron", 1, DEUTERON, 1.0)),
        -0.5978979686,
    ),
    "dd_mu": (recipe(2e-3, ("muon", 1, MUON, -1.0), ("deuteron", 2, DEUTERON, 1.0)), -109.8169265),
    "h_minus_moving": (recipe(2e-5, ELECTRONS, ("proton", 1, PROTON, 1.0)), -0.527445881),
    "h2_moving": (recipe(5e-5, ELECTRONS, ("proton", 2, PROTON, 1.0)), -1.1640250309),
    "hps_moving": (recipe(5e-5, ELECTRONS, ("positron", 1, 1.0, 1.0), ("proton", 1, PROTON, 1.0)), -0.788870618),
    "li_plus": (recipe(1e-4, ELECTRONS, ("lithium", 1, 0.0, 3.0)), -7.279913413),
    "be_2plus": (recipe(1e-3, ELECTRONS, ("beryllium", 1, 0.0, 4.0)), -13.6555662384),
    "mu_minus": (recipe(1e-5, ELECTRONS, ("muon", 1, MUON, 1.0)), -0.525054806),
    "d2_plus": (recipe(4e-6, ("electron", 1, 1.0, -1.0), ("deuteron", 2, DEUTERON, 1.0)), -0.5987887843),
    "pp_mu": (recipe(2e-3, ("muon", 1, MUON, -1.0), ("proton", 2, PROTON, 1.0)), -102.2235037),
    "dt_mu": (
        recipe(2e-3, ("muon", 1, MUON, -1.0), ("deuteron", 1, DEUTERON, 1.0), ("triton", 1, TRITON, 1.0)),
        -111.3643469,
    ),
    "h3_plus": (
        recipe(1e-4, ELECTRONS, ("proton", 3, 0.0, 1.0), at="[0.0, 0.0, 0.0], [1.65, 0.0, 0.0], [0.825, 1.42894, 0.0]"),
        -1.34383562,
    ),
    "yukawa_pair": (
        recipe(1e-5, ("electron", 1, 0.3, -1.0), ("hole", 1, 0.7, 1.0), more='interaction = "yukawa"\nlength = 12.0\n'),
        None,
    ),
    "keldysh_pair": (
        recipe(
            1e-5,
            ("electron", 1, 0.3, -1.0),
            ("hole", 1, 0.5, 1.0),
            dimensions=2,
            more='interaction = "keldysh"\nr0 = 15.0\n',
        ),
        None,
    ),
    "mu_e_he": (
        recipe(2e-2, ("muon", 1, MUON, -1.0), ("electron", 1, 1.0, -1.0), ("alpha", 1, ALPHA, 2.0)),
        -402.6373015,
    ),
    "d_minus_2d": (recipe(1e-4, ELECTRONS, ("donor", 1, 0.0, 1.0), dimensions=2), None),
    "yukawa_trion": (
        recipe(2e-5, ELECTRONS, ("hole", 1, 100.0, 1.0), more='interaction = "yukawa"\nlength = 20.0\n'),
        None,
    ),
    "keldysh_trion": (
        recipe(
            2e-5,
            ("electron", 2, 0.5, -1.0),
            ("hole", 1, 0.5, 1.0),
            dimensions=2,
            more='interaction = "keldysh"\nr0 = 40.0\n',
        ),
        None,
    ),
    "trapped_exciton_2d": (
        recipe(1e-4, ("electron", 1, 1.0, -1.0), ("hole", 1, 2.0, 1.0), dimensions=2, more="omega = 1.0\n"),
        -0.1106540988,
    ),
    "hooke": (recipe(1e-5, ELECTRONS, more="omega = 0.25\n"), 1.089262056),
    # three charges against 600 exponentials of the distances, converged to 1e-8; pairs against the radial equation
    "d_minus_moving": (recipe(1e-5, ELECTRONS, ("deuteron", 1, DEUTERON, 1.0)), -0.527598325),
    "light_positron": (recipe(1e-5, ELECTRONS, ("positron", 1, 0.5, 1.0)), -0.17634367),
    "three_charges": (
        recipe(1e-5, ("a", 1, 1.0, -1.0), ("b", 1, 2.0, -0.5), ("c", 1, 10.0, 1.5)),
        -1.13546395,
    ),
    "yukawa_helium": (
        recipe(5e-5, ELECTRONS, ("alpha", 1, 0.0, 2.0), more='interaction = "yukawa"\nlength = 2.0\n'),
        -1.65540131,
    ),
    "yukawa_loose": (
        recipe(1e-6, ELECTRON, ("positron", 1, 1.0, 1.0), more='interaction = "yukawa"\nlength = 2.5\n'),
        None,
    ),
    "yukawa_threshold": (
        recipe(1e-6, ELECTRON, ("positron", 1, 1.0, 1.0), more='interaction = "yukawa"\nlength = 1.75\n'),
        None,
    ),
    "keldysh_weak": (
        recipe(
            1e-5,
            ("electron", 1, 2.0, -1.0),
            ("hole", 1, 0.5, 1.0),
            dimensions=2,
            more='interaction = "keldysh"\nr0 = 1.0\n',
        ),
        None,
    ),
    "not_bound": (recipe(1e-4, ("a", 1, 1.0, -1.0), ("b", 1, 3.0, -1.0), ("c", 1, 5.0, 1.0)), None),
}


def row(case: str, seed: int, result: dict, published: float | None) -> str:
    """One line of the table (Markdown)."""
    if "failed" in result:
        return f"| {case} | {seed} | {result['failed']} | | | | | {result['cpu']:.0f} |"
    best, reference = result["projected"] or result["variational"], result["reference"]
    error = math.hypot(best["error"], best.get("time_step_error") or 0.0)
    known = published if published is not None else reference and reference["energy"]
    apart = "" if known is None else f"{(best['energy'] - known) / max(error, 1e-12):+.1f}"
    return (
        f"| {case} | {seed} | {best['energy']:.9g} | {error:.1e} | {'' if known is None else f'{known:.10g}'} | {apart} | "
        f"{result['variational']['local_energy_std']:.2g} | {result['status']} | {result['cpu']:.0f} |"
    )


def draw(run: str, path: Path) -> None:
    """Draw the projected pair distributions of all kinds of pairs, r² g(r), of a finished run."""
    import matplotlib.pyplot as plt

    import fkflow

    solution = fkflow.load(run)
    figure, ax = plt.subplots(figsize=(5.2, 3.4), layout="constrained")
    for found in solution.result.measurement.histograms:
        if found.group != "pair":
            continue
        (axis,) = found.axes
        r = 0.5 * (axis.edges[1:] + axis.edges[:-1])
        density = found.values if found.projected is None else found.projected
        label = " and ".join(found.name.split("_")[1:])
        ax.plot(
            r, 4 * math.pi * r**2 * density, label=label, linestyle="--" if "positron_positron" in found.name else "-"
        )
    ax.set_xlabel(f"distance ({solution.result.length_unit})")
    ax.set_ylabel("4π r² g(r)")
    ax.set_xlim(0, 16)
    ax.set_ylim(bottom=0)
    ax.legend(frameon=False)
    figure.savefig(path, dpi=150)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"{', '.join([*SHIPPED, *OTHERS])} (default: all)")
    parser.add_argument("--seeds", type=int, default=1, help="number of seeds of each case")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default: 0)")
    parser.add_argument(
        "--figure", metavar="RUN", help="draw the pair distributions of a finished run, and nothing else"
    )
    options = parser.parse_args()
    if options.figure:
        draw(options.figure, ROOT / "docs" / "figures" / "ps2_pairs.png")
        return
    print("| case | seed | energy | error | published | σ | local-energy spread | status | CPU (s) |")
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for case in options.cases or [*SHIPPED, *OTHERS]:
            text, published = OTHERS.get(case, (None, None))
            path = case
            if text is not None:
                path = f"{folder}/{case}.toml"
                Path(path).write_text(text, encoding="utf-8")
            for seed in range(options.first, options.first + options.seeds):
                print(row(case, seed, run_case(path, seed, 1), published), flush=True)


if __name__ == "__main__":
    main()
