"""Averages of observables over ψ²: values, errors with the correlation in time, checkpoints."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
import torch

from fkflow.hamiltonian.system import System
from fkflow.measurement.observables import ObservableAverages
from fkflow.results.records import components
from fkflow.statistics import chains_estimate


class Trap(System):
    """Two particles in a trap, with two observables."""

    particles = 2
    dimensions = 1
    observable_units = {"x": "bohr"}

    def potential(self, x: torch.Tensor) -> torch.Tensor:
        """Not asked for here."""
        return x.square().sum((1, 2))

    def observables(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Both places, and the square of the first."""
        return {"x": x[:, :, 0], "square": x[:, 0, 0].square()}


def chains(sweeps: int, walkers: int, memory: float, seed: int = 0) -> torch.Tensor:
    """Places (T, B, 2, 1) of unit variance about 1e6, each correlated with the one before by `memory`."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(sweeps, walkers, 2, 1, generator=generator, dtype=torch.float64)
    x = [noise[0]]
    for xi in noise[1:]:
        x.append(memory * x[-1] + math.sqrt(1 - memory**2) * xi)
    return torch.stack(x) + 1e6


def added(x: torch.Tensor, weights: torch.Tensor) -> ObservableAverages:
    found = ObservableAverages(Trap(), x[0])
    for places, w in zip(x, weights, strict=True):
        found.add(places, w)
    return found


@pytest.mark.parametrize("even", [True, False])
def test_averages_are_those_of_independent_walkers(even: bool) -> None:
    """They agree with the estimate of the energies, which has all values; the twin takes sweeps for independent."""
    x = chains(40, 64, 0.95)
    weights = torch.ones(40, 64) if even else 0.5 + torch.rand(40, 64, generator=torch.Generator().manual_seed(1))
    weights = weights.double()
    for column, found in zip(
        (x[:, :, 0, 0], x[:, :, 1, 0], x[:, :, 0, 0] ** 2), added(x, weights).estimates(), strict=True
    ):
        shift = float(column.mean())
        expected = chains_estimate((weights * (column - shift)).numpy(), weights.numpy())
        assert found.value - shift == pytest.approx(expected.value, abs=1e-3 * expected.error)
        assert found.error == pytest.approx(expected.error, rel=1e-5)
        assert found.n_effective == pytest.approx(expected.n_effective, rel=1e-3)
        naive = float(column.std()) / math.sqrt(column.numel())
        assert found.error > 3 * naive


def test_errors_are_right_over_seeds() -> None:
    """χ² of 40 averages of known mean; errors of half the size, the twin, would be seen."""
    found = [added(chains(10, 32, 0.9, seed), torch.ones(10, 32)).estimates()[0] for seed in range(40)]
    chi = np.array([(one.value - 1e6) / one.error for one in found])
    assert 0.6 < float(np.mean(chi**2)) < 1.6 and float(np.mean((2 * chi) ** 2)) > 1.6


def test_results_by_name() -> None:
    found = added(chains(5, 16, 0.0), torch.ones(5, 16))
    results = found.results()
    assert list(results) == ["x", "square"] and len(components(results["x"])) == 2
    assert [part.unit for part in components(results["x"])] == ["bohr", "bohr"]
    single = results["square"]
    assert not isinstance(single, tuple) and single.unit == "" and single.projected is None
    assert single.value == single.variational.value == found.estimates()[2].value
    assert found.error() == pytest.approx(max(1 / math.sqrt(one.n_effective) for one in found.estimates()))


def test_without_observables_there_are_none() -> None:
    class Bare(Trap):
        def observables(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            return {}

    x = chains(1, 8, 0.0)[0]
    found = ObservableAverages(Bare(), x)
    found.add(x, torch.ones(8))
    assert found.results() == {} and found.estimates() == [] and found.error() == 0.0 and found.unknown() == []


def test_a_value_that_is_not_finite_spoils_its_own_average_only() -> None:
    x = chains(3, 16, 0.0) - 1e6
    x[1, 4, 1] = math.inf
    found = added(x, torch.ones(3, 16))
    first, second, square = found.estimates()
    assert math.isfinite(first.value) and math.isfinite(square.value) and not math.isfinite(second.value)
    assert found.unknown() == ["x"]


def test_a_checkpoint_goes_on_to_the_same_bits() -> None:
    x, weights = chains(8, 16, 0.5), torch.rand(8, 16, generator=torch.Generator().manual_seed(2)).double()
    whole = added(x, weights)
    half = added(x[:5], weights[:5])
    buffer = io.BytesIO()
    torch.save(half.state_dict(), buffer)
    buffer.seek(0)
    again = ObservableAverages(Trap(), x[0])
    again.load_state_dict(torch.load(buffer, weights_only=True))
    for places, w in zip(x[5:], weights[5:], strict=True):
        again.add(places, w)
    assert again.estimates() == whole.estimates()
