"""A module with other tensors in the place of its own, which leaves the module itself alone."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TypeVar

from torch import Tensor, nn

Module = TypeVar("Module", bound=nn.Module)


def substitute(module: Module, instead: Mapping[int, Tensor]) -> Module:
    """A module that shares everything with another one but the parameters and buffers whose ids are among `instead`.

    Unlike functional_call, that leaves the module alone: threads may share it.
    """
    found = copy.copy(module)
    # assigned as plain attributes they would have to be parameters
    for kind in ("_parameters", "_buffers"):
        own = getattr(module, kind)
        vars(found)[kind] = {k: t if t is None else instead.get(id(t), t) for k, t in own.items()}
    vars(found)["_modules"] = {k: m if m is None else substitute(m, instead) for k, m in module._modules.items()}
    return found
