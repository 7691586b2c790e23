"""The parts of a made-up but realistic finished run, without training, to be changed before they are written."""

import dataclasses
import math
from types import SimpleNamespace

import numpy as np

from fkflow.hamiltonian.system import Nuclei, Reference, System
from fkflow.results.liquid import EXTRAPOLATED, PURE, Curve, Liquid, Quantity
from fkflow.results.records import (
    Axis,
    Doubt,
    DriftField,
    Energy,
    Histogram,
    Measurement,
    Observable,
    Projection,
    Trajectories,
)
from fkflow.results.spectrum import Level, Spectrum
from fkflow.results.thermal import Thermal, ThermalState
from fkflow.statistics import Estimate

RECIPE = '# hydrogen molecule\n[system]\nname = "h2"\nR = 1.401\n'


class MadeUp(System):
    """Stands in for a molecule: only what a result file asks of a system."""

    key = "h2"
    energy_unit = "hartree"
    length_unit = "bohr"
    particles: int = 2
    dimensions: int = 3
    R: float = 1.401

    def parameters(self):
        return {"R": self.R}

    def reference(self):
        return Reference(-1.174475931, 1e-9, "made up for this test") if self.R == 1.401 else None

    def nuclei(self):
        return Nuclei(((0.0, 0.0, -self.R / 2), (0.0, 0.0, self.R / 2)), (1.0, 1.0))


def loaded(R=1.401, text=RECIPE, name="h2"):
    system = MadeUp(R=R)
    resolved = {"system": {"name": "h2", "R": R}, "train": {"iterations": 120, "seconds": None}}
    recipe = SimpleNamespace(system=system, resolved=lambda: resolved, definition=None)
    return SimpleNamespace(recipe=recipe, name=name, text=text, source=f"{name}.toml")


def records(count=120, seed=0):
    noise = np.random.default_rng(seed)
    error = 1e-3 + 0.2 * np.exp(-np.arange(count) / 4)
    energy = -1.1744 + 30 * np.exp(-np.arange(count) / 3) + error * noise.normal(size=count)
    return [
        {
            "iteration": i,
            "energy": energy[i],
            "error": error[i],
            "spread": 32 * error[i],
            "seconds": 0.3 * i,
            "rate": 0.1 / (1 + i / 80),
            "damping": 1e-3,
            "acceptance": 0.7,
            "undone": i == 7,
        }
        for i in range(count)
    ]


def measurement(energy=-1.17447, error=2e-5, seed=0):
    noise = np.random.default_rng(seed)
    radius = Axis("r", "bohr", "distance of the electrons", np.linspace(0, 6, 61))
    r = radius.centres
    line = r**2 * np.exp(-((r - 1.5) ** 2))
    scatter = 0.02 * line.max() * np.ones_like(line)
    x = Axis("x", "bohr", "x", np.linspace(-3, 3, 41))
    z = Axis("z", "bohr", "z", np.linspace(-4, 4, 51))
    grid = np.stack(np.meshgrid(x.centres, z.centres, indexing="ij"), -1)
    to_a, to_b = grid - [0, 0.7], grid + [0, 0.7]
    a, b = (np.linalg.norm(to, axis=-1) for to in (to_a, to_b))
    log_psi = np.log(np.exp(-1.2 * a) + np.exp(-1.2 * b))
    weight = np.exp(-1.2 * a) / (np.exp(-1.2 * a) + np.exp(-1.2 * b))
    vectors = -1.2 * (weight / a)[..., None] * to_a - 1.2 * ((1 - weight) / b)[..., None] * to_b
    blocks = energy + 4 * error * noise.normal(size=64)
    stood = np.array([[0.0, 0.0, 0.0], [0.4, 0.0, -1.0]])
    cut = len(x.centres) // 2
    return Measurement(
        variational=Energy(Estimate(energy, error, 5e4), 0.021, blocks, 1.8, 0.71, 1.0004),
        histograms=[
            Histogram(
                "density",
                "xz",
                (x, z),
                "dx dz",
                np.exp(2 * log_psi),
                0.01 * np.exp(2 * log_psi),
                "bohr^-2",
                "electron density",
            ),
            Histogram(
                "density",
                "z",
                (z,),
                "dz",
                np.exp(2 * log_psi)[cut],
                0.03 + 0 * z.centres,
                "bohr^-1",
                "density",
                exact=0.98 * np.exp(2 * log_psi)[cut],
            ),
            Histogram("pair", "r", (radius,), "dr", line, scatter, "bohr^-1", "pair density"),
        ],
        drift=[
            DriftField("xz", (x, z), vectors, log_psi, 0, stood),
            DriftField("z", (z,), vectors[cut, :, 1:], log_psi[cut], 0, stood),
        ],
        samples=noise.normal(size=(50, 2, 3)).astype(np.float32),
        seconds=30.2,
        curl=None,
        warnings=["R-hat is 1.2: measure longer"],
        trajectories=Trajectories(0.1 * np.arange(30), noise.normal(size=(4, 30, 2, 3)).cumsum(1)),
        observables=observables(None),
    )


def projection(energy=-1.174476, error=1e-5, time_step_error=2e-5, steps=2, seed=0, **changes):
    """A projection whose energies lie on a line in dt, and whose energy falls with the imaginary time."""
    noise = np.random.default_rng(seed)
    dt = 0.08 / 4.0 ** np.arange(steps)
    times = 0.6 * np.arange(1, 6)
    falling = energy + 5e-4 * dt[-1] + 6e-5 * np.exp(-2 * times)
    return Projection(
        **{
            "estimate": Estimate(energy, error, 3e4),
            "time_step_error": time_step_error if steps > 1 else math.nan,
            "weights": "local_energy",
            "time_steps": dt,
            "energies": energy + 5e-4 * dt,
            "errors": error * (1.0 + np.arange(steps)),
            "acceptances": 1 - 0.1 * dt,
            "effective_walkers": 0.93 - 0.1 * dt,
            "population_biases": 0 * dt,
            "resampled": np.zeros(steps, dtype=bool),
            "window": float(times[3]),
            "curve": np.stack([times, falling, error * np.sqrt(times), 0.5 * error * times], 1),
            "autocorrelation": 0.41,
            "rhat": 1.0007,
            "blocks": energy + 6 * error * noise.normal(size=40),
            "independent": 160,
            "seconds": 20.5,
            "warnings": ["the weights rest on few walkers"],
        }
        | changes
    )


def projected(measured=None, **changes):
    """A measurement with a projection: |φ0|² beside |ψ|², a little narrower and twice as uncertain."""
    measured = measurement() if measured is None else measured
    histograms = [h.with_projected(h.values**1.1, 2 * h.errors) for h in measured.histograms]
    return dataclasses.replace(
        measured,
        histograms=histograms,
        projection=projection(**changes),
        observables=observables(0.99),
    )


def observables(change):
    """An observable of one number and one of two; projected to `change` times the variational average, unless it is None."""

    def one(value, unit):
        projected = None if change is None else Estimate(change * value, 0.02, 2500.0)
        return Observable.of(Estimate(value, 0.01, 1e4), projected, unit)

    return {"distance": one(1.6, "bohr"), "places": (one(0.5, ""), one(-0.5, ""))}


def spectrum():
    """Two levels of two electrons, as a file may hold them."""
    edges = np.linspace(-4.0, 4.0, 81)
    z = 0.5 * (edges[1:] + edges[:-1])
    density = np.exp(-(z**2)) / np.sqrt(np.pi)

    def level(k, sector):
        energy = Estimate(-1.17 + 0.4 * k, 1e-3 * k)
        strengths = {"dipole": 0.3, "monopole": 0.0}
        return Level(sector, energy, Estimate(0.4 * k, 1e-3), 1e-3, "upper", strengths, np.ones(5), density * k, z**k)

    return Spectrum(
        ground=Estimate(-1.17447, 2e-5),
        levels=[level(1, "triplet z odd"), level(2, "singlet z even")],
        axis=Axis("z", "bohr", "coordinate z", edges),
        measure="dz",
        ground_density=density,
        sample=np.ones((4, 2, 3)),
        check=np.ones((2, 4)),
        searched=["singlet z even", "triplet z odd"],
        asked=2,
        functions=8,
        decay=0.5,
        seed=3,
        statistics="bose",
        walkers=100,
        seconds=1.5,
        warnings=["a warning"],
    )


def liquid():
    """Curves and numbers of a liquid, one extrapolated and one by forward walking, as a file may hold them."""
    k = np.linspace(0.0, 4.0, 9)
    ones = np.ones(9)
    curves = [
        Curve(
            "structure_factor", "k", k[1:], k[1:] / 4, 0.01 * ones[1:], "1/bohr", "", k[1:] / 4.1, 0.02 * ones[1:], PURE
        ),
        Curve(
            "density_matrix", "r", k, np.exp(-k), 0.01 * ones, "bohr", "", np.exp(-1.1 * k), 0.03 * ones, EXTRAPOLATED
        ),
        Curve("momentum_distribution", "k", k, np.exp(-k), 0.01 * ones, "1/bohr", counts=2 * ones),
    ]
    best = Estimate(0.31, 0.02)
    pressure = Quantity(0.31, 0.02, variational=Estimate(0.3, 0.01), projected=best, unit="hartree/bohr", method=PURE)
    share = Quantity(0.5, 0.01, variational=Estimate(0.5, 0.01))
    return Liquid(
        0.7, "1/bohr", {curve.name: curve for curve in curves}, {"zero_momentum": share, "pressure": pressure}
    )


def thermal():
    """Two temperatures of two particles with a doubt and a warning, as a file may hold them."""

    def state(beta):
        axis = Axis("r", "bohr", "distance", np.linspace(0.0, 2.0, 5))
        pictures = [
            Histogram(
                kind, "r", (axis,), "dr", np.full(4, 0.5), np.full(4, 0.01 * beta), "1/bohr", f"{kind} distribution"
            )
            for kind in ("density", "pair")
        ]
        numbers = [Estimate(0.5 + beta, 1e-3), Estimate(2.0, 4e-3), Estimate(0.7, 5e-3), Estimate(1.1, 0.02)]
        return ThermalState(1 / beta, beta, *numbers, 0.98, 4096, 0.05, 1e-5, pictures)

    return Thermal([state(2.0), state(0.5)], "bose", [Doubt("T = 0.5: the halves disagree"), "another word"])
