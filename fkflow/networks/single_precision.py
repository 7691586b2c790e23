"""log ψ and drift in single precision, for what needs no more: where walkers are to go, and whether they do.

Layers of single precision take half the time. A move that is judged by log ψ to six digits leaves a density that is ψ² to six
digits. Differences of log ψ over short paths and local energies, which divide by small numbers, need double precision.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from fkflow.execution import chunks
from fkflow.networks.log_psi import LogPsi
from fkflow.networks.stored_numbers import Place, in_place, places
from fkflow.networks.substitution import substitute


class Rounded:
    """A copy of a network whose tensors are rounded to single precision, but for those that its modules call `exact`."""

    def __init__(self, psi: LogPsi) -> None:
        #: where everything is that the copy shares or has rounded
        self._held: list[Place] = []
        self._sources: list[Tensor] = []
        for module in psi.modules():
            found, exact = places(module), getattr(module, "exact", ())
            self._held += found
            self._sources += [
                tensor
                for _, key, tensor in found
                if isinstance(tensor, Tensor) and tensor.dtype == torch.float64 and key not in exact
            ]
        self._rounded = [tensor.detach().float() for tensor in self._sources]
        self._versions = [tensor._version for tensor in self._sources]
        self.copy = substitute(psi, dict(zip(map(id, self._sources), self._rounded, strict=True)))

    @property
    def holds(self) -> bool:
        """Whether the network still has these tensors and these numbers."""
        return in_place(self._held)

    def follow(self) -> None:
        """Round again what has changed since."""
        versions = [tensor._version for tensor in self._sources]
        if versions != self._versions:
            with torch.no_grad():
                torch._foreach_copy_(self._rounded, self._sources)
            self._versions = versions


_known: WeakKeyDictionary[nn.Module, Rounded] = WeakKeyDictionary()


def value_and_drift(psi: LogPsi, x: Tensor) -> tuple[Tensor, Tensor]:
    """log ψ (B,) and its gradient (B, N, D) at x (B, N, D), to single precision where psi writes them out; by chunks."""
    if not psi.analytic:
        return chunks.value_and_drift(psi, x)
    found = _known.get(psi)
    if found is None or not found.holds:
        found = _known[psi] = Rounded(psi)
    found.follow()
    found.copy.chunk = psi.chunk
    value, drift = chunks.value_and_drift(found.copy, x)
    # where memory ran out
    psi.chunk = found.copy.chunk
    return value.to(x.dtype), drift.to(x.dtype)
