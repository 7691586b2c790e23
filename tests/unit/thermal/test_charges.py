"""Charges at a temperature: exact kernels of pairs, which pairs there are, weights of paths about a nucleus."""

from __future__ import annotations

import math
from itertools import islice

import numpy as np
import pytest
import torch

from fkflow.hamiltonian.landscape import explore
from fkflow.hamiltonian.masses import to_unit_masses
from fkflow.hamiltonian.registry import find_system
from fkflow.statistics import z_score
from fkflow.systems.free_energies import about_a_nucleus
from fkflow.thermal import coulomb_kernel
from fkflow.thermal.estimate import Sums, batches
from fkflow.thermal.pose import pose
from tests.unit.thermal.conftest import bridges_of, random_fit

molecule, coulomb, hooke = (find_system(name) for name in ("trapped_molecule", "coulomb", "hooke"))
H2 = [{"position": [0.0, 0.0, -0.7], "charge": 1.0}, {"position": [0.0, 0.0, 0.7], "charge": 1.0}]
PAIR = [{"name": "electron", "count": 1, "charge": -1.0}, {"name": "hole", "count": 1, "charge": 2.0, "mass": 3.0}]


@pytest.mark.parametrize("g", [-0.6, 0.4])
def test_the_kernel_of_two_charges_at_one_place(g: float) -> None:
    """Against the published series Σ P_k (g √2)^k of u at r = r′ = 0 (Pollock 1988)."""
    zero = torch.zeros(1, dtype=torch.float64)
    # g = strength √time
    u = float(coulomb_kernel.action(4 * g, 1 / 16, zero, zero, zero))
    terms = (1.772453851, -0.074137740, 0.005834805, -0.000382686)
    assert u == pytest.approx(sum(p * (math.sqrt(2) * g) ** k for k, p in enumerate(terms, 1)), abs=2e-5)
    # the first order alone would be seen
    assert u != pytest.approx(terms[0] * math.sqrt(2) * g, rel=0.005)


@pytest.mark.parametrize("r", [0.1, 1.5, 9.0])
def test_the_kernel_takes_the_ground_state_to_itself(r: float) -> None:
    """∫ e^(−H)(r, r′) e^(−|g| r′) dr′ = e^(g²/2) e^(−|g| r), with table and line."""
    g = -0.5
    after = np.linspace(max(1e-4, r - 7), r + 7, 700)
    cosine, weights = np.polynomial.legendre.leggauss(80)
    far, angle = np.meshgrid(after, cosine, indexing="ij")
    between = np.sqrt((r - far) ** 2 + 2 * r * far * (1 - angle))
    begin = torch.full(far.shape, r, dtype=torch.float64)
    u = coulomb_kernel.action(g, 1.0, begin, torch.as_tensor(far), torch.as_tensor(between)).numpy()
    kernel = np.exp(-0.5 * between**2 - u) / (2 * math.pi) ** 1.5
    found = np.trapezoid((kernel * np.exp(g * far) * 2 * math.pi * far**2) @ weights, after)
    assert found / math.exp(g * r) == pytest.approx(math.exp(g**2 / 2), rel=3e-4)


CASES = {
    "hydrogen": (molecule(), [-1.0]),
    "h2": (molecule(electrons=2, nuclei=H2), [-1.0, -1.0, -1.0, -1.0, math.sqrt(0.5)]),
    "hooke": (hooke(), [math.sqrt(0.5)]),
    "exciton": (coulomb(omega=0.5, species=PAIR), [-2 * math.sqrt(0.75)]),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_left_of_v_is_smooth(case: str) -> None:
    """κ/ℓ is c √μ; where charges meet, V without them is finite, and its slope that of its values."""
    system, strengths = CASES[case]
    unit = to_unit_masses(system)
    problem = pose(unit, explore(unit), 2.0, "bose", 0)
    charges = problem.charges
    assert charges is not None
    assert sorted(charges.strengths) == pytest.approx(sorted(c * problem.length for c in strengths), rel=1e-4)
    generator = torch.Generator().manual_seed(1)
    y = torch.randn(5, problem.reference.bodies, problem.reference.axes, generator=generator, dtype=torch.float64)
    value, slope = problem.rest(y)
    along, step = torch.randn(y.shape, generator=generator, dtype=torch.float64), 1e-5
    ahead, behind = (problem.rest(y + side * step * along)[0] for side in (1, -1))
    torch.testing.assert_close((slope * along).sum((1, 2)), (ahead - behind) / (2 * step), rtol=1e-5, atol=1e-6)
    z = problem.to_solver(y)
    torch.testing.assert_close(
        value + problem.reference.potential(y) + charges.energy(z), problem.system.potential(z) * problem.length**2
    )
    smeared = [problem.softened(y + side * step * along) for side in (1, -1)]
    known = slope + problem.pull(y) + problem.reference.frequencies**2 * y
    torch.testing.assert_close(
        (known * along).sum((1, 2)), (smeared[0] - smeared[1]) / (2 * step), rtol=1e-5, atol=1e-6
    )


def test_the_mean_weight_of_hydrogen_in_a_trap_is_z(generator: torch.Generator) -> None:
    """Few steps, a wrong reference and a random drift, against levels of the radial equation."""
    beta, omega = 1.5, 0.7
    bridges = bridges_of(molecule(omega=omega), beta, factor=0.8)
    natural = beta / bridges.problem.length**2
    fitted, sums = random_fit(bridges, 0.8, natural, size=0.1), Sums(natural, bridges.problem.gain)
    for batch in islice(batches(bridges, fitted, natural, 8, 1024, generator), 16):
        sums.add(batch)
    log_z = {charge: -beta * about_a_nucleus(charge, omega, beta)[0] for charge in (1.0, 1.06)}
    found = sums.log_z()
    assert found.error < 0.02 and abs(z_score(found.value, found.error, log_z[1.0])) < 3.5
    assert abs(z_score(found.value, found.error, log_z[1.06])) > 3.5
    energy, _, _ = sums.slopes()
    ahead, behind = (-b * about_a_nucleus(1.0, omega, b)[0] for b in (beta + 1e-3, beta - 1e-3))
    scale = bridges.problem.length**2
    assert abs(z_score(energy.value / scale, energy.error / scale, (behind - ahead) / 2e-3)) < 3.5
    assert energy.error / scale < 0.1


def test_levels_about_a_nucleus() -> None:
    """A weak charge shifts the levels of the trap to first order by −Z ⟨1/r⟩, a weak trap those of hydrogen by ½ω²⟨r²⟩."""
    found = about_a_nucleus(1e-4, 2.0, None)
    assert found is not None and found[0] == pytest.approx(3.0 - 1e-4 * 2 * math.sqrt(2 / math.pi), abs=1e-7)
    found = about_a_nucleus(1.0, 0.01, None)
    assert found is not None and found[0] == pytest.approx(-0.5 + 0.5 * 1e-4 * 3, abs=1e-6)
    free = about_a_nucleus(1e-9, 1.0, 1.0)
    assert free is not None and free[0] == pytest.approx(3 * math.log(2 * math.sinh(0.5)), abs=1e-6)
