"""Functions ψ of positions from formulas such as "exp(-(x-1)**2)": parsed here, and never run as Python.

Values are kept as a sign and the log of their size, so that exp(−(x − 1)²) has a log far out, where its value is 0 in a float.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable

import torch
from torch import Tensor

from fkflow.errors import UsageError

#: longest formula, and deepest nesting
LONGEST, DEEPEST = 1000, 50

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "exp": torch.exp,
    "log": torch.log,
    "sqrt": torch.sqrt,
    "abs": torch.abs,
    "sin": torch.sin,
    "cos": torch.cos,
    "tan": torch.tan,
    "sinh": torch.sinh,
    "cosh": torch.cosh,
    "tanh": torch.tanh,
    "erf": torch.erf,
}
OPERATORS: dict[type[ast.operator], Callable[[Tensor, Tensor], Tensor]] = {
    ast.Add: torch.add,
    ast.Sub: torch.sub,
    ast.Mult: torch.mul,
    ast.Div: torch.div,
    ast.Pow: torch.pow,
}

#: a value as sign and log of its size
Signed = tuple[Tensor, Tensor]


class Formula:
    """ψ of N particles in D dimensions.

    One particle has the coordinates x, y, z; several have x1, y1, …, x2 and so on. r or r1, r2, … are distances from the
    origin, and r12 or r1_2 that of the particles 1 and 2; pi is π.

    >>> wave = Formula("x*exp(-(x-1)**2)", 1, 1)
    >>> sign, log = wave(torch.tensor([[[-40.0]]], dtype=torch.float64))
    >>> print(float(sign), round(float(log), 3))
    -1.0 -1677.311
    """

    def __init__(self, text: str, particles: int, dimensions: int) -> None:
        self.text, self.particles, self.dimensions = text, particles, dimensions
        self.places = _places(particles, dimensions)
        if len(text) > LONGEST:
            raise UsageError(f"psi has {len(text)} characters: a formula may have at most {LONGEST}")
        try:
            self.tree = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            raise UsageError(f"psi = {text!r} is no formula: an example is exp(-(x-1)**2)") from None
        self._check(self.tree, 0)

    def __call__(self, x: Tensor) -> Signed:
        """Sign and log |ψ| (B,) at x (B, N, D), in the user's coordinates; −inf where ψ is 0."""
        sign, log = self._signed(self.tree, x)
        return sign.expand(len(x)), log.expand(len(x))

    def _check(self, node: ast.AST, depth: int) -> None:
        """Raise UsageError for all but numbers, known names and functions, and operators."""
        if depth > DEEPEST:
            raise UsageError(f"psi = {_short(self.text)} is nested too deeply")
        match node:
            case ast.BinOp(left, op, right):
                if isinstance(op, ast.BitXor):
                    raise UsageError(f"psi = {_short(self.text)} has ^: a power is written **")
                if type(op) not in OPERATORS:
                    raise UsageError(f"psi = {_short(self.text)} has an operator that is not one of + - * / **")
                self._check(left, depth + 1)
                self._check(right, depth + 1)
            case ast.UnaryOp(ast.USub() | ast.UAdd(), operand):
                self._check(operand, depth + 1)
            case ast.Constant(int() | float() as value) if type(value) is not bool and abs(value) < 1e300:
                pass
            case ast.Name(name):
                if name in FUNCTIONS:
                    raise UsageError(
                        f"psi = {_short(self.text)} has {name} without what it is taken of, as in {name}(x)"
                    )
                if name not in self.places and name != "pi":
                    raise UsageError(
                        f"psi = {_short(self.text)} has the unknown name {name}: it may have {_words(list(self.places))}, pi, "
                        f"and the functions {', '.join(FUNCTIONS)}"
                    )
            case ast.Call(ast.Name(name), [argument], []) if name in FUNCTIONS:
                self._check(argument, depth + 1)
            case ast.Call(ast.Name(name), _, _):
                known = "takes one value" if name in FUNCTIONS else f"is unknown: there are {', '.join(FUNCTIONS)}"
                raise UsageError(f"psi = {_short(self.text)}: the function {name} {known}")
            case _:
                raise UsageError(
                    f"psi = {_short(self.text)} has something else than numbers, names, functions and + - * / **"
                )

    def _signed(self, node: ast.AST, x: Tensor) -> Signed:
        match node:
            case ast.BinOp(left, ast.Mult() | ast.Div() as op, right):
                (s1, log1), (s2, log2) = self._signed(left, x), self._signed(right, x)
                return s1 * s2, log1 + log2 if isinstance(op, ast.Mult) else log1 - log2
            case ast.BinOp(left, ast.Add() | ast.Sub() as op, right):
                (s1, log1), (s2, log2) = self._signed(left, x), self._signed(right, x)
                return _sum(s1, log1, s2 if isinstance(op, ast.Add) else -s2, log2)
            case ast.BinOp(left, ast.Pow(), ast.Constant(value)) if isinstance(value, int) and 0 < value < 100:
                sign, log = self._signed(left, x)
                return sign**value, value * log
            case ast.UnaryOp(op, operand):
                sign, log = self._signed(operand, x)
                return (-sign if isinstance(op, ast.USub) else sign), log
            case ast.Call(ast.Name("exp"), [argument], []):
                exponent = self._value(argument, x)
                return torch.ones_like(exponent), exponent
        plain = self._value(node, x)
        return plain.sign(), plain.abs().log()

    def _value(self, node: ast.AST, x: Tensor) -> Tensor:
        match node:
            case ast.BinOp(left, op, right):
                return OPERATORS[type(op)](self._value(left, x), self._value(right, x))
            case ast.UnaryOp(op, operand):
                inner = self._value(operand, x)
                return -inner if isinstance(op, ast.USub) else inner
            case ast.Constant(value):
                return x.new_tensor(float(value))  # type: ignore[arg-type]
            case ast.Name(name):
                return x.new_tensor(math.pi) if name == "pi" else self.places[name](x)
            case ast.Call(ast.Name(name), [argument], []):
                return FUNCTIONS[name](self._value(argument, x))
        raise AssertionError("checked before")


class Gaussian:
    """ψ = exp(−|x − centre|²/2 width²) of all coordinates, the centre (N, D)."""

    def __init__(self, centre: Tensor, width: float) -> None:
        self.centre, self.width = centre, width
        self.text = f"a Gaussian of width {width:g} at {', '.join(f'{c:g}' for c in centre.flatten().tolist())}"

    def __call__(self, x: Tensor) -> Signed:
        """Sign and log |ψ| (B,) at x (B, N, D)."""
        log = -0.5 * ((x - self.centre) / self.width).square().sum((1, 2))
        return torch.ones_like(log), log


def _sum(s1: Tensor, log1: Tensor, s2: Tensor, log2: Tensor) -> Signed:
    top = torch.maximum(log1, log2).detach()
    top = torch.where(top.isfinite(), top, torch.zeros_like(top))
    value = s1 * (log1 - top).exp() + s2 * (log2 - top).exp()
    return value.sign(), top + value.abs().log()


def _places(particles: int, dimensions: int) -> dict[str, Callable[[Tensor], Tensor]]:
    """Names of coordinates and distances, and what they are of x (B, N, D)."""
    found: dict[str, Callable[[Tensor], Tensor]] = {}

    def add(name: str, function: Callable[[Tensor], Tensor]) -> None:
        found[name] = function

    for i in range(particles):
        number = str(i + 1) if particles > 1 else ""
        for k in range(dimensions):
            letter = "xyz"[k] if dimensions <= 3 else f"x{k + 1}_"
            add(letter + number, lambda x, i=i, k=k: x[:, i, k])  # type: ignore[misc]
        add("r" + number, lambda x, i=i: x[:, i].norm(dim=1))  # type: ignore[misc]
    for i in range(particles):
        for j in range(i + 1, particles):
            between = "_" if particles > 9 else ""
            add(f"r{i + 1}{between}{j + 1}", lambda x, i=i, j=j: (x[:, i] - x[:, j]).norm(dim=1))  # type: ignore[misc]
    return found


def _words(names: list[str]) -> str:
    return ", ".join(names if len(names) <= 12 else [*names[:11], "…"])


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
