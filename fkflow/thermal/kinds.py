"""Bodies of several kinds: masses and places of each, and the differences of pairs of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from fkflow.hamiltonian.geometry import pairs


@dataclass(frozen=True)
class Kinds:
    """The kind of each of n bodies, kinds in their order; `roots` (n,) of the masses; `places` (n, D) of the origins of y.

    Coordinates y are those of unit mass, in natural units along the axes: a body is at (y + place)/root in space.
    """

    of_body: tuple[int, ...]
    roots: Tensor
    places: Tensor

    @property
    def counts(self) -> tuple[int, ...]:
        """The number of bodies of each kind."""
        return tuple(self.of_body.count(kind) for kind in range(self.of_body[-1] + 1))

    def bodies(self) -> Tensor:
        """One-hot rows (n, kinds)."""
        return torch.nn.functional.one_hot(torch.tensor(self.of_body)).double()

    def of_pairs(self) -> Tensor:
        """One-hot rows (pairs, ·) of the kinds of both bodies of a pair."""
        rows = self.bodies()
        first, second = pairs(len(rows), rows.device)
        upper = torch.triu_indices(rows.shape[1], rows.shape[1])
        both = rows[first][:, :, None] * rows[second][:, None]
        return both[:, upper[0], upper[1]]

    def same(self) -> Tensor:
        """Whether two bodies are of one kind (n, n)."""
        rows = self.bodies()
        return rows @ rows.T > 0


def differences(bodies: int, kinds: Kinds | None) -> Tensor:
    """(pairs, n): rows that give √(2μ) r of a pair with the reduced mass μ and the distance vector r in space.

    Their squares have the sum 2. For one mass they are y_i − y_j.
    """
    first, second = pairs(bodies, torch.device("cpu"))
    rows, number = torch.zeros(len(first), bodies, dtype=torch.float64), torch.arange(len(first))
    inverse = torch.ones(bodies, dtype=torch.float64) if kinds is None else 1 / kinds.roots
    size = math.sqrt(2) / (inverse[first].square() + inverse[second].square()).sqrt()
    rows[number, first], rows[number, second] = size * inverse[first], -size * inverse[second]
    return rows


def apart(rows: Tensor, kinds: Kinds | None, y: Tensor) -> Tensor:
    """√(2μ) r (…, pairs, D) of all pairs for y (…, n, D) and the rows of `differences`."""
    found: Tensor = rows @ (y if kinds is None else y + kinds.places)
    return found
