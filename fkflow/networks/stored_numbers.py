"""Plain numbers that a network computes with and that its state must hold, or its weights mean another function elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn


class StoredNumbers(nn.Module):
    """A module whose state also holds its attributes `numbers`, floats, as tensors of their own; loading sets them.

    They come from a landscape, which another machine or another version may see a little differently. A buffer would do, but
    to read it from a device is to wait for the device.
    """

    numbers: ClassVar[tuple[str, ...]] = ()

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        for name in self.numbers:
            destination[prefix + name] = torch.tensor(getattr(self, name), dtype=torch.float64, device="cpu")

    def _load_from_state_dict(
        self,
        state_dict: Mapping[str, Any],
        prefix: str,
        local_metadata: Mapping[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )
        for name in self.numbers:
            key = prefix + name
            if key in unexpected_keys:
                unexpected_keys.remove(key)
            if key in state_dict:
                setattr(self, name, float(state_dict[key]))
            else:
                missing_keys.append(key)


#: a dictionary, a key in it, and what was found there
Place = tuple[dict[str, Any], str, Any]


def places(module: nn.Module) -> list[Place]:
    """Where a module, without those inside it, has tensors, parts and the numbers it keeps. They do not keep the module."""
    found: list[Place] = []
    for kind in (module._parameters, module._buffers, module._modules):
        found += [(kind, key, value) for key, value in kind.items()]
    if isinstance(module, StoredNumbers):
        found += [(vars(module), key, getattr(module, key)) for key in module.numbers]
    return found


def in_place(found: Iterable[Place]) -> bool:
    """Whether the same tensors, parts and numbers are still there."""
    return all(where.get(key) is value for where, key, value in found)


def stored_numbers(net: nn.Module) -> dict[str, Tensor]:
    """What `StoredNumbers` adds to the state of `net`, by key."""
    keys = {
        f"{path}.{name}" if path else name
        for path, module in net.named_modules()
        if isinstance(module, StoredNumbers)
        for name in module.numbers
    }
    return {key: value for key, value in net.state_dict().items() if key in keys}
