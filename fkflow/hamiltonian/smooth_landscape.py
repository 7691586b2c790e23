"""The landscape of a smooth potential: descents from spread starts find the minima, the curvature there gives the widths."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from fkflow.errors import NumericalError
from fkflow.hamiltonian import derivatives
from fkflow.hamiltonian.derivatives import value_and_gradient
from fkflow.hamiltonian.masses import centre_weights
from fkflow.hamiltonian.minima import (
    LEAST,
    balance_length,
    descend,
    distinct_minima,
    is_harmonic,
    low_places,
    mode_widths,
    zero_point_energies,
)
from fkflow.hamiltonian.natural_scale import Landscape
from fkflow.hamiltonian.species import mean_by_species
from fkflow.hamiltonian.system import System
from fkflow.hamiltonian.wrapped import rounding_of

#: two distances in natural lengths: V is the same at both if the particles only attract each other
FAR = 1e3, 1e4
#: distance of two minima, in natural lengths, within which they are one: flat bottoms have many places that look like minima
SAME = 0.2
#: pull on a configuration, in natural units, that ends a descent, and how far along it V rises beyond an edge, in natural
#: lengths: farther along, it may rise where a descent has not ended
SETTLED, EDGE = 1e-2, 1e-8
#: widths of a mode, in natural lengths, from which on V does not rise along it (`mode_widths` tries 64)
PLAIN = 60.0
#: depth of a well below V far away, in that of the deepest, up to which it is a place on a plain
SHALLOW = 0.02
#: most minima times coordinates: many particles have very many minima, all alike
MOST_MINIMA = 512
#: zero-point energies of a mode above the lowest up to which a minimum counts; the same for distinguishable particles of few
#: coordinates, as long as there are no more than so many: a part of ψ leaks into higher wells, which walkers would find late
HELD, HELD_APART, MOST_APART, MOST_SEARCHED = 1.0, 3.0, 16, 6


def user_start(system: System, walkers: int, generator: torch.Generator) -> Tensor | None:
    """The system's own start (walkers, N, D) in float64, if it gives one; `generator` is on the CPU."""
    x = system.start(walkers, generator)
    return x if x is None else torch.as_tensor(x).detach().to(torch.float64)


def smooth_landscape(system: System, seed: int, starts: int) -> Landscape:
    """The landscape of a potential that descents can follow. Raises NumericalError as `explore` does."""
    generator = torch.Generator().manual_seed(seed)
    n, dim = system.particles, system.dimensions
    own = getattr(system, "length", None)
    x = user_start(system, starts, generator)
    searched = x is None
    origin = torch.zeros(n, dim, dtype=torch.float64) if x is None else x[0]
    length = own or balance_length(system, origin, generator)
    if x is None:
        spread = torch.logspace(-1, 3, starts, base=2, dtype=torch.float64)[:, None, None]
        x = length * spread * torch.randn(starts, n, dim, generator=generator, dtype=torch.float64)
    x = descend(system, x, length)
    energies = system.potential(x).detach()
    finite = energies.isfinite() & x.flatten(1).isfinite().all(1)
    if not finite.any():
        lost = " (where the particles cannot be V must be inf)" if bool(energies.isnan().any()) else ""
        raise NumericalError(f"no minimum of the potential was found: every descent ended at infinity or NaN{lost}")
    x, energies = x[finite], energies[finite]
    settled = is_settled(system, x, length)
    if settled.any():
        # V may fall without end elsewhere
        x, energies = x[settled], energies[settled]
    lowest = x[energies.argmin()]
    apart = HELD if (system.identical and n > 1) or n * dim > MOST_SEARCHED else HELD_APART
    if apart > HELD and searched:
        more = low_places(system, lowest, length, generator)
        if len(more):
            more = descend(system, more, length)
            x = torch.cat([x, more[is_settled(system, more, length)]])
        energies = system.potential(x).detach()
        lowest = x[energies.argmin()]
    length = own or balance_length(system, lowest, generator)
    hessian = derivatives.hessians(system, lowest[None], length)[0]
    # a wide well may lie below a narrow deeper one by what it saves of the zero-point energy
    zero_point = zero_point_energies(mode_widths(system, lowest, hessian, length)[None])[0]
    keep = energies < energies.min() + zero_point + apart * 0.5 / length**2
    if not keep.any():
        raise NumericalError("the potential has no finite curvature where its descents end")
    most = max(1, min(64, MOST_MINIMA // (n * dim)))
    minima = distinct_minima(x[keep], energies[keep], SAME * length, most)
    hessians = derivatives.hessians(system, minima, length)
    widths = torch.stack([mode_widths(system, m, h, length) for m, h in zip(minima, hessians, strict=True)])
    # those far above the lowest hold no density
    energies = system.potential(minima).detach() + zero_point_energies(widths)
    # nor do places on a plain, where descents end too, as long as there is a well; clusters may move on one, and part
    on_plain = torch.linalg.eigvalsh(widths).amax(1) > PLAIN * length
    if n == 1:
        others = minima[(minima - lowest).flatten(1).norm(dim=1) > SAME * length]
        plain = lowest_far(system, lowest, length, others - lowest, generator)
        depths = plain - system.potential(minima).detach()
        on_plain |= depths < SHALLOW * depths.max()
    if system.free or not system.separable:
        on_plain &= ~on_plain.all()
        energies = energies.where(~on_plain, math.inf)
    above = (energies - energies.min()) * 2 * length**2
    held = above < (apart if int((above < apart).sum()) <= MOST_APART else HELD)
    minima, hessians, widths = minima[held], hessians[held], widths[held]
    heights = -above[held] if apart > HELD and len(minima) > 1 else None
    if not held[0]:
        lowest = minima[energies[held].argmin()]
        length = own or balance_length(system, lowest, generator)
    shares = torch.ones(len(minima), dtype=torch.float64) if heights is None else (2 * heights).exp()
    shares = shares / shares.sum()
    centre = torch.einsum("m,mid->id", shares, minima)
    if system.isotropic:
        centre = torch.zeros_like(centre)
    else:
        centre = mean_by_species(system, centre)
    offsets = (minima - centre).flatten(1)
    covariance = torch.einsum("m,mij->ij", shares, offsets[:, :, None] * offsets[:, None] + widths @ widths.mT)
    weights = centre_weights(system)
    moved = hessians.mean(0).reshape(n, dim, n, dim) * weights[:, :, None, None] * weights
    force = moved.sum((0, 2)) / n
    values, vectors = torch.linalg.eigh(force)
    com = (vectors * values.clamp_min(1e-6 / length**4).sqrt()) @ vectors.T
    harmonic = len(minima) == 1 and is_harmonic(system, minima[0], hessians[0], widths[0], generator)
    together = system.separable and n > 1
    free = free_energy(system, lowest, length, force, com, generator) if together else None
    found = Landscape(length, centre, minima, widths, covariance, com, harmonic, free, heights=heights)
    flat, threshold = (None, None) if together else flat_directions(system, lowest, length, covariance, generator)
    return replace(found, flat=flat, threshold=threshold)


def is_settled(system: System, x: Tensor, length: float) -> Tensor:
    """Which descents (S,) have ended at x (S, N, D): nothing pulls there by the energy of a mode over its length.

    Nor where V has an edge, and rises a little farther along what pulls. Where V has fallen so far that it is rounded to such
    energies, they have not ended.
    """
    value, gradient = value_and_gradient(system, x, length)
    seen = value.abs() * rounding_of(system) < SETTLED / length**2
    pull = gradient.flatten(1).norm(dim=1)[:, None, None]
    farther = system.potential(x - EDGE * length * gradient / pull.clamp(min=1e-300)).detach()
    still: Tensor = (pull[:, 0, 0] < SETTLED / length**3) | (farther >= value)
    return seen & still


def free_energy(
    system: System, minimum: Tensor, length: float, force: Tensor, centre_of_mass: Tensor, generator: torch.Generator
) -> float | None:
    """Lowest energy of separated particles, their centre of mass in its trap; None if V rises as they separate.

    `force` (D, D) are the trap's force constants for each particle, `centre_of_mass` is their root.
    """
    apart = torch.randn(64, *minimum.shape, generator=generator, dtype=torch.float64)
    weights = centre_weights(system)
    apart = length * (apart - weights * (weights * apart).mean(1, keepdim=True))
    # the descent may have ended far from the bottom of a weak trap: one Newton step
    _, gradient = value_and_gradient(system, minimum[None], length)
    inverse = torch.linalg.pinv(force, hermitian=True, rtol=1e-9)
    bottom = weights * ((weights * minimum).mean(0) - inverse @ (weights * gradient[0]).mean(0))
    near, far = (system.potential(bottom + scale * apart) for scale in FAR)
    if not bool(((far - near).abs() < 1e-3 / length**2).all()):
        return None
    return float(far.mean()) + 0.5 * float(centre_of_mass.trace())


def flat_directions(
    system: System, minimum: Tensor, length: float, covariance: Tensor, generator: torch.Generator
) -> tuple[Tensor | None, float | None]:
    """The projector (d, d) on directions along which V becomes flat far away, and the lowest V there of one free particle.

    All directions count as flat where any drawn at random is; else the axes and the eigenvectors of `covariance` are looked at.
    """
    d = minimum.numel()
    drawn = torch.randn(LEAST, d, generator=generator, dtype=torch.float64)
    axes = torch.cat([torch.eye(d, dtype=torch.float64), torch.linalg.eigh(covariance).eigenvectors.T])
    directions = length * torch.cat([drawn, axes, -axes]).view(-1, *minimum.shape)
    near, far = (system.potential(minimum + scale * directions).detach() for scale in FAR)
    flat = (far - near).abs() < 1e-3 / length**2
    if not bool(flat.any()):
        return None, None
    threshold = float(far[flat].min()) if system.particles == 1 else None
    if bool(flat[:LEAST].any()):
        return torch.eye(d, dtype=torch.float64), threshold
    along = axes[flat[LEAST:].view(2, -1).any(0)]
    # what spans them: an axis and an eigenvector may be the same
    values, vectors = torch.linalg.eigh(along.T @ along)
    spanned = vectors[:, values > 1e-6]
    # across them the particle has a zero-point energy
    return spanned @ spanned.T, None


def lowest_far(system: System, minimum: Tensor, length: float, along: Tensor, generator: torch.Generator) -> float:
    """The lowest V far away from a minimum; ∞ where it is never finite there.

    That is along the axes, in random directions, and in those of `along` (M, N, D), to places where V may be flat.
    """
    d = minimum.numel()
    one = torch.eye(d, dtype=torch.float64)
    drawn = torch.randn(LEAST, d, generator=generator, dtype=torch.float64)
    # none of them is short: that would end near the minimum
    drawn = drawn / drawn.norm(dim=1, keepdim=True)
    directions = torch.cat([drawn, one, -one, along.flatten(1) / length])
    far = minimum + FAR[0] * length * directions.view(-1, *minimum.shape)
    return float(system.potential(far).detach().nan_to_num(nan=math.inf).min())
