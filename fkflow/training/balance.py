"""Wells that are alike: the ground state has as much in each of them, a network may have lost some.

Wells with the same V and the same curvatures are taken for images of each other under a symmetry of V. The ground state is
positive, so that it has the symmetry too. Little tunnels between wells, and while they are trained the one that is known better
grows at the cost of the others: walkers leave them, and nothing they show says so any more.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fkflow.hamiltonian.natural_scale import Landscape
from fkflow.hamiltonian.species import mean_by_species
from fkflow.hamiltonian.system import System
from fkflow.networks.choice import LogPsi
from fkflow.training.fit import fit
from fkflow.training.scouts import carry
from fkflow.training.state import TrainState

#: relative difference of heights and curvatures of wells that are alike
ALIKE = 1e-4
#: log ψ by which a well lies below one that is alike to have lost its part, and below the highest one to count no more, as long
#: as it lacks less of ψ than half of such a one
LOST, COUNTED = math.log(2.0), math.log(10.0)
#: width of the borders between wells, in the distance of neighbours
BORDER = 0.25


def missing(net: LogPsi, landscape: Landscape, system: System) -> Tensor:
    """log of what ψ lacks in each well (m,) beside the highest of those that are alike; 0 for wells that do not count."""
    numbers = landscape.well_numbers(system)
    places = landscape.minima[numbers]
    nothing = places.new_zeros(len(places))
    if len(places) < 2:
        return nothing
    device = next(net.parameters()).device
    with torch.no_grad():
        log_psi = net(places.to(device)).to(places.device)
    heights = system.potential(places.to(device)).detach().to(places)
    widths = torch.linalg.svdvals(landscape.widths[numbers])
    shape = torch.cat([heights[:, None] * landscape.length**2, widths / landscape.length], 1)
    alike = ((shape[:, None] - shape).abs() <= ALIKE * (1 + shape.abs())).all(2)
    highest = torch.where(alike, log_psi, -math.inf).amax(1)
    top = log_psi.max()
    # a lower one that lacks as much as the lowest of the others may
    lost = (highest - top).exp() - (log_psi - top).exp() > math.exp(-LOST - COUNTED)
    return torch.where((highest > top - COUNTED) | lost, highest - log_psi, nothing)


def balance(net: LogPsi, landscape: Landscape, system: System, state: TrainState) -> bool:
    """Give wells that are alike the same ψ, and walkers to all wells; whether one had lost its part and the fit succeeded."""
    lacking = missing(net, landscape, system)
    if not bool(lacking.max() > LOST):
        return False
    wells, x = landscape.wells(system), state.walkers.x
    x = torch.cat([x, carry(x, wells, state.generator)])
    with torch.no_grad():
        target = net(x) + _partition(mean_by_species(system, x), wells.to(x)) @ lacking.to(x)
    if not fit(net, x, target, torch.ones_like(target)):
        return False
    state.take_walkers(x[len(x) // 2 :], torch.ones_like(target[len(x) // 2 :]))
    return True


def _partition(x: Tensor, wells: Tensor) -> Tensor:
    """Shares (B, m) of the wells in configurations x (B, N, D): 1 in a well, smooth between."""
    apart = torch.cdist(wells.flatten(1), wells.flatten(1)).fill_diagonal_(math.inf)
    return torch.softmax(-torch.cdist(x.flatten(1), wells.flatten(1)).square() / (BORDER * apart.min()) ** 2 / 2, 1)
