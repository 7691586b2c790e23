"""Wave vectors of a periodic box, in shells of one length."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from fkflow.hamiltonian.box import periodic_sides, wave_vectors

#: longest wave vector, in 2π by the spacing of the particles, and fewest of them along an axis
REACH, FEWEST = 2.5, 8
#: shells of which there are all, and how many there are at most; wave vectors of a shell at most
ALL, SHELLS, VECTORS = 24, 48, 6
#: relative difference of lengths that are the same
SAME = 1e-9


@dataclass(frozen=True)
class Waves:
    """Wave vectors `vectors` (D, n), one of each two opposite ones, in shells.

    `lengths` (shells,) are theirs, `shell` (n,) says which shell a vector is of, `counts` (shells,) how many vectors of that
    length the box has: a shell may hold some of them only.
    """

    lengths: Tensor
    vectors: Tensor
    shell: Tensor
    counts: Tensor

    def mean(self, of_vectors: Tensor) -> Tensor:
        """The means (…, shells) over the vectors of each shell of values (…, n)."""
        which = torch.nn.functional.one_hot(self.shell, len(self.lengths)).to(of_vectors)
        return of_vectors @ (which / which.sum(0))


def box_waves(sides: Sequence[float], particles: int, device: torch.device | str = "cpu") -> Waves:
    """The wave vectors 2πn/L of a box with some particles, but 0; an axis of infinite side is open, and has none."""
    periodic = periodic_sides(sides)
    spacing = (math.prod(periodic) / particles) ** (1 / len(periodic))
    shortest = 2 * math.pi / max(periodic)
    most = max(REACH * 2 * math.pi / spacing, FEWEST * shortest)
    orders = [math.floor(most * side / (2 * math.pi) + SAME) if math.isfinite(side) else 0 for side in sides]
    found = [wave for wave in wave_vectors(sides, orders) if math.hypot(*wave) <= most * (1 + SAME)]
    found.sort(key=lambda wave: (round(math.hypot(*wave) / shortest, 6), wave))
    shells = [list(group) for _, group in groupby(found, lambda wave: round(math.hypot(*wave) / shortest, 6))]
    if len(shells) > SHELLS:
        step = (len(shells) - ALL) / (SHELLS - ALL)
        shells = shells[:ALL] + [shells[ALL + int(k * step)] for k in range(SHELLS - ALL)]
    # of many vectors of one length some are enough, spread evenly
    few = [
        [shell[k * len(shell) // count] for k in range(count)]
        for shell in shells
        for count in [min(len(shell), VECTORS)]
    ]
    options: dict[str, Any] = {"dtype": torch.float64, "device": device}
    return Waves(
        torch.tensor([math.hypot(*shell[0]) for shell in shells], **options),
        torch.tensor([wave for shell in few for wave in shell], **options).T.contiguous(),
        torch.tensor([number for number, shell in enumerate(few) for _ in shell], device=device),
        torch.tensor([2.0 * len(shell) for shell in shells], **options),
    )
