"""A layer of random hyperbolic tangents: excited states are linear combinations of its functions."""

from __future__ import annotations

import torch
from torch import Tensor

from fkflow.spectrum.jets import Jet

#: smallest and largest length of the weights of a function; the same of functions for details
SMOOTH, FINE = (0.7, 4.0), (4.0, 25.0)


class RandomLayer:
    """tanh(W u + b) of inputs u (…, n) of order 1 → (…, functions); each changes sign at one of the samples (B, …, n)."""

    def __init__(
        self,
        samples: Tensor,
        functions: int,
        generator: torch.Generator,
        steepness: tuple[float, float] = SMOOTH,
    ) -> None:
        flat = samples.flatten(0, -2)
        n = flat.shape[1]
        directions = torch.randn(n, functions, generator=generator, dtype=flat.dtype)
        flattest, steepest = steepness
        steep = flattest * (steepest / flattest) ** torch.rand(functions, generator=generator, dtype=flat.dtype)
        self.weights = directions / directions.norm(dim=0) * steep
        places = flat[torch.randint(len(flat), (functions,), generator=generator)]
        self.shifts = -(places * self.weights.T).sum(1)

    def __call__(self, inputs: Jet) -> Jet:
        """The functions as jets."""
        arguments: Jet = inputs @ self.weights + self.shifts
        return arguments.tanh()
