"""Growth of excited states beyond ψ: functions of a sector are also multiplied by powers ψ^(−c), 0 < c < 1.

An excited state lives where ψ is small: in a higher well, far out, on the other side of a barrier. A function f that must rise
by orders of magnitude there is hard to combine from smooth ones; f ψ^(−c) with c = ½ rises half the way by itself. Where ψ
vanishes on a hard wall its factor for that is left out, since ψ^(1−c) would have no kinetic energy there.
"""

from __future__ import annotations

import copy
import operator
from functools import reduce

import torch
from torch import Tensor, nn

from fkflow.execution import chunks
from fkflow.hamiltonian.natural_scale import Landscape
from fkflow.hamiltonian.system import System
from fkflow.networks.log_psi import LogPsi
from fkflow.sampling.local_energy import derivatives
from fkflow.spectrum.jets import Jet
from fkflow.spectrum.pool import Pool
from fkflow.spectrum.symmetric_psi import SymmetricPsi, with_symmetries

#: the powers c, and the most coordinates for which functions grow
POWERS, MOST = (0.5, 0.75), 3


class Growth:
    """ψ^(−c) for all powers: called with configurations x (B, N, D) it gives a list of jets of (B,).

    With t = log ψ_max − log ψ each is e^{c t}, or, `smooth` where ψ may have cusps, e^{c (√(1 + t²) − 1)}: flat where ψ is
    largest, the same growth far out.
    """

    def __init__(self, net: LogPsi, sample: Tensor, smooth: bool, edges: LogPsi | None = None) -> None:
        self.net, self.edges, self.smooth = net, edges, smooth
        self.known: list[tuple[Tensor, Tensor, list[Tensor]]] = []
        self.highest = float(chunks.value_and_drift(self.net, sample)[0].max())

    def __call__(self, x: Tensor) -> list[Jet]:
        value, drift, curvature = self._remembered(x) or [part.double() for part in derivatives(self.net, x)]
        below = Jet(self.highest - value, -drift.flatten(1).T, -curvature)
        if self.smooth:
            below = (below * below + 1.0).sqrt() - 1.0
        return [(below * power).exp() for power in POWERS]

    def remember(self, pool: Pool) -> None:
        """Keep what a pool knows of log ψ, for all sectors: their functions are called with some of its configurations."""
        x, dim = pool.x, pool.x.shape[2]
        columns = [pool.values, pool.drift.unflatten(1, (-1, dim)), pool.curvature]
        if self.edges is not None:
            # next to a large log ψ these are cheap
            columns = [a - b.double() for a, b in zip(columns, derivatives(self.edges, x), strict=True)]
        keys, order = x.flatten(1)[:, 0].sort()
        self.known = [*self.known, (keys, x[order], [column[order] for column in columns])]

    def _remembered(self, x: Tensor) -> list[Tensor] | None:
        for keys, places, known in self.known:
            rows = torch.searchsorted(keys, x.flatten(1)[:, 0].contiguous()).clamp_max(len(keys) - 1)
            if torch.equal(places[rows], x):
                return [column[rows] for column in known]
        return None


def without_edges(net: LogPsi) -> LogPsi:
    """The network without its factors for walls and jumps."""
    if not net.edges:
        return net
    if not net.analytic:
        return _WithoutEdges(net)
    found = copy.copy(net)
    vars(found)["_modules"] = {
        name: part for name, part in net._modules.items() if name not in ("wall_factor", "line_factor")
    }
    return found


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


class _EdgesAlone(LogPsi):
    """The logarithm of the factors of a network for walls and jumps."""

    def __init__(self, net: LogPsi) -> None:
        super().__init__()
        self.factors = nn.ModuleList(net.edges)
        # not as a module: the other parts of the network do not belong to this
        self._place = net.coordinates
        self.length = net.length

    def coordinates(self, x: Tensor) -> Tensor:
        return self._place(x)

    def compose(self, y: Tensor) -> Tensor:
        found: Tensor = reduce(operator.add, (factor(y) for factor in self.factors))
        return found


def state_of(net: LogPsi, system: System, landscape: Landscape, x: Tensor) -> LogPsi | None:
    """ψ with the symmetries of V, for walkers x (B, N, D), to make states f ψ of; None for many coordinates."""
    return with_symmetries(net, system, landscape, x) if _may_grow(system, landscape, x) else None


def growth_of(net: LogPsi, symmetric: LogPsi | None, landscape: Landscape, sample: Tensor) -> Growth | None:
    """The growth for a network and its ψ of `state_of`, for walkers (B, N, D).

    None where that is none: functions have a growth of their own, or nothing is known about where they may grow.
    """
    if symmetric is None:
        return None
    bare = without_edges(net)
    edges: LogPsi | None = _EdgesAlone(net) if net.edges else None
    if isinstance(symmetric, SymmetricPsi):
        turns, centre = list(symmetric.turns), symmetric.centre
        bare, edges = SymmetricPsi(bare, turns, centre), edges and SymmetricPsi(edges, turns, centre)
    return Growth(bare, sample, landscape.centres is not None or net.has_singular_points, edges)


def _may_grow(system: System, landscape: Landscape, x: Tensor) -> bool:
    """Whether ψ^(1−c) is a state of finite energy of few coordinates.

    Where particles meet that repel each other without bound, in a box, it is none.
    """
    known = system.nuclei() is not None or system.point_charges() is not None or system.free
    meet = landscape.diameter is not None or (landscape.box is not None and system.particles > 1)
    return not (known or meet or x[0].numel() > MOST)
