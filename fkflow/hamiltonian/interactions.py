"""The energy of two unit charges at a distance: Coulomb's, a screened one, and that of charges in a thin sheet."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Kind = Literal["coulomb", "keldysh", "yukawa"]

#: Euler's constant less log 2: where the logarithm of the Keldysh potential begins
KELDYSH = 0.5772156649015329 - math.log(2.0)


@dataclass(frozen=True)
class Interaction:
    """w(r) of unit charges of the same sign; two charges have the energy q_i q_j w(r).

    coulomb: 1/r. yukawa: exp(−r/length)/r. keldysh: charges in a sheet of the screening length r0 in surroundings of the
    dielectric constant eps, −[log(t/(1 + t)) + (γ − log 2) e^(−t)]/r0 with t = eps r/r0. That is the form of Cudazzo, Tokatly
    and Rubio, Phys. Rev. B 84, 085406 (2011), of the potential of Rytova and Keldysh: 1/(eps r) far out, a logarithm near 0.
    """

    kind: Kind = "coulomb"
    r0: float = 1.0
    eps: float = 1.0
    length: float = 1.0

    def energy(self, r: Any) -> Any:
        """w at distances r > 0, a tensor or a NumPy array of any shape."""
        if self.kind == "coulomb":
            return 1 / r
        exp, log = (np.exp, np.log) if isinstance(r, np.ndarray) else (_exp, _log)
        if self.kind == "yukawa":
            return exp(-r / self.length) / r
        t = r * (self.eps / self.r0)
        return (log(t / (1 + t)) + KELDYSH * exp(-t)) * (-1 / self.r0)

    @property
    def cusp(self) -> float:
        """r w(r) for r → 0: 1 where ψ has the cusp of Coulomb's law, 0 where it has none."""
        return 0.0 if self.kind == "keldysh" else 1.0

    @property
    def weak(self) -> bool:
        """Whether two opposite charges may be unbound: an attraction of finite range in three dimensions."""
        return self.kind == "yukawa"


def _exp(r: Any) -> Any:
    return r.exp()


def _log(r: Any) -> Any:
    return r.log()
