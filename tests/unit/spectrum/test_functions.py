"""Functions of excited states: gradients and Laplacians against automatic differentiation, and their symmetries."""

from __future__ import annotations

import math
from itertools import permutations

import pytest
import torch
from places import FEW, generator, walkers
from torch import Tensor

from fkflow.hamiltonian.registry import find_system
from fkflow.hamiltonian.shape import Coordinates, Shape
from fkflow.spectrum.antisymmetry import determinants
from fkflow.spectrum.cloud import CloudFunctions
from fkflow.spectrum.configuration import ConfigurationFunctions, RoundFunctions
from fkflow.spectrum.distances import DistanceFunctions
from fkflow.spectrum.eigen import apply_generator
from fkflow.spectrum.electrons import ElectronFunctions
from fkflow.spectrum.jets import Jet, coordinates
from fkflow.spectrum.periodic import PeriodicFunctions
from fkflow.spectrum.products import highest_degree
from fkflow.spectrum.vibrations import VibrationFunctions


def cloud(x: Tensor, rank: int | None) -> CloudFunctions:
    return CloudFunctions(coordinates(x), torch.full((x.shape[2],), 0.1, dtype=x.dtype), rank, FEW, generator())


def shape() -> Shape:
    """Four atoms with four bonds and three angles, of which three combinations vibrate."""
    weights, scales = torch.tensor([1.0, 1.0, 0.7, 0.3]).double(), torch.tensor([1.5, 1.5, 0.8]).double()
    bonds, angles = torch.tensor([[0, 2], [1, 2], [2, 3], [0, 1]]), torch.tensor([[2, 0, 3], [2, 1, 3], [3, 0, 1]])
    modes = torch.linspace(-2, 1, 21, dtype=torch.float64).cos().view(7, 3)
    places = torch.linspace(0.5, 2.0, 7, dtype=torch.float64)
    return Shape(Coordinates(weights, bonds, angles, scales), places, modes @ modes.T, torch.arange(7)[None])


def two_atoms() -> Shape:
    none = torch.zeros(0, 3, dtype=torch.long)
    known = Coordinates(torch.tensor([1.0, 0.5]).double(), torch.tensor([[0, 1]]), none, torch.zeros(0).double())
    return Shape(known, torch.ones(1).double(), torch.ones(1, 1).double(), torch.zeros(1, 1, dtype=torch.long))


def periodic(x: Tensor, momentum: tuple[int | None, ...]) -> PeriodicFunctions:
    """Functions in a box with few products, the longest and the shortest."""
    found = PeriodicFunctions(coordinates(x), (3.0, 2.0)[: x.shape[2]], momentum, FEW, generator())
    found.products = found.products[:2] + found.products[-2:]
    return found


CASES = {
    "one in one dimension": ((1, 1), lambda x: ConfigurationFunctions(coordinates(x), FEW, generator())),
    "two in the plane": ((2, 2), lambda x: ConfigurationFunctions(coordinates(x), FEW, generator())),
    **{
        f"round, rank {rank}": (
            (1, 3),
            lambda x, r=rank: RoundFunctions(coordinates(x), torch.zeros(3, dtype=x.dtype), r, FEW, generator()),
        )
        for rank in range(3)
    },
    **{f"cloud, rank {rank}": ((3, 2), lambda x, r=rank: cloud(x, r)) for rank in (0, 1, 2, None)},
    "cloud in space, rank 2": ((4, 3), lambda x: cloud(x, 2)),
    "distances": (
        (3, 2),
        lambda x: DistanceFunctions(coordinates(x), torch.tensor([[1.0], [0.5], [2.0]]), FEW, generator()),
    ),
    "vibrations": ((4, 3), lambda x: VibrationFunctions(coordinates(x), shape(), FEW, generator())),
    "vibrations of two": ((2, 2), lambda x: VibrationFunctions(coordinates(x), two_atoms(), FEW, generator())),
    "electrons": (
        (2, 3),
        lambda x: ElectronFunctions(coordinates(x), find_system("h2")().nuclei(), 1.0, FEW, generator(), None),
    ),
    "electrons, p": (
        (2, 3),
        lambda x: ElectronFunctions(coordinates(x), find_system("he")().nuclei(), 1.3, FEW, generator(), 2),
    ),
    "on a ring": ((3, 1), lambda x: periodic(x, (2,))),
    "on a ring with a lattice": (
        (3, 1),
        lambda x: periodic(x, (None,)),
    ),
    "in a periodic square": ((2, 2), lambda x: periodic(x, (1, 0))),
    "determinants on a line": ((4, 1), lambda x: determinants),
    "determinants in the plane": ((4, 2), lambda x: determinants),
}


def derivatives(functions, x: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Values (n,), gradients (d, n) and the Laplacian of the sum with weights (n,) at one configuration, automatically."""
    shape = x.shape

    def values(flat: Tensor) -> Tensor:
        return functions(coordinates(flat.view(1, *shape))).value[0]

    flat = x.flatten()
    gradient = torch.autograd.functional.jacobian(values, flat).T
    curvature = torch.autograd.functional.hessian(lambda y: values(y) @ weights, flat).trace()
    return values(flat), gradient, curvature


@pytest.mark.parametrize("name", CASES)
def test_derivatives_are_those_of_the_values(name: str) -> None:
    shape, make = CASES[name]
    x = walkers(64, *shape)
    functions = make(x)
    found: Jet = functions(coordinates(x[:1]))
    # one wrong Laplacian changes a sum with random weights
    weights = walkers(found.value.shape[1])
    value, gradient, curvature = derivatives(functions, x[0], weights)
    torch.testing.assert_close(found.value[0], value, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.gradient[:, 0], gradient, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(found.laplacian[0] @ weights, curvature, rtol=1e-8, atol=1e-8)


def rotated(x: Tensor, angle: float) -> Tensor:
    turn = torch.eye(x.shape[-1], dtype=x.dtype)
    turn[:2, :2] = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return x @ turn


def test_functions_of_identical_particles_are_symmetric_and_of_their_rank() -> None:
    x = walkers(64, 3, 2)
    for rank in range(3):
        functions = CloudFunctions(coordinates(x), torch.zeros(2, dtype=x.dtype), rank, FEW, generator())
        value = functions(coordinates(x)).value
        for order in permutations(range(3)):
            torch.testing.assert_close(functions(coordinates(x[:, list(order)])).value, value, rtol=1e-9, atol=1e-11)
        # the mean over a full turn of a function of rank l > 0 vanishes, and a half turn multiplies it by (-1)^l
        half = functions(coordinates(rotated(x, math.pi))).value
        torch.testing.assert_close(half, value * (-1) ** rank, rtol=1e-9, atol=1e-11)
        quarter = functions(coordinates(rotated(x, math.pi / 2))).value
        same = bool(torch.allclose(quarter, value))
        assert same == (rank == 0)
        if rank == 2:
            torch.testing.assert_close(quarter, -value, rtol=1e-9, atol=1e-11)


QUANTA = {0: [0, 2, 2, *[4] * 7], 1: [1, *[3] * 4], 2: [2, 2, *[4] * 8]}


@pytest.mark.parametrize("rank", QUANTA)
@pytest.mark.parametrize("stiff", [1.0, 1.2])
def test_functions_hold_the_states_of_a_trap_without_interaction(rank: int, stiff: float) -> None:
    """L f = n f of four particles in space, n quanta, by least squares at some places; a stiffer trap has other levels."""
    x = 0.7 * walkers(120, 4, 3)
    found = CloudFunctions(coordinates(x), torch.zeros(3, dtype=x.dtype), rank, 1, generator())(coordinates(x))
    moved = apply_generator(found, -stiff * x.flatten(1))
    matrix = torch.linalg.lstsq(found.value, moved).solution
    left = (found.value @ matrix - moved).norm(dim=0) / (1 + moved.norm(dim=0))
    exact = (left < 1e-8).nonzero()[:, 0]
    levels = torch.linalg.eigvals(matrix[exact][:, exact]).real.sort().values
    assert levels.tolist() == pytest.approx([stiff * n for n in QUANTA[rank]], abs=1e-6)


def test_determinants_change_sign_with_an_exchange() -> None:
    for shape in ((3, 1), (2, 2), (3, 2), (4, 2), (4, 3)):
        x = walkers(8, *shape)
        swapped = x[:, [1, 0, *range(2, shape[0])]]
        value = determinants(coordinates(x)).value
        torch.testing.assert_close(determinants(coordinates(swapped)).value, -value)
        assert bool((value.abs() > 1e-6).any(1).all())


@pytest.mark.parametrize(
    ("coordinates", "most", "degree"), [(1, 60, 7), (2, 60, 7), (3, 60, 5), (8, 60, 2), (300, 60, 1)]
)
def test_degrees_keep_the_number_of_products(coordinates: int, most: int, degree: int) -> None:
    assert highest_degree(coordinates, most) == degree


@pytest.mark.parametrize("momentum", [(0,), (2,), (None,)])
def test_functions_in_a_box_have_its_period_and_their_momentum(momentum: tuple[int | None]) -> None:
    """A side moves nothing; all particles moved together turn f as cos K·s does; the twin: functions of no momentum do not."""
    x, side = walkers(64, 3, 1), 3.0
    functions = periodic(x, momentum)
    value = functions(coordinates(x)).value
    moved = x.clone()
    moved[:, 1] += side
    torch.testing.assert_close(functions(coordinates(moved)).value, value, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(functions(coordinates(x[:, [2, 0, 1]])).value, value, rtol=1e-9, atol=1e-9)
    # f(x + s) + f(x − s) = 2 cos(K s) f(x) for functions of the momenta K and −K
    s = 0.37
    both = sum(functions(coordinates(x + sign * s)).value for sign in (1, -1))
    wave = 2 * math.pi * 2 / side
    turned = 2 * value * (1.0 if momentum == (0,) else math.cos(wave * s))
    assert torch.allclose(both, turned, rtol=1e-8, atol=1e-8) == (momentum != (None,))
