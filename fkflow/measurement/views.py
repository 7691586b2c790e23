"""Which densities suit a system: their coordinates, measures and, where the system knows them, exact values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from fkflow.hamiltonian.box import wrapped
from fkflow.hamiltonian.geometry import pair_squares
from fkflow.hamiltonian.masses import user_sides
from fkflow.hamiltonian.species import declared_species, groups_of, pair_names, species_of
from fkflow.hamiltonian.system import System

#: points of a bin and dimension over which an exact density is averaged
BIN_POINTS = 4
#: what an axis that is no Cartesian coordinate shows
LONG_NAMES = {"r": "distance from the origin", "rho": "distance from the axis of the nuclei"}
#: the same for the places of particles of a free system
OF_FREE = {"r": "distance from the centre of mass"}


@dataclass(frozen=True)
class View:
    """One projection of the configurations, a density of particles or of pairs."""

    group: str
    name: str
    axes: tuple[str, ...]
    measure: str
    long_name: str
    #: dimension of the shells each axis counts in: 1 for a line, 2 for circles, 3 for spheres
    shells: tuple[int, ...]
    #: places count from the centre of mass
    free: bool = False
    #: the numbers of the particles or pairs that count, and what they are called; all of them if there are none
    rows: tuple[int, ...] = ()
    who: str = ""
    #: sides of a periodic box
    box: tuple[float, ...] | None = None

    def coordinates(self, x: Tensor) -> Tensor:
        """(B, n, axes): the value on each axis for each particle (or pair) of each walker x (B, N, D)."""
        x = wrapped(x, self.box)
        if self.group == "pair":
            found = pair_squares(x, self.box).sqrt().mT[..., None]
        else:
            found = torch.stack([_coordinate(axis, x) for axis in self.axes], -1)
        return found[:, list(self.rows)] if self.rows else found

    def volumes(self, edges: Sequence[np.ndarray]) -> np.ndarray:
        """The volume of each bin between the `edges` of its axes."""
        volumes = np.ones(())
        for along, dim in zip(edges, self.shells, strict=True):
            ball = 1.0 if dim == 1 else math.pi ** (dim / 2) / math.gamma(dim / 2 + 1)
            volumes = np.multiply.outer(volumes, ball * np.diff(along**dim))
        return volumes

    def values_per_walker(self, particles: int) -> float:
        """Particles or pairs of a walker of so many particles."""
        if self.rows:
            return len(self.rows)
        return particles * (particles - 1) / 2 if self.group == "pair" else particles

    def axis_name(self, axis: str) -> str:
        """What an axis shows, in words."""
        if self.group == "pair":
            return f"distance between {self.who or 'two particles'}"
        if self.free:
            return OF_FREE.get(axis, f"coordinate {axis} about the centre of mass")
        return LONG_NAMES.get(axis, f"coordinate {axis}")


def _coordinate(axis: str, x: Tensor) -> Tensor:
    if axis not in ("r", "rho"):
        return x[..., "xyz".index(axis)]
    distance: Tensor = (x if axis == "r" else x[..., :2]).norm(dim=-1)
    return distance


def views(system: System) -> list[View]:
    """The densities that suit a system: radial if isotropic, on axes if not, cylindrical about a line of nuclei."""
    dim, nuclei = system.dimensions, system.nuclei()
    found = []

    def density(*axes: str, measure: str, shells: tuple[int, ...], words: str) -> None:
        if system.free:
            words = words.replace("the origin", "the centre of mass")
        found.append(View("density", "".join(axes), axes, measure, f"one-body density {words}", shells, system.free))

    if dim == 1:
        density("x", measure="dx", shells=(1,), words="along x")
    elif system.isotropic or dim > 3:
        density("r", measure=_shell_measure(dim), shells=(dim,), words="against the distance from the origin")
    elif nuclei is not None and all(p[0] == p[1] == 0 for p in nuclei.positions):
        density("z", measure="dz", shells=(1,), words="along the axis of the nuclei")
        density("rho", measure="2 pi rho drho", shells=(2,), words="against the distance from the axis of the nuclei")
        density("z", "rho", measure="2 pi rho dz drho", shells=(1, 2), words="in a plane through the nuclei")
    else:
        for axis in "xyz"[:dim]:
            density(axis, measure=f"d{axis}", shells=(1,), words=f"along {axis}")
    if dim == 2:
        density("x", "y", measure="dx dy", shells=(1, 1), words="in the plane")
    if system.particles > 1:
        words = "pair distribution against the distance"
        found.append(View("pair", "r", ("r",), _shell_measure(dim), words, (dim,)))
    if (box := user_sides(system)) is not None:
        found = [replace(view, box=box) for view in found]
    species = declared_species(system) or ()
    return [one for view in found for one in _by_species(system, view)] if len(species) > 1 else found


def _by_species(system: System, view: View) -> list[View]:
    """A view of all particles or pairs as views of those of each species, or each pair of species."""
    found = []
    if view.group == "density":
        for one, group in zip(species_of(system), groups_of(system), strict=True):
            words = view.long_name.replace("one-body density", f"one-body density of {one.name}")
            found.append(replace(view, name=f"{view.name}_{one.name}", long_name=words, rows=group, who=one.name))
        return found
    names = pair_names(system)
    for pair in dict.fromkeys(names):
        rows = tuple(number for number, other in enumerate(names) if other == pair)
        words = view.long_name.replace("distribution", f"distribution of {' and '.join(pair)}")
        found.append(
            replace(view, name="_".join((view.name, *pair)), long_name=words, rows=rows, who=" and ".join(pair))
        )
    return found


def _shell_measure(dim: int) -> str:
    return {1: "dr", 2: "2 pi r dr", 3: "4 pi r^2 dr"}.get(dim, f"S_{dim} r^{dim - 1} dr")


def exact_density(system: System, view: View, edges: Sequence[np.ndarray]) -> np.ndarray | None:
    """The density that `system` knows exactly, averaged over each bin as counts are; None where it knows none."""
    points, weights = np.polynomial.legendre.leggauss(BIN_POINTS)
    places, shares = [], []
    for e, shells in zip(edges, view.shells, strict=True):
        x = e[:-1, None] + np.diff(e)[:, None] * (points + 1) / 2
        share = weights * np.abs(x) ** (shells - 1)
        places.append(x.ravel())
        shares.append(share / share.sum(1, keepdims=True))
    if len(edges) == 1:
        found = system.exact_density(view.group, view.name, places[0])
        return None if found is None else (found.reshape(shares[0].shape) * shares[0]).sum(1)
    found = system.exact_density(view.group, view.name, places[0][:, None], places[1])
    if found is None:
        return None
    means: np.ndarray = np.einsum("iajb,ia,jb->ij", found.reshape(len(shares[0]), BIN_POINTS, -1, BIN_POINTS), *shares)
    return means
