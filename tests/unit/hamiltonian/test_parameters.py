"""Parameters of systems: the same make the same system, impossible ones are refused; a new system is a class and a line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError
from some_systems import ATOM, DEFAULTS, THREE_CENTRES
from torch import Tensor

import fkflow.systems
from fkflow.cli.entry import main
from fkflow.hamiltonian import registry
from fkflow.hamiltonian.system import System
from fkflow.systems import wells
from fkflow.systems.bosons import Bosons, Bosons3D
from fkflow.systems.clusters import Helium
from fkflow.systems.harmonic import Chain, Harmonic, Moshinsky
from fkflow.systems.molecules import H2, Molecule
from fkflow.systems.pairs import Calogero, Dipoles, Ions
from fkflow.systems.wells import Morse, Quartic


@pytest.mark.parametrize("system", [*DEFAULTS, THREE_CENTRES, Harmonic(omega=[1.0, 2.0, 3.0])])
def test_parameters_make_the_same_system(system: System) -> None:
    assert type(system)(**system.parameters()) == system
    assert hash(system) == hash(type(system)(**system.parameters()))


@pytest.mark.parametrize(
    ("system", "parameters"),
    [
        (Harmonic, {"omega": [1.0, 2.0]}),
        (Harmonic, {"omega": -1.0}),
        (Harmonic, {"particles": 0}),
        (Harmonic, {"omega": [1.0, 2.0, 0.0]}),
        (Chain, {"k": -1.0}),
        (Quartic, {"b": 0.0}),
        (Morse, {"depth": 0.1, "a": 1.0}),
        (Bosons, {"g": -1.0}),
        (Bosons, {"s": 0.0}),
        (Bosons3D, {"g": -1.0}),
        (Moshinsky, {"kappa": -0.25}),
        (Moshinsky, {"kappa": -0.0625, "particles": 16}),
        (Moshinsky, {"kappa": -0.5, "omega": 1.0}),
        (Moshinsky, {"kappa": 1e7}),
        (Moshinsky, {"kappa": True}),
        (Moshinsky, {"omega": [1.0, 1.0, 1.0]}),
        (H2, {"R": 0.0}),
        (Molecule, {"electrons": 3}),
        (Molecule, {"nuclei": []}),
        (Molecule, {"nuclei": [ATOM, ATOM]}),
        (Molecule, {"nuclei": [{"position": [0, 0], "charge": 1.0}]}),
        (Molecule, {"nuclei": [{"position": [0, 0, 0], "charge": -1.0}]}),
        (H2, {"R": "1.4"}),
        (Bosons, {"particles": 2.0}),
        (Bosons, {"extra": 1}),
        (Ions, {"dimensions": 1}),
        (Ions, {"charge": -1.0}),
        (Calogero, {"lambda": 0.5}),
        (Dipoles, {"dipole": -1.0}),
        (Helium, {"particles": 1}),
        (Helium, {"particles": 2, "atomic_mass": 3.01603}),
    ],
)
def test_impossible_parameters(system: type[System], parameters: dict) -> None:
    with pytest.raises(ValidationError):
        system(**parameters)


def test_a_new_system_is_a_class_and_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two lines and a name in SYSTEMS are enough for list, check and run."""

    class Sextic(wells.Well):
        def potential(self, x: Tensor) -> Tensor:
            return x.square().sum((1, 2)) ** 3

    monkeypatch.setattr(wells, "Sextic", Sextic, raising=False)
    monkeypatch.setattr(fkflow.systems, "SYSTEMS", (*fkflow.systems.SYSTEMS, "wells:Sextic"))
    monkeypatch.chdir(tmp_path)
    registry._built_in.cache_clear()
    try:
        assert main(["list"]) == 0 and "Sextic" in capsys.readouterr().out
        (tmp_path / "sextic.toml").write_text('[system]\nname = "Sextic"\n')
        assert main(["check", "sextic"]) == 0 and "no fault found" in capsys.readouterr().out
        brief = ["train.walkers=128", "train.iterations=15", "measure.target_error=0.003", "project.seconds=0"]
        options = [part for setting in brief for part in ("--set", setting)]
        assert main(["run", "sextic", "--seed", "1", "--threads", "1", "--json", *options]) == 0
        energy = json.loads(capsys.readouterr().out)["variational"]
    finally:
        registry._built_in.cache_clear()
    assert abs(energy["energy"] - 0.680703611) < 5 * energy["error"] + 2e-3
