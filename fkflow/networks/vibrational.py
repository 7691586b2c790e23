"""log ψ of a free molecule that vibrates about one shape."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from fkflow.hamiltonian.geometry import coordinates_first
from fkflow.hamiltonian.shape import Shape
from fkflow.networks.layers import mlp
from fkflow.networks.log_psi import LogPsi
from fkflow.networks.molecular_parts import LabellingMean
from fkflow.networks.shape_parts import BondsAndAngles, MeanGaussian, Vibrations
from fkflow.networks.stored_numbers import StoredNumbers


class VibrationalNet(StoredNumbers, LogPsi):
    """A molecule of any species: −½|Lᵀq|² and a perceptron of q, the combinations of bonds and angles that vibrate.

    q has unit variance in the harmonic approximation, which L starts from. Bonds and angles are functions of distances, so that
    ψ does not turn (J = 0), and nothing depends on the centre of mass. Averages over the exchanges within each species make ψ
    symmetric.
    """

    walkerwise: ClassVar[bool] = True
    numbers: ClassVar[tuple[str, ...]] = ("length",)

    def __init__(self, shape: Shape, length: float, hidden: int, layers: int) -> None:
        super().__init__()
        self.length = length
        modes = shape.vibrations
        count = modes.shape[1]
        self.internal = BondsAndAngles(shape.coordinates, shape.places, length)
        self.vibrations = Vibrations(modes * length, shape.exchanges)
        # ψ² of unit variance: log ψ = −q²/4
        self.root = nn.Parameter(math.sqrt(0.5) * torch.eye(count))
        self.net = mlp([count] + [hidden] * layers + [1], final_scale=0.0)
        self.gaussian, self.mean = MeanGaussian(), LabellingMean()
        self.exchanges = len(shape.exchanges)

    @property
    def width(self) -> int:
        return self.exchanges * max(self.net.sizes)

    def coordinates(self, x: Tensor) -> Tensor:
        return coordinates_first(x / self.length)

    def compose(self, y: Tensor) -> Tensor:
        q = self.vibrations(self.internal(y, self.root.dtype))
        return self.gaussian(q, self.root) + self.mean(self.net(q))
