"""Exact densities against matrices on a grid, moments computed otherwise, and their own normalisation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.linalg import eigh_tridiagonal

from fkflow.hamiltonian.registry import find_system
from fkflow.hamiltonian.system import System
from fkflow.measurement.views import View, exact_density, views

KNOWN = [
    ("harmonic", {}),
    ("harmonic", {"dimensions": 1, "omega": 3.0}),
    ("harmonic", {"dimensions": 2, "omega": [1.0, 2.0]}),
    ("chain", {"particles": 5, "k": 2.0}),
    ("quartic", {"a": -5.0}),
    ("double_well", {}),
    ("mexican_hat", {}),
    ("morse", {}),
    ("poschl_teller", {}),
    ("bosons", {"particles": 2}),
    ("bosons", {"particles": 2, "omega": 4.0, "s": 0.25}),
    ("bosons", {"particles": 3, "g": 0.0}),
    ("bosons3d", {"particles": 2}),
    ("bosons3d", {"particles": 2, "g": 40.0, "omega": 4.0, "s": 0.25}),
    ("bosons3d", {"particles": 3, "g": 0.0}),
    ("moshinsky", {}),
    ("moshinsky", {"particles": 5, "dimensions": 1, "kappa": -0.1}),
    ("moshinsky", {"particles": 3, "dimensions": 2, "omega": 2.0, "kappa": 3.0}),
    ("h", {}),
    ("molecule", {"electrons": 1, "nuclei": [{"position": [0.0, 0.0, 0.0], "charge": 3.0}]}),
]


def system_of(key: str, parameters: dict) -> System:
    return find_system(key)(**parameters)


def grid(view: View, reach: float, cells: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Edges about the origin and the volume of every bin."""
    edges, volume = [], np.ones(())
    for axis, shells in zip(view.axes, view.shells, strict=True):
        e = np.linspace(0.0 if axis == "r" else -reach, reach, cells + 1)
        ball = math.pi ** (shells / 2) / math.gamma(shells / 2 + 1)
        volume = np.multiply.outer(volume, np.diff(e) if shells == 1 else ball * np.diff(e**shells))
        edges.append(e)
    return edges, volume


@pytest.mark.parametrize(("key", "parameters"), KNOWN)
def test_they_are_normalised_in_the_bins_of_a_run(key: str, parameters: dict) -> None:
    system = system_of(key, parameters)
    found = 0
    for view in views(system):
        edges, volume = grid(view, 16.0, 200 if len(view.axes) == 1 else 120)
        density = exact_density(system, view, edges)
        if density is None:
            assert view.group == "pair" and not system.isotropic, "only distances in an oval trap are unknown"
            continue
        found += 1
        assert density.shape == volume.shape and (density >= 0).all()
        assert (density * volume).sum() == pytest.approx(1, abs=2e-6)
    assert found


@pytest.mark.parametrize("key", ["he", "h2", "h2plus", "bosons", "bosons3d"])
def test_what_is_not_known_is_not_made_up(key: str) -> None:
    system = find_system(key)()
    assert all(system.exact_density(v.group, v.name, *[np.ones(3)] * len(v.axes)) is None for v in views(system))


def on_a_grid(key: str, parameters: dict, reach: float = 8.0, points: int = 6001) -> tuple[np.ndarray, np.ndarray]:
    """|φ0|² of a one-dimensional well, by finite differences: another method than any of the closed forms."""
    import torch

    x = np.linspace(-reach, reach, points)
    h = x[1] - x[0]
    heights = find_system(key)(**parameters).potential(torch.from_numpy(x)[:, None, None]).numpy()
    _, vectors = eigh_tridiagonal(heights + 1 / h**2, np.full(points - 1, -0.5 / h**2), select="i", select_range=(0, 0))
    return x, vectors[:, 0] ** 2 / h


@pytest.mark.parametrize(
    ("key", "parameters"),
    [("quartic", {}), ("quartic", {"a": -5.0}), ("double_well", {}), ("morse", {}), ("morse", {"depth": 4.0}),
     ("poschl_teller", {"lambda": 2.5}), ("harmonic", {"particles": 1, "dimensions": 1, "omega": 2.0})],
)  # fmt: skip
def test_wells_against_finite_differences(key: str, parameters: dict) -> None:
    x, expected = on_a_grid(key, parameters)
    found = find_system(key)(**parameters).exact_density("density", "x", x)
    assert np.abs(found - expected).max() < 2e-5
    # the twin: a well a little wider has another density
    other = {**parameters, {"morse": "a", "poschl_teller": "lambda", "harmonic": "omega"}.get(key, "b"): 2.7}
    if key != "double_well":
        assert np.abs(find_system(key)(**other).exact_density("density", "x", x) - expected).max() > 1e-2


def test_the_chain_against_its_matrix() -> None:
    chain = find_system("chain")(particles=6, omega0=0.7, k=1.3)
    stiffness = 0.49 * np.eye(6) + 1.3 * (np.diag([1.0, 2, 2, 2, 2, 1]) - np.eye(6, k=1) - np.eye(6, k=-1))
    values, vectors = np.linalg.eigh(stiffness)
    covariance = vectors @ np.diag(0.5 / np.sqrt(values)) @ vectors.T
    x = np.linspace(-12, 12, 4001)
    h, own = x[1] - x[0], np.diag(covariance)
    one = chain.exact_density("density", "x", x)
    assert h * (one * x**2).sum() == pytest.approx(own.mean(), rel=1e-9)
    assert h * (one * x**4).sum() == pytest.approx(3 * (own**2).mean(), rel=1e-9)
    apart = [own[i] + own[j] - 2 * covariance[i, j] for i in range(6) for j in range(i)]
    two = chain.exact_density("pair", "r", x[2000:])
    assert h * (two * x[2000:] ** 2).sum() == pytest.approx(np.mean(apart), rel=1e-6)


def test_two_bosons_against_finite_differences() -> None:
    """The relative motion on a grid in ρ, with u = √ρ φ; then the moments of one particle from those of R and ρ."""
    points, reach = 6000, 9.0
    rho = (np.arange(points) + 0.5) * reach / points
    h = rho[1] - rho[0]
    height = 0.5 * rho**2 + 15 / (math.pi * 0.25) * np.exp(-2 * (rho / 0.5) ** 2)
    # −½ (1/ρ) d/dρ ρ d/dρ on cell centres, symmetric in √ρ φ
    edges = np.arange(points + 1) * reach / points
    diagonal = 0.5 * (edges[1:] + edges[:-1]) / (rho * h**2) + height
    _, vectors = eigh_tridiagonal(
        diagonal, -0.5 * edges[1:-1] / (h**2 * np.sqrt(rho[1:] * rho[:-1])), select="i", select_range=(0, 0)
    )
    share = vectors[:, 0] ** 2
    bosons = find_system("bosons")(particles=2)
    pair = bosons.exact_density("pair", "r", math.sqrt(2) * rho)
    # ρ = r/√2: the same share in 2π r dr = 4π ρ dρ
    assert np.abs(4 * math.pi * rho * h * pair - share).max() < 1e-5 * share.max()
    r = np.linspace(0, 8, 2001)[1:]
    one = bosons.exact_density("density", "r", r)
    weight = 2 * math.pi * r * (r[1] - r[0]) * one
    second, fourth = (share @ rho**2, share @ rho**4)
    assert weight @ r**2 == pytest.approx((1 + second) / 2, rel=1e-5)
    # x = (R + ρ)/√2 with independent directions: ⟨r⁴⟩ = ¼ (⟨R⁴⟩ + 4⟨R²⟩⟨ρ²⟩ + ⟨ρ⁴⟩), R² of mean 1, R⁴ of mean 2
    assert weight @ r**4 == pytest.approx((2 + 4 * second + fourth) / 4, rel=1e-5)
    plane = bosons.exact_density("density", "xy", np.array([[0.3], [1.0]]), np.array([0.4, 0.0]))
    assert plane[0, 0] == pytest.approx(float(bosons.exact_density("density", "r", np.array([0.5]))[0]))
    assert plane.shape == (2, 2)


def test_two_bosons_in_space_against_finite_differences() -> None:
    """The relative motion with u = ρ φ on a grid; then the moments of one particle, and its density at the centre."""
    points, reach = 6000, 9.0
    rho = np.arange(1, points) * reach / points
    h = rho[1] - rho[0]
    height = 0.5 * rho**2 + 15 / (math.pi * 0.25) ** 1.5 * np.exp(-2 * (rho / 0.5) ** 2)
    _, vectors = eigh_tridiagonal(height + 1 / h**2, np.full(points - 2, -0.5 / h**2), select="i", select_range=(0, 0))
    share = vectors[:, 0] ** 2
    bosons = find_system("bosons3d")(particles=2)
    pair = bosons.exact_density("pair", "r", math.sqrt(2) * rho)
    # ρ = r/√2: the same share in 4π r² dr = 4π 2^(3/2) ρ² dρ
    assert np.abs(4 * math.pi * 2**1.5 * rho**2 * h * pair - share).max() < 1e-5 * share.max()
    r = np.linspace(0, 8, 2001)
    one = bosons.exact_density("density", "r", r)
    weight = 4 * math.pi * r**2 * (r[1] - r[0]) * one
    second, fourth = (share @ rho**2, share @ rho**4)
    # x = (R + ρ)/√2 with independent directions: ⟨R²⟩ = 3/2, ⟨R⁴⟩ = 15/4, ⟨(R·ρ)²⟩ = ⟨R²⟩⟨ρ²⟩/3
    assert weight @ r**2 == pytest.approx((1.5 + second) / 2, rel=1e-5)
    assert weight @ r**4 == pytest.approx((3.75 + 5 * second + fourth) / 4, rel=1e-5)
    assert one[0] == pytest.approx((2 / math.pi) ** 1.5 * (share @ np.exp(-(rho**2))), rel=1e-5)


def test_the_moshinsky_atom_against_its_matrix() -> None:
    """Variances from the matrix of force constants; the twin: springs a tenth stiffer."""
    n, omega, kappa = 5, 0.8, -0.1
    stiffness = omega**2 * np.eye(n) + kappa * (n * np.eye(n) - np.ones((n, n)))
    values, vectors = np.linalg.eigh(stiffness)
    covariance = vectors @ np.diag(0.5 / np.sqrt(values)) @ vectors.T
    apart = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    r = np.linspace(0, 20, 4001)
    shells = 4 * math.pi * r**2 * (r[1] - r[0])

    def variances(stiffer: float) -> list[float]:
        atom = find_system("moshinsky")(particles=n, omega=omega, kappa=stiffer * kappa)
        densities = (atom.exact_density(group, "r", r) for group in ("density", "pair"))
        return [float(shells @ (density * r**2)) / 3 for density in densities]

    assert variances(1.0) == pytest.approx([covariance[0, 0], apart], rel=1e-9)
    assert all(wrong > 1.05 * right for wrong, right in zip(variances(1.1), (covariance[0, 0], apart), strict=True))
