"""What a process of test_ranks.py does, alone or as one of several: its findings go to a file as arrays.

python rank_child.py OUT TASK; for the task "children", several OUT with commas: the process copies itself for the others.
The copies train and measure as well: ranks over sockets have their bits, which the tests of the command see.
"""

from __future__ import annotations

import os
import sys

import numpy as np
import torch
from torch import Tensor

from fkflow.errors import NumericalError
from fkflow.execution import launch, ranks
from fkflow.execution import processes as local
from fkflow.hamiltonian.landscape import explore
from fkflow.hamiltonian.registry import find_system
from fkflow.hamiltonian.system import System
from fkflow.measurement.variational import VariationalEstimator
from fkflow.networks.choice import build
from fkflow.networks.log_psi import LogPsi
from fkflow.projection.project import Projector, project
from fkflow.projection.resampling import Families
from fkflow.recipe.config import MeasureConfig, ProjectConfig, TrainConfig
from fkflow.results.records import Measurement
from fkflow.sampling.local_energy import local_energy
from fkflow.training import loop as train
from fkflow.training import state as train_state
from fkflow.training import update
from fkflow.training.observation import Observation, Problem
from fkflow.training.schedule import StepSize

QUARTIC = find_system("quartic")(a=1.0, b=1.0)
#: whose training sends scouts
CROWD = find_system("bosons")(particles=2)
LANDS = {system: explore(system) for system in (QUARTIC, CROWD)}
LAND = LANDS[QUARTIC]
WALKERS = 64
#: share of the walkers with a slope that is a whole number on each rank
SOME = 0.25
WAYS = {
    "spring": {},
    "wide spring": {"hidden": 16},
    "some slopes": {"curvature": SOME},
    "explicit spring": {"curvature": 0.0},
    "adam": {"optimiser": "adam"},
    "pathwise": {"estimator": "pathwise", "optimiser": "adam", "dt": 0.01, "steps": 4},
}
#: whose trainings differ in more than one update
TRAININGS = {name: WAYS[name] for name in ("spring", "some slopes", "adam", "pathwise")} | {
    # walkers that join in the middle
    "growing": {"walkers": 512, "grow": 5},
    "scouts": {"system": CROWD},
}
#: which rank fails, and how
FAILURES = ((1, "fails"), (0, "fails"), (1, "has a bug"), (0, "dies"))


class Gaussian(LogPsi):
    """log ψ = −½ α x²."""

    def __init__(self, alpha: float) -> None:
        super().__init__()
        self.alpha = torch.nn.Parameter(torch.tensor(alpha, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return -0.5 * (self.alpha * x.square()).sum((1, 2))


def collectives() -> dict[str, object]:
    """Every function of `ranks` on numbers that tell the ranks apart."""
    number = ranks.rank()
    own = torch.arange(6.0).view(3, 2) + 10 * number
    values = own[0].clone()
    ranks.broadcast_tensors([values])
    either = ranks.reduce_any(number == 1, False, True)
    rows = ranks.gather_columns([np.full((2, 3), number + 0.5), np.arange(6.0).reshape(2, 3) + 100 * number])
    return {
        "world": ranks.count(),
        "gather": ranks.gather(own),
        "bytes": ranks.gather(torch.tensor([number, 7], dtype=torch.uint8)),
        "part is own": torch.equal(ranks.own_part(ranks.gather(own)), own),
        "total": ranks.reduce_sum(own),
        "own": own,  # unchanged by it
        "alike": values,
        "share": ranks.broadcast({"text": f"from {number}", "tensor": own})["tensor"],
        "either": np.array(either),
        "mean": np.array(ranks.reduce_mean(float(number), 4.0)),
        "lowest": ranks.reduce_min(5.0 - number),
        "seed": ranks.own_seed(3),
        "side by side": np.stack(rows),
        "total array": ranks.reduce_sum_array(np.array([1.0, number])),
    }


def walkers(some_first: bool) -> Tensor:
    """This rank's part of one set of walkers; alone, those that have slopes on two ranks come first."""
    x = LAND.start(WALKERS, torch.Generator().manual_seed(5))
    if ranks.count() == 1 and some_first:
        half, count = WALKERS // 2, round(SOME * WALKERS / 2)
        x = torch.cat([x[:count], x[half : half + count], x[count:half], x[half + count :]])
    return ranks.own_part(x)


def prepared(
    seed: int = 2, hidden: int = 4, system: System = QUARTIC, **changes: object
) -> tuple[TrainConfig, train_state.TrainState]:
    config = TrainConfig(
        **{"walkers": WALKERS, "iterations": 6, "equilibrate": 5, "moves": 2, "rate": 0.01, "stop_spread": 0.0}
        | changes
    )
    land = LANDS[system]
    return config, train.initial_state(build(system, land, "auto", hidden, 1, seed), land, config, seed, "cpu", system)


def one_step(**way: object) -> Tensor:
    """The parameters after one update from given walkers, without any noise; for Adam, whose first step is one of signs, the
    gradient too."""
    config, state = prepared(**way)
    net, unit = state.net, LAND.length**2
    state.walkers.x = walkers(config.curvature == SOME)
    state.walkers.refresh(net)
    if config.estimator == "pathwise":
        net(state.walkers.x).mean().backward()
    energies = ranks.gather(local_energy(net, QUARTIC, state.walkers.x))
    seen = Observation(energies, state.walkers.weights(ranks.gather(state.walkers.log_ratio())))
    update.update_network(Problem(QUARTIC, config, unit), state, seen, StepSize(0.1, 1e-3))
    gradients = [p.grad.flatten() for p in net.parameters()] if state.adam else []
    return torch.cat([*(p.detach().flatten() for p in net.parameters()), *gradients])


def along_ones(psi: LogPsi, x: Tensor, count: int, generator: torch.Generator, step: float) -> Tensor:
    """`jacobian_and_derivatives` without chance: all walkers go the same way."""
    here = update.jacobian(psi, x)
    return torch.cat([here, (update.jacobian(psi, x[:count] + 0.01) - here[:count]) / 0.01])


def steps() -> dict[str, object]:
    """One update each way, and once more where every rank takes its own rows for those of the others."""
    update.jacobian_and_derivatives = along_ones
    found: dict[str, object] = {name: one_step(**way) for name, way in WAYS.items()}
    gather, total = ranks.gather, ranks.reduce_sum
    ranks.gather = lambda tensor: torch.cat([tensor] * ranks.count())
    found |= {f"{name}, not gathered": one_step(**WAYS[name]) for name in ("wide spring", "adam")}
    ranks.gather, ranks.reduce_sum = gather, lambda tensor: tensor
    found |= {f"{name}, not added": one_step(**WAYS[name]) for name in ("spring", "adam", "pathwise")}
    ranks.reduce_sum = total
    return found


def training() -> dict[str, object]:
    """Whole trainings, and what a state taken after half of one goes on to."""
    found: dict[str, object] = {}
    for name, way in TRAININGS.items():
        system, (config, state) = way.get("system", QUARTIC), prepared(**way)
        saved = None
        records = []
        for record in train.train(system, LANDS[system], config, state):
            records.append([record.energy, record.error, record.spread, record.acceptance])
            if record.iteration == 3:
                saved = state.state_dict()
        _, resumed = prepared(seed=9, **way)
        resumed.load_state_dict(saved)
        again = [
            [r.energy, r.error, r.spread, r.acceptance] for r in train.train(system, LANDS[system], config, resumed)
        ]
        assert (saved["scouts"] is None) is (name != "scouts")
        assert len(saved["x"]) == len(saved["snapshot"]["x"]) == min(config.walkers, 256)
        found |= {
            f"{name} records": np.array(records),
            f"{name} again": np.array(again),
            f"{name} parameters": torch.cat([p.detach().flatten() for p in state.net.parameters()]),
            f"{name} parameters again": torch.cat([p.detach().flatten() for p in resumed.net.parameters()]),
            f"{name} walkers": state.walkers.x,
            f"{name} walkers again": resumed.walkers.x,
        }
    return found


def measured(alpha: float) -> tuple[VariationalEstimator, Measurement]:
    """A Gaussian in the quartic well."""
    psi, config = Gaussian(alpha), MeasureConfig(walkers=512, target_error=1e-2, seconds=60.0, bins=40)
    found = VariationalEstimator(psi, QUARTIC, LAND, config, walkers(False), 1, dt=1e-8)
    found.run(1e-2, 60.0, lambda *_: None)
    return found, found.result()


def measuring() -> dict[str, object]:
    """Its energy and density, and its projection."""
    found, result = measured(1.6)
    density = result.histograms[0]
    estimate = result.variational.estimate
    out = {
        "energy": [estimate.value, estimate.error, estimate.n_effective],
        "spread": result.variational.local_energy_std,
        "acceptance": result.variational.acceptance,
        "own acceptance": found.acceptance / found.count,
        "sweeps": np.stack(found.energies.sums),
        "density": density.values @ np.diff(density.axes[0].edges),
        "edges": density.axes[0].edges,
        "samples": result.samples,
    }
    wanted = ProjectConfig(walkers=1024, target_error=6e-3, seconds=30.0, time_steps=(0.08, 0.02), time=1.0)
    run = Projector(found, wanted, 1)
    for _ in range(6):
        run.advance()
    population = run.populations[0]
    out |= {
        "sums": np.stack(population.sums.rows),
        "groups": [population.own_groups, population.groups, population.size],
    }
    # as if the weights of one rank's walkers had grown
    run.populations[0].log_weight += torch.linspace(0, 3, len(population.log_weight)) * (ranks.rank() == 0)
    out |= {"log weights": population.log_weight, "effective": population.effective_share()}
    projection, _ = project(found, wanted, 1, lambda *_: None)
    total = projection.total
    return out | {"projected": [total.value, total.error], "evenness": projection.effective_walkers}


def families() -> float:
    """Effective families of walkers that all have a past of their own."""
    gained = ranks.own_part(torch.linspace(-1, 2, WALKERS, dtype=torch.float64).square())
    found = Families(0 * gained)
    found.ancestor = torch.arange(len(gained)) // 2
    return found.count(gained)


def work(processes: int | None = None) -> dict[str, object]:
    """Everything that goes well; for copies of this process, training and measuring too."""
    with launch.join_ranks(processes):
        found = collectives() | steps() | {"families": families()}
        if processes is not None:
            found |= training() | {f"measured {name}": value for name, value in measuring().items()}
            # the twin: one rank samples another function
            mixed = measured(1.6 + 2.4 * ranks.rank())[1].variational.estimate
            found["mixed energy"] = [mixed.value, mixed.error]
        # the last thing the first rank does with the others: copies end by themselves, in their own time
        ranks.broadcast(None)
        return found | {"in memory": local.shared_memory() is not None}


def fail(out: str) -> None:
    """The errors with which this rank ends when one of them fails; rank 0 dies at last, unheard."""
    found: dict[str, str] = {}
    # rank 0 says that it has ended when it exits, which is not yet
    launch.FAREWELL = 0.5
    for attempt, (who, how) in enumerate(FAILURES):
        os.environ["MASTER_PORT"] = os.environ["PORTS"].split()[attempt]
        try:
            with launch.join_ranks():
                ranks.broadcast(None)
                if ranks.rank() == who:
                    if how == "dies":
                        os._exit(9)
                    raise NumericalError("no good") if how == "fails" else ZeroDivisionError("a bug")
                ranks.reduce_sum(torch.zeros(1))
        except Exception as error:
            found[f"{who} {how}"] = f"{type(error).__name__}: {error}"
        np.savez(out, **found)


def main(out: str, task: str) -> None:
    torch.set_num_threads(1)
    if task == "fail":
        fail(out)
        return
    outs = out.split(",")
    found = work(len(outs) if task == "children" else None)
    place = int(os.environ["RANK"]) if local.is_child() else 0
    np.savez(outs[place], **{name: np.asarray(value) for name, value in found.items()})
    if local.is_child():
        os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
