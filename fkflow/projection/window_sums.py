"""The sums that a population of walkers leaves for each window of imaginary time, of all ranks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fkflow.execution import ranks

#: most sums stored before neighbours are added together, which bounds the memory
MOST_SUMS = 1024


class WindowSums:
    """Rows of sums (windows, 3, groups), one for `merged` weighings: weight × energy, weight, and energy without weights."""

    def __init__(self, windows: int, groups: int) -> None:
        self.windows, self.groups = windows, groups
        #: of all ranks; `pending` are this one's that the others do not know yet
        self.rows: list[np.ndarray] = []
        #: energies of a population of fixed size without the weights of a window (groups,), which show its bias
        self.plain: list[np.ndarray] = []
        self.pending: list[np.ndarray] = []
        self.merged = 1

    def add(self, row: Tensor) -> None:
        """Add what one weighing gave on this rank (3 · windows + 1, groups of this rank), the last of it for `plain`."""
        # read once: each read waits for the device
        self.pending.append(row.cpu().numpy())
        if ranks.count() == 1:
            self.exchange()

    def exchange(self) -> None:
        """Gather the new sums of all ranks; collective."""
        for row in ranks.gather_columns(self.pending):
            self.rows.append(row[:-1].reshape(self.windows, 3, self.groups))
            self.plain.append(row[-1])
            if len(self.rows) == 2 * MOST_SUMS:
                self.rows = [a + b for a, b in zip(self.rows[::2], self.rows[1::2], strict=True)]
                self.plain = [0.5 * (a + b) for a, b in zip(self.plain[::2], self.plain[1::2], strict=True)]
                self.merged *= 2
        self.pending = []

    def of_window(self, number: int) -> np.ndarray:
        """Sums (T, 3, groups) of one window, from the time on at which the walkers had a past of its length."""
        if not self.rows:
            return np.zeros((0, 3, self.groups))
        rows = np.stack(self.rows)[:, number]
        began = np.flatnonzero(rows[:, 1, 0] > 0)
        return rows[began[0] :] if len(began) else rows[:0]

    def state_dict(self) -> dict[str, Any]:
        """Tensors and numbers for the checkpoint of a population."""
        return {
            "sums": [torch.from_numpy(row) for row in self.rows],
            "plain": [torch.from_numpy(row) for row in self.plain],
            "merged": self.merged,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` gave, which may be among other things."""
        self.rows, self.plain = ([row.numpy() for row in state[name]] for name in ("sums", "plain"))
        self.merged = state["merged"]
