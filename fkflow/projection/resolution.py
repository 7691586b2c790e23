"""Local energies that change faster than walkers are weighed: where they are found, and what they may do to the energy.

With weights exp(−∫δE dt), δE = E_L − E over ψ², the energy lies below that of ψ by ∫ C(t) dt to second order, where C is the
autocorrelation of δE. Weighings at a distance h turn this into h (C(0)/2 + C(h) + …), which is too much by up to h C(0)/2 where
C falls within h: fluctuations that cancel along a path then count as if they lasted. Walkers are then weighed more often.

Atoms that touch have local energies, hundreds of times as far off as all others, that no weighing after every move resolves.
There a weight takes no δE beyond a limit. Energies are still averages of the whole E_L. What the limit leaves out is
N = ⟨R(0) (1 − exp(−∫ δE dt))⟩, R what lies beyond the limit: the few walkers that have any go on for a while in far smaller
steps, and their N is taken from the energy. To second order that is ∫ ⟨R(0) δE(t)⟩ dt, which grows without end where a δE far
above 0 lasts, as in a place where ψ should vanish and does not; such walkers can lose no more than all of their weight.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from fkflow.execution import ranks
from fkflow.hamiltonian.system import System
from fkflow.networks.choice import LogPsi
from fkflow.projection.mover import Mover
from fkflow.sampling.clipping import OUTLIER, Deviations
from fkflow.sampling.local_energy import fastest_local_energy
from fkflow.sampling.metropolis import Walkers, langevin_move
from fkflow.statistics import Estimate

#: correlation of local energies at successive weighings from which on they are resolved
RESOLVED = 0.5
#: share of the target error that what is not resolved may have
HARMLESS = 0.3
#: limit of local energies that are not, in their mean absolute deviations: far beyond a normal distribution
LIMIT = 10.0
#: times that the time step is halved, at most
HALVINGS = 8
#: walkers that are followed double their step so often up to the largest time step, and make so many moves of that
DOUBLINGS, MORE = 11, 6
#: share of what the limit leaves out that N may miss: the weights of the walkers before they were beyond it
EARLIER = 0.25
#: most of −∫ δE dt of a walker that is followed: a weight that grows further is noise
MOST = 5.0


def find_limit(
    net: LogPsi,
    system: System,
    walkers: Walkers,
    generator: torch.Generator,
    natural: float,
    stride: int,
    target: float,
    late: Callable[[], bool],
) -> tuple[float, float, int]:
    """The limit of |δE| in the weights, the time step of the walkers, and the moves between weighings, at most `stride`.

    The limit is ∞ where E_L is resolved, or where what is not cannot matter for the target error: `stride` is halved until it
    is. Where it is not after each move either, the time step is halved until δE up to the limit is resolved or harmless. The
    same on all ranks; `walkers` are moved. It ends once it is `late`, which is asked after every move.
    """
    walkers.refresh(net)
    before = fastest_local_energy(net, system, walkers.x, generator, natural)
    apart = Deviations(before)
    near = apart.distance.clamp(max=OUTLIER * apart.median_deviation)
    (centre, deviation) = ranks.reduce_mean(float(apart.centre), float(near.mean()))
    limit, square = math.inf, 0.0
    for _ in range(HALVINGS + stride.bit_length()):
        for _ in range(stride):
            langevin_move(net, walkers, generator)
            if late():
                return limit, walkers.step, stride
        after = fastest_local_energy(net, system, walkers.x, generator, natural)
        one, other = ((each - centre).clamp(-limit, limit) for each in (before, after))
        product, found = ranks.reduce_mean(
            float((one * other).mean()), float((one.square() + other.square()).mean() / 2)
        )
        # rare energies far off that these walkers meet no more are as unresolved as before
        square = max(square, found)
        share = HARMLESS if math.isinf(limit) else 1.0
        if product >= RESOLVED * square or 0.5 * stride * walkers.step * (square - product) <= share * target:
            break
        if stride > 1:
            stride //= 2
        elif math.isinf(limit):
            limit, square = LIMIT * deviation, 0.0
        else:
            walkers.step, square = walkers.step / 2, 0.0
        before = after
    return limit, walkers.step, stride


class Unresolved:
    """What local energies that are not resolved do to one population: they count in its weights up to the `limit` only.

    `step` is the largest time step of all populations.
    """

    def __init__(self, limit: float, step: float) -> None:
        self.limit, self.step = limit, step
        #: products of δE with its part up to the limit at one time, and at successive weighings
        self.products = torch.zeros(2, dtype=torch.float64, device="cpu")
        #: weighings, and walkers in all of them
        self.count, self.walkers = 0, 0
        #: of the walkers that were followed: R times the share of their weight that they lose, and its square
        self.left_out = torch.zeros(2, dtype=torch.float64, device="cpu")
        #: places and δE of walkers to be followed
        self.beyond: list[tuple[Tensor, Tensor]] = []

    def state(self) -> list[float]:
        """All numbers of this rank between two turns, for a checkpoint."""
        return [*self.products.tolist(), *self.left_out.tolist(), self.count, self.walkers]

    def load(self, state: Sequence[float]) -> None:
        """Go on from `state`."""
        self.products, self.left_out = (
            torch.tensor(state[i : i + 2], dtype=torch.float64, device="cpu") for i in (0, 2)
        )
        self.count, self.walkers = int(state[4]), int(state[5])

    def weigh(self, x: Tensor, before: Tensor, after: Tensor) -> Tensor:
        """The mean δE (B,) up to the limit of walkers now at x (B, N, D), with δE `before` and `after` their moves."""
        one, other = (each.clamp(-self.limit, self.limit) for each in (before, after))
        self.products += torch.stack([(after * other).mean(), 0.5 * (before * other + after * one).mean()]).cpu()
        self.count, self.walkers = self.count + 1, self.walkers + len(x)
        beyond = after.abs() > self.limit
        if bool(beyond.any()):
            self.beyond.append((x[beyond], after[beyond]))
        return 0.5 * (one + other)

    def follow(self, mover: Mover, energy: float) -> None:
        """Let the walkers beyond the limit go on for some time steps, the first of them small; `energy` is that of δE = 0."""
        if not self.beyond:
            return
        x, before = (torch.cat(each) for each in zip(*self.beyond, strict=True))
        self.beyond = []
        walkers = Walkers(x, self.step / 2**DOUBLINGS)
        assert isinstance(mover.net, LogPsi)
        walkers.refresh(mover.net)
        rest, integral = before - before.clamp(-self.limit, self.limit), torch.zeros_like(before)
        for _ in range(DOUBLINGS + MORE):
            mover.langevin(walkers)
            after = mover.local_energy(walkers) - energy
            integral += 0.5 * walkers.step * (before + after)
            before, walkers.step = after, min(2 * walkers.step, self.step)
        found = -rest * torch.expm1(-integral.clamp_min(-MOST))
        self.left_out += torch.stack([found.sum(), found.square().sum()]).cpu()

    def excess(self, interval: float) -> float:
        """The most that the weights up to the limit count too much at this interval, as an energy; collective."""
        now, later = ranks.reduce_mean(*(self.products / max(1, self.count)).tolist())
        return max(0.0, 0.5 * interval * (now - later))


def left_out(populations: Sequence[Unresolved]) -> Estimate:
    """N, by which the energy is lower than that of the weights up to the limit, from walkers of all populations; collective."""
    sums = torch.stack([each.left_out for each in populations]).sum(0).tolist()
    total, square, walkers = ranks.reduce_mean(*sums, max(1, sum(each.walkers for each in populations)))
    noise = math.sqrt(square / ranks.count())
    return Estimate(total / walkers, math.hypot(noise, EARLIER * total) / walkers)
