"""The physics: one short file per family of systems."""

#: the systems that recipes know by name, as module:class, in the order in which they are listed
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
    "bosons:Bosons",
    "bosons:Bosons3D",
    "helium:Helium",
    "pairs:Hooke",
    "pairs:Ions",
    "pairs:Calogero",
    "pairs:Dipoles",
)
