"""Walkers of one time step that carry Feynman–Kac weights along the learned drift.

Each walker follows dX = v dt + dW and collects the logarithm of its weight, the ratio of exp(−tH) to that process:

* local energy: Metropolis-adjusted Langevin moves leave ψ² invariant; their weight is exp(−∫(E_L − E_ref) dt), E_L the local
  energy and dt the effective time step (Umrigar, Nightingale, Runge, JCP 99, 2865, 1993).
* Girsanov: free Euler–Maruyama steps; their weight is exp(−ΔA) with the action of `paths`, which holds for any drift,
  a log ψ or not, and needs no second derivative. The energy is the rate at which the weights fall.

Averages use the weight over a window of imaginary time t: ⟨ψ|H e^(−tH)|ψ⟩/⟨ψ|e^(−tH)|ψ⟩ falls to E0 as t grows. While the
weights stay even, as they do for a good drift, walkers are never resampled and stay independent. Otherwise they are resampled
within groups. Each copy keeps the past of its ancestor, so that the weight of a window counts all resampling in it: this
corrects the bias of a finite population (Umrigar et al.; Nightingale & Blöte, PRB 33, 659, 1986).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from fkflow.errors import NumericalError
from fkflow.execution import ranks
from fkflow.measurement.coherence import Coherence
from fkflow.measurement.histograms import Histograms
from fkflow.measurement.observables import ObservableAverages
from fkflow.projection.forward_walking import ForwardWalking
from fkflow.projection.mover import Mover
from fkflow.projection.past import PLACES, Past, weighings
from fkflow.projection.resampling import Families, resample, shares
from fkflow.projection.resolution import Unresolved
from fkflow.projection.window_sums import WindowSums
from fkflow.sampling.metropolis import Walkers

#: windows over which weights are taken, as shares of the longest
WINDOWS = (0.0, 0.125, 0.25, 0.5, 0.75, 1.0)
#: index of the window for families and for densities of walkers that are not resampled; the same for a loose target error
MIDDLE, SHORT_MIDDLE = 3, 2
#: index of the shortest window for observables
OBSERVED = 2
#: largest change of log weight in one weighing: a cut of very low local energies that disappears with dt
LARGEST_CHANGE = 1.0
#: tensors and numbers of a population in a checkpoint
TENSORS = ("log_weight", "local")
NUMBERS = ("energy_reference", "branching", "effective", "count", "accepted", "moves", "cuts", "rare", "far")


class Population:
    """`walkers.x` (B, N, D) with weights, of this rank; walker b belongs to its group b mod own_groups(), which divides B."""

    def __init__(
        self,
        mover: Mover,
        x: Tensor,
        window: float,
        energy: float,
        histograms: Histograms | None,
        middle: int = MIDDLE,
        observables: ObservableAverages | None = None,
        coherence: Coherence | None = None,
        unresolved: Unresolved | None = None,
        far: float = math.inf,
    ) -> None:
        #: distance from the reference from which on energies are rare
        self.far = far
        self.mover, self.energy_reference, self.histograms = mover, energy, histograms
        #: ratios of ψ over ψφ0, in a periodic box
        self.coherence = coherence
        #: where local energies are not resolved
        self.unresolved = unresolved
        self.own_groups = ranks.groups_per_rank()
        #: groups and walkers of all ranks
        self.groups, self.size = self.own_groups * ranks.count(), len(x) * ranks.count()
        self.walkers = Walkers(x.clone(), mover.dt)
        self.interval = mover.dt * mover.stride
        #: weighings in the longest window
        self.length = weighings(window / self.interval, len(x))
        self.lags = [round(share * self.length) for share in WINDOWS]
        #: weighings in the window for densities
        self.middle = self.lags[middle]
        self.branching = mover.girsanov
        self.effective = 1.0
        options: dict[str, Any] = {"dtype": torch.float64, "device": x.device}
        self.log_weight = torch.zeros(len(x), **options)
        self.local = torch.zeros(len(x), **options)
        self.past = Past(x, self.length)
        #: what gives the observables over φ0², for the windows from OBSERVED on
        self.walking: ForwardWalking | None = None
        if observables is not None:
            self.walking = ForwardWalking(observables, x, PLACES + 1, len(WINDOWS) - OBSERVED, self.own_groups)
        self._reset_sums()

    def _reset_sums(self) -> None:
        #: weighings so far
        self.count = 0
        self.accepted, self.moves = 0.0, 0
        #: sum over the weighings of the share of walkers whose change of weight was cut
        self.cuts = 0.0
        #: sum over the weighings of the rare energies' part of the mean, without weights
        self.rare = 0.0
        self.families = Families(self.log_weight)
        self.sums = WindowSums(len(self.lags), self.groups)
        if self.walking is not None:
            self.walking.reset()

    def state_dict(self) -> dict[str, Any]:
        """Everything of this rank but the mover, as tensors and numbers."""
        return {
            "walkers": self.walkers.state_dict(),
            **{name: part and part.state_dict() for name, part in self._collecting().items()},
            "unresolved": self.unresolved and self.unresolved.state(),
            **(self.past.state_dict() | self.sums.state_dict() | self.families.state_dict()),
            **{name: getattr(self, name) for name in (*TENSORS, *NUMBERS)},
        }

    def _collecting(self) -> dict[str, Histograms | ForwardWalking | Coherence | None]:
        return {"histograms": self.histograms, "walking": self.walking, "coherence": self.coherence}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from where `state_dict` was asked for."""
        device = self.log_weight.device
        self.walkers = Walkers.from_state_dict(state["walkers"], device)
        for name, part in self._collecting().items():
            if part is not None:
                part.load_state_dict(state[name])
        if self.unresolved is not None:
            self.unresolved.load(state["unresolved"])
        for own in (self.past, self.sums, self.families):
            own.load_state_dict(state)
        for name in TENSORS:
            setattr(self, name, state[name].to(device))
        for name in NUMBERS:
            setattr(self, name, state[name])

    def equilibrate(self, moves: int) -> None:
        """Move without weights, which measures the acceptance and the effective time step; then start to weigh."""
        mover, walkers = self.mover, self.walkers
        if mover.girsanov:
            for _ in range(moves):
                mover.euler_maruyama(walkers)
        else:
            self.effective = mover.equilibrate(walkers, moves)
            self.local = mover.local_energy(walkers)
        self._reset_sums()
        self._store_past()

    def step(self, late: Callable[[], bool] = lambda: False) -> bool:
        """One weighing: move, weigh, add to the sums, resample where needed, store.

        False if it became `late`, which is asked after every move: the walkers are then where they were.
        """
        before = self.log_weight
        if self.mover.girsanov:
            change, sample = self._girsanov()
        elif (weighed := self._langevin(late)) is None:
            return False
        else:
            change, sample = weighed
        self.log_weight = before - change
        if not bool(self.log_weight.isfinite().all()) or not bool(sample.isfinite().all()):
            raise NumericalError(
                f"projecting failed: {int((~(self.log_weight + sample).isfinite()).sum())} of {len(sample)} weights are "
                "not finite; train longer, or use smaller project.time_steps"
            )
        # the loss of a Girsanov step belongs to the walkers at its start, a local energy to those at its end
        self._add(before if self.mover.girsanov else self.log_weight, sample)
        self.local = sample
        self.count += 1
        if self.count % self.middle == 0:
            self.families.close_window(self.log_weight)
        if self.branching:
            self._resample()
        self._store_past()
        self._add_densities()
        self._add_observables()
        return True

    def _langevin(self, late: Callable[[], bool]) -> tuple[Tensor, Tensor] | None:
        """Change of −log weight (B,) and local energies (B,) after `stride` Metropolis-adjusted moves; None if it got late."""
        mover, walkers = self.mover, self.walkers
        before = walkers.state_dict()
        accepted = torch.zeros((), dtype=torch.float64, device=walkers.x.device)
        for _ in range(mover.stride):
            accept, _ = mover.langevin(walkers)
            accepted += accept.double().mean()
            if late():
                self.walkers = Walkers.from_state_dict(before, walkers.x.device)
                return None
        self.accepted, self.moves = self.accepted + float(accepted), self.moves + mover.stride
        walkers.acceptance = self.accepted / self.moves
        energy = mover.local_energy(walkers)
        if self.unresolved is None:
            excess = 0.5 * (self.local + energy) - self.energy_reference
        else:
            reference = self.energy_reference
            excess = self.unresolved.weigh(walkers.x, self.local - reference, energy - reference)
        change = self.effective * self.interval * excess
        far = energy - self.energy_reference
        rare = far.where(far.abs() > self.far, 0.0)
        # read once: each read waits for the device
        cut, rare = torch.stack([(change < -LARGEST_CHANGE).double().mean(), rare.mean()]).tolist()
        self.cuts, self.rare = self.cuts + cut, self.rare + rare
        return change.clamp(min=-LARGEST_CHANGE), energy

    def _girsanov(self) -> tuple[Tensor, Tensor]:
        """ΔA − E_ref dt of one free Euler–Maruyama step, and E_ref + (1 − e^(E_ref dt − ΔA))/dt, its rate of loss."""
        dt = self.mover.dt
        # not cut: the noise of a single step may be large, and no local energy can be singular here
        change = self.mover.euler_maruyama(self.walkers) - self.energy_reference * dt
        return change, self.energy_reference - torch.expm1(-change) / dt

    def _add_densities(self) -> None:
        """Add the places in the middle of a window to the densities, where walkers are distributed as φ0²; at its end, as ψφ0,
        to the ratios of ψ."""
        # a poor drift takes longer to forget, and so do resampled walkers
        window = self.length if self.branching else self.middle
        if self.histograms is None or self.count % self.past.every or self.count < window:
            return
        weights = self.past.since(self.count - window, self.log_weight)
        self.histograms.add(self.past.places[self.past.place(self.count - window // 2)], weights)
        if self.coherence is not None:
            self.coherence.add(self.walkers.x, weights)

    def _add_observables(self) -> None:
        """Add the observables in the middle of each window that ends now."""
        if self.walking is None or self.count % self.past.every:
            return
        for number, lag in enumerate(self.lags[OBSERVED:]):
            if self.count >= lag:
                weights = self.past.since(self.count - lag, self.log_weight)
                self.walking.add(number, self.past.place(self.count - lag // 2), weights)

    def _store_past(self) -> None:
        self.past.store(self.count, self.log_weight, self.local, self.walkers.x)
        if self.walking is not None and self.count % self.past.every == 0:
            self.walking.store(self.past.place(self.count), self.walkers.x)

    def _add(self, log_weight: Tensor, sample: Tensor) -> None:
        """Add one row of sums (3 · windows + 1, groups): weight × energy, weight, and energy without weights of each window.

        The last are the energies of a population of fixed size without the weights of a window, which show its bias.
        """
        rows = sample.new_zeros(3 * len(self.lags) + 1, self.own_groups)
        now = self.count if self.mover.girsanov else self.count + 1
        for number, lag in enumerate(self.lags):
            if now < lag:
                continue
            if lag == 0:
                weight, energy = torch.ones_like(sample), sample
            else:
                weight, energy = self.past.since(now - lag, log_weight), sample
                if not self.branching:
                    # walkers that were never resampled were distributed as ψ² at the start of the window: by symmetry
                    # the local energy there, with the weight of the window, has the same mean
                    energy = 0.5 * (energy + self.past.energies(now - lag))
            # relative to the reference, which loses no digits
            excess = energy - self.energy_reference
            sums = torch.stack([weight * excess, weight, excess]).view(3, -1, self.own_groups).sum(1)
            rows[3 * number : 3 * number + 3] = sums
        residual = (log_weight - log_weight.max()).exp().view(-1, self.own_groups)
        rows[-1] = (residual / residual.sum(0) * sample.view(-1, self.own_groups)).sum(0)
        self.sums.add(rows)

    def effective_share(self) -> float:
        """Effective sample size of the weights since the last resampling, as a share of the walkers."""
        return float(1 / ranks.reduce_sum(shares(self.log_weight).square().sum())) / self.size

    def effective_walkers(self) -> float:
        """Effective sample size over a window, as a share of the walkers; all descendants of one walker count as one."""
        return self.families.mean(self.log_weight) / self.size

    def start_resampling(self) -> None:
        """Resample from now on; this discards the sums so far and keeps the past of the walkers."""
        count = self.count
        self._reset_sums()
        self.count, self.branching = count, True
        self._resample()
        self._store_past()

    def _resample(self) -> None:
        """Resample the groups whose weights are uneven; each copy keeps the past of its parent."""
        found = resample(self.log_weight, self.own_groups, self.mover.generator)
        if found is None:
            return
        parents, self.log_weight = found
        walkers = self.walkers
        walkers.x = walkers.x[parents]
        if walkers.log_psi is not None and walkers.drift is not None:
            walkers.log_psi, walkers.drift = walkers.log_psi[parents], walkers.drift[parents]
        self.local = self.local[parents]
        self.families.copy(parents)
        self.past.copy(parents)
        if self.walking is not None:
            self.walking.copy(parents)
