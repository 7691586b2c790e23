"""How ψ changes where one particle is moved: the one-body density matrix of a periodic box and its momenta.

n(s) = ⟨ψ(x_1 + s, x_2, …)/ψ(x_1, x_2, …)⟩ over ψ² is the one-body density matrix, averaged over the box, with n(0) = 1. The
share of the particles with the momentum k is the mean of n(s) cos k·s over all displacements s in the box. Over ψφ0 the same
ratio gives the mixed average.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fkflow.execution import chunks, ranks
from fkflow.hamiltonian.geometry import nearest_images
from fkflow.measurement.waves import Waves
from fkflow.networks.log_psi import LogPsi

#: distances at which n(r) is measured, from 0 to half the shortest side; displacements by one of them in one sweep
DISTANCES, SHORT = 25, 3
#: part of half the shortest side beyond which n(s) counts as far away
FAR = 0.8


class Coherence:
    """Sums of ψ(…, x_i + s, …)/ψ(x) over walkers x (B, N, D), in groups of walkers of this rank.

    A random particle is moved, along the periodic axes alone: by s anywhere in the box, for the momenta and for what is left
    far away, and in random directions by distances of a regular grid, for n(r). `sides` (D,) and the `waves` are in the
    coordinates of the walkers. Columns of the sums: n(k) for k = 0 and each shell, n far away, and n at each distance.
    """

    def __init__(self, net: LogPsi, sides: tuple[float, ...], waves: Waves, seed: int) -> None:
        self.net, self.box, self.waves = net, sides, waves
        device = waves.vectors.device
        self.generator = torch.Generator(device).manual_seed(ranks.own_seed(seed + 0x0FFD))
        finite = [side if math.isfinite(side) else 0.0 for side in sides]
        self.sides = torch.tensor(finite, dtype=torch.float64, device=device)
        half = 0.5 * min(side for side in finite if side)
        self.distances = torch.linspace(0.0, half, DISTANCES, dtype=torch.float64, device=device)
        self.far = FAR * half
        columns = len(waves.lengths) + 2 + DISTANCES
        #: sums of weight × ratio, and of weight, (columns, groups); the same for the first without weights
        self.top, self.bottom = (np.zeros((columns, ranks.groups_per_rank())) for _ in range(2))
        self.plain, self.counts = np.zeros_like(self.top), np.zeros_like(self.top)

    def add(self, x: Tensor, weights: Tensor) -> None:
        """Count the walkers x (B, N, D) with their weights (B,); walker b belongs to this rank's group b mod groups."""
        options: dict[str, Any] = {"generator": self.generator, "device": x.device, "dtype": x.dtype}
        ones = torch.ones_like(weights)
        before = chunks.value(self.net, x)
        which = torch.randint(x.shape[1], (len(x),), generator=self.generator, device=x.device)

        def ratio(s: Tensor) -> Tensor:
            """ψ with one particle of each walker moved by s (B, D), over ψ: (B,)."""
            moved = x.clone()
            moved[torch.arange(len(x), device=x.device), which] += s
            return (chunks.value(self.net, self.net.recentre(moved)) - before).exp()

        s = self.sides * torch.rand(len(x), x.shape[2], **options)
        # half a box farther: the even and the odd waves cancel each other's noise
        for shift in (s, s + 0.5 * self.sides):
            r = ratio(shift)
            waves = self.waves.mean((shift @ self.waves.vectors).cos())
            far = (nearest_images(shift.mT, self.box).mT.norm(dim=1) > self.far).to(r)
            values = torch.cat([r[:, None], r[:, None] * waves, (r * far)[:, None]], 1)
            self._count(
                slice(0, values.shape[1]),
                values,
                torch.cat([ones[:, None].expand(-1, values.shape[1] - 1), far[:, None]], 1),
                weights,
            )
        direction = torch.randn(len(x), x.shape[2], **options) * (self.sides > 0)
        direction = direction / direction.norm(dim=1, keepdim=True)
        first = torch.randint(DISTANCES, (len(x),), generator=self.generator, device=x.device)
        for k in range(SHORT):
            place = (first + k * DISTANCES // SHORT) % DISTANCES
            chosen = torch.nn.functional.one_hot(place, DISTANCES).to(x)
            r = ratio(direction * self.distances[place][:, None])
            self._count(slice(len(self.top) - DISTANCES, None), r[:, None] * chosen, chosen, weights)

    def _count(self, columns: slice, values: Tensor, shares: Tensor, weights: Tensor) -> None:
        groups = self.top.shape[1]

        def grouped(rows: Tensor) -> np.ndarray:
            # groups may be of different sizes
            group = torch.arange(len(rows), device=rows.device) % groups
            found: np.ndarray = rows.new_zeros(groups, rows.shape[1]).index_add_(0, group, rows).T.cpu().numpy()
            return found

        self.top[columns] += grouped(values * weights[:, None])
        self.bottom[columns] += grouped(shares * weights[:, None])
        self.plain[columns] += grouped(values)
        self.counts[columns] += grouped(shares)

    def averages(self) -> tuple[np.ndarray, np.ndarray]:
        """The average of each column and its deviations with a group left out (columns, groups): their squares sum up to the
        variance. Collective."""
        return _jackknife(*self._gathered(self.top, self.bottom))

    def differences(self) -> tuple[np.ndarray, np.ndarray]:
        """The same of the averages with weights minus those without, in which the noise of the same walkers cancels."""
        with_weights = _jackknife(*self._gathered(self.top, self.bottom))
        without = _jackknife(*self._gathered(self.plain, self.counts))
        return with_weights[0] - without[0], with_weights[1] - without[1]

    @staticmethod
    def _gathered(*own: np.ndarray) -> list[np.ndarray]:
        return list(ranks.gather_columns(list(own)))

    def state_dict(self) -> dict[str, Any]:
        """The sums of this rank for a checkpoint."""
        sums = {name: torch.from_numpy(getattr(self, name)) for name in ("top", "bottom", "plain", "counts")}
        return {"generator": self.generator.get_state(), **sums}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` gave."""
        self.generator.set_state(state["generator"])
        for name in ("top", "bottom", "plain", "counts"):
            setattr(self, name, state[name].numpy())


def _jackknife(top: np.ndarray, bottom: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Σ top/Σ bottom (columns,) over groups, and centred deviations with each left out, scaled to the variance."""
    total, below = top.sum(1, keepdims=True), bottom.sum(1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        value = (total / below)[:, 0]
        without = (total - top) / (below - bottom)
    groups = top.shape[1]
    centred = (without - without.mean(1, keepdims=True)) * math.sqrt((groups - 1) / groups)
    return value, centred
