"""How far the particles of a crystal in a periodic box are from its sites: Lindemann's ratio, and whether it is a crystal.

ψ is symmetric: which particle is at which site means nothing, and the crystal as a whole may be anywhere, as its Bragg peaks
tell (`hamiltonian/bragg.py`). Sites are then given to the particles so that the sum of squared displacements is least.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fkflow.hamiltonian.box import wrapped
from fkflow.hamiltonian.bragg import BraggPeaks
from fkflow.results.liquid import Liquid
from fkflow.statistics import Estimate

#: names of the mean square displacement in nearest distances of sites, and of the share of particles at their sites
DISPLACEMENT, AT_SITES = "box:displacement", "box:at_sites"
#: share of particles at their sites below which there is no crystal: it is 0.99 in solid helium, at most 0.64 in an ideal gas
SOLID = 0.9
#: distances of particles from sites that are worked on at once
AT_ONCE = 2**21


class Crystal:
    """Functions of places x (B, N, D) relative to `sites` (N, D) in a box with these sides, infinite along open axes."""

    def __init__(self, sites: Tensor, box: Sequence[float], device: torch.device) -> None:
        self.sites, self.box = torch.as_tensor(sites).to(device, torch.float64), tuple(box)
        self.peaks = BraggPeaks(self.sites, self.box)
        #: the distance of nearest sites
        self.nearest = self.peaks.nearest

    def displacements(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Of the particles (B, N, D) from their sites, less that of their centre of mass, and whether each of them (B, N) is
        nearer to its own site than to any other."""
        x = x - self.peaks.place(x)[:, None]
        first, *others = self.peaks.shifts
        best, there = self._from_sites(x - first)
        for shift in others:
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
