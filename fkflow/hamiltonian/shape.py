"""The shape of a free molecule: its bonds and angles at the minimum of V, and how they vibrate about it.

In the coordinates z of unit mass, positions x_i = √(m_min/m_i) z_i are the user's times √m_min, m_min the least mass. An
angle θ enters as s·arccos(η cos θ), which is smooth where three atoms are on a line; s makes it a length.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations, permutations, product

import torch
from torch import Tensor

from fkflow.hamiltonian import derivatives
from fkflow.hamiltonian.masses import user_masses
from fkflow.hamiltonian.natural_scale import Landscape
from fkflow.hamiltonian.species import groups_of, pair_functions
from fkflow.hamiltonian.system import System

#: η of the angles
SMOOTH = 0.98
#: largest spread in ψ² of a bond, by its length, of a molecule that has a shape
STIFF = 0.15
#: extent of a molecule by its length that is none
FLAT = 1e-3
#: smallest force constant of a vibration by the largest; a rotation has 0 but for rounding
LEAST_FORCE = 1e-5
#: how far coordinates that count as the same may differ, by their spread
SAME = 0.3
#: most exchanges of particles within their species
MOST_EXCHANGES = 120
#: walkers at which rotations are tried, and the relative change of V that counts as none
TRIED, UNCHANGED = 16, 1e-8


@dataclass(frozen=True)
class Coordinates:
    """Bonds, pairs of particles (b, 2), and angles at the first of three (a, 3), each times a length, `scales` (a,).

    `weights` (N,) make x of z.
    """

    weights: Tensor
    bonds: Tensor
    angles: Tensor
    scales: Tensor

    def values(self, z: Tensor) -> Tensor:
        """The coordinates (…, Q) of z (…, N, D): lengths of bonds, then angles."""
        x = z * self.weights[:, None]
        apart = x[..., self.bonds[:, 0], :] - x[..., self.bonds[:, 1], :]
        apex, one, other = self.angles.unbind(1)
        a, b = x[..., one, :] - x[..., apex, :], x[..., other, :] - x[..., apex, :]
        cosine = (a * b).sum(-1) / (a.norm(dim=-1) * b.norm(dim=-1))
        return torch.cat([apart.norm(dim=-1), self.scales * (SMOOTH * cosine).arccos()], -1)

    def exchanged(self, order: tuple[int, ...]) -> list[int]:
        """Which coordinate stands in each place when the particles are taken in this order."""
        bonds = [frozenset(pair) for pair in self.bonds.tolist()]
        angles = [(apex, frozenset(ends)) for apex, *ends in self.angles.tolist()]
        moved = [bonds.index(frozenset(order[i] for i in pair)) for pair in bonds]
        return moved + [
            len(bonds) + angles.index((order[apex], frozenset(order[i] for i in ends))) for apex, ends in angles
        ]


@dataclass(frozen=True)
class Shape:
    """`places` (Q,) of the coordinates at the minimum, and their `covariance` (Q, Q) in ψ².

    `exchanges` (G, Q) say which coordinate stands in each place after each exchange of particles of one species.
    """

    coordinates: Coordinates
    places: Tensor
    covariance: Tensor
    exchanges: Tensor

    @property
    def vibrations(self) -> Tensor:
        """(Q, K): the combinations of coordinates that vary, with unit variance in ψ²."""
        values, vectors = torch.linalg.eigh(self.covariance)
        there = values > LEAST_FORCE * values[-1]
        found: Tensor = vectors[:, there] / values[there].sqrt()
        return found


def is_molecule(system: System, landscape: Landscape) -> bool:
    """Whether V of a free system is smooth, does not change under rotations, and is no sum over pairs or of charges."""
    n, dim = landscape.centre.shape
    edges = landscape.walls or landscape.steps or landscape.lines or landscape.centres
    cores = landscape.places is not None or landscape.diameter is not None
    if not (system.free and n > 1 and dim > 1) or edges or cores:
        return False
    charges = system.nuclei() is not None or system.point_charges() is not None
    return not (charges or pair_functions(system)) and _is_round(system, landscape)


def without_shape(system: System, landscape: Landscape) -> str | None:
    """Why a stiff molecule has no shape, in words that follow its name; None for any other system.

    Where atoms are on a line or in a plane, bonds and angles change in proportion to the square of some vibrations.
    """
    if not is_molecule(system, landscape):
        return None
    minimum = landscape.minima[0]
    n, dim = minimum.shape
    weights = torch.tensor(user_masses(system), dtype=torch.float64).rsqrt()[:, None]
    x = minimum * weights
    sizes = torch.linalg.svdvals(x - x.mean(0))
    rank = int((sizes > FLAT * sizes[0]).sum())
    if rank >= min(dim, n - 1):
        return None
    (hessian,) = derivatives.hessians(system, minimum[None], landscape.length)
    forces, modes = torch.linalg.eigh(hessian)
    there = forces > LEAST_FORCE * forces[-1]
    moved = (modes[:, there] / (2 * forces[there].sqrt()).sqrt()).T.reshape(-1, n, dim) * weights
    i, j = torch.triu_indices(n, n, 1)
    apart = x[i] - x[j]
    spread = ((moved[:, i] - moved[:, j]) * apart).sum(2).square().sum(0).sqrt()
    if not bool((spread < STIFF * apart.square().sum(1)).all()):
        return None
    where = "on a line" if rank == 1 else "in a plane"
    return f"has its atoms {where} where V is lowest, and there is no network for the vibrations of such molecules"


def find_shape(system: System, landscape: Landscape) -> Shape | None:
    """The shape of a free molecule, in coordinates of unit mass; None for any other system.

    It is one if V is smooth and does not change under rotations, all its minima have the same bonds and angles, which exchanges
    of particles of one species leave as they are, and these vary little and show all vibrations.
    """
    groups = groups_of(system)
    few = math.prod(math.factorial(len(group)) for group in groups) <= MOST_EXCHANGES
    if not few or not is_molecule(system, landscape):
        return None
    found = _vibrating(system, landscape)
    if found is None:
        return None
    coordinates, covariance = found
    places, spread = coordinates.values(landscape.minima), covariance.diagonal().sqrt()
    count = len(coordinates.bonds)
    exchanges = _exchanges(coordinates, groups)
    stiff = bool((spread[:count] < STIFF * places[0, :count]).all())
    if not stiff or exchanges is None or not bool(((places - places[0]).abs() < SAME * spread).all()):
        return None
    if not bool(((places[0][exchanges] - places[0]).abs() < SAME * spread).all()):
        return None
    # what exchanges turn into each other is the same but for rounding
    even = covariance[exchanges[:, :, None], exchanges[:, None]].mean(0)
    return Shape(coordinates, places[0][exchanges].mean(0), even, exchanges)


def _exchanges(coordinates: Coordinates, groups: tuple[tuple[int, ...], ...]) -> Tensor | None:
    """The exchanges (G, Q) of a shape, the identity first; None if one of them makes a bond of two particles without one."""
    orders = [sum(order, ()) for order in product(*(permutations(group) for group in groups))]
    try:
        return torch.tensor([coordinates.exchanged(order) for order in orders])
    except ValueError:
        return None


def _is_round(system: System, landscape: Landscape) -> bool:
    """Whether V is the same after rotations and reflections of walkers about the minima."""
    generator = torch.Generator().manual_seed(0)
    x = landscape.start(TRIED, generator)
    dim = x.shape[-1]
    turn, _ = torch.linalg.qr(torch.randn(dim, dim, generator=generator, dtype=torch.float64))
    mirrored = turn.clone()
    mirrored[:, 0] *= -1
    value = system.potential(x).detach()
    size = UNCHANGED * (value.abs() + value.abs().mean())
    return all(bool(((system.potential(x @ one).detach() - value).abs() <= size).all()) for one in (turn, mirrored))


def _vibrating(system: System, landscape: Landscape) -> tuple[Coordinates, Tensor] | None:
    """Coordinates that show all vibrations about the minimum, and their covariance (Q, Q) in the harmonic approximation.

    They are bonds and the angles between them, with the other distances where these do not do.
    """
    minimum = landscape.minima[0]
    n, dim = minimum.shape
    masses = torch.tensor(user_masses(system), dtype=torch.float64)
    weights = (masses.min() / masses).sqrt()
    (hessian,) = derivatives.hessians(system, minimum[None], landscape.length)
    forces, modes = torch.linalg.eigh(hessian)
    there = forces > LEAST_FORCE * forces[-1]
    expected = 1 if n == 2 else n * dim - dim - dim * (dim - 1) // 2
    if int(there.sum()) != expected:
        return None
    for more in (False, True):
        coordinates = _bonds_and_angles(minimum, weights, more)
        slopes: Tensor = torch.autograd.functional.jacobian(coordinates.values, minimum)
        moved = slopes.flatten(1) @ modes[:, there]
        if bool(moved.isfinite().all()) and int(torch.linalg.matrix_rank(moved, rtol=1e-3)) == expected:
            return coordinates, (moved / (2 * forces[there].sqrt())) @ moved.T
    return None


def _bonds_and_angles(minimum: Tensor, weights: Tensor, more: bool) -> Coordinates:
    """Two atoms are bonded if no third one is nearer to both than they are to each other (the relative neighbourhood graph).

    With `more` the distances of all others come after these bonds.
    """
    n = len(minimum)
    x = minimum * weights[:, None]
    r = (x[:, None] - x).norm(dim=-1)

    def bonded(i: int, j: int) -> bool:
        # equal distances are so but for rounding
        return all(float(torch.maximum(r[i, k], r[j, k])) > 0.999 * float(r[i, j]) for k in range(n) if k not in (i, j))

    every = list(combinations(range(n), 2))
    bonds = [pair for pair in every if bonded(*pair)]
    angles = [
        (apex, i, j)
        for apex in range(n)
        for i, j in combinations([k for k in range(n) if k != apex and tuple(sorted((k, apex))) in bonds], 2)
    ]
    scales = [float((r[apex, i] * r[apex, j]).sqrt()) for apex, i, j in angles]
    if more:
        bonds += [pair for pair in every if pair not in bonds]
    return Coordinates(
        weights,
        torch.tensor(bonds).view(-1, 2),
        torch.tensor(angles, dtype=torch.long).view(-1, 3),
        torch.tensor(scales, dtype=torch.float64),
    )
