"""The frozen drift for pictures: its field, the most likely place, paths that follow it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from fkflow.hamiltonian.registry import find_system
from fkflow.measurement.drift_field import (
    FIELD_POINTS,
    LINE_POINTS,
    SHOWN_PARTICLES,
    drift_fields,
    find_most_likely,
    rotate_into_plane,
    sample_trajectories,
)
from fkflow.networks.choice import build


@pytest.mark.parametrize("kind", ["auto", "pair_drift"])
def test_the_drift_field(name: str, kind: str, perturbed, systems, walkers, landscape) -> None:
    system = systems[name]
    net = perturbed(build(system, landscape(system), kind, 6, 1, 0), 0.1)
    x = walkers(system, 300)
    fields = drift_fields(net, system, x, torch.Generator().manual_seed(0))
    # of several species the first particle of each, here the bosons 0 and 1 and the impurity 2
    assert [field.moved for field in fields] == ([0, 2] if name == "mixture" else [0])
    field, who = fields[-1], "_b" if name == "mixture" else ""
    line = system.dimensions == 1
    shape = (LINE_POINTS,) if line else (FIELD_POINTS, FIELD_POINTS)
    assert field.log_psi.shape == shape and field.vectors.shape == (*shape, 1 if line else 2)
    assert field.positions.shape == (system.particles, system.dimensions)
    assert len(field.axes) == (1 if line else 2) and field.name == "".join(a.name for a in field.axes) + who
    assert np.isfinite(field.vectors).all()
    # they stand where no walker is more likely
    place = torch.from_numpy(field.positions)[None]
    if kind == "pair_drift":
        assert system.potential(place) <= system.potential(x).min()
    else:
        assert net(place) >= net(x).max()
    # each vector is the drift of the moved particle at that point
    where = tuple(n // 3 for n in shape)
    place = torch.from_numpy(field.positions)[None].clone()
    plane = (2, 0) if system.nuclei() is not None else (0, 1)[: len(field.axes)]
    if system.nuclei() is not None:
        place[0, 0, 1] = 0.0
    for axis, index, column in zip(field.axes, where, plane, strict=True):
        place[0, field.moved, column] = axis.centres[index]
    assert net.drift(place)[0, field.moved, list(plane)].numpy() == pytest.approx(
        field.vectors[where], rel=1e-9, abs=1e-12
    )
    if kind == "pair_drift":
        assert np.isnan(field.log_psi).all()
    else:
        assert field.log_psi[where] == pytest.approx(net(place).item(), rel=1e-9)


def test_the_field_is_the_slope_of_log_psi(systems, walkers, landscape) -> None:
    """On the grid itself: finite differences of the Gaussian's log ψ are exact inside."""
    system = systems["oval 2D"]
    net = build(system, landscape(system), "auto", 6, 1, 0)
    (field,) = drift_fields(net, system, walkers(system, 500), torch.Generator().manual_seed(0))
    x, y = (axis.centres for axis in field.axes)
    slopes = np.stack(np.gradient(field.log_psi, x, y), -1)
    assert np.allclose(slopes[1:-1, 1:-1], field.vectors[1:-1, 1:-1], rtol=1e-6, atol=1e-8)
    # the most likely place is where the others stand: log ψ is highest near the moved particle's own
    assert field.log_psi.max() == pytest.approx(0.0, abs=2.0)


def test_a_round_trap_in_space_is_cut_through_two_neighbours(systems, walkers, landscape) -> None:
    """The turned configuration is as likely, its distances are the same, and two of it are in the plane of the picture."""
    system = find_system("bosons3d")(particles=5)
    place = torch.randn(5, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = rotate_into_plane(place)
    assert torch.allclose(torch.cdist(found, found), torch.cdist(place, place))
    assert torch.allclose(found.norm(dim=1), place.norm(dim=1))
    nearest = 1 + int(torch.cdist(place, place)[0, 1:].argmin())
    assert torch.allclose(found[[0, 0, nearest], [1, 2, 2]], torch.zeros(3, dtype=torch.float64), atol=1e-12)
    assert found[0, 0] > 0 and found[nearest, 1] > 0
    ideal = find_system("bosons3d")(particles=5, g=0.0)
    net = build(ideal, landscape(ideal), "auto", 6, 1, 0)
    # at its start a Gaussian, whose most likely place is the origin for all: nothing to turn
    (field,) = drift_fields(net, system, walkers(system, 300), torch.Generator().manual_seed(0))
    assert (np.abs(field.positions[:, 2]) > 1e-12).all() and np.abs(field.positions).max() < 1e-3
    with torch.no_grad():
        net.jastrow -= 3.0
    (field,) = drift_fields(net, system, walkers(system, 300), torch.Generator().manual_seed(0))
    assert np.sum(np.abs(field.positions[:, 2]) < 1e-12) >= 2 and np.abs(field.positions).max() > 0.3
    # the twin: an oval trap is left as it is
    oval = systems["oval 3D"]
    net = build(oval, landscape(oval), "auto", 6, 1, 0)
    with torch.no_grad():
        net.jastrow -= 3.0
    (field,) = drift_fields(net, oval, walkers(oval, 300), torch.Generator().manual_seed(0))
    assert (np.abs(field.positions[:, 2]) > 1e-12).all() and np.abs(field.positions).max() > 0.3


def test_the_most_likely_place(hydrogenic, gaussian, systems) -> None:
    """The origin of a Gaussian; the cusp of an atom, where the slope does not vanish: no walker is there before."""
    net, chain = gaussian([1.0]), systems["chain"]
    x = net.sample(200, (3, 1), 0)
    assert find_most_likely(net, chain, x, torch.Generator().manual_seed(0)).abs().max() < 1e-3
    assert x.abs().amax((1, 2)).min() > 1e-2
    atom = find_system("h")()
    x = hydrogenic().sample(200, 0)
    place = find_most_likely(hydrogenic(), atom, x, torch.Generator().manual_seed(0))
    assert place.norm() < 1e-3 < x.norm(dim=-1).min()


def test_trajectories_follow_the_drift(name: str, systems, walkers, landscape) -> None:
    system = systems[name]
    net = build(system, landscape(system), "auto", 6, 1, 0)
    x = walkers(system, 50)
    found = sample_trajectories(net, system, x, 0.8, torch.Generator().manual_seed(0))
    shown, times, n, dim = found.positions.shape
    assert shown * n >= SHOWN_PARTICLES > (shown - 1) * n and (n, dim) == (system.particles, system.dimensions)
    assert len(found.times) == times and found.times[0] == 0 and found.times[-1] == pytest.approx(1.5 * 0.8)
    assert np.array_equal(found.positions[:, 0], x[:shown].numpy())
    # what is left of a step without its drift is white noise of variance dt
    steps, dt = np.diff(found.positions, axis=1), found.times[1]
    drift = net.drift(torch.from_numpy(found.positions[:, :-1]).flatten(0, 1)).numpy().reshape(steps.shape)
    noise = (steps - drift * dt) / math.sqrt(dt)
    assert abs(noise.mean()) < 5 / math.sqrt(noise.size)
    assert noise.var() == pytest.approx(1, abs=5 * math.sqrt(2 / noise.size))
