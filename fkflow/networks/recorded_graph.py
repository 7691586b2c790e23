"""A network's operations, recorded once and run again: the same bits without Python between them.

For small batches most of the time goes into launching operations, and two thirds of that is Python. A recording by
PyTorch's tracer, run by its plain interpreter, which changes nothing in it, takes half the time, and lets other threads run.
Nothing depends on it: what cannot be recorded, or does not give the same bits, is computed as before.
"""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from fkflow.networks.stored_numbers import in_place, places
from fkflow.networks.substitution import substitute

log = logging.getLogger("fkflow")

#: calls after which a recording is made, which costs as much as it spares in about thirty
WORTH = 24
#: configurations that it is made with, and that it is tried with: it has to be right for any number of them
FEW, TRIED = 2, 64

Method = Callable[[Tensor], Any]


class Recording:
    """What a method of a network did: a function of x and of the tensors that the network holds, whatever their values."""

    def __init__(self, net: nn.Module, name: str, x: Tensor) -> None:
        #: where everything is that the function takes or has for a constant
        self._held = [place for module in net.modules() for place in places(module)]
        found = {id(tensor): tensor for _, _, tensor in self._held if isinstance(tensor, Tensor)}
        self._tensors = list(found.values())

        # what is recorded keeps the function, which must not keep the network
        subject = [net]

        def method(y: Tensor, *tensors: Tensor) -> Any:
            return getattr(substitute(subject[0], dict(zip(found, tensors, strict=True))), name)(y)

        # without this interpreter later calls would be optimised, which changes last bits from the third call on
        before = torch._C._jit_set_profiling_mode(False)
        try:
            with warnings.catch_warnings(), torch.no_grad():
                # that tracing is old, and that shapes might be taken for constants. It also takes constants that agree to
                # some nine digits for one. Hence `agrees`
                warnings.simplefilter("ignore")
                example = (x[:FEW], *(tensor.detach() for tensor in self._tensors))
                self._function = torch.jit.trace(method, example, check_trace=False)
                self._function(*example)
        finally:
            torch._C._jit_set_profiling_mode(before)
            subject.clear()

    def __call__(self, x: Tensor) -> Any:
        with torch.no_grad():
            return self._function(x, *self._tensors)

    @property
    def holds(self) -> bool:
        """Whether the network still has these tensors and these numbers."""
        return in_place(self._held)

    def agrees(self, method: Method, x: Tensor) -> bool:
        """Whether it gives the same bits as the method itself."""
        pairs = zip(_parts(self(x)), _parts(method(x)), strict=True)
        return all(torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in pairs)


#: per network and what is asked of it: how often it was, the recording, or None where there can be none
_known: WeakKeyDictionary[nn.Module, dict[object, int | Recording | None]] = WeakKeyDictionary()
_recording = threading.Lock()


def run_recorded(net: nn.Module, method: Method, x: Tensor) -> Any:
    """method(x), a bound method of `net` that depends on nothing but x (B, …) and what `net` holds, or a recording of it.

    It must not branch on values, nor use automatic differentiation: neither is seen by the tracer.
    """
    known = _known.setdefault(net, {})
    kind = method.__name__, x.device, x.dtype
    found = known.get(kind, 0)
    if isinstance(found, Recording):
        if found.holds:
            return found(x)
        found = 0
    if found is None:
        return method(x)
    known[kind] = found + 1
    if found + 1 >= WORTH and len(x) > FEW and _recording.acquire(blocking=False):
        try:
            known[kind] = _recorded(net, method, x)
        finally:
            _recording.release()
    return method(x)


def _recorded(net: nn.Module, method: Method, x: Tensor) -> Recording | None:
    if torch.jit.is_tracing():
        return None
    try:
        recording = Recording(net, method.__name__, x)
        if recording.agrees(method, x[:TRIED]):
            return recording
        log.debug("%s of a %s gives other bits when it is run again", method.__name__, type(net).__name__)
    except (RuntimeError, AttributeError, TypeError, ValueError) as error:
        log.debug("%s of a %s cannot be recorded: %s", method.__name__, type(net).__name__, error)
    return None


def _parts(out: Any) -> tuple[Tensor, ...]:
    return out if isinstance(out, tuple) else (out,)
