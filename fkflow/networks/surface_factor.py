"""The factor of ψ that vanishes on hard walls made of planes and curved surfaces, with the right power along their edges."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fkflow.hamiltonian.surfaces import Surfaces
from fkflow.networks.parts import TermOfCoordinates


class SurfaceFactor(TermOfCoordinates):
    """Σ log b (B,) over particles, from coordinates y (D, N, B): −∞ beyond a wall.

    b = Π_k d_k Π_e W_e/(d_j d_k) for the distances d of `Surfaces`. In a wedge between surfaces j and k that meet at an angle α
    the state of a flat region is W = r^(π/α) sin(πθ/α), in polar coordinates about the edge: r sin θ = d_j, r sin(α − θ) = d_k.
    `surfaces` are those of each particle, in the solver's coordinates x = `origin` (N, D) + `length` · y.
    """

    def __init__(self, surfaces: Sequence[Surfaces], origin: Tensor, length: float) -> None:
        super().__init__()
        #: how many surfaces each particle has, one after the other
        self.counts = [len(one.constant) for one in surfaces]
        scales = origin.new_tensor([length / one.size for one in surfaces])
        offsets = [(origin[i] - one.centre) / one.size for i, one in enumerate(surfaces)]
        constant = [one.distances(origin[i]) for i, one in enumerate(surfaces)]
        linear = [
            scale * (one.linear + 2 * one.square @ offset)
            for one, scale, offset in zip(surfaces, scales, offsets, strict=True)
        ]
        square = [scale**2 * one.square for one, scale in zip(surfaces, scales, strict=True)]
        #: (K,), (K, D) and (K, D, D): d = constant + linear·y + yᵀ square y of all surfaces of all particles
        self.register_buffer("constant", torch.cat(constant))
        self.register_buffer("linear", torch.cat(linear))
        self.register_buffer("square", torch.cat(square))
        self.register_buffer("which", torch.arange(len(surfaces)).repeat_interleave(torch.tensor(self.counts)))
        edges = [
            (sum(self.counts[:i]) + j, sum(self.counts[:i]) + k, angle)
            for i, one in enumerate(surfaces)
            for j, k, angle in one.edges
        ]
        self.register_buffer("first", torch.tensor([j for j, _, _ in edges], dtype=torch.long))
        self.register_buffer("second", torch.tensor([k for _, k, _ in edges], dtype=torch.long))
        self.register_buffer("angles", origin.new_tensor([angle for _, _, angle in edges]))
        powers = torch.ones_like(self.constant)
        ones = torch.ones_like(self.angles)
        powers = powers.index_add(0, self.first, -ones).index_add(0, self.second, -ones)
        self.register_buffer("powers", powers)
        #: stay in double precision where the network is rounded: ψ must vanish just where V becomes infinite
        self.exact = ("constant", "linear", "square", "angles", "powers")

    def value(self, *inputs: Any) -> Tensor:
        return self.evaluate(*inputs, derivatives=False)[0]

    def evaluate(self, *inputs: Any, derivatives: bool) -> tuple[Tensor, Any]:
        (y,) = inputs
        # (K, D, B)
        place = y.movedim(0, 1).index_select(0, self.which).to(self.constant.dtype)
        turned = self.square @ place
        distance = self.constant[:, None] + ((self.linear[:, :, None] + turned) * place).sum(1)
        inside = (distance > 0).all(0)
        safe = distance.where(inside, 1.0)
        powers = self.powers[:, None]
        value = (powers * safe.log()).sum(0)
        u, sine = safe.index_select(0, self.first), self.angles.sin()[:, None]
        cosine = self.angles.cos()[:, None]
        ahead = (safe.index_select(0, self.second) + cosine * u) / sine
        radius, theta = torch.hypot(u, ahead), torch.atan2(u, ahead)
        power = (math.pi / self.angles)[:, None]
        wave = (power * theta).sin()
        value = value + (power * radius.log() + wave.log()).sum(0)
        value = value.where(inside, -math.inf)
        if not derivatives:
            return value, None
        slope = self.linear[:, :, None] + 2 * turned
        bend = 2 * self.square.diagonal(dim1=1, dim2=2).sum(1)[:, None]
        inverse = safe.reciprocal()
        by_place = powers[:, :, None] * inverse[:, None] * slope
        laplacian = (powers * (inverse * bend - inverse.square() * slope.square().sum(1))).sum(0)
        # derivatives of W over W by u and by `ahead`: W is harmonic in them
        by_u = power * ((power - 1) * theta).cos() / (radius * wave)
        by_ahead = power * ((power - 1) * theta).sin() / (radius * wave)
        twice = power * (power - 1) / (radius.square() * wave)
        even, odd = twice * ((power - 2) * theta).sin(), twice * ((power - 2) * theta).cos()
        along_u = slope.index_select(0, self.first)
        along = (slope.index_select(0, self.second) + cosine[:, None] * along_u) / sine[:, None]
        bend_u = bend.index_select(0, self.first)
        bend_ahead = (bend.index_select(0, self.second) + cosine * bend_u) / sine
        of_edges = by_u[:, None] * along_u + by_ahead[:, None] * along
        laplacian = laplacian + (
            by_u * bend_u
            + by_ahead * bend_ahead
            + even * (along.square().sum(1) - along_u.square().sum(1))
            + 2 * odd * (along * along_u).sum(1)
            - of_edges.square().sum(1)
        ).sum(0)
        by_place = by_place.index_add(0, self.first, of_edges)
        gradient = by_place.new_zeros(y.shape[1], y.shape[0], y.shape[2])
        gradient.index_add_(0, self.which, by_place.where(inside, 0.0))
        return value, (gradient.movedim(1, 0).contiguous(), laplacian.where(inside, 0.0))

    if TYPE_CHECKING:
        constant: Tensor
        linear: Tensor
        square: Tensor
        which: Tensor
        first: Tensor
        second: Tensor
        angles: Tensor
        powers: Tensor
