"""What is wrong with a potential raises one sentence before training; what is right passes."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
import torch
from made_systems import made, r2
from scipy.interpolate import CubicSpline
from torch import Tensor

from fkflow.errors import PotentialError
from fkflow.hamiltonian.checks import check, check_device
from fkflow.hamiltonian.conversion import convert
from fkflow.hamiltonian.registry import built_in_systems
from fkflow.hamiltonian.system import Nuclei, System
from fkflow.hamiltonian.wrapped import is_differentiable


def gap(x: Tensor) -> Tensor:
    return (x[:, 0] - x[:, 1]).norm(dim=-1)


def inplace(x: Tensor) -> Tensor:
    return r2(x * 2 if x.requires_grad else x.mul_(2))


def to_numpy(x: Tensor) -> Tensor:
    return torch.from_numpy((x.numpy() ** 2).sum((1, 2)))


spline = CubicSpline(np.linspace(-9, 9, 19), np.linspace(-9, 9, 19) ** 2)


def helium(x: Tensor, charge: float = 2.0, repulsion: float = 1.0) -> Tensor:
    return repulsion / gap(x) - charge / x.norm(dim=-1).prod(-1) * x.norm(dim=-1).sum(-1)


NUCLEUS = Nuclei(((0.0, 0.0, 0.0),), (2.0,))

WRONG: dict[str, tuple[System, str]] = {
    "gives nothing": (made(lambda x: None), "gives NoneType: it must give a torch tensor .* lack a return"),
    "a column": (made(lambda x: x.square().sum(-1)), r"shape \(7, 1\): it must be \(7,\)"),
    "one number": (made(lambda x: x.square().sum()), r"shape \(\): it must be \(7,\)"),
    "complex": (made(lambda x: r2(x) + 0j), "is complex128: energies are real"),
    "raises": (made(lambda x: x.nope), r"potential\(x\) of x \(7, 1, 1\) raises AttributeError in line \d+"),
    "neighbours": (made(lambda x: r2(x) + 0.1 * x.mean()), "depends on the others in its batch"),
    "size": (made(lambda x: r2(x) + 0.1 * (len(x) > 100)), "depends on the others in its batch"),
    "random": (made(lambda x: r2(x) + torch.rand(len(x), dtype=x.dtype)), "other values for the same x"),
    "in place": (made(inplace), "changes x"),
    "nothing": (made(lambda x: 0 * r2(x)), "nothing was found that holds the particle along direction 1 of 1"),
    "free together": (
        made(lambda x: gap(x) ** 2, 2),
        "nothing was found that holds the particles together.* free = True leaves the centre",
    ),
    "free, but held": (made(r2, 2, free=True), "V changes when all particles move together: free = True is for"),
    "one free particle": (made(r2, free=True), "free = True is not allowed: one particle"),
    "free along some": (made(lambda x: r2(x[..., :2]), 2, 3, free=True), "V changes when all particles move together"),
    "a threshold": (made(lambda x: gap(x) ** 2, 2, free=True, threshold="low"), "threshold = 'low' is not allowed"),
    "free along z": (made(lambda x: r2(x[..., :2]), 2, 3), "along direction 3 of 3"),
    "upside down": (made(lambda x: -r2(x)), "not bounded below"),
    "saddle": (made(lambda x: r2(x[..., :1]) - r2(x[..., 1:]), 1, 2), "not bounded below"),
    "a slope": (made(lambda x: x[:, 0, 0]), "not bounded below"),
    "a pendulum": (
        made(lambda x: 5 * (1 - x[:, 0, 0].cos())),
        "nothing holds the particle: V has a minimum as low",
    ),
    "a lattice": (made(lambda x: 9 - 3 * x[:, 0].cos().sum(1), 1, 3), "nothing holds the particle: V has a minimum"),
    "falls behind a low barrier": (made(lambda x: r2(x) - 0.1 * r2(x) ** 2), "not bounded below"),
    "attraction": (made(lambda x: r2(x) - 1 / gap(x), 2, 3), "where two particles meet"),
    "a centre": (made(lambda x: -1 / x[:, 0].norm(dim=-1) ** 1.5, 1, 3), r"a singularity but that of fixed charges"),
    "half a space": (made(lambda x: r2(x) + torch.log(x[:, 0, 0])), "not finite at .* where walkers start"),
    "not alike": (made(lambda x: x[:, 0, 0] ** 2 + 2 * x[:, 1, 0] ** 2, 2), "identical = False"),
    "not round": (made(lambda x: r2(x) + x[:, 0, 0] ** 2, 1, 2, isotropic=True), "isotropic = True is not so"),
    "not apart": (made(lambda x: r2(x) ** 2, 2, 2, separable=True), "separable = True is not so"),
    "masses": (made(r2, 2, mass=[1.0, 2.0]), "identical particles have one mass"),
    "masses along axes": (made(r2, 1, 2, mass=[1.0, 2.0]), "particles = 2, dimensions = 1 and identical = False"),
    "no core": (made(lambda x: r2(x) ** -1.5 - r2(x) ** -3, 1, 3), "falls to .* and on at the origin"),
    "no number in half a space": (made(lambda x: x[:, 0, 0].sqrt() - torch.exp(-x[:, 0, 0])), "V must be inf"),
    "a particle from itself": (
        made(lambda x: r2(x) + (1 / torch.cdist(x, x)).sum((1, 2)), 3, 3),
        "the distance of a particle from itself",
    ),
    "length": (made(r2, length=0), "length = 0 is not allowed"),
    "no particles": (made(r2, 0), "particles = 0 is not allowed"),
    "half a dimension": (made(r2, 1, 0.5), "dimensions = 0.5 is not allowed"),  # type: ignore[arg-type]
    "start": (made(r2, start=lambda n, g: torch.zeros(n, 2)), r"start\(256, generator\) has the shape \(256, 2\)"),
    "start far": (made(r2, start=lambda n, g: torch.full((n, 1, 1), torch.inf)), "positions that are not finite"),
    "start raises": (made(r2, start=lambda n, g: 1 / 0), "start.* raises ZeroDivisionError in line"),
    "other charge": (made(helium, 2, 3, nuclei=lambda: Nuclei(NUCLEUS.positions, (1.0,))), r"as -2/r .* not as -1/r"),
    "no repulsion": (
        made(lambda x: helium(x, 2, 0), 2, 3, nuclei=lambda: NUCLEUS),
        "where the two electrons meet: with nuclei",
    ),
    "plane": (made(r2, 2, 2, nuclei=lambda: NUCLEUS), "one or two identical particles in three dimensions"),
    "muons": (made(helium, 2, 3, nuclei=lambda: NUCLEUS, mass=207.0), "particles of mass 1"),
    "a contact without a number": (made(r2, 2, contact="strong"), "contact = 'strong' is not allowed"),
    "an infinite contact": (made(r2, 2, contact=float("inf")), "contact = inf is not allowed"),
    "a contact in a plane": (made(r2, 2, 2, contact=1.0), "for identical particles on a line"),
    "a contact of others": (made(r2, 2, identical=False, contact=1.0), "for identical particles on a line"),
    "a contact alone": (
        made(lambda x: 0 * gap(x), 2, free=True, contact=-1.0),
        "contact = -1.0 is not allowed with free",
    ),
    "an order": (
        made(lambda x: torch.where(x[:, 0, 0] < x[:, 1, 0], r2(x), math.inf), 2, identical=False, mass=[1.0, 5.0]),
        "by the places of several particles together, such as their order",
    ),
    "no nuclei": (made(helium, 2, 3, nuclei=lambda: 3), "must give fkflow.Nuclei"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_told(name: str) -> None:
    system, words = WRONG[name]
    with pytest.raises(PotentialError, match=words) as caught:
        check(system)
    message = str(caught.value)
    assert message.startswith("the system Made: ") and "\n" not in message and len(message) < 300
    assert caught.value.exit_code == 2


PATHWISE = 'the default method needs none.* train.estimator = "pathwise" and network.kind = "pair_drift" cannot be used'

#: potentials that take part in no automatic differentiation, or have few digits, and what is said of it
NOTED: dict[str, tuple[System, str, bool]] = {
    "numpy": (made(to_numpy), f"numpy takes no part.*{PATHWISE}", False),
    "numpy functions": (made(lambda x: np.cosh(x)[:, 0, 0]), PATHWISE, False),
    "an array": (made(lambda x: np.asarray(x[:, 0, 0]) ** 2), PATHWISE, False),
    "scipy": (made(lambda x: spline(x[:, 0, 0])), PATHWISE, False),
    "detached": (made(lambda x: r2(x.detach())), PATHWISE, False),
    "half detached": (made(lambda x: r2(x.detach()) + 0.1 * r2(x)), "part is cut off", False),
    "steps": (made(lambda x: torch.where(x.abs().amax((1, 2)) < 1, 0, 50)), "constant in steps", False),
    "float32": (made(lambda x: r2(x.float())), "gives float32, about seven digits", True),
    "float32 inside": (made(lambda x: r2(x.float()).double()), "not computed in float64", True),
}


@pytest.mark.parametrize("name", NOTED)
def test_what_has_no_gradient_or_few_digits_is_noted(name: str) -> None:
    """Minima and widths are those of the exact derivatives, found by differences."""
    system, words, differentiable = NOTED[name]
    found = check(system)
    assert re.search(words, " ".join(found.notes)) and found.warnings == ()
    assert is_differentiable(found.system) == differentiable
    value = found.system.potential(torch.ones(3, 1, 1, dtype=torch.float64))
    assert value.dtype == torch.float64 and value.shape == (3,)


def test_the_landscape_without_a_gradient_is_that_with_it() -> None:
    def potential(x: Tensor) -> Tensor:
        return (x[:, 0, 0] ** 2 - 2) ** 2 + x[:, 0, 1] ** 2 + 0.5 * x[:, 0, 0] * x[:, 0, 1]

    exact, without, single = (
        check(made(f, 1, 2)).landscape
        for f in (potential, lambda x: potential(x).numpy(), lambda x: potential(x.float()))
    )
    for found, digits in ((without, 1e-5), (single, 2e-2)):
        assert found.length == pytest.approx(exact.length, rel=digits)
        order = found.minima[:, 0, 0].argsort(), exact.minima[:, 0, 0].argsort()
        assert found.minima[order[0]] == pytest.approx(exact.minima[order[1]], rel=digits, abs=digits)
        assert found.covariance == pytest.approx(exact.covariance, rel=digits, abs=digits)


RIGHT: dict[str, System] = {
    "far away": made(lambda x: (x - 1000).square().sum((1, 2))),
    "deep": made(lambda x: r2(x) - 1e6),
    "stiff": made(lambda x: 1e16 * r2(x)),
    "kinks": made(lambda x: x.abs().sum((1, 2)), 3),
    "a well that binds": made(lambda x: -5 * torch.exp(-r2(x))),
    "a weak well on a line": made(lambda x: -0.1 * torch.exp(-r2(x))),
    "a weak well in a plane": made(lambda x: -0.1 * torch.exp(-r2(x)), 1, 2),
    "a wide well with a narrow hole": made(lambda x: -torch.exp(-0.01 * r2(x)) - torch.exp(-100 * r2(x)), 1, 3),
    "soft helium on a line": made(lambda x: (1 + gap(x) ** 2).rsqrt() - 2 * (1 + x[..., 0] ** 2).rsqrt().sum(1), 2),
    "a long valley": made(lambda x: x[:, 0].prod(1) ** 2 + 1e-3 * r2(x), 1, 2),
    # torch has no second derivative of cdist
    "distances by cdist": made(lambda x: r2(x) + torch.exp(-torch.cdist(x, x)[:, 0, 1]), 2),
    "distinguishable": made(lambda x: x[:, 0, 0] ** 2 + 2 * x[:, 1, 0] ** 2, 2, identical=False),
    "apart": made(lambda x: r2(x) + r2(x[:, :1] - x[:, 1:]) ** 2, 2, 2, separable=True),
    "round": made(lambda x: r2(x) ** 2, 1, 3, isotropic=True),
    "masses": made(r2, 2, identical=False, mass=[1, 200.0]),
    "helium": made(helium, 2, 3, nuclei=lambda: NUCLEUS),
    "own start": made(lambda x: (x - 9).square().sum((1, 2)), start=lambda n, g: 9 + torch.randn(n, 1, 1, generator=g)),
}


#: neon and argon are clusters as helium is, with other numbers in the same code
@pytest.mark.parametrize("name", [*RIGHT, *(name for name in built_in_systems() if name not in ("neon", "argon"))])
def test_what_is_right_passes(name: str) -> None:
    system = RIGHT[name] if name in RIGHT else built_in_systems()[name]()
    found = check(system)
    assert found.warnings == () and found.notes == ()


@pytest.mark.parametrize(
    ("system", "words"),
    [
        (made(lambda x: -0.1 * torch.exp(-r2(x)), 1, 3), "nothing may be bound"),
        (made(lambda x: 1e-12 * r2(x), mass=6.6e-26), "looks like kilograms"),
        (
            made(lambda x: r2(x) - 0.01 * r2(x) ** 2),
            "beyond a barrier of 24.9: the energy is that of the state behind it",
        ),
        (
            made(lambda x: 0.5 * r2(x) + 0.1 * (x[:, 0, 0] ** 2 * x[:, 0, 1] - x[:, 0, 1] ** 3 / 3), 1, 2),
            "beyond a barrier",
        ),
        (made(lambda x: r2(x) + 1 / gap(x), 2, 2), r"two particles meet.*: def pair\(self, r\)"),
        (made(lambda x: r2(x) + gap(x) ** -12, 2, 3), r"two particles meet.*: def pair\(self, r\)"),
    ],
)
def test_what_may_turn_out_badly_is_a_warning(system: System, words: str) -> None:
    (warning,) = check(system).warnings
    assert re.search(words, warning)


@pytest.mark.parametrize(
    ("energy", "length", "electron", "atom"),
    [("eV", "nm", "13.1234", "23922.5"), ("K", "Å", "1.13089e-05", "0.0206148"), ("meV", "nm", "0.0131234", "23.9225")],
)
def test_units_in_which_the_mass_1_is_no_electrons_are_a_warning(energy: str, length: str, electron: str, atom: str):
    """The sentence names the right mass, and with that there is no warning."""
    named = {"energy_unit": energy, "length_unit": length}
    (warning,) = check(made(r2, **named)).warnings
    assert f"an electron has mass = {electron}, a particle of 1 u mass = {atom}," in warning
    assert check(made(r2, mass=float(electron), **named)).warnings == ()


@pytest.mark.parametrize(("energy", "length"), [("hartree", "bohr"), ("E", "a"), ("eV", "a"), ("quanta", "nm")])
def test_other_units_need_no_other_mass(energy: str, length: str) -> None:
    assert check(made(r2, energy_unit=energy, length_unit=length)).warnings == ()


def test_a_weak_well_is_found_on_its_plain() -> None:
    """Its harmonic zero-point energy exceeds its depth, and yet a line has no lower place."""
    found = check(made(lambda x: -0.1 * torch.exp(-r2(x)))).landscape
    assert found.minima.flatten().tolist() == pytest.approx([0.0], abs=1e-4)


def test_tensors_on_another_device_are_told() -> None:
    """The device "meta" stands in for a GPU."""
    weights = torch.tensor([1.0, 2.0], dtype=torch.float64)
    with pytest.raises(PotentialError, match="cannot be computed on the device meta, it raises RuntimeError in line"):
        check_device(convert(made(lambda x: (weights * x.square()).sum((1, 2)), 2, 2)), "meta")
    right = convert(made(lambda x: (x.new_tensor([1.0, 2.0]) * x.square()).sum((1, 2)), 2, 2))
    assert check_device(right, "meta") is None
