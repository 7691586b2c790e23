"""Functions of excited states: gradients and Laplacians against automatic differentiation, and their symmetries."""

from __future__ import annotations

import math
from functools import partial
from itertools import permutations

import pytest
import torch
from landscapes import explore
from torch import Tensor

import fkflow
from fkflow.errors import UsageError
from fkflow.hamiltonian.registry import find_system
from fkflow.hamiltonian.shape import Coordinates, Shape
from fkflow.hamiltonian.walls import Ball, Walls
from fkflow.networks.generic import GenericNet
from fkflow.networks.log_psi import LogPsi
from fkflow.networks.walls import WallFactor
from fkflow.sampling.local_energy import laplacian
from fkflow.spectrum.antisymmetry import determinants
from fkflow.spectrum.cloud import CloudFunctions
from fkflow.spectrum.configuration import ConfigurationFunctions, RoundFunctions
from fkflow.spectrum.distances import DistanceFunctions
from fkflow.spectrum.eigen import apply_generator
from fkflow.spectrum.electrons import ElectronFunctions
from fkflow.spectrum.growth import POWERS, Growth, growth_of, state_of, without_edges
from fkflow.spectrum.jets import Jet, coordinates
from fkflow.spectrum.mirrors import find_reflections, find_turns
from fkflow.spectrum.periodic import PeriodicFunctions
from fkflow.spectrum.pool import Pool
from fkflow.spectrum.products import highest_degree
from fkflow.spectrum.sectors import sectors_of
from fkflow.spectrum.vibrations import VibrationFunctions

FEW = 5


def walkers(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(1)


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


def test_sectors_have_the_symmetries_that_their_names_say() -> None:
    system = find_system("double_well")()
    x = walkers(64, 1, 1)
    found = {sector.name: sector for sector in sectors_of(system, explore(system), x, FEW, 0.0, False)}
    assert list(found) == ["even", "odd"] and found["even"].ground and not found["odd"].ground
    for name, sign in (("even", 1), ("odd", -1)):
        functions = found[name].functions(x, 0)
        torch.testing.assert_close(functions(-x).value, sign * functions(x).value, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(functions.values(x), functions(x).value)
        other = found[name].functions(x, 1)(x).value
        assert not torch.allclose(other, functions(x).value)


class Narrow(LogPsi):
    """log ψ = −x² of one particle, with a factor x for a wall at 0 if there is to be one."""

    def __init__(self, walled: bool) -> None:
        super().__init__()
        self.walled = walled

    def forward(self, x: Tensor) -> Tensor:
        r = x.flatten(1)
        return -r.square().sum(1) + (r[:, 0].log() if self.walled else 0.0)

    @property
    def edges(self) -> list:
        return [lambda y: y[0, 0].log()] if self.walled else []


@pytest.mark.parametrize("walled", [False, True])
@pytest.mark.parametrize("smooth", [False, True])
def test_growth_is_a_power_of_psi_without_its_walls(walled: bool, smooth: bool) -> None:
    x = walkers(40, 1, 2).abs()
    growth = Growth(without_edges(Narrow(walled)), x, smooth)
    lowest = x.square().sum((1, 2)).min()

    def expected(power: float, flat: Tensor) -> Tensor:
        below = flat.square().sum() - lowest
        return (power * ((1 + below.square()).sqrt() - 1 if smooth else below)).exp()

    first = x[0].flatten()
    for power, jet in zip(POWERS, growth(x[:1]), strict=True):
        of_first = partial(expected, power)
        gradient = torch.autograd.functional.jacobian(of_first, first)
        laplacian = torch.autograd.functional.hessian(of_first, first).trace()
        torch.testing.assert_close(jet.value[0], of_first(first), rtol=1e-9, atol=0)
        torch.testing.assert_close(jet.gradient[:, 0], gradient, rtol=1e-7, atol=1e-9)
        torch.testing.assert_close(jet.laplacian[0], laplacian, rtol=1e-7, atol=1e-9)


class Leaning(LogPsi):
    """log ψ = −x² + 0.3 x_1, without the symmetries of V."""

    def forward(self, x: Tensor) -> Tensor:
        return -x.square().sum((1, 2)) + 0.3 * x[:, 0, 0]


def test_levels_are_made_of_a_psi_with_the_symmetries_of_v() -> None:
    """Even functions would otherwise make no even states; the twin is ψ as it comes."""

    class Even(fkflow.System):
        """It does not say that it is even."""

        particles, dimensions = 1, 1

        def potential(self, x: Tensor) -> Tensor:
            return x[:, 0, 0] ** 4

    system, net = Even(), Leaning()
    x = walkers(64, 1, 1)
    psi = state_of(net, system, explore(system), x)
    assert psi is not None
    value, drift = psi.value_and_drift(x)
    torch.testing.assert_close(psi(x), value)
    torch.testing.assert_close(psi.value(-x), value)
    torch.testing.assert_close(psi.value_and_drift(-x)[1], -drift)
    torch.testing.assert_close(drift, psi.differentiated(x)[1])
    torch.testing.assert_close(value, -x.square().sum((1, 2)))
    assert not torch.allclose(net.value(-x), net.value(x))
    growth = growth_of(net, psi, explore(system), x)
    even, _ = sectors_of(system, explore(system), x, FEW, 0.0, False, growth)
    functions = even.functions(x, 0)
    here, there = functions(x), functions(-x)
    torch.testing.assert_close(there.value, here.value, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(there.gradient, -here.gradient, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(there.laplacian, here.laplacian, rtol=1e-9, atol=1e-9)


def test_functions_of_rank_1_and_2_have_no_average_over_the_turns_of_space() -> None:
    y = walkers(8, 1, 3)

    class Round(fkflow.System):
        particles, dimensions = 1, 3

        def potential(self, x: Tensor) -> Tensor:
            return x.square().sum((1, 2)) + (1 + x.square().sum((1, 2))).log()

    turns = find_turns(Round(), torch.zeros(3, dtype=y.dtype), y)
    turned = torch.stack([y[:, 0] @ turn for turn in turns])
    assert len(turns) == 24 and turned.mean(0).abs().max() < 1e-12
    squares = turned.square().mean(0)
    torch.testing.assert_close(squares, squares.mean(1, keepdim=True).expand_as(squares))
    assert len(find_turns(find_system("double_well")(), torch.zeros(1, dtype=y.dtype), walkers(8, 1, 1))) == 1


def test_triplets_change_sign_with_an_exchange() -> None:
    system = find_system("he")()
    x = walkers(64, 2, 3)
    found = {sector.name: sector for sector in sectors_of(system, explore(system), x, FEW, 1.3, False)}
    assert set(found) == {"singlet S", "singlet P", "triplet S", "triplet P"}
    for name, sector in found.items():
        functions = sector.functions(x, 0)
        sign = -1 if name.startswith("triplet") else 1
        torch.testing.assert_close(functions(x.flip(1)).value, sign * functions(x).value, rtol=1e-9, atol=1e-12)


def test_reflections_are_those_of_the_potential() -> None:
    def reflections(name: str, **parameters) -> list[tuple[float, ...]]:
        system = find_system(name)(**parameters)
        x = walkers(64, system.particles, system.dimensions)
        return find_reflections(system, torch.zeros(system.dimensions, dtype=x.dtype), x)

    assert reflections("harmonic", dimensions=2, omega=[1.0, 2.0]) == [(-1.0, 1.0), (1.0, -1.0)]
    assert reflections("chain") == [(-1.0,)]
    assert reflections("morse") == []


def test_what_has_no_sector_is_refused() -> None:
    for name, words in (("double_well", "no fermions"), ("chain", "no fermions")):
        system = find_system(name)()
        x = walkers(64, system.particles, system.dimensions)
        with pytest.raises(UsageError, match=words):
            sectors_of(system, explore(system), x, FEW, 0.0, True)
    five = find_system("bosons")(particles=5)
    with pytest.raises(UsageError, match="at most 4 off the line"):
        sectors_of(five, explore(five), walkers(64, 5, 2), FEW, 0.0, True)


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


def network(walled: bool) -> GenericNet:
    """Of one particle on a line, with a factor for walls at 0 and 1 if there are to be any."""
    net = GenericNet(explore(find_system("quartic")()), 5, 2).double()
    if walled:
        net.add_edges(
            WallFactor(Walls(((Ball((0,), (0.5,), 0.5),),)), torch.zeros(1, 1, dtype=torch.float64), net.length), None
        )
    return net


def within() -> Tensor:
    return 0.2 + 0.6 * torch.rand(12, 1, 1, dtype=torch.float64, generator=generator())


@pytest.mark.parametrize("walled", [False, True])
def test_what_growth_remembers_is_what_it_computes(walled: bool) -> None:
    """A pool knows ψ, growth is a power of ψ without the factors of walls. The twin: with them it is another."""
    net, x = network(walled), within()
    value, drift, curvature = net.value_drift_and_laplacian(x)
    none = torch.zeros_like(value)
    pool = Pool(x, none, drift.flatten(1), none, none, value, curvature)
    plain, knowing, walls = (growth_of(net, net, explore(find_system("quartic")()), x) for _ in range(3))
    knowing.remember(pool)
    assert knowing._remembered(x[5:9]) is not None and knowing._remembered(1.1 * x) is None
    for some in (x[[3, 10, 7]], 1.1 * x):
        for one, known in zip(plain(some), knowing(some), strict=True):
            torch.testing.assert_close(known.value, one.value)
            torch.testing.assert_close(known.gradient, one.gradient)
            torch.testing.assert_close(known.laplacian, one.laplacian)
    walls.edges = None
    walls.remember(pool)
    assert torch.allclose(walls(x)[0].laplacian, plain(x)[0].laplacian) != walled


def test_a_network_without_its_walls_states_its_derivatives_too() -> None:
    """The same as log ψ minus the logarithm of the factor, which is none of it."""
    net, x = network(True), within()
    bare = without_edges(net)
    assert net.edges and not bare.edges and bare.analytic
    value, drift, curvature = bare.value_drift_and_laplacian(x)
    expected = net(x) - net.edges[0](net.coordinates(x))
    torch.testing.assert_close(value, expected.detach())
    assert not torch.allclose(value, net(x).detach())
    torch.testing.assert_close(drift, bare.differentiated(x)[1])
    torch.testing.assert_close(curvature, laplacian(bare, x)[0])
