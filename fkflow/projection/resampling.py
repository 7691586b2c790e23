"""Resampling of weighted walkers within groups, and how many independent families of them are left."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from fkflow.execution import ranks

#: share of effective walkers below which a group is resampled
EVEN = 0.5


def shares(log_weight: Tensor) -> Tensor:
    """This rank's shares (B,) of the weight of the walkers of all ranks, from the logarithms (B,) of its own weights."""
    whole = ranks.gather(log_weight.logsumexp(0, keepdim=True))
    return torch.softmax(log_weight, 0) * ranks.own_part(torch.softmax(whole, 0))


def resample(log_weight: Tensor, groups: int, generator: torch.Generator) -> tuple[Tensor, Tensor] | None:
    """Systematic resampling of each group whose weights are uneven: its walkers then have equal weights; None if none is.

    Walker b with the log weight b of (B,) belongs to group b mod `groups`, which divides B. Returns the numbers of the parents
    (B,) and the new log weights (B,).
    """
    weights = log_weight.view(-1, groups)
    share = torch.softmax(weights, 0)
    size = len(share)
    uneven = 1 / share.square().sum(0) < EVEN * size
    if not bool(uneven.any()):
        return None
    options: dict[str, Any] = {"generator": generator, "device": share.device, "dtype": share.dtype}
    teeth = (torch.arange(size, device=share.device)[:, None] + torch.rand(1, groups, **options)) / size
    picked = torch.searchsorted(share.cumsum(0).T.contiguous(), teeth.T.contiguous()).T.clamp(max=size - 1)
    unchanged = torch.arange(size, device=share.device)[:, None].expand(size, groups)
    parents = torch.where(uneven, picked, unchanged)
    parents = (parents * groups + torch.arange(groups, device=share.device)).flatten()
    mean = torch.logsumexp(weights, 0) - math.log(size)
    return parents, torch.where(uneven, mean, weights).flatten()


class Families:
    """The effective number of families of walkers over windows; all descendants of one walker at its beginning are one."""

    def __init__(self, log_weight: Tensor) -> None:
        #: sum over the windows that ended, and how many did
        self.families, self.judged = 0.0, 0
        self._begin(log_weight)

    def _begin(self, log_weight: Tensor) -> None:
        self.ancestor = torch.arange(len(log_weight), device=log_weight.device)
        self.ancestral_weight = log_weight.clone()

    def close_window(self, log_weight: Tensor) -> None:
        """Count the families of the window that ends with these log weights (B,), and begin the next one."""
        self.families += self.count(log_weight)
        self.judged += 1
        self._begin(log_weight)

    def count(self, log_weight: Tensor) -> float:
        """Those of the window under way, of all ranks."""
        weight = shares(log_weight - self.ancestral_weight)
        # families do not span ranks
        found = torch.zeros_like(weight).index_add(0, self.ancestor, weight)
        return float(1 / ranks.reduce_sum(found.square().sum()))

    def mean(self, log_weight: Tensor) -> float:
        """The mean over the windows that ended; that of the first one while it is under way."""
        return self.families / self.judged if self.judged else self.count(log_weight)

    def copy(self, parents: Tensor) -> None:
        """Give each walker the ancestor of its parent, a number of a walker (B,)."""
        self.ancestor, self.ancestral_weight = self.ancestor[parents], self.ancestral_weight[parents]

    def state_dict(self) -> dict[str, Any]:
        """Tensors and numbers for the checkpoint of a population."""
        return dict(vars(self))

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` gave, which may be among other things."""
        device = self.ancestor.device
        self.ancestor, self.ancestral_weight = (state[name].to(device) for name in ("ancestor", "ancestral_weight"))
        self.families, self.judged = state["families"], state["judged"]
