"""Compositions of parts that know something given: a confinement, nuclei, walls, steps, wells, charges, a shape."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from compositions import DOUBLE
from torch import Tensor, nn

from fkflow.hamiltonian.centres import Centres
from fkflow.hamiltonian.line_states import Jump, LineState, line_state
from fkflow.hamiltonian.registry import find_system
from fkflow.hamiltonian.shape import Coordinates
from fkflow.hamiltonian.steps import Step
from fkflow.hamiltonian.surfaces import Surfaces
from fkflow.hamiltonian.walls import Ball, HalfLine, Walls
from fkflow.networks import layers, molecular_features, molecular_parts, shape_parts
from fkflow.networks.centre_factor import CentreFactor
from fkflow.networks.few_body import FewBodyNet
from fkflow.networks.line_factor import LineFactor
from fkflow.networks.parts import Node
from fkflow.networks.step_factor import StepFactor
from fkflow.networks.surface_factor import SurfaceFactor
from fkflow.networks.walls import WallFactor
from fkflow.networks.wells import Wells


def confined(part: Any, y: Tensor) -> Tensor:
    root, weights = torch.tensor([[0.9, 0.2], [0.1, 1.1]], dtype=DOUBLE), torch.tensor([0.7, 0.3], dtype=DOUBLE)
    mean, places = part("mean")(y, DOUBLE), part("places")(y, DOUBLE)
    square = part("squares")(places)
    value = part("gaussian")(places, root, 1.0) + part("gaussian")(mean, root, 3)
    return value + part("round")(square, root[0, 0], 2.0) + part("tails")(square, weights)


def whitened(part: Any, y: Tensor) -> Tensor:
    count = y.value.shape[0] * y.value.shape[1] if isinstance(y, Node) else y.shape[0] * y.shape[1]
    matrix = torch.linspace(-1, 1, count**2, dtype=DOUBLE).sin().view(count, count) + torch.eye(count, dtype=DOUBLE)
    z = part("whitening")(y, matrix)
    weights = torch.tensor([0.7, 0.3], dtype=DOUBLE)
    value = part("gaussian")(z, matrix, 1.0) + part("sum")(part("net")(z))
    return value + part("tails")(part("element_squares")(z), weights)


def molecular(part: Any, y: Tensor) -> Tensor:
    beta, electrons = torch.tensor([0.8, 1.3], dtype=DOUBLE), len(y.value[0] if isinstance(y, Node) else y[0])
    near = part("near")(y, SITES, DOUBLE)
    charged = part("scaled")(near, CHARGES[:, None])
    exponents = torch.linspace(-0.3, 0.4, 2 * len(CHARGES), dtype=DOUBLE)
    weights = exponents if electrons == 1 else exponents[:, None] * exponents
    value = part("nuclear_cusp")(charged, beta[0]) + part("orbitals")(charged, exponents, weights)
    apart = None
    if electrons == 2:
        apart = part("apart")(y, DOUBLE)
        value = value + part("electron_cusp")(apart, beta[1])
    return value + part("mean")(part("net")(part("features")(near, charged, apart)))


#: three nuclei, two of which may be exchanged
POSITIONS = torch.tensor([[0.0, 0.0, -1.0], [0.0, 0.3, 0.0], [0.0, 0.0, 1.0]], dtype=DOUBLE)
CHARGES, SITES = torch.tensor([1.0, 2.0, 1.0], dtype=DOUBLE), POSITIONS.mT[:, None, :, None]


def molecule(electrons: int) -> dict[str, nn.Module]:
    bonds = molecular_parts.lengths(POSITIONS.mT[:, :, None] - POSITIONS.mT[:, None])
    images = torch.tensor(molecular_features.nuclear_symmetries(bonds, CHARGES))
    features = molecular_features.MolecularFeatures(bonds, CHARGES, electrons)
    net = layers.mlp([features.count, 4, 3, 1], first=molecular_parts.LabelledLinear)
    net[0].label(molecular_features.labellings(images, electrons))
    of_two = {"apart": molecular_parts.ElectronDistance(), "electron_cusp": molecular_parts.CuspFactor(0.5)}
    return {
        **(of_two if electrons == 2 else {}),
        "near": molecular_parts.NucleusDistances(),
        "scaled": molecular_parts.Scaled(),
        "nuclear_cusp": molecular_parts.CuspFactor(-1.0),
        "orbitals": molecular_parts.Orbitals(CHARGES, images),
        "features": features,
        "net": net,
        "mean": molecular_parts.LabellingMean(),
    }


def walled() -> WallFactor:
    """Two particles, one in a tube and above a plane, one in a sphere, all of which are large."""
    tube = (Ball((0, 2), (0.1, -0.2), 7.0), HalfLine((1,), -6.0, 1.0, 1.7), HalfLine((1,), 9.0, -1.0))
    walls = Walls((tube, (Ball((0, 1, 2), (0.1, 0.0, 0.3), 8.0, 2.0),)))
    return WallFactor(walls, torch.tensor([[0.2, 0.1, 0.3], [0.0, -0.1, 0.2]], dtype=DOUBLE), 1.3)


def lines() -> LineFactor:
    """A step along one axis of all particles, and one along the other axis of one of them, in tables that some are beyond."""

    def step(at: Tensor) -> Tensor:
        return torch.where(at > 0.3, 2.0, 0.0).to(DOUBLE) + 0.5 * at.square()

    table = line_state(step, (-2.0, 2.0), (False, False), [Jump(0.3, 2.0)], 0.0)
    assert table is not None
    made = [LineState(None, 0, *table), LineState(1, 1, *table)]
    return LineFactor(made, torch.tensor([[0.2, 0.1], [0.2, -0.1]], dtype=DOUBLE), 1.3)


def open_ended(part: Any, y: Tensor) -> Tensor:
    """Exponential tails, and a perceptron that is constant far out."""
    matrix = torch.linspace(-1, 1, 16, dtype=DOUBLE).sin().view(4, 4) + torch.eye(4, dtype=DOUBLE)
    matrix = 0.5 * (matrix + matrix.mT)
    z = part("saturated")(part("whitening")(y, 5 * matrix))
    return part("round_tails")(y, matrix, torch.tensor([0.7, 0.3], dtype=DOUBLE)) + part("sum")(part("net")(z))


def surfaces() -> SurfaceFactor:
    """Two particles in a large wedge below a bowl."""
    square = torch.zeros(3, 2, 2, dtype=DOUBLE)
    square[2] = -0.1 * torch.eye(2, dtype=DOUBLE)
    linear = torch.tensor([[0.0, 1.0], [0.8, -0.6], [0.1, 0.0]], dtype=DOUBLE)
    constant = torch.tensor([4.0, 4.5, 5.0], dtype=DOUBLE)
    nowhere = torch.full((2,), math.inf, dtype=DOUBLE)
    edges = ((0, 1, math.acos(0.6)), (1, 2, 2.0))
    centre = torch.tensor([0.1, -0.3], dtype=DOUBLE)
    one = Surfaces((0, 1), centre, 1.7, constant, linear, square, edges, -nowhere, nowhere, nowhere)
    return SurfaceFactor([one, one], torch.tensor([[0.2, 0.1], [0.0, -0.1]], dtype=DOUBLE), 0.7)


def steps() -> StepFactor:
    """A ball and a plane, with some places outside of each."""
    centre, nowhere = torch.tensor([0.1, -0.3], dtype=DOUBLE), torch.full((2,), math.inf, dtype=DOUBLE)
    square = torch.stack([-0.5 * torch.eye(2, dtype=DOUBLE), torch.zeros(2, 2, dtype=DOUBLE)])
    linear, constant = torch.tensor([[0.0, 0.0], [0.6, -0.8]], dtype=DOUBLE), torch.tensor([0.5, 0.3], dtype=DOUBLE)
    one = Surfaces((0, 1), centre, 1.1, constant, linear, square, (), -nowhere, nowhere, nowhere)
    return StepFactor(
        [Step(one, torch.tensor([3.0, 40.0], dtype=DOUBLE))], torch.tensor([[0.2, 0.1]], dtype=DOUBLE), 0.7
    )


def several_wells(part: Any, y: Tensor) -> Tensor:
    """Three wells of different shapes, heights and stiffness."""
    heights, stiffness = (torch.tensor(values, dtype=DOUBLE) for values in ((0.0, 0.7, -0.4), (0.2, 0.0, -0.3)))
    return part("factor")(y, heights, stiffness)


def wells(*, open_: bool = False) -> Wells:
    """Wells of two particles in the plane."""
    widths = torch.eye(4, dtype=DOUBLE) + 0.2 * torch.randn(3, 4, 4, dtype=DOUBLE)
    return Wells(torch.randn(3, 4, dtype=DOUBLE), widths, open_=open_)


def charges() -> CentreFactor:
    """Two centres in space, of different cusps."""
    places = torch.tensor([[0.3, -0.2, 0.4], [-0.5, 0.1, 0.0]], dtype=DOUBLE)
    return CentreFactor(Centres(places, torch.tensor([1.3, 0.4], dtype=DOUBLE)), torch.zeros(1, 3, dtype=DOUBLE), 1.2)


def few_body(**parameters: Any) -> tuple[dict[str, nn.Module], Callable[[Any, Tensor], Tensor]]:
    """Charged particles, with random parameters."""
    charges = find_system("coulomb")(**parameters).point_charges()
    net = FewBodyNet(charges, 5, 2)
    with torch.no_grad():
        for one in net.parameters():
            one.add_(0.3 * torch.randn_like(one))
    return {"net": net}, lambda part, y: part("net").compose(y)


def charged(name: str, count: int, charge: float, mass: float) -> dict[str, Any]:
    return {"name": name, "count": count, "charge": charge, "mass": mass}


#: light ones of two kinds about a pinned charge, and two heavy ones that repel each other
ABOUT_A_CHARGE = [
    charged("e", 2, -1.0, 1.0),
    charged("p", 1, 1.0, 0.7),
    {"name": "P", "charge": 1.0, "at": [[0.3, 0, 0]]},
]
HEAVY = [charged("P", 2, 1.0, 20.0), charged("e", 1, -1.0, 1.0)]


def vibrating(part: Any, y: Tensor) -> Tensor:
    """Four atoms with all distances and some angles."""
    q = part("vibrations")(part("internal")(y, DOUBLE))
    root = torch.linspace(-1, 1, 9, dtype=DOUBLE).sin().view(3, 3) + torch.eye(3, dtype=DOUBLE)
    return part("gaussian")(q, root) + part("mean")(part("net")(q))


def vibrations() -> dict[str, nn.Module]:
    weights, scales = torch.tensor([1.0, 1.0, 0.7, 0.3], dtype=DOUBLE), torch.tensor([1.5, 1.5, 0.8], dtype=DOUBLE)
    bonds = torch.tensor([[0, 2], [1, 2], [2, 3], [0, 1]])
    angles = torch.tensor([[2, 0, 3], [2, 1, 3], [3, 0, 1]])
    known = Coordinates(weights, bonds, angles, scales)
    exchanges = torch.tensor([known.exchanged((0, 1, 2, 3)), known.exchanged((1, 0, 2, 3))])
    modes = torch.linspace(-2, 1, 21, dtype=DOUBLE).cos().view(7, 3)
    return {
        "internal": shape_parts.BondsAndAngles(known, torch.linspace(0.5, 2.0, 7, dtype=DOUBLE), 1.2),
        "vibrations": shape_parts.Vibrations(modes, exchanges),
        "gaussian": shape_parts.MeanGaussian(),
        "net": layers.mlp([3, 4, 3, 1]),
        "mean": molecular_parts.LabellingMean(),
    }
