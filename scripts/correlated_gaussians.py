"""Upper bounds for a few bosons with a Gaussian repulsion in a round trap: the stochastic variational method, no Monte Carlo.

    python scripts/correlated_gaussians.py --particles 3 --dimensions 3 --g 15 --s 0.5
    python scripts/correlated_gaussians.py --particles 4 --dimensions 2 --g 15 --functions 300 --sweeps 3

H = −½ Δ + ½ Σ r_i² + Σ_{i<j} g (π s²)^(−D/2) exp(−r_ij²/s²). The centre of mass holds D/2; the rest is expanded in Gaussians
exp(−½ yᵀAy) of the N − 1 Jacobi vectors y, summed over all permutations of the particles, whose matrix elements are in closed
form (Suzuki & Varga, Stochastic Variational Approach to Quantum-Mechanical Few-Body Problems, 1998). Functions are added one by
one, each the best of many random ones; sweeps then try to replace every one. Any basis gives an upper bound: what the
printed energies still fall by says how far above the ground state the last may be.
"""

from __future__ import annotations

import argparse
import itertools
import math
import time
from dataclasses import dataclass, field

import numpy as np

Array = np.ndarray

#: share of a candidate's norm outside the basis below which it adds rounding errors rather than a direction
INDEPENDENT = 1e-9


@dataclass(frozen=True)
class Problem:
    """N bosons in D dimensions at omega = 1, in Jacobi vectors y (N − 1 of them) with Σ r_i² = Σ y² + N R²."""

    particles: int
    dimensions: int
    g: float
    s: float
    #: (pairs, N − 1): r_i − r_j = w · y
    pairs: Array = field(init=False)
    #: (N!, N − 1, N − 1): what each permutation of the particles does to y
    permutations: Array = field(init=False)

    def __post_init__(self) -> None:
        n = self.particles
        jacobi = np.zeros((n - 1, n))
        for k in range(1, n):
            jacobi[k - 1, :k] = 1 / k
            jacobi[k - 1, k] = -1
            jacobi[k - 1] /= np.linalg.norm(jacobi[k - 1])
        pairs = [jacobi[:, i] - jacobi[:, j] for i, j in itertools.combinations(range(n), 2)]
        turned = [jacobi @ np.eye(n)[list(order)] @ jacobi.T for order in itertools.permutations(range(n))]
        object.__setattr__(self, "pairs", np.array(pairs))
        object.__setattr__(self, "permutations", np.array(turned))

    def matrices(self, widths: Array) -> Array:
        """A = Σ_{i<j} w wᵀ/d_ij² (K, N − 1, N − 1) of pair widths d (K, pairs): the Gaussian exp(−½ Σ r_ij²/d_ij²)."""
        return np.einsum("kp,pa,pb->kab", widths**-2.0, self.pairs, self.pairs)

    def elements(self, left: Array, right: Array | None = None) -> tuple[Array, Array]:
        """Overlap and Hamiltonian ⟨A| · |Σ_P P B⟩ of Gaussians of norm 1 before they are permuted, B = A if not given.

        A and B (…, n, n) broadcast, but for the last two axes.
        """
        right = left if right is None else right
        turned = self.permutations @ right[..., None, :, :] @ self.permutations.swapaxes(1, 2)
        both = left[..., None, :, :] + turned
        inverse = np.linalg.inv(both)
        halves = 0.5 * (np.linalg.slogdet(2 * left)[1] + np.linalg.slogdet(2 * right)[1])
        overlap = np.exp(0.5 * self.dimensions * (halves[..., None] - np.linalg.slogdet(both)[1]))
        # ⟨T⟩ = (D/2) tr A C⁻¹ B with B = C − A, ⟨½ y²⟩ = (D/2) tr C⁻¹
        kinetic = np.trace(left, axis1=-2, axis2=-1)[..., None] - _traces((left @ left)[..., None, :, :], inverse)
        energy = 0.5 * self.dimensions * (kinetic + np.trace(inverse, axis1=-2, axis2=-1))
        outer = (self.pairs[:, :, None] * self.pairs[:, None]).reshape(len(self.pairs), -1)
        spread = inverse.reshape(*inverse.shape[:-2], outer.shape[1]) @ outer.T
        height = self.g / (math.pi * self.s**2) ** (0.5 * self.dimensions)
        energy += height * ((1 + 2 / self.s**2 * spread) ** (-0.5 * self.dimensions)).sum(-1)
        return overlap.sum(-1), (overlap * energy).sum(-1)


def _traces(a: Array, b: Array) -> Array:
    """tr AB of symmetric matrices."""
    return np.asarray((a * b).sum((-2, -1)))


class Basis:
    """Correlated Gaussians of pair widths (M, pairs) with their overlaps and Hamiltonian (M, M), and the states within them.

    `lowest` is the energy of the lowest one, without that of the centre of mass.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.widths = np.zeros((0, len(problem.pairs)))
        self.overlap, self.hamiltonian = np.zeros((0, 0)), np.zeros((0, 0))
        self.lowest = math.inf

    def states(self, without: int | None = None) -> tuple[Array, Array, Array]:
        """Energies (M,), coefficients (M, M) in columns, and the functions they are of; one function may be left out."""
        kept = np.array([m for m in range(len(self.widths)) if m != without], dtype=int)
        if not len(kept):
            return np.zeros(0), np.zeros((0, 0)), kept
        factor = np.linalg.cholesky(self.overlap[np.ix_(kept, kept)])
        half = np.linalg.solve(factor, self.hamiltonian[np.ix_(kept, kept)])
        energies, vectors = np.linalg.eigh(np.linalg.solve(factor, half.T))
        return energies, np.linalg.solve(factor.T, vectors), kept

    def improve(self, widths: Array, place: int | None = None) -> None:
        """Take the one of the candidates (K, pairs) that lowers the energy most, if any does: added, or in `place` of one."""
        energies, coefficients, kept = self.states(place)
        functions = self.problem.matrices(self.widths)
        candidates = self.problem.matrices(widths)
        own, own_energy = self.problem.elements(candidates)
        overlap, energy = self.problem.elements(functions[:, None], candidates)
        along, mixed = coefficients.T @ overlap[kept], coefficients.T @ energy[kept]
        rest = own - (along**2).sum(0)
        good = rest > INDEPENDENT * own
        scale = np.where(good, rest, 1.0)
        height = (own_energy - 2 * (along * mixed).sum(0) + (energies[:, None] * along**2).sum(0)) / scale
        coupling = (mixed - energies[:, None] * along) ** 2 / scale
        reached = np.where(good, lowest_root(energies, height, coupling), math.inf)
        k = int(reached.argmin())
        if not reached[k] < self.lowest:
            return
        self.lowest = float(reached[k])
        if place is None:
            place = len(self.widths)
            self.widths = np.append(self.widths, widths[k : k + 1], 0)
            self.overlap, self.hamiltonian = (np.pad(m, (0, 1)) for m in (self.overlap, self.hamiltonian))
            overlap, energy = (np.append(m[:, k], 0.0) for m in (overlap, energy))
        else:
            self.widths[place] = widths[k]
            overlap, energy = overlap[:, k], energy[:, k]
        overlap[place], energy[place] = own[k], own_energy[k]
        self.overlap[place] = self.overlap[:, place] = overlap
        self.hamiltonian[place] = self.hamiltonian[:, place] = energy


def lowest_root(energies: Array, height: Array, coupling: Array) -> Array:
    """Lowest E (K,) of E = height + Σ_m coupling_m/(E − energies_m): states (M,) that mix with one more each, (K,), (M, K)."""
    if not len(energies):
        return height
    high = np.minimum(energies[0], height)
    low = high - np.sqrt(coupling.sum(0)) - 1e-12
    for _ in range(60):
        middle = 0.5 * (low + high)
        above = height + (coupling / np.minimum(middle - energies[:, None], -1e-300)).sum(0) < middle
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return high


def drawn(basis: Basis, rng: np.random.Generator, count: int) -> Array:
    """Candidates (count, pairs): widths between a part of the repulsion's range and the cloud's, half of them near old ones."""
    s, pairs = basis.problem.s, len(basis.problem.pairs)
    low, high = math.log(min(0.5 * s, 0.5)), math.log(3 * math.sqrt(basis.problem.particles))
    widths = np.exp(rng.uniform(low, high, (count, pairs)))
    if len(basis.widths):
        near = count // 2
        old = basis.widths[rng.integers(len(basis.widths), size=near)]
        widths[:near] = old * np.exp(0.3 * rng.standard_normal((near, pairs)))
    return widths


def solve(problem: Problem, functions: int, sweeps: int, candidates: int, seed: int) -> float:
    """Grow a basis and refine it, printing the upper bound on the way; the last one."""
    rng, basis, begun = np.random.default_rng(seed), Basis(problem), time.perf_counter()

    def energy() -> float:
        return float(basis.states()[0][0]) + 0.5 * problem.dimensions

    def show(what: str) -> None:
        print(f"{what:>14}  {energy():.10f}  {time.perf_counter() - begun:6.0f} s", flush=True)

    for tried in range(1, functions + 1):
        basis.improve(drawn(basis, rng, candidates))
        if tried % max(1, functions // 6) == 0:
            show(f"{len(basis.widths)} functions")
    for sweep in range(1, sweeps + 1):
        for place in range(len(basis.widths)):
            near = basis.widths[place] * np.exp(0.2 * rng.standard_normal((candidates // 2, len(problem.pairs))))
            basis.improve(np.concatenate([near, drawn(basis, rng, candidates - len(near))]), place)
        show(f"sweep {sweep}")
    return energy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--particles", type=int, default=3)
    parser.add_argument("--dimensions", type=int, default=3)
    parser.add_argument("--g", type=float, default=15.0)
    parser.add_argument("--s", type=float, default=0.5)
    parser.add_argument("--functions", type=int, default=150)
    parser.add_argument("--sweeps", type=int, default=2)
    parser.add_argument("--candidates", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    problem = Problem(given.particles, given.dimensions, given.g, given.s)
    solve(problem, given.functions, given.sweeps, given.candidates, given.seed)


if __name__ == "__main__":
    main()
