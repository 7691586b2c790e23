"""Shared fixtures: a made-up but realistic finished run, without training; trial functions; z-scores."""

import dataclasses
import functools
import gc
import math
import os
import pickle
import sys

# before NumPy and PyTorch are imported, here and in the processes of the tests: there is a process for each core already, and
# threads of a linear algebra that wait for a busy core make a test of a second take minutes
os.environ.setdefault("OMP_NUM_THREADS", "1")

import made_up_run
import moves
import numpy as np
import pytest


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
            "loaded": made_up_run.loaded(R),
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
            "records": made_up_run.records() if records is None else records,
            "measurement": made_up_run.measurement() if measurement is None else measurement,
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
    return made_up_run


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
    """Runs with few moves before a measurement, for tests that compare runs, or look at anything but the energy."""
    with moves.few_moves():
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
