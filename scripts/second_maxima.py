"""How training settings differ over many seeds: spread reached, steps taken back, second maxima of the network.

    python scripts/second_maxima.py bosons --seconds 8 --seeds 12 "" "train.scouts=0" "train.scouts=0 train.damping=3e-3"

Every quoted text is a set of overrides, trained for so many CPU seconds of one thread from each seed. The network is then
frozen and looked at in two ways: its energy over 40 000 configurations, and walkers that start with all their
particles drawn together to a tenth to four tenths of their distances. A sane network throws them out; where it has a maximum
of its own they stay. Prints a table in Markdown, one row for each set of overrides, and a line for each seed to stderr.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from dataclasses import dataclass

import torch

from fkflow.api.arguments import Quiet
from fkflow.errors import NumericalError
from fkflow.measurement.variational import VariationalEstimator
from fkflow.networks.choice import LogPsi
from fkflow.recipe import config
from fkflow.runs import renewal
from fkflow.runs.context import RunContext
from fkflow.runs.session import Session
from fkflow.sampling.metropolis import Walkers, metropolis

#: walkers and sweeps of the measurement, walkers drawn together, and their moves
WALKERS, SWEEPS, DRAWN, MOVES = 2048, 20, 512, 60
#: walkers within this share of the mean size of a configuration have stayed
STAYED = 0.4


@dataclass
class Seen:
    """One trained network."""

    iterations: int
    undone: int
    spread: float
    away: float
    stayed: int


def trained(recipe: str, overrides: list[str], seed: int, seconds: float) -> Session:
    """Train for so many CPU seconds."""
    loaded = config.load(recipe, [*overrides, "train.iterations=1000000", "train.stop_spread=0"])
    session = Session(RunContext(loaded, Quiet(), seed=seed, device="cpu", threads=1))
    end = time.process_time() + seconds
    while time.process_time() < end:
        renewal.step(session)
    return session


def looked_at(session: Session, seed: int) -> Seen:
    """Measure the network of a session, and look for walkers that stay where particles crowd."""
    net, system, landscape = session.model.net, session.model.system, session.model.landscape
    assert isinstance(net, LogPsi)
    wanted = session.recipe.measure.model_copy(update={"walkers": WALKERS})
    measuring = VariationalEstimator(net, system, landscape, wanted, session.state.walkers.x, seed, dt=1.0)
    for _ in range(SWEEPS):
        measuring.sweep()
    found, reference = measuring.estimate(), session.recipe.system.reference()
    generator = torch.Generator().manual_seed(seed)
    x = measuring.samples()[:DRAWN]
    centre = x.mean(1, keepdim=True)
    left = 0.1 + 0.3 * torch.rand(len(x), 1, 1, generator=generator, dtype=x.dtype)
    walkers = Walkers(centre + left * (x - centre), measuring.walkers.step)
    metropolis(net, walkers, generator, MOVES, adapt=False)
    sizes = [(y - y.mean(1, keepdim=True)).norm(dim=(1, 2)) for y in (x, walkers.x)]
    return Seen(
        len(session.records),
        sum(record["undone"] for record in session.records),
        measuring.spread(),
        (found.value - reference.energy) / found.error if reference else 0.0,
        int((sizes[1] < STAYED * sizes[0].mean()).sum()),
    )


def main() -> None:
    """Print one row for each set of overrides."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("overrides", nargs="+", help="sets of KEY=VALUE, each in one argument")
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--seeds", type=int, default=12)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print("| settings | iterations | spread: median | worst | steps taken back | seeds with a second maximum |")
    print("|---|---|---|---|---|---|")
    for text in arguments.overrides:
        seen = []
        for seed in range(arguments.seeds):
            try:
                seen.append(looked_at(trained(arguments.recipe, text.split(), seed, arguments.seconds), seed))
            except NumericalError as error:
                print(f"{text or 'as shipped'}: seed {seed}: {error}", file=sys.stderr)
                continue
            print(f"{text or 'as shipped'}: seed {seed}: {seen[-1]}", file=sys.stderr, flush=True)
        spreads = [one.spread for one in seen]
        print(
            f"| {text or 'as shipped'} | {statistics.median(one.iterations for one in seen):.0f} "
            f"| {statistics.median(spreads):.3f} | {max(spreads):.3g} | {sum(one.undone for one in seen)} "
            f"| {sum(one.stayed > 0 for one in seen)} of {len(seen)} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
