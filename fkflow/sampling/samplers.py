"""Samplers of a measurement: how walkers move and what energies they give, with a log ψ and with a vector drift."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.func import jacfwd, vmap

from fkflow.execution import ranks
from fkflow.hamiltonian.system import System
from fkflow.networks.choice import LogPsi, PairDrift
from fkflow.sampling.jumps import jump
from fkflow.sampling.local_energy import fastest_local_energy
from fkflow.sampling.metropolis import Walkers, metropolis
from fkflow.sampling.paths import brownian_frames, girsanov_action

#: Metropolis moves between two sweeps that are measured: with 5 energies are hardly more independent (4 bosons: an
#: autocorrelation time of 1.0 sweeps instead of 1.1), but for the same work fewer
MOVES_PER_SWEEP = 3
#: moves before measuring begins, once the step size is set. To stop as soon as log ψ is forgotten (a correlation below 0.1,
#: some 15 moves) saves a twentieth of a short run, but its error bars were too small (h2 to 0.1 mHa: rms z 1.2 instead of 0.9)
BURN_IN = 50
#: jumps before measuring begins, where there are any
JUMPS = 30


class LangevinSampler:
    """Local energies on Metropolis-adjusted samples: an upper bound without time-step error."""

    def __init__(
        self,
        net: LogPsi,
        system: System,
        walkers: Walkers,
        generator: torch.Generator,
        natural_time: float,
        shifts: Tensor | None = None,
    ) -> None:
        #: distances from well to well (m, N, D)
        self.shifts = shifts
        self.net, self.system, self.walkers, self.generator = net, system, walkers, generator
        self.natural_time = natural_time
        self.level = 0.0
        #: whether walkers also jump between the wells of ψ²
        self.jumps = False
        self.warnings: list[str] = []

    def equilibrate(self) -> None:
        """The step size settles, then stays; walkers forget their start, and copies part from one another."""
        walkers = self.walkers
        for _ in range(10):
            metropolis(self.net, walkers, self.generator, 3, frozen=True)
        metropolis(self.net, walkers, self.generator, BURN_IN, adapt=False, frozen=True)
        # walkers that were in one well of several find the others, or local moves alone would show no slow mode
        for _ in range(JUMPS if self.jumps else JUMPS // 3):
            jump(self.net, walkers, self.generator, self.shifts)
            metropolis(self.net, walkers, self.generator, 1, adapt=False, frozen=True)
        assert walkers.log_psi is not None
        # one scale for the weights of all ranks
        self.level = ranks.broadcast(float(walkers.log_psi.mean()))

    def sweep(self) -> tuple[Tensor, Tensor, float]:
        """Energies (B,) after a few moves, their weights (B,) on one scale for all sweeps, and the acceptance."""
        walkers = self.walkers
        if self.jumps:
            jump(self.net, walkers, self.generator, self.shifts)
        metropolis(self.net, walkers, self.generator, MOVES_PER_SWEEP, adapt=False, frozen=True)
        assert walkers.log_psi is not None
        weights = (2 * (1 - walkers.power) * (walkers.log_psi - self.level)).exp()
        energies = fastest_local_energy(self.net, self.system, walkers.x, self.generator, self.natural_time)
        return energies, weights, walkers.acceptance

    def curl(self) -> float | None:
        """None: a gradient has no curl."""
        return None


class PathSampler:
    """Free-running paths of a vector drift: E[A]/T ≥ E0 holds for its own stationary density, as dt → 0."""

    STEPS = 20

    def __init__(self, net: PairDrift, system: System, walkers: Walkers, generator: torch.Generator, dt: float) -> None:
        self.net, self.system, self.walkers, self.generator, self.dt = net, system, walkers, generator, dt
        self.jumps = False
        #: all weights are even
        self.level = 0.0
        self.warnings = [
            f"a vector drift has no log psi: its energy is a path average with time step {dt:g}, whose error "
            "is not in the error bar"
        ]

    def equilibrate(self) -> None:
        """Run the diffusion for a few relaxation times of a unit oscillator."""
        for _ in range(20):
            self.sweep()

    def sweep(self) -> tuple[Tensor, Tensor, float]:
        """A/T (B,) of the next piece of every walker's path, even weights; nothing is ever rejected."""
        x = self.walkers.x
        noise = brownian_frames(len(x), 1, self.STEPS, tuple(x.shape[1:]), self.generator, orthogonal=False)[:, 0]
        ends = [x]

        def height(y: Tensor) -> Tensor:
            ends[:] = [y]
            return self.system.potential(y)

        with torch.no_grad():
            action = girsanov_action(None, self.net.drift, height, x, self.dt, noise)
        self.walkers.x = ends[0]
        return action / (self.STEPS * self.dt), torch.ones_like(action), 1.0

    def curl(self) -> float | None:
        """Mean of |J − Jᵀ|/(2|J|) over walkers, J = ∂v/∂x the Jacobian (Frobenius norms): 0 for a gradient."""
        x = self.walkers.x[:256]
        shape, d = x.shape[1:], x[0].numel()
        jacobian = vmap(jacfwd(lambda y: self.net(y.view(1, *shape)).reshape(-1)))(x.reshape(len(x), d)).detach()
        return float(((jacobian - jacobian.mT).norm(dim=(1, 2)) / (2 * jacobian.norm(dim=(1, 2)))).mean())
