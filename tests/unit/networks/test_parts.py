"""The parts of networks, in double precision: values, drifts and Laplacians against automatic differentiation."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fkflow.hamiltonian.bragg import BraggPeaks
from fkflow.hamiltonian.centres import Centres
from fkflow.hamiltonian.line_states import Jump, LineState, line_state
from fkflow.hamiltonian.registry import find_system
from fkflow.hamiltonian.shape import Coordinates
from fkflow.hamiltonian.steps import Step
from fkflow.hamiltonian.surfaces import Surfaces
from fkflow.hamiltonian.walls import Ball, HalfLine, Walls
from fkflow.networks import (
    box_parts,
    confinement,
    coordinates,
    layers,
    messages,
    molecular_features,
    molecular_parts,
    shape_parts,
    species_parts,
)
from fkflow.networks import tangents as tangents_module
from fkflow.networks.centre_factor import CentreFactor
from fkflow.networks.choice import default_float64
from fkflow.networks.few_body import FewBodyNet
from fkflow.networks.functions import DistanceFunction, Features, Gaussians, Root, SquareFunction
from fkflow.networks.line_factor import LineFactor
from fkflow.networks.log_psi import LogPsi
from fkflow.networks.origin_factor import OriginFactor
from fkflow.networks.parts import Node, Part, Tape, Term, TermOfCoordinates
from fkflow.networks.site_factor import SiteFactor
from fkflow.networks.species_net import pair_kinds
from fkflow.networks.step_factor import StepFactor
from fkflow.networks.surface_factor import SurfaceFactor
from fkflow.networks.two_body_factor import TwoBodyFactor, pieces
from fkflow.networks.vector_messages import CoreMessages, VectorMessages
from fkflow.networks.walls import BoundaryFactor, WallFactor
from fkflow.networks.wave_factor import WaveFactor
from fkflow.networks.wells import Wells
from fkflow.sampling.local_energy import laplacian
from fkflow.systems import crystals

DOUBLE = torch.float64
PAGE = Path(__file__).resolve().parents[3] / "docs" / "architecture.md"
# the feature that docs/architecture.md adds is one more subclass of SquareFunction, tested as all are
(EXAMPLE,) = (
    block for block in re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.S) if "SquareFunction" in block
)
NAMES = {"torch": torch, "Tensor": Tensor, "SquareFunction": SquareFunction}
exec(EXAMPLE, NAMES)


class Composition(LogPsi):
    """log ψ that some parts make: `parts` are called by name."""

    def __init__(self, parts: dict[str, nn.Module], compose: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        self.parts = nn.ModuleDict(parts)
        self._compose = compose

    def compose(self, y: Tensor) -> Tensor:
        return self._compose(lambda name: self.parts[name], y)


def of_pairs(function: SquareFunction) -> tuple[dict[str, nn.Module], Callable[[Any, Tensor], Tensor]]:
    """A feature of pairs below a layer of pairs, its messages and a layer of particles."""
    count = function.count
    made = {
        "differences": coordinates.Differences(),
        "squares": coordinates.Squares(),
        "places": coordinates.Places(True),
        "features": Features(function),
        "pair_in": layers.mlp([count, 3]),
        "receive": messages.Receive(),
        "message": layers.mlp([3 + 2, 3]),
        "silu": layers.SiLU(),
        "pair_out": layers.mlp([3 + 3 + count, 2], first=messages.PairLinear),
        "sum_over_pairs": layers.SumOverPairs(),
        "readout": layers.mlp([2, 1]),
        "weighted": layers.Weighted(),
        "sum": layers.Sum(),
    }

    def compose(part: Any, y: Tensor) -> Tensor:
        places = part("places")(y, DOUBLE)
        features = part("features")(part("squares")(part("differences")(y, DOUBLE)))
        sent = part("silu")(part("pair_in")(features))
        particle = part("silu")(part("message")(places, part("receive")(sent, places)))
        value = part("weighted")(part("sum_over_pairs")(features), torch.arange(1.0, count + 1, dtype=DOUBLE))
        second = part("silu")(part("pair_out")(sent, particle, features))
        return value + part("sum")(part("readout")(part("sum_over_pairs")(second)))

    return made, compose


def in_a_box(
    *, smooth: bool, sides: tuple[float, float] = (3.0, 2.0)
) -> tuple[dict[str, nn.Module], Callable[[Any, Tensor], Tensor]]:
    """Features of pairs and waves of places in a periodic box, with messages; and a function of nearest images.

    Along a second axis of infinite side also functions of places, and tails.
    """
    opened = math.isinf(sides[1])
    made, _ = of_pairs(Gaussians((0.5, 1.0)))
    del made["weighted"]
    made |= {
        "box_squares": box_parts.PairSquares(sides, smooth=smooth),
        "nearest": box_parts.PairSquares(sides, smooth=False),
        "places": coordinates.Places(False),
        "waves": box_parts.Harmonics(sides, 2),
        "message": layers.mlp([3 + 8 + 2 * opened, 3]),
        "factor": table(),
    }
    if opened:
        made["open_places"] = box_parts.OpenPlaces((1,), (0.3,), (0.8,))
        made["tails"] = box_parts.OpenTails((1,), (0.3,), (0.8,))

    def compose(part: Any, y: Tensor) -> Tensor:
        places, squares = part("places")(y, DOUBLE), part("box_squares")(y, DOUBLE)
        features = part("features")(squares)
        sent = part("silu")(part("pair_in")(features))
        own = [part(name)(y, DOUBLE) for name in ("waves", "open_places")[: 1 + opened]]
        particle = part("silu")(part("message")(*own, part("receive")(sent, places)))
        second = part("silu")(part("pair_out")(sent, particle, features))
        value = part("sum")(part("readout")(part("sum_over_pairs")(second)))
        if opened:
            value = value + part("tails")(y, torch.tensor([[0.4, 0.3, 0.1]], dtype=DOUBLE))
        return value + part("factor")(part("nearest")(y, DOUBLE), 1.3)

    return made, compose


def vector_messages(
    sides: tuple[float, ...] = (3.0, 2.5, 2.8),
) -> tuple[dict[str, nn.Module], Callable[[Any, Tensor], Tensor]]:
    """Pair functions and vector messages in a periodic box, none of them with the weight 0."""
    made = VectorMessages(sides, 0.9)
    nn.init.normal_(made.jastrow)
    nn.init.normal_(made.weights)
    return {"messages": made}, lambda part, y: part("messages")(y, DOUBLE)


def density_waves() -> tuple[dict[str, nn.Module], Callable[[Any, Tensor], Tensor]]:
    """Five waves of the density of a periodic box, two of them with the same weight."""
    orders = torch.tensor([[1, 0, 0], [0, 1, 2], [0, 1, -2], [2, -1, 1], [1, 1, 0]])
    made = WaveFactor((3.0, 2.5, 2.8), orders, torch.tensor([0, 1, 1, 2, 3]))
    nn.init.normal_(made.weights)
    return {"waves": made}, lambda part, y: part("waves")(y, DOUBLE)


#: sites of a crystal in two dimensions, and the sides of its box
TRIANGLES, TRIANGLES_BOX = crystals.places("triangular", (2, 1), (2.0, 1.8)), (2.0, 1.8)


def sites() -> tuple[dict[str, nn.Module], Callable[[Any, Tensor], Tensor]]:
    """The sites of four particles in a plane."""
    made = SiteFactor(BraggPeaks(torch.tensor(TRIANGLES, dtype=DOUBLE), TRIANGLES_BOX), 1.0, 0.33)
    return {"sites": made}, lambda part, y: part("sites")(y, DOUBLE)


def core_messages() -> tuple[dict[str, nn.Module], Callable[[Any, Tensor], Tensor]]:
    """Pair functions and vector messages of particles with cores in free space, none of them with the weight 0."""
    made = CoreMessages(0.6)
    nn.init.normal_(made.jastrow)
    nn.init.normal_(made.weights)
    return {"messages": made}, lambda part, y: part("messages")(y, DOUBLE)


def of_places(function: SquareFunction) -> tuple[dict[str, nn.Module], Callable[[Any, Tensor], Tensor]]:
    """A feature of places below a perceptron."""
    made = {
        "squares": coordinates.Squares(),
        "places": coordinates.Places(False),
        "features": Features(function),
        "net": layers.mlp([function.count, 4, 3, 1]),
        "sum": layers.Sum(),
    }

    def compose(part: Any, y: Tensor) -> Tensor:
        features = part("features")(part("squares")(part("places")(y, DOUBLE)))
        return part("sum")(part("net")(features))

    return made, compose


#: particles of three species
GROUPS, MASSES = ((0, 1), (2, 3, 4), (5,)), (2.0, 2.0, 0.7, 0.7, 0.7, 5.0)


def several_species(relative: bool, more: int = 0) -> tuple[dict[str, nn.Module], Callable[[Any, Tensor], Tensor]]:
    """Pairs and particles of three species with messages, `more` particles of the last one, and sums over them."""
    groups = (*GROUPS[:2], tuple(range(5, 6 + more)))
    masses = (*MASSES, *(MASSES[-1:] * more))
    n = len(masses)
    kinds = pair_kinds(groups)
    kind_of = {row: number for number, rows in enumerate(kinds.values()) for row in rows}
    of_pair = [kind_of[row] for row in range(n * (n - 1) // 2)]
    of_particle = [s for s, group in enumerate(groups) for _ in group]
    features = Features(Root(), Gaussians())
    count = sum(features.counts)
    made = {
        "differences": species_parts.SpeciesDifferences(masses),
        "squares": coordinates.Squares(),
        "places": species_parts.SpeciesPlaces(masses, torch.zeros(2, n, 1), relative),
        "own": Features(Root()),
        "features": features,
        "join": species_parts.Join(list(kinds.values())),
        "receive": messages.Receive(),
        "message": layers.mlp([3 + 2 + 1, 3], first=lambda a, b: species_parts.KindLinear(a, b, of_particle)),
        "silu": layers.SiLU(),
        "pair_out": layers.mlp([3 + 3 + count, 2], first=lambda a, b: species_parts.KindPairLinear(a, b, of_pair)),
        "sum_over_pairs": layers.SumOverPairs(),
        "means": species_parts.Means(torch.eye(n)[:2], flat=True),
        "gaussian": confinement.Gaussian(),
        "round": confinement.RoundGaussian(),
        "tails": confinement.Tails(),
        "sum": layers.Sum(),
    }
    for number, rows in enumerate(kinds.values()):
        made[f"pairs_{number}"], made[f"pair_in_{number}"] = species_parts.Select(rows), layers.mlp([count, 3])
        made[f"pair_readout_{number}"] = layers.mlp([2, 1])
    for number, group in enumerate(groups):
        made[f"select_{number}"], made[f"readout_{number}"] = species_parts.Select(group), layers.mlp([3, 2, 1])
    for one in made.values():
        for name, bias in one.named_parameters():
            if name.endswith("bias"):
                nn.init.normal_(bias)

    def compose(part: Any, y: Tensor) -> Tensor:
        places, differences = part("places")(y, DOUBLE), part("differences")(y, DOUBLE)
        square = part("squares")(places)
        features = part("features")(part("squares")(differences))
        chosen = [part(f"pairs_{number}")(features) for number in range(len(kinds))]
        pieces = [part("silu")(part(f"pair_in_{number}")(one)) for number, one in enumerate(chosen)]
        sent = part("join")(*pieces, differences)
        particle = part("silu")(part("message")(part("own")(square), places, part("receive")(sent, places)))
        second = part("silu")(part("pair_out")(sent, particle, features))
        value = part("gaussian")(part("means")(y, DOUBLE), torch.eye(4, dtype=DOUBLE).sin() + 0.1, 1.0)
        value = value + part("tails")(part("select_0")(square), torch.tensor([0.7, 0.3], dtype=DOUBLE))
        value = value + part("round")(part("select_1")(square), torch.tensor(0.4, dtype=DOUBLE), 2.0)
        for number in range(len(kinds)):
            total = part("sum_over_pairs")(part(f"pairs_{number}")(second))
            value = value + part("sum")(part(f"pair_readout_{number}")(total))
        for number in range(len(groups)):
            value = value + part("sum")(part(f"readout_{number}")(part(f"select_{number}")(particle)))
        return value

    return made, compose


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


def two_bodies(part: Any, y: Tensor) -> Tensor:
    return part("factor")(part("squares")(part("differences")(y, DOUBLE)), 1.3)


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


def table(core: float = 0.0) -> TwoBodyFactor:
    """f = sin t of t = log(r − core), from t = −1 to 1."""
    t = torch.linspace(-1, 1, 21, dtype=DOUBLE).numpy()
    f = torch.from_numpy(t).sin().numpy()
    return TwoBodyFactor(-1.0, 0.1, pieces(f, torch.from_numpy(t).cos().numpy(), -f, 0.1), core)


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


CASES: dict[str, tuple[tuple[int, int], Callable[[], tuple[dict[str, nn.Module], Callable[[Any, Tensor], Tensor]]]]] = {
    "confinement": (
        (3, 2),
        lambda: (
            {
                "mean": coordinates.CentreOfMass(),
                "places": coordinates.Places(True),
                "squares": coordinates.Squares(),
                "gaussian": confinement.Gaussian(),
                "round": confinement.RoundGaussian(),
                "tails": confinement.Tails(),
            },
            confined,
        ),
    ),
    "whitening": (
        (2, 2),
        lambda: (
            {
                "whitening": coordinates.Whitening(),
                "gaussian": confinement.Gaussian(),
                "net": layers.mlp([4, 3, 1]),
                "element_squares": confinement.ElementSquares(),
                "tails": confinement.Tails(),
                "sum": layers.Sum(),
            },
            whitened,
        ),
    ),
    "open ends": (
        (2, 2),
        lambda: (
            {
                "whitening": coordinates.Whitening(),
                "saturated": confinement.Saturated(),
                "net": layers.mlp([4, 3, 1]),
                "round_tails": confinement.RoundTails(),
                "sum": layers.Sum(),
            },
            open_ended,
        ),
    ),
    "two bodies": (
        (3, 3),
        lambda: (
            {"differences": coordinates.Differences(), "squares": coordinates.Squares(), "factor": table()},
            two_bodies,
        ),
    ),
    "hard cores": (
        (3, 2),
        lambda: (
            {"differences": coordinates.Differences(), "squares": coordinates.Squares(), "factor": table(core=0.05)},
            two_bodies,
        ),
    ),
    "walls": ((2, 3), lambda: ({"factor": walled()}, lambda part, y: part("factor")(y))),
    "surfaces": ((2, 2), lambda: ({"factor": surfaces()}, lambda part, y: part("factor")(y))),
    "steps": ((1, 2), lambda: ({"factor": steps()}, lambda part, y: part("factor")(y))),
    "lines": ((2, 2), lambda: ({"factor": lines()}, lambda part, y: part("factor")(y))),
    "wells": ((2, 2), lambda: ({"factor": wells()}, several_wells)),
    "open wells": ((2, 2), lambda: ({"factor": wells(open_=True)}, several_wells)),
    "centres": ((1, 3), lambda: ({"factor": charges()}, lambda part, y: part("factor")(y))),
    "origin": (
        (1, 3),
        lambda: (
            {"factor": OriginFactor(1.7, torch.tensor([[0.2, -0.1, 0.3]], dtype=DOUBLE), 0.8)},
            lambda part, y: part("factor")(y),
        ),
    ),
    "species": ((6, 2), lambda: several_species(relative=False)),
    "species about their centre of mass": ((6, 2), lambda: several_species(relative=True)),
    "many of several species": ((9, 2), lambda: several_species(relative=True, more=3)),
    "charges": ((4, 3), lambda: few_body(species=[charged("e", 2, -1.0, 1.0), charged("p", 2, 1.0, 0.7)])),
    "charges about a pinned one": ((3, 3), lambda: few_body(species=ABOUT_A_CHARGE)),
    "heavy charges": ((3, 3), lambda: few_body(species=HEAVY)),
    "charges in a plane": ((3, 2), lambda: few_body(dimensions=2)),
    "charges in a trap": ((3, 3), lambda: few_body(omega=0.3)),
    "charges without cusps": ((3, 2), lambda: few_body(dimensions=2, interaction="keldysh")),
    "vibrations": ((4, 3), lambda: (vibrations(), vibrating)),
    "vibrations in the plane": ((4, 2), lambda: (vibrations(), vibrating)),
    "a box": ((4, 2), lambda: in_a_box(smooth=True)),
    "a slab": ((3, 2), lambda: in_a_box(smooth=True, sides=(3.0, math.inf))),
    "nearest images of many": ((9, 2), lambda: in_a_box(smooth=False)),
    "a liquid": ((4, 3), vector_messages),
    "a liquid of many": ((9, 2), lambda: vector_messages(sides=(3.0, 4.0))),
    "waves of the density": ((4, 3), density_waves),
    "sites": ((4, 2), sites),
    "cores": ((4, 3), core_messages),
    "one electron": ((1, 3), lambda: (molecule(1), molecular)),
    "two electrons": ((2, 3), lambda: (molecule(2), molecular)),
}
for kind in SquareFunction.__subclasses__():
    CASES[f"{kind.__name__} of pairs"] = (4, 2), lambda kind=kind: of_pairs(kind())
    CASES[f"{kind.__name__} of many pairs"] = (9, 2), lambda kind=kind: of_pairs(kind())
    CASES[f"{kind.__name__} of places"] = (1, 3), lambda kind=kind: of_places(kind())


@pytest.fixture(autouse=True)
def double_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tangents_module, "PRECISION", DOUBLE)


def composition(name: str) -> tuple[Composition, Tensor]:
    """A composition with random parameters, and configurations (7, N, D)."""
    shape, make = CASES[name]
    with torch.random.fork_rng(devices=[]), default_float64():
        torch.manual_seed(0)
        net = Composition(*make())
    x = torch.randn(7, *shape, generator=torch.Generator().manual_seed(1), dtype=DOUBLE)
    # without a crystal there is no place where it is
    return net, torch.tensor(TRIANGLES, dtype=DOUBLE) + 0.1 * x + x[:, :1] if name == "sites" else x


def same(found: Tensor, expected: Tensor) -> bool:
    return torch.allclose(found, expected, rtol=1e-11, atol=1e-11 * float(expected.abs().max()))


def agrees(net: Composition, x: Tensor) -> bool:
    """Whether values, drift and Laplacian from the parts are those of automatic differentiation."""
    assert net.analytic
    expected, expected_drift = net.differentiated(x)
    value, drift, found = net.value_drift_and_laplacian(x)
    assert same(net.value(x), expected) and same(value, expected)
    again = net.value_and_drift(x)[1]
    return same(drift, expected_drift) and same(again, expected_drift) and same(found, laplacian(net, x)[0])


@pytest.mark.parametrize("name", CASES)
def test_derivatives(name: str) -> None:
    net, x = composition(name)
    assert agrees(net, x)


@functools.cache
def parts_of(name: str) -> frozenset[type]:
    """The kinds of parts in a composition."""
    return frozenset(map(type, composition(name)[0].modules()))


def all_parts(kind: type[Part] = Part) -> Iterator[type[Part]]:
    for one in kind.__subclasses__():
        yield from (one, *all_parts(one))


@pytest.mark.parametrize(
    "kind", [kind for kind in all_parts() if kind.__module__.startswith("fkflow") and not kind.__name__.startswith("_")]
)
def test_every_part_is_tested_and_a_wrong_one_is_seen(kind: type[Part], monkeypatch: pytest.MonkeyPatch) -> None:
    """The counterexample of each part: with a pull back or a Laplacian term that is 1 % off its compositions disagree."""
    # the boundary that a user states is differentiated automatically (test_walls.py)
    if kind in (Term, TermOfCoordinates, BoundaryFactor):
        return
    name = next((name for name in CASES if kind in parts_of(name)), None)
    assert name, f"no composition in CASES has a {kind.__name__}"
    net, x = composition(name)
    if kind.curved:
        right = kind.laplacian_term
        monkeypatch.setattr(kind, "laplacian_term", lambda self, node: 1.01 * right(self, node))
        assert not agrees(net, x)
        monkeypatch.undo()
        monkeypatch.setattr(tangents_module, "PRECISION", DOUBLE)
    assert agrees(net, x)

    class Wrong(Node):
        """Takes 1 % too much of every gradient."""

        __slots__ = ()

        def add(self, gradient: Tensor, *, new: bool = True) -> None:
            super().add(1.01 * gradient)

        def add_product(self, matrix: Tensor, gradient: Tensor, alpha: float = 1.0) -> None:
            super().add_product(matrix, gradient, 1.01 * alpha)

    right_pull = kind.pull_back

    def wrong_pull(self: Part, node: Node, gradient: Any) -> None:
        for one in node.inputs:
            if isinstance(one, Node):
                one.__class__ = Wrong
        right_pull(self, node, None if gradient is None else 1.01 * gradient)
        for one in node.inputs:
            if isinstance(one, Node):
                one.__class__ = Node

    monkeypatch.setattr(kind, "pull_back", wrong_pull)
    assert not agrees(net, x)


@pytest.mark.parametrize("kind", DistanceFunction.__subclasses__())
def test_functions_of_a_distance(kind: type[DistanceFunction]) -> None:
    r = torch.logspace(-6, 3, 50, dtype=DOUBLE).requires_grad_()
    (first,) = torch.autograd.grad(kind.value(r).sum(), r, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), r)
    assert torch.allclose(kind.derivative(r), first, rtol=1e-10) and torch.allclose(
        kind.second_derivative(r), second, rtol=1e-8, atol=1e-12
    )
    assert not torch.allclose(1.001 * kind.derivative(r), first, rtol=1e-4)


def test_a_part_without_derivatives_is_differentiated_automatically() -> None:
    class Sine(Term):
        def value(self, *inputs: Tensor) -> Tensor:
            return inputs[0].sin().sum((0, 1))

    net = Composition({"sine": Sine()}, lambda part, y: part("sine")(y))
    x = torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    assert not net.analytic
    value, drift = net.value_and_drift(x)
    assert torch.allclose(value, x.sin().sum((1, 2))) and torch.allclose(drift, x.cos())
    assert torch.allclose(laplacian(net, x)[0], -x.sin().sum((1, 2)))


def test_only_terms_are_added() -> None:
    tape = Tape(derivatives=True)
    square = coordinates.Squares()(tape.start(torch.ones(2, 3, 4, dtype=DOUBLE)))
    with pytest.raises(AssertionError, match="terms"):
        square + square  # type: ignore[operator]
