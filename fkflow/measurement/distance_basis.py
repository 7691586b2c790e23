"""Functions of distances that show slow modes of charges and clusters: ψ does not turn, nor do the modes that it may lack."""

from __future__ import annotations

import torch
from torch import Tensor

from fkflow.hamiltonian.charges import PointCharges
from fkflow.hamiltonian.geometry import pairs
from fkflow.hamiltonian.masses import user_masses
from fkflow.hamiltonian.species import groups_of
from fkflow.hamiltonian.system import System

#: functions that rise at some distance for each kind of pair, and where: between these quantiles of its distances
RISING, LOWEST, HIGHEST = 6, 0.05, 0.95
#: exponent of a growing and a falling function of each kind, by the standard deviation of its distances
GROWTH = 0.5


class DistanceBasis:
    """1, and for each kind of pair sums over its pairs of r, tanh((r − d)/w) for some d, and e^(±r/2w), w a deviation of r.

    Walkers x (B, N, D), in coordinates of unit mass, give the scales. Sums over the pairs of a kind are the same after any
    exchange of identical particles.
    """

    def __init__(self, charges: PointCharges, x: Tensor) -> None:
        bodies, n = charges.bodies, charges.moving
        new = x.new_tensor
        self.roots = new([body.mass for body in bodies[:n]]).sqrt()[:, None]
        self.places = new([body.place for body in bodies[n:]]).view(-1, charges.dimensions)
        self.ends = torch.tensor([pair[:2] for pair in charges.pairs], device=x.device).mT.contiguous()
        self._set_kinds(x, torch.tensor([pair.kind for pair in charges.pairs], device=x.device))

    def _set_kinds(self, x: Tensor, kinds: Tensor) -> None:
        """The kinds of the pairs (pairs,) and the scales of their functions at walkers x (B, N, D)."""
        #: (pairs, kinds) which kind a pair is of
        self.of_kind = torch.nn.functional.one_hot(kinds).to(x)
        r = self._distances(x)[0]
        found = []
        for kind in range(self.of_kind.shape[1]):
            own = r[:, self.of_kind[:, kind] > 0].flatten().sort().values
            places = torch.linspace(LOWEST, HIGHEST, RISING, device=x.device).mul(len(own) - 1).long()
            found.append(torch.cat([own.mean()[None], own.std()[None], own[places]]))
        #: (pairs, 2 + RISING) mean and deviation of the distances of the kind of a pair, and where its functions rise
        self.scales = torch.stack(found)[kinds]

    def _distances(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Distances (B, pairs) and the directions (B, pairs, D) along which they grow, at x (B, N, D)."""
        places = torch.cat([x / self.roots, self.places.expand(len(x), -1, -1)], 1)
        apart = places[:, self.ends[0]] - places[:, self.ends[1]]
        r = apart.norm(dim=-1)
        return r, apart / r.clamp_min(1e-300)[..., None]

    def evaluate(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Values (B, n) and gradients (B, N·D, n) at x (B, N, D)."""
        r, direction = self._distances(x)
        mean, deviation, rise = self.scales[:, 0], self.scales[:, 1], self.scales[:, 2:]
        y = (r - mean) / deviation
        tanh = ((r[..., None] - rise) / deviation[:, None]).tanh()
        growing = torch.stack([(GROWTH * y).exp(), (-GROWTH * y).exp()], -1)
        values = torch.cat([y[..., None], tanh, growing], -1)
        signs = x.new_tensor([GROWTH, -GROWTH])
        slopes = torch.cat([torch.ones_like(y)[..., None], 1 - tanh.square(), signs * growing], -1)
        slopes = slopes / deviation[:, None]
        along = direction[..., None] * slopes[:, :, None]
        # (B, pairs, D, kinds, functions): a pair has those of its own kind alone
        along = along.unsqueeze(3) * self.of_kind[:, None, :, None]
        shape = (len(x), x.shape[1] + len(self.places), x.shape[2], *along.shape[3:])
        gradients = x.new_zeros(shape)
        gradients.index_add_(1, self.ends[0], along).index_add_(1, self.ends[1], along, alpha=-1.0)
        gradients = gradients[:, : x.shape[1]] / self.roots[..., None, None]
        of_kinds = torch.einsum("bpf,pk->bkf", values, self.of_kind).flatten(1)
        one, zero = torch.ones_like(of_kinds[:, :1]), x.new_zeros(len(x), x[0].numel(), 1)
        return torch.cat([one, of_kinds], 1), torch.cat([zero, gradients.flatten(3).flatten(1, 2)], 2)


class FreeDistances(DistanceBasis):
    """The same of particles free in space; a kind of pair is two species."""

    def __init__(self, system: System, x: Tensor) -> None:
        masses = x.new_tensor(user_masses(system))
        self.roots, self.places = (masses / masses.min()).sqrt()[:, None], x.new_zeros(0, x.shape[2])
        self.ends = torch.stack(pairs(x.shape[1], x.device))
        species = {i: number for number, group in enumerate(groups_of(system)) for i in group}
        known: dict[tuple[int, int], int] = {}
        kinds = [known.setdefault((species[i], species[j]), len(known)) for i, j in self.ends.T.tolist()]
        self._set_kinds(x, torch.tensor(kinds, device=x.device))
