"""What every network promises for any parameters: symmetry, cusps, decay, exactness at the start, seeds."""

from __future__ import annotations

from itertools import permutations

import pytest
import torch
from landscapes import explore
from torch import Tensor

from fkflow.hamiltonian.registry import find_system
from fkflow.hamiltonian.system import System
from fkflow.networks.choice import LogPsi, MolecularNet, PairDrift, build
from fkflow.sampling.local_energy import local_energy


def molecule(electrons: int, *sites: tuple[float, float, float, float]) -> System:
    """Electrons about nuclei given as (x, y, z, charge)."""
    return find_system("molecule")(electrons=electrons, nuclei=[{"position": s[:3], "charge": s[3]} for s in sites])


TRIANGLE = ((0.0, 0.0, 0.0, 1.0), (1.65, 0.0, 0.0, 1.0), (0.825, 1.429, 0.0, 2.0))
MOLECULES = {
    "h": find_system("h")(),
    "he+": molecule(1, (0.0, 0.0, 0.0, 2.0)),
    "h2+": find_system("h2plus")(),
    "heh2+": molecule(1, (0.0, 0.0, -0.7, 2.0), (0.0, 0.0, 0.7, 1.0)),
    "three nuclei, one electron": molecule(1, *TRIANGLE),
    "he": find_system("he")(),
    "h-": find_system("h_minus")(),
    "h2": find_system("h2")(),
    "heh+": find_system("heh_plus")(),
    "three nuclei, two electrons": molecule(2, *TRIANGLE),
}
SMOOTH = {
    "round": find_system("harmonic")(particles=3, dimensions=2),
    "oval": find_system("harmonic")(particles=3, dimensions=2, omega=[1.0, 2.0]),
    "one in a trap": find_system("harmonic")(particles=1, dimensions=3),
    "chain": find_system("chain")(particles=4),
    "quartic": find_system("quartic")(),
    "double_well": find_system("double_well")(),
    "mexican_hat": find_system("mexican_hat")(),
    "morse": find_system("morse")(),
    "poschl_teller": find_system("poschl_teller")(),
    "bosons": find_system("bosons")(particles=3),
}
SYSTEMS = MOLECULES | SMOOTH
each_molecule = pytest.mark.parametrize("system", MOLECULES.values(), ids=MOLECULES)
each_smooth = pytest.mark.parametrize("system", SMOOTH.values(), ids=SMOOTH)
each_system = pytest.mark.parametrize("system", SYSTEMS.values(), ids=SYSTEMS)


def network(system: System, kind: str = "auto", seed: int = 0, hidden: int = 12, layers: int = 2):
    return build(system, explore(system), kind, hidden, layers, seed)


def configurations(system: System, batch: int = 6, seed: int = 0) -> Tensor:
    """Places where the walkers of a system are."""
    return explore(system).start(batch, torch.Generator().manual_seed(seed))


def rotation(dimensions: int, seed: int = 0) -> Tensor:
    normal = torch.randn(dimensions, dimensions, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.linalg.qr(normal)[0]


def directions(count: int, seed: int = 0) -> Tensor:
    """Unit vectors (count, 3) that average to zero."""
    half = torch.randn(count // 2, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    half = half / half.norm(dim=1, keepdim=True)
    return torch.cat([half, -half])


# --------------------------------------------------------------------------------------------- symmetry


@pytest.mark.parametrize("name", [name for name, system in SYSTEMS.items() if system.particles > 1])
def test_exchange(name: str, perturbed) -> None:
    system = SYSTEMS[name]
    net, x = perturbed(network(system)), configurations(system)
    value = net(x)
    assert value.std() > 1e-3
    for order in permutations(range(system.particles)):
        if system.identical:
            assert torch.allclose(net(x[:, order]), value, rtol=0, atol=1e-10)
        elif order == (1, 0, 2, 3):
            assert (net(x[:, order]) - value).abs().max() > 1e-2


@each_system
def test_isotropic_systems_have_no_direction(system: System, perturbed) -> None:
    net, x = perturbed(network(system)), configurations(system)
    turned = x @ rotation(system.dimensions)
    difference = (net(turned) - net(x)).abs().max()
    if system.isotropic:
        assert difference < 1e-10
    elif system.dimensions > 1:
        assert difference > 1e-3  # the twin: where V has directions, ψ may have them


@pytest.mark.parametrize("name", ["h2", "h2+", "heh+"])
def test_molecules_on_an_axis_may_be_turned_about_it(name: str, perturbed) -> None:
    net, x = perturbed(network(MOLECULES[name])), configurations(MOLECULES[name])
    turn = torch.eye(3, dtype=torch.float64)
    turn[:2, :2] = rotation(2)
    assert torch.allclose(net(x @ turn), net(x), rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", ["h2", "h2+"])
def test_equal_nuclei_may_be_exchanged(name: str, perturbed) -> None:
    net, x = perturbed(network(MOLECULES[name])), configurations(MOLECULES[name])
    assert torch.allclose(net(-x), net(x), rtol=0, atol=1e-10)


def test_different_nuclei_may_not_be_exchanged(perturbed) -> None:
    net, x = perturbed(network(MOLECULES["heh+"])), configurations(MOLECULES["heh+"])
    assert (net(-x) - net(x)).abs().max() > 0.1


@pytest.mark.parametrize("name", ["round", "oval", "bosons", "h2", "he", "quartic"])
def test_pair_drift_is_equivariant(name: str, perturbed) -> None:
    system = SYSTEMS[name]
    net, x = perturbed(network(system, "pair_drift")), configurations(system)
    assert isinstance(net, PairDrift)
    v = net(x)
    assert v.shape == x.shape and v.isfinite().all()
    for order in permutations(range(system.particles)):
        assert torch.allclose(net(x[:, order]), v[:, order], rtol=1e-10, atol=1e-10)
    assert torch.equal(net.drift(x), v.detach())


# ------------------------------------------------------------------------------------------------ cusps


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


# ------------------------------------------------------------------------------------ exact at the start


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


# ------------------------------------------------------------------------------------------- everything


@each_system
@pytest.mark.parametrize("layers", [1, 3])
def test_shapes_and_types(system: System, layers: int) -> None:
    net, x = network(system, layers=layers), configurations(system)
    assert isinstance(net, LogPsi)
    value, drift = net.value_and_drift(x)
    assert value.shape == (len(x),) and drift.shape == x.shape
    assert value.isfinite().all() and drift.isfinite().all()
    assert value.dtype == drift.dtype == torch.float64
    assert not value.requires_grad and not drift.requires_grad and not x.requires_grad
    tensors = dict(net.named_parameters()) | dict(net.named_buffers())
    floating = {name: t.dtype for name, t in tensors.items() if t.is_floating_point()}
    assert set(floating.values()) == {torch.float64}
    assert torch.equal(net.drift(x), drift)


@each_system
def test_the_drift_is_the_gradient(system: System, perturbed) -> None:
    net, x, h = perturbed(network(system)), configurations(system), 1e-5
    value, drift = net.value_and_drift(x)
    assert torch.allclose(value, net(x), rtol=1e-14)
    for i in range(system.particles):
        for a in range(system.dimensions):
            shift = torch.zeros_like(x)
            shift[:, i, a] = h
            slope = (net(x + shift) - net(x - shift)) / (2 * h)
            assert torch.allclose(drift[:, i, a], slope.detach(), rtol=1e-6, atol=1e-6)


@each_system
@pytest.mark.parametrize("kind", ["auto", "pair_drift"])
def test_built_from_the_seed_alone(system: System, kind: str) -> None:
    before = torch.get_rng_state()
    first = network(system, kind, 3).state_dict()
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(99)
    same, other = network(system, kind, 3).state_dict(), network(system, kind, 4).state_dict()
    torch.set_rng_state(before)
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


@each_system
def test_batches_are_independent(system: System, perturbed) -> None:
    net, x = perturbed(network(system)), configurations(system)
    alone = torch.cat([net(row[None]) for row in x])
    assert torch.allclose(net(x), alone, rtol=1e-12, atol=1e-12)


def test_unit_systems_give_the_same_network(perturbed) -> None:
    """Lengths times 2, energies by 4: the same ψ, stretched."""
    small, large = (
        perturbed(network(find_system("bosons")(particles=3, s=s, omega=w))) for s, w in ((0.5, 1.0), (1.0, 0.25))
    )
    x = configurations(SMOOTH["bosons"])
    assert torch.allclose(large(2 * x), small(x), rtol=1e-10, atol=1e-10)


def test_kinds() -> None:
    assert isinstance(network(MOLECULES["h2"]), MolecularNet)
    names = {key: type(network(SMOOTH[key])).__name__ for key in ("bosons", "chain", "double_well", "morse")}
    assert names == {
        "bosons": "SymmetricNet",
        "chain": "GenericNet",
        "double_well": "SymmetricNet",
        "morse": "GenericNet",
    }
    assert type(network(SMOOTH["round"], "generic")).__name__ == "GenericNet"


def test_pair_drift_starts_at_the_gaussian_drift() -> None:
    """Its perceptrons begin at a hundredth: v = −ωx up to a few percent."""
    system = find_system("harmonic")(particles=3, dimensions=2, omega=2.0)
    x = configurations(system, 64)
    error = (network(system, "pair_drift")(x) + 2 * x).norm() / (2 * x).norm()
    assert error < 0.1
