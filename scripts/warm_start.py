"""How much of the training a warm start saves: a cold run and one from the weights of a neighbour, to the same spread.

    python scripts/warm_start.py --seeds 3

For every case a run is trained at the neighbour's parameters, then one cold and one warm at those asked for. The goal is the
spread of the local energy with which the cold run ends (median of its last 20 iterations); it is reached by the first
iteration from which the median of five is no larger. Prints a table in Markdown; seconds are CPU seconds of one thread.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import dataclass

import torch

from fkflow.execution.device import keep_freed_memory
from fkflow.hamiltonian.landscape import explore
from fkflow.recipe import config
from fkflow.runs import warm_start as warm
from fkflow.runs.model import build_model
from fkflow.training.loop import initial_state, train

#: recipe, overrides of the neighbour and of the run itself
CASES = {
    "h2, R = 1.4 → 1.6": ("h2", ["system.R=1.4"], ["system.R=1.6"]),
    "4 bosons, g = 15 → 12": ("bosons", ["system.g=15.0"], ["system.g=12.0"]),
}
LAST, WINDOW = 20, 5


@dataclass
class Trained:
    """A network with the spread and the CPU seconds after each iteration of its training."""

    net: warm.Network
    spreads: list[float]
    seconds: list[float]

    def smooth(self) -> list[float]:
        """The median of each iteration and the four before it."""
        return [statistics.median(self.spreads[max(0, i - WINDOW + 1) : i + 1]) for i in range(len(self.spreads))]

    def reached(self, goal: float) -> tuple[int, float] | None:
        """Iterations and seconds until the spread is `goal`; None if it never is."""
        late = list(enumerate(self.smooth()))[WINDOW - 1 :]
        found = next((i for i, spread in late if spread <= goal), None)
        return None if found is None else (found + 1, self.seconds[found])


def trained(recipe: config.Recipe, seed: int, start: warm.Network | None) -> Trained:
    """Train as `fkflow run` does, from scratch or from the weights of `start`."""
    landscape, net = explore(recipe.system), build_model(recipe, seed).net
    settings = recipe.train
    if start is not None:
        assert warm.difference(warm.layout(net), warm.layout(start)) is None
        warm.copy_weights(net, dict(start.named_parameters()))
        settings = settings.model_copy(update={"source": "the neighbour"})
    begun = time.process_time()
    run = Trained(net, [], [])
    state = initial_state(net, landscape, settings, seed, "cpu", recipe.system)
    for record in train(recipe.system, landscape, settings, state):
        run.spreads.append(record.spread)
        run.seconds.append(time.process_time() - begun)
    return run


def told(found: tuple[int, float] | None) -> tuple[str, str]:
    """Iterations and seconds as cells of the table."""
    return ("not reached", "") if found is None else (str(found[0]), f"{found[1]:.1f}")


def main() -> None:
    """Print one row a case and seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    seeds = parser.parse_args().seeds
    torch.set_num_threads(1)
    keep_freed_memory()
    print(
        "| case | seed | spread at the end, cold | cold: iterations | s | warm: iterations | s | spread at the end, warm |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for case, (name, before, here) in CASES.items():
        for seed in range(seeds):
            neighbour = trained(config.load(name, before).recipe, seed, None)
            recipe = config.load(name, here).recipe
            cold, warmed = trained(recipe, seed + 100, None), trained(recipe, seed + 200, neighbour.net)
            ends = [statistics.median(run.spreads[-LAST:]) for run in (cold, warmed)]
            cells = [f"{ends[0]:.3g}", *told(cold.reached(ends[0])), *told(warmed.reached(ends[0])), f"{ends[1]:.3g}"]
            print(f"| {case} | {seed} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
