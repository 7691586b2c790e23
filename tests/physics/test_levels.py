"""Levels of the systems of scripts/levels.py with short runs, each with a twin in which something is wrong or missing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import fkflow
from fkflow.spectrum import correlations, levels, pool


@pytest.fixture(autouse=True)
def fewer(monkeypatch) -> None:
    """Smaller pools: errors are larger, and stated."""
    monkeypatch.setattr(levels, "FINDING", (700, 4))
    monkeypatch.setattr(levels, "JUDGING", (700, 6))
    monkeypatch.setattr(correlations, "PATHS", 400)
    monkeypatch.setattr(pool, "LONG_BURN_IN", 120)


@pytest.fixture
def smaller(monkeypatch, fewer) -> None:
    """Pools that are smaller yet."""
    monkeypatch.setattr(levels, "FINDING", (300, 3))
    monkeypatch.setattr(levels, "JUDGING", (300, 3))
    monkeypatch.setattr(correlations, "PATHS", 100)
    # errors of so few configurations are larger than what the start leaves
    monkeypatch.setattr(pool, "LONG_BURN_IN", 60)


def solved(name: str, iterations: int, spectrum: dict | None = None, **parameters) -> fkflow.Solution:
    # the shortest measurement, not one of so many seconds: its numbers do not depend on the machine's load
    return fkflow.solve(
        fkflow.make_system(name, **parameters),
        train={"iterations": iterations, "walkers": 512},
        measure={"target_error": 1.0, "walkers": 512},
        project={"seconds": 0.0},
        spectrum=spectrum or {},
        seed=1,
        progress=False,
    )


def without_local_energy(monkeypatch) -> None:
    """The twin: what ψ lacks is left out."""
    draw = levels.draw_pool

    def flat(*arguments, **keywords):
        pool = draw(*arguments, **keywords)
        mean = (pool.weights * pool.energies).sum() / pool.weights.sum()
        return replace(pool, energies=torch.full_like(pool.energies, float(mean)))

    monkeypatch.setattr(levels, "draw_pool", flat)


def test_a_chain() -> None:
    """Sums of the frequencies of four normal modes; the twin, without springs, has whole numbers."""
    modes = fkflow.make_system("chain", particles=4).modes()
    pairs = [a + b for k, a in enumerate(modes) for b in modes[k:]]
    found = solved("chain", 1, particles=4).spectrum(states=6, functions=16, progress=False)
    for level, right in zip(found, sorted([*modes, *pairs])[:6], strict=True):
        assert abs(level.gap.value - right) < 4 * level.gap.error + 1e-3 * right
    assert max(abs(level.gap.value - round(level.gap.value)) for level in found) > 0.1


def test_three_fermions_without_interaction(monkeypatch) -> None:
    """½ + 3/2 + 5/2 on a line; the lowest symmetric level is 5/2."""
    monkeypatch.setattr(levels, "FINDING", (100, 2))
    monkeypatch.setattr(levels, "JUDGING", (100, 3))
    monkeypatch.setattr(correlations, "PATHS", 50)
    trap = solved("harmonic", 1, particles=3, dimensions=1)
    for statistics, energy in (("fermi", 4.5), ("bose", 2.5)):
        (level,) = trap.spectrum(states=1, functions=4, statistics=statistics, progress=False)
        assert abs(level.energy.value - energy) < 4 * level.energy.error + 1e-3


def test_four_bosons(smaller, monkeypatch) -> None:
    """Kohn's theorem: the dipole mode lies 1 above the ground state however rough ψ is; not without its local energy."""
    bosons = solved("bosons", 6, particles=4, s=0.5, g=15.0)
    level = bosons.spectrum(states=1, functions=8, progress=False)[0]
    assert level.sector == "m = 1" and abs(level.gap.value - 1) < 4 * level.gap.error + 2e-3
    without_local_energy(monkeypatch)
    twin = bosons.spectrum(states=1, functions=9, progress=False)[0]
    assert abs(twin.gap.value - 1) > 4 * twin.gap.error + 2e-3


def test_helium(smaller, monkeypatch) -> None:
    """2³S, −2.17522938 hartree; without the local energy of ψ the level is off by many millihartree."""
    atom = solved("he", 15)
    level = atom.spectrum(states=1, functions=12, progress=False)[0]
    assert level.sector == "triplet S"
    assert abs(level.energy.value + 2.17522938) < 4 * level.energy.error + 1e-3
    without_local_energy(monkeypatch)
    twin = atom.spectrum(states=1, functions=13, progress=False)[0]
    assert abs(twin.energy.value + 2.17522938) > 4 * twin.energy.error + 1e-3


def test_a_quartic_well(smaller, monkeypatch) -> None:
    """2.73789227 and 5.17929169; without the local energy of a rough ψ the levels are off."""
    well = solved("quartic", 2)
    found = well.spectrum(states=2, functions=12, progress=False)
    for level, right in zip(found, (2.73789227, 5.17929169), strict=True):
        assert abs(level.energy.value - right) < 4 * level.energy.error + 1e-5 < 1e-3
    without_local_energy(monkeypatch)
    twin = well.spectrum(states=2, functions=13, progress=False)
    assert (
        max(abs(level.energy.value - right) for level, right in zip(twin, (2.73789227, 5.17929169), strict=True)) > 2e-2
    )


def test_two_dipoles(smaller) -> None:
    """The lowest antisymmetric level, 3.84711 by the radial equation; the symmetric ones by it lie elsewhere."""
    pair = solved("dipoles", 8, {"states": 1, "functions": 8, "statistics": "fermi"}, dipole=2.0)
    (level,) = pair.spectrum()
    assert abs(level.energy.value - 3.84711) < 4 * level.energy.error + 1e-3 < 0.1
    assert pair.reference is not None
    for twin in (pair.reference.energy, pair.reference.energy + 1):
        assert abs(level.energy.value - twin) > 4 * level.energy.error + 0.1


def test_heavy_water(tmp_path, smaller) -> None:
    """The bend of D2O against a discrete-variable calculation, in 1/cm; the twin, that of H2O, has the same sectors."""
    text = (Path(__file__).parents[2] / "examples" / "water.py").read_text(encoding="utf-8")
    file = tmp_path / "water.py"
    file.write_text(text.partition("# %% The ground state")[0].replace("1837.3622", "3671.4829"), encoding="utf-8")
    # what `spectrum` returns would search for the minimum again
    spectrum = solved(f"{file}:Water", 12, {"states": 1, "functions": 4}).result.spectrum
    assert spectrum is not None
    level = spectrum.levels[0]
    line, error = (219474.6313632 * number for number in (level.gap.value, level.gap.error))
    assert level.sector == "symmetric"
    assert abs(line - 1198.61) < 4 * error + 1 < 40
    assert abs(line - 1639.17) > 10 * error
