"""The steps of scripts/gpu_check.py: each prints rows of its table."""

from __future__ import annotations

import importlib.util
import json
import logging
import math
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[2]
#: differences of more standard deviations than these are wrong
SIGMAS = 4.0
#: two particles of masses 1 and 3 in a trap, tied by a spring: a Hamiltonian from a user's file
USER_FILE = """import fkflow

class Pair(fkflow.System):
    particles = 2
    dimensions = 1
    identical = False
    mass = [1.0, 3.0]

    def potential(self, x):
        first, second = x[:, 0, 0], x[:, 1, 0]
        return 0.5 * first**2 + 1.5 * second**2 + 0.75 * (first - second) ** 2
"""
USER_ENERGY = 0.5 + 0.5 * math.sqrt(3.0)
#: name: (system, parameters)
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "h2": ("h2", {}),
    "bosons2": ("bosons", {"particles": 2}),
    "bosons4": ("bosons", {"particles": 4}),
    "chain": ("chain", {}),
    "quartic": ("quartic", {}),
    "hooke": ("hooke", {}),
    "user": ("pair.py:Pair", {}),
}
#: energies of the recipes without a reference, and their errors, from CPUs (docs/notes/scaling.md)
ON_CPU = {"bosons16": (34.7195, 7e-4), "bosons32": (94.613, 4e-3), "bosons64": (263.365, 8e-3)}
#: about 1e-4 of the energy; N = 100 has about 600
ERRORS = {"bosons16": 3.5e-3, "bosons32": 9.5e-3, "bosons64": 2.6e-2, "bosons100": 6e-2}


def row(what: str, value: float | str, **more: Any) -> None:
    """Print one row of the table, which the parent process reads."""
    print("ROW " + json.dumps({"what": what, "value": value, **more}), flush=True)


def compare(what: str, value: float, error: float, other: float, other_error: float, **more: Any) -> None:
    """A row with the difference of two energies in standard deviations; equal to rounding counts as equal."""
    sigma = (value - other) / max(math.hypot(error, other_error), 1e-7 * abs(other))
    row(what, value, error=error, sigma=sigma, ok=abs(sigma) <= SIGMAS, **more)


class Steps:
    """The steps, each a method; they run in a child process in the folder of results."""

    def __init__(self, device: str, tiny: bool, seconds: float) -> None:
        self.device, self.tiny, self.seconds = device, tiny, seconds
        self.begun = time.monotonic()

    def budgets(self) -> dict[str, dict[str, Any]]:
        """Sections of a recipe that end within the seconds of this step."""
        if self.tiny:
            quick = {"walkers": 256, "target_error": 1e-2}
            return {
                "network": {"hidden": 4},
                "train": {"iterations": 10, "walkers": 128},
                "measure": {**quick, "seconds": 1.0},
                "project": {**quick, "seconds": 1.0},
            }
        shares = {"train": 0.4, "measure": 0.15, "project": 0.25}
        return {section: {"seconds": share * self.seconds} for section, share in shares.items()}

    def tests(self) -> None:
        """tests/physics/test_cuda.py."""
        if importlib.util.find_spec("pytest") is None:
            row("tests/physics/test_cuda.py", "not run: no pytest here")
            return
        call = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", "tests/physics/test_cuda.py"]
        done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True)
        print(done.stdout, done.stderr)
        row(
            "tests/physics/test_cuda.py",
            (done.stdout.strip().splitlines() or ["no output"])[-1],
            ok=not done.returncode,
        )

    def same(self, case: str) -> None:
        """The energies of one system on the CPU and on the device, with other seeds, against each other and the reference."""
        import fkflow

        name, parameters = CASES[case]
        Path("pair.py").write_text(USER_FILE, encoding="utf-8")
        system = fkflow.make_system(name, **parameters)
        found = []
        for seed, device in enumerate(("cpu", self.device)):
            begun = time.monotonic()
            options = self.budgets() if self.tiny else {}
            if not self.tiny:
                options = {s: {"seconds": d["seconds"] / 2} for s, d in self.budgets().items()}
                options["train"]["iterations"] = 100
            target = None if self.tiny else 1e-3
            solution = fkflow.solve(system, seed=seed, device=device, target_error=target, progress=False, **options)
            energy, reference = solution.energy, solution.reference
            exact, error = (reference.energy, reference.error) if reference else (USER_ENERGY, 0.0)
            spent = time.monotonic() - begun
            compare(
                f"{case}, {device} − reference", energy.value, energy.error, exact, error, seconds=spent, device=device
            )
            found.append(energy)
        here, there = found
        compare(f"{case}, {self.device} − cpu", there.value, there.error, here.value, here.error, device=self.device)

    def resume(self) -> None:
        """Stop a run in its training, go on from its checkpoint: all iterations are there once, and the energy is right."""
        import fkflow

        class Stop(fkflow_progress()):
            def update(self, done: float, energy: float | None, error: float | None, note: str = "") -> None:
                if done == 4:
                    # Ctrl-C
                    signal.raise_signal(signal.SIGINT)

        options = self.budgets()
        options["train"] = {"iterations": 10 if self.tiny else 60, "stop_spread": 0.0, "walkers": 256}
        call = {"seed": 1, "device": self.device, "out": "resumed", **options}
        system = fkflow.make_system("quartic")
        try:
            fkflow.solve(system, progress=Stop(), **call)
            row("run stopped in its training", "it did not stop", ok=False)
            return
        except KeyboardInterrupt:
            pass
        solution = fkflow.solve(system, progress=False, resume=True, **call)
        wanted, found = options["train"]["iterations"], len(solution.training["iteration"])
        row("iterations of the resumed run", found, ok=found == wanted, device=self.device)
        energy, reference = solution.energy, solution.reference
        compare(
            "resumed − reference", energy.value, energy.error, reference.energy, reference.error, device=self.device
        )

    def memory(self) -> None:
        """Little memory and a large chunk: notices that it was halved, and the right energy."""
        if self.device != "cuda":
            row("out of memory", "not run: only a GPU's memory can be limited here")
            return
        import fkflow

        notices: list[str] = []
        handler = logging.Handler()
        handler.emit = lambda record: notices.append(record.getMessage())  # type: ignore[method-assign]
        logging.getLogger("fkflow").addHandler(handler)
        torch.cuda.set_per_process_memory_fraction(2e9 / torch.cuda.get_device_properties(0).total_memory)
        options = self.budgets()
        options["train"].update(iterations=60, walkers=512, chunk=2**17)
        options["measure"].update(walkers=2**17, target_error=1e-3)
        options["project"].update(walkers=1024, target_error=2e-3)
        solution = fkflow.solve(fkflow.make_system("bosons"), seed=1, device="cuda", progress=False, **options)
        halved = [line for line in notices if "out of memory" in line]
        row("notices that the chunk was halved", len(halved), ok=bool(halved), note="; ".join(halved[:3]))
        energy, reference = solution.energy, solution.reference
        compare("bosons4 in 2 GB − reference", energy.value, energy.error, reference.energy, reference.error)

    def breakdown(self) -> None:
        """scripts/breakdown.py; its tables are in the log."""
        small = " train.walkers=64 measure.walkers=64 network.hidden=4" if self.tiny else ""
        cases = ["hooke"] if self.tiny else ["h2", "bosons", "bosons system.particles=32 system.g=2.0"]
        call = [sys.executable, str(ROOT / "scripts" / "breakdown.py"), *(case + small for case in cases)]
        done = subprocess.run([*call, "--threads", "1", "--device", self.device], stdout=subprocess.PIPE, text=True)
        print(done.stdout)
        current = ""
        for case, name, milliseconds, share in re.findall(
            r"^\| (.+?) \| MFLOP|^\| (.+?) \| \d+ \| ([\d.]+) \| (\d+) %", done.stdout, re.M
        ):
            current = case or current
            if name:
                row(f"{current}: {name}, ms", float(milliseconds), note=f"{share} % of the matrix rate")
        if done.returncode:
            raise SystemExit(f"breakdown.py ended with {done.returncode}")

    def rate(self, what: str, particles: int, device: str, threads: int | None, seconds: float, walkers: int) -> float:
        """Rows with iterations and walker-steps per second of a training; returns the former. 0 particles: h2."""
        import fkflow
        from fkflow.recipe.config import TrainConfig

        system = fkflow.make_system("bosons", particles=particles, g=2.0) if particles else fkflow.make_system("h2")
        settings = {"walkers": walkers, "grow": 0, "stop_spread": 0.0, "iterations": 1000}
        training = fkflow.train(system, seed=0, device=device, threads=threads, train=settings)
        for _ in range(1 if self.tiny else 3):
            next(training)
        begun, done = time.monotonic(), 0
        while done < 2 or (time.monotonic() - begun < seconds and done < 200):
            next(training)
            done += 1
        value = done / (time.monotonic() - begun)
        on = device if threads is None else f"{threads} core(s)"
        row(f"{what}, {walkers} walkers, {on}: iterations/s", value, device=device)
        row(f"{what}, {walkers} walkers, {on}: walker-steps/s", value * walkers * TrainConfig().moves, device=device)
        return value

    def speed(self) -> None:
        """Training on the device against one and two CPU cores; a walker-step is a Metropolis move of a training iteration."""
        cases = [("quick", 2, 64)] if self.tiny else [("h2", 0, 1024), ("bosons4", 4, 1024), ("bosons32", 32, 512)]
        time_each = 0.1 if self.tiny else self.seconds / (8 * len(cases))
        for what, particles, walkers in cases:
            there = self.rate(what, particles, self.device, None, time_each, walkers)
            for threads in (1, 2):
                here = self.rate(what, particles, "cpu", threads, time_each, walkers)
                row(f"{what}: {self.device} / {threads} CPU core(s)", there / here)
            if not self.tiny:
                self.rate(what, particles, self.device, None, time_each, 8 * walkers)

    def growth(self) -> None:
        """Seconds of an iteration against the number of bosons."""
        for particles in (2, 4) if self.tiny else (2, 4, 8, 16, 32, 64, 128):
            rate = self.rate(f"N = {particles}", particles, self.device, None, 0.05 * self.seconds, 256)
            row(f"N = {particles}: ms per walker and iteration", 1e3 / rate / 256)

    def energy(self, recipe: str, target: str = "") -> None:
        """The energy of a recipe to an error, and its seconds from the start of the process."""
        import fkflow

        error = float(target) if target else ERRORS[recipe]
        options = self.budgets()
        system, wanted = (fkflow.make_system("quartic"), 1e-2) if self.tiny else (recipe, error)
        for section in ("measure", "project"):
            options[section]["target_error"] = wanted
        solution = fkflow.solve(system, seed=0, device=self.device, progress=False, **options)
        energy, reference = solution.energy, solution.reference
        more = {"seconds": time.monotonic() - self.begun, "device": self.device}
        more["note"] = f"wanted error {wanted:g}: {'reached' if energy.error <= wanted else 'not reached'}"
        known = (reference.energy, reference.error) if reference else ON_CPU.get(recipe)
        if known:
            compare(f"{recipe} − known energy", energy.value, energy.error, *known, **more)
        else:
            row(f"{recipe}, energy", energy.value, error=energy.error, **more)


def fkflow_progress() -> type:
    """A progress that prints nothing."""
    from fkflow.execution.progress import Silent

    return Silent
