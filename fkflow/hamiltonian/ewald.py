"""The energy of point charges in a periodic box with all their images, by Ewald's sum."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fkflow.hamiltonian.box import wave_vectors
from fkflow.hamiltonian.geometry import coordinates_first, nearest_images, pair_differences, pairs

if TYPE_CHECKING:
    from torch import Tensor

#: α times half the shortest side, at which erfc has fallen to 2·10⁻⁸, and k/2α at which the waves have
REACH = 4.0


class Ewald:
    """Σ_{i<j} q_i q_j/r_ij of charges (N,) in a periodic box in space or on a plane, with all images.

    ``Ewald(box, charges)(x)`` is the energy (…,) of places x (…, N, D), to seven digits; `box` is the side of a cube, or two or
    three sides. An even background makes up for the total charge. In space the average field of the whole crystal is that of a
    conductor around it. Ewald, Ann. Phys. 369, 253 (1921); on a plane Parry, Surf. Sci. 49, 433 (1975). Raises ValueError for
    another number of sides, or charges that are not finite.
    """

    def __init__(self, box: float | Sequence[float], charges: Sequence[float]) -> None:
        given = (box,) * 3 if isinstance(box, int | float) else tuple(box)
        sides_known = all(isinstance(side, int | float) and 0 < side < math.inf for side in given)
        if len(given) not in (2, 3) or not sides_known:
            raise ValueError(f"box = {box!r} is not allowed: Ewald's sum is for a box with two or three sides above 0")
        if not charges or not all(math.isfinite(charge) for charge in charges):
            raise ValueError(f"charges = {charges!r} is not allowed: it must be a list of numbers")
        self.box, self.charges = given, tuple(float(charge) for charge in charges)
        self.alpha = alpha = 2 * REACH / min(given)
        volume, most = math.prod(given), 2 * REACH * alpha
        orders = [math.floor(most * side / (2 * math.pi)) for side in given]
        self.waves, self.weights = [], []
        for wave in wave_vectors(given, orders):
            square = sum(k * k for k in wave)
            if square <= most**2:
                self.waves.append(wave)
                self.weights.append(_weight(math.sqrt(square), alpha, len(given)) / volume)
        total = sum(self.charges)
        self.constant = -alpha / math.sqrt(math.pi) * sum(q * q for q in self.charges)
        # of the background with what the first sum has of k = 0
        even = math.pi / (2 * alpha**2) if len(given) == 3 else math.sqrt(math.pi) / alpha
        self.constant -= even * total**2 / volume

    def __call__(self, x: Tensor) -> Tensor:
        """x (…, N, D) → (…,). Raises ValueError for another number of particles or dimensions."""
        wanted = len(self.charges), len(self.box)
        if tuple(x.shape[-2:]) != wanted:
            raise ValueError(f"x has the shape {tuple(x.shape)}: it must be (…, {wanted[0]}, {wanted[1]})")
        charges: Any = x.new_tensor(self.charges)
        first, second = pairs(len(self.charges), x.device)
        apart = nearest_images(pair_differences(coordinates_first(x), first, second), self.box)
        r = apart.square().sum(0).sqrt()
        near = ((charges[first] * charges[second]).view(-1, *[1] * (r.dim() - 1)) * (self.alpha * r).erfc() / r).sum(0)
        angle = x @ x.new_tensor(self.waves).T
        square = sum((charges[:, None] * part).sum(-2).square() for part in (angle.cos(), angle.sin()))
        total: Tensor = near + square @ x.new_tensor(self.weights) + self.constant
        return total


def _weight(k: float, alpha: float, dimensions: int) -> float:
    """Of |Σ q e^(ikr)|² for one of two opposite waves of length k, times the volume."""
    if dimensions == 2:
        return 2 * math.pi / k * math.erfc(k / (2 * alpha))
    return 4 * math.pi / k**2 * math.exp(-(k**2) / (4 * alpha**2))
