"""Functions of identical particles, or of one, in a periodic box, and the sectors that they belong to.

With z_i = e^{i k·x_i} the power sums ρ_k = Σ_i z_i and their products are functions of a given total momentum, and so are sums
over particles of e^{i K·x_i} times functions of differences. Where V stays the same as all particles move together along an
axis, the momentum K along it is conserved: states of K and −K have the same energy, and f is a real combination of both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations_with_replacement, product

import torch

from fkflow.hamiltonian.geometry import pairs
from fkflow.spectrum.jets import Jet, constant, join, stack
from fkflow.spectrum.layers import RandomLayer

#: largest number of waves along an axis in products: on a line of conserved momentum, else; for one particle alone
LONGEST, SHORT, ALONE = 3, 1, 12
#: factors of a product on a line and else
FACTORS, FEW = 4, 2
#: most products
PRODUCTS = 120
#: harmonics of differences that enter random functions
HARMONICS = 2


class PeriodicFunctions:
    """Functions at `places` (B, N, D) in a box with `sides` (D,), of total momentum `momentum` (D,) in units of 2π/L.

    A component None is not conserved. The real and the imaginary parts of all are there: averages over reflections choose.
    """

    def __init__(
        self,
        places: Jet,
        sides: Sequence[float],
        momentum: Sequence[int | None],
        functions: int,
        generator: torch.Generator,
    ) -> None:
        self.particles = places.value.shape[1]
        self.momentum = tuple(momentum)
        self.wave = [2 * math.pi / side for side in sides]
        self.products = self._choose_products()
        self.i, self.j = pairs(self.particles, places.value.device)
        own, pair = self._inputs(self._harmonics(places))
        self.of_own = None if own is None else RandomLayer(own.value, functions, generator)
        self.of_pairs = None if pair is None else RandomLayer(pair.value, functions, generator)

    def _choose_products(self) -> list[tuple[tuple[int, ...], ...]]:
        """The wave vectors of each product of ρ: those whose sum is the conserved momentum, shortest first."""
        dim = len(self.momentum)
        most = ALONE if self.particles == 1 and dim == 1 else LONGEST if dim == 1 else SHORT
        largest = max([most, *(abs(k) for k in self.momentum if k is not None)])
        waves = [w for w in product(range(-largest, largest + 1), repeat=dim) if any(w)]
        factors = 1 if self.particles == 1 else FACTORS if dim == 1 else FEW
        found = []
        for count in range(1, factors + 1):
            for chosen in combinations_with_replacement(waves, count):
                total = [sum(w[axis] for w in chosen) for axis in range(dim)]
                opposite = tuple(sorted(tuple(-part for part in w) for w in chosen))
                same = all(k is None or k == t for k, t in zip(self.momentum, total, strict=True))
                # of two that are each other's conjugate one is enough
                if same and not (opposite < tuple(sorted(chosen)) and not any(k for k in self.momentum)):
                    found.append(chosen)
        found.sort(key=lambda chosen: sum(sum(part**2 for part in w) for w in chosen))
        return found[:PRODUCTS]

    def _harmonics(self, places: Jet) -> list[tuple[Jet, Jet]]:
        """cos and sin of the first wave along each axis at each place, (B, N)."""
        angles = [places[axis] * wave for axis, wave in enumerate(self.wave)]
        return [(angle.cos(), angle.sin()) for angle in angles]

    def _inputs(self, harmonics: list[tuple[Jet, Jet]]) -> tuple[Jet | None, Jet | None]:
        """Arguments of the random functions of particles (B, N, n) and of pairs (B, P, m); None where there are none."""
        own: list[Jet] = []
        pair: list[Jet] = []
        for conserved, (c, s) in zip(self.momentum, harmonics, strict=True):
            if conserved is None:
                own += [c, s]
            if self.particles == 1:
                continue
            ci, si, cj, sj = c[self.i], s[self.i], c[self.j], s[self.j]
            apart = ci * cj + si * sj, si * cj - ci * sj
            power = apart
            for _ in range(HARMONICS):
                # even functions of pairs, and odd ones, whose sign is that of the other end
                own += [self._near(power[0], 1.0), self._near(power[1], -1.0)]
                pair.append(power[0])
                power = _times(power, apart)
            if conserved is None:
                pair += [ci + cj, si + sj, ci * cj, si * sj]
        return _columns(own), _columns(pair)

    def _near(self, of_pairs: Jet, sign: float) -> Jet:
        """Sums over the pairs of each particle, (B, N); the second of a pair gets `sign` times the value."""
        ends = of_pairs.value.new_zeros(len(self.i), self.particles)
        rows = torch.arange(len(self.i), device=ends.device)
        ends[rows, self.i] = 1.0
        ends[rows, self.j] = sign
        return of_pairs @ (ends / max(1, self.particles - 1))

    def _phase(self, harmonics: list[tuple[Jet, Jet]], wave: Sequence[int]) -> tuple[Jet, Jet]:
        """cos and sin of k·x_i (B, N) for a wave vector in units of 2π/L."""
        one = constant(harmonics[0][0]).each(lambda t: t.expand(*t.shape[:-1], self.particles))
        found = one, one * 0.0
        for number, (c, s) in zip(wave, harmonics, strict=True):
            for _ in range(abs(number)):
                found = _times(found, (c, s if number > 0 else s * -1.0))
        return found

    def _products(self, harmonics: list[tuple[Jet, Jet]]) -> list[Jet]:
        """The real and the imaginary parts of all products of ρ, (B, n) each, made of those with one factor less."""
        most = max(map(len, self.products), default=0)
        # the beginnings of longer products, by their number of factors
        needed = [dict.fromkeys(chosen for chosen in self.products if len(chosen) == c) for c in range(most + 1)]
        for c in range(most, 1, -1):
            needed[c - 1] |= dict.fromkeys(chosen[:-1] for chosen in needed[c])
        waves = list(dict.fromkeys(wave for chosen in self.products for wave in chosen))
        scale = 1 / math.sqrt(self.particles)
        sums = [tuple(part.sum() * scale for part in self._phase(harmonics, wave)) for wave in waves]
        each = stack([c for c, _ in sums]), stack([s for _, s in sums])
        found: list[Jet] = []
        value = each
        before: list[tuple[tuple[int, ...], ...]] = [(wave,) for wave in waves]
        for c in range(1, most + 1):
            here = list(needed[c])
            last = torch.tensor([waves.index(chosen[-1]) for chosen in here])
            factor = each[0][last], each[1][last]
            if c == 1:
                value = factor
            else:
                first = torch.tensor([before.index(chosen[:-1]) for chosen in here])
                value = _times((value[0][first], value[1][first]), factor)
            before = here
            wanted = torch.tensor([number for number, chosen in enumerate(here) if chosen in self.products])
            if len(wanted):
                found += [part[wanted] for part in value]
        return found

    def __call__(self, places: Jet) -> Jet:
        """The functions (B, n) as jets."""
        harmonics = self._harmonics(places)
        parts = [] if any(self.momentum) else [constant(harmonics[0][0])]
        parts += self._products(harmonics)
        own, pair = self._inputs(harmonics)
        total = [k or 0 for k in self.momentum]
        c, s = self._phase(harmonics, total)
        if self.of_own is not None and own is not None:
            parts += self._with_phase(self.of_own(own), (c, s), any(total))
        if self.of_pairs is not None and pair is not None:
            # both ends have the same part in a pair
            both = c[self.i] + c[self.j], s[self.i] + s[self.j]
            parts += self._with_phase(self.of_pairs(pair), both, any(total))
        return join(parts)

    @staticmethod
    def _with_phase(terms: Jet, phase: tuple[Jet, Jet], moving: bool) -> list[Jet]:
        """Sums (B, n) over particles or pairs of terms (B, particles, n) times cos and sin of the phase (B, particles)."""
        if not moving:
            return [terms.each(lambda t: t.sum(-2))]
        return [(terms * part.each(lambda t: t[..., None])).each(lambda t: t.sum(-2)) for part in phase]


def _times(a: tuple[Jet, Jet], b: tuple[Jet, Jet]) -> tuple[Jet, Jet]:
    """The product of two complex numbers."""
    return a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]


def _columns(jets: list[Jet]) -> Jet | None:
    """Jets (B, n) as columns of a new last axis; None where there are none."""
    if not jets:
        return None
    return stack(jets)
