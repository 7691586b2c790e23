"""Recipes of runs that are filmed, and walks for pictures."""

import numpy as np

from fkflow.plot.animation import Pace, frames
from fkflow.runs.animate import Film

BOSONS = ('name = "bosons"', "particles = 2")
H2 = ('name = "h2"',)
WELL = ('name = "double_well"',)
CHAIN = ('name = "chain"', "particles = 5")
TRAP = ('name = "harmonic"', "particles = 2", "dimensions = 3")
LINE = ('name = "harmonic"', "particles = 2", "dimensions = 1")
CALOGERO = ('name = "calogero"', "particles = 3")
VECTOR = (*BOSONS, "[network]", 'kind = "pair_drift"')
#: two pictures, and walkers that move so slowly that few steps lead to them
SHORT = Film(seconds=0.2, fps=10, speed=0.05, size=160, seed=5)
PACE = Pace(interval=0.05, fps=10, count=3)


def walked(result, walkers, points, seed=0):
    """A random walk (points, W, N, D) from stored walkers."""
    noise = 0.05 * np.random.default_rng(seed).normal(size=(points, walkers, result.particles, result.dimensions))
    return result.measurement.samples[:walkers] + np.cumsum(noise, 0)


def frames_of(result, pace, pixels=160, walkers=1):
    positions = iter(walked(result, walkers, 500))
    return frames(result, positions, pace, pixels, chained=result.system == "chain")
