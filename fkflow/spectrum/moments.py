"""Polynomials of the moments of a cloud of identical particles.

With the centre of mass c and the places ρ_i from there the moments are Q_ab = Σ ρ_ia ρ_ib, the vector T_a = Σ ρ_i² ρ_ia, the
tensor R_ab = Σ ρ_i² ρ_ia ρ_ib and F = Σ ρ_i⁴. All symmetric polynomials of rank 0 or 2 in up to four coordinates, and of rank 1
in up to three, are products of these: the states of a round harmonic trap without interaction.
"""

from __future__ import annotations

from fkflow.spectrum.jets import Jet, stack

Vector = list[Jet]


def polynomials(centre: Vector, own: Vector, rank: int) -> Jet:
    """Those (B, n) of a rank that are no products of c and Σ ρ_i² alone, one component of each.

    `centre` is c, D jets (B,), `own` are the ρ_i, D jets (B, N). The component is x of a vector, D X_xx − Tr X of a tensor.
    """
    dim = len(own)
    squares = dot(own, own)
    q = [[(a * b).sum() for b in own] for a in own]
    t = [(squares * a).sum() for a in own]
    qc = [dot(row, centre) for row in q]
    if rank == 1:
        return stack([qc[0], t[0]])
    cqc, ct, f = dot(qc, centre), dot(t, centre), (squares * squares).sum()
    qq = [dot(row, row) for row in q]
    trace = total(qq)
    if rank == 0:
        return stack([cqc, ct, trace, f])
    r = (squares * own[0] * own[0]).sum()
    m, c2 = total([q[a][a] for a in range(dim)]), dot(centre, centre)
    plain = q[0][0] * float(dim) - m
    pairs = [(qq[0], trace), (qc[0] * centre[0], cqc), (t[0] * centre[0], ct), (r, f)]
    return stack([plain, plain * m, plain * c2, *(xx * float(dim) - whole for xx, whole in pairs)])


def total(jets: Vector) -> Jet:
    """The sum of jets."""
    found = jets[0]
    for jet in jets[1:]:
        found = found + jet
    return found


def dot(a: Vector, b: Vector) -> Jet:
    """The product a·b of two vectors."""
    return total([p * q for p, q in zip(a, b, strict=True)])
