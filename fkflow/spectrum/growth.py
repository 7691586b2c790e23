"""Growth of excited states beyond ψ: functions of a sector are also multiplied by powers ψ^(−c), 0 < c < 1.

An excited state lives where ψ is small: in a higher well, far out, on the other side of a barrier. A function f that must rise
by orders of magnitude there is hard to combine from smooth ones; f ψ^(−c) with c = ½ rises half the way by itself. Where ψ
vanishes on a hard wall its factor for that is left out, since ψ^(1−c) would have no kinetic energy there.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from fkflow.execution import chunks
from fkflow.hamiltonian.natural_scale import Landscape
from fkflow.hamiltonian.system import System
from fkflow.networks.log_psi import LogPsi
from fkflow.sampling.local_energy import laplacian
from fkflow.spectrum.jets import Jet

#: the powers c, and the most coordinates for which functions grow
POWERS, MOST = (0.5, 0.75), 3


class Growth:
    """ψ^(−c) for all powers: called with configurations x (B, N, D) it gives a list of jets of (B,).

    With t = log ψ_max − log ψ each is e^{c t}, or, `smooth` where ψ may have cusps, e^{c (√(1 + t²) − 1)}: flat where ψ is
    largest, the same growth far out. log ψ is averaged over `turns` (D, D) about `centre`: a network may lack a symmetry of V
    a little, and its powers together would then make states of other sectors.
    """

    def __init__(self, net: LogPsi, sample: Tensor, smooth: bool) -> None:
        self.net: LogPsi = _WithoutEdges(net) if net.edges else net
        self.smooth = smooth
        self.highest = float(chunks.value_and_drift(self.net, sample)[0].max())
        self.turns = [torch.eye(sample.shape[2], dtype=sample.dtype)]
        self.centre = torch.zeros(sample.shape[2], dtype=sample.dtype)

    def averaged(self, turns: Sequence[Tensor], centre: Tensor) -> Growth:
        """The same, averaged over these reflections and rotations about `centre` (D,)."""
        found = copy.copy(self)
        found.turns, found.centre = list(turns), centre
        return found

    def __call__(self, x: Tensor) -> list[Jet]:
        value, drift, curvature = x.new_zeros(len(x)), torch.zeros_like(x), x.new_zeros(len(x))
        for turn in self.turns:
            one, along, bent = self._derivatives((x - self.centre) @ turn + self.centre)
            value, drift, curvature = value + one, drift + along @ turn.T, curvature + bent
        share = 1 / len(self.turns)
        below = Jet(self.highest - share * value, -share * drift.flatten(1).T, -share * curvature)
        if self.smooth:
            below = (below * below + 1.0).sqrt() - 1.0
        return [(below * power).exp() for power in POWERS]

    def _derivatives(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """log ψ (B,), its gradient (B, N, D) and its Laplacian (B,)."""
        if self.net.analytic:
            value, drift, curvature = self.net.value_drift_and_laplacian(x)
        else:
            value = self.net.value(x)
            curvature, drift = laplacian(self.net, x)
        return value.double(), drift.double(), curvature.double()


class _WithoutEdges(LogPsi):
    """log ψ without its factors for walls and jumps."""

    def __init__(self, net: LogPsi) -> None:
        super().__init__()
        self.net = net

    @property
    def width(self) -> int:
        return self.net.width

    def forward(self, x: Tensor) -> Tensor:
        y, value = self.net.coordinates(x), self.net(x)
        for edge in self.net.edges:
            value = value - edge(y)
        return value


def growth_of(net: LogPsi, system: System, landscape: Landscape, sample: Tensor) -> Growth | None:
    """The growth for a system, None where functions have one of their own, or nothing is known about where they may grow.

    Where particles meet that repel each other without bound, in a box, ψ^(1−c) has no finite energy.
    """
    known = system.nuclei() is not None or system.point_charges() is not None or system.free
    meet = landscape.diameter is not None or (landscape.box is not None and system.particles > 1)
    if known or meet or sample[0].numel() > MOST:
        return None
    return Growth(net, sample, smooth=landscape.centres is not None or net.has_singular_points)
