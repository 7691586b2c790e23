"""Centres at which V of one particle falls as −c/r although no nuclei are stated: places, strengths, V without them.

They are found from values of V alone. ψ has a cusp there, ψ ~ 1 − κ r with κ = 2 c/(D − 1) for a particle of mass 1 (Kato,
Commun. Pure Appl. Math. 10, 151 (1957)), which the network gets as a factor. Descents and scales see each centre softened over
the length of its cusp.
"""

from __future__ import annotations

import math

import torch
from pydantic import InstanceOf
from torch import Tensor

from fkflow.errors import NumericalError
from fkflow.hamiltonian.registry import is_built_in
from fkflow.hamiltonian.system import System
from fkflow.hamiltonian.wall_search import allowed_places
from fkflow.hamiltonian.wrapped import WrappedSystem

#: starts of the search, octaves about 1 in which they are, moves from each in a round, rounds
STARTS, OCTAVES, MOVES, ROUNDS = 32, 28, 16, 320
#: moves in a round that place a centre as exactly as floating-point numbers allow, and their first length in lengths 1/κ
MORE, NEARLY = 256, 1e-9
#: factors of the length of moves after a round that went lower, and after another
LONGER, SHORTER = 1.5, 0.75
#: rounds without success after which nothing is lower
IDLE = 25
#: configurations among which the others of several particles are, and ends of the search that are looked at
OTHERS, MOST = 4096, 8
#: distances from a centre, in lengths 1/κ, at which c is measured, relative deviations allowed, and directions
DISTANCES, SAME, DIRECTIONS = (1e-4, 1e-5, 1e-6), 1e-2, 16
#: distance in lengths 1/κ within which V is the softened −c/r and a constant
INSIDE = 1e-5
#: distance in lengths 1/κ of two places that are one centre
APART = 1e-3


class Centres:
    """Places (M, D) of centres and their strengths c (M,), for a particle of mass 1."""

    def __init__(self, places: Tensor, strengths: Tensor) -> None:
        self.places, self.strengths = places, strengths

    @property
    def cusps(self) -> Tensor:
        """κ = 2 c/(D − 1) (M,)."""
        kappa: Tensor = 2 * self.strengths / (self.places.shape[1] - 1)
        return kappa


class Softened(WrappedSystem):
    """The system `own` of one particle with each −c/r replaced by −c/√(r² + 1/κ²)."""

    centres: InstanceOf[Centres]

    def potential(self, x: Tensor) -> Tensor:
        """V without singularities."""
        centres = self.centres
        added = x.new_zeros(len(x))
        moved = x
        for place, strength, kappa in zip(centres.places, centres.strengths, centres.cusps, strict=True):
            inside = float(INSIDE / kappa)
            close = (x.detach() - place).norm(dim=2, keepdim=True) < inside
            # one place stands for all that are closer
            moved = torch.where(close, place + inside * torch.eye(x.shape[2], dtype=x.dtype)[0], moved)
            added = added - strength / ((x - place).square().sum((1, 2)) + kappa**-2).sqrt()
        for place, strength in zip(centres.places, centres.strengths, strict=True):
            added = added + strength / (moved - place).square().sum((1, 2)).sqrt()
        return self.own.potential(moved) + added


def find_centres(system: System, generator: torch.Generator) -> Centres | None:
    """The centres of a system of one particle of mass 1 in two dimensions or more; None if there are none.

    Random moves go downhill from places on all scales; where they end, V is followed along rays. Raises NumericalError where
    one of several particles has such a centre: a network of them has a cusp for nuclei only.
    """
    if is_built_in(type(system)) or system.dimensions < 2 or system.nuclei() is not None:
        return None
    if system.particles > 1:
        _refuse_centres(system, generator)
        return None
    x, energy = _lowest_places(system, generator)
    places: list[Tensor] = []
    strengths: list[float] = []
    for i in energy.argsort().tolist():
        at = torch.zeros_like(x[i, 0]) if system.isotropic else x[i, 0]
        if any(
            float((at - other).norm()) < APART / strength for other, strength in zip(places, strengths, strict=True)
        ):
            continue
        if (strength := _strength(system, at, generator)) is not None:
            if not system.isotropic:
                spread = torch.tensor([NEARLY / strength], dtype=torch.float64)
                at = _downhill(system, at[None, None], spread, MORE, generator)[0][0, 0]
                # c is now more exact too
                strength = _strength(system, at, generator) or strength
            places.append(at)
            strengths.append(strength)
        if system.isotropic:
            break
    return Centres(torch.stack(places), torch.tensor(strengths, dtype=torch.float64)) if places else None


class Single(WrappedSystem):
    """The first particle of the system `own`, with the others at `rest` (N − 1, D)."""

    rest: InstanceOf[Tensor]

    def potential(self, x: Tensor) -> Tensor:
        """V (B,) of x (B, 1, D)."""
        return self.own.potential(torch.cat([x, self.rest.expand(len(x), *self.rest.shape)], 1))

    def start(self, walkers: int, generator: torch.Generator) -> Tensor | None:
        """None: from everywhere."""
        return None


def _refuse_centres(system: System, generator: torch.Generator) -> None:
    """NumericalError if V falls as −c/r where the first of several particles meets no other."""
    places = allowed_places(system, generator, OTHERS)
    if not len(places):
        return
    # neither where V is least nor where it may be huge
    rest = places[len(places) // 2, 1:]
    single = Single(own=system, rest=rest)
    x, energy = _lowest_places(single, generator)
    for i in energy.argsort()[:MOST].tolist():
        at = x[i, 0]
        strength = _strength(single, at, generator)
        if strength is not None and float((rest - at).norm(dim=1).min()) > APART / strength:
            where = ", ".join(f"{number:.4g}" for number in at.tolist())
            raise NumericalError(
                f"V falls as -{strength:.3g}/r where a particle meets the place ({where}), and the network of several "
                "particles has no cusp there: def nuclei(self) with the charges gives two electrons one; charges of other "
                "particles are those of `species`; or soften it"
            )


def _lowest_places(system: System, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Places (S, 1, D) where random moves downhill end, and V (S,) there."""
    shape = STARTS, 1, system.dimensions
    own = system.start(STARTS, generator)
    if own is None:
        spread = 2.0 ** (OCTAVES * (torch.rand(STARTS, generator=generator, dtype=torch.float64) - 0.5))
        x = spread[:, None, None] * torch.randn(shape, generator=generator, dtype=torch.float64)
    else:
        x = own.detach().to(torch.float64)
        spread = x.std().clamp_min(1e-12).expand(STARTS)
    return _downhill(system, x, spread, MOVES, generator)


def _downhill(
    system: System, x: Tensor, spread: Tensor, moves: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Places (S, 1, D) and V (S,) after rounds of so many random moves, of length `spread` (S,) at first."""
    energy, rows, idle = _values(system, x), torch.arange(len(x)), 0
    for _ in range(ROUNDS):
        noise = torch.randn(len(x), moves, *x.shape[1:], generator=generator, dtype=torch.float64)
        moved = x[:, None] + spread[:, None, None, None] * noise
        values, which = _values(system, moved.flatten(0, 1)).view(len(x), moves).min(1)
        lower = values < energy
        x = torch.where(lower[:, None, None], moved[rows, which], x)
        energy = torch.where(lower, values, energy)
        spread = spread * torch.where(lower, LONGER, SHORTER)
        idle = 0 if bool(lower.any()) else idle + 1
        if idle == IDLE:
            break
    return x, energy


def _strength(system: System, place: Tensor, generator: torch.Generator) -> float | None:
    """c if V falls as −c/r at a place (D,); None if it does not."""
    along = torch.randn(DIRECTIONS, 1, len(place), generator=generator, dtype=torch.float64)
    along = along / along.norm(dim=2, keepdim=True)

    def strengths(r: Tensor) -> Tensor:
        """−2 r (V(r) − V(2 r)) for distances r (k,), in each direction: (k, DIRECTIONS)."""
        near, far = (
            _values(system, (place + scale * r[:, None, None, None] * along).flatten(0, 1)).view(len(r), -1)
            for scale in (1, 2)
        )
        return -2 * r[:, None] * (near - far)

    # where κ r is as small as in the middle of the test
    r = 2.0 ** torch.arange(-60.0, 20.0, dtype=torch.float64)
    small = (strengths(r).mean(1) * r * 2 / (len(place) - 1) / DISTANCES[1]).log().abs()
    small = small.nan_to_num(nan=math.inf)
    if not bool(small.min() < math.log(4)):
        return None
    found = strengths(r[small.argmin()] * torch.tensor(DISTANCES, dtype=torch.float64) / DISTANCES[1])
    strength = float(found[1].mean())
    # NaN compares false
    return strength if strength > 0 and bool(((found - strength).abs() <= SAME * strength).all()) else None


def _values(system: System, x: Tensor) -> Tensor:
    """V (S,) at x (S, N, D), +∞ where it is not a number."""
    return system.potential(x).detach().nan_to_num(nan=math.inf, posinf=math.inf, neginf=-math.inf)
