"""Potentials of tables: values on a grid of one to three coordinates, interpolated with two continuous derivatives."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

#: fewest points of an axis, and most
FEWEST, MOST = 4, 5000
#: coordinates of a table
MOST_COORDINATES = 3
#: shares of the values asked for that lay outside of tables which do not say how they go on; None: such a value is an error
_seen: list[float] | None = None


class Table:
    """Energies V at the points r (n,), or V (n, m, …) on the grid of two or three axes ((n,), (m,), …), as a function.

    ``Table(r, V)(distances)`` interpolates by cubic splines ("not a knot" at the ends; tensor products of them for a grid),
    which have two continuous derivatives; torch differentiates them. Points need no even spacing.

    `outside` says how V goes on beyond the ends: "linear" with the slope at the end, a number that V is there (such as 0.0, or
    float("inf") for a wall), or a pair of these for the lower and the upper ends. Left out, a value outside is an error; within
    a run, where walkers may stray, V goes on linearly, and a result with many walkers there is doubtful.

    Raises ValueError for axes that do not increase, values that are not finite, or too few points.
    """

    def __init__(self, r: Any, V: Any, outside: str | float | Sequence[str | float] | None = None) -> None:  # noqa: N803
        values = np.asarray(V, dtype=np.float64)
        axes = [np.asarray(axis, dtype=np.float64) for axis in (r if values.ndim > 1 else [r])]
        _check(axes, values)
        self.axes = tuple(axes)
        self.outside = _ends(outside)
        self._knots = [torch.from_numpy(_knots(axis)) for axis in axes]
        for number, (axis, knots) in enumerate(zip(axes, self._knots, strict=True)):
            columns = np.moveaxis(values, number, 0)
            solved = np.linalg.solve(_collocation(axis, knots), columns.reshape(len(axis), -1))
            values = np.moveaxis(solved.reshape(columns.shape), 0, number)
        self._coefficients = torch.from_numpy(np.ascontiguousarray(values))

    @classmethod
    def read(cls, path: str | Path, outside: str | float | Sequence[str | float] | None = None) -> Table:
        """The table in a CSV file: a line a point, its one to three coordinates and V, in any order on a full grid.

        A first line that is no numbers is a header; lines that begin with # are left out. Raises ValueError, naming the file.
        """
        try:
            text = Path(path).expanduser().read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"{path} cannot be read: {getattr(error, 'strerror', None) or 'it is no text'}") from None
        return cls.parse(text, str(path), outside)

    @classmethod
    def parse(cls, text: str, name: str, outside: str | float | Sequence[str | float] | None = None) -> Table:
        """The table in the text of a CSV file that messages call `name`."""
        rows = _rows(text, name)
        axes = [np.unique(column) for column in rows[:, :-1].T]
        shape = tuple(map(len, axes))
        places = tuple(np.searchsorted(axis, column) for axis, column in zip(axes, rows[:, :-1].T, strict=True))
        values = np.full(shape, np.nan)
        values[places] = rows[:, -1]
        if len(rows) != values.size or np.isnan(values).any():
            raise ValueError(
                f"{name} has {len(rows)} points, which are not the full grid of {' x '.join(map(str, shape))}"
            )
        try:
            return cls(axes[0] if len(axes) == 1 else axes, values, outside)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None

    def __call__(self, *coordinates: Any) -> Any:
        """V where the coordinates are, one array or tensor an axis, of one shape; arrays give arrays, tensors give tensors.

        Raises ValueError outside of the table unless it says how it goes on.
        """
        if len(coordinates) != len(self.axes):
            raise ValueError(f"the table has {len(self.axes)} coordinates, {len(coordinates)} were given")
        if isinstance(coordinates[0], Tensor):
            return self._value(coordinates)
        found = self._value([torch.as_tensor(np.asarray(c, dtype=np.float64)) for c in coordinates])
        return found.numpy() if found.ndim else float(found)

    def _value(self, coordinates: Sequence[Tensor]) -> Tensor:
        low = [c < float(axis[0]) for c, axis in zip(coordinates, self.axes, strict=True)]
        high = [c > float(axis[-1]) for c, axis in zip(coordinates, self.axes, strict=True)]
        self._judge(coordinates, low, high)
        like = coordinates[0]
        places: list[Tensor] = []
        weights: list[list[Tensor]] = []
        for c, knots in zip(coordinates, self._knots, strict=True):
            first, basis = _basis(knots.to(like.device), c.to(torch.float64))
            places.append(first)
            weights.append(basis)
        value = _contract(self._coefficients.to(like.device), places, weights)
        for sides, rule in ((low, self.outside[0]), (high, self.outside[1])):
            if isinstance(rule, float):
                for side in sides:
                    value = torch.where(side, rule, value)
        return value.to(like.dtype) if like.is_floating_point() else value

    def _judge(self, coordinates: Sequence[Tensor], low: Sequence[Tensor], high: Sequence[Tensor]) -> None:
        """Raise ValueError for values outside where the table does not say how it goes on, or keep their share."""
        for c, axis, *sides in zip(coordinates, self.axes, low, high, strict=True):
            lost = [side for side, rule in zip(sides, self.outside, strict=True) if rule is None]
            if not lost:
                continue
            away = torch.stack(lost).any(0)
            if _seen is not None:
                _seen.append(float(away.double().mean()) if away.numel() else 0.0)
            elif bool(away.any()):
                raise ValueError(
                    f"the table ends at {axis[0]:g} and {axis[-1]:g}, and V is asked for at {float(c[away].flatten()[0]):g}: "
                    'Table(..., outside="linear"), or a number, says how it goes on'
                )


@contextmanager
def watch() -> Iterator[list[float]]:
    """Within it tables that do not say how they go on do so linearly; the list gets the share outside of each call."""
    global _seen
    before, _seen = _seen, []
    try:
        yield _seen
    finally:
        _seen = before


def _check(axes: Sequence[np.ndarray], values: np.ndarray) -> None:
    if not 1 <= len(axes) <= MOST_COORDINATES:
        raise ValueError(f"a table has one to {MOST_COORDINATES} coordinates, not {len(axes)}")
    if values.shape != tuple(axis.size for axis in axes) or any(axis.ndim != 1 for axis in axes):
        shapes = ", ".join(str(axis.shape) for axis in axes)
        raise ValueError(f"V has the shape {values.shape}, which does not suit points of the shape {shapes}")
    for axis in axes:
        if not FEWEST <= axis.size <= MOST:
            raise ValueError(f"an axis has {axis.size} points: from {FEWEST} to {MOST} are needed")
        if not (np.isfinite(axis).all() and (np.diff(axis) > 0).all()):
            raise ValueError("the points of an axis must be finite and increase")
    if not np.isfinite(values).all():
        raise ValueError(
            "V is not finite at every point: leave such points out, and say outside=float('inf') for a wall"
        )


def _ends(outside: Any) -> tuple[str | float | None, str | float | None]:
    both = tuple(outside) if isinstance(outside, list | tuple) else (outside, outside)
    if len(both) != 2:
        raise ValueError(
            f"outside = {outside!r} is not allowed: it must be one rule, or two for the lower and the upper end"
        )
    for rule in both:
        number = isinstance(rule, int | float) and not isinstance(rule, bool) and rule == rule
        if not (rule is None or rule == "linear" or number):
            raise ValueError(f'outside = {rule!r} is not allowed: it must be "linear" or a number')
    low, high = (float(rule) if isinstance(rule, int | float) else rule for rule in both)
    return low, high


def _rows(text: str, name: str) -> np.ndarray:
    """The numbers (points, coordinates + 1) of a CSV text."""
    sample = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    separator = next((s for s in ",;\t" if sample and s in sample[-1]), None)
    rows = []
    for number, line in enumerate(sample):
        cells = next(csv.reader([line], delimiter=separator)) if separator else line.split()
        try:
            rows.append([float(cell) for cell in cells])
        except ValueError:
            if number:
                raise ValueError(f"{name} has a line that is no numbers: {line.strip()[:60]!r}") from None
    if not rows or len({len(row) for row in rows}) > 1 or not 2 <= len(rows[0]) <= MOST_COORDINATES + 1:
        raise ValueError(f"{name} must have the same two to four numbers in each line: one to three coordinates, and V")
    return np.array(rows)


def _knots(axis: np.ndarray) -> np.ndarray:
    """Knots of the cubic spline through the points of an axis; the second and the last but one are none."""
    return np.concatenate([[axis[0]] * 4, axis[2:-2], [axis[-1]] * 4])


def _collocation(axis: np.ndarray, knots: Tensor) -> np.ndarray:
    """(n, n): the B-splines at the points of the axis."""
    first, basis = _basis(knots, torch.from_numpy(axis))
    matrix = np.zeros((len(axis), len(axis)))
    for offset, weight in enumerate(basis):
        matrix[np.arange(len(axis)), (first + offset).numpy()] = weight.numpy()
    return matrix


def _basis(knots: Tensor, x: Tensor) -> tuple[Tensor, list[Tensor]]:
    """The first of the four cubic B-splines that are not 0 at x (…), and their values (…); linear beyond the ends.

    de Boor, A Practical Guide to Splines, chapter X.
    """
    inside = x.detach().clamp(float(knots[0]), float(knots[-1]))
    inside = torch.where(inside == x.detach(), x, inside)
    span = torch.searchsorted(knots[4:-4].contiguous(), inside.detach().contiguous(), right=True) + 3
    left = [inside - knots[span + 1 - j] for j in range(1, 4)]
    right = [knots[span + j] - inside for j in range(1, 4)]
    basis, lower = [torch.ones_like(inside)], []
    for degree in range(1, 4):
        lower, raised, saved = basis, [], torch.zeros_like(inside)
        for r in range(degree):
            share = basis[r] / (right[r] + left[degree - r - 1])
            raised.append(saved + right[r] * share)
            saved = left[degree - r - 1] * share
        basis = [*raised, saved]
    # derivatives, for the straight lines beyond the ends
    beyond = x - inside
    steps = [3 * lower[r] / (knots[span + r + 1] - knots[span + r - 2]) for r in range(3)]
    zero = torch.zeros_like(inside)
    slopes = [a - b for a, b in zip([zero, *steps], [*steps, zero], strict=True)]
    return span - 3, [value + beyond * slope for value, slope in zip(basis, slopes, strict=True)]


def _contract(coefficients: Tensor, places: Sequence[Tensor], weights: Sequence[Sequence[Tensor]]) -> Tensor:
    """Σ of the coefficients about `places` with products of the `weights` of all axes."""
    flat, strides = (
        coefficients.reshape(-1),
        [int(np.prod(coefficients.shape[axis + 1 :])) for axis in range(len(places))],
    )

    def over(axis: int, index: Tensor | int) -> Tensor:
        total: Tensor | None = None
        for offset, weight in enumerate(weights[axis]):
            at = index + (places[axis] + offset) * strides[axis]
            part = weight * (flat[at] if axis == len(places) - 1 else over(axis + 1, at))
            total = part if total is None else total + part
        assert total is not None
        return total

    return over(0, 0)
