"""Whether V has the symmetries that its class claims."""

from __future__ import annotations

import torch
from torch import Tensor

from fkflow.hamiltonian import user_systems
from fkflow.hamiltonian.probe import TRIED, Probe, scale_of
from fkflow.hamiltonian.species import groups_of, species_of


def check_symmetries(probe: Probe) -> None:
    """V has the symmetries that the class claims: exchange, rotations, a separate centre of mass."""
    system, x = probe.system, probe.walkers[:TRIED]
    n, dim = system.particles, system.dimensions
    value = probe.value(x)
    scale = scale_of(value)
    for one, group in zip(species_of(system), groups_of(system), strict=True):
        if len(group) < 2:
            continue
        order = torch.randperm(len(group), generator=probe.generator)
        for places in ([1, 0, *range(2, len(group))], order.tolist()):
            exchanged = list(range(n))
            exchanged[group[0] : group[-1] + 1] = [group[place] for place in places]
            if not probe.same(value, probe.value(x[:, exchanged]), scale):
                raise probe.error(
                    "V changes when two particles change places, which identical ones may: write identical = False, or "
                    "make it symmetric"
                    if system.identical
                    else f"V changes when two particles of the species {one.name} change places: make it symmetric, or "
                    "give them two species"
                )
    if system.isotropic:
        rotation, _ = torch.linalg.qr(torch.randn(dim, dim, generator=probe.generator, dtype=torch.float64))
        if not probe.same(value, probe.value(x @ rotation), scale):
            raise probe.error("V changes when all particles are rotated about the origin: isotropic = True is not so")
    if system.separable and n > 1:
        _check_separable(probe, x)


def _check_separable(probe: Probe, x: Tensor) -> None:
    """V(x + s) − V(x) is a quadratic function of s and of the centre of mass, and of nothing else."""
    shift = probe.normal(1)[:, :1] * x.std()
    masses = x.new_tensor(user_systems.particle_masses(probe.system))[:, None]

    def middle(y: Tensor) -> Tensor:
        return (masses * y).sum(1, keepdim=True) / masses.sum()

    other = x.roll(1, 0) - middle(x.roll(1, 0)) + middle(x)
    first, second = (probe.value(y + shift) - probe.value(y) for y in (x, other))
    curved = [probe.value(y + 2 * shift) - 2 * probe.value(y + shift) + probe.value(y) for y in (x, other)]
    scale = scale_of(torch.cat([probe.value(x), probe.value(x + 2 * shift), probe.value(other)]))
    if not (probe.same(first, second, scale) and probe.same(curved[0], curved[1].mean().expand(len(x)), scale)):
        raise probe.error(
            "the centre of mass does not move apart from the rest in a harmonic trap: separable = True is not so"
        )
