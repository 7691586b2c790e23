"""The natural scale of a potential: minima, harmonic widths and the Gaussian they suggest for ψ².

The solver must not depend on the user's units. The natural length ℓ is that at which the variation of V balances the kinetic
energy 1/(2ℓ²). Descents from spread starts find the minima; the harmonic approximation there gives the widths.
"""

from __future__ import annotations

import itertools
import math
from contextlib import suppress
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from fkflow.errors import NumericalError
from fkflow.hamiltonian import derivatives
from fkflow.hamiltonian.box import box_places, sides
from fkflow.hamiltonian.centres import Centres, Softened, find_centres
from fkflow.hamiltonian.charged_scale import scale_of_charges
from fkflow.hamiltonian.charged_start import charged_places
from fkflow.hamiltonian.charges import PointCharges
from fkflow.hamiltonian.cores import PLACES, crowded_places, find_diameter, hardened
from fkflow.hamiltonian.derivatives import value_and_gradient
from fkflow.hamiltonian.free import direction_together, held, internal_basis, recentred, separated_energy
from fkflow.hamiltonian.line_states import LineState
from fkflow.hamiltonian.masses import centre_weights, to_solver_coordinates
from fkflow.hamiltonian.mean_field import balanced_length, has_jumps, loose_share, mean_field
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
from fkflow.hamiltonian.registry import is_built_in
from fkflow.hamiltonian.species import is_mixture, mean_by_species
from fkflow.hamiltonian.steps import Step
from fkflow.hamiltonian.system import Nuclei, System
from fkflow.hamiltonian.walls import Walls, allowed_places, find_walls
from fkflow.hamiltonian.wrapped import rounding_of

#: two distances in natural lengths: V is the same at both if the particles only attract each other
FAR = 1e3, 1e4
#: sizes of the clouds from which a molecule is looked for, in doublings of the rough length, with so many descents and steps
#: each; how far from its cloud, in sizes of that, a descent may end; natural energies by which a molecule must lie lower
CLOUDS, DROPS, DROP, AWAY, BARELY = 22, 4, 200, 8.0, 0.5
#: configurations about which jumps of V are looked for
JUMPS = 16
#: share of walkers that would not overlap from which on hard cores do not matter for the scale, and within what factor the
#: natural length then is that of crowded places
DILUTE, SIMILAR = 0.9, 2.0
#: distance of two minima, in natural lengths, within which they are one: flat bottoms have many places that look like minima
SAME = 0.2
#: pull on a configuration, in natural units, that ends a descent
SETTLED = 1e-2
#: distance of two wells, in natural lengths, that is none
APART = 0.1
#: widths of a mode, in natural lengths, from which on V does not rise along it (`mode_widths` tries 64)
PLAIN = 60.0
#: depth of a well below V far away, in that of the deepest, up to which it is a place on a plain
SHALLOW = 0.02
#: most minima times coordinates: many particles have very many minima, all alike
MOST_MINIMA = 512
#: zero-point energies of a mode above the lowest up to which a minimum counts; the same for distinguishable particles of few
#: coordinates, as long as there are no more than so many: a part of ψ leaks into higher wells, which walkers would find late
HELD, HELD_APART, MOST_APART, MOST_SEARCHED = 1.0, 3.0, 16, 6


@dataclass(frozen=True)
class Landscape:
    """Scale and minima of a potential; lengths in the system's unit, float64.

    length: natural length ℓ (the zero-point width of a typical mode); its square is the natural time.
    centre: (N, D) mean position. minima: (m, N, D) distinct lowest minima. widths: (m, d, d) with ψ² ≈ a Gaussian
    of covariance widths @ widthsᵀ at each minimum. heights: (m,) log ψ at each minimum to start with, 0 where it is None.
    covariance: (d, d) of the mixture of those Gaussians. centre_of_mass:
    (D, D) stiffness √K of the centre of mass, K its harmonic force constants. harmonic: V equals its harmonic
    approximation, so that a Gaussian is the exact ground state. free: energy of the separated particles where only their
    attraction holds them together, so that ψ falls exponentially far out; else None. flat: (d, d) projector on the directions
    along which V becomes flat far away, so that ψ falls exponentially there; None if there are none. threshold: the lowest V
    far away along them, of one particle; a bound state lies below, and no gap is wider. corrected: length, centre and
    covariance are those of walkers (`scale.corrected`). centres: where V falls as −c/r without nuclei; all else is then
    that of V with them softened. together: (N,) the direction along which nothing holds a free system (`free`); widths and
    covariance then mean nothing along it. box: the sides of a periodic box.
    """

    length: float
    centre: Tensor
    minima: Tensor
    widths: Tensor
    covariance: Tensor
    centre_of_mass: Tensor
    harmonic: bool
    free: float | None = None
    corrected: bool = False
    flat: Tensor | None = None
    threshold: float | None = None
    walls: Walls | None = None
    diameter: float | None = None
    places: Tensor | None = None
    loose: Tensor | None = None
    lines: tuple[LineState, ...] = ()
    steps: tuple[Step, ...] = ()
    centres: Centres | None = None
    together: Tensor | None = None
    box: tuple[float, ...] | None = None
    heights: Tensor | None = None

    def whitening(self) -> Tensor:
        """(d, d) symmetric C^(−½): x ↦ (x − c) C^(−½) has unit covariance in the mixture.

        For free systems (d, d − D): the internal coordinates with unit covariance.
        """
        basis = self.internal_basis()
        values, vectors = torch.linalg.eigh(basis.T @ self.covariance @ basis)
        whitening: Tensor = basis @ (vectors / values.sqrt()) @ vectors.T
        return whitening

    def internal_basis(self) -> Tensor:
        """Orthonormal columns (d, d') that span the coordinates along which ψ may change: all, or the internal ones."""
        if self.together is None:
            return torch.eye(self.centre.numel(), dtype=torch.float64)
        return internal_basis(self.together, self.centre.shape[1])

    def one_body_covariance(self) -> Tensor:
        """(D, D) covariance of one particle, averaged over particles and minima."""
        n, dim = self.centre.shape
        blocks = self.covariance.reshape(n, dim, n, dim)
        return torch.einsum("iaib->ab", blocks) / n

    def relative_covariance(self) -> Tensor:
        """(D, D) covariance of one particle relative to the centre of mass (zero matrix for one particle)."""
        n, dim = self.centre.shape
        blocks = self.covariance.reshape(n, dim, n, dim)
        return torch.einsum("iaib->ab", blocks) / n - blocks.sum((0, 2)) / n**2

    def shifts(self, system: System) -> Tensor:
        """Distances (m, N, D) from well to well, each with its opposite; of means of identical particles."""
        minima = self.minima if self.places is None else self.minima[:1]
        minima = mean_by_species(system, minima)
        apart = (minima[:, None] - minima).flatten(0, 1)
        return apart[apart.flatten(1).norm(dim=1) > APART * self.length]

    def start(self, walkers: int, generator: torch.Generator) -> Tensor:
        """Draw walkers (B, N, D) from the mixture of Gaussians at the minima, or from the places."""
        if self.places is not None:
            pick = torch.randint(len(self.places), (walkers,), generator=generator, device=generator.device)
            return self.places.to(pick.device)[pick]
        if self.heights is None:
            which = torch.randint(len(self.minima), (walkers,), generator=generator, device=generator.device)
        else:
            shares = (2 * self.heights).exp().to(generator.device)
            which = torch.multinomial(shares, walkers, replacement=True, generator=generator)
        noise = torch.randn(
            walkers, self.widths.shape[-1], generator=generator, device=generator.device, dtype=torch.float64
        )
        minima, widths = self.minima.to(noise.device), self.widths.to(noise.device)
        return minima[which] + torch.einsum("bij,bj->bi", widths[which], noise).view(walkers, *self.centre.shape)


def explore(system: System, seed: int = 0, starts: int = 32) -> Landscape:
    """Find minima and harmonic scale of a potential; for point charges, Gaussians of atomic width at the nuclei.

    Centres of −c/r that no nuclei state are softened first. Lengths are in the coordinates of `system.potential`. The system's
    own length and start, if given, replace the search about the origin. Raises NumericalError when no confining scale or no
    finite minimum is found, WallError for walls of another shape than those that are found.
    """
    if (charges := system.point_charges()) is not None:
        return charged_landscape(system, charges, seed)
    if (box := sides(system)) is not None:
        return _of_box(system, box, seed)
    if system.free and system.particles > 1:
        return _explore_free(system, seed, starts)
    centres = find_centres(system, torch.Generator().manual_seed(seed))
    if centres is not None:
        return replace(_explore(Softened(own=system, centres=centres), seed, starts), centres=centres)
    return _explore(system, seed, starts)


def _explore_free(system: System, seed: int, starts: int) -> Landscape:
    """The landscape of a free system: about where all particles are together, or a molecule that lies lower."""
    found: Landscape | None = None
    place = find_molecule(system, seed) if user_start(system, 1, torch.Generator()) is None else None
    try:
        found = _without_hold(_explore(held(system, rough_length(system, seed)), seed, starts), system)
    except NumericalError:
        if place is None:
            raise
    if place is None:
        return found  # type: ignore[return-value]
    length = balance_length(system, place, torch.Generator().manual_seed(seed))
    if found is not None and bool(_settled(system, found.minima[:1], found.length)):
        higher = system.potential(found.minima[:1]) - system.potential(place[None])
        if float(higher) < BARELY / length**2:
            return found
    return _without_hold(_explore(held(system, length, place), seed, starts), system)


def find_molecule(system: System, seed: int) -> Tensor | None:
    """The lowest place (N, D) where descents from clouds of many sizes end, for a free system that has no V in the smallest.

    None for any other system, and where all descents end far from where they began.
    """
    n, dim = system.particles, system.dimensions
    if getattr(system, "length", None) is not None or bool(
        system.potential(torch.zeros(1, n, dim, dtype=torch.float64)).isfinite()
    ):
        return None
    generator = torch.Generator().manual_seed(seed)
    length, places = rough_length(system, seed), []
    for size in length * 2.0 ** torch.arange(0, CLOUDS, 2):
        x = float(size) * torch.randn(DROPS, n, dim, generator=generator, dtype=torch.float64)
        x = descend(system, x, float(size), steps=DROP)
        places.append(
            recentred(x, direction_together(system))[x.flatten(1).norm(dim=1) < AWAY * float(size) * (n * dim) ** 0.5]
        )
    x = torch.cat(places)
    energies = system.potential(x).detach().nan_to_num(nan=math.inf)
    return x[energies.argmin()] if len(x) and bool(energies.isfinite().any()) else None


def _explore(system: System, seed: int, starts: int) -> Landscape:
    """As `explore`, of a potential whose centres are stated as nuclei or softened."""
    nuclei, walls = system.nuclei(), None
    if not is_built_in(type(system)) or is_mixture(system):
        walls = find_walls(system, torch.Generator().manual_seed(seed))
        if nuclei is None:
            diameter = _diameter(system, seed)
            hard = hardened(system) if diameter is None else system
            if hard is not None:
                return cored_landscape(hard, diameter, walls, seed, starts)
            if walls is not None or _jumps(system, seed):
                return mean_field_landscape(system, walls, torch.Generator().manual_seed(seed))
    if nuclei is not None:
        return replace(coulomb_landscape(nuclei, system.particles), walls=walls)
    return smooth_landscape(system, seed, starts)


def _of_box(system: System, box: tuple[float, ...], seed: int) -> Landscape:
    """The landscape of a periodic box, in which no place is the centre."""
    length, places = box_places(system, box, torch.Generator().manual_seed(seed))
    n, dim = places.shape[1:]
    one, centre = torch.eye(n * dim, dtype=torch.float64), torch.zeros(n, dim, dtype=torch.float64)
    even = torch.tensor(box, dtype=torch.float64).square().repeat(n) / 12
    lowest = places[system.potential(places).detach().argmin()][None]
    com = torch.eye(dim, dtype=torch.float64) / length**2
    return Landscape(length, centre, lowest, length * one[None], torch.diag(even), com, False, places=places, box=box)


def _without_hold(landscape: Landscape, system: System) -> Landscape:
    """The landscape of a free system from that of the held one."""
    together = direction_together(system)
    return replace(
        landscape,
        centre=torch.zeros_like(landscape.centre),
        minima=recentred(landscape.minima, together),
        places=None if landscape.places is None else recentred(landscape.places, together),
        centre_of_mass=torch.zeros_like(landscape.centre_of_mass),
        free=separated_energy(system, landscape.minima[0], landscape.length),
        together=together,
    )


def charged_landscape(system: System, charges: PointCharges, seed: int) -> Landscape:
    """The landscape of point charges, whose scale follows from charges and masses, in coordinates of unit mass."""
    scale, together = scale_of_charges(charges), direction_together(system)
    x = charged_places(charges, torch.Generator().manual_seed(seed))
    x = recentred(to_solver_coordinates(system, x), together)
    n, dim = x.shape[1:]
    centre, deviation = torch.zeros(n, dim, dtype=torch.float64), x.flatten(1).std(0)
    widths, com = torch.diag(deviation), torch.zeros(dim, dim, dtype=torch.float64)
    return Landscape(
        scale.natural,
        centre,
        x[:1],
        widths[None],
        widths.square(),
        com,
        harmonic=False,
        free=scale.break_up if system.free else None,
        places=x,
        together=together,
    )


def rough_length(system: System, seed: int) -> float:
    """About the natural length of a free system, which has no landscape without a hold. Raises NumericalError as `explore`."""
    if (own := getattr(system, "length", None)) is not None:
        return float(own)
    generator = torch.Generator().manual_seed(seed)
    x = allowed_places(system, generator, JUMPS)
    if not len(x):
        raise NumericalError("the potential is finite at none of the places that were tried: start() must give some")
    try:
        length = balance_length(system, x[0], generator)
        x = descend(system, x, length)
        energies = system.potential(x).detach().nan_to_num(nan=math.inf)
        return balance_length(system, x[energies.argmin()], generator)
    except NumericalError:
        return crowded_places(system, x, generator)[1]


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
        raise NumericalError("no minimum of the potential was found: every descent ended at infinity or NaN")
    x, energies = x[finite], energies[finite]
    settled = _settled(system, x, length)
    if settled.any():
        # V may fall without end elsewhere
        x, energies = x[settled], energies[settled]
    lowest = x[energies.argmin()]
    apart = HELD if (system.identical and n > 1) or n * dim > MOST_SEARCHED else HELD_APART
    if apart > HELD and searched:
        more = descend(system, low_places(system, lowest, length, generator), length)
        x = torch.cat([x, more[_settled(system, more, length)]])
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


def _settled(system: System, x: Tensor, length: float) -> Tensor:
    """Which descents (S,) have ended at x (S, N, D): nothing pulls there by the energy of a mode over its length.

    Where V has fallen so far that it is rounded to such energies, they have not.
    """
    value, gradient = value_and_gradient(system, x, length)
    seen = value.abs() * rounding_of(system) < SETTLED / length**2
    still: Tensor = gradient.flatten(1).norm(dim=1) < SETTLED / length**3
    return seen & still


def _diameter(system: System, seed: int) -> float | None:
    """The diameter of hard cores in V, if there are any."""
    if system.particles == 1:
        return None
    generator = torch.Generator().manual_seed(seed)
    return find_diameter(system, allowed_places(system, generator, JUMPS), generator)


def cored_landscape(system: System, diameter: float | None, walls: Walls | None, seed: int, starts: int) -> Landscape:
    """The landscape of particles with hard cores: without them where few walkers would overlap, else that of crowded places."""
    generator = torch.Generator().manual_seed(seed)
    x, length = crowded_places(system, allowed_places(system, generator, JUMPS), generator)
    with suppress(NumericalError, torch.linalg.LinAlgError):
        if walls is None:
            found = smooth_landscape(system, seed, starts)
        else:
            found = mean_field_landscape(system, walls, generator)
        places = found.start(PLACES, generator)
        places = places[system.potential(places).detach().isfinite()]
        if len(places) >= DILUTE * PLACES and 1 / SIMILAR < found.length / length < SIMILAR:
            return replace(found, diameter=diameter, places=places)
    centre = torch.zeros_like(x[0]) if system.isotropic else x.mean(0)
    centre = mean_by_species(system, centre)
    offsets = (x - centre).flatten(1)
    covariance = offsets.T @ offsets / len(x)
    values, vectors = torch.linalg.eigh(covariance)
    widths = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
    lowest = x[system.potential(x).argmin()][None]
    com = _trap(system, x[0]) if system.separable else torch.linalg.inv(covariance.view(*x.shape[1:] * 2)[0, :, 0])
    found = Landscape(length, centre, lowest, widths[None], covariance, com, harmonic=False)
    loose = None if walls is None else loose_share(x.std(0), walls)
    return replace(found, walls=walls, diameter=diameter, places=x, loose=loose)


def _jumps(system: System, seed: int) -> bool:
    """Whether V jumps, as at the edge of a well of finite depth."""
    if system.separable and system.particles > 1:
        return False
    generator = torch.Generator().manual_seed(seed)
    x = allowed_places(system, generator, JUMPS)
    length = getattr(system, "length", None) or balanced_length(system, x[0], generator)
    return has_jumps(system, x, length, generator)


def mean_field_landscape(system: System, walls: Walls | None, generator: torch.Generator) -> Landscape:
    """The landscape of a potential with walls or jumps, by a mean field."""
    found = mean_field(system, allowed_places(system, generator, JUMPS), walls, generator)
    n, dim = found.mean.shape
    centre, covariance = found.mean, torch.diag(found.deviation.flatten().square())
    if system.isotropic:
        centre = torch.zeros_like(centre)
    lowest = found.places[system.potential(found.places).detach().argmin()][None]
    com = _trap(system, found.places[0]) if system.separable else torch.diag(0.5 / found.deviation[0].square())
    widths = torch.diag(found.deviation.flatten())[None]
    return Landscape(
        found.length,
        centre,
        lowest,
        widths,
        covariance,
        com,
        False,
        walls=walls,
        places=found.places,
        loose=found.loose,
        lines=found.lines,
        steps=found.steps,
    )


def _trap(system: System, x: Tensor) -> Tensor:
    """√K (D, D) of the harmonic trap that the centre of mass of x (N, D) moves in, by differences: V is quadratic there."""
    n, dim = x.shape
    step = float(x.std()) * centre_weights(system) * torch.eye(dim, dtype=x.dtype)[:, None]
    corners = torch.stack([x + a * e + b * f for e in step for f in step for a in (1, -1) for b in (1, -1)])
    signs = x.new_tensor([1.0, -1.0, -1.0, 1.0])
    second = (system.potential(corners).detach().view(dim, dim, 4) * signs).sum(-1) / (4 * float(x.std()) ** 2)
    values, vectors = torch.linalg.eigh(second / n)
    root: Tensor = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
    return root


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
    directions = torch.cat([drawn, one, -one, along.flatten(1) / length])
    far = minimum + FAR[0] * length * directions.view(-1, *minimum.shape)
    return float(system.potential(far).detach().nan_to_num(nan=math.inf).min())


def user_start(system: System, walkers: int, generator: torch.Generator) -> Tensor | None:
    """The system's own start (walkers, N, D) in float64, if it gives one; `generator` is on the CPU."""
    x = system.start(walkers, generator)
    return x if x is None else torch.as_tensor(x).detach().to(torch.float64)


def coulomb_landscape(nuclei: Nuclei, electrons: int) -> Landscape:
    """Electrons on nuclei (different ones if there are two), Gaussians of width 1/Z; ℓ = √3/Z_max, the 1s rms radius."""
    positions = torch.tensor(nuclei.positions, dtype=torch.float64)
    charges = torch.tensor(nuclei.charges, dtype=torch.float64)
    sites = [
        list(choice)
        for choice in itertools.product(range(len(charges)), repeat=electrons)
        if len(set(choice)) == electrons or len(charges) == 1
    ]
    minima = positions[torch.tensor(sites)]
    widths = torch.stack([torch.diag((1 / charges[torch.tensor(site)]).repeat_interleave(3)) for site in sites])
    centre = positions.mean(0).expand(electrons, 3).clone()
    offsets = (minima - centre).flatten(1)
    covariance = (offsets.T @ offsets) / len(minima) + (widths @ widths.mT).mean(0)
    com = torch.zeros(3, 3, dtype=torch.float64)
    return Landscape(math.sqrt(3) / float(charges.max()), centre, minima, widths, covariance, com, harmonic=False)
