"""Parts of networks, and the chain rule that puts them together: values, drifts and Laplacians of any composition.

A part states its value, its vector–Jacobian product and its Laplacian term; a network only composes parts. Walkers are the
last axis everywhere, (features, particles or pairs, walkers B): sums and choices along other axes then go along contiguous
memory.

For log ψ = U(x) made of operations o(a), a `Tape` records the parts of one evaluation. Backwards it finds ∂U/∂o of each, and
so the drift ∇U. The Laplacian is ΔU = Σ_o ∂U/∂o · q_o with the *Laplacian term* q_o = Σ_jk ∂²o/∂a_j∂a_k ∇a_j·∇a_k of each
part, ∇ by all positions, which vanishes for linear parts. The gradients ∇a are `tangents`. No pass for each coordinate is
needed. (The forward Laplacian of Li et al., Nature Machine Intelligence 6, 209 (2024), adds up the same sum forwards.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from fkflow.networks.tangents import Tangent, rounded


class Part(nn.Module):
    """One operation of a network. Called with tensors it gives its value, with nodes of a tape it is recorded there.

    Subclasses define `value`, and for analytic derivatives `pull_back`, `tangent` and, if `curved`, `laplacian_term`. A
    network with a part that defines no `pull_back` is differentiated automatically.
    """

    #: whether second derivatives by the inputs exist
    curved: ClassVar[bool] = False

    def value(self, *inputs: Any) -> Tensor:
        """The output for tensors, with a graph; parameters may be one copy per walker, (B, …) (see `layers.affine`)."""
        raise NotImplementedError

    def evaluate(self, *inputs: Any, derivatives: bool) -> tuple[Tensor, Any]:
        """The output without a graph, and what `pull_back` and `laplacian_term` need of it if there are to be `derivatives`."""
        return self.value(*inputs), None

    def pull_back(self, node: Node, gradient: Any) -> None:
        """Vector–Jacobian product: add to the gradients of the inputs, for the `gradient` of log ψ by the output."""
        raise NotImplementedError

    def tangent(self, node: Node) -> Tangent:
        """How the output changes with the positions of the particles."""
        raise NotImplementedError(f"{type(self).__name__} states no tangent")

    def laplacian_term(self, node: Node) -> Any:
        """q_o in the shape of the output, or a tensor or number that can be broadcast to it."""
        raise NotImplementedError(f"{type(self).__name__} states no Laplacian term")

    @property
    def analytic(self) -> bool:
        """Whether the part states its derivatives."""
        return type(self).pull_back is not Part.pull_back

    if TYPE_CHECKING:

        def __call__(self, *inputs: Any) -> Tensor: ...

    else:

        def __call__(self, *inputs):
            for value in inputs:
                if isinstance(value, Node):
                    return value.tape.record(self, inputs)
            return self.value(*inputs)


class Term(Part):
    """A part whose output (B,) is a term of log ψ: it is only added to others, so that the gradient of log ψ by it is 1."""

    def pull_back(self, node: Node, gradient: Any = None) -> None:
        """As for any part, for a gradient of 1, which is not given."""
        raise NotImplementedError

    @property
    def analytic(self) -> bool:
        return type(self).pull_back is not Term.pull_back


class TermOfCoordinates(Term):
    """A term that knows its gradient by its first input, the coordinates y themselves, and its Laplacian, both in closed form.

    `evaluate` with `derivatives` gives both, (D, N, B) and (B,), as what it saves.
    """

    curved: ClassVar[bool] = True

    def pull_back(self, node: Node, gradient: Any = None) -> None:
        node.inputs[0].add(node.saved[0], new=False)

    def laplacian_term(self, node: Node) -> Tensor:
        laplacian: Tensor = node.saved[1]
        return laplacian


class Node:
    """The output of a part on a tape: its value, and the gradient of log ψ by it as far as it is known."""

    __slots__ = ("tape", "part", "inputs", "value", "saved", "gradient", "_owned", "_tangent", "_rounded", "_saved")

    #: nodes, and constants
    inputs: tuple[Any, ...]

    def __init__(self, tape: Tape, part: Part, inputs: tuple[Any, ...], value: Tensor, saved: Any) -> None:
        self.tape, self.part, self.inputs, self.value, self.saved = tape, part, inputs, value, saved
        self.gradient: Tensor | None = None
        self._owned = False
        self._tangent: Tangent | None = None
        self._rounded: Tensor | None = None
        self._saved: Tensor | None = None

    def __add__(self, other: Node) -> Node:
        """The sum of two terms of log ψ, or of sums of them."""
        assert isinstance(self.part, Term) and isinstance(other.part, Term), "only terms of log ψ are added"
        return Node(self.tape, _SUM, (), self.value + other.value, None)

    @property
    def rounded(self) -> Tensor:
        """The value in the precision of tangents."""
        if self._rounded is None:
            self._rounded = rounded(self.value)
        return self._rounded

    @property
    def rounded_saved(self) -> Tensor:
        """The one tensor that the part saved, in the precision of tangents."""
        if self._saved is None:
            self._saved = rounded(self.saved)
        return self._saved

    @property
    def tangent(self) -> Tangent:
        """How the value changes with the positions; found when it is first asked for, before the way back comes by."""
        if self._tangent is None:
            self._tangent = self.part.tangent(self)
        return self._tangent

    def add(self, gradient: Tensor, *, new: bool = True) -> None:
        """Add to the gradient; `new`: nobody else uses this tensor, so that it may be changed later."""
        if self.gradient is None:
            self.gradient, self._owned = gradient, new
        else:
            self.own_gradient().add_(gradient)

    def add_product(self, matrix: Tensor, gradient: Tensor, alpha: float = 1.0) -> None:
        """Add alpha · matrix (in, out) @ gradient (out, …), the pull back of a product with the transposed matrix."""
        flat = gradient.flatten(1)
        if self.gradient is None:
            found = matrix @ flat
            self.gradient, self._owned = (found if alpha == 1 else found.mul_(alpha)).view(self.value.shape), True
        else:
            self.own_gradient().flatten(1).addmm_(matrix, flat, alpha=alpha)

    def own_gradient(self, precision: torch.dtype | None = None) -> Tensor:
        """The gradient, 0 where there is none yet, as a tensor that may be changed and whose changes stay."""
        if self.gradient is None:
            self.gradient = torch.zeros_like(self.value, dtype=precision)
        elif not self._owned:
            self.gradient = self.gradient.expand(self.value.shape).clone(memory_format=torch.contiguous_format)
        self._owned = True
        return self.gradient


class Tape:
    """The parts of one evaluation in their order."""

    def __init__(self, *, derivatives: bool) -> None:
        self._derivatives = derivatives
        self._nodes: list[Node] = []

    def start(self, value: Tensor) -> Node:
        """The coordinates that everything is made of."""
        return Node(self, _START, (), value, None)

    def record(self, part: Part, inputs: tuple[Any, ...]) -> Node:
        """The output of a part for inputs that are nodes, and constants."""
        values = (given.value if isinstance(given, Node) else given for given in inputs)
        value, saved = part.evaluate(*values, derivatives=self._derivatives)
        if not self._derivatives:
            return Node(self, part, (), value, None)
        node = Node(self, part, inputs, value, saved)
        self._nodes.append(node)
        return node

    def differentiate(self, laplacian: Tensor | None = None) -> None:
        """Give every node the gradient of the sum of all terms by it; add their Laplacian to `laplacian` (B,), if any."""
        while self._nodes:
            node = self._nodes.pop()
            part, gradient = node.part, node.gradient
            if laplacian is not None and part.curved:
                term = part.laplacian_term(node)
                if gradient is not None:
                    term = gradient * term
                laplacian += term.flatten(0, -2).sum(0) if gradient is not None and term.dim() > 1 else term
            # what is used for its tangent alone has no gradient
            if gradient is not None or isinstance(part, Term):
                part.pull_back(node, gradient)


class _Start(Part):
    """The internal coordinates themselves."""


class _SumOfTerms(Term):
    """What terms of log ψ add up to."""


_START, _SUM = _Start(), _SumOfTerms()
