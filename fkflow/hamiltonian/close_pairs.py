"""Whether V is where two particles meet, or one meets a nucleus, as `pair` and `nuclei` of the system say."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from fkflow.hamiltonian.cores import find_core
from fkflow.hamiltonian.natural_scale import Landscape
from fkflow.hamiltonian.probe import Probe, scale_of
from fkflow.hamiltonian.species import declared_species, pair_names, pair_of_species
from fkflow.hamiltonian.system import Nuclei
from fkflow.hamiltonian.user_systems import particle_masses

#: halvings of the natural length in which two particles approach
HALVINGS = 30
#: part of the changes of pair(r) below which V does not contain it
FAINT = 1e-3


def check_close_pairs(probe: Probe, landscape: Landscape) -> None:
    """V does not fall without bound where two particles meet, and grows there as pair(r) says; nor at the origin of one."""
    n = probe.system.particles
    # in the user's coordinates
    root = math.sqrt(particle_masses(probe.system)[0])
    length = landscape.length / root
    distances = length * 0.5 ** torch.arange(4, HALVINGS, dtype=torch.float64)
    if n == 1:
        if landscape.walls is None and landscape.repulsion is None:
            _check_origin(probe, distances)
        return
    if declared_species(probe.system) is not None:
        _check_close_species(probe, distances)
        return
    known = probe.system.pair(distances)
    if known is not None:
        _check_contained(probe, 0, 1, distances, probe.system.pair, "pair(r)")
    if landscape.diameter is not None or (known is not None and bool(known.isposinf().any())):
        _check_core(probe, (landscape.diameter or 0.0) / root)
        return
    # neighbours, and the two ends
    pairs = [(i, i + 1) for i in range(min(n - 1, 2))] + ([(0, n - 1)] if n > 2 else [])
    for i, j in pairs:
        near = _approach(probe, i, j, distances)
        if known is not None:
            _check_pair_energy(probe, distances, near, known)
            return
        if _check_singular(probe, near, "pair(self, r)"):
            return


def _approach(probe: Probe, i: int, j: int, distances: Tensor) -> list[float]:
    """V with particle j at distances from particle i, in one direction."""
    x = probe.walkers[:1].clone()
    direction = probe.direction()
    near = []
    for distance in distances:
        x[0, j] = x[0, i] + distance * direction
        near.append(float(probe.value(x)[0].detach()))
    return near


def _check_contained(
    probe: Probe, i: int, j: int, distances: Tensor, pair: Callable[[Tensor], Tensor | None], called: str
) -> None:
    """V is not a sum over particles where pair(r) changes: whether j feels the place of i shows once i is somewhere else."""
    r = 2.0 ** torch.arange(8, -8, -1, dtype=torch.float64) * distances[0]
    x = probe.walkers[:1].repeat(len(r), 1, 1)
    x[:, j] = x[:, i] + r[:, None] / math.sqrt(x.shape[-1])
    moved = x.clone()
    moved[:, i] = probe.walkers[1, i]
    found, known = probe.value(x) - probe.value(moved), pair(r)
    assert known is not None
    sure = found.isfinite() & known.isfinite()
    if int(sure.sum()) > 1 and float(found[sure].std()) < FAINT * float(known[sure].std()):
        raise probe.error(
            f"potential(x) leaves {called} out: it must be the whole V, with that energy for every pair"
            + (", such as self.pair(fkflow.pair_squares(x).sqrt()).sum(0)" if called == "pair(r)" else "")
        )


def _check_singular(probe: Probe, near: list[float], pair: str) -> bool:
    """Whether V, `near` ever shorter distances, grows without bound, which is warned of; an error if it falls without bound."""
    if _grows([-v for v in near]):
        raise probe.error(
            f"V falls to {near[-1]:.3g} and on where two particles meet: a network has no cusp for an attraction of "
            "particles (nuclei() gives it that of fixed charges); soften it"
        )
    if grows := _grows(near):
        probe.warnings.append(
            "V grows without bound where two particles meet, and the network has no cusp for it, which costs accuracy: "
            f"def {pair} with the energy of two particles at the distances r gives it one"
        )
    return grows


def _grows(near: list[float]) -> bool:
    """Whether V, `near` ever shorter distances, grows without bound."""
    change = [b - a for a, b in itertools.pairwise(near[-6:])]
    return near[-1] == math.inf or all(b > 1.3 * a > 0 for a, b in itertools.pairwise(change))


def _check_origin(probe: Probe, distances: Tensor) -> None:
    """Warn of a V of one particle that grows without bound at the origin, as a centrifugal energy or a core does."""
    along = distances[:, None, None] * torch.ones(probe.system.dimensions).double() / probe.system.dimensions**0.5
    if all(_grows(probe.value(sign * along).tolist()) for sign in (1, -1)):
        mend = (
            "V = inf on one side of it makes a wall of it, where ψ vanishes"
            if probe.system.dimensions == 1
            else "a V of the distance alone is that of two particles of twice the mass with free = True and pair(self, r)"
        )
        probe.warnings.append(
            "V grows without bound at the origin, and the network of one particle has no cusp or core for it, which costs "
            f"accuracy: {mend}"
        )


def check_falls(probe: Probe) -> None:
    """V of one particle does not fall without bound at the origin, as a potential energy that lacks its core does."""
    if probe.system.particles > 1:
        return
    along = torch.ones(probe.system.dimensions).double() / probe.system.dimensions**0.5
    near = probe.value(2.0 ** -torch.arange(HALVINGS, dtype=torch.float64)[:, None, None] * along)
    if _grows((-near).tolist()):
        raise probe.error(
            f"V falls to {float(near[-1]):.3g} and on at the origin, where it must be bounded below: V = inf within a core, or "
            "a softer V, makes it so"
        )


def _check_close_species(probe: Probe, distances: Tensor) -> None:
    """V grows where particles of two species meet as `pair` says, and not without bound if it says nothing."""
    names = pair_names(probe.system)
    ends = list(itertools.combinations(range(probe.system.particles), 2))
    for pair in dict.fromkeys(names):
        known, (i, j) = pair_of_species(probe.system, *pair, distances), ends[names.index(pair)]
        own, called = partial(pair_of_species, probe.system, *pair), f"pair({pair[0]!r}, {pair[1]!r}, r)"
        if known is not None:
            _check_contained(probe, i, j, distances, own, called)
        if known is not None and bool(known.isposinf().any()):
            edge = _edge(own, distances)
            # others may be in the way outside, in most directions where they are large
            x = probe.walkers.clone()
            direction = torch.nn.functional.normalize(probe.normal(len(x))[:, 0], dim=-1)
            infinite = []
            for distance in (edge * (1 - 1e-6), edge * (1 + 1e-6)):
                x[:, j] = x[:, i] + distance * direction
                infinite.append(bool(probe.value(x).isposinf().all()))
            if infinite != [True, False]:
                raise probe.error(f"{called} is infinite at other distances r than V")
            continue
        near = _approach(probe, i, j, distances)
        if known is None:
            _check_singular(probe, near, "pair(self, a, b, r)")
        else:
            _check_pair_energy(probe, distances, near, known)


def _edge(pair: Callable[[Tensor], Tensor | None], distances: Tensor) -> float:
    """The distance at which the energy of a pair comes down from +∞."""

    def energies(r: np.ndarray) -> np.ndarray:
        found = pair(torch.from_numpy(r))
        assert found is not None
        return found.numpy()

    core = find_core(energies, np.geomspace(float(distances[-1]), 2.0**16 * float(distances[0]), 2000))
    assert core is not None
    return core.edge


def _check_core(probe: Probe, diameter: float) -> None:
    """pair(r), if there is one, has the hard core of V, of this diameter."""
    near = probe.system.pair(diameter * torch.tensor([1 - 1e-6, 1 + 1e-6], dtype=torch.float64))
    if near is None:
        probe.notes.append(
            f"V is infinite where two particles are closer than {diameter:.6g}: they are hard cores of that diameter"
        )
    elif near.isposinf().tolist() != [True, False]:
        found = f"is infinite where two particles are closer than {diameter:.6g}" if diameter else "is not, and must be"
        raise probe.error(f"pair(r) is infinite at other distances r than V: V {found}")


def _check_pair_energy(probe: Probe, distances: Tensor, near: list[float], known: Tensor) -> None:
    """V changes at short distances as pair(r), `known`, says."""
    change, expected = near[-1] - near[-6], float(known[-1] - known[-6])
    if abs(change - expected) > 1e-3 * max(abs(change), abs(expected)) + scale_of(probe.value(probe.walkers)):
        raise probe.error(
            f"V changes by {change:.3g} where two particles approach each other from {distances[-6]:.3g} to "
            f"{distances[-1]:.3g}, not by {expected:.3g} as pair(r) says"
        )


def check_nuclei(probe: Probe, nuclei: Nuclei) -> None:
    """V has the singularities of the charges of nuclei(), and of two electrons."""
    offset = 1e-7 * probe.direction()
    x = probe.walkers[:1].clone()
    for place, charge in zip(nuclei.positions, nuclei.charges, strict=True):
        x[0, 0] = x.new_tensor(place) + offset
        found = -float(probe.value(x)[0]) * 1e-7
        if abs(found - charge) > 1e-3 * min(nuclei.charges):
            where = ", ".join(f"{number:g}" for number in place)
            raise probe.error(
                f"V goes as {-found:.3g}/r at the nucleus ({where}), not as {-charge:g}/r as nuclei() says"
            )
    if probe.system.particles == 2:
        x = probe.walkers[:1].clone()
        x[0, 1] = x[0, 0] + offset
        found = float(probe.value(x)[0]) * 1e-7
        if abs(found - 1) > 1e-3:
            raise probe.error(f"V goes as {found:.3g}/r where the two electrons meet: with nuclei() it must be 1/r")
