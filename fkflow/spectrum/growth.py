"""Growth of excited states beyond ψ: functions of a sector are also multiplied by a power ψ^(−c), 0 < c < 1.

An excited state lives where ψ is small: in a higher well, far out, on the other side of a barrier. A function f that must rise
by orders of magnitude there is hard to combine from smooth ones; f ψ^(−c) with c = ½ rises half the way by itself.
"""

from __future__ import annotations

from torch import Tensor

from fkflow.execution import chunks
from fkflow.hamiltonian.natural_scale import Landscape
from fkflow.hamiltonian.system import System
from fkflow.networks.log_psi import LogPsi
from fkflow.sampling.local_energy import laplacian
from fkflow.spectrum.jets import Jet

#: the power c, and the most coordinates for which functions are doubled
POWER, MOST = 0.5, 3


class Growth:
    """ψ^(−c), called with configurations x (B, N, D) it gives a jet of (B,); `smooth` where ψ may have cusps.

    With t = log ψ_max − log ψ that is e^{c t}, or e^{c (√(1 + t²) − 1)}: flat where ψ is largest, the same growth far out.
    """

    def __init__(self, net: LogPsi, sample: Tensor, smooth: bool) -> None:
        self.net, self.smooth = net, smooth
        self.highest = float(chunks.value_and_drift(net, sample)[0].max())

    def __call__(self, x: Tensor) -> Jet:
        if self.net.analytic:
            value, drift, curvature = self.net.value_drift_and_laplacian(x)
        else:
            value = self.net.value(x)
            curvature, drift = laplacian(self.net, x)
        below = Jet(self.highest - value.double(), -drift.double().flatten(1).T, -curvature.double())
        if self.smooth:
            below = (below * below + 1.0).sqrt() - 1.0
        return (below * POWER).exp()


def growth_of(net: LogPsi, system: System, landscape: Landscape, sample: Tensor) -> Growth | None:
    """The growth for a system, None where functions have one of their own or may not grow.

    On a hard wall ψ^(1−c) has no kinetic energy.
    """
    known = system.nuclei() is not None or system.point_charges() is not None or system.free
    walls = landscape.walls is not None or landscape.diameter is not None
    if known or walls or sample[0].numel() > MOST:
        return None
    return Growth(net, sample, smooth=landscape.centres is not None or net.has_singular_points)
