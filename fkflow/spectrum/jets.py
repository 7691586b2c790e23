"""Values of functions with their gradients and Laplacians, carried forward through arithmetic."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


class Jet:
    """Functions of a configuration: `value` (B, …), `gradient` (d, B, …) and `laplacian` (B, …) by all d = N·D coordinates.

    The trailing axes count functions. Sums, products and elementwise functions of jets are jets.
    """

    __slots__ = ("value", "gradient", "laplacian")

    def __init__(self, value: Tensor, gradient: Tensor, laplacian: Tensor) -> None:
        self.value, self.gradient, self.laplacian = value, gradient, laplacian

    def __add__(self, other: Jet | Tensor | float) -> Jet:
        if not isinstance(other, Jet):
            return Jet(self.value + other, self.gradient, self.laplacian)
        return Jet(self.value + other.value, self.gradient + other.gradient, self.laplacian + other.laplacian)

    def __sub__(self, other: Jet | Tensor | float) -> Jet:
        return self + (other * -1.0 if isinstance(other, Jet) else -other)

    def __mul__(self, other: Jet | Tensor | float) -> Jet:
        if not isinstance(other, Jet):
            return Jet(self.value * other, self.gradient * other, self.laplacian * other)
        a, b = self, other
        cross = (a.gradient * b.gradient).sum(0)
        return Jet(
            a.value * b.value,
            a.gradient * b.value + b.gradient * a.value,
            a.laplacian * b.value + a.value * b.laplacian + 2 * cross,
        )

    def __matmul__(self, weights: Tensor) -> Jet:
        """Linear combinations of the functions on the last axis."""
        return Jet(self.value @ weights, self.gradient @ weights, self.laplacian @ weights)

    def map(self, value: Tensor, first: Tensor, second: Tensor) -> Jet:
        """An elementwise function with its `value` and first and second derivatives there."""
        return Jet(value, self.gradient * first, self.laplacian * first + self.gradient.square().sum(0) * second)

    def tanh(self) -> Jet:
        """tanh of each function."""
        t = self.value.tanh()
        slope = 1 - t.square()
        return self.map(t, slope, -2 * t * slope)

    def exp(self) -> Jet:
        """The exponential of each function."""
        e = self.value.exp()
        return self.map(e, e, e)

    def cos(self) -> Jet:
        """The cosine of each function."""
        c = self.value.cos()
        return self.map(c, -self.value.sin(), -c)

    def sin(self) -> Jet:
        """The sine of each function."""
        s = self.value.sin()
        return self.map(s, self.value.cos(), -s)

    def sqrt(self) -> Jet:
        """The square root of each (positive) function."""
        root = self.value.sqrt()
        return self.map(root, 0.5 / root, -0.25 / root**3)

    def reciprocal(self) -> Jet:
        """One divided by each function."""
        r = 1 / self.value
        return self.map(r, -r.square(), 2 * r**3)

    def log1p(self) -> Jet:
        """log(1 + f) of each function."""
        r = 1 / (1 + self.value)
        return self.map(self.value.log1p(), r, -r.square())

    def each(self, operation: Callable[[Tensor], Tensor]) -> Jet:
        """A linear operation on the trailing axes, such as a selection or a sum."""
        return Jet(operation(self.value), operation(self.gradient), operation(self.laplacian))

    def flat(self) -> Jet:
        """The values alone: no gradient is carried any further, and the Laplacian means nothing."""
        return Jet(self.value, self.gradient[:0], self.laplacian)

    def sum(self, axis: int = -1) -> Jet:
        """The sum over a trailing axis, which is counted from the end."""
        return self.each(lambda t: t.sum(axis))

    def __getitem__(self, place: int | slice | Tensor) -> Jet:
        """Functions of the last axis."""
        return self.each(lambda t: t[..., place])


def coordinates(x: Tensor) -> Jet:
    """The coordinates of configurations x (B, N, D), with value (B, N, D)."""
    batch, n, dim = x.shape
    gradient = torch.eye(n * dim, dtype=x.dtype, device=x.device).reshape(n * dim, 1, n, dim)
    return Jet(x, gradient.expand(-1, batch, -1, -1), torch.zeros_like(x))


def join(jets: list[Jet]) -> Jet:
    """Functions of several jets side by side on the last axis."""
    return Jet(*(torch.cat([getattr(jet, name) for jet in jets], -1) for name in Jet.__slots__))


def stack(jets: list[Jet]) -> Jet:
    """Jets as the functions of a new last axis."""
    return Jet(*(torch.stack([getattr(jet, name) for jet in jets], -1) for name in Jet.__slots__))


def constant(like: Jet) -> Jet:
    """The function 1 (B, 1), for a jet of functions (B, n)."""
    return Jet(
        torch.ones_like(like.value[:, :1]),
        torch.zeros_like(like.gradient[..., :1]),
        torch.zeros_like(like.value[:, :1]),
    )
