"""ψ with the symmetries of V: a network may lack them a little, and its excited states f ψ would then lie in no sector."""

from __future__ import annotations

import torch
from torch import Tensor

from fkflow.hamiltonian.natural_scale import Landscape
from fkflow.hamiltonian.system import System
from fkflow.networks.log_psi import LogPsi
from fkflow.spectrum.mirrors import find_centre, find_turns

#: largest difference of the logarithms of a factor for walls at two places that a mirror makes one
SAME_WALL = 1e-6


class SymmetricPsi(LogPsi):
    """log ψ averaged over `turns`, orthogonal matrices (D, D) about a `centre` (D,), that leave V as it is and form a group."""

    turns: Tensor
    centre: Tensor

    def __init__(self, net: LogPsi, turns: list[Tensor], centre: Tensor) -> None:
        super().__init__()
        self.net = net
        self.chunk, self.length, self.step_shape = net.chunk, net.length, net.step_shape
        self.register_buffer("turns", torch.stack(turns))
        self.register_buffer("centre", centre)

    @property
    def width(self) -> int:
        """Numbers that the widest layer holds for one configuration, turned in all ways."""
        return self.net.width * len(self.turns)

    @property
    def analytic(self) -> bool:
        """Whether the network is."""
        return self.net.analytic

    @property
    def has_singular_points(self) -> bool:
        """Whether the network has."""
        return self.net.has_singular_points

    def recentre(self, x: Tensor) -> Tensor:
        """As the network does."""
        return self.net.recentre(x)

    def forward(self, x: Tensor) -> Tensor:
        """log ψ, x (B, N, D) → (B,)."""
        return self.net(self.turned(x)).view(len(self.turns), -1).mean(0)

    def value(self, x: Tensor) -> Tensor:
        """log ψ (B,), detached."""
        return self.net.value(self.turned(x)).view(len(self.turns), -1).mean(0)

    def value_and_drift(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """log ψ (B,) and its gradient (B, N, D), both detached."""
        value, drift = self.net.value_and_drift(self.turned(x))
        return value.view(len(self.turns), -1).mean(0), self._back(drift)

    def value_drift_and_laplacian(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """log ψ (B,), its gradient (B, N, D) and its Laplacian (B,), detached, of a network that is `analytic`."""
        value, drift, curvature = self.net.value_drift_and_laplacian(self.turned(x))
        count = len(self.turns)
        return value.view(count, -1).mean(0), self._back(drift), curvature.view(count, -1).mean(0)

    def turned(self, x: Tensor) -> Tensor:
        """x in all ways (turns·B, N, D)."""
        centre, turns = self.centre.to(x), self.turns.to(x)
        return ((x - centre) @ turns[:, None] + centre).flatten(0, 1)

    def _back(self, drift: Tensor) -> Tensor:
        """The mean (B, N, D) of gradients in all ways, turned back."""
        turns = self.turns.to(drift)
        return (drift.view(len(turns), -1, *drift.shape[1:]) @ turns[:, None].mT).mean(0)


def with_symmetries(net: LogPsi, system: System, landscape: Landscape, x: Tensor) -> LogPsi | None:
    """ψ averaged over the reflections and rotations of V, found at walkers x (B, N, D); else the network itself.

    A mirror between walls is known as well as where V is finite shows it. The mean of two factors that vanish on a wall and
    beside it has no finite energy: then this is None.
    """
    centre = find_centre(system, landscape, x)
    turns = find_turns(system, centre, x)
    if len(turns) == 1:
        return net
    found = SymmetricPsi(net, turns, centre)
    with torch.no_grad():
        for edge in net.edges:
            value = edge(net.coordinates(found.turned(x))).view(len(turns), -1)
            if not bool(((value - value[0]).abs() < SAME_WALL).all()):
                return None
    return found
