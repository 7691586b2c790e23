"""Where a crystal is: the phases of its Bragg peaks.

A crystal in a periodic box may be anywhere. Σ e^(iG·x) of its particles at D independent peaks G has phases that tell where it
is, whichever particle is at which site, up to translations of its lattice.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from fkflow.hamiltonian.box import nearest_distance, open_axes, wave_vectors, wrapped

#: turns of each phase that are looked at for places of the crystal that the phases do not tell apart
TURNS = 4
#: relative difference of Bragg peaks of the same height
SAME = 1e-6


class BraggPeaks:
    """The highest Bragg peaks of `sites` (N, D) in a box with these sides, infinite along open axes."""

    def __init__(self, sites: Tensor, box: Sequence[float]) -> None:
        self.sites, self.box = sites, tuple(box)
        #: the distance of nearest sites
        self.nearest = nearest_distance(sites, self.box)
        #: axes along which the crystal may be anywhere
        self.axes = [axis for axis in range(len(box)) if axis not in open_axes(box)]
        #: wave vectors (axes, D) of as many peaks, with their phases at the sites
        self.waves = self._highest()
        self.phases = phases(sites[None], self.waves)
        #: 1/k of the peaks: (D, axes) where the crystal is by their phases
        self.inverse = sites.new_zeros(len(box), len(self.axes))
        self.inverse[self.axes] = torch.linalg.inv(self.waves[:, self.axes])
        #: displacements (D,) of the crystal that the phases do not tell from none, one of those that it has alike
        self.shifts = self._shifts()

    def _highest(self) -> Tensor:
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

    def place(self, x: Tensor) -> Tensor:
        """Where the crystal of the particles x (B, N, D) is, relative to the sites: (B, D), up to the `shifts`."""
        return (phases(x, self.waves) - self.phases) @ self.inverse.T


def phases(x: Tensor, waves: Tensor) -> Tensor:
    """The phases (B, waves) of Σ e^(ik·x) of places x (B, N, D)."""
    angle: Any = x @ waves.T
    return torch.atan2(angle.sin().sum(1), angle.cos().sum(1))
