"""Energies and levels of potentials of the zoo in closed form or by a small eigenproblem, and directions of others."""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import Any

import numpy as np

from fkflow.hamiltonian.system import System

from .answers import Solver, axis, line, total


def mean(system: System) -> np.ndarray:
    """The direction of the centre of mass along the last coordinate."""
    return sum(axis(system, i, system.dimensions - 1) for i in range(system.particles)) / np.sqrt(system.particles)


def reflected(system: System, k: int) -> np.ndarray:
    """Direction k of the oscillators of Slanted."""
    normal = np.cos(1.0 + np.arange(system.particles))
    normal /= np.linalg.norm(normal)
    return (axis(system, k).ravel() - 2 * normal[k] * normal)[:, None]


def slanted(particles: int) -> Solver:
    """The sum over the oscillators of Slanted."""
    return total(*(line(-7, 7, direction=partial(reflected, k=k), parts=20) for k in range(particles)))


def springs(system: Any) -> float:
    """Half the sum of the frequencies."""
    import torch

    return 0.5 * np.sqrt(np.linalg.eigvalsh(system.matrix(torch.zeros(1, dtype=torch.float64)).numpy())).sum()


def rods(system: Any) -> float:
    """Hard rods in a box are fermions in a shorter one."""
    n = system.particles
    return sum(k**2 for k in range(1, n + 1)) * np.pi**2 / 2 / (system.L - (n - 1) * system.a) ** 2


def calogero(system: Any) -> float:
    """N (1 + lambda (N − 1))/2."""
    n = system.particles
    return n * (1 + system.lam * (n - 1)) / 2


def valley(system: Any, along: int = 60, across: int = 12) -> float:
    """Oscillator functions of u and of w = v - u^2/10, where the kinetic energy is ((d_u - u/5 d_w)^2 + d_w^2)/2."""

    def operators(count: int, omega: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        down = np.diag(np.sqrt(np.arange(1.0, count)), 1)
        return (down + down.T) / np.sqrt(2 * omega), (down - down.T) * np.sqrt(omega / 2), np.eye(count)

    # products of the last functions are cut off
    u, du, one_u = operators(along + 6, 1.3)
    w, dw, one_w = operators(across + 6, system.stiff)
    slope, other = np.kron(du, one_w) - 0.2 * np.kron(u, dw), np.kron(one_u, dw)
    height = np.kron(u @ u / 2 + 0.1 * u @ u @ u @ u, one_w) + system.stiff**2 / 2 * np.kron(one_u, w @ w)
    kept = (np.arange(along)[:, None] * len(w) + np.arange(across)).ravel()
    energies = ((slope.T @ slope + other.T @ other) / 2 + height)[np.ix_(kept, kept)]
    return np.linalg.eigvalsh(energies)[0]


AIRY = 2.338107410459767
BESSEL_0, BESSEL_1 = 2.404825557695773, 3.831705970207512
#: zeros of Bessel functions by their order: of J_m, and of the spherical j_l
OF_DISC = (
    (2.404825557695773, 5.520078110286311),
    (3.831705970207512, 7.015586669815619),
    (5.135622301840683, 8.417244140399866),
)
OF_BALL = ((np.pi, 2 * np.pi), (4.493409457909064, 7.725251836937707), (5.763459196894550, 9.095011330476355))
OF_HALF_DISC = (3.831705970207512, 5.135622301840683, 6.380161895923984, 7.015586669815619, 7.588342434503804)
OF_AIRY = (2.338107410459767, 4.087949444130971, 5.520559828095551, 6.786708090071759, 7.944133587120853)


def waves(dimensions: int) -> list[int]:
    """n² summed over the coordinates of a box, of the lowest levels."""
    return sorted(sum(k * k for k in each) for each in product(range(1, 8), repeat=dimensions))


def ranked(zeros: tuple[tuple[float, float], ...], letter: str, radius: float) -> list[tuple[float, str]]:
    """The levels of a disc or ball by rank."""
    return [(zero**2 / 2 / radius**2, f"{letter} = {rank}") for rank, some in enumerate(zeros) for zero in some]


def hydrogen(dimensions: int, charge: float) -> list[tuple[float, str]]:
    """Levels of −Z/r by rank."""
    letter, half = ("m", 0.5) if dimensions == 2 else ("l", 1.0)
    return [(-(charge**2) / 2 / (n + rank + half) ** 2, f"{letter} = {rank}") for rank in range(3) for n in range(6)]


def triangle_waves(side: float) -> list[float]:
    """Levels of an equilateral triangle: 8π²/(9 L²) (p² + pq + q²) with p, q ≥ 1."""
    return sorted(8 * np.pi**2 / 9 / side**2 * (p * p + p * q + q * q) for p in range(1, 6) for q in range(1, 6))
