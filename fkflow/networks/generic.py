"""log ψ of distinguishable particles, or of one, in a smooth potential."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from fkflow.hamiltonian.geometry import coordinates_first
from fkflow.hamiltonian.natural_scale import Landscape
from fkflow.networks.confinement import FAINT, GAUSSIAN_SHARE, ElementSquares, Gaussian, RoundTails, Saturated, Tails
from fkflow.networks.coordinates import Differences, Squares, Whitening
from fkflow.networks.layers import Sum, mlp
from fkflow.networks.log_psi import LogPsi
from fkflow.networks.two_body_factor import RENAMED, TwoBodyFactor
from fkflow.networks.wells import has_wells, wells_of


class GenericNet(LogPsi):
    """Distinguishable particles (or one): −½|Lᵀz|² with a full learnable L, tails, and a perceptron of z.

    z are the whitened coordinates, the internal ones of a free system, and L starts so that ψ is the harmonic approximation,
    which solves any set of coupled oscillators exactly. LLᵀ cannot become negative: ψ stays normalisable whatever the
    optimiser does. Directions in which V becomes flat far away are projected out of it, and have exponential tails.
    """

    walkerwise: ClassVar[bool] = True
    exact: ClassVar[tuple[str, ...]] = ("centre",)
    renamed = RENAMED

    centre: Tensor
    whiten: Tensor
    closed: Tensor | None

    def __init__(
        self, landscape: Landscape, hidden: int, layers: int, two_body_factor: TwoBodyFactor | None = None
    ) -> None:
        super().__init__()
        self.two_body_factor = two_body_factor
        self.register_buffer("centre", landscape.centre.reshape(-1).clone())
        # Whitening z = W (x − c): unit variance of ψ² in the Gaussian approximation.
        self.register_buffer("whiten", landscape.whitening())
        # of a free system the internal coordinates
        d = self.whiten.shape[1]
        # ψ² of unit variance in z: log ψ = −z²/4, with tails d²/dz² = w_0 at the centre
        soft = d <= 3 and not landscape.harmonic
        share = GAUSSIAN_SHARE if soft else 1.0
        tails = torch.tensor([0.5 * (1 - GAUSSIAN_SHARE), FAINT])
        # a Gaussian falls too fast in directions along which V becomes flat
        flat = landscape.flat if soft else None
        self.register_buffer("closed", None if flat is None else closed_directions(flat, self.whiten))
        if flat is not None:
            share, tails = FAINT, torch.tensor([0.5 * (1 - FAINT), FAINT**2])
        wells = has_wells(landscape)
        if wells:
            # what confines is the sum over the wells
            share, tails = FAINT, torch.tensor([FAINT, FAINT])
        root = torch.eye(d) * math.sqrt(0.5 * share)
        if landscape.loose is not None:
            root, tails = root * landscape.loose.flatten().sqrt(), tails * landscape.loose.mean()
        self.root = nn.Parameter(root)
        self.log_tails = nn.Parameter(tails.log()) if soft else None
        self.net = mlp([d] + [hidden] * layers + [1], final_scale=0.0)
        self.whitening, self.gaussian, self.tails = Whitening(), Gaussian(), Tails()
        self.round_tails, self.saturated = RoundTails(), Saturated()
        self.element_squares, self.sum = ElementSquares(), Sum()
        self.differences, self.squares = Differences(), Squares()
        self.wells = wells_of(landscape, open_=self.closed is not None) if wells else None
        if wells:
            heights = torch.zeros(len(landscape.minima)) if landscape.heights is None else landscape.heights.clone()
            self.well_heights = nn.Parameter(heights)
            self.well_stiffness = nn.Parameter(torch.zeros(len(landscape.minima)))

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """As of any module; a state of an earlier version may have no sum over wells and no open directions, nor has this
        network from then on.
        """
        if self.closed is not None and "closed" not in state_dict:
            self.closed = None
            if self.wells is not None:
                self.wells.open = False
        if self.wells is not None and "well_heights" not in state_dict:
            self.wells = None
            del self.well_heights, self.well_stiffness
        return super().load_state_dict(state_dict, strict, assign)

    @property
    def width(self) -> int:
        return max(layer.in_features + layer.out_features for layer in self.net if isinstance(layer, nn.Linear))

    def coordinates(self, x: Tensor) -> Tensor:
        return coordinates_first(x - self.centre.view(x.shape[1:]))

    def compose(self, y: Tensor) -> Tensor:
        z = self.whitening(y, self.whiten)
        if self.closed is None:
            value = self.gaussian(z, self.root, 1.0) + self.sum(self.net(z))
            if self.log_tails is not None:
                value = value + self.tails(self.element_squares(z), self.log_tails.exp())
        else:
            assert self.log_tails is not None
            value = self.gaussian(self.whitening(y, self.whiten @ self.closed), self.root, 1.0)
            value = value + self.sum(self.net(self.saturated(z)))
            value = value + self.round_tails(y, self.whiten, self.log_tails.exp())
        if self.wells is not None:
            value = value + self.wells(y, self.well_heights, self.well_stiffness)
        if self.two_body_factor is not None:
            value = value + self.two_body_factor(self.squares(self.differences(y, y.dtype)), 1.0)
        return value


def closed_directions(flat: Tensor, whiten: Tensor) -> Tensor:
    """The projector (d, d) on whitened coordinates other than those of the directions that `flat` (d, d) projects on."""
    values, vectors = torch.linalg.eigh(whiten @ flat @ whiten)
    kept = vectors[:, values <= 1e-9 * values[-1]]
    return kept @ kept.mT
