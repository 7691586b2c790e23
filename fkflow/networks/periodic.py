"""log ψ of identical particles, or of one, in a periodic box."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from fkflow.hamiltonian.box import open_axes, periodic_sides, spacing
from fkflow.hamiltonian.natural_scale import Landscape
from fkflow.hamiltonian.system import System
from fkflow.networks.box_parts import Harmonics, OpenPlaces, OpenTails, PairSquares
from fkflow.networks.confinement import FAINT, GAUSSIAN_SHARE
from fkflow.networks.coordinates import Places
from fkflow.networks.functions import Features, Gaussians, Root
from fkflow.networks.layers import SiLU, Sum, SumOverPairs, Weighted, mlp
from fkflow.networks.log_psi import LogPsi
from fkflow.networks.messages import PairLinear, Receive
from fkflow.networks.rods import as_points
from fkflow.networks.site_factor import SiteFactor
from fkflow.networks.two_body_factor import TwoBodyFactor
from fkflow.networks.vector_messages import VectorMessages
from fkflow.networks.wave_factor import WaveFactor, waves_of

#: shortest width of the functions of distances, in natural lengths; each other one is twice as wide, up to a side
SHORTEST = 0.5
#: extent along an open axis for them, in deviations of the particles
WIDEST = 3.0
#: waves along each axis: at least so many, and so many for each spacing of the particles, and at most
WAVES, PER_SPACING, MOST = 6, 2.0, 32
#: configurations at which V is compared with V of all particles moved together, and the allowed relative difference
TRIED, SAME = 16, 1e-9


class PeriodicNet(LogPsi):
    """Identical particles in a periodic box: functions of distances of several widths and a round of messages.

    Distances and places enter through functions that are the same and smooth at every image (`box_parts`), but for the
    two-body factor and, in more than one dimension, the pair functions and vector messages of a liquid (`vector_messages`),
    whose slopes vanish where the nearest image changes. Where V depends on the places themselves, particles
    also see waves cos and sin (2πmx/L). Sums over pairs and particles make ψ symmetric.
    """

    walkerwise: ClassVar[bool] = True

    rod: Tensor | None

    def __init__(
        self,
        landscape: Landscape,
        hidden: int,
        layers: int,
        *,
        even: bool,
        apart: float,
        two_body_factor: TwoBodyFactor | None = None,
        rod: float = 0.0,
        site_factor: SiteFactor | None = None,
    ) -> None:
        super().__init__()
        assert landscape.box is not None
        n, dim = landscape.centre.shape
        self.particles, self.dimensions = n, dim
        self.box: tuple[float, ...] = landscape.box
        self.length = landscape.length
        #: what is taken out of each particle on a line (`rods`)
        self.register_buffer("rod", torch.tensor(rod, dtype=torch.float64) if rod else None)
        sides = [side / self.length for side in landscape.box]
        self.two_body_factor = two_body_factor
        self.places, self.silu, self.sum = Places(False), SiLU(), Sum()
        self.waves = None
        features = 0
        closed, opened = periodic_sides(sides), open_axes(sides)
        if not even or (n == 1 and not opened):
            count = max(WAVES, round(PER_SPACING * max(closed) * self.length / apart)) if n > 1 else 2 * WAVES
            self.waves = Harmonics(sides, min(count, MOST))
            features = 2 * self.waves.count * dim
        self.open_places = None
        widths: list[float] = []
        if opened:
            middles = [float(landscape.centre[0, a]) / self.length for a in opened]
            widths = [float(landscape.covariance[a, a].sqrt()) / self.length for a in opened]
            self.open_places = OpenPlaces(opened, middles, widths)
            self.open_tails = OpenTails(opened, middles, widths)
            # ψ² of unit variance in t
            start = torch.tensor([0.5 * GAUSSIAN_SHARE, 0.5 * (1 - GAUSSIAN_SHARE), FAINT])
            self.log_tails = nn.Parameter(start.log().repeat(len(opened), 1))
            features += 2 * len(opened)
        if n > 1:
            most = math.hypot(*(side / math.pi for side in closed), *(WIDEST * width for width in widths))
            widths = [SHORTEST * 2.0**k for k in range(max(3, math.ceil(math.log2(most / SHORTEST)) + 1))]
            # bounded second derivatives: a narrow Gaussian must be learned, it is not there by chance at the start
            heights = tuple(min(width, 1.0) ** 2 for width in widths)
            self.pair_features = Features(Gaussians(tuple(widths), heights), Root())
            pair = sum(self.pair_features.counts)
            self.pair_in = mlp([pair, hidden])
        self.message = mlp([features + (hidden if n > 1 else 0), hidden])
        self.readout = mlp([hidden] + [hidden] * (layers - 1) + [1], final_scale=0.0)
        if n > 1:
            left = [side - n * rod / self.length for side in sides]
            self.squares, self.nearest = PairSquares(left, smooth=True), PairSquares(left, smooth=False)
            self.receive, self.sum_over_pairs, self.weighted = Receive(), SumOverPairs(), Weighted()
            self.pair_out = mlp([2 * hidden + pair, hidden], first=PairLinear)
            self.pair_readout = mlp([hidden] + [1], final_scale=0.0)
            self.jastrow = nn.Parameter(torch.zeros(pair))
        self.vector_messages = VectorMessages(sides, apart / self.length) if n > 1 and dim > 1 else None
        self.site_factor = site_factor
        #: what held the crystals of an earlier version
        self.wave_factor: WaveFactor | None = None

    @property
    def width(self) -> int:
        rows = max(self.particles, self.particles * (self.particles - 1) // 2)
        sites = 0 if self.site_factor is None else 2 * self.dimensions * self.particles**2
        return rows * (self.message.sizes[1] + 8) + sites

    def coordinates(self, x: Tensor) -> Tensor:
        if self.rod is not None:
            x = as_points(x, self.box[0], self.rod)
        return super().coordinates(x / self.length)

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """As of any module. A network of an earlier version takes nothing out of rods, and has waves of the density in place of
        the sites of a crystal, or neither: this one is like it from then on."""
        if self.rod is not None and "rod" not in state_dict:
            self.rod = None
            sides = [side / self.length for side in self.box]
            self.squares, self.nearest = PairSquares(sides, smooth=True), PairSquares(sides, smooth=False)
        if self.site_factor is not None and "site_factor.log_stiffness" not in state_dict:
            peaks, parameter = self.site_factor.peaks, self.site_factor.log_stiffness
            self.site_factor = None
            if "wave_factor.weights" in state_dict:
                self.wave_factor = waves_of(peaks.sites, peaks.box, self.length).to(parameter)
        return super().load_state_dict(state_dict, strict, assign)

    def compose(self, y: Tensor) -> Tensor:
        precision = next(self.message.parameters()).dtype
        own = [part(y, precision) for part in (self.waves, self.open_places) if part is not None]
        if self.particles == 1:
            return self._held(self.sum(self.readout(self.silu(self.message(*own)))), y)
        pair = self.pair_features(self.squares(y, precision))
        sent = self.silu(self.pair_in(pair))
        particle = self.silu(self.message(*own, self.receive(sent, self.places(y, precision))))
        value = self.weighted(self.sum_over_pairs(pair), self.jastrow) + self.sum(self.readout(particle))
        second = self.silu(self.pair_out(sent, particle, pair))
        value = value + self.sum(self.pair_readout(self.sum_over_pairs(second)))
        if self.vector_messages is not None:
            value = value + self.vector_messages(y, precision)
        if self.wave_factor is not None:
            value = value + self.wave_factor(y, precision)
        if self.site_factor is not None:
            value = value + self.site_factor(y, precision)
        value = self._held(value, y)
        if self.two_body_factor is None:
            return value
        return value + self.two_body_factor(self.nearest(y, precision), self.length)

    def _held(self, value: Tensor, y: Tensor) -> Tensor:
        """With the factor that ends ψ along open axes."""
        return value if self.open_places is None else value + self.open_tails(y, self.log_tails.exp())


def is_even(system: System, landscape: Landscape) -> bool:
    """Whether V stays the same where all particles move together along all periodic axes, as without an external field."""
    assert landscape.places is not None
    x = landscape.places[:TRIED]
    options: dict[str, Any] = {"generator": torch.Generator("cpu").manual_seed(0), "dtype": x.dtype, "device": x.device}
    shift = spacing(system, landscape.box or ()) * torch.randn(len(x), 1, x.shape[2], **options)
    shift[..., list(open_axes(landscape.box or ()))] = 0.0
    here, there = (system.potential(places).detach() for places in (x, x + shift))
    scale = max(float(here.abs().max()), 0.5 / landscape.length**2)
    return bool(((here - there).abs() <= SAME * scale).all())
