"""The zoo: every potential with its parameters and its reference."""

from __future__ import annotations

from functools import partial

import numpy as np

from .answers import apart, axis, ball, closed, everywhere, inside, line, within
from .case import Case
from .cases_of_many import COUPLED, PAIRS
from .closed_forms import (
    AIRY,
    BESSEL_0,
    BESSEL_1,
    OF_AIRY,
    OF_BALL,
    OF_DISC,
    OF_HALF_DISC,
    hydrogen,
    mean,
    ranked,
    rods,
    triangle_waves,
    valley,
    waves,
)

SLOW = (
    Case("wells, tilted", "slow.py:Wells", line(-6, 6, parts=30), {"height": 14.0, "a": 1.9, "tilt": 0.03}),
    Case("wells, tilted little", "slow.py:Wells", line(-6, 6, parts=30), {"height": 3.6, "tilt": 0.012}),
    Case("wells, gap 0.1", "slow.py:Wells", line(-6, 6, parts=30), {"height": 2.2, "a": 1.7}),
    Case("wells, gap 0.02", "slow.py:Wells", line(-6, 6, parts=30), {"height": 3.6}),
    Case("wells, gap 0.005", "slow.py:Wells", line(-6, 6, parts=30), {"height": 4.9}),
    Case("three wells", "slow.py:ThreeWells", line(-6, 6, parts=30)),
    Case("three wells, outer lower", "slow.py:ThreeWells", line(-6, 6, parts=30), {"strength": 0.08, "lower": 0.2}),
    Case("narrow and wide", "slow.py:NarrowAndWide", line(-6, 10, parts=40), {"depth": 2.2}),
    Case("four wells", "slow.py:FourWells", everywhere(5.0, 50)),
    Case("triangle", "slow.py:Triangle", everywhere(8.0, 50)),
    Case("clover", "slow.py:Clover", everywhere(5.0, 50)),
    Case("two in wells", "slow.py:TwoInWells", everywhere(4.5, 50)),
    Case("tunnel in 6", "slow.py:Tunnel", line(-6, 6, direction=mean, parts=20, rest=3.75)),
    Case("cloud in wells, 12", "slow.py:CloudInWells", line(-6, 6, direction=mean, parts=20, rest=5.5)),
    Case("lattice", "slow.py:Lattice", line(-25, 25, parts=50)),
    Case("hexagons", "slow.py:Hexagons", everywhere(8.0, 50)),
    Case("stack", "slow.py:Stack", everywhere(7.0, 40)),
    Case("leaning wells", "slow.py:Leaning", line(-7, 7)),
    Case("dimples", "slow.py:Dimples", everywhere(6.0, 60)),
)

SCALES = (
    Case("x^6", "scales.py:Power", line(-3, 3)),
    Case("x^8", "scales.py:Power", line(-3, 3), {"power": 8}),
    Case("r^8 in 3", "scales.py:Flat", line(0, 4, dimensions=3)),
    Case("|x|", "scales.py:Cusp", line(-12, 0, 12, parts=10)),
    Case("sqrt |x|", "scales.py:Cusp", ball(60.0), {"power": 0.5}),
    Case("staircase", "scales.py:Staircase", line(*range(-12, 13), parts=2)),
    Case("finite well", "scales.py:FiniteWell", line(-12, -4, -1.5, 1.5, 4, 12)),
    Case("ledges", "scales.py:Ledges", line(-5, -3, -1, 0, 2.5, 5)),
    Case("layers", "scales.py:Layers", line(0, 1, 2, 4, 7, dimensions=2, parts=4)),
    Case("log r in 2", "scales.py:Log", ball(12.0, scale=1.0)),
    Case("log r in 3", "scales.py:Log", ball(12.0, scale=1.0), {"dimensions": 3}),
    Case("log |x|, strong", "scales.py:Log", ball(4.0, scale=9.0), {"dimensions": 1, "strength": 9.0}),
    Case("-1/r in 2", "scales.py:Coulomb", closed(lambda s: -2 * s.charge**2, levels=lambda s: hydrogen(2, s.charge))),
    Case(
        "-1/r in 3",
        "scales.py:Coulomb",
        closed(lambda s: -(s.charge**2) / 2, levels=lambda s: hydrogen(3, s.charge)),
        {"dimensions": 3, "charge": 1.5},
    ),
    Case("screened", "scales.py:Yukawa", ball(60.0, scale=0.5)),
    Case("quarks", "scales.py:Cornell", ball(16.0, scale=1.0)),
    Case("pit in 1", "scales.py:Pit", line(-60, -8, 0, 8, 60)),
    Case("pit in 3", "scales.py:Pit", ball(40.0), {"dimensions": 3, "depth": 2.5}),
    Case(
        "sech",
        "scales.py:Sech",
        closed(lambda s: -(s.strength**2) / 2, scale=0.2, levels=lambda s: [-(s.strength**2) / 2]),
    ),
    Case(
        "bond near threshold",
        "scales.py:Bond",
        closed(
            lambda s: -((np.sqrt(2 * s.depth) - 0.5) ** 2) / 2,
            scale=0.32,
            levels=lambda s: [-((np.sqrt(2 * s.depth) - 0.5) ** 2) / 2],
        ),
    ),
    Case("sheet", "scales.py:Sheet", line(-7, 7, rest=500.0, scale=1.0)),
    Case("bent valley", "scales.py:Valley", closed(valley, scale=1.0)),
    Case("waveguide", "scales.py:Waveguide", line(-7, 7, direction=partial(axis, coordinate=2), rest=30.0, scale=1.0)),
    Case("proton", "scales.py:Proton", line(-1.5, 1.5, parts=20)),
    Case("nanometres", "scales.py:Nanometres", everywhere(110.0, 60)),
    Case("Woods-Saxon", "scales.py:WoodsSaxon", line(0, 3, 6, 12, 25, dimensions=3)),
    Case("offset", "scales.py:Offset", line(30, 44, parts=20)),
)

WALLS = (
    Case(
        "box",
        "walls.py:Box",
        closed(lambda s: np.pi**2 / 2 / s.L**2, levels=lambda s: np.pi**2 / 2 / s.L**2 * np.array(waves(1))),
    ),
    Case(
        "box in 3",
        "walls.py:Box",
        closed(lambda s: 3 * np.pi**2 / 2 / s.L**2, levels=lambda s: np.pi**2 / 2 / s.L**2 * np.array(waves(3))),
        {"dimensions": 3, "L": 0.7},
    ),
    Case("tilted box", "walls.py:TiltedBox", line(-1.5, 1.5)),
    Case(
        "disc",
        "walls.py:Ball",
        closed(lambda s: BESSEL_0**2 / 2 / s.R**2, levels=lambda s: ranked(OF_DISC, "m", s.R)),
        {"dimensions": 2},
    ),
    Case("ball", "walls.py:Ball", closed(lambda s: np.pi**2 / 2 / s.R**2, levels=lambda s: ranked(OF_BALL, "l", s.R))),
    Case("ring", "walls.py:Ring", line(0.8, 2.0, dimensions=2)),
    Case(
        "half a disc",
        "walls.py:HalfDisc",
        closed(lambda s: BESSEL_1**2 / 2 / 1.6**2, levels=lambda s: np.array(OF_HALF_DISC) ** 2 / 2 / 1.6**2),
    ),
    Case(
        "corner", "walls.py:Corner", closed(lambda s: 8 * np.pi**2 / (3 * s.L**2), levels=lambda s: triangle_waves(s.L))
    ),
    Case("half-line", "walls.py:HalfLine", closed(lambda s: 1.8, levels=lambda s: [1.8 + 2.4 * k for k in range(9)])),
    Case(
        "bouncer",
        "walls.py:Bouncer",
        closed(lambda s: AIRY * (s.g**2 / 2) ** (1 / 3), levels=lambda s: np.array(OF_AIRY) * (s.g**2 / 2) ** (1 / 3)),
    ),
    Case("spiked", "walls.py:Spiked", line(0.03, 0.2, 0.6, 2, 7, parts=10)),
    Case("centrifugal", "walls.py:Centrifugal", closed(lambda s: 1 + s.flux)),
    Case(
        "isotonic",
        "walls.py:Isotonic",
        closed(
            lambda s: 1 + np.sqrt(13) / 2, scale=1.0, levels=lambda s: [1 + np.sqrt(13) / 2 + 2 * k for k in range(9)]
        ),
    ),
    Case("high walls", "walls.py:HighWalls", line(-1.02, -1.0, 1.0, 1.02)),
    Case("two rods", "walls.py:Rods", closed(rods)),
    Case("three rods", "walls.py:Rods", closed(rods), {"particles": 3, "L": 6.0, "a": 1.0}),
    Case("four rods", "walls.py:Rods", closed(rods), {"particles": 4, "L": 8.0, "a": 1.2}),
    Case("rods in a trap", "walls.py:TrappedRods", ball(8.0, 1 / np.sqrt(2), rest=0.5, pair=True)),
    Case("spheres in a trap", "walls.py:Spheres", ball(8.0, 0.3 / np.sqrt(2), rest=1.5, pair=True)),
    Case(
        "discs in a trap",
        "walls.py:Spheres",
        ball(8.0, 0.8 / np.sqrt(2), rest=1.0, pair=True),
        {"dimensions": 2, "a": 0.8},
    ),
    Case(
        "square barrier",
        "walls.py:SquarePair",
        line(0, 0.9 / np.sqrt(2), 3, 9, direction=apart, dimensions=2, rest=1.0),
    ),
)

ARRAYS = (
    Case("numpy", "arrays.py:NumpyWell", line(-7, 7)),
    Case("numpy in the plane", "arrays.py:NumpyPlane", everywhere(7.0, 50)),
    Case("spline", "arrays.py:Spline", line(*np.linspace(-4, 5.5, 39), 6, 12, parts=1)),
    Case("point by point", "arrays.py:OneByOne", line(-12, 12, parts=20)),
    Case("single precision", "arrays.py:Single", line(-7, 7)),
    Case("detached", "arrays.py:Detached", everywhere(7.0, 60)),
)
OTHERS = (
    Case("round well, high", "more.py:RoundWell", line(0, 1, 1.2, dimensions=3)),
    Case("round well", "more.py:RoundWell", line(0, 1, 4, dimensions=3), {"height": 50.0}),
    Case("hollow well", "more.py:HollowWell", line(0, 1, 1.6, 4.5, dimensions=3)),
    Case("dot", "more.py:Dot", line(0, 1.5, 12, dimensions=2, parts=20)),
    Case(
        "triangle, 45",
        "more.py:Triangles",
        closed(
            lambda s: 2.5 * np.pi**2,
            levels=lambda s: [np.pi**2 / 2 * (p * p + q * q) for p in range(1, 7) for q in range(1, p)],
        ),
    ),
    # the lowest state of the equilateral triangle of side 2 that is odd about its axis
    Case(
        "triangle, 60",
        "more.py:Triangles",
        closed(
            lambda s: 14 * np.pi**2 / 9,
            levels=lambda s: [2 * np.pi**2 / 9 * (p * p + p * q + q * q) for p in range(1, 8) for q in range(1, p)],
        ),
        {"steep": 3**0.5},
    ),
    Case("shallow in the plane", "more.py:ShallowPlane", ball(60.0)),
    Case("screened in the plane", "more.py:ScreenedPlane", ball(60.0, scale=1.0)),
    Case(
        "cosh in 3",
        "more.py:PoschlTeller",
        closed(lambda s: -((s.strength - 1) ** 2) / 2, levels=lambda s: [(-2.0, "l = 0"), (-0.5, "l = 1")]),
    ),
    # Kravchenko, Liberman and Johansson, PRA 54 287 (1996)
    Case("hydrogen in a field", "more.py:Diamagnetic", closed(lambda s: 0.5 - 0.831168896733, scale=0.5)),
    Case("high barrier", "more.py:HighBarrier", line(-6, 6, parts=30)),
    Case("two bonds", "more.py:Bonds", within([(-3.5, 9)] * 2, 50)),
    Case("six sites", "more.py:SixSites", everywhere(4.5, 60)),
    Case("soft dipoles", "more.py:SoftDipoles", ball(9.0, rest=1.0, pair=True)),
    Case(
        "two plains", "more.py:RosenMorse", closed(lambda s: -2.03125, scale=0.99, levels=lambda s: [-2.03125, -0.625])
    ),
    Case("two steps", "more.py:TwoSteps", line(-30, -3, 0, 1.4, 5, 60)),
    Case("hydrogen in a sphere", "more.py:Confined", ball(2.0, scale=1.0)),
    Case(
        "image charge",
        "more.py:Image",
        closed(lambda s: -1 / 32, levels=lambda s: [-1 / 32 / n**2 for n in range(1, 8)]),
    ),
    Case("wells in a box", "more.py:WellsInBox", line(0, 10, parts=20)),
    Case("dimple in a box", "more.py:DimpleInBox", inside([(0, 6), (0, 4)], 40)),
    Case("ring with a hollow", "more.py:Hollow", everywhere(7.0, 90)),
    Case("numpy, slanted", "more.py:Tilted", within([(0, 10), (-5.5, -0.5), (-0.5, 2.5)], 30)),
)

KINDS = {
    "Slow modes": SLOW,
    "Natural scale": SCALES,
    "Walls": WALLS,
    "No gradient of torch": ARRAYS,
    "Coupled oscillators": COUPLED,
    "Pairs": PAIRS,
    "Others": OTHERS,
}
CASES = tuple(case for cases in KINDS.values() for case in cases)
