"""The factor of ψ that holds the particles of a crystal at its sites, symmetric and the same wherever the crystal is.

log ψ = Σ_J log Σ_i exp(−α d²(x_i − s_J − R)/2): each site J must have a particle i near it, whichever. Cazorla, Astrakharchik,
Casulleras and Boronat, New J. Phys. 11, 013047 (2009), with the sites at one place. Here R is where that sum is greatest, so
that nothing holds the crystal as a whole. Along a side L a distance d enters as d² = 2 (L/2π)² (1 − cos(2πd/L)), which is
smooth where the nearest image changes.

R follows from x: the phases of the Bragg peaks tell it nearly, a few steps of Newton to all digits. With S(x, R) the sum and
A_i = Σ_j ∂²S/∂x_i∂x_j, Σ_i ∂S/∂x_i vanishes at that R, R changes with x_i by (Σ_j A_j)⁻¹ A_i, and

    ∇_i U = ∂S/∂x_i,    ΔU = ΔS − Σ_i tr[A_i (Σ_j A_j)⁻¹ A_iᵀ].
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from fkflow.hamiltonian.box import open_axes
from fkflow.hamiltonian.bragg import BraggPeaks
from fkflow.hamiltonian.natural_scale import Landscape
from fkflow.hamiltonian.system import System
from fkflow.networks.layers import spread_out
from fkflow.networks.parts import TermOfCoordinates

#: displacement √⟨u²⟩ that the factor alone would leave at the start, in distances of nearest sites
HELD = 0.25
#: steps of Newton after those of the phases of Bragg peaks
STEPS = 4
#: curvature of S along R, in that of particles which are all at sites, below which there is no crystal, nor Newton's step
FLAT = 0.1


class SiteFactor(TermOfCoordinates):
    """The term (B,) from coordinates y (D, N, B), rounded to the given precision.

    `peaks` has the sites and the box, in the coordinates of the landscape, whose unit is `length`, and `held` is √⟨u²⟩ that the
    factor alone would leave at the start. Inside, walkers are the first axis, so that sums over particles or sites are products
    of matrices, and places are angles 2πx/L.
    """

    sites: Tensor
    orders: Tensor
    phases: Tensor
    inverse: Tensor
    shifts: Tensor

    def __init__(self, peaks: BraggPeaks, length: float, held: float) -> None:
        super().__init__()
        self.peaks = peaks
        self.sides = tuple(side / length for side in peaks.box)
        turn = 2 * math.pi / peaks.sites.new_tensor(peaks.box)
        angle = (peaks.sites * turn).T
        # cosines and sines (2, D, J)
        self.register_buffer("sites", torch.stack([angle.cos(), angle.sin()]), persistent=False)
        self.register_buffer("orders", (peaks.waves / turn).round(), persistent=False)
        self.register_buffer("phases", peaks.phases[0], persistent=False)
        self.register_buffer("inverse", peaks.inverse * turn[:, None], persistent=False)
        self.register_buffer("shifts", torch.stack(peaks.shifts) * turn, persistent=False)
        self.log_stiffness = nn.Parameter(torch.tensor([math.log(len(self.sides) / 2 * (length / held) ** 2)]))

    def value(self, *inputs: Any) -> Tensor:
        angle, alpha = self._reduced(*inputs)
        with torch.no_grad():
            place = self._place(angle, alpha)
        if torch.is_grad_enabled() and inputs[0].requires_grad:
            # to first order R does not change U, by x or α; to second order it does
            place = place + self._step(self._pulls(self._waves(angle, place), alpha))
        return self._value(angle, place, alpha)

    def evaluate(self, *inputs: Any, derivatives: bool) -> tuple[Tensor, Any]:
        if not derivatives:
            return self.value(*inputs), None
        angle, alpha = self._reduced(*inputs)
        value, force, pulled, of_sites, curvature, inverse = self._pulls(
            self._waves(angle, self._place(angle, alpha)), alpha
        )
        # A_i, of which one axis is that of R: (B, D, D, N)
        beside = (force - of_sites[..., None]).unbind(1)
        coupled = torch.stack([(pulled * one[:, None]).sum(2) for one in beside], 1)
        coupled.diagonal(dim1=1, dim2=2).add_(curvature.mT)
        laplacian = curvature.sum((1, 2)) + (pulled * (force - pulled)).sum((1, 2, 3))
        rows = coupled.flatten(2)
        laplacian = laplacian + (inverse * (rows @ rows.mT)).sum((1, 2))
        return value, (pulled.sum(2).permute(1, 2, 0).to(inputs[0]), laplacian)

    def _reduced(self, y: Tensor, precision: torch.dtype) -> tuple[Tensor, Tensor]:
        """Angles (B, D, N), and α (1, 1, 1), or of each walker (B, 1, 1)."""
        turns = y / y.new_tensor(self.sides)[:, None, None]
        # particles may be many sides away
        angle = (2 * math.pi) * (turns - turns.round()).permute(2, 0, 1)
        return angle.to(precision), spread_out(self.log_stiffness, 1).mT[..., None].exp().to(precision)

    def _reach(self, like: Tensor) -> Tensor:
        """L/2π (D,)."""
        return like.new_tensor(self.sides) / (2 * math.pi)

    def _place(self, angle: Tensor, alpha: Tensor) -> Tensor:
        """R (B, D)."""
        turned = self.orders.to(angle) @ angle
        phases = torch.atan2(turned.sin().sum(2), turned.cos().sum(2)) - self.phases.to(angle)
        place = phases @ self.inverse.to(angle).T
        if len(self.shifts) > 1:
            tried = place + self.shifts.to(angle)[:, None]
            best = torch.stack([self._value(angle, one, alpha) for one in tried]).argmax(0)
            place = place + self.shifts.to(angle)[best]
        for _ in range(STEPS):
            place = place + self._step(self._pulls(self._waves(angle, place), alpha))
        return place

    def _waves(self, angle: Tensor, place: Tensor) -> Tensor:
        """Cosines and sines of the angles from R (B, 2, D, N)."""
        moved = angle - place[..., None]
        return torch.stack([moved.cos(), moved.sin()], 1)

    def _exponents(self, waves: Tensor, alpha: Tensor) -> Tensor:
        """−α d²/2 of sites and particles (B, J, N)."""
        squares = self._reach(waves).square()
        sites = (self.sites.to(waves) * squares[:, None]).flatten(0, 1)
        return alpha * (sites.T @ waves.flatten(1, 2) - squares.sum())

    def _value(self, angle: Tensor, place: Tensor, alpha: Tensor) -> Tensor:
        return self._exponents(self._waves(angle, place), alpha).logsumexp(2).sum(1)

    def _pulls(self, waves: Tensor, alpha: Tensor) -> _Pulls:
        exponents = self._exponents(waves, alpha)
        sums = exponents.logsumexp(2, keepdim=True)
        share, sites = (exponents - sums).exp(), self.sites.to(waves)
        cosine, sine = (waves * (alpha * self._reach(waves)[:, None])[:, None]).unsqueeze(3).unbind(1)
        force = cosine * sites[1, ..., None] - sine * sites[0, ..., None]
        pulled = share[:, None] * force
        of_sites = pulled.sum(3)
        cosines = waves * (sites.flatten(0, 1) @ share).unflatten(1, waves.shape[1:3])
        curvature = -alpha * cosines.sum(1)
        stiffness = (
            of_sites @ of_sites.mT - pulled.flatten(2) @ force.flatten(2).mT - torch.diag_embed(curvature.sum(2))
        )
        unit = torch.diag_embed((sites.shape[2] * alpha[..., 0]).expand(-1, len(self.sides)))
        # without a maximum nearby, the step that never leads down; NaN is no error here
        flat = torch.linalg.cholesky_ex(stiffness - FLAT * unit).info > 0
        inverse = torch.linalg.inv_ex(torch.where(flat[:, None, None], unit, stiffness)).inverse
        return _Pulls(sums.sum((1, 2)), force, pulled, of_sites, curvature, inverse)

    def _step(self, pulls: _Pulls) -> Tensor:
        """The step of R to the maximum (B, D)."""
        return -(pulls.inverse.detach() @ pulls.of_sites.sum(2, keepdim=True))[..., 0] / self._reach(pulls.inverse)


class _Pulls(NamedTuple):
    """S (B,), forces of sites on particles (B, D, J, N), those times the shares of the particles in the sites, their sums over
    the particles (B, D, J), the curvature for each particle (B, D, N), and −(Σ A_i)⁻¹ (B, D, D)."""

    value: Tensor
    force: Tensor
    pulled: Tensor
    of_sites: Tensor
    curvature: Tensor
    inverse: Tensor


def site_factor(system: System, landscape: Landscape) -> SiteFactor | None:
    """The factor for a system with `crystal_sites()` in two or three periodic dimensions; else None.

    The sites (N, D) are in the coordinates of the landscape.
    """
    given, box = system.crystal_sites(), landscape.box or ()
    if given is None or len(box) < 2 or open_axes(box):
        return None
    peaks = BraggPeaks(torch.as_tensor(given).detach().to("cpu", torch.float64), box)
    return SiteFactor(peaks, landscape.length, HELD * peaks.nearest)
