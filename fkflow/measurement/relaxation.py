"""The slow modes of the learned diffusion: its gap, and what they leave of an energy's excess after some imaginary time.

Minus the generator of dX = ∇U dt + dW is L = −½Δ − ∇U·∇ = ψ⁻¹Hψ − E_L. In a basis of functions f_i, with averages over ψ²,

    S_ij = ⟨f_i f_j⟩,   K_ij = ½⟨∇f_i·∇f_j⟩,   H_ij = K_ij + ⟨f_i f_j E_L⟩,

the eigenvalues of (K, S) bound the rates of the diffusion from above, those of (H, S) the energies; first derivatives do.
With the share c_k² of level k in ψ, the energy after the imaginary time t is Σ c_k² E_k e^(−E_k t)/Σ c_k² e^(−E_k t).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fkflow.execution import ranks
from fkflow.hamiltonian.box import open_axes, sides, wave_vectors
from fkflow.hamiltonian.free import direction_together
from fkflow.hamiltonian.geometry import nearest_images, pair_squares, pairs
from fkflow.hamiltonian.system import System
from fkflow.measurement.distance_basis import DistanceBasis, FreeDistances
from fkflow.sampling.clipping import clip

#: random functions of one particle (of all coordinates where particles are distinguishable), functions of pairs, and random
#: ones of the centre of mass
RANDOM, OF_PAIRS, OF_CENTRE = 16, 6, 8
#: ways from well to well that have functions of their own; where these change sign and how steep they are, by the way's length
WAYS, PLACES, ACROSS = 12, (-0.25, 0.0, 0.25), (4.0, 8.0)
#: wave vectors of a box, and the largest number of waves along each axis among which they are chosen
OF_WAVES, LONGEST_WAVES = 8, 4
#: smallest and largest steepness of the random functions, by the standard deviations of ψ²
FLATTEST, STEEPEST = 0.5, 8.0
#: most walkers times particles squared in one sum: more walkers are left out
MOST_PAIRS = 2**19
#: exponent of the growing functions, by the standard deviations of ψ²
GROWTH = 0.5
#: least variance of a function, by its mean square, that is not rounding
CONSTANT = 1e-10
#: smallest eigenvalue of S, relative to the largest, that is not rounding
INDEPENDENT = 1e-6
#: fewest walkers, (Σ w f²)²/Σ (w f²)², that a mode must rest on, and most that it is judged with
SUPPORT, JUDGES = 20, 4096
#: mean absolute deviations at which local energies are clipped
CLIP = 10.0


@dataclass(frozen=True)
class Relaxation:
    """The lowest levels of H in the span of ψ and its slow modes; `gap` is the distance of the first two, E1 − E0.

    `levels` (m,) are energies, lowest first, `shares` (m,) their shares in ψ². `ground` (n,) are the coefficients of the lowest
    level in the functions of the basis, the first of which is 1: the lowest state is ψ Σ_i ground_i f_i. `gain` is how far it
    lies below the energy of ψ for walkers that it was not found with, `most_gain` the larger of two such numbers.

    In a box without an external field the total momentum is conserved. An imaginary time mixes only states at rest into ψ:
    `levels`, `shares`, `ground` and the gains are theirs, and `at_rest` is the distance of their first two.
    """

    gap: float
    levels: np.ndarray
    shares: np.ndarray
    ground: np.ndarray
    gain: float = 0.0
    most_gain: float = 0.0
    at_rest: float | None = None

    @property
    def rate(self) -> float:
        """How fast the slowest state that an imaginary time mixes into ψ decays: E − E0 of that state."""
        return self.gap if self.at_rest is None else self.at_rest

    def below(self, threshold: float) -> Relaxation:
        """The same where the continuum begins at this energy: no gap is wider than the distance from there."""
        binding = threshold - float(self.levels[0])
        return replace(self, gap=binding) if 0 < binding < self.gap else self

    def left(self, time: float) -> float:
        """What slow modes may leave of the excess energy after the imaginary time t: at most `most_gain`."""
        return max(0.0, min(self.excess(time), self.most_gain))

    def excess(self, time: float) -> float:
        """The energy of e^(−Ht/2) ψ above the lowest level, after the imaginary time t."""
        rise = self.levels - self.levels[0]
        left = self.shares * np.exp(-rise * time)
        total = left.sum()
        return float(left @ rise / total) if total > 0 else float(rise[self.shares.argmax()])

    def time_to(self, excess: float) -> float:
        """The shortest imaginary time after which at most this `excess` (positive) is left."""
        high = 1 / max(float(self.levels[-1] - self.levels[0]), 1e-300)
        while self.excess(high) > excess:
            high *= 1.2
        return high if self.excess(0.0) > excess else 0.0

    def state_dict(self) -> dict[str, Any]:
        """Numbers and tensors for a checkpoint."""
        return {k: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for k, v in vars(self).items()}

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Any]) -> Relaxation:
        """The relaxation that gave this `state_dict`."""
        numbers: dict[str, Any] = {k: v.numpy() if isinstance(v, Tensor) else v for k, v in state.items()}
        return cls(**numbers)


class Basis:
    """Functions of a configuration: 1, coordinates, and hyperbolic tangents of random direction, position and steepness.

    Those of identical particles are sums over the particles, and there are some of their distances. Walkers x (B, N, D) give
    the scale. `crossings` are ways from well to well (m, N, D) and their middles (m, N, D), where functions change sign too:
    hardly a walker may be in a well that ψ has too little of, and none of the others may show it.
    """

    def __init__(
        self, system: System, x: Tensor, generator: torch.Generator, crossings: tuple[Tensor, Tensor] | None = None
    ) -> None:
        self.symmetric = system.identical and system.particles > 1
        #: (N,) the direction along which no function of a free system changes
        self.free = direction_together(system)
        points = x.flatten(0, 1) if self.symmetric else x.flatten(1)
        options: dict[str, Any] = {"dtype": x.dtype, "device": x.device}
        centre = points.mean(0)
        values, vectors = torch.linalg.eigh((points - centre).T @ (points - centre) / len(points))
        if self.free is not None and not self.symmetric:
            # the centre of mass does not vary
            values, vectors = values[x.shape[2] :], vectors[:, x.shape[2] :]
        whitening = vectors / values.clamp_min(1e-12 * float(values.max())).sqrt()
        d = len(values)
        directions = torch.randn(d, RANDOM, generator=generator, **options)
        # every other one is a principal axis: wells are often those of one coordinate
        directions[:, ::2] = torch.eye(d, **options)[:, torch.arange(RANDOM // 2, device=x.device) % d]
        steep = FLATTEST * (STEEPEST / FLATTEST) ** torch.rand(RANDOM, generator=generator, **options)
        #: (d, n) gradients of the arguments of all one-body functions, coordinates first, and their values (n,) at 0
        self.slopes = torch.cat([whitening, whitening @ (directions / directions.norm(dim=0) * steep)], 1)
        self.shifts = -torch.cat([centre @ self.slopes[:, :d], _zeros(points @ self.slopes[:, d:], generator)])
        #: distances (m, 1) where functions of pairs rise, and how fast
        self.distances, self.rise = x.new_zeros(0), x.new_ones(())
        #: (D, n) and (n,) the same for functions of the centre of mass of identical particles
        self.together, self.zeros = x.new_zeros(x.shape[2], 0), x.new_zeros(0)
        if self.symmetric and self.free is None:
            means = x.mean(1)
            directions = torch.randn(x.shape[2], OF_CENTRE, generator=generator, **options)
            directions[:, ::2] = torch.eye(x.shape[2], **options)[:, torch.arange(OF_CENTRE // 2) % x.shape[2]]
            directions = directions / directions.norm(dim=0) / means.std(0)[:, None]
            self.together = directions * (
                FLATTEST * (STEEPEST / FLATTEST) ** torch.rand(OF_CENTRE, generator=generator, **options)
            )
            self.zeros = -_zeros(means @ self.together, generator)
        #: (N·D, m) and (m,) the same for functions along ways from well to well
        self.ways, self.middles = x.new_zeros(x[0].numel(), 0), x.new_zeros(0)
        if crossings is not None:
            ways, middles = (part[:WAYS].to(x).flatten(1) for part in crossings)
            unit = ways / ways.square().sum(1, keepdim=True)
            places = (unit * middles).sum(1) + x.new_tensor(PLACES)[:, None]
            steep = x.new_tensor(ACROSS)[:, None, None, None]
            self.ways = (steep * unit.expand(len(PLACES), -1, -1)).flatten(0, 2).T
            self.middles = -(steep[..., 0] * places).flatten()
        if self.symmetric:
            r = self._apart(x[:JUDGES]).norm(dim=-1).flatten()
            self.distances = r.sort().values[torch.linspace(0.05, 0.95, OF_PAIRS, **options).mul(len(r) - 1).long()]
            self.rise = 2 / r.std()

    def evaluate(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Values (B, n) and gradients (B, N·D, n) at x (B, N, D)."""
        points = x if self.symmetric else x.flatten(1)[:, None]
        d = self.slopes.shape[1] - RANDOM
        z = points @ self.slopes + self.shifts
        first = z[..., :d]
        # functions that grow reach beyond most walkers, into tails that the network has too short
        growing = torch.cat([(GROWTH * first).exp(), (-GROWTH * first).exp()], -1)
        values = torch.cat([first, z[..., d:].tanh(), growing], -1)
        derivative = torch.cat(
            [
                torch.ones_like(first),
                1 - values[..., d : z.shape[-1]].square(),
                GROWTH * growing[..., :d],
                -GROWTH * growing[..., d:],
            ],
            -1,
        )
        slopes = torch.cat([self.slopes, self.slopes[:, :d], self.slopes[:, :d]], 1)
        gradients = (derivative[:, :, None] * slopes).flatten(1, 2)
        across = (x.flatten(1) @ self.ways + self.middles).tanh()
        values = torch.cat([values.sum(1), across], 1)
        gradients = torch.cat([gradients, (1 - across.square())[:, None] * self.ways], 2)
        if self.symmetric:
            of_pairs, along = _pair_functions(self._apart(x), self.distances, self.rise, x)
            of_centre = (x.mean(1) @ self.together + self.zeros).tanh()
            slopes = (1 - of_centre.square())[:, None] * self.together / x.shape[1]
            values = torch.cat([values, of_pairs, of_centre], 1)
            gradients = torch.cat([gradients, along, slopes.repeat(1, x.shape[1], 1)], 2)
        if self.free is not None:
            # as functions of places about the centre of mass
            along = gradients.view(*x.shape, -1)
            e = self.free.to(x)[:, None, None]
            gradients = (along - e * (e * along).sum(1, keepdim=True)).flatten(1, 2)
        one, zero = torch.ones_like(values[:, :1]), torch.zeros_like(gradients[..., :1])
        return torch.cat([one, values], 1), torch.cat([zero, gradients], 2)

    def _apart(self, x: Tensor) -> Tensor:
        i, j = pairs(x.shape[1], x.device)
        return x[:, i] - x[:, j]


def _zeros(arguments: Tensor, generator: torch.Generator) -> Tensor:
    """Where functions change sign, (n,), by turns at some walker and anywhere between all, from arguments (B, n) of walkers."""
    count = arguments.shape[1]
    options: dict[str, Any] = {"generator": generator, "device": arguments.device}
    pick = torch.randint(len(arguments), (1, count), **options)
    low, high = arguments.aminmax(dim=0)
    anywhere = low + (high - low) * torch.rand(count, dtype=arguments.dtype, **options)
    # in pairs: every other direction is a principal axis
    return torch.where(torch.arange(count, device=arguments.device) % 4 < 2, arguments.gather(0, pick)[0], anywhere)


class BoxBasis:
    """Functions of a configuration in a periodic box: 1, waves Σ_i cos k·x_i and sin k·x_i, and functions of distances.

    The wave vectors are the shortest of the box; walkers x (B, N, D) give the scale of distances. Where the `even` V does not
    change as all particles move together, |Σ_i exp(ik·x_i)|² come last: pairs of waves of opposite momenta.
    """

    def __init__(self, system: System, box: Sequence[float], x: Tensor, even: bool = False) -> None:
        self.even = even
        self.box = tuple(box)
        waves = wave_vectors(box, [LONGEST_WAVES if math.isfinite(side) else 0 for side in box])
        #: (D, n) wave vectors
        self.waves = x.new_tensor(sorted(waves, key=lambda wave: math.hypot(*wave))[:OF_WAVES]).T
        #: open axes with the mean places and the deviations of the particles there
        self.axes = list(open_axes(box))
        across = x[..., self.axes].flatten(0, 1)
        self.means = across.mean(0)
        self.deviations = (across - self.means).square().mean(0).sqrt()
        self.distances, self.rise = x.new_zeros(0), x.new_ones(())
        if system.particles > 1:
            r = pair_squares(x[:JUDGES], box).sqrt().flatten()
            places = torch.linspace(0.05, 0.95, OF_PAIRS, dtype=x.dtype, device=x.device).mul(len(r) - 1).long()
            self.distances, self.rise = r.sort().values[places], 2 / r.std()

    def evaluate(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Values (B, n) and gradients (B, N·D, n) at x (B, N, D)."""
        angle = x @ self.waves
        cosine, sine = angle.cos(), angle.sin()
        values = torch.cat([cosine, sine], -1).sum(1)
        slopes = torch.cat([-sine, cosine], -1)[:, :, None] * torch.cat([self.waves, self.waves], 1)
        gradients = slopes.flatten(1, 2)
        if self.axes:
            t = (x[..., self.axes] - self.means) / self.deviations
            values = torch.cat([values, t.sum(1), t.square().sum(1)], 1)
            slopes = x.new_zeros(*x.shape, 2, len(self.axes))
            for number, axis in enumerate(self.axes):
                slopes[:, :, axis, 0, number] = 1 / self.deviations[number]
                slopes[:, :, axis, 1, number] = 2 * t[..., number] / self.deviations[number]
            gradients = torch.cat([gradients, slopes.flatten(3).flatten(1, 2)], 2)
        if len(self.distances):
            i, j = pairs(x.shape[1], x.device)
            apart = nearest_images((x[:, i] - x[:, j]).movedim(-1, 0), self.box).movedim(0, -1)
            of_pairs, along = _pair_functions(apart, self.distances, self.rise, x)
            values, gradients = torch.cat([values, of_pairs], 1), torch.cat([gradients, along], 2)
        if self.even:
            n = self.waves.shape[1]
            waves, along = values[:, None, : 2 * n], 2 * gradients[..., : 2 * n]
            squares = (waves * along).unflatten(2, (2, n)).sum(2)
            values = torch.cat([values, waves[:, 0].square().unflatten(1, (2, n)).sum(1)], 1)
            gradients = torch.cat([gradients, squares], 2)
        one, zero = torch.ones_like(values[:, :1]), torch.zeros_like(gradients[..., :1])
        return torch.cat([one, values], 1), torch.cat([zero, gradients], 2)

    def at_rest(self, count: int) -> np.ndarray:
        """Which (count,) of all functions do not change as all particles move together: all but the waves."""
        return ~np.isin(np.arange(count), 1 + np.arange(2 * self.waves.shape[1]))


def _pair_functions(apart: Tensor, distances: Tensor, rise: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Σ tanh(rise (r − distance)) (B, m) over the pairs with differences `apart` (B, pairs, D), and gradients (B, N·D, m)."""
    i, j = pairs(x.shape[1], x.device)
    r = apart.norm(dim=-1, keepdim=True)
    t = (rise * (r - distances)).tanh()
    along = (apart / r.clamp_min(1e-300))[..., None] * (rise * (1 - t.square()))[:, :, None]
    gradients = x.new_zeros(*x.shape, len(distances))
    gradients.index_add_(1, i, along).index_add_(1, j, along, alpha=-1.0)
    return t.sum(1), gradients.flatten(1, 2)


class SlowModes:
    """Sums over the walkers of a measurement that give its `Relaxation`; all ranks have the same basis.

    Walkers x (B, N, D) of ψ² give the scale of the functions. `walkers`, with `weights` (B',) that turn them into those of ψ²,
    are all that there are: rare places have more of these. `of_distances`: ψ of a free system is a function of these alone.
    `crossings` are the ways from well to well of the landscape. `even`: V and ψ in a box depend on distances alone.
    """

    def __init__(
        self,
        system: System,
        x: Tensor,
        generator: torch.Generator,
        walkers: Tensor | None = None,
        weights: Tensor | None = None,
        *,
        of_distances: bool = False,
        crossings: tuple[Tensor, Tensor] | None = None,
        even: bool = False,
    ) -> None:
        charges, box = system.point_charges(), sides(system)
        self.basis: Basis | DistanceBasis | BoxBasis
        if box is not None:
            self.basis = BoxBasis(system, box, x, even)
        elif charges is not None:
            self.basis = DistanceBasis(charges, x)
        elif system.free and (system.isotropic or of_distances):
            # an imaginary time mixes no rotations into the ground state, and walkers of a rigid cluster hardly turn round
            self.basis = FreeDistances(system, x)
        else:
            self.basis = Basis(system, x, generator, crossings)
        ranks.broadcast_tensors(value for value in vars(self.basis).values() if isinstance(value, Tensor))
        self.most = max(2, MOST_PAIRS // system.particles**2)
        walkers = x if walkers is None else walkers
        weights = torch.ones_like(walkers[:, 0, 0]) if weights is None else weights
        count = min(JUDGES, self.most)
        #: values (B, n) of the functions at some walkers, by the roots of their weights
        self.judges = weights[:count, None].sqrt() * self.basis.evaluate(walkers[:count])[0]
        n = self.judges.shape[1]
        #: S, ⟨f f E_L⟩ and K, each from one half of the walkers: (2, 3, n, n)
        self.sums = x.new_zeros(2, 3, n, n)

    def add(self, x: Tensor, energies: Tensor, weights: Tensor) -> None:
        """Add walkers x (B, N, D) with local energies (B,) and weights (B,)."""
        energies = clip(energies, CLIP)
        for half in range(2):
            places, heights, shares = (part[half : self.most : 2] for part in (x, energies, weights))
            values, gradients = self.basis.evaluate(places)
            weighted = shares[:, None] * values
            flat = gradients.flatten(0, 1)
            kinetic = 0.5 * (shares.repeat_interleave(gradients.shape[1])[:, None] * flat).T @ flat
            self.sums[half] += torch.stack([weighted.T @ values, (weighted * heights[:, None]).T @ values, kinetic])

    def solve(self) -> Relaxation | None:
        """The relaxation; None if no mode rests on enough walkers. All ranks must ask together."""
        halves = ranks.reduce_sum(self.sums).cpu().numpy()
        judges = ranks.broadcast(self.judges.cpu().numpy())
        both = _solve(halves.sum(0), judges)
        if both is not None and isinstance(self.basis, BoxBasis) and self.basis.even:
            own = self.basis.at_rest(len(both.ground))
            gap, ground = both.gap, np.zeros(len(own))
            halves, judges = halves[:, :, own][..., own], judges[:, own]
            both = _solve(halves.sum(0), judges)
            if both is not None:
                ground[own] = both.ground
                both = replace(both, gap=gap, ground=ground, at_rest=both.gap)
        if both is None:
            return None
        gains = [self._gain(halves[i], halves[1 - i], judges) for i in range(2)]
        return replace(both, gain=0.5 * sum(gains), most_gain=max(gains))

    def _gain(self, fitted: np.ndarray, tested: np.ndarray, judges: np.ndarray) -> float:
        """How far the ground level of one half of the walkers lies below the energy of ψ, by the other half."""
        found = _solve(fitted, judges)
        if found is None:
            return 0.0
        s, e, k = tested / tested[0, 0, 0]
        c = found.ground
        return float(e[0, 0] - c @ (e + k) @ c / (c @ s @ c))

    def state_dict(self) -> dict[str, Any]:
        """Tensors for a checkpoint."""
        return {"basis": dict(vars(self.basis)), "judges": self.judges, "sums": self.sums.clone()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from where `state_dict` was asked for."""
        # earlier versions had no pairs of waves
        vars(self.basis).update({"even": False} if isinstance(self.basis, BoxBasis) else {}, **state["basis"])
        self.judges, self.sums = state["judges"].to(self.judges.device), state["sums"].clone().to(self.sums.device)


def _solve(sums: np.ndarray, judges: np.ndarray) -> Relaxation | None:
    """The relaxation from sums (3, n, n) of S, ⟨f f E_L⟩ and K; `judges` f √w (B, n) show on how many walkers a mode rests."""
    s, e, k = sums / sums[0, 0, 0]
    # functions of mean 0 and variance 1: each column of `change` is one in the functions of the basis
    change = np.eye(len(s))
    change[0, 1:] = -s[0, 1:]
    variances = np.diag(change.T @ s @ change)
    # what is the same for all walkers shows nothing
    varies = np.append(True, variances[1:] > CONSTANT * np.diag(s)[1:])
    if not varies[1:].any():
        return None
    change = (change / np.sqrt(np.where(varies, variances, 1.0)))[:, varies]
    values, vectors = np.linalg.eigh((change.T @ s @ change)[1:, 1:])
    good = values > INDEPENDENT * values[-1]
    change = np.concatenate([change[:, :1], change[:, 1:] @ vectors[:, good] / np.sqrt(values[good])], 1)
    # the modes of the diffusion, 1 among them
    rates, modes = np.linalg.eigh((change.T @ k @ change)[1:, 1:])
    change, rates = np.concatenate([change[:, :1], change[:, 1:] @ modes], 1), np.append(0.0, rates)
    f = judges @ change
    resting = np.square(f).sum(0) ** 2 / np.power(f, 4).sum(0) >= SUPPORT
    resting[0] = True
    if resting.sum() < 2:
        return None
    change, rates = change[:, resting], rates[resting]
    hamiltonian = change.T @ e @ change + np.diag(rates)
    levels, states = np.linalg.eigh(0.5 * (hamiltonian + hamiltonian.T))
    ground = change @ states[:, 0] * (1 if states[0, 0] >= 0 else -1)
    return Relaxation(float(levels[1] - levels[0]), levels, states[0] ** 2, ground)
