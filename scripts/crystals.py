"""Ground-state energies of few ions in a trap as a series in their charge, for the table in systems/references.py.

V = ½ Σ r_i² + q² Σ 1/r_ij scales: E = q^(4/3) E_cl + ½ Σ ω_i + q^(−4/3) E_2 + …, with E_cl the lowest minimum at q = 1, ω_i the
frequencies about it, and E_2 of second order in cubic, of first in quartic force constants, with the rotation of the crystal
(Watson's Hamiltonian at J = 0). Exchange of ions is exponentially small.

    python scripts/crystals.py
"""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.optimize import minimize

#: descents from random starts; frequencies below which a mode is a rotation
STARTS, STILL = 400, 1e-4


def energy(flat: torch.Tensor, dimensions: int) -> torch.Tensor:
    """V at q = 1 of one configuration (N·D,)."""
    x = flat.view(-1, dimensions)
    first, second = torch.triu_indices(len(x), len(x), 1)
    return 0.5 * x.square().sum() + (x[first] - x[second]).square().sum(1).rsqrt().sum()


def minimum(particles: int, dimensions: int) -> torch.Tensor:
    """The lowest minimum found (N·D,), polished by Newton steps."""
    rng = np.random.default_rng(0)

    def both(flat: np.ndarray) -> tuple[float, np.ndarray]:
        x = torch.from_numpy(flat).requires_grad_()
        value = energy(x, dimensions)
        (slope,) = torch.autograd.grad(value, x)
        return value.item(), slope.numpy()

    starts = rng.normal(size=(STARTS, particles * dimensions))
    found = [minimize(both, start, jac=True, method="L-BFGS-B") for start in starts]
    levels = sorted({round(one.fun, 6) for one in found})
    print(f"  minima: {levels[:4]}")
    x = torch.from_numpy(min(found, key=lambda one: one.fun).x)
    for _ in range(4):
        hessian = torch.func.hessian(energy)(x, dimensions)
        slope = torch.func.grad(energy)(x, dimensions)
        x = x - torch.linalg.pinv(hessian, rtol=1e-8, hermitian=True) @ slope
    return x


def series(particles: int, dimensions: int) -> tuple[float, float, float]:
    """(E_cl, ½ Σ ω_i, E_2)."""
    x = minimum(particles, dimensions)
    values, vectors = torch.linalg.eigh(torch.func.hessian(energy)(x, dimensions))
    keep = values > STILL
    omega, modes = values[keep].sqrt(), vectors[:, keep]
    print(f"  {int((~keep).sum())} rotations, frequencies {omega[0]:.4f} to {omega[-1]:.4f}")

    def along(amplitudes: torch.Tensor) -> torch.Tensor:
        return energy(x + modes @ amplitudes, dimensions)

    origin = torch.zeros(len(omega), dtype=torch.float64)
    cubic = torch.func.jacfwd(torch.func.hessian(along))(origin)
    quartic = torch.func.hessian(torch.func.hessian(along))(origin)
    w = 1 / omega
    first = torch.einsum("iijj,i,j->", quartic, w, w) / 32
    three = cubic.square() * (w[:, None, None] * w[:, None] * w)
    second = -(three / (omega[:, None, None] + omega[:, None] + omega)).sum() / 48
    second = second - (torch.einsum("ijj,j->i", cubic, w).square() * w.square()).sum() / 32
    return (
        float(energy(x, dimensions)),
        float(omega.sum()) / 2,
        float(first + second) + rotation(x, modes, omega, dimensions),
    )


def rotation(x: torch.Tensor, modes: torch.Tensor, omega: torch.Tensor, dimensions: int) -> float:
    """½ Σ ⟨π_a²⟩/I_a − Σ 1/(8 I_a): what the vibrations carry of angular momentum, about the principal axes."""
    place = x.view(-1, dimensions)
    shapes = modes.T.reshape(len(omega), -1, dimensions)
    if dimensions == 3:
        inertia = place.square().sum() * torch.eye(3, dtype=x.dtype) - place.T @ place
        _, axes = torch.linalg.eigh(inertia)
        place, shapes = place @ axes, shapes @ axes
    total = 0.0
    for a, b in [(0, 1), (1, 2), (2, 0)][: 1 if dimensions == 2 else 3]:
        moment = float(place[:, [a, b]].square().sum())
        zeta = torch.einsum("ki,li->kl", shapes[..., a], shapes[..., b])
        zeta = zeta - zeta.T
        carried = zeta.square() * (omega[:, None] - omega).square() / (4 * omega[:, None] * omega)
        total += 0.5 * float(carried.sum()) / 2 / moment - 1 / (8 * moment)
    return total


if __name__ == "__main__":
    torch.set_default_dtype(torch.float64)
    for dimensions in (2, 3):
        for particles in range(2 if dimensions == 2 else 3, 9):
            found = series(particles, dimensions)
            print(f"D = {dimensions}, N = {particles}: " + ", ".join(f"{number:.9f}" for number in found), flush=True)
    # two in a plane: the series against their radial equation
    from fkflow.systems.pairs import Ions

    classical, harmonic, anharmonic = series(2, 2)
    for charge in (2.0, 4.0, 8.0, 16.0, 32.0):
        exact = Ions(particles=2, charge=charge).reference()
        assert exact is not None
        scale = charge ** (4 / 3)
        left = exact.energy - scale * classical - harmonic - anharmonic / scale
        print(f"q = {charge:g}: {exact.energy:.9f}, the series leaves {left:.3g}, {left * scale**2:.3f} q^(-8/3)")
    assert math.isfinite(classical)
