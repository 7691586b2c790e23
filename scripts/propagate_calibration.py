"""Are the errors of ψ(x, t) right? Packets in a double well, propagated with several seeds, against a grid.

    python scripts/propagate_calibration.py [--seeds 8]

takes some five seconds a seed and prints a table of docs/notes/thermal.md: root mean square of the distances in stated errors,
and how many lie within one and two of them.
"""

from __future__ import annotations

import argparse
import math
import time

import numpy as np
from line_grid import line_states

import fkflow

#: names of packets, their formula, times, and places
CASES: dict[str, tuple[str, tuple[float, ...], tuple[float, ...]]] = {
    "wide": ("exp(-2*(x-1.5)**2)", (0.5, 1.5, 5.0), (-2.5, -1.5, -0.5, 0.0, 0.7, 1.5, 2.2, 2.8)),
    "far": ("exp(-2*(x-1.5)**2)", (0.3, 0.5, 0.8), (-3.0, -2.5, -2.0, -1.5, -1.0, -0.5)),
    "narrow": ("exp(-20*(x-1.5)**2)", (0.1, 0.2), (-2.5, -1.5, -0.5, 0.5, 2.5, 3.0)),
}
#: half width of the grid, and ψ below which it knows too few digits
HALF, LEAST = 6.0, 1e-9


def evolved(formula: str, times: tuple[float, ...], places: tuple[float, ...]) -> np.ndarray:
    """ψ (times, places), by sinc functions on a grid."""
    x, levels, states = line_states(lambda x: 2 * ((x / 2) ** 2 - 1) ** 2, HALF)
    parts = states.T @ eval(formula, {"exp": np.exp, "x": x})  # noqa: S307 (a formula of CASES)
    between = np.sinc((np.array(places)[:, None] - x) / (x[1] - x[0]))
    return np.array([between @ (states @ (np.exp(-t * levels) * parts)) for t in times])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--only", nargs="*", choices=CASES, default=list(CASES))
    given = parser.parse_args()
    print(
        "| packet | times | values | rms | within 1σ, 2σ | largest | least effective share | left out | CPU s a seed |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for name in given.only:
        formula, times, places = CASES[name]
        exact, began, rows, shares = evolved(formula, times, places), time.process_time(), [], []
        for seed in range(given.seeds):
            found = fkflow.propagate(
                fkflow.make_system("double_well"), formula, times=times, points=[[x] for x in places], seed=seed,
                threads=1, progress=False,
            )  # fmt: skip
            assert found.psi is not None
            rows.append((found.psi.values - exact) / found.psi.errors)
            shares.append(found.psi.ess[exact > LEAST])
        every = np.array(rows)[:, exact > LEAST]
        z = np.abs(every[np.isfinite(every)])
        seconds = (time.process_time() - began) / given.seeds
        print(
            f"| {name} | {', '.join(f'{t:g}' for t in times)} | {len(z)} | {math.sqrt((z**2).mean()):.2f} | "
            f"{(z < 1).mean():.0%}, {(z < 2).mean():.0%} | {z.max():.1f} | {np.array(shares).min():.2f} | "
            f"{every.size - len(z)} | {seconds:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
