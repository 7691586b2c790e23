"""Natural gradient in sample space with momentum and an implicit imaginary-time step.

One update is one step η of imaginary time, projected on the network: with O_b = ∂θU(x_b) − mean and centred energies r_b,

    (S + ηK) φ = Oᵀr/B,   S = OᵀO/B,   K_ij = ½⟨∇∂_iU·∇∂_jU⟩,   θ ← θ − ηφ.

K = 0 is the usual explicit step (stochastic reconfiguration), stable only while η times the stiffest excitation is below 2. At
the ground state K is the Hessian of the energy, so that the implicit step is stable for stiff modes and tends to Newton's for
large η. Either is one damped least-squares problem with the momentum of SPRING (Goldshlager, Abrahamsen, Lin, 2024): the
K rows are stacked under the O rows with a zero right-hand side.

A walker that is alone in its part of space is fitted whatever its energy is: its leverage h_b = aᵀ(AᵀA + λ)⁻¹a, for its row a,
is near 1. One such energy, far from the others, then changes the network everywhere, and the next one more. The influence of
every walker, √(h_b) times what its row should give, is therefore bounded (bounded-influence regression: Krasker and Welsch,
J. Amer. Stat. Assoc. 77, 595, 1982). Outliers that many walkers share have small leverages, and are learned as before.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from fkflow.execution import ranks

#: damping and number of unknowns from which on products are taken in single precision, and refinements after that: at a
#: damping of 1e-3 single precision changes the solution by 1e-3 to 1e-2, each refinement leaves 1/30 of that
SINGLE, SMALL, REFINEMENTS = 5e-4, 128, 3
#: bound of a walker's influence in training, in units of what a walker with leverage 1 and the mean energy has
INFLUENCE = 2.0
#: that of an exploring walker, by the bound of the others: a lower one leaves second maxima where they are
EXPLORING = 8.0


class Spring:
    """The optimiser SPRING for a flat parameter vector of length P (float64).

    momentum μ carries the last solution into the next problem; max_change bounds the root mean square change of log ψ
    over the walkers in one step, a trust region that does not depend on how the network is parametrised. `influence` bounds
    √h |t| of each walker, in units of the mean |t|: t = √share r is what its row should give, h its leverage.
    """

    def __init__(self, size: int, *, momentum: float, max_change: float, influence: float = math.inf) -> None:
        self.momentum, self.max_change, self.influence = momentum, max_change, influence
        self.last = torch.zeros(size, dtype=torch.float64)
        #: root mean square change of log ψ that the last update asked for, before the bound
        self.change = 0.0

    def update(
        self,
        rows: Tensor,
        energies: Tensor,
        rate: float,
        damping: float,
        weights: Tensor | None = None,
        exploring: int = 0,
    ) -> Tensor:
        """The change (P,) of the parameters, NaN if the system has no solution.

        `rows` (B + B', P) are ∂θU of B walkers and below them the derivatives of the first B' of these along random directions
        (`gradients.jacobian_and_derivatives`); they are overwritten. `energies` (B,) are A/T. `weights` (B,) turn averages over
        the walkers into averages over ψ². `rate` η is in inverse energy; `damping` λ is relative to the mean diagonal of OOᵀ/B.
        The bound of the last `exploring` walkers is EXPLORING times as high.

        Each rank gives its own walkers, as many on every rank; the change is that of all of them, and all ranks must ask for it
        together.
        """
        walkers = len(energies) * ranks.count()
        o, derivatives = rows[: len(energies)], rows[len(energies) :]
        weights = torch.ones_like(energies) if weights is None else weights
        counted = weights[: len(derivatives)]
        # the plain mean is subtracted first: what is the same for all walkers then cancels without rounding
        sums = ranks.reduce_sum(torch.cat([o.sum(0), torch.stack([energies.sum(), weights.sum(), counted.sum()])]))
        of_counted = sums[-1]
        o.sub_(sums[:-3] / walkers)
        r, share = energies - sums[-3] / walkers, weights / sums[-2]
        # averages over ψ², and products that follow once these are subtracted: one message for both
        products = torch.stack([share, share * r]) @ o
        norm = share @ torch.linalg.vector_norm(o, dim=1).square()
        sums = ranks.reduce_sum(torch.cat([products.flatten(), torch.stack([share @ r, norm])]))
        mean, force = sums[:-2].view(2, -1)
        r, force = r - sums[-2], force - sums[-2] * mean
        scale = (sums[-1] - mean.square().sum()).clamp(min=0.0) / walkers
        o.sub_(mean).mul_(share.sqrt()[:, None])
        if len(derivatives):
            derivatives.mul_((0.5 * rate * counted / of_counted).sqrt()[:, None])
        carried = self.momentum * self.last.to(o.device)
        target = r * share.sqrt()
        most = torch.full_like(target, self.influence) * (ranks.reduce_sum(target.abs().sum()) / walkers)
        most[len(target) - exploring :] *= EXPLORING
        if rows.shape[0] * ranks.count() <= rows.shape[1]:
            nothing = r.new_zeros(len(derivatives))
            gathered = ranks.gather(
                torch.stack([torch.cat([target, nothing]), torch.cat([most, nothing]), rows @ carried], 1)
            )
            rows = ranks.gather(rows)
            normal = normal_matrix(rows.T, scale, damping, shared_gram)
            target = bound_influence(gathered[:, 0], gathered[:, 1], normal.leverages)
            phi = carried + rows.T @ normal.solve(target - gathered[:, 2])
        else:
            # (AᵀA + λ)(φ − c) = Aᵀr − AᵀA c, without a product for the residual
            normal = normal_matrix(rows, scale, damping, lambda a: ranks.reduce_sum(gram(a)), ranks.reduce_sum)
            if self.influence < math.inf:
                taken = bound_influence(target, most, lambda which: normal.inverse_forms(o[which])) - target
                force = force + ranks.reduce_sum(taken @ o)
            phi = normal.solve(force + damping * scale * carried)
        # the solution of the first rank: the last bits may differ where ranks compute on different processors
        found = ranks.gather(torch.cat([phi, (o @ phi).square().sum()[None]])).view(ranks.count(), -1)
        # a copy, for it is stored in checkpoints
        phi = found[0, :-1].clone()
        self.change = rate * float(found[:, -1].sum().sqrt())
        # The bound shrinks the stored momentum too; shrinking only the step was a cause of divergence.
        if self.change > self.max_change:
            phi = phi * (self.max_change / self.change)
        self.last = phi
        return -rate * phi


def bound_influence(target: Tensor, most: Tensor, leverages: Callable[[Tensor], Tensor]) -> Tensor:
    """Targets t (m,) clamped so that √h |t| is at most `most` (m,); `leverages` gives h (k,) of the rows with indices (k,).

    h is at most 1, so that only rows with |t| above `most` are asked for.
    """
    which = (target.abs() > most).nonzero()[:, 0]
    if not len(which):
        return target
    reach = most[which] / leverages(which).clamp(min=torch.finfo(target.dtype).tiny).sqrt()
    return target.index_copy(0, which, target[which].clamp(-reach, reach))


class NormalMatrix:
    """G + λ (n, n) of a damped least-squares problem, in units of `unit`, as its Cholesky factor; G (n, n) is overwritten.

    λ is raised tenfold until the factorisation succeeds. `product`, u → Gu, refines solutions where it is more exact than G,
    which may be in single precision.
    """

    def __init__(
        self, gram: Tensor, shift: Tensor, unit: Tensor, product: Callable[[Tensor], Tensor] | None = None
    ) -> None:
        diagonal = gram.diagonal()
        own, shift = diagonal.clone(), shift + 1e-14 * diagonal.max()
        self.unit, self.product = unit, product
        self.factor: Tensor | None = None
        # a network that is already exact has O = 0 and nothing to learn
        self.without = 0.0 if float(shift) <= 0 else math.nan
        for _ in range(0 if self.without == 0 else 12):
            diagonal.copy_(own + shift)
            factor, info = torch.linalg.cholesky_ex(gram)
            if int(info) == 0:
                self.factor = factor
                break
            shift = shift * 10
        self.shift = shift

    def solve(self, rhs: Tensor) -> Tensor:
        """(G + λ)⁻¹ b (n,): 0 if there is nothing to learn, NaN if there is no factor."""
        if self.factor is None:
            return torch.full_like(rhs, self.without)
        rhs = rhs / self.unit
        found = _substitute(self.factor, rhs)
        return found if self.product is None else _refine(self.factor, self.shift, rhs, found, self.product)

    def inverse_forms(self, rows: Tensor) -> Tensor:
        """aᵀ(G + λ)⁻¹a (k,) of rows a (k, n): their leverages, if they are among those that made G."""
        if self.factor is None:
            return rows.new_zeros(len(rows))
        columns = (rows * self.unit.rsqrt()).T.to(self.factor.dtype)
        return _squared_lengths(self.factor, columns).to(rows.dtype)

    def leverages(self, which: Tensor) -> Tensor:
        """Diagonal (k,) of G(G + λ)⁻¹ at indices (k,): where G is AAᵀ, the leverages of those rows of A."""
        if self.factor is None:
            return self.shift.new_zeros(len(which))
        columns = self.factor.new_zeros(len(self.factor), len(which))
        columns[which, torch.arange(len(which), device=which.device)] = 1.0
        inverse = _squared_lengths(self.factor, columns).to(self.shift.dtype)
        return (1 - self.shift * inverse).clamp(min=0.0)


def normal_matrix(
    a: Tensor,
    scale: Tensor,
    damping: float,
    gram_of: Callable[[Tensor], Tensor],
    summed: Callable[[Tensor], Tensor] = lambda t: t,
) -> NormalMatrix:
    """AᵀA + λ (n, n) with λ = damping · `scale`; A (m, n) where `gram_of` finds AᵀA.

    AᵀA is most of the work. On CPUs it is formed and factorised in single precision, twice as fast, where its rounding is small
    beside λ; solutions are then refined with A in double precision. `summed` adds up what the ranks find with their own rows.
    """
    shift = damping * scale
    if not a.is_cpu or damping < SINGLE or a.shape[1] < SMALL or not float(scale) > 0:
        return NormalMatrix(gram_of(a), shift, torch.ones_like(scale))
    # numbers about 1, whose squares single precision can hold
    rounded = torch.mul(a, scale.rsqrt(), out=torch.empty_like(a, dtype=torch.float32))
    return NormalMatrix(gram_of(rounded), shift / scale, scale, lambda u: summed(a.T @ (a @ u)) / scale)


def shared_gram(a: Tensor) -> Tensor:
    """AᵀA (n, n) of a matrix (m, n) that all ranks hold: each multiplies a part of its rows."""
    return ranks.reduce_sum(gram(ranks.own_part(a)))


def gram(a: Tensor, block: int = 128) -> Tensor:
    """AᵀA (n, n) of A (m, n): blocks on one side of the diagonal, the others mirrored, at little more than half the work."""
    n = a.shape[1]
    if n < 2 * block:
        return a.T @ a
    out = a.new_empty(n, n)
    for i in range(0, n, block):
        j = min(i + block, n)
        row = a[:, i:j].T @ a[:, i:]
        out[i:j, i:] = row
        out[j:, i:j] = row[:, j - i :].T
    return out


def solve(gram: Tensor, shift: Tensor, rhs: Tensor) -> Tensor:
    """(G + λ)⁻¹ b by Cholesky; λ is raised tenfold until the factorisation succeeds, NaN if it never does. G is overwritten."""
    return NormalMatrix(gram, shift, torch.ones_like(shift)).solve(rhs)


def _squared_lengths(factor: Tensor, columns: Tensor) -> Tensor:
    """|L⁻¹u|² (k,) for a factor L (n, n) and columns u (n, k)."""
    half: Tensor = torch.linalg.solve_triangular(factor, columns, upper=False)
    return half.square().sum(0)


def _substitute(factor: Tensor, rhs: Tensor) -> Tensor:
    """(LLᵀ)⁻¹ b for a factor L (n, n) of any precision."""
    return torch.cholesky_solve(rhs.to(factor.dtype)[:, None], factor)[:, 0].to(rhs.dtype)


def _refine(factor: Tensor, shift: Tensor, rhs: Tensor, found: Tensor, product: Callable[[Tensor], Tensor]) -> Tensor:
    """A better solution of (G + λ) φ = b than the one `found`, by conjugate gradients preconditioned with LLᵀ ≈ G + λ."""
    residual = rhs - product(found) - shift * found
    direction, last_size = torch.zeros_like(residual), torch.ones_like(shift)
    for _ in range(REFINEMENTS):
        preconditioned = _substitute(factor, residual)
        size = residual @ preconditioned
        direction = preconditioned + size / last_size * direction
        image = product(direction) + shift * direction
        # a residual of 0 leaves the solution as it is
        length = (size / (direction @ image)).nan_to_num(0.0) * (size > 0)
        found, residual, last_size = found + length * direction, residual - length * image, size
    return found
