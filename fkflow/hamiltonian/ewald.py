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
    """Σ_{i<j} q_i q_j/r_ij of charges (N,) in a periodic box in space, each with all images of the others and of itself.

    ``Ewald(box, charges)(x)`` is the energy (…,) of places x (…, N, 3), to seven digits; `box` is the side, or the three sides.
    An even background makes up for the total charge. The average field of the whole crystal is that of a conductor around it.
    Ewald, Ann. Phys. 369, 253 (1921). Raises ValueError for another number of sides, or charges that are not finite.
    """

    def __init__(self, box: float | Sequence[float], charges: Sequence[float]) -> None:
        given = (box,) * 3 if isinstance(box, int | float) else tuple(box)
        if len(given) != 3 or not all(isinstance(side, int | float) and 0 < side < math.inf for side in given):
            raise ValueError(f"box = {box!r} is not allowed: Ewald's sum is for a box with three sides above 0")
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
                self.weights.append(4 * math.pi / (volume * square) * math.exp(-square / (4 * alpha**2)))
        total = sum(self.charges)
        self.constant = -alpha / math.sqrt(math.pi) * sum(q * q for q in self.charges)
        self.constant -= math.pi * total**2 / (2 * alpha**2 * volume)

    def __call__(self, x: Tensor) -> Tensor:
        """x (…, N, 3) → (…,). Raises ValueError for another number of particles."""
        if x.shape[-2:] != (len(self.charges), 3):
            raise ValueError(f"x has the shape {tuple(x.shape)}: it must be (…, {len(self.charges)}, 3)")
        charges: Any = x.new_tensor(self.charges)
        first, second = pairs(len(self.charges), x.device)
        apart = nearest_images(pair_differences(coordinates_first(x), first, second), self.box)
        r = apart.square().sum(0).sqrt()
        near = ((charges[first] * charges[second]).view(-1, *[1] * (r.dim() - 1)) * (self.alpha * r).erfc() / r).sum(0)
        angle = x @ x.new_tensor(self.waves).T
        square = sum((charges[:, None] * part).sum(-2).square() for part in (angle.cos(), angle.sin()))
        total: Tensor = near + square @ x.new_tensor(self.weights) + self.constant
        return total
