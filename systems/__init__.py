"""The built-in systems: one short file per family.

A new one is a class that derives from `fkflow.hamiltonian.system.System` in a file here, and one line in `SYSTEMS`. Its fields
are the parameters of a recipe, `potential` is V; `references` has tables of energies, `solvers` radial equations, `densities`
exact densities.
"""

#: module:class of each system, in the order of ``fkflow list``
SYSTEMS = (
    "harmonic:Harmonic",
    "harmonic:Chain",
    "harmonic:Moshinsky",
    "wells:Quartic",
    "wells:DoubleWell",
    "wells:Morse",
    "wells:PoschlTeller",
    "wells:MexicanHat",
    "molecules:H2",
    "molecules:Molecule",
    "molecules:H",
    "molecules:H2Plus",
    "molecules:He",
    "molecules:HeHPlus",
    "molecules:HMinus",
    "trapped:TrappedMolecule",
    "bosons:Bosons",
    "bosons:Bosons3D",
    "clusters:Helium",
    "clusters:Neon",
    "clusters:Argon",
    "clusters:Parahydrogen",
    "pairs:Hooke",
    "pairs:Ions",
    "pairs:Calogero",
    "pairs:Dipoles",
    "mixture:Mixture",
    "coulomb:Coulomb",
    "rings:Rotor",
    "rings:Lattice",
    "rings:HardRods",
    "rings:Sutherland",
    "rings:LiebLiniger",
    "liquids:LiquidHelium",
    "liquids:LiquidHydrogen",
    "liquids:HardSpheres",
    "liquids:SoftDisks",
    "liquids:Dipoles2D",
    "liquids:Charges2D",
)
