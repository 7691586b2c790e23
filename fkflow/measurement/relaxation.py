"""The slow modes of the learned diffusion: its gap, and what they leave of an energy's excess after some imaginary time.

Minus the generator of dX = ∇U dt + dW is L = −½Δ − ∇U·∇ = ψ⁻¹Hψ − E_L. In a basis of functions f_i, with averages over ψ²,

    S_ij = ⟨f_i f_j⟩,   K_ij = ½⟨∇f_i·∇f_j⟩,   H_ij = K_ij + ⟨f_i f_j E_L⟩,

the eigenvalues of (K, S) bound the rates of the diffusion from above, those of (H, S) the energies; first derivatives do.
With the share c_k² of level k in ψ, the energy after the imaginary time t is Σ c_k² E_k e^(−E_k t)/Σ c_k² e^(−E_k t).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fkflow.execution import ranks
from fkflow.hamiltonian.box import sides
from fkflow.hamiltonian.system import System
from fkflow.measurement.distance_basis import DistanceBasis, FreeDistances
from fkflow.measurement.slow_functions import JUDGES, Basis, BoxBasis
from fkflow.sampling.clipping import Deviations

#: most walkers times particles squared in one sum: more walkers are left out
MOST_PAIRS = 2**19
#: least variance of a function, by its mean square, that is not rounding
CONSTANT = 1e-10
#: smallest eigenvalue of S, relative to the largest, that is not rounding
INDEPENDENT = 1e-6
#: fewest walkers, (Σ w f²)²/Σ (w f²)², that a mode must rest on
SUPPORT = 20
#: mean absolute deviations at which local energies are clipped, and the least distance, in natural energies: a well that has
#: too little of ψ shows in the energies of the few walkers on the barrier before it, which are far from all others
CLIP, FAR = 10.0, 10.0
#: the least distance for energies below the others, in averages that ψ itself has no part in: the low ones of a tail, which
#: its few walkers meet without the high ones beside them, would make a level below the ground state. Raised energies raise
#: levels, and a mode as narrow as a natural length moves with about this energy
LOW = 0.5


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


class SlowModes:
    """Sums over the walkers of a measurement that give its `Relaxation`; all ranks have the same basis.

    Walkers x (B, N, D) of ψ² give the scale of the functions. `walkers`, with `weights` (B',) that turn them into those of ψ²,
    are all that there are: rare places have more of these. `of_distances`: ψ of a free system is a function of these alone.
    `crossings` are the ways from well to well of the landscape. `even`: V and ψ in a box depend on distances alone.
    `natural_energy` is that of the landscape, 1/ℓ².
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
        natural_energy: float = 1.0,
    ) -> None:
        self.natural_energy = natural_energy
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
        #: S, ⟨f f E_L⟩, K and ⟨f f E_L⟩ with raised low energies, each from one half of the walkers: (2, 4, n, n)
        self.sums = x.new_zeros(2, 4, n, n)

    def add(self, x: Tensor, energies: Tensor, weights: Tensor) -> None:
        """Add walkers x (B, N, D) with local energies (B,) and weights (B,)."""
        known = Deviations(energies)
        energies = known.clip(CLIP, least=FAR * self.natural_energy)
        raised = energies.maximum(known.clip(CLIP, least=LOW * self.natural_energy))
        for half in range(2):
            own = slice(half, self.most, 2)
            places, heights, raised_heights, shares = x[own], energies[own], raised[own], weights[own]
            values, gradients = self.basis.evaluate(places)
            weighted = shares[:, None] * values
            flat = gradients.flatten(0, 1)
            kinetic = 0.5 * (shares.repeat_interleave(gradients.shape[1])[:, None] * flat).T @ flat
            clipped, high = ((weighted * each[:, None]).T @ values for each in (heights, raised_heights))
            self.sums[half] += torch.stack([weighted.T @ values, clipped, kinetic, high])

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
        s, e, k, raised = tested / tested[0, 0, 0]
        c = found.ground
        # in functions of mean 0 its first coefficient is its mean
        own = np.append(s[0] @ c, c[1:])
        energy = own @ _hamiltonian(_centred(s), e, k, raised) @ own
        return float(e[0, 0] - energy / (c @ s @ c))

    def state_dict(self) -> dict[str, Any]:
        """Tensors for a checkpoint."""
        return {"basis": dict(vars(self.basis)), "judges": self.judges, "sums": self.sums.clone()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from where `state_dict` was asked for."""
        # earlier versions had no pairs of waves
        vars(self.basis).update({"even": False} if isinstance(self.basis, BoxBasis) else {}, **state["basis"])
        self.judges, sums = state["judges"].to(self.judges.device), state["sums"].to(self.sums.device)
        # nor raised energies
        self.sums = sums.clone() if sums.shape[1] == 4 else torch.cat([sums, sums[:, 1:2]], 1)


def _centred(s: np.ndarray) -> np.ndarray:
    """Coefficients (n, n) of functions of mean 0 in those of the basis, a column each, from S; the first is 1 itself."""
    change = np.eye(len(s))
    change[0, 1:] = -s[0, 1:]
    return change


def _hamiltonian(change: np.ndarray, e: np.ndarray, k: np.ndarray, raised: np.ndarray) -> np.ndarray:
    """H between functions with the columns of `change`, the first of them 1: with 1 itself energies are not raised."""
    found: np.ndarray = change.T @ (raised + k) @ change
    found[0] = found[:, 0] = change.T @ e[0]
    return found


def _solve(sums: np.ndarray, judges: np.ndarray) -> Relaxation | None:
    """The relaxation from sums (4, n, n) of `SlowModes`; `judges` f √w (B, n) show on how many walkers a mode rests."""
    s, e, k, raised = sums / sums[0, 0, 0]
    # functions of mean 0 and variance 1: each column of `change` is one in the functions of the basis
    change = _centred(s)
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
    _, modes = np.linalg.eigh((change.T @ k @ change)[1:, 1:])
    change = np.concatenate([change[:, :1], change[:, 1:] @ modes], 1)
    f = judges @ change
    resting = np.square(f).sum(0) ** 2 / np.power(f, 4).sum(0) >= SUPPORT
    resting[0] = True
    if resting.sum() < 2:
        return None
    change = change[:, resting]
    hamiltonian = _hamiltonian(change, e, k, raised)
    levels, states = np.linalg.eigh(0.5 * (hamiltonian + hamiltonian.T))
    ground = change @ states[:, 0] * (1 if states[0, 0] >= 0 else -1)
    return Relaxation(float(levels[1] - levels[0]), levels, states[0] ** 2, ground)
