"""The potentials of several particles: coupled oscillators and interacting pairs."""

from __future__ import annotations

import numpy as np

from .answers import ball, closed, everywhere, line
from .case import Case
from .closed_forms import calogero, slanted, springs

COUPLED = (
    Case("Hénon–Heiles", "coupled.py:HenonHeiles", everywhere(7.0, 50)),
    Case("cross", "coupled.py:Cross", everywhere(12.0, 60)),
    Case("three vibrations", "coupled.py:Water", everywhere(5.0, 28)),
    Case("light and heavy", "coupled.py:Masses", everywhere(5.0, 60)),
    Case("effective masses", "coupled.py:Electron", everywhere(6.0, 30)),
    Case("slanted, 2", "coupled.py:Slanted", slanted(2), {"particles": 2}),
    Case("slanted, 6", "coupled.py:Slanted", slanted(6)),
    Case("slanted, 12", "coupled.py:Slanted", slanted(12), {"particles": 12}),
    Case("network, 8", "coupled.py:Network", closed(springs)),
    Case("shell in 9", "coupled.py:Shell", line(0, 5, dimensions=9)),
    Case("chain, 3", "coupled.py:Chain", everywhere(3.6, 24)),
    Case("cosines, 4", "coupled.py:Cosines", everywhere(5.0, 16)),
)

PAIRS = (
    # two of diameter 1 on a line or in space: 1 − 2y² vanishes at their contact, y = 1/√2
    Case("two hard rods", "pairs.py:Hard", closed(lambda s: 3.0)),
    Case("two hard spheres", "pairs.py:Hard", closed(lambda s: 4.0), {"dimensions": 3}),
    Case("two hard spheres, in V alone", "pairs.py:Hard", closed(lambda s: 4.0), {"dimensions": 3, "told": False}),
    Case(
        "two hard discs, in V alone",
        "pairs.py:Hard",
        ball(8.0, 1 / np.sqrt(2), rest=1.0, pair=True),
        {"dimensions": 2, "told": False},
    ),
    # as free fermions in the length that the rods leave
    Case(
        "two hard rods in a box", "pairs.py:Rods", closed(lambda s: 2.5 * (np.pi / (1 - s.rod)) ** 2), {"particles": 2}
    ),
    Case("three hard rods in a box", "pairs.py:Rods", closed(lambda s: 7.0 * (np.pi / (1 - 2 * s.rod)) ** 2)),
    Case("argon dimer", "pairs.py:Dimer", ball(9.0, 1.4, rest=0.75, pair=True)),
    Case(
        "neon dimer",
        "pairs.py:Dimer",
        ball(25.0, 1.1, rest=0.75, pair=True),
        {"atomic": 20.18, "epsilon": 37.3, "sigma": 2.764},
    ),
    Case("Morse pair", "pairs.py:MorsePair", ball(12.0, rest=0.75, pair=True)),
    Case("Calogero, 3, 1.1", "pairs.py:InverseSquare", closed(calogero), {"lam": 1.1}),
    Case("Calogero, 2, 1.3", "pairs.py:InverseSquare", closed(calogero), {"particles": 2, "lam": 1.3}),
    Case("Calogero, 4, 1.45", "pairs.py:InverseSquare", closed(calogero), {"particles": 4, "lam": 1.45}),
    Case("electrons, 3", "pairs.py:Electrons", ball(22.0, rest=0.375, pair=True)),
    Case("electrons, 2", "pairs.py:Electrons", ball(10.0, rest=1.0, pair=True), {"dimensions": 2, "omega": 1.0}),
    Case("electrons without pair", "pairs.py:ElectronsPlain", ball(13.0, rest=0.9, pair=True)),
    Case("soft atom", "pairs.py:SoftAtom", everywhere(13.0, 90)),
    Case("soft molecule", "pairs.py:SoftMolecule", line(-40, 40, parts=60)),
    Case("Gaussian bosons, 2", "pairs.py:GaussianBosons", ball(8.0, rest=1.0, pair=True)),
    Case(
        "Gaussian bosons, 3",
        "pairs.py:GaussianBosons",
        everywhere(6.0, 60, 0.5, jacobi=True),
        {"particles": 3, "dimensions": 1, "g": 3.0},
    ),
    Case("attraction", "pairs.py:Attraction", ball(8.0, rest=1.5, pair=True)),
    Case(
        "attraction, 3",
        "pairs.py:Attraction",
        everywhere(6.0, 60, 0.5, jacobi=True),
        {"particles": 3, "dimensions": 1, "depth": 2.0},
    ),
    Case("dipoles on a line", "pairs.py:DipolesOnALine", ball(8.0, 0.01, rest=0.5, pair=True)),
    Case("quartic pairs, 3", "pairs.py:QuarticPairs", everywhere(5.0, 40, 0.5, jacobi=True)),
    Case("quartic pairs, 4", "pairs.py:QuarticPairs", everywhere(4.0, 28, 0.5, jacobi=True), {"particles": 4}),
)
