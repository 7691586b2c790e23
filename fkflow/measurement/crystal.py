"""How far the particles of a crystal in a periodic box are from its sites: Lindemann's ratio, and whether it is a crystal.

ψ is symmetric: which particle is at which site means nothing, and the crystal as a whole may be anywhere. The phases of its
Bragg peaks tell where. Sites are then given to the particles so that the sum of squared displacements is least.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from fkflow.hamiltonian.box import nearest_distance, open_axes, wave_vectors, wrapped
from fkflow.results.liquid import Liquid
from fkflow.statistics import Estimate

#: names of the mean square displacement in nearest distances of sites, and of the share of particles at their sites
DISPLACEMENT, AT_SITES = "box:displacement", "box:at_sites"
#: share of particles at their sites below which there is no crystal: it is 0.99 in solid helium, at most 0.64 in an ideal gas
SOLID = 0.9
#: distances of particles from sites that are worked on at once
AT_ONCE = 2**21
#: turns of each phase that are looked at for places of the crystal that the phases do not tell apart
TURNS = 4
#: relative difference of Bragg peaks of the same height
SAME = 1e-6


class Crystal:
    """Functions of places x (B, N, D) relative to `sites` (N, D) in a box with these sides, infinite along open axes."""

    def __init__(self, sites: Tensor, box: Sequence[float], device: torch.device) -> None:
        self.sites, self.box = torch.as_tensor(sites).to(device, torch.float64), tuple(box)
        #: the distance of nearest sites
        self.nearest = nearest_distance(self.sites, self.box)
        #: axes along which the crystal may be anywhere, and wave vectors (axes, D) of as many Bragg peaks, with their phases
        self.axes = [axis for axis in range(len(box)) if axis not in open_axes(box)]
        self.peaks = self._bragg_peaks()
        self.phases = _phases(self.sites[None], self.peaks)
        #: 1/k of the peaks: (D, axes) where the crystal is by their phases
        self.inverse = self.sites.new_zeros(len(box), len(self.axes))
        self.inverse[self.axes] = torch.linalg.inv(self.peaks[:, self.axes])
        self.shifts = self._shifts()

    def _bragg_peaks(self) -> Tensor:
        """The shortest independent wave vectors of the highest peaks of the sites."""
        most = math.ceil(len(self.sites) ** (1 / len(self.axes))) + 1
        waves = wave_vectors(self.box, [most if axis in self.axes else 0 for axis in range(len(self.box))])
        found = self.sites.new_tensor(sorted(waves, key=lambda wave: sum(k * k for k in wave)))
        angle = self.sites @ found.T
        heights = angle.cos().sum(0).square() + angle.sin().sum(0).square()
        chosen: list[Tensor] = []
        for height in sorted({round(float(h / heights.max()), 6) for h in heights}, reverse=True):
            for wave in found[(heights / heights.max() - height).abs() < SAME]:
                if int(torch.linalg.matrix_rank(torch.stack([*chosen, wave]))) > len(chosen):
                    chosen.append(wave)
            if len(chosen) == len(self.axes):
                break
        return torch.stack(chosen)

    def _shifts(self) -> list[Tensor]:
        """Displacements (D,) of the crystal that phases of the peaks do not tell from none, one of those that it has alike."""
        found: list[Tensor] = []
        for turns in itertools.product(range(TURNS), repeat=len(self.axes)):
            shift = self.inverse @ (2 * math.pi * self.sites.new_tensor(turns))
            if not any(self._is_translation(shift - other) for other in found):
                found.append(shift)
        return found

    def _is_translation(self, shift: Tensor) -> bool:
        """Whether the sites move to sites."""
        apart = wrapped(self.sites + shift - self.sites[:, None], self.box).norm(dim=-1)
        return bool(apart.amin(0).max() < SAME * max(1.0, float(apart.max())))

    def displacements(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Of the particles (B, N, D) from their sites, less that of their centre of mass, and whether each of them (B, N) is
        nearer to its own site than to any other."""
        turned = _phases(x, self.peaks) - self.phases
        x = x - (turned @ self.inverse.T)[:, None]
        best, there = self._from_sites(x - self.shifts[0])
        for shift in self.shifts[1:]:
            other, near = self._from_sites(x - shift)
            closer = other.square().sum((1, 2)) < best.square().sum((1, 2))
            best = torch.where(closer[:, None, None], other, best)
            there = torch.where(closer[:, None], near, there)
        return best, there

    def _from_sites(self, x: Tensor) -> tuple[Tensor, Tensor]:
        # here: SciPy takes a second to import, and few runs are of crystals
        from scipy.optimize import linear_sum_assignment

        apart = wrapped(x[:, :, None] - self.sites, self.box)
        square = apart.square().sum(-1)
        nearest = square.argmin(2)
        own = nearest.clone()
        # all is well where no site has two
        crowded = (nearest.sort(1)[0].diff(dim=1) == 0).any(1)
        for walker in crowded.nonzero()[:, 0].tolist():
            own[walker] = torch.from_numpy(linear_sum_assignment(square[walker].cpu().numpy())[1]).to(own.device)
        moved = apart.gather(2, own[..., None, None].expand(*own.shape, 1, x.shape[2]))[:, :, 0]
        return moved - moved.mean(1, keepdim=True), own == nearest

    def columns(self, x: Tensor) -> dict[str, Tensor]:
        """The mean square displacement of the particles, in nearest distances, and the share of them at their sites (B,)."""
        chunk = max(1, AT_ONCE // x.shape[1] ** 2)
        parts = [self.displacements(part) for part in x.double().split(chunk)]
        moved, there = (torch.cat([part[number] for part in parts]) for number in (0, 1))
        square = moved.square().sum(-1).mean(1) / self.nearest**2
        return {DISPLACEMENT: square, AT_SITES: there.double().mean(1)}


def _phases(x: Tensor, waves: Tensor) -> Tensor:
    """The phases (B, waves) of Σ e^(ik·x) of places x (B, N, D)."""
    angle: Any = x @ waves.T
    return torch.atan2(angle.sin().sum(1), angle.cos().sum(1))


def is_solid(share: tuple[Estimate, Estimate | None]) -> bool:
    """Whether the particles were at their sites, over ψ² and, if it is known, over φ0²."""
    return all(one is None or one.value >= SOLID for one in share)


def melted(liquid: Liquid) -> list[str]:
    """A warning where there are sites, but particles have left them; else none."""
    share = liquid.numbers.get("particles_at_sites")
    if share is None or "lindemann_ratio" in liquid.numbers:
        return []
    return [
        f"this is no crystal, it has melted: {share.value:.0%} of the particles are nearer to their own site than to any "
        "other; there is no Lindemann ratio"
    ]
