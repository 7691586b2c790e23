"""What rare local energies leave in a projected energy, where the projected walkers have met too few of them.

A projected energy is the measured variational energy and the fall of the energy along the walkers of a population. A
measurement visits the tails of ψ² more often than ψ² does (`broad`), a population does not. Energies far off in a tail raise
the variational energy; their part of the fall is missed, and no scatter shows it, until walkers of the population come there.
"""

from __future__ import annotations

import math

from fkflow.execution import ranks
from fkflow.measurement.variational import VariationalEstimator
from fkflow.projection.population import Population

#: standard deviations of the local energy from which on energies are rare
FAR = 5.0


def missed_fall(measuring: VariationalEstimator, population: Population) -> float:
    """One σ of the fall that is missed: what rare energies add to the variational energy alone, over √3.

    A projection may take all of that away, or nothing where ψ is right: anywhere between is this σ from either end.
    """
    if population.branching or population.mover.girsanov or not population.count:
        # resampled walkers give the projected energy itself
        return 0.0
    (met,) = ranks.reduce_mean(population.rare / population.count)
    known = measuring.energies.rare_energy(population.energy_reference, population.far)
    return ranks.broadcast(abs(known - met) / math.sqrt(3))
