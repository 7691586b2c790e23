"""fkflow: quantum ground states by learning the drift of a Feynman–Kac diffusion.

Units ħ = m = 1. The command line is ``fkflow``; the physics of one path is in `fkflow.paths`.
"""

__version__ = "0.1.0"
