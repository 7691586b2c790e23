"""The network of a system: `build` picks its kind.

Every network maps configurations x (B, N, D) to log ψ(x) (B,), in the length unit of the system. Internally lengths are
divided by the natural length of the potential (`natural_scale.Landscape`), so that no tuning depends on the user's units.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from fkflow.errors import UsageError
from fkflow.hamiltonian.box import open_axes, spacing
from fkflow.hamiltonian.free import direction_together
from fkflow.hamiltonian.masses import user_masses
from fkflow.hamiltonian.natural_scale import Landscape
from fkflow.hamiltonian.shape import find_shape, without_shape
from fkflow.hamiltonian.species import groups_of, is_mixture
from fkflow.hamiltonian.stiffness import find_stiffness
from fkflow.hamiltonian.system import System
from fkflow.networks.centre_factor import CentreFactor
from fkflow.networks.few_body import FewBodyNet
from fkflow.networks.generic import GenericNet
from fkflow.networks.line_factor import LineFactor
from fkflow.networks.liquid import LiquidNet, reach
from fkflow.networks.log_psi import LogPsi
from fkflow.networks.molecular import MolecularNet
from fkflow.networks.origin_factor import OriginFactor
from fkflow.networks.periodic import PeriodicNet, is_even
from fkflow.networks.rods import rod_length
from fkflow.networks.site_factor import site_factor
from fkflow.networks.species_net import SpeciesNet
from fkflow.networks.step_factor import StepFactor
from fkflow.networks.symmetric import SymmetricNet
from fkflow.networks.two_body_factor import core_radius, species_factors, two_body_factor
from fkflow.networks.vector_drift import PairDrift
from fkflow.networks.vibrational import VibrationalNet
from fkflow.networks.walls import wall_factor

#: particles from which on a liquid has a network of its own
MANY = 12

__all__ = [
    "FewBodyNet",
    "GenericNet",
    "LiquidNet",
    "LogPsi",
    "MolecularNet",
    "PairDrift",
    "SpeciesNet",
    "SymmetricNet",
    "VibrationalNet",
    "build",
]


def build(system: System, landscape: Landscape, kind: str, hidden: int, layers: int, seed: int) -> LogPsi | PairDrift:
    """The network of a system, float64, initialised from `seed` alone.

    kind "auto" picks "liquid" for many identical particles in a box and "periodic" for others there, "few_body" for point
    charges, "molecular" for nuclei, "vibrational" for a free molecule that has a shape, "symmetric" for identical particles (or
    one in an isotropic potential), "species" for species of more than one particle, else "generic". Raises UsageError for
    "vibrational" without a shape and "liquid" without a liquid.
    """
    nuclei, point_charges = system.nuclei(), system.point_charges()
    if kind == "auto" and point_charges is not None:
        kind = "few_body"
    shape = find_shape(system, landscape) if kind in ("auto", "vibrational") else None
    if kind == "vibrational" and shape is None:
        raise UsageError(
            f'network.kind = "vibrational" is for a molecule that vibrates about one shape, which {system.key} does not'
        )
    if shape is not None:
        kind = "vibrational"
    elif kind == "auto" and (words := without_shape(system, landscape)):
        raise UsageError(f"{system.key} {words}")
    if kind == "liquid" and not is_liquid(system, landscape):
        raise UsageError(
            f'network.kind = "liquid" is for particles in a plane or in space whose energy is that of their distances in a '
            f"periodic box, which {system.key} is not: leave it out"
        )
    if kind == "auto":
        kind = _automatic_kind(system, landscape)
    positions = charges = None
    if nuclei is not None:
        positions = torch.tensor(nuclei.positions, dtype=torch.float64)
        charges = torch.tensor(nuclei.charges, dtype=torch.float64)
    with torch.random.fork_rng(devices=[]), default_float64():
        torch.manual_seed(seed)
        if kind == "few_body":
            assert point_charges is not None
            net: LogPsi | PairDrift = FewBodyNet(point_charges, hidden, layers)
        elif kind == "molecular":
            assert positions is not None and charges is not None
            net = MolecularNet(positions, charges, system.particles, hidden, layers)
        elif shape is not None:
            net = VibrationalNet(shape, landscape.length, hidden, layers)
        elif kind == "symmetric":
            net = SymmetricNet(
                landscape,
                hidden,
                layers,
                isotropic=system.isotropic,
                separable=system.separable,
                free=system.free,
                two_body_factor=two_body_factor(system, landscape.length, landscape.diameter),
                core=core_radius(system, landscape.length),
            )
        elif kind == "periodic":
            even = is_even(system, landscape)
            rod = rod_length(system, landscape.length, landscape.diameter, landscape.box or (), even=even)
            net = PeriodicNet(
                landscape,
                hidden,
                layers,
                even=even,
                apart=spacing(system, landscape.box or ()),
                two_body_factor=two_body_factor(system, landscape.length, landscape.diameter, rod=rod),
                rod=rod,
                site_factor=site_factor(system, landscape),
            )
        elif kind == "liquid":
            apart = spacing(system, landscape.box or ())
            end = reach(landscape, apart)
            factor = two_body_factor(system, landscape.length, landscape.diameter, end=end)
            net = LiquidNet(landscape, apart, end, factor, site_factor(system, landscape))
        elif kind == "species":
            net = SpeciesNet(
                landscape,
                groups_of(system),
                user_masses(system),
                hidden,
                layers,
                isotropic=system.isotropic,
                separable=system.separable,
                free=system.free,
                two_body_factors=species_factors(system, landscape.length),
            )
        elif kind == "generic":
            net = GenericNet(landscape, hidden, layers, two_body_factor(system, landscape.length, landscape.diameter))
        else:
            # log ψ = −y²/(4 variance): its drift is −y/(2 variance)
            variance = float(landscape.one_body_covariance().diagonal().mean()) / landscape.length**2
            stiffness = 0.0 if nuclei else 0.5 / variance
            net = PairDrift(
                landscape.length,
                landscape.centre[0].clone(),
                stiffness,
                system.particles,
                hidden,
                layers,
                positions,
                charges,
            )
    if isinstance(net, LogPsi):
        net.together = direction_together(system)
        if (stiff := find_stiffness(system, landscape)) is not None:
            net.step_shape = stiff.shape
    centres = landscape.centres
    edges = landscape.walls is not None or landscape.lines or landscape.steps
    if isinstance(net, LogPsi) and (edges or centres is not None or landscape.repulsion is not None):
        # where the internal coordinates count from
        zero = net.coordinates(torch.zeros(1, *landscape.centre.shape, dtype=torch.float64))
        origin = -net.length * zero[:, :, 0].mT
        walls = None if landscape.walls is None else wall_factor(system, landscape.walls, origin, net.length)
        lines: LineFactor | StepFactor | None = None
        if landscape.lines:
            lines = LineFactor(landscape.lines, origin, net.length)
        elif landscape.steps:
            lines = StepFactor(landscape.steps, origin, net.length)
        net.add_edges(walls, lines)
        if centres is not None:
            net.add_cusps(CentreFactor(centres, origin, net.length))
        elif landscape.repulsion is not None:
            net.add_cusps(OriginFactor(landscape.repulsion, origin, net.length))
    return net


def is_liquid(system: System, landscape: Landscape) -> bool:
    """Whether a `LiquidNet` is for it: particles in a closed box of two or three dimensions, and V of their distances."""
    if system.particles == 1 or system.dimensions == 1 or landscape.box is None or open_axes(landscape.box):
        return False
    return is_even(system, landscape)


def _automatic_kind(system: System, landscape: Landscape) -> str:
    """The network that suits a system, by what distinguishes it most."""
    if landscape.box is not None:
        return "liquid" if system.particles >= MANY and is_liquid(system, landscape) else "periodic"
    if system.point_charges() is not None:
        return "few_body"
    if system.nuclei() is not None:
        return "molecular"
    if system.identical and (system.particles > 1 or system.isotropic):
        return "symmetric"
    return "species" if is_mixture(system) else "generic"


@contextmanager
def default_float64() -> Iterator[None]:
    """Parameters made inside are float64 from the start: rounding through float32 would spoil exact starts."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
