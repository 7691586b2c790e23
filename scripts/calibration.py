"""Are the error bars right? Fractions of the truth within one and two σ, over many seeds of measuring.

One half-trained network for each system, so that its variational energy stands visibly above the exact one; then for each seed
a measurement and a projection. A variational energy is judged against a long measurement of the same network, a projected
one against the exact energy. Right error bars hold 68 % of the truth within one σ and 95 % within two.

    python scripts/calibration.py [--seeds 20] [--threads 1] [--only quartic he]

prints the table of docs/notes/calibration.md.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

import numpy as np
import torch

from fkflow.hamiltonian.landscape import explore
from fkflow.hamiltonian.natural_scale import Landscape
from fkflow.measurement.variational import VariationalEstimator
from fkflow.networks.choice import LogPsi, PairDrift, build
from fkflow.projection.project import project
from fkflow.recipe import config
from fkflow.recipe.schema import Recipe
from fkflow.recipe.sections import MeasureConfig, ProjectConfig
from fkflow.statistics import z_score
from fkflow.training.loop import initial_state, train


@dataclass(frozen=True)
class Case:
    """A system, how long its network is trained, and the error that measuring and projecting aim at."""

    system: str
    parameters: str
    iterations: int
    target: float


CASES = {
    "quartic": Case("quartic", "", 14, 5e-4),
    "2 bosons": Case("bosons", "particles = 2", 20, 5e-4),
    "chain of 8": Case("chain", "particles = 8", 0, 1e-3),
    "he": Case("he", "", 12, 1e-3),
    "h2": Case("h2", "", 12, 5e-4),
}
#: walkers of the measurements and of each time step: few, since the statistics of the errors is what counts
WALKERS = 1024
#: the long measurement is this many times more precise than one of the short ones
LONGER = 5.0


def trained(case: Case) -> tuple[LogPsi | PairDrift, Recipe, Landscape, torch.Tensor]:
    """A half-trained network with its recipe, landscape and walkers. The chain starts exact, so it is disturbed instead."""
    text = f'[system]\nname = "{case.system}"\n{case.parameters}\n[train]\niterations = {case.iterations}\n'
    recipe = config.parse(text, "calibration.toml").recipe
    landscape = explore(recipe.system)
    net = build(recipe.system, landscape, "auto", recipe.network.hidden, recipe.network.layers, 0)
    if case.iterations == 0:
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for p in net.parameters():
                p += 0.012 * torch.randn(p.shape, generator=generator, dtype=p.dtype)
    state = initial_state(net, landscape, recipe.train, 0, "cpu", recipe.system)
    for _ in train(recipe.system, landscape, recipe.train, state):
        pass
    return net, recipe, landscape, state.walkers.x


def fractions(z: list[float]) -> str:
    """Shares within one and two σ, and the root mean square."""
    deviations = np.abs(z)
    one, two = (100 * float(np.mean(deviations < k)) for k in (1, 2))
    return f"{one:.0f} % | {two:.0f} % | {float(np.sqrt(np.mean(deviations**2))):.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", nargs="*", choices=list(CASES), default=list(CASES))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(
        "| system | variational − exact | projected − exact, mean over seeds | variational: 1σ | 2σ | rms z "
        "| projected: 1σ | 2σ | rms z | median error (time step) | s per seed |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    pooled: tuple[list[float], list[float]] = ([], [])
    for name in arguments.only:
        case = CASES[name]
        net, recipe, landscape, x = trained(case)
        exact = recipe.system.reference()
        assert exact is not None
        dt = recipe.train.dt * landscape.length**2

        def measuring(target: float, seed: int) -> VariationalEstimator:
            settings = MeasureConfig(walkers=WALKERS, target_error=target, seconds=3600.0)
            found = VariationalEstimator(net, recipe.system, landscape, settings, x, seed, dt=dt)  # noqa: B023
            found.run(target, 3600.0, lambda *_: None)
            return found

        long = measuring(case.target / LONGER, 10**6).estimate()
        z: tuple[list[float], list[float]] = ([], [])
        values, errors, steps = [], [], []
        began = time.perf_counter()
        for seed in range(arguments.seeds):
            one = measuring(case.target, seed)
            # judged before the projection measures on
            short = one.estimate()
            z[0].append(z_score(short.value, short.error, long.value, long.error))
            settings = ProjectConfig(walkers=WALKERS, target_error=case.target, seconds=600.0, time=4.0)
            projection, _ = project(one, settings, seed, lambda *_: None)
            assert projection is not None
            total = projection.total
            z[1].append(z_score(total.value, total.error, exact.energy, exact.error))
            values.append(total.value - exact.energy)
            errors.append(total.error)
            steps.append(projection.time_step_error)
        took = (time.perf_counter() - began) / arguments.seeds
        for all_z, some in zip(pooled, z, strict=True):
            all_z += some
        print(
            f"| {name} | {long.value - exact.energy:+.1e} | {np.mean(values):+.1e} ± "
            f"{np.std(values, ddof=1) / len(values) ** 0.5:.0e} | {fractions(z[0])} | {fractions(z[1])} | "
            f"{np.median(errors):.1e} ({np.median(steps):.0e}) | {took:.1f} |",
            flush=True,
        )
    print(f"| all | | | {fractions(pooled[0])} | {fractions(pooled[1])} | | |")


if __name__ == "__main__":
    main()
