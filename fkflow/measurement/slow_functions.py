"""Functions of a configuration in which the slow modes of a diffusion are sought: in open space and in a periodic box."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fkflow.hamiltonian.box import open_axes, wave_vectors
from fkflow.hamiltonian.free import direction_together
from fkflow.hamiltonian.geometry import nearest_images, pair_squares, pairs
from fkflow.hamiltonian.system import System

#: random functions of one particle (of all coordinates where particles are distinguishable), functions of pairs, and random
#: ones of the centre of mass
RANDOM, OF_PAIRS, OF_CENTRE = 16, 6, 8
#: ways from well to well that have functions of their own; where these change sign and how steep they are, by the way's length
WAYS, PLACES, ACROSS = 12, (-0.25, 0.0, 0.25), (4.0, 8.0)
#: wave vectors of a box, and the largest number of waves along each axis among which they are chosen
OF_WAVES, LONGEST_WAVES = 8, 4
#: smallest and largest steepness of the random functions, by the standard deviations of ψ²
FLATTEST, STEEPEST = 0.5, 8.0
#: exponent of the growing functions, by the standard deviations of ψ²
GROWTH = 0.5
#: most walkers that show scales and on how many walkers a mode rests
JUDGES = 4096


class Basis:
    """Functions of a configuration: 1, coordinates, and hyperbolic tangents of random direction, position and steepness.

    Those of identical particles are sums over the particles, and there are some of their distances. Walkers x (B, N, D) give
    the scale. `crossings` are ways from well to well (m, N, D) and their middles (m, N, D), where functions change sign too:
    hardly a walker may be in a well that ψ has too little of, and none of the others may show it.
    """

    def __init__(
        self, system: System, x: Tensor, generator: torch.Generator, crossings: tuple[Tensor, Tensor] | None = None
    ) -> None:
        self.symmetric = system.identical and system.particles > 1
        #: (N,) the direction along which no function of a free system changes
        self.free = direction_together(system)
        points = x.flatten(0, 1) if self.symmetric else x.flatten(1)
        options: dict[str, Any] = {"dtype": x.dtype, "device": x.device}
        centre = points.mean(0)
        values, vectors = torch.linalg.eigh((points - centre).T @ (points - centre) / len(points))
        if self.free is not None and not self.symmetric:
            # the centre of mass does not vary
            values, vectors = values[x.shape[2] :], vectors[:, x.shape[2] :]
        whitening = vectors / values.clamp_min(1e-12 * float(values.max())).sqrt()
        d = len(values)
        directions = torch.randn(d, RANDOM, generator=generator, **options)
        # every other one is a principal axis: wells are often those of one coordinate
        directions[:, ::2] = torch.eye(d, **options)[:, torch.arange(RANDOM // 2, device=x.device) % d]
        steep = FLATTEST * (STEEPEST / FLATTEST) ** torch.rand(RANDOM, generator=generator, **options)
        #: (d, n) gradients of the arguments of all one-body functions, coordinates first, and their values (n,) at 0
        self.slopes = torch.cat([whitening, whitening @ (directions / directions.norm(dim=0) * steep)], 1)
        self.shifts = -torch.cat([centre @ self.slopes[:, :d], _zeros(points @ self.slopes[:, d:], generator)])
        #: distances (m, 1) where functions of pairs rise, and how fast
        self.distances, self.rise = x.new_zeros(0), x.new_ones(())
        #: (D, n) and (n,) the same for functions of the centre of mass of identical particles
        self.together, self.zeros = x.new_zeros(x.shape[2], 0), x.new_zeros(0)
        if self.symmetric and self.free is None:
            means = x.mean(1)
            directions = torch.randn(x.shape[2], OF_CENTRE, generator=generator, **options)
            directions[:, ::2] = torch.eye(x.shape[2], **options)[:, torch.arange(OF_CENTRE // 2) % x.shape[2]]
            directions = directions / directions.norm(dim=0) / means.std(0)[:, None]
            self.together = directions * (
                FLATTEST * (STEEPEST / FLATTEST) ** torch.rand(OF_CENTRE, generator=generator, **options)
            )
            self.zeros = -_zeros(means @ self.together, generator)
        #: (N·D, m) and (m,) the same for functions along ways from well to well
        self.ways, self.middles = x.new_zeros(x[0].numel(), 0), x.new_zeros(0)
        if crossings is not None:
            ways, middles = (part[:WAYS].to(x).flatten(1) for part in crossings)
            unit = ways / ways.square().sum(1, keepdim=True)
            places = (unit * middles).sum(1) + x.new_tensor(PLACES)[:, None]
            steep = x.new_tensor(ACROSS)[:, None, None, None]
            self.ways = (steep * unit.expand(len(PLACES), -1, -1)).flatten(0, 2).T
            self.middles = -(steep[..., 0] * places).flatten()
        if self.symmetric:
            r = self._apart(x[:JUDGES]).norm(dim=-1).flatten()
            self.distances = r.sort().values[torch.linspace(0.05, 0.95, OF_PAIRS, **options).mul(len(r) - 1).long()]
            self.rise = 2 / r.std()

    def evaluate(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Values (B, n) and gradients (B, N·D, n) at x (B, N, D)."""
        points = x if self.symmetric else x.flatten(1)[:, None]
        d = self.slopes.shape[1] - RANDOM
        z = points @ self.slopes + self.shifts
        first = z[..., :d]
        # functions that grow reach beyond most walkers, into tails that the network has too short
        growing = torch.cat([(GROWTH * first).exp(), (-GROWTH * first).exp()], -1)
        values = torch.cat([first, z[..., d:].tanh(), growing], -1)
        derivative = torch.cat(
            [
                torch.ones_like(first),
                1 - values[..., d : z.shape[-1]].square(),
                GROWTH * growing[..., :d],
                -GROWTH * growing[..., d:],
            ],
            -1,
        )
        slopes = torch.cat([self.slopes, self.slopes[:, :d], self.slopes[:, :d]], 1)
        gradients = (derivative[:, :, None] * slopes).flatten(1, 2)
        across = (x.flatten(1) @ self.ways + self.middles).tanh()
        values = torch.cat([values.sum(1), across], 1)
        gradients = torch.cat([gradients, (1 - across.square())[:, None] * self.ways], 2)
        if self.symmetric:
            of_pairs, along = _pair_functions(self._apart(x), self.distances, self.rise, x)
            of_centre = (x.mean(1) @ self.together + self.zeros).tanh()
            slopes = (1 - of_centre.square())[:, None] * self.together / x.shape[1]
            values = torch.cat([values, of_pairs, of_centre], 1)
            gradients = torch.cat([gradients, along, slopes.repeat(1, x.shape[1], 1)], 2)
        if self.free is not None:
            # as functions of places about the centre of mass
            along = gradients.view(*x.shape, -1)
            e = self.free.to(x)[:, None, None]
            gradients = (along - e * (e * along).sum(1, keepdim=True)).flatten(1, 2)
        one, zero = torch.ones_like(values[:, :1]), torch.zeros_like(gradients[..., :1])
        return torch.cat([one, values], 1), torch.cat([zero, gradients], 2)

    def _apart(self, x: Tensor) -> Tensor:
        i, j = pairs(x.shape[1], x.device)
        return x[:, i] - x[:, j]


def _zeros(arguments: Tensor, generator: torch.Generator) -> Tensor:
    """Where functions change sign, (n,), by turns at some walker and anywhere between all, from arguments (B, n) of walkers."""
    count = arguments.shape[1]
    options: dict[str, Any] = {"generator": generator, "device": arguments.device}
    pick = torch.randint(len(arguments), (1, count), **options)
    low, high = arguments.aminmax(dim=0)
    anywhere = low + (high - low) * torch.rand(count, dtype=arguments.dtype, **options)
    # in pairs: every other direction is a principal axis
    return torch.where(torch.arange(count, device=arguments.device) % 4 < 2, arguments.gather(0, pick)[0], anywhere)


class BoxBasis:
    """Functions of a configuration in a periodic box: 1, waves Σ_i cos k·x_i and sin k·x_i, and functions of distances.

    The wave vectors are the shortest of the box; walkers x (B, N, D) give the scale of distances. Where the `even` V does not
    change as all particles move together, |Σ_i exp(ik·x_i)|² come last: pairs of waves of opposite momenta.
    """

    def __init__(self, system: System, box: Sequence[float], x: Tensor, even: bool = False) -> None:
        self.even = even
        self.box = tuple(box)
        waves = wave_vectors(box, [LONGEST_WAVES if math.isfinite(side) else 0 for side in box])
        #: (D, n) wave vectors
        self.waves = x.new_tensor(sorted(waves, key=lambda wave: math.hypot(*wave))[:OF_WAVES]).T
        #: open axes with the mean places and the deviations of the particles there
        self.axes = list(open_axes(box))
        across = x[..., self.axes].flatten(0, 1)
        self.means = across.mean(0)
        self.deviations = (across - self.means).square().mean(0).sqrt()
        self.distances, self.rise = x.new_zeros(0), x.new_ones(())
        if system.particles > 1:
            r = pair_squares(x[:JUDGES], box).sqrt().flatten()
            places = torch.linspace(0.05, 0.95, OF_PAIRS, dtype=x.dtype, device=x.device).mul(len(r) - 1).long()
            self.distances, self.rise = r.sort().values[places], 2 / r.std()

    def evaluate(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Values (B, n) and gradients (B, N·D, n) at x (B, N, D)."""
        angle = x @ self.waves
        cosine, sine = angle.cos(), angle.sin()
        values = torch.cat([cosine, sine], -1).sum(1)
        slopes = torch.cat([-sine, cosine], -1)[:, :, None] * torch.cat([self.waves, self.waves], 1)
        gradients = slopes.flatten(1, 2)
        if self.axes:
            t = (x[..., self.axes] - self.means) / self.deviations
            values = torch.cat([values, t.sum(1), t.square().sum(1)], 1)
            slopes = x.new_zeros(*x.shape, 2, len(self.axes))
            for number, axis in enumerate(self.axes):
                slopes[:, :, axis, 0, number] = 1 / self.deviations[number]
                slopes[:, :, axis, 1, number] = 2 * t[..., number] / self.deviations[number]
            gradients = torch.cat([gradients, slopes.flatten(3).flatten(1, 2)], 2)
        if len(self.distances):
            i, j = pairs(x.shape[1], x.device)
            apart = nearest_images((x[:, i] - x[:, j]).movedim(-1, 0), self.box).movedim(0, -1)
            of_pairs, along = _pair_functions(apart, self.distances, self.rise, x)
            values, gradients = torch.cat([values, of_pairs], 1), torch.cat([gradients, along], 2)
        if self.even:
            n = self.waves.shape[1]
            waves, along = values[:, None, : 2 * n], 2 * gradients[..., : 2 * n]
            squares = (waves * along).unflatten(2, (2, n)).sum(2)
            values = torch.cat([values, waves[:, 0].square().unflatten(1, (2, n)).sum(1)], 1)
            gradients = torch.cat([gradients, squares], 2)
        one, zero = torch.ones_like(values[:, :1]), torch.zeros_like(gradients[..., :1])
        return torch.cat([one, values], 1), torch.cat([zero, gradients], 2)

    def at_rest(self, count: int) -> np.ndarray:
        """Which (count,) of all functions do not change as all particles move together: all but the waves."""
        return ~np.isin(np.arange(count), 1 + np.arange(2 * self.waves.shape[1]))


def _pair_functions(apart: Tensor, distances: Tensor, rise: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Σ tanh(rise (r − distance)) (B, m) over the pairs with differences `apart` (B, pairs, D), and gradients (B, N·D, m)."""
    i, j = pairs(x.shape[1], x.device)
    r = apart.norm(dim=-1, keepdim=True)
    t = (rise * (r - distances)).tanh()
    along = (apart / r.clamp_min(1e-300))[..., None] * (rise * (1 - t.square()))[:, :, None]
    gradients = x.new_zeros(*x.shape, len(distances))
    gradients.index_add_(1, i, along).index_add_(1, j, along, alpha=-1.0)
    return t.sum(1), gradients.flatten(1, 2)
