"""log ψ of liquids and crystals: identical particles in a periodic plane or space, whose V is that of their distances."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from torch import Tensor

from fkflow.hamiltonian.geometry import near_pairs
from fkflow.hamiltonian.natural_scale import Landscape
from fkflow.networks.box_parts import PairSquares
from fkflow.networks.log_psi import LogPsi
from fkflow.networks.parts import Node
from fkflow.networks.site_factor import SiteFactor
from fkflow.networks.two_body_factor import TwoBodyFactor
from fkflow.networks.vector_messages import VectorMessages

#: particles beyond which pairs are left out that are farther apart than half the side of a cube with so many of them
MOST = 64
#: widths of Gaussians of distances, in spacings
WIDTHS = (0.25, 0.5, 1.0, 2.0)


def reach(landscape: Landscape, spacing: float) -> float:
    """The distance at which pair functions end, for a `spacing` (V/N)^(1/D): half the shortest side of the box, or less."""
    assert landscape.box is not None
    return 0.5 * min(*landscape.box, spacing * MOST ** (1 / len(landscape.box)))


class LiquidNet(LogPsi):
    """A two-body factor, pair functions and vector messages, which all end at `reach` with two derivatives.

    Of more than MOST particles only pairs within it are evaluated: the cost of a configuration grows as their number, but for
    the search for these pairs. That goes through all pairs, since neighbouring cells of that size are all cells of a box with
    fewer than 256 particles.
    """

    walkerwise: ClassVar[bool] = True

    def __init__(
        self,
        landscape: Landscape,
        spacing: float,
        reach: float,
        two_body_factor: TwoBodyFactor | None,
        site_factor: SiteFactor | None = None,
    ) -> None:
        super().__init__()
        assert landscape.box is not None
        self.particles, self.dimensions = landscape.centre.shape
        self.box: tuple[float, ...] = landscape.box
        self.length = landscape.length
        self.sides = tuple(side / self.length for side in self.box)
        self.reach, self.spacing = reach / self.length, spacing / self.length
        self.two_body_factor, self.site_factor = two_body_factor, site_factor
        self.nearest = PairSquares(self.sides, smooth=False)
        widths = [width * self.spacing for width in WIDTHS]
        self.vector_messages = VectorMessages(self.sides, self.spacing, self.reach, widths)
        # lists have another length for each batch
        self.recordable = self.all_pairs

    @property
    def all_pairs(self) -> bool:
        """Whether all pairs are evaluated."""
        return self.particles <= MOST

    @property
    def width(self) -> int:
        others = self.particles - 1
        if not self.all_pairs:
            # of particles that are spread evenly
            ball = math.pi ** (self.dimensions / 2) / math.gamma(self.dimensions / 2 + 1)
            others = round(ball * (self.reach / self.spacing) ** self.dimensions)
        sites = 0 if self.site_factor is None else 2 * self.dimensions * self.particles**2
        return self.particles * others * len(self.vector_messages.shells) // 2 + sites

    def coordinates(self, x: Tensor) -> Tensor:
        return super().coordinates(x / self.length)

    def compose(self, y: Tensor) -> Tensor:
        precision = self.vector_messages.mix.dtype
        near = []
        if not self.all_pairs:
            given: Any = y
            near = [near_pairs(given.value if isinstance(given, Node) else y, self.sides, self.reach)]
        value = self.vector_messages(y, precision, *near)
        if self.site_factor is not None:
            value = value + self.site_factor(y, precision)
        if self.two_body_factor is None:
            return value
        return value + self.two_body_factor(self.nearest(y, precision, *near), self.length)
