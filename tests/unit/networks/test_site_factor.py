"""The factor that holds the particles of a crystal: symmetric, the same at every image and for every place of the crystal."""

from __future__ import annotations

import copy
import math

import pytest
import torch

from fkflow.hamiltonian.box import sides
from fkflow.hamiltonian.landscape import explore
from fkflow.hamiltonian.registry import find_system
from fkflow.measurement.crystal import AT_SITES, Crystal
from fkflow.networks.choice import build
from fkflow.networks.site_factor import HELD, SiteFactor, site_factor
from fkflow.recipe.config import make_system
from fkflow.sampling.metropolis import Walkers, metropolis

CRYSTALS = [("charges2d", "triangular", 12), ("liquid_helium", "fcc", 32), ("liquid_helium", "hcp", 48)]
DOUBLE = torch.float64


def crystal(name: str, start: str, particles: int) -> tuple[SiteFactor, torch.Tensor, torch.Tensor, float]:
    """The factor, the sites (D, N, 1), displacements of unit variance (D, N, 20), and the distance of nearest sites."""
    system = make_system(find_system(name), {"particles": particles, "start": start})
    land = explore(system)
    factor = site_factor(system, land)
    sites = system.crystal_sites().T[..., None] / land.length
    noise = torch.randn(*sites.shape[:2], 20, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    return factor, sites, noise, float((sites[:, 1:] - sites[:, :1]).norm(dim=0).min())


@pytest.mark.parametrize(("name", "start", "particles"), CRYSTALS)
def test_particles_are_held_relative_to_the_others(name: str, start: str, particles: int) -> None:
    """It is −α Σ |u_i − ū|²/2 near the sites, wherever the crystal is; the twins: u_i itself, a crystal that is stretched."""
    factor, sites, noise, nearest = crystal(name, start, particles)
    dim, wide = len(sites), 0.01 * nearest
    # so stiff that a particle is at no other site
    alpha = 6 * dim / (2 * (HELD * nearest) ** 2)
    factor.log_stiffness.data += math.log(6)
    anywhere = 30 * torch.randn(dim, 1, 20, generator=torch.Generator().manual_seed(1), dtype=DOUBLE)
    u = wide * noise

    def sum_of(u: torch.Tensor) -> torch.Tensor:
        return -0.5 * alpha * u.square().sum((0, 1))

    exact, pinned = sum_of(u - u.mean(1, keepdim=True)), sum_of(u)
    with torch.no_grad():
        found, (gradient, _) = factor.evaluate(sites + anywhere + u, DOUBLE, derivatives=True)
        moved = factor.value(sites[:, torch.randperm(particles)] * 1.05 + u, DOUBLE)
    assert torch.allclose(found, exact, rtol=2e-3) and not torch.allclose(found, pinned, rtol=2e-3)
    assert float(gradient.sum(1).abs().max()) < 1e-9 * float(gradient.abs().max())
    assert not torch.allclose(moved, exact, rtol=0.1)


@pytest.mark.parametrize(("name", "start", "particles"), CRYSTALS)
def test_what_it_does_not_depend_on(name: str, start: str, particles: int) -> None:
    """Exchanges, images and the place of the crystal leave value, drift and Laplacian, in a crystal as loose as the start says;
    the twin: two particles that are a little nearer."""
    factor, sites, noise, nearest = crystal(name, start, particles)
    order = torch.randperm(particles, generator=torch.Generator().manual_seed(2))
    y = sites + 0.2 * nearest / math.sqrt(len(sites)) * noise
    changed = y + 3.7
    changed[:, 0] += 5 * changed.new_tensor(factor.sides)[:, None]
    with torch.no_grad():
        here, there = (
            factor.evaluate(y, DOUBLE, derivatives=True),
            factor.evaluate(changed[:, order], DOUBLE, derivatives=True),
        )
        changed[:, 0] += 1e-3
        twin = factor.value(changed, DOUBLE)
    assert torch.allclose(here[0], there[0], rtol=1e-9)
    assert torch.allclose(here[1][0][:, order], there[1][0], rtol=1e-8, atol=1e-9)
    assert torch.allclose(here[1][1], there[1][1], rtol=1e-9)
    assert not torch.allclose(here[0], twin, rtol=1e-6)


def test_its_gradient_by_the_stiffness() -> None:
    """As of differences, though R moves with α; for a copy of α of each walker. The twin: R that is elsewhere."""
    factor, sites, noise, nearest = crystal(*CRYSTALS[0])
    factor, y, step = factor.double(), sites + 0.15 * nearest * noise, 1e-5

    def value(change: float) -> torch.Tensor:
        moved = copy.deepcopy(factor)
        moved.log_stiffness.data += change
        return moved.value(y, DOUBLE).detach()

    expected = (value(step) - value(-step)) / (2 * step)
    copies = factor.log_stiffness.detach().expand(y.shape[2], 1).clone().requires_grad_()
    factor._parameters["log_stiffness"] = copies
    (found,) = torch.autograd.grad(factor.value(y, DOUBLE).sum(), copies)
    assert torch.allclose(found[:, 0], expected, rtol=1e-7)
    factor._place = lambda angle, alpha: angle.new_full((angle.shape[0], angle.shape[1]), 0.3)
    (wrong,) = torch.autograd.grad(factor.value(y, DOUBLE).sum(), copies)
    assert not torch.allclose(wrong[:, 0], expected, rtol=1e-2)


def test_it_is_smooth_at_every_edge() -> None:
    """Value, drift and Laplacian on both sides of an edge; the twin: waves that do not fit into the box."""
    factor, sites, noise, nearest = crystal(*CRYSTALS[0])
    sides = factor.sides

    def jumps() -> float:
        y, changes = sites + 0.1 * nearest * noise, []
        for axis, side in enumerate(sides):
            y[axis, 0] = 0.5 * side * (1 - 1e-12)
            found = []
            for _ in range(2):
                with torch.no_grad():
                    value, (gradient, laplacian) = factor.evaluate(y, DOUBLE, derivatives=True)
                found.append(torch.cat([value, gradient.flatten(), laplacian]))
                y[axis, 0] -= side
            changes.append((found[0] - found[1]).abs().max())
        return float(torch.stack(changes).max())

    assert jumps() < 1e-8
    factor.sides = tuple(1.01 * side for side in sides)
    assert jumps() > 1e-3


def test_older_files_have_waves_or_neither() -> None:
    """A state of an earlier version has waves of the density in place of the sites, or neither: ψ has the same from then on."""
    system = make_system(find_system("charges2d"), {"particles": 12, "start": "triangular"})
    land, x = explore(system), system.start(5, torch.Generator().manual_seed(0))
    net = build(system, land, "periodic", 6, 2, 0)
    sites = net.site_factor.value(net.coordinates(x), DOUBLE).detach()
    state = {name: value for name, value in net.state_dict().items() if "site_factor" not in name}
    without = net.value(x) - sites
    net.load_state_dict(state)
    assert net.site_factor is None and torch.allclose(net.value(x), without, atol=1e-9)
    net = build(system, land, "periodic", 6, 2, 0)
    # as that version stored them: three waves of these two kinds are at Bragg peaks
    weights = torch.zeros(28, dtype=DOUBLE)
    weights[3] = weights[19] = -0.268
    net.load_state_dict(state | {"wave_factor.weights": weights})
    turns = x / x.new_tensor(system.box) @ x.new_tensor([[0, 3, 3], [4, 2, -2]])
    waves = torch.polar(torch.ones_like(turns), 2 * math.pi * turns).sum(1).abs().square().sub(12).sum(1) * 0.268 / 12
    assert net.site_factor is None and torch.allclose(net.value(x), without + waves, atol=1e-9)


def test_the_start_is_solid() -> None:
    """Walkers that move by ψ² of a new network stay at their sites; the twin: they melt without the factor."""
    system = make_system(find_system("charges2d"), {"particles": 12, "start": "triangular", "g": 200.0})
    land = explore(system)
    crystal = Crystal(system.crystal_sites(), sides(system), torch.device("cpu"))

    def at_sites(held: bool) -> float:
        net, generator = build(system, land, "auto", 6, 2, 0), torch.Generator().manual_seed(0)
        net.site_factor = net.site_factor if held else None
        walkers = Walkers(system.start(24, generator), 0.1 * land.length**2)
        for _ in range(6):
            metropolis(net, walkers, generator, 10)
        return float(crystal.columns(walkers.x)[AT_SITES].mean())

    held, free = at_sites(True), at_sites(False)
    assert held > 0.95 and free < 0.9, (held, free)
