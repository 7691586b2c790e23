"""Pair functions and vector messages of particles with cores: what two and three of them do to each other, a term of log ψ.

U = Σ_{i<j} Σ_k a_k φ_k(r_ij) + Σ_i Σ_c w_c |Σ_j ξ_c(r_ij) r_ij|² with ξ_c = Σ_k m_ck φ_k, where φ_k are functions about shells
r = c_k. The second sum is the three-body factor of helium in the literature (Schmidt, Kalos, Lee, Chester, Phys. Rev. Lett. 45,
573, 1980), with functions that are learned. It is also a backflow: where two particles are close, ψ changes with their distance
as the core of their pair says, and the sum takes away what all other pairs add to that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from fkflow.hamiltonian.geometry import add_to_particles, nearest_images, pair_differences, pairs, sum_at_ends
from fkflow.networks.layers import affine, spread_out
from fkflow.networks.parts import Node, Term
from fkflow.networks.tangents import rounded

if TYPE_CHECKING:
    from fkflow.hamiltonian.geometry import Ends

#: functions ξ
CHANNELS = 6
#: in a box: the first shell and the distance of two, in spacings of the particles; fewest and most shells; their width in
#: distances
FIRST, BETWEEN, FEWEST, MOST, WIDTH = 0.5, 0.125, 3, 16, 0.9
#: distance of two particles that send vectors of the length of ξ, in spacings, or in radii of a core
REACH = 2.0
#: about cores: the first shell in radii of the core, how many there are, and the width of each and distance of two in log r
INNERMOST, SHELLS, WIDTH_OF_LOG = 0.8, 8, 0.223
#: squared distances below this count as this
SMALLEST = 1e-30


class _ShellMessages(Term):
    """The term U (B,) from coordinates y (D, N, B), rounded to the given precision; subclasses say what φ_k are.

    `shells` (K,) are the places of φ_k, and `reach` is a typical distance. Differences are those of nearest images in a box of
    these `sides` (D,), if there is one. A third input are the pairs (`geometry.Ends`), if they are not all.
    """

    curved: ClassVar[bool] = True

    shells: Tensor

    def __init__(self, shells: Tensor, reach: float, sides: Sequence[float] | None = None) -> None:
        super().__init__()
        self.sides = None if sides is None else tuple(sides)
        self.register_buffer("shells", shells, persistent=False)
        self.jastrow = nn.Parameter(torch.zeros(len(shells)))
        # of vectors about 1 long
        self.mix = nn.Parameter(torch.randn(CHANNELS, len(shells)) / (math.sqrt(len(shells)) * reach))
        self.weights = nn.Parameter(torch.zeros(CHANNELS))

    def value(self, *inputs: Any) -> Tensor:
        y, precision, *near = inputs
        ends = self._ends(y, near)
        apart, r = self._distances(y, precision, ends)
        functions = self._functions(r, 0)[0]
        vectors = self._sent(affine(functions, self.mix), apart, y.shape[1], ends)
        own = (functions.sum(1) * spread_out(self.jastrow, 1)).sum(0)
        return own + (vectors.square().sum((1, 2)) * spread_out(self.weights, 1)).sum(0)

    def evaluate(self, *inputs: Any, derivatives: bool) -> tuple[Tensor, Any]:
        y, precision, *near = inputs
        if not derivatives:
            return self.value(*inputs), None
        ends = self._ends(y, near)
        apart, r = self._distances(y, precision, ends)
        functions, slopes = self._functions(r, 1)
        strengths = affine(functions, self.mix)
        vectors = self._sent(strengths, apart, y.shape[1], ends)
        value = self.jastrow @ functions.sum(1) + self.weights @ vectors.square().sum((1, 2))
        return value, (apart, r, slopes, strengths, vectors, ends)

    def pull_back(self, node: Node, gradient: Any = None) -> None:
        apart, r, slopes, strengths, vectors, ends = node.saved
        y = node.inputs[0]
        both = _differences(vectors * (2 * self.weights)[:, None, None, None], ends)
        along = affine(slopes, self.mix).mul_((both * apart).sum(1)).sum(0)
        along = along.add_((self.jastrow @ slopes.flatten(1)).view(r.shape)).div_(r)
        flow = (strengths.unsqueeze(1) * both).sum(0).addcmul_(along, apart)
        y.add(add_to_particles(flow.new_empty(len(flow), *vectors.shape[2:]), flow, sign=-1, keep=False, ends=ends))

    def laplacian_term(self, node: Node) -> Tensor:
        *numbers, ends = node.saved
        apart, r, slopes, strengths, vectors = (rounded(one) for one in numbers)
        mix, weights = rounded(self.mix), rounded(self.weights)
        dim, n = vectors.shape[1], int(vectors.shape[2])
        second = self._functions(r, 2)[2]
        by_r, by_r_twice = affine(slopes, mix), affine(second, mix)
        # Σ ΔG·G of the vectors G of all particles: ΔG_i is 2 (ξ'' + (D + 1) ξ'/r) r_ij summed over j
        curvature = torch.addcdiv(by_r_twice, by_r, r, value=dim + 1).mul_(2)
        found = (curvature * (_differences(vectors, ends) * apart).sum(1)).sum(1)
        # |∇G|²: by the place of the other particle of each pair, and by a particle's own, with ξ 1 + (ξ'/r) r_ij r_ij
        steep = by_r * r
        found += 2 * (dim * strengths.square() + 2 * strengths * steep + steep.square()).sum(1)
        steep = by_r / r
        for a in range(dim):
            for b in range(a, dim):
                entry = steep * (apart[a] * apart[b])
                if a == b:
                    entry += strengths
                empty = entry.new_empty(len(entry), n, entry.shape[-1])
                of_own = add_to_particles(empty, entry, keep=False, ends=ends)
                found += of_own.square_().sum(1).mul_(1 if a == b else 2)
        radial = (rounded(self.jastrow) @ torch.addcdiv(second, slopes, r, value=dim - 1).sum(1)).mul_(2)
        return (weights @ found).mul_(2).add_(radial).to(node.value.dtype)

    def _distances(self, y: Tensor, precision: torch.dtype, ends: Ends) -> tuple[Tensor, Tensor]:
        """Differences (D, pairs, B) and their lengths (pairs, B)."""
        apart = pair_differences(y, *ends)
        if self.sides is not None:
            apart = nearest_images(apart, self.sides)
        apart = apart.to(precision)
        return apart, apart.square().sum(0).clamp_min(SMALLEST).sqrt()

    def _functions(self, r: Tensor, derivatives: int) -> list[Tensor]:
        """φ (K, pairs, B) of distances r (pairs, B) and as many derivatives, up to two."""
        raise NotImplementedError

    @staticmethod
    def _sent(strengths: Tensor, apart: Tensor, particles: int, ends: Ends) -> Tensor:
        """The vectors (C, D, N, B) that particles receive: the sums of ξ r_ij over j."""
        sent = strengths.unsqueeze(1) * apart
        received = sum_at_ends(sent.flatten(0, 1), int(particles), ends, sign=-1)
        return received.view(*sent.shape[:2], int(particles), sent.shape[-1])

    @staticmethod
    def _ends(y: Tensor, near: Sequence[Ends]) -> Ends:
        """The pairs that are given, or all."""
        return near[0] if near else pairs(int(y.shape[1]), y.device)


def _differences(vectors: Tensor, ends: Ends) -> Tensor:
    """Differences (C, D, pairs, B) of the vectors (C, D, N, B) of the particles of pairs."""
    return pair_differences(vectors.flatten(0, 1), *ends).unflatten(0, vectors.shape[:2])


class VectorMessages(_ShellMessages):
    """The term in a periodic box: φ_k are Gaussians about shells times (1 − (r/R)⁴)³.

    They vanish with two derivatives at R, half the shortest side or the `end`, and beyond: a slope left there would be a δ in
    the energy that no walker sees. `sides` (D,) of the box, the `spacing` (V/N)^(1/D) of the particles, and the `widths` of
    Gaussians about 0 beside the shells, for particles that may meet, are in units of the coordinates.
    """

    sharpness: Tensor

    def __init__(
        self, sides: Sequence[float], spacing: float, end: float | None = None, widths: Sequence[float] = ()
    ) -> None:
        self.end = end or 0.5 * min(sides)
        first = min(FIRST * spacing, 0.5 * self.end)
        count = min(max(FEWEST, math.ceil((self.end - first) / (BETWEEN * spacing)) + 1), MOST)
        about_zero = torch.tensor(widths, dtype=torch.get_default_dtype())
        shells = torch.cat([torch.zeros_like(about_zero), torch.linspace(first, self.end, count)])
        super().__init__(shells, REACH * spacing, sides)
        between = shells.new_full((count,), (count - 1) / (WIDTH * (self.end - first)))
        sharpness = torch.cat([about_zero.reciprocal(), between])
        self.register_buffer("sharpness", sharpness[:, None, None], persistent=False)

    def _functions(self, r: Tensor, derivatives: int) -> list[Tensor]:
        """φ (K, pairs, B) of distances r (pairs, B) and as many derivatives, up to two; all vanish from R on."""
        sharpness = self.sharpness.to(r.dtype)
        away = (r - self.shells.to(r.dtype)[:, None, None]).mul_(sharpness)
        gauss = (-0.5 * away.square()).exp_()
        share = (r / self.end).clamp(max=1.0)
        left = 1 - share**4
        found = [gauss * left**3]
        if derivatives:
            rate = away * -sharpness
            # of (1 − s⁴)³ by r
            bend = -12 * share**3 * left.square() / self.end
            found.append(gauss * torch.addcmul(bend, rate, left**3))
        if derivatives > 1:
            twice = 12 * share.square() * left * (11 * share**4 - 3) / self.end**2
            curved = (rate.square() - sharpness.square()) * left**3
            found.append(gauss * curved.addcmul_(rate, bend, value=2).add_(twice))
        return found


class CoreMessages(_ShellMessages):
    """The term of particles in free space: φ_k are Gaussians in log r, from inside the radius of their `core` outwards."""

    def __init__(self, core: float) -> None:
        steps = WIDTH_OF_LOG * torch.arange(SHELLS, dtype=torch.get_default_dtype())
        super().__init__(math.log(INNERMOST * core) + steps, REACH * core)

    def _functions(self, r: Tensor, derivatives: int) -> list[Tensor]:
        away = (r.log() - self.shells.to(r.dtype)[:, None, None]) / WIDTH_OF_LOG
        found = [(-0.5 * away.square()).exp_()]
        by_log = away / -WIDTH_OF_LOG
        if derivatives:
            found.append(found[0] * by_log / r)
        if derivatives > 1:
            found.append(found[0] * (by_log.square() - by_log - WIDTH_OF_LOG**-2) / r.square())
        return found
