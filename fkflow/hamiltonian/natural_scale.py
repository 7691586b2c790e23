"""The natural scale of a potential: minima, harmonic widths and the Gaussian they suggest for ψ².

The solver must not depend on the user's units. The natural length ℓ is that at which the variation of V balances the kinetic
energy 1/(2ℓ²).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fkflow.hamiltonian.centres import Centres
from fkflow.hamiltonian.free import internal_basis
from fkflow.hamiltonian.geometry import pairs
from fkflow.hamiltonian.line_states import LineState
from fkflow.hamiltonian.species import mean_by_species
from fkflow.hamiltonian.steps import Step
from fkflow.hamiltonian.system import System
from fkflow.hamiltonian.walls import Walls

#: distance of two wells, in natural lengths, that is none
APART = 0.1


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
    covariance then mean nothing along it. box: the sides of a periodic box. repulsion: the power with which ψ of one particle
    vanishes at the origin (`repulsion`).
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
    repulsion: float | None = None

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
        minima = self.wells(system)
        apart = (minima[:, None] - minima).flatten(0, 1)
        return apart[apart.flatten(1).norm(dim=1) > APART * self.length]

    def crossings(self, system: System) -> tuple[Tensor, Tensor]:
        """Ways (m, N, D) between neighbouring wells, the shortest first, each in one direction, and their middles.

        Two wells are neighbours where no third one is in the ball of which they are the ends.
        """
        wells = self.wells(system)
        i, j = pairs(len(wells), wells.device)
        ways, middles = wells[j] - wells[i], 0.5 * (wells[i] + wells[j])
        lengths = ways.flatten(1).norm(dim=1)
        inside = torch.cdist(middles.flatten(1), wells.flatten(1)) < 0.499 * lengths[:, None]
        order = lengths.argsort()
        order = order[~inside.any(1)[order]]
        return ways[order], middles[order]

    def wells(self, system: System) -> Tensor:
        """Where the wells are (m, N, D), means of identical particles, each once."""
        return mean_by_species(system, self.minima[self.well_numbers(system)])

    def well_numbers(self, system: System) -> Tensor:
        """Which minima (m,) stand for the wells."""
        minima = mean_by_species(system, self.minima if self.places is None else self.minima[:1])
        near = torch.cdist(minima.flatten(1), minima.flatten(1)) <= APART * self.length
        return (near.int().argmax(1) == torch.arange(len(minima), device=minima.device)).nonzero()[:, 0]

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
