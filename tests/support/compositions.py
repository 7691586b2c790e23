"""Compositions of parts of networks: features of pairs and places, messages, boxes, crystals, several species."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from fkflow.hamiltonian.bragg import BraggPeaks
from fkflow.networks import box_parts, confinement, coordinates, layers, messages, species_parts
from fkflow.networks.functions import Features, Gaussians, Root, SquareFunction
from fkflow.networks.site_factor import SiteFactor
from fkflow.networks.species_net import pair_kinds
from fkflow.networks.two_body_factor import TwoBodyFactor, pieces
from fkflow.networks.vector_messages import CoreMessages, VectorMessages
from fkflow.networks.wave_factor import WaveFactor
from fkflow.systems import crystals

DOUBLE = torch.float64


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


def two_bodies(part: Any, y: Tensor) -> Tensor:
    return part("factor")(part("squares")(part("differences")(y, DOUBLE)), 1.3)


def table(core: float = 0.0) -> TwoBodyFactor:
    """f = sin t of t = log(r − core), from t = −1 to 1."""
    t = torch.linspace(-1, 1, 21, dtype=DOUBLE).numpy()
    f = torch.from_numpy(t).sin().numpy()
    return TwoBodyFactor(-1.0, 0.1, pieces(f, torch.from_numpy(t).cos().numpy(), -f, 0.1), core)
