"""The factor of ψ that jumps with V along the axes: tables of the state along a coordinate (`hamiltonian.line_states`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from fkflow.hamiltonian.line_states import LineState
from fkflow.networks.parts import TermOfCoordinates


class LineFactor(TermOfCoordinates):
    """Σ log φ (B,) of single coordinates of y (D, N, B), from tables: pieces of fifth order, twice differentiable within.

    The tables are in the solver's coordinates x = `origin` (N, D) + `length` · y. The second derivative jumps between two
    pieces where V does, and log φ is linear beyond the table.
    """

    def __init__(self, lines: Sequence[LineState], origin: Tensor, length: float) -> None:
        super().__init__()
        #: particle, or None for all of them, and axis of each table
        self.places = [(line.particle, line.axis) for line in lines]
        names = []
        for number, line in enumerate(lines):
            nodes = (line.nodes - origin[line.particle or 0, line.axis]) / length
            self.register_buffer(f"nodes{number}", nodes)
            self.register_buffer(f"coefficients{number}", line.coefficients.clone())
            names += [f"nodes{number}", f"coefficients{number}"]
        #: a jump stays where that of V is
        self.exact = tuple(names)

    def value(self, *inputs: Any) -> Tensor:
        (y,) = inputs
        total = y.new_zeros(y.shape[-1])
        for number in range(len(self.places)):
            total = total + self._table(y, number, derivatives=False)[0].sum(0)
        return total

    def evaluate(self, *inputs: Any, derivatives: bool) -> tuple[Tensor, Any]:
        (y,) = inputs
        if not derivatives:
            return self.value(y), None
        total, gradient, laplacian = y.new_zeros(y.shape[-1]), torch.zeros_like(y), y.new_zeros(y.shape[-1])
        for number, (particle, axis) in enumerate(self.places):
            value, slope, curvature = self._table(y, number, derivatives=True)
            total += value.sum(0)
            laplacian += curvature.sum(0)
            if particle is None:
                gradient[axis] += slope
            else:
                gradient[axis, particle] += slope[0]
        return total, (gradient, laplacian)

    def _table(self, y: Tensor, number: int, *, derivatives: bool) -> tuple[Tensor, ...]:
        """log φ (n, B) and, with `derivatives`, its first and second derivative."""
        particle, axis = self.places[number]
        nodes, coefficients = getattr(self, f"nodes{number}"), getattr(self, f"coefficients{number}")
        at = y[axis] if particle is None else y[axis, particle : particle + 1]
        at = at.to(nodes.dtype)
        within = at.clamp(nodes[0], nodes[-1])
        piece = torch.searchsorted(nodes, within.detach().contiguous(), right=True).sub(1).clamp(0, len(nodes) - 2)
        left, right = nodes[piece], nodes[piece + 1]
        width = right - left
        z = (within - left) / width
        c = coefficients.index_select(0, piece.flatten()).view(*piece.shape, 6).unbind(-1)
        value, slope = c[5], 5 * c[5]
        for power in range(4, -1, -1):
            value = torch.addcmul(c[power], value, z)
            if power:
                slope = torch.addcmul(power * c[power], slope, z)
        slope = slope / width
        beyond = at - within
        value = value + slope.detach() * beyond
        if not derivatives:
            return (value,)
        curvature = 20 * c[5]
        for power in range(4, 1, -1):
            curvature = torch.addcmul(power * (power - 1) * c[power], curvature, z)
        return value, slope, (curvature / width.square()).where(beyond == 0, 0.0)
