"""The problem of a system at a temperature: what has no partition function is refused, the rest gets its natural frame."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor

from fkflow.errors import UsageError
from fkflow.hamiltonian.masses import user_masses
from fkflow.hamiltonian.natural_scale import Landscape
from fkflow.hamiltonian.species import groups_of, is_mixture
from fkflow.hamiltonian.system import System
from fkflow.hamiltonian.user_systems import display_name
from fkflow.thermal.charges import find_charges
from fkflow.thermal.cloud import anneal
from fkflow.thermal.kinds import Kinds
from fkflow.thermal.problem import Problem
from fkflow.thermal.reference import Reference

#: most identical bosons, whose n! permutations are summed, and most coordinates
MOST_BOSONS, MOST_COORDINATES = 10, 24
#: directions and doublings of the natural length along which V must rise
DIRECTIONS, DOUBLINGS = 64, 14
#: places where two particles are put so many natural lengths apart, and natural energies that V may rise by there
MET, CLOSE, STEEP = 64, 1e-6, 1e4
#: smallest frequency of a reference, in natural units
SLOWEST = 1e-3


def pose(
    system: System, landscape: Landscape, beta: float, statistics: str, seed: int, least: float | None = None
) -> Problem:
    """The problem of a system in coordinates of unit mass at inverse temperatures from `least` to `beta`, or at `beta` alone.

    `statistics` is "bose" or "boltzmann". Raises UsageError for a system that the bridges cannot treat.
    """
    refuse(system, landscape, statistics)
    generator = torch.Generator().manual_seed(seed)
    mixture = is_mixture(system)
    bodies = system.particles if system.identical or mixture else 1
    of_body = tuple(k for k, group in enumerate(groups_of(system)) for _ in group) if mixture else (0,) * bodies
    length, scaled = landscape.length, beta / landscape.length**2
    warm = scaled if least is None else least / landscape.length**2
    width = system.particles * system.dimensions // bodies
    average = _averages(of_body)
    centre = average @ landscape.centre.reshape(bodies, width)
    loose = Reference(torch.full((width,), SLOWEST, dtype=torch.float64), bodies, False)
    charges = find_charges(system, landscape)
    plain = Problem(system, loose, length, centre, torch.eye(width, dtype=torch.float64), charges)
    if _diverges(plain, landscape):
        where = "where particles meet" if system.particles > 1 else "at the origin"
        raise UsageError(_cannot(system, f"a V that diverges {where}"))
    _check_confined(plain, landscape, warm, generator)
    if bodies > 1 and system.separable:
        # the trap, in which the centre of mass moves
        frequencies, axes = torch.linalg.eigh(landscape.centre_of_mass * length**2)
    elif landscape.harmonic:
        blocks = (landscape.widths[0] @ landscape.widths[0].T).reshape(bodies, width, bodies, width)
        covariances = torch.einsum("ij,jajb->iab", average, blocks) / length**2
        variances, axes = _along_common_axes(covariances)
        frequencies = 1 / (2 * variances)
    else:
        means, covariances = _spread(plain, average, scaled, generator)
        centre = centre if system.isotropic else centre + length * means
        variances, axes = _along_common_axes(covariances)
        frequencies = _frequencies(variances, scaled)
        if warm < scaled:
            # where V is flatter than V0, e^(−βV0) forgets places that matter, and V − V0 falls without end
            _, wide = _spread(plain, average, warm, generator)
            along = torch.einsum("da,ide,ea->ia", axes, wide, axes)
            frequencies = torch.minimum(frequencies, _frequencies(along, warm))
    if not mixture:
        # all bodies are alike
        frequencies, centre = frequencies.view(-1, width)[0], centre[0]
        return Problem(system, Reference(frequencies, bodies, statistics == "bose"), length, centre, axes, charges)
    kinds = Kinds(of_body, torch.tensor(user_masses(system), dtype=torch.float64).sqrt(), centre @ axes / length)
    return Problem(system, Reference(frequencies, bodies, statistics == "bose", kinds), length, centre, axes, charges)


def effective_beta(beta: float) -> float:
    """The β at which a classical oscillator of frequency 1 is as wide as a quantum one at `beta`."""
    return 2 * math.tanh(0.5 * beta)


def _spread(plain: Problem, average: Tensor, beta: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Means (n, D) and covariances (n, D, D) of bodies at β, averaged over those of a kind."""
    shape = plain.reference.bodies, plain.reference.axes
    cloud = anneal(plain.softened, shape, effective_beta(beta), generator)
    means = average @ cloud.mean(0)
    off = cloud - means
    return means, torch.einsum("ij,sja,sjb->iab", average, off, off) / len(cloud)


def _frequencies(variances: Tensor, beta: float) -> Tensor:
    """The ω (n, D) with these thermal variances (n, D)."""
    return torch.tensor([[_frequency(float(v), beta) for v in row] for row in variances]).double()


def _frequency(variance: float, beta: float) -> float:
    """The ω whose thermal width² coth(βω/2)/2ω is `variance`."""
    low, high = SLOWEST, 1e6
    for _ in range(100):
        middle = math.sqrt(low * high)
        wide = 1 / (2 * middle * math.tanh(0.5 * beta * middle)) > variance
        low, high = (middle, high) if wide else (low, middle)
    return middle


def _averages(of_body: tuple[int, ...]) -> Tensor:
    """(n, n): a product with it gives each body the mean over those of its kind."""
    kinds = torch.tensor(of_body)
    same = (kinds[:, None] == kinds).double()
    return same / same.sum(1, keepdim=True)


def _along_common_axes(covariances: Tensor) -> tuple[Tensor, Tensor]:
    """Variances (n, D) of bodies with covariances (n, D, D) along the axes (D, D) of their mean."""
    _, axes = torch.linalg.eigh(covariances.mean(0))
    return torch.einsum("da,ide,ea->ia", axes, covariances, axes), axes


def refuse(system: System, landscape: Landscape | None, statistics: str) -> None:
    """Raise UsageError, in one sentence, for a system without a partition function or of a kind that is not treated.

    Without a `landscape` only what the system states itself is looked at.
    """
    name = _name(system)
    if (system.nuclei() is not None and not _is_held(system)) or (
        landscape is not None and landscape.centres is not None
    ):
        raise UsageError(
            f"{name} has no free energy: nothing confines its particles about the charges, so that Z is infinite; "
            "the system trapped_molecule has a trap, else leave thermal.temperature out"
        )
    if system.free or (landscape is not None and landscape.flat is not None):
        raise UsageError(
            f"{name} has no free energy: nothing confines it, so that Z is infinite; a trap must hold all particles"
        )
    charges = system.point_charges()
    for there, what in (
        (getattr(system, "box", None) is not None, "a periodic box"),
        (bool(getattr(system, "contact", None)), "contact energies"),
        (charges is not None and charges.interaction.kind != "coulomb", "screened charges"),
        (charges is not None and charges.dimensions != 3, "charges in a plane"),
        (landscape is not None and landscape.walls is not None, "hard walls"),
        (landscape is not None and bool(landscape.steps or landscape.lines), "jumps or hard lines in V"),
        (landscape is not None and landscape.diameter is not None, "hard cores"),
    ):
        if there:
            raise UsageError(_cannot(system, what))
    exchanged = system.identical or (is_mixture(system) and any(len(group) > 1 for group in groups_of(system)))
    if exchanged and statistics == "bose" and system.particles > MOST_BOSONS:
        raise UsageError(
            f"{name} has {system.particles} bosons: permutations are summed for at most {MOST_BOSONS} at a temperature; "
            'thermal.statistics = "boltzmann" leaves them out'
        )
    if system.particles * system.dimensions > MOST_COORDINATES:
        raise UsageError(
            f"{name} has {system.particles * system.dimensions} coordinates: at a temperature there may be at most "
            f"{MOST_COORDINATES}"
        )


def _cannot(system: System, what: str) -> str:
    return f"{_name(system)} cannot be solved at a temperature: it has {what}, which learned bridges do not treat"


def _is_held(system: System) -> bool:
    """Whether V of particles about nuclei rises far away from them."""
    rays = torch.nn.functional.normalize(
        torch.randn(DIRECTIONS, system.particles, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64),
        dim=-1,
    )
    near, far = (system.potential(2.0**k * rays) for k in (DOUBLINGS - 1, DOUBLINGS))
    return bool((far - near > 1).all())


def _diverges(problem: Problem, landscape: Landscape) -> bool:
    """Whether V without its charges is far from that of natural lengths where two particles meet, any two kinds of them.

    Of one particle it is V at the origin.
    """
    system = problem.system
    x = landscape.start(MET, torch.Generator().manual_seed(0))
    roots = torch.tensor(user_masses(system), dtype=torch.float64).sqrt()[:, None]
    groups = groups_of(system)
    ends = [(g[0], g[1]) for g in groups if len(g) > 1] + [(g[0], h[0]) for g, h in itertools.combinations(groups, 2)]

    def smooth(z: Tensor) -> Tensor:
        found = system.potential(z) * landscape.length**2
        return found if problem.charges is None else found - problem.charges.energy(z)

    if system.particles == 1:
        at = torch.randn(x.shape, generator=torch.Generator().manual_seed(0), dtype=x.dtype)
        near = CLOSE * landscape.length * at / at.norm(dim=2, keepdim=True)
        return not bool((smooth(near) - smooth(x)).abs().median() < STEEP)
    for i, j in ends:
        met = x / roots
        met[:, j] = met[:, i] + CLOSE * landscape.length / roots[i]
        if not bool((smooth(met * roots) - smooth(x)).abs().median() < STEEP):
            return True
    return False


def _name(system: System) -> str:
    """How messages call a system in coordinates of unit mass."""
    while (own := getattr(system, "own", None)) is not None:
        system = own
    return display_name(system)


def _check_confined(problem: Problem, landscape: Landscape, beta: float, generator: torch.Generator) -> None:
    """V rises far away, fast enough for e^(−βV) to have an integral, in every direction and for every body alone."""
    bodies, width = problem.reference.bodies, problem.reference.axes
    together, apart, alone = torch.randn(3, DIRECTIONS, bodies, width, generator=generator, dtype=torch.float64)
    number = torch.arange(DIRECTIONS)
    single = torch.zeros_like(alone)
    single[number, number % bodies] = alone[number, number % bodies]
    # a trap may hold the centre of mass alone
    rays = torch.cat([together, single, *([apart - apart.mean(1, keepdim=True)] if bodies > 1 else [])])
    units = torch.eye(bodies * width, dtype=torch.float64).view(-1, bodies, width)
    rays = torch.cat([rays / rays.flatten(1).norm(dim=1)[:, None, None], units, -units])
    near = problem.from_solver(landscape.start(len(rays), generator))
    values = [problem.potential(near + 2.0**k * rays) for k in (DOUBLINGS - 1, DOUBLINGS)]
    rise = values[1] - values[0]
    needed = bodies * width * math.log(2) / beta
    # infinite far away is a wall, and no fall
    if bool(((rise < needed) & ~(values[1] == math.inf)).any()) or bool(values[1].isnan().any()):
        raise UsageError(
            f"{_name(problem.system)} has no free energy at this temperature: V does not rise without end in every direction, "
            "so that Z is infinite; a trap must hold all particles"
        )
