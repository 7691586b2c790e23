"""The factor of ψ with the cusps of centres at which V falls as −c/r (`hamiltonian.centres`)."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from fkflow.hamiltonian.centres import Centres
from fkflow.networks.parts import TermOfCoordinates

#: length over which a cusp heals, in its own length 1/κ
HEALING = 2.0
#: distances below this count as this
SMALLEST = 1e-100


class CentreFactor(TermOfCoordinates):
    """−Σ κ b (1 − e^{−r/b}) (B,) of the distances r of one particle, y (D, 1, B), from each centre, with b = HEALING/κ.

    The centres are in the solver's coordinates x = `origin` (1, D) + `length` · y.
    """

    #: a cusp stays where that of V is
    exact: ClassVar[tuple[str, ...]] = ("places", "cusps")

    places: Tensor
    cusps: Tensor

    def __init__(self, centres: Centres, origin: Tensor, length: float) -> None:
        super().__init__()
        self.register_buffer("places", (centres.places - origin) / length)
        self.register_buffer("cusps", centres.cusps * length)

    def value(self, *inputs: Any) -> Tensor:
        (y,) = inputs
        distances = self._from_centres(y)[1]
        return (HEALING * torch.expm1(-distances * self.cusps[:, None] / HEALING)).sum(0)

    def evaluate(self, *inputs: Any, derivatives: bool) -> tuple[Tensor, Any]:
        (y,) = inputs
        if not derivatives:
            return self.value(y), None
        apart, r = self._from_centres(y)
        kappa = self.cusps[:, None]
        fall = torch.expm1(-r * kappa / HEALING)
        slope = -kappa * (fall + 1)
        gradient = (apart * (slope / r)).sum(1, keepdim=True)
        laplacian = (slope * ((len(y) - 1) / r - kappa / HEALING)).sum(0)
        return (HEALING * fall).sum(0), (gradient, laplacian)

    def _from_centres(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """y relative to the centres (D, M, B), and the distances (M, B)."""
        apart = y.to(self.places.dtype) - self.places.mT[:, :, None]
        return apart, apart.square().sum(0).clamp_min(SMALLEST**2).sqrt()
