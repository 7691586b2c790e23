"""The same seeds and the same physics on a GPU as on the CPU; skipped, and said so, where there is none."""

from __future__ import annotations

import copy

import pytest
import torch

from fkflow.execution.chunks import chunk_size, value_and_drift
from fkflow.hamiltonian.landscape import explore
from fkflow.hamiltonian.registry import find_system
from fkflow.measurement.variational import VariationalEstimator
from fkflow.networks import single_precision
from fkflow.networks.choice import build
from fkflow.projection.project import project
from fkflow.recipe.config import MeasureConfig, ProjectConfig, TrainConfig
from fkflow.sampling.local_energy import fastest_local_energy, local_energy
from fkflow.sampling.path_energies import path_samples
from fkflow.training.gradients import jacobian
from fkflow.training.loop import initial_state, train

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="there is no CUDA device here: nothing ran on a GPU"
)

SYSTEMS = ["h2", "bosons", "chain", "quartic"]


@pytest.mark.parametrize("name", SYSTEMS)
def test_networks_give_the_same_numbers(name: str, perturbed) -> None:
    """log ψ, drift, local energy and jacobian of the same walkers: equal to rounding, in double and in single precision."""
    system = find_system(name)()
    land = explore(system)
    net = perturbed(build(system, land, "auto", 8, 2, 0), 0.1)
    other = copy.deepcopy(net).to("cuda")
    x = land.start(300, torch.Generator().manual_seed(1))
    for here, there in zip(value_and_drift(net, x), value_and_drift(other, x.to("cuda")), strict=True):
        assert there.is_cuda and torch.allclose(there.cpu(), here, rtol=1e-9, atol=1e-9)
    assert torch.allclose(
        local_energy(other, system, x.to("cuda")).cpu(), local_energy(net, system, x), rtol=1e-7, atol=1e-7
    )
    # what moves walkers and what is measured has six digits, and would have three with TF32
    for here, there in zip(
        single_precision.value_and_drift(net, x), single_precision.value_and_drift(other, x.to("cuda")), strict=True
    ):
        assert torch.allclose(there.cpu(), here, rtol=2e-5, atol=2e-5)
    measured = fastest_local_energy(other, system, x.to("cuda"), torch.Generator("cuda").manual_seed(0), land.length**2)
    assert torch.allclose(measured.cpu(), local_energy(net, system, x), rtol=1e-3, atol=1e-3)
    assert torch.allclose(jacobian(other, x.to("cuda")).cpu(), jacobian(net, x), rtol=1e-9, atol=1e-9)
    assert chunk_size(other) > chunk_size(net)


def test_noise_is_drawn_on_the_device(perturbed) -> None:
    """Short paths of a whole frame give the exact local energy there too; the twin with other walkers does not."""
    system = find_system("bosons")()
    land = explore(system)
    net = perturbed(build(system, land, "auto", 8, 2, 0), 0.1).to("cuda")
    generator = torch.Generator("cuda").manual_seed(2)
    x = land.start(200, generator)
    found = path_samples(net, system, x, generator, paths=8, steps=1, dt=1e-9).mean(0)
    assert x.is_cuda and found.is_cuda
    exact = local_energy(net, system, x)
    assert torch.allclose(found, exact, rtol=1e-3, atol=1e-3) and not torch.allclose(found, exact.flip(0), rtol=1e-2)


@pytest.mark.parametrize("name", ["h2", "bosons"])
def test_the_same_energy_within_errors(name: str) -> None:
    """Trained, measured and projected on both devices: the projected energies agree with the reference and each other."""
    system = find_system(name)(particles=2) if name == "bosons" else find_system(name)()
    land = explore(system)
    found = []
    for device in ("cpu", "cuda"):
        config = TrainConfig(walkers=512, iterations=40)
        state = initial_state(build(system, land, "auto", 16, 2, 0).to(device), land, config, 0, device, system)
        for _ in train(system, land, config, state):
            pass
        wanted = MeasureConfig(walkers=1024, target_error=1e-3)
        measuring = VariationalEstimator(state.net, system, land, wanted, state.walkers.x, 0, dt=1e-8)
        measuring.run(1e-3, 60, lambda estimate, spent: None)
        projection, _ = project(
            measuring, ProjectConfig(walkers=1024, target_error=1e-3), 0, lambda estimate, spent: None
        )
        assert projection is not None and measuring.walkers.x.device.type == device
        found.append((projection.total.value, projection.total.error))
    exact = system.reference().energy
    for value, error in found:
        assert abs(value - exact) < 4 * error < 1e-2
    (a, da), (b, db) = found
    assert abs(a - b) < 4 * (da**2 + db**2) ** 0.5
