"""The Hamiltonian: what is solved.

`system` has the base class of all systems, `registry` finds systems by name (built-in ones live in systems/), `plugins` and
`user_systems` bring those of others. `species` says which particles are of one kind, `masses` converts to coordinates of unit
mass, `geometry` has pairs and distances, `landscape` minima and the natural scale of a potential. `checks` tests potentials
of users, with `probe`, `gradient_checks`, `symmetry_checks`, `confinement` and `close_pairs`. `conversion` calls them as the
solver needs, `derivatives` differentiates them, `mistakes` names what mends one. `table`, `tabulated` and `pointwise` are
potentials of tables, of CSV files and of compiled programs. `wall_search` (with `wall_regions` and `wall_probe`) finds where V
becomes infinite, `mean_field` the scale of potentials with walls or jumps, `line_states` what ψ is there.
Modules with torch are imported by name, so that a recipe is read without it; what needs no torch is exported here.
"""

from fkflow.hamiltonian.geometry import pair_squares
from fkflow.hamiltonian.registry import built_in_systems, find_system, shipped_recipes
from fkflow.hamiltonian.system import Nuclei, Reference, System
from fkflow.hamiltonian.user_systems import Definition

__all__ = [
    "Definition", "Nuclei", "Reference", "System", "built_in_systems", "find_system", "pair_squares", "shipped_recipes",
]  # fmt: skip
