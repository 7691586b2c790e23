"""e^(−tH) at work: of a function ψ at given places, between given ends, between ψ and ψ, and the drift ∇ log e^(−τH) ψ.

One drift is trained for all times and places that are asked for: it depends on the place and on the time that is left. Paths
from one place should have the same weight, so that residuals are those about the mean over the paths of a place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from fkflow.errors import NumericalError, UsageError
from fkflow.execution.progress import Progress
from fkflow.hamiltonian.masses import to_user_coordinates
from fkflow.thermal import ends as open_ends
from fkflow.thermal.cloud import anneal
from fkflow.thermal.drift import Drift
from fkflow.thermal.ends import Ends
from fkflow.thermal.fit import gauss_newton, rate_at
from fkflow.thermal.formulas import Signed
from fkflow.thermal.open_paths import OpenPaths, Sender, weights
from fkflow.thermal.place_means import STATED, Slopes, Values, means, slopes_of, values_of, weighted_slopes
from fkflow.thermal.problem import Problem

#: places of an iteration of the training, paths from each, iterations at least, and the effective share that is enough
PLACES, EACH, LEAST, ENOUGH = 48, 8, 12, 0.985
#: width of the layers, most paths at once, and paths of a first look at the time step
HIDDEN, MOST, LOOK = 24, 16384, 64
#: inverse temperature, in natural units, of the places where the ground state is, about
COLD = 2.0
#: time step in times of the mean curvature of V, its bounds in natural times, and most halvings
CURVED, SHORTEST, LONGEST, HALVINGS = 0.25, 0.004, 0.15, 3
#: share of e^(−V) by which a function that does not fall off far away is held together
HOLD = 0.05
#: relative change of a place by which the Hessian of V is found along its gradient
NUDGE = 1e-5

#: a function ψ: sign and log |ψ| (B,) at x (B, N, D) in the user's coordinates
Wave = Callable[[Tensor], Signed]


class Propagator:
    """Propagates a function, or points if there is none, for `times` of the system; places x (P, N, D) are the user's."""

    def __init__(
        self, problem: Problem, wave: Wave | None, times: Sequence[float], progress: Progress, seed: int
    ) -> None:
        if problem.charges is not None:
            raise UsageError(
                "fkflow propagate does not take a V that diverges where charges meet: open paths have no exact kernel of them"
            )
        self.problem, self.wave, self.progress = problem, wave, progress
        self.times = list(times)
        self.generator = torch.Generator().manual_seed(seed)
        self.sender = Sender(problem, Drift(problem.reference, HIDDEN))
        self.theta = self.sender.drift.start(self.generator)
        shape = problem.reference.bodies, problem.reference.axes
        self.frequencies = problem.reference.frequencies.expand(shape).flatten()
        # where the ground state is, about
        self.cloud = anneal(problem.potential, shape, COLD, self.generator)
        curvature = problem.mean_curvature(self.cloud, COLD)
        self.time_step = min(max(CURVED / math.sqrt(curvature), SHORTEST), LONGEST)
        #: effective share of the last iterations of the training
        self.trained = math.nan
        self.ends = None if wave is None else self._fit_ends(wave, shape)

    def _fit_ends(self, wave: Wave, shape: tuple[int, int]) -> Ends:
        """The sum of Gaussians about |ψ|. Raises UsageError for a function that has no values."""
        wide = torch.cat([scale * self.cloud for scale in (1.0, 3.0)])
        values = self.log_wave(wide)
        if bool((values == math.inf).any()) or bool(values.isnan().any()):
            raise UsageError("psi is not a number everywhere: it must have a finite value at every place")
        lowest = float(self.problem.potential(self.cloud).min())

        def height(y: Tensor) -> Tensor:
            return self.log_wave(y) - HOLD * (self.problem.potential(y) - lowest)

        cloud = anneal(lambda y: -height(y).nan_to_num(nan=-math.inf), shape, 1.0, self.generator)
        there = height(cloud)
        if not bool(there.isfinite().any()):
            raise UsageError("psi is 0 everywhere that was looked at: there is nothing to propagate")
        cloud = cloud[there.isfinite()].flatten(1)
        return open_ends.fitted(self.frequencies, cloud, lambda y: height(y.view(-1, *shape)), self.generator)

    def log_wave(self, y: Tensor) -> Tensor:
        """log |ψ| (B,) at y (B, n, D)."""
        return self._signed(y)[1]

    def _signed(self, y: Tensor) -> Signed:
        assert self.wave is not None
        return self.wave(to_user_coordinates(self.problem.system, self.problem.to_solver(y)))

    def train(self, starts: Tensor, iterations: int, ends: Ends | None = None) -> None:
        """Train on paths from `starts` (S, n, D), in natural coordinates, to ψ or to `ends` (one for each start)."""
        drift = self.sender.drift
        before = torch.zeros(drift.size, dtype=torch.float64)
        self.progress.stage("train", float(iterations))
        shares: list[float] = []
        longest = max(self.times)
        for number in range(iterations):
            some = torch.randint(len(self.times), (1,), generator=self.generator)
            time = longest if number % 2 == 0 else self.times[int(some)]
            pick = torch.randint(len(starts), (PLACES,), generator=self.generator).repeat_interleave(EACH)
            target = self.ends if ends is None else ends.rows(pick)
            assert target is not None
            found = self.sender.send(
                self.theta, starts[pick], target, self._natural(time), self.steps(time), self.generator, jacobian=True
            )
            log_w = found.log_w if ends is not None else found.log_w + self.log_wave(found.last)
            assert found.jacobian is not None
            rate = rate_at(number / iterations)
            good = log_w.isfinite() & found.jacobian.isfinite().all(1)
            if int(good.sum()) < len(good) // 2:
                raise NumericalError("half of the paths have no finite weight: the time step is too long for V")
            off, rows = _about_places(log_w, found.jacobian, good)
            step = gauss_newton(off, rows, before, rate)
            self.theta, before = self.theta + rate * step, step
            w = log_w.view(PLACES, EACH).softmax(1)
            # of so few paths a place the plain share is too high
            spread = float((EACH * w.square().sum(1)).nan_to_num(nan=EACH).median() - 1) * EACH / (EACH - 1)
            shares.append(1 / (1 + spread))
            self.trained = float(np.median(shares[-LEAST // 2 :]))
            self.progress.update(float(number + 1), None, None, f"effective paths {self.trained:.3g}")
            if number + 1 >= LEAST and self.trained > ENOUGH:
                break

    def _natural(self, time: float) -> float:
        return time / self.problem.length**2

    def steps(self, time: float) -> int:
        """Steps of a path, a multiple of four."""
        return 4 * max(1, math.ceil(self._natural(time) / self.time_step / 4))

    def measured_steps(self, starts: Tensor, time: float, wanted: float, ends: Ends | None = None) -> int:
        """So many steps that twice the step changes a value by little of the relative error `wanted`."""
        steps = self.steps(time)
        pick = torch.randint(len(starts), (LOOK,), generator=self.generator).repeat_interleave(8)
        for _ in range(HALVINGS):
            found, sign, log = self._weighted(starts[pick], time, steps, None if ends is None else ends.rows(pick))
            top = log.view(LOOK, -1).max(1, keepdim=True).values
            w = sign.view(LOOK, -1) * (log.view(LOOK, -1) - top).exp()
            ratio = (found.log_coarse - found.log_w).exp().view(LOOK, -1)
            change = ((w * (ratio - 1)).sum(1) / w.sum(1)).nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
            mean, noise = float(change.median()), float(change.std()) / math.sqrt(LOOK)
            if abs(mean) < max(STATED * 0.5 * wanted, 3 * noise):
                break
            steps *= 2
        return steps

    def _weighted(self, starts: Tensor, time: float, steps: int, ends: Ends | None) -> tuple[OpenPaths, Tensor, Tensor]:
        """Paths from each of the starts with their sign and log weight (B,)."""
        target = self.ends if ends is None else ends
        assert target is not None
        found = self.sender.send(self.theta, starts, target, self._natural(time), steps, self.generator)
        if ends is not None:
            return found, torch.ones_like(found.log_w), found.log_w
        sign, log = self._signed(found.last)
        return found, sign, found.log_w + log

    def values(self, starts: Tensor, time: float, paths: int, ends: Ends | None = None) -> Values:
        """(e^(−tH) ψ)(x) at the places `starts` (P, n, D), or the kernel from them to `ends`, in natural units."""
        steps = self.measured_steps(starts, time, 0.3 / math.sqrt(paths), ends)
        at_once = max(1, MOST // paths)
        parts: list[np.ndarray] = []
        for first in range(0, len(starts), at_once):
            number = torch.arange(first, min(first + at_once, len(starts)))
            pick = number.repeat_interleave(paths)
            found, sign, log = self._weighted(starts[pick], time, steps, None if ends is None else ends.rows(pick))
            coarse = log + found.log_coarse - found.log_w
            parts.append(means(sign.view(-1, paths), log.view(-1, paths), coarse.view(-1, paths)))
            self.progress.update(float(first + len(number)), None, None)
        return values_of(np.concatenate(parts), paths)

    def survival(self, time: float, paths: int) -> tuple[Values, Values]:
        """⟨ψ|e^(−tH)|ψ⟩ and its share of ⟨ψ|ψ⟩, in natural units, each of one value."""
        assert self.ends is not None
        count = max(paths, 2)
        shape = self.cloud.shape[1:]
        log_norm = self.ends.log_weights.logsumexp(0)
        probe = self.ends.draw(LOOK, self.generator).view(-1, *shape)
        steps = self.measured_steps(probe, time, 1 / math.sqrt(count))
        signs, logs, coarse, norms = [], [], [], []
        for first in range(0, count, MOST):
            start = self.ends.draw(min(MOST, count - first), self.generator)
            found, sign, log = self._weighted(start.view(-1, *shape), time, steps, None)
            own_sign, own = self._signed(start.view(-1, *shape))
            log_q = self.ends.log_value(start) - log_norm
            signs.append(sign * own_sign)
            logs.append(log + own - log_q)
            coarse.append(logs[-1] + found.log_coarse - found.log_w)
            norms.append(2 * own - log_q)
        sign, log, norm = torch.cat(signs)[None], torch.cat(logs)[None], torch.cat(norms)
        whole = means(sign, log, torch.cat(coarse)[None])
        top, level = log.max(), norm.max()
        a, b = sign[0] * (log[0] - top).exp(), (norm - level).exp()
        ratio = float(a.mean() / b.mean())
        spread = float((a - ratio * b).std() / b.mean() / math.sqrt(count))
        scale = math.exp(float(top - level))
        share = whole.copy()
        share[0, :2] = ratio * scale, spread * scale
        share[0, 3] *= ratio * scale / whole[0, 0]
        return values_of(whole, count), values_of(share, count)

    def drift(self, starts: Tensor, time: float, paths: int, ends: Ends | None = None) -> Slopes:
        """∇ log(e^(−τH) ψ) in natural coordinates at the places `starts` (P, n, D) with the time τ left.

        Two estimators have the same mean. One moves the start of a path and less and less of what follows, as a path of the
        reference; the other moves all of it. They are combined by their covariance.
        """
        steps = self.measured_steps(starts, time, 1 / math.sqrt(paths), ends)
        at_once = max(1, MOST // paths)
        found = []
        for first in range(0, len(starts), at_once):
            number = torch.arange(first, min(first + at_once, len(starts)))
            pick = number.repeat_interleave(paths)
            sent, sign, log = self._weighted(starts[pick], time, steps, None if ends is None else ends.rows(pick))
            if bool((sign < 0).any()):
                raise UsageError("psi changes its sign: a drift needs a function without nodes")
            rows = self._slopes(sent, None if ends is not None else self._wave_slope(sent.last))
            found.append(weighted_slopes(rows.unflatten(1, (-1, paths)), log.view(-1, paths)))
            self.progress.update(float(first + len(number)), None, None)
        return slopes_of(found, paths)

    def _wave_slope(self, y: Tensor) -> Tensor:
        """∇ log |ψ| (B, n, D)."""
        with torch.enable_grad():
            y = y.detach().requires_grad_(True)
            (slope,) = torch.autograd.grad(self.log_wave(y).sum(), y)
        return slope

    def _slopes(self, sent: OpenPaths, wave: Tensor | None) -> Tensor:
        """Estimators (1 or 2, B, n·D) of the drift, one row a path."""
        omega, time, steps = self.problem.reference.frequencies, sent.time, len(sent.y) - 1
        dt = time / steps
        at = dt * torch.arange(steps + 1, dtype=torch.float64)
        force = sent.slopes.clone()
        odd = sent.slopes[1::2].flatten(0, 1)
        scale = NUDGE / (1 + odd.flatten(1).norm(dim=1))[:, None, None]
        _, nudged = self.problem.rest(sent.y[1::2].flatten(0, 1) + scale * odd)
        force[1::2] += dt**2 / 6 * ((nudged - odd) / scale).view_as(sent.slopes[1::2])
        force = force * (dt * weights(steps))[:, None, None, None]
        fading = (omega * (time - at)[:, None, None]).sinh() / (omega * time).sinh()
        pinned = -(fading[:, None] * force).sum(0)
        pinned = pinned + omega / (omega * time).sinh() * sent.last - omega / (omega * time).tanh() * sent.y[0]
        found = [pinned]
        if wave is not None:
            trap = (omega * (0.5 * omega * dt).tanh()) * (sent.y[:-1] + sent.y[1:]).sum(0)
            found.append(wave - force.sum(0) - trap)
        return torch.stack(found).flatten(2)


def _about_places(log_w: Tensor, rows: Tensor, good: Tensor) -> tuple[Tensor, Tensor]:
    """log weights and Jacobian about their means over the paths of each place; rows that are not `good` are left out."""
    where = torch.arange(PLACES).repeat_interleave(EACH)[good]
    log_w, rows = log_w[good], rows[good]
    count = torch.zeros(PLACES, dtype=torch.float64).index_add(0, where, torch.ones_like(log_w)).clamp_min(1)
    mean = torch.zeros(PLACES, dtype=torch.float64).index_add(0, where, log_w) / count
    means = torch.zeros(PLACES, rows.shape[1], dtype=torch.float64).index_add(0, where, rows) / count[:, None]
    return log_w - mean[where], rows - means[where]
