"""Shared fixtures: a made-up but realistic finished run, without training; trial functions; z-scores."""

import dataclasses
import functools
import gc
import math
import os
import pickle
import sys
from types import SimpleNamespace

# before NumPy and PyTorch are imported, here and in the processes of the tests: there is a process for each core already, and
# threads of a linear algebra that wait for a busy core make a test of a second take minutes
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest

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


def pytest_configure():
    """What one process compiles serves all others: without it each takes a second more to import fkflow."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False


@pytest.hookimpl(hookwrapper=True)
def pytest_collection():
    """What is imported and collected stays: the garbage collector looks at none of it, then or later."""
    gc.disable()
    yield
    gc.freeze()
    gc.enable()


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


def made_up_loaded(R=1.401, text=RECIPE, name="h2"):
    system = MadeUp(R=R)
    resolved = {"system": {"name": "h2", "R": R}, "train": {"iterations": 120, "seconds": None}}
    recipe = SimpleNamespace(system=system, resolved=lambda: resolved, definition=None)
    return SimpleNamespace(recipe=recipe, name=name, text=text, source=f"{name}.toml")


def made_up_records(count=120, seed=0):
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


def made_up_measurement(energy=-1.17447, error=2e-5, seed=0):
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
        observables=made_up_observables(None),
    )


def made_up_projection(energy=-1.174476, error=1e-5, time_step_error=2e-5, steps=2, seed=0, **changes):
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


def made_up_projected(measurement=None, **changes):
    """A measurement with a projection: |φ0|² beside |ψ|², a little narrower and twice as uncertain."""
    measurement = made_up_measurement() if measurement is None else measurement
    histograms = [h.with_projected(h.values**1.1, 2 * h.errors) for h in measurement.histograms]
    return dataclasses.replace(
        measurement,
        histograms=histograms,
        projection=made_up_projection(**changes),
        observables=made_up_observables(0.99),
    )


def made_up_observables(change):
    """An observable of one number and one of two; projected to `change` times the variational average, unless it is None."""

    def one(value, unit):
        projected = None if change is None else Estimate(change * value, 0.02, 2500.0)
        return Observable.of(Estimate(value, 0.01, 1e4), projected, unit)

    return {"distance": one(1.6, "bohr"), "places": (one(0.5, ""), one(-0.5, ""))}


def made_up_spectrum():
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


def made_up_liquid():
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


def made_up_thermal():
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


@pytest.fixture(scope="session")
def write_run():
    """A function that writes a made-up finished run to a path and returns what `save_result` returned.

    The same run is not encoded twice: that takes a tenth of a second.
    """
    import torch

    from fkflow.results.folders import atomic_write
    from fkflow.results.store import make_result, save_result

    contents: dict[bytes, bytes] = {}

    def write(path, R=1.401, records=None, measurement=None, **changes):
        given = {
            "loaded": made_up_loaded(R),
            "provenance": {
                "version": "0.1.0",
                "seed": 0,
                "device": "cpu",
                "threads": 1,
                "git_commit": None,
                "argv": ["run", "h2.toml"],
                "versions": {"torch": "2.13.0", "numpy": "2.4.6"},
                "started": "2030-01-01T00:00:00+00:00",
            },
            "records": made_up_records() if records is None else records,
            "measurement": made_up_measurement() if measurement is None else measurement,
            "model_state": {
                "layers.0.weight": torch.linspace(0, 1, 12, dtype=torch.float64).reshape(3, 4),
                "scale": torch.tensor(0.5),
                "count": torch.tensor([1, 2]),
            },
            "seconds": {"train": 40.1, "measure": 30.2},
        } | changes
        path.parent.mkdir(parents=True, exist_ok=True)
        result = make_result(**given)
        key = pickle.dumps(result)
        if result.definition is None and key in contents:
            atomic_write(path, contents[key])
            return dataclasses.replace(result, path=path)
        result = save_result(result, path)
        contents[key] = path.read_bytes()
        return result

    return write


@pytest.fixture(scope="session")
def made_up():
    """The parts of a made-up run, to be changed before writing."""
    return SimpleNamespace(
        loaded=made_up_loaded,
        records=made_up_records,
        measurement=made_up_measurement,
        projection=made_up_projection,
        projected=made_up_projected,
        spectrum=made_up_spectrum,
        liquid=made_up_liquid,
        thermal=made_up_thermal,
    )


@pytest.fixture(scope="session", autouse=True)
def one_parser():
    """The parser of the command line is built once for all calls of `main`: that takes longer than most of them."""
    import typer.main

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typer.main, "get_command", functools.cache(typer.main.get_command))
        yield


@pytest.fixture(scope="session", autouse=True)
def one_solution():
    """The equation of a pair is solved once for all networks with the same: a second each time."""
    from fkflow.networks.two_body_equation import TwoBodyEquation

    def once(method):
        solved = {}

        @functools.wraps(method)
        def call(self):
            numbers = (self.t, self.energies(self.distances(self.t)))
            key = (self.core, self.jump, self.dimensions, self.contact, *(array.tobytes() for array in numbers))
            if key not in solved:
                solved[key] = method(self)
            p, energy = solved[key]
            return p.copy(), energy

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in ("solve", "solve_closed"):
            patch.setattr(TwoBodyEquation, name, once(getattr(TwoBodyEquation, name)))
        yield


@pytest.fixture(scope="session", autouse=True)
def nameless():
    """Recordings of networks do without the names of variables in Python, which nobody reads: they take half of the time."""
    from torch.jit import _trace

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_trace, "_create_interpreter_name_lookup_fn", lambda frames_up=0: lambda variable: "")
        yield


@pytest.fixture(scope="module")
def few_moves():
    """Runs with few moves before a measurement, for tests that compare runs, or look at anything but the energy.

    Every move and every step of a trajectory is as the first: a third of the time of a short run is spared.
    """
    from fkflow.measurement import drift_field
    from fkflow.sampling import samplers

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(samplers, "BURN_IN", 3)
        patch.setattr(samplers, "JUMPS", 3)
        patch.setattr(drift_field, "LASTING", 0.1)
        yield


@pytest.fixture(scope="session", autouse=True)
def one_landscape():
    """A run, and what is asked of its result later, take the landscape of a built-in system that was explored before."""
    from fkflow.runs import exploration

    own = exploration.explore
    explore = functools.cache(lambda system, potential: own(system))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exploration, "explore", lambda system: explore(system, type(system).potential))
        yield


@pytest.fixture(autouse=True)
def one_thread():
    """Tests compute on one thread and draw the same weights: the same bits every time, whatever ran before and beside them."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
        sys.modules["torch"].manual_seed(0)


@pytest.fixture
def sigmas():
    """A function: how many standard errors the mean of independent samples lies above an exact value."""

    def deviation(samples, exact):
        samples = np.asarray(samples, dtype=float)
        return (samples.mean() - exact) / (samples.std(ddof=1) / math.sqrt(samples.size))

    return deviation


@pytest.fixture
def gaussian():
    """A function of α that gives the trial function log ψ = −½ Σ α_d x_d² (α one number or several)."""
    import torch

    from fkflow.networks.choice import LogPsi

    class Gaussian(LogPsi):
        #: it holds few numbers for a configuration: many fit in the cache, in one chunk
        width = 8

        def __init__(self, alpha):
            super().__init__()
            self.alpha = torch.nn.Parameter(torch.as_tensor(alpha, dtype=torch.float64))

        def forward(self, x):
            return -0.5 * (self.alpha * x.square()).sum((1, 2))

        def sample(self, walkers, shape, seed):
            """Walkers drawn from ψ² (B, N, D), exactly; another stream than noise of the same seed."""
            generator = torch.Generator().manual_seed(seed + 10**6)
            normal = torch.randn(walkers, *shape, generator=generator, dtype=torch.float64)
            return normal * (2 * self.alpha.detach()).rsqrt()

    return Gaussian


@pytest.fixture
def hydrogenic():
    """A function of ζ that gives the trial function log ψ = −ζ Σ_i r_i."""
    import torch

    from fkflow.networks.choice import LogPsi

    class Hydrogenic(LogPsi):
        width = 8

        def __init__(self, zeta=1.0):
            super().__init__()
            self.zeta = torch.nn.Parameter(torch.tensor(float(zeta), dtype=torch.float64))

        def forward(self, x):
            return -self.zeta * x.norm(dim=-1).sum(1)

        def sample(self, walkers, seed):
            """One electron drawn from ψ² (B, 1, 3), exactly: 2ζr is Gamma(3) distributed."""
            noise = np.random.default_rng(seed)
            direction = noise.normal(size=(walkers, 1, 3))
            direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
            radius = noise.gamma(3, size=(walkers, 1, 1)) / (2 * self.zeta.item())
            return torch.from_numpy(radius * direction)

    return Hydrogenic


@pytest.fixture(scope="session")
def perturbed():
    """A function that moves every parameter of a network by seeded Gaussian noise and returns the network."""
    import torch

    def move(net, scale=0.3, seed=1):
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for p in net.parameters():
                p += scale * torch.randn(p.shape, generator=generator, dtype=p.dtype)
        return net

    return move


@pytest.fixture(scope="session")
def untrained_run(made_up, write_run, perturbed):
    """A function: a run folder and a recipe → the result of a run that ended without training, which can be restored."""

    def write(folder, *lines, walkers=64, **changes):
        import torch

        from fkflow.measurement.histograms import Histograms
        from fkflow.recipe import config
        from fkflow.runs.model import build_model

        loaded = config.parse("\n".join(["[system]", *lines]), "recipe.toml")
        system = loaded.recipe.system
        model = build_model(loaded.recipe, seed=3)
        x = model.landscape.start(walkers, torch.Generator().manual_seed(4))
        histograms = Histograms(system, x, 40)
        histograms.add(x)
        measurement = dataclasses.replace(
            made_up.measurement(), histograms=histograms.results(), drift=[], samples=x.numpy()
        )
        given = {
            "loaded": loaded,
            "measurement": measurement,
            "model_state": perturbed(model.net, 0.01).state_dict(),
        } | changes
        return write_run(folder / "result.h5", **given)

    return write
