"""Where charges meet, far away and at the start: cusps, decay, exact states."""

from __future__ import annotations

import pytest
import torch
from landscapes import explore
from networks_at_hand import MOLECULES, configurations, directions, each_molecule, each_smooth, molecule, network
from torch import Tensor

from fkflow.hamiltonian.registry import find_system
from fkflow.hamiltonian.system import System
from fkflow.sampling.local_energy import local_energy


@each_molecule
def test_electron_nucleus_cusp(system: System, perturbed) -> None:
    """∂ log ψ/∂r at a nucleus is −Z (Kato), whatever the parameters and wherever the other electron."""
    net = perturbed(network(system))
    nuclei, r = system.nuclei(), 1e-5
    away = configurations(system, 1, seed=4)
    for position, charge in zip(nuclei.positions, nuclei.charges, strict=True):
        for electron in range(system.particles):
            x = away.repeat(65, 1, 1)
            x[:, electron] = torch.tensor(position, dtype=torch.float64)
            x[1:, electron] += r * directions(64)
            value = net(x).detach()
            assert float((value[1:] - value[0]).mean()) / r == pytest.approx(-charge, abs=3e-3)


@pytest.mark.parametrize("name", [name for name, system in MOLECULES.items() if system.particles == 2])
def test_electron_electron_cusp(name: str, perturbed) -> None:
    """∂ log ψ/∂r_12 where two electrons meet is +½, averaged over directions."""
    system, r = MOLECULES[name], 1e-5
    net = perturbed(network(system))
    x = torch.tensor([0.3, 0.5, -0.2], dtype=torch.float64).expand(65, 2, 3).clone()
    x[1:, 0] += 0.5 * r * directions(64)
    x[1:, 1] -= 0.5 * r * directions(64)
    value = net(x).detach()
    assert float((value[1:] - value[0]).mean()) / r == pytest.approx(0.5, abs=3e-3)


def approach(system: System, kind: str, r: float) -> Tensor:
    """Configurations where one electron is at r from the first nucleus, or two at r from each other."""
    x = configurations(system, 1, seed=4).repeat(32, 1, 1)
    x[:, 0] = x[:, -1] if kind == "electrons" else torch.tensor(system.nuclei().positions[0], dtype=torch.float64)
    x[:, 0] += r * directions(32)
    return x


@each_molecule
def test_the_local_energy_stays_finite_where_charges_meet(system: System, perturbed) -> None:
    net = perturbed(network(system))
    for kind in ("nucleus", "electrons")[: system.particles]:
        near, nearer = (local_energy(net, system, approach(system, kind, r)) for r in (1e-3, 1e-5))
        assert nearer.abs().max() < 100 and (nearer - near).abs().max() < 1.0


@pytest.mark.parametrize("kind", ["nucleus", "electrons"])
def test_a_wrong_cusp_diverges(kind: str, perturbed) -> None:
    """The twin: the network of another charge, or of electrons that do not repel."""
    system = MOLECULES["he"]
    net = perturbed(network(molecule(2, (0.0, 0.0, 0.0, 1.9)) if kind == "nucleus" else system))
    if kind == "electrons":
        net.forward = lambda x, forward=net.forward: forward(x) - 0.1 * (x[:, 0] - x[:, 1]).norm(dim=-1)
    assert local_energy(net, system, approach(system, kind, 1e-5)).abs().min() > 1e3


@each_molecule
def test_log_psi_falls_linearly_far_away(system: System, perturbed) -> None:
    net = perturbed(network(system))
    for electrons in ([0], range(system.particles)):
        x = configurations(system, 8).repeat(3, 1, 1, 1)
        for scale, part in zip((1e3, 2e3, 3e3), x, strict=True):
            part[:, electrons] += scale * directions(8)[:, None]
        first, second, third = (net(part) for part in x)
        slope = (second - first) / 1e3
        assert (slope < -0.05).all()
        assert torch.allclose((third - second) / 1e3, slope, rtol=0.03)


@each_smooth
def test_psi_vanishes_far_away(system: System, perturbed) -> None:
    net, land = perturbed(network(system), 0.2), explore(system)
    x = land.start(16, torch.Generator().manual_seed(0))
    # thirty times the place is far for an exponential tail too
    x[x.abs() < 0.2 * land.length] = land.length
    heights = torch.stack([net(scale * x) for scale in (1.0, 30.0, 100.0, 300.0)])
    assert (heights[1] < heights[0] - 3).all() and (heights.diff(dim=0)[1:] < -10).all()


@pytest.mark.parametrize(
    "system",
    [
        find_system("harmonic")(particles=4, dimensions=3),
        find_system("harmonic")(particles=2, dimensions=2, omega=0.2),
        find_system("harmonic")(particles=1, dimensions=3, omega=5.0),
        find_system("harmonic")(particles=3, dimensions=3, omega=[1.0, 2.0, 0.3]),
        find_system("harmonic")(particles=1, dimensions=2, omega=[1.0, 3.0]),
        find_system("chain")(particles=8),
        find_system("chain")(particles=5, omega0=0.2, k=7.0),
        find_system("chain")(particles=2),
        find_system("bosons")(particles=3, g=0.0, omega=2.0),
    ],
    ids=lambda s: f"{s.key}-{s.particles}-{s.dimensions}",
)
def test_oscillators_are_exact_before_training(system: System) -> None:
    energies = local_energy(network(system), system, configurations(system, 64))
    exact = system.reference().energy
    assert (energies / exact - 1).abs().max() < 1e-8


def test_a_wrong_frequency_is_not_exact() -> None:
    """The twin of the above."""
    system, other = find_system("chain")(particles=8), find_system("chain")(particles=8, k=1.1)
    assert local_energy(network(other), system, configurations(system, 64)).std() > 1e-2


@pytest.mark.parametrize("charge", [1.0, 2.0])
def test_one_electron_atoms_are_contained(charge: float) -> None:
    """Both shells at the exponent Z make e^(−Zr): local energy −Z²/2 everywhere."""
    system = molecule(1, (0.0, 0.0, 0.0, charge))
    net = network(system)
    with torch.no_grad():
        net.log_exponents.fill_(float(torch.tensor(charge, dtype=torch.float64).log()))
    energies = local_energy(net, system, configurations(system, 64))
    assert (energies + charge**2 / 2).abs().max() < 1e-9
