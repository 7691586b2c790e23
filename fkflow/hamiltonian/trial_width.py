"""The natural length from values of V: where V balances the kinetic energy, or the Gaussian of least energy."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from fkflow.errors import NumericalError
from fkflow.hamiltonian.system import System

#: random directions, and errors by which the energy must lie below that of the widest Gaussian
DIRECTIONS, SURE = 4096, 4.0
#: V balances the kinetic energy where it has risen by as much on average, no rise counted for more than so many times that, and
#: directions of that average
MOST, FEW_DIRECTIONS = 10.0, 64
#: lengths at which V is looked at in turn, and configurations in one call of V for several of them
LENGTHS, TOGETHER = torch.tensor([2.0 ** (0.5 * k) for k in range(-80, 81)], dtype=torch.float64), 1024
#: deviations that are tried, as exponents of 2
EXPONENTS = torch.arange(-40, 40.01, 0.5, dtype=torch.float64)


def variational_length(system: System, origin: Tensor, generator: torch.Generator) -> float:
    """The natural length ℓ = √2 σ for the Gaussian of deviation σ with the least ⟨T⟩ + ⟨V⟩, for particles of mass 1.

    ψ² is centred at `origin` (N, D), or at the lowest place found about it, and ⟨T⟩ = N D/(8 σ²). Where no Gaussian surely has
    less energy than a very wide one, as beside a core at the origin, ℓ is that at which V balances at the lowest place.
    Raises NumericalError without a core, or where V is not deeper there than the kinetic energy of one coordinate.
    """
    z = torch.randn(DIRECTIONS, *origin.shape, generator=generator, dtype=torch.float64)
    lowest = _lowest(system, origin, z)
    energy, length = min(_least_energy(system, centre, z) for centre in (origin, lowest))
    if energy < 0:
        return length
    far = float(_values(system, lowest + 2.0 ** EXPONENTS[-1] * z).median())
    core = bool(_values(system, origin[None]).isposinf()[0])
    balanced = _balance(system, lowest, z[:FEW_DIRECTIONS]) if core and not system.free else None
    if balanced is None or not float(_values(system, lowest[None])[0]) < far - 0.25 / balanced**2:
        raise NumericalError("the potential confines nothing: no length was found where it balances the kinetic energy")
    return balanced


def _lowest(system: System, origin: Tensor, z: Tensor) -> Tensor:
    """The place (N, D) of lowest V among origin + σ z for all σ, z (S, N, D)."""
    least, place = math.inf, origin
    for sigma in 2.0**EXPONENTS:
        values = _values(system, origin + sigma * z)
        if float(values.min()) < least:
            least, place = float(values.min()), origin + sigma * z[values.argmin()]
    return place


def _least_energy(system: System, centre: Tensor, z: Tensor) -> tuple[float, float]:
    """An upper bound, but for chance, of the least energy relative to a very wide Gaussian, and ℓ there."""
    # the centre of mass of a free system has no energy
    moving = len(centre) - 1 if system.free else len(centre)
    widest = _values(system, centre + 2.0 ** EXPONENTS[-1] * z).median()
    best = math.inf, math.nan
    for sigma in 2.0**EXPONENTS:
        values = _values(system, centre + sigma * z) - widest
        kinetic = moving * centre.shape[1] / (8 * sigma**2)
        energy = float(kinetic + values.mean() + SURE * values.std() / math.sqrt(len(z)))
        # not what is rounding alone
        if energy < min(best[0], -1e-3 * float(kinetic)):
            best = energy, math.sqrt(2) * float(sigma)
    return best if math.isfinite(best[0]) else (0.0, math.nan)


def _values(system: System, x: Tensor) -> Tensor:
    """V (S,) at x (S, N, D), +∞ where it is not a number."""
    return system.potential(x).detach().nan_to_num(nan=math.inf, posinf=math.inf, neginf=-math.inf)


def energies_at_lengths(system: System, origin: Tensor, z: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Growing lengths ℓ (n,), and V (n, S) at origin + ℓz for z (S, N, D), of several lengths in a call where S is small."""
    for lengths in LENGTHS.split(max(1, TOGETHER // len(z))):
        places = (origin + lengths[:, None, None, None] * z).flatten(0, 1)
        yield lengths, system.potential(places).detach().view(len(lengths), -1)


def balanced_length(system: System, origin: Tensor, generator: torch.Generator) -> float:
    """The length at which V rises on average by 1/(2ℓ²) for each coordinate, steps and walls counting for no more than MOST."""
    z = torch.randn(FEW_DIRECTIONS, *origin.shape, generator=generator, dtype=origin.dtype)
    balanced = _balance(system, origin, z)
    return variational_length(system, origin, generator) if balanced is None else balanced


def _balance(system: System, origin: Tensor, z: Tensor) -> float | None:
    """The length at which V rises enough in directions z (S, N, D), as `balanced_length`; None if there is none."""
    height = system.potential(origin[None]).detach()
    for lengths, values in energies_at_lengths(system, origin, z):
        rises = (values - height).abs().nan_to_num(nan=math.inf)
        enough = (rises * 2 * lengths[:, None] ** 2 / origin.numel()).clamp(max=MOST).mean(1) >= 1
        if bool(enough.any()):
            return float(lengths[enough][0])
    return None
