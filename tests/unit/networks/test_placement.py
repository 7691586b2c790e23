"""What a GPU would trip over, seen without one: tensors on the wrong device, and looks at numbers inside a path.

The CPU plays the device of the walkers. What a function creates without saying where goes to a device without numbers
("meta"), and any operation of the two raises an error, as one of a GPU's and a CPU's tensors would.
"""

from __future__ import annotations

import copy
import functools

import pytest
import torch
from landscapes import explore
from torch.utils._python_dispatch import TorchDispatchMode

from fkflow.hamiltonian.registry import built_in_systems, find_system
from fkflow.measurement.variational import VariationalEstimator
from fkflow.networks.choice import build
from fkflow.projection.project import Projector
from fkflow.recipe.config import MeasureConfig, ProjectConfig, TrainConfig
from fkflow.sampling.local_energy import local_energy
from fkflow.sampling.metropolis import Walkers, langevin_move
from fkflow.sampling.path_energies import path_samples
from fkflow.sampling.paths import brownian_frames, girsanov_action
from fkflow.training.loop import initial_state, train

#: neon and argon are clusters as helium is, with other numbers in the same code
SYSTEMS = sorted(set(built_in_systems()) - {"neon", "argon"})
#: those of them that train and are measured as another does: molecules, wells, traps and boxes of the same code
ALIKE = {
    *("molecule", "h", "h2plus", "he", "heh_plus", "h_minus", "quartic", "morse", "poschl_teller", "moshinsky"),
    *("bosons3d", "hooke", "ions", "dipoles", "parahydrogen", "para_hydrogen", "soft_disks", "dipoles2d"),
    *("sutherland", "lattice"),
}
TRAIN = {"walkers": 64, "iterations": 3, "equilibrate": 3}
MEASURE = MeasureConfig(walkers=64, target_error=1e-2, seconds=0.01)


#: a context in which new tensors have no numbers unless a device is named for them
NOTHING_HERE = torch.device("meta")


class Looks(TorchDispatchMode):
    """Counts the operations for which a GPU has to finish before the program goes on."""

    WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "equal", "_unique2", "unique_dim")

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        # a mask as an index needs its number of hits
        masks = name == "index" and any(i is not None and i.dtype == torch.bool for i in args[1])
        if name in self.WAITING or masks:
            self.seen.append(name)
        return func(*args, **(kwargs or {}))


@functools.cache
def made(name: str, network: str):
    kind = find_system(name)
    # a liquid with fewer particles is the same code
    few = 4 if name in ("charges2d", "hard_spheres") else 8
    system = kind(particles=few) if "density" in kind.model_fields else kind()
    land = explore(system)
    return system, land, build(system, land, network, 8, 2, 0)


def trial(name: str, network: str = "auto"):
    """A system, its landscape and a network of its own, made once for all tests."""
    system, land, net = made(name, network)
    return system, land, copy.deepcopy(net)


def measured(system, land, state) -> VariationalEstimator:
    measuring = VariationalEstimator(state.net, system, land, MEASURE, state.walkers.x, 0, dt=1e-3)
    measuring.run(1e-2, 0.01, lambda estimate, spent: None)
    return measuring


pytestmark = pytest.mark.usefixtures("few_moves")


@pytest.mark.parametrize("estimator", ["covariance", "local_energy", "pathwise"])
@pytest.mark.parametrize("name", ["h2", "bosons", "chain"])
def test_training_stays_where_the_walkers_are(name: str, estimator: str) -> None:
    system, land, net = trial(name)
    more = {"optimiser": "adam", "steps": 2} if estimator == "pathwise" else {}
    config = TrainConfig(**TRAIN, estimator=estimator, **more)
    state = initial_state(net, land, config, 0, "cpu", system)
    with NOTHING_HERE:
        assert len(list(train(system, land, config, state))) == 3
    assert state.walkers.x.is_cpu and all(p.is_cpu and p.isfinite().all() for p in net.parameters())


@pytest.mark.parametrize("name", sorted(set(SYSTEMS) - ALIKE))
def test_every_kind_of_system_trains_and_measures_where_the_walkers_are(name: str) -> None:
    system, land, net = trial(name)
    config = TrainConfig(**TRAIN)
    state = initial_state(net, land, config, 0, "cpu", system)
    with NOTHING_HERE:
        assert len(list(train(system, land, config, state))) == 3
        measuring = measured(system, land, state)
        found = measuring.result()
    assert found.samples.shape[0] == 64
    # the oscillators start exact, and their local energy is the same number everywhere
    assert found.variational.local_energy_std > 0 or name in ("harmonic", "moshinsky")


@pytest.mark.parametrize("name", ["h2", "bosons"])
def test_projecting_stays_where_the_walkers_are(name: str) -> None:
    system, land, net = trial(name)
    config = TrainConfig(walkers=128, iterations=15)
    state = initial_state(net, land, config, 0, "cpu", system)
    for _ in train(system, land, config, state):
        pass
    with NOTHING_HERE:
        measuring = measured(system, land, state)
        wanted = ProjectConfig(walkers=128, target_error=5e-2)
        projection, densities = Projector(measuring, wanted, 0).run(lambda estimate, spent: None)
    assert projection is not None and densities and 0 < projection.total.error < 0.1


def test_a_free_drift_stays_where_the_walkers_are() -> None:
    system, land, net = trial("bosons", "pair_drift")
    config = TrainConfig(**TRAIN, estimator="pathwise", optimiser="adam", steps=4)
    state = initial_state(net, land, config, 0, "cpu", system)
    with NOTHING_HERE:
        assert len(list(train(system, land, config, state))) == 3
        measuring = measured(system, land, state)
        assert 0 < measuring.result().curl < 1


def test_a_potential_that_names_no_device_is_seen(monkeypatch) -> None:
    """The twin: what would fail on a GPU fails here, in the potential and in the network."""
    system, land, net = trial("quartic")
    x = land.start(8, torch.Generator().manual_seed(0))
    right = type(system).potential
    with NOTHING_HERE:
        net.value_and_drift(x)
        monkeypatch.setattr(type(system), "potential", lambda self, x: right(self, x) * torch.ones(len(x)))
        with pytest.raises(RuntimeError, match="meta"):
            local_energy(net, system, x)
        net.register_buffer("elsewhere", torch.ones(8))
        net.register_forward_hook(lambda module, args, out: out * module.elsewhere)
        with pytest.raises(RuntimeError, match="meta"):
            net(x)


@pytest.mark.parametrize("name", SYSTEMS)
def test_no_number_is_looked_at_inside_a_path_or_a_move(name: str) -> None:
    """And all of it, with the local energy, stays where the walkers are."""
    system, land, net = trial(name)
    generator = torch.Generator().manual_seed(0)
    x = land.start(32, generator)
    noise = brownian_frames(32, 1, 3, tuple(x.shape[1:]), generator)[:, 0]
    walkers = Walkers(x, 0.1)
    walkers.refresh(net)
    with NOTHING_HERE, Looks() as looks:
        girsanov_action(net, net.drift, system.potential, x, 1e-3, noise)
        path_samples(net, system, x, generator, paths=2, steps=2, dt=1e-3)
        langevin_move(net, walkers, generator)
    assert not looks.seen
    with NOTHING_HERE:
        assert local_energy(net, system, x).is_cpu


def test_a_potential_that_looks_is_seen(monkeypatch) -> None:
    """The twin: numbers, masks and conditions that a potential asks for are each counted."""
    system, land, net = trial("quartic")
    x = land.start(8, torch.Generator().manual_seed(0))
    noise = torch.zeros(2, 8, 1, 1, dtype=torch.float64)
    right = type(system).potential
    for wrong in (
        lambda v: v * float(v.mean() / v.mean()),
        lambda v: v + v[v > 1e9].sum(),
        lambda v: v if bool(v.isfinite().all()) else v.nan_to_num(),
    ):
        monkeypatch.setattr(type(system), "potential", lambda self, x, wrong=wrong: wrong(right(self, x)))
        with Looks() as looks:
            girsanov_action(net, net.drift, system.potential, x, 1e-3, noise)
        assert len(looks.seen) >= 3
