"""Systems that are free in space: nothing holds their centre of mass, and energies are those of the internal motion.

V depends on differences of places only. In coordinates of unit mass, z_i = √m_i x_i, all particles move together along the unit
vector e_i = √(m_i/M). ψ and V do not change along e, so that ∇ log ψ has no component there and the local energy of ψ is
internal. The internal coordinates z − e (e·z) of walkers that diffuse in all coordinates are themselves a Markov chain, with
the internal ψ² as its density: to move the centre of mass of a walker back to the origin after a move changes no average.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from pydantic import InstanceOf, PrivateAttr
from torch import Generator, Tensor

from fkflow.hamiltonian.masses import UnitMassSystem, user_masses
from fkflow.hamiltonian.system import System
from fkflow.hamiltonian.wrapped import WrappedSystem

#: width of ψ² of the centre of mass while a landscape is found, in natural lengths
HELD = 2.0
#: two distances in natural lengths: V is the same at both if nothing is left of the interactions
FAR = 1e3, 1e4
#: configurations that show it
DIRECTIONS = 64


def direction_together(system: System) -> Tensor | None:
    """The unit vector e (N,) along which all particles of a free system move together, in coordinates of unit mass.

    None if the system is not free.
    """
    if not system.free or system.particles < 2:
        return None
    own = system
    while not isinstance(own, UnitMassSystem) and isinstance(own, WrappedSystem):
        own = own.own
    return torch.tensor(masses := user_masses(own), dtype=torch.float64, device="cpu").div(math.fsum(masses)).sqrt()


def recentred(x: Tensor, together: Tensor | None) -> Tensor:
    """Configurations x (…, N, D) with the centre of mass at the origin, for the direction `together` (N,), if there is one."""
    if together is None:
        return x
    e = together.to(x)[:, None]
    return x - e * (e * x).sum(-2, keepdim=True)


def internal_basis(together: Tensor, dimensions: int) -> Tensor:
    """Orthonormal columns (N·D, N·D − D) that span the internal coordinates."""
    n = len(together)
    # the first column of the frame is along e
    frame, _ = torch.linalg.qr(torch.cat([together[:, None], torch.eye(n, dtype=together.dtype)[:, : n - 1]], 1))
    one = torch.eye(dimensions, dtype=together.dtype)
    return torch.einsum("ij,ab->iajb", frame[:, 1:], one).reshape(n * dimensions, -1)


class Held(WrappedSystem):
    """A free system in coordinates of unit mass with a harmonic hold of its centre of mass, ½ k |e·z|², for its landscape."""

    stiffness: float
    #: where walkers start (N, D), and how far from there, if the system does not say it
    place: InstanceOf[Tensor] | None = None
    reach: float = 0.0
    separable = True
    _together: Tensor | None = PrivateAttr(None)

    def start(self, walkers: int, generator: Generator) -> Tensor | None:
        """The start of the system, or about the place."""
        if self.place is None:
            return self.own.start(walkers, generator)
        noise = torch.randn(walkers, *self.place.shape, generator=generator, dtype=torch.float64)
        return self.place + self.reach * noise

    def potential(self, x: Tensor) -> Tensor:
        """V and the energy of the hold."""
        if self._together is None:
            self._together = direction_together(self.own)
        assert self._together is not None
        place = torch.einsum("i,bid->bd", self._together.to(x), x)
        return self.own.potential(x) + 0.5 * self.stiffness * place.square().sum(1)

    def pair(self, *given: Any) -> Tensor | None:
        """The pair energy of the system."""
        return self.own.pair(*given)


def held(system: System, length: float, place: Tensor | None = None) -> Held:
    """The free system with a weak hold, for a natural length about `length`; its walkers start about `place` (N, D)."""
    return Held(own=system, stiffness=(0.5 / (HELD * length) ** 2) ** 2, place=place, reach=length)


def separated_energy(system: System, like: Tensor, length: float) -> float | None:
    """V of particles that are all far apart, or None if it depends on how far: they cannot part then."""
    generator = torch.Generator().manual_seed(0)
    apart = length * torch.randn(DIRECTIONS, *like.shape, generator=generator, dtype=torch.float64)
    near, far = (system.potential(scale * apart).detach() for scale in FAR)
    if not bool(((far - near).abs() < 1e-3 / length**2).all()):
        return None
    return float(far.mean())


def break_up_energy(system: System, separated: float | None) -> float | None:
    """The lowest energy of separated parts of a free system, or of charges: its `threshold`, or that of `separated` particles.

    None for another system, or one whose parts cannot leave each other.
    """
    if not system.free and system.point_charges() is None:
        return None
    stated = getattr(system, "threshold", None)
    return separated if stated is None else float(stated)
