"""Growth of excited states beyond ψ: functions of a sector are also multiplied by powers ψ^(−c), 0 < c < 1.

An excited state lives where ψ is small: in a higher well, far out, on the other side of a barrier. A function f that must rise
by orders of magnitude there is hard to combine from smooth ones; f ψ^(−c) with c = ½ rises half the way by itself. Where ψ
vanishes on a hard wall its factor for that is left out, since ψ^(1−c) would have no kinetic energy there.
"""

from __future__ import annotations

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
    largest, the same growth far out.
    """

    def __init__(self, net: LogPsi, sample: Tensor, smooth: bool) -> None:
        self.net: LogPsi = _WithoutEdges(net) if net.edges else net
        self.smooth = smooth
        self.highest = float(chunks.value_and_drift(self.net, sample)[0].max())

    def __call__(self, x: Tensor) -> list[Jet]:
        if self.net.analytic:
            value, drift, curvature = self.net.value_drift_and_laplacian(x)
        else:
            value = self.net.value(x)
            curvature, drift = laplacian(self.net, x)
        below = Jet(self.highest - value.double(), -drift.double().flatten(1).T, -curvature.double())
        if self.smooth:
            below = (below * below + 1.0).sqrt() - 1.0
        return [(below * power).exp() for power in POWERS]


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
