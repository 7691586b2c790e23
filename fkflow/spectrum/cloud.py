"""Functions of identical particles, symmetric under exchange.

The vectors of a cloud are the centre of mass c, the places ρ_i = x_i − c, and the differences x_ij of pairs. Its functions are
sums over particles or pairs of random hyperbolic tangents. In round potentials the arguments are invariants, and functions of
rank l under rotations have a component of a vector (l = 1), or of a traceless product of two (l = 2), before each term.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fkflow.hamiltonian.geometry import pairs
from fkflow.spectrum.jets import Jet, constant, join, stack
from fkflow.spectrum.layers import RandomLayer
from fkflow.spectrum.moments import Vector, dot, polynomials

#: squared widths of the Gaussians of pairs, in units of the mean square of a coordinate
WIDTHS = (0.25, 1.0, 4.0)
#: functions of rank 0 that are also multiplied by the component of the centre of mass
WITH_CENTRE = 8


def for_each(jet: Jet, count: int) -> Jet:
    """A jet (B,) for each of `count` particles or pairs, (B, count)."""
    return jet.each(lambda t: t.unsqueeze(-1).expand(*t.shape, count))


def weighted(terms: Jet, factor: Jet | None = None) -> Jet:
    """The sums (B, n) over particles or pairs of terms (B, particles, n), each times a factor (B, particles)."""
    if factor is not None:
        terms = terms * factor.each(lambda t: t[..., None])
    return terms.each(lambda t: t.sum(-2))


class Cloud:
    """The vectors of N > 1 particles at `places` (B, N, D), in units of `scale`."""

    def __init__(self, places: Jet, centre: Tensor, scale: float) -> None:
        reduced = places * (1 / scale) - centre / scale
        self.particles, self.dimensions = places.value.shape[1:]
        axes = [reduced[a] for a in range(self.dimensions)]
        self.centre = [axis.sum() * (1 / self.particles) for axis in axes]
        self.own = [axis - for_each(c, self.particles) for axis, c in zip(axes, self.centre, strict=True)]
        self.i, self.j = pairs(self.particles, places.value.device)
        self.between = [axis[self.i] - axis[self.j] for axis in axes]

    def near(self, of_pairs: Jet) -> Jet:
        """Sums over the pairs of each particle, (B, N)."""
        ends = of_pairs.value.new_zeros(len(self.i), self.particles)
        rows = torch.arange(len(self.i), device=ends.device)
        ends[rows, self.i] = ends[rows, self.j] = 1.0
        return of_pairs @ ends

    def inputs(self, round_potential: bool) -> tuple[Jet, Jet, Jet]:
        """Arguments of the functions of particles (B, N, n) and of pairs (B, P, m), and simple functions (B, k)."""
        n, p = self.particles, len(self.i)
        square, centre = dot(self.own, self.own), dot(self.centre, self.centre)
        mean, apart = square.sum() * (1 / n), dot(self.between, self.between)
        gaussians = [(apart * (-1 / width)).exp() for width in WIDTHS]
        wide, far = [for_each(c, n) for c in self.centre], [for_each(c, p) for c in self.centre]
        own = [square.log1p(), for_each(mean, n), *(self.near(g) for g in gaussians[:2])]
        pair = [*gaussians, apart.log1p(), for_each(mean, p)]
        if round_potential:
            along = dot(self.between, far)
            own += [for_each(centre, n), dot(self.own, wide)]
            pair += [for_each(centre, p), along * along]
        else:
            own += [*self.own, *wide]
            pair += [*(b * b for b in self.between), *far]
        simple = [mean, centre, mean * mean, mean * centre, centre * centre]
        if not round_potential:
            simple += [*self.centre, *((o * o).sum() for o in self.own)]
        return stack(own), stack(pair), stack(simple)


class CloudFunctions:
    """Symmetric functions of N > 1 identical particles about `centre` (D,).

    `rank` is 0, 1 or 2 in a round potential, None in any other.
    """

    def __init__(
        self, places: Jet, centre: Tensor, rank: int | None, functions: int, generator: torch.Generator
    ) -> None:
        self.rank, self.centre = rank, centre
        self.scale = float((places.value - centre).square().mean().sqrt())
        own, pair, _ = Cloud(places, centre, self.scale).inputs(rank is not None)
        self.of_own = RandomLayer(own.value, functions, generator)
        self.of_pairs = RandomLayer(pair.value, functions, generator)

    def __call__(self, places: Jet) -> Jet:
        """The functions (B, n) as jets."""
        cloud = Cloud(places, self.centre, self.scale)
        inputs, of_pairs, simple = cloud.inputs(self.rank is not None)
        own, pair = self.of_own(inputs), self.of_pairs(of_pairs)
        scalars = join([constant(simple), simple, weighted(own), weighted(pair)])
        if self.rank is None:
            return scalars
        exact = polynomials(cloud.centre, cloud.own, self.rank)
        if self.rank == 0:
            return join([scalars, exact])
        wide = [for_each(c, cloud.particles) for c in cloud.centre]
        if self.rank == 1:
            far = [for_each(c, len(cloud.i)) for c in cloud.centre]
            with_centre = cloud.centre[0]
            terms = [weighted(own, cloud.own[0]), weighted(pair, dot(cloud.between, far) * cloud.between[0])]
        else:
            with_centre = _traceless(cloud.centre, cloud.centre)
            terms = [
                weighted(own, _traceless(cloud.own, cloud.own)),
                weighted(own, _traceless(cloud.own, wide)),
                weighted(pair, _traceless(cloud.between, cloud.between)),
            ]
        few = scalars[slice(0, 3)], weighted(own)[slice(0, WITH_CENTRE)]
        return join([join(list(few)) * with_centre.each(lambda t: t[..., None]), exact, *terms])


def _traceless(a: Vector, b: Vector) -> Jet:
    """The first component D a_1 b_1 − a·b of a traceless product."""
    return a[0] * b[0] * float(len(a)) - dot(a, b)
