"""Time to accuracy of the gradient estimators on the same network: the tables of docs/notes/training.md.

    python scripts/estimators.py --seconds 40 --threads 1

Each variant trains with the same network, walkers and seed for the same wall clock; the network as it stood at each mark is
then judged, off the clock, by the exact local energy on fresh samples of its ψ². The chain's network starts exact, so its
matrix is disturbed first.
"""

from __future__ import annotations

import argparse
import copy

import torch

from fkflow.hamiltonian.landscape import explore
from fkflow.networks.choice import GenericNet, LogPsi, build
from fkflow.recipe import config
from fkflow.sampling.local_energy import local_energy
from fkflow.sampling.metropolis import Walkers, metropolis
from fkflow.training.loop import initial_state, train

SYSTEMS = {"h2": "h2", "4 bosons": "bosons", "chain of 8 (disturbed)": "chain"}
VARIANTS = {
    "covariance, one-step paths in a frame, implicit step": [],
    "the same, explicit step (SPRING)": ["train.curvature=0.0"],
    "the same, antithetic pairs of paths": ["train.antithetic=true", "train.paths=-2"],
    "covariance, one path of 16 steps, dt 1e-3": ["train.paths=1", "train.steps=16", "train.dt=1e-3"],
    "covariance, Adam": ["train.optimiser=adam"],
    "pathwise (32 steps, dt 0.01), Adam": ["train.estimator=pathwise"],
    "exact local energy, implicit step (comparison only)": ["train.estimator=local_energy"],
}


def disturb(net: LogPsi, seed: int) -> None:
    """Add noise to the exact matrix of a GenericNet."""
    if isinstance(net, GenericNet):
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            net.root += 0.15 * torch.randn(net.root.shape, generator=generator, dtype=net.root.dtype)


def judged(net: LogPsi, system, x: torch.Tensor, seed: int) -> tuple[float, float, float]:
    """Energy, its error and the local-energy spread on fresh samples, four sweeps of 4096 walkers."""
    generator = torch.Generator().manual_seed(seed)
    pick = torch.randint(len(x), (4096,), generator=generator)
    walkers = Walkers(x[pick].clone(), 0.1)
    for _ in range(10):
        metropolis(net, walkers, generator, 3)
    energies = []
    for _ in range(4):
        metropolis(net, walkers, generator, 10, adapt=False)
        energies.append(local_energy(net, system, walkers.x))
    all_energies = torch.stack(energies)
    return float(all_energies.mean()), float(all_energies.mean(0).std() / 4096**0.5), float(all_energies.std())


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--systems", nargs="*", default=list(SYSTEMS), choices=list(SYSTEMS))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    marks = [options.seconds / 8, options.seconds / 4, options.seconds / 2, options.seconds]
    for title in options.systems:
        base = config.load(SYSTEMS[title]).recipe
        system, landscape = base.system, explore(base.system)
        reference = system.reference()
        assert reference is not None
        print(
            f"\n### {title}\n\n| training | " + " | ".join(f"{mark:g} s" for mark in marks) + " | iterations | spread |"
        )
        print("|---" * (len(marks) + 3) + "|", flush=True)
        for name, changes in VARIANTS.items():
            d = system.particles * system.dimensions
            changes = [c.replace("paths=-2", f"paths={2 * d}") for c in changes]
            settings = [
                *changes,
                "train.iterations=1000000",
                "train.stop_spread=0.0",
                f"train.seconds={options.seconds}",
            ]
            recipe = config.load(SYSTEMS[title], settings).recipe
            net = build(
                system, landscape, recipe.network.kind, recipe.network.hidden, recipe.network.layers, options.seed
            )
            assert isinstance(net, LogPsi)
            disturb(net, options.seed)
            state = initial_state(net, landscape, recipe.train, options.seed, "cpu", system)
            kept: list[tuple[LogPsi, torch.Tensor]] = []
            for _ in train(system, landscape, recipe.train, state):
                if len(kept) < len(marks) and state.seconds >= marks[len(kept)]:
                    kept.append((copy.deepcopy(net), state.walkers.x.clone()))
            cells = []
            spread = float("nan")
            for snapshot, x in kept:
                energy, error, spread = judged(snapshot, system, x, options.seed)
                cells.append(f"{1e3 * (energy - reference.energy):+.2f} ± {1e3 * error:.2f}")
            cells += ["-"] * (len(marks) - len(cells))
            print(f"| {name} | " + " | ".join(cells) + f" | {state.iteration} | {spread:.2g} |", flush=True)
    print("\nEnergies minus the reference in 10⁻³ units; the spread is that of the local energy at the end.")


if __name__ == "__main__":
    main()
