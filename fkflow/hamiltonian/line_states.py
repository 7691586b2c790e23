"""The ground state along one coordinate of a potential that jumps there, as a table of its logarithm.

ψ'' jumps with V, by 2ΔVψ, and decays within 1/√(2ΔV) behind a high step: no smooth network has that. The state of the mean
potential along the coordinate has it, and leaves to the network what is smooth.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from fkflow.hamiltonian.system import System
from fkflow.hamiltonian.walls import Walls, bounds

Array = np.ndarray
Potential = Callable[[Tensor], Tensor]

#: points between which jumps are looked for, most jumps, and halvings that place one
LOOK, MOST_JUMPS, HALVINGS = 1024, 32, 60
#: least jump in kinetic energies of the coordinate; what must be left of it when it is placed
LEAST, LEFT = 0.3, 0.5
#: pieces of the table, fewest between two jumps, steps in a piece, and bisections of the energy
PIECES, FEWEST, STEPS, BISECTIONS = 400, 24, 4, 100
#: first piece at a jump in lengths of the decay behind it, and factor from one piece to the next
FINEST, GROWTH = 0.1, 1.15
#: share of a piece by which V is taken inside its ends, where V may jump
INSIDE = 1e-7
GAUSS = math.sqrt(3) / 6
#: configurations of the others for the state along a coordinate, how much wider than it an interval between walls may be, by
#: what share of that its jumps may differ, and how often its grid grows at most
OTHERS, WIDEST, SAME, ROUNDS = 4, 20.0, 1e-9, 60
#: log ψ at the ends of the state along a coordinate, by its highest value, if ψ is small there
SMALL = -18.0


@dataclass(frozen=True)
class LineState:
    """log of the state along one axis of one particle, or of all alike: nodes (n + 1,) and, between them, polynomials.

    Coefficients (n, 6) are those of powers of the distance from the left node in lengths of the piece. Beyond the nodes the
    logarithm is linear. Where a hard wall is, the logarithm of the factor that vanishes there is left out.
    """

    particle: int | None
    axis: int
    nodes: Tensor
    coefficients: Tensor


@dataclass(frozen=True)
class Jump:
    """A place where V jumps, and by how much."""

    place: float
    height: float


def find_jumps(potential: Potential, left: float, right: float, kinetic: float) -> list[Jump]:
    """Where V (one value a point) jumps between two ends, by more than LEAST of a kinetic energy, from left to right."""
    points = torch.linspace(left, right, LOOK + 1, dtype=torch.float64)[1:-1]
    rise = potential(points).diff().abs().nan_to_num(nan=0.0, posinf=0.0)
    typical = float(rise.median())
    which = (rise > max(LEAST * kinetic, 4 * typical)).nonzero()[:, 0]
    which = which[rise[which].argsort(descending=True)][: 2 * MOST_JUMPS]
    if not len(which):
        return []
    low, high = points[which], points[which + 1]
    last = rise[which]
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        values = potential(torch.cat([low, middle, high])).view(3, -1)
        first, second = values.diff(dim=0).abs()
        last = torch.maximum(first, second)
        low, high = torch.where(second > first, middle, low), torch.where(second > first, high, middle)
    kept = last > LEFT * rise[which]
    found = zip((0.5 * (low + high))[kept].tolist(), last[kept].tolist(), strict=True)
    return [Jump(*one) for one in sorted(found)]


def line_state(
    potential: Potential, ends: tuple[float, float], walls: tuple[bool, bool], jumps: list[Jump], peak: float
) -> tuple[Tensor, Tensor] | None:
    """Nodes (n + 1,) and coefficients (n, 6) of the ground state of a particle of mass 1, None if none is found.

    `walls` are ends at which ψ vanishes, `peak` is a place where ψ is large.
    """
    nodes = _nodes(ends, jumps)
    width = np.diff(nodes)
    fine = (nodes[:-1, None] + width[:, None] * np.arange(STEPS) / STEPS).ravel()
    step = np.repeat(width / STEPS, STEPS)
    inside = np.concatenate([nodes[:-1] + INSIDE * width, nodes[1:] - INSIDE * width])
    gauss = [fine + (0.5 + sign * GAUSS) * step for sign in (-1, 1)]
    v = potential(torch.from_numpy(np.concatenate([*gauss, inside]))).numpy()
    if not np.isfinite(v).all():
        return None
    v1, v2, v_ends = v[: len(fine)], v[len(fine) : 2 * len(fine)], v[2 * len(fine) :].reshape(2, -1)
    middle = STEPS * int(np.clip(np.searchsorted(nodes, peak), 1, len(nodes) - 2))

    def shoot(energy: float) -> tuple[bool, list[float], list[float]]:
        """Whether the energy is too high, and y'/y and log y at all fine points, from the ends to the middle."""
        rows, growth = _transfer(step, 2 * (v1 - energy), 2 * (v2 - energy))
        slopes, logs = [0.0] * (len(rows) + 1), [0.0] * (len(rows) + 1)
        outside = [math.sqrt(max(2 * (float(e) - energy), 0.0)) for e in (v_ends[0, 0], v_ends[1, -1])]
        p = math.inf if walls[0] else outside[0]
        slopes[0] = p
        for k in range(middle):
            a, b, c, d = rows[k]
            ahead = b if p == math.inf else a + b * p
            if not ahead > 0:
                return True, slopes, logs
            logs[k + 1] = logs[k] + math.log(ahead) + growth[k]
            p = slopes[k + 1] = d / b if p == math.inf else (c + d * p) / ahead
        from_left, reached = p, logs[middle]
        p = -math.inf if walls[1] else -outside[1]
        slopes[-1] = p
        for k in range(len(rows) - 1, middle - 1, -1):
            a, b, c, d = rows[k]
            # the inverse of a matrix of determinant 1, but for its scale
            ahead = b if p == -math.inf else d - b * p
            if not ahead > 0:
                return True, slopes, logs
            logs[k] = logs[k + 1] + math.log(ahead) + growth[k]
            p = slopes[k] = -a / b if p == -math.inf else (a * p - c) / ahead
        shift = reached - logs[middle]
        logs[middle:] = [value + shift for value in logs[middle:]]
        return from_left < p, slopes, logs

    low = float(v.min())
    high = low + 1 / float(nodes[-1] - nodes[0]) ** 2
    while not shoot(high)[0]:
        high = low + 2 * (high - low)
        if high - low > 1e12 / float(width.min()) ** 2:
            return None
    for _ in range(BISECTIONS):
        energy = 0.5 * (low + high)
        low, high = (low, energy) if shoot(energy)[0] else (energy, high)
    _, slopes, logs = shoot(low)
    p, f = np.array(slopes[::STEPS]), np.array(logs[::STEPS])
    q = 2 * (v_ends - low)
    return torch.from_numpy(nodes), torch.from_numpy(_without_walls(nodes, p, f, q, walls))


def drops(coefficients: Tensor) -> tuple[float, float]:
    """log ψ at both ends less its highest value; 0 where ψ does not fall towards an end."""
    highest = float(coefficients[:, 0].max())
    left, right = float(coefficients[0, 0]), float(coefficients[-1].sum())
    powers = torch.arange(coefficients.shape[1], dtype=coefficients.dtype)
    falls = float(coefficients[0, 1]) > 0, float(coefficients[-1] @ powers) < 0
    return (left - highest) * falls[0], (right - highest) * falls[1]


def _nodes(ends: tuple[float, float], jumps: list[Jump]) -> Array:
    """Ends of pieces, jumps among them: evenly, but closer and closer towards a jump, behind which ψ decays fast."""
    corners = [Jump(ends[0], 0.0), *jumps, Jump(ends[1], 0.0)]
    parts = []
    for a, b in itertools.pairwise(corners):
        length = b.place - a.place
        count = max(FEWEST, math.ceil(PIECES * length / (ends[1] - ends[0])))
        near = [_graded(one.height, length / count, 0.5 * length) for one in (a, b)]
        middle = np.linspace(near[0][-1], length - near[1][-1], count + 1)
        inner = np.concatenate([near[0][:-1], middle, length - near[1][-2::-1]])
        parts.append(a.place + inner[:-1])
    return np.concatenate([*parts, [ends[1]]])


def _graded(height: float, widest: float, most: float) -> Array:
    """Distances from a jump, from 0 on, whose steps grow from a part of the decay length there to `widest`, up to `most`."""
    found = [0.0]
    width = FINEST / math.sqrt(2 * height) if height > 0 else math.inf
    while width < widest and found[-1] + width < 0.9 * most:
        found.append(found[-1] + width)
        width *= GROWTH
    return np.array(found)


def _transfer(step: Array, q1: Array, q2: Array) -> tuple[list[list[float]], list[float]]:
    """Matrices (a, b, c, d) that carry (y, y') with y'' = Q y over steps, Q at two Gauss points: Magnus, fourth order.

    They are divided by the exponentials of the second list, which behind high steps no float can hold.
    """
    # exp of [[−k, h], [h Q, k]]
    k = GAUSS / 2 * step**2 * (q2 - q1)
    mean = 0.5 * (q1 + q2)
    squared = k**2 + step**2 * mean
    root = np.sqrt(squared.astype(complex))
    growth = root.real
    up, down = np.exp(root - growth), np.exp(-root - growth)
    even = 0.5 * (up + down).real
    odd = np.where(np.abs(squared) < 1e-12, 1.0, (0.5 * (up - down) / np.where(root == 0, 1, root)).real)
    rows: list[list[float]] = np.stack([even - odd * k, odd * step, odd * step * mean, even + odd * k], -1).tolist()
    return rows, growth.tolist()


def _without_walls(nodes: Array, p: Array, f: Array, q: Array, walls: tuple[bool, bool]) -> Array:
    """Coefficients of log ψ, less that of the factor of hard walls, from p = ψ'/ψ, f = log ψ and Q (2, n) at ends of pieces."""
    low, high = float(nodes[0]), float(nodes[-1])
    k = 0.0
    if all(walls):
        k = math.pi / (high - low)
        angle = k * (nodes[1:-1] - low)
        d, slope = np.log(np.sin(angle)), k / np.tan(angle)
    elif any(walls):
        distance = nodes[1:-1] - low if walls[0] else high - nodes[1:-1]
        d, slope = np.log(distance), (1 if walls[0] else -1) / distance
    else:
        d = slope = np.zeros(len(nodes) - 2)

    def padded(middle: Array) -> Array:
        return np.concatenate([[0.0], middle, [0.0]])

    first, value = p.copy(), f.copy()
    first[1:-1] -= slope
    value[1:-1] -= d
    # (log ψ)'' = Q − p², (log d)'' = −k² − (log d)'²
    second = q + k**2 - np.stack([p[:-1] ** 2 - padded(slope)[:-1] ** 2, p[1:] ** 2 - padded(slope)[1:] ** 2])
    width = np.diff(nodes)
    for wall, node, piece, side, sign in ((walls[0], 0, 0, 0, -1), (walls[1], -1, -1, 1, 1)):
        other = 1 if node == 0 else -2
        if wall:
            first[node], second[side, piece] = 0.0, (q[side, piece] + k**2) / 3
            h = float(width[piece])
            curve = (second[side, piece] - second[1 - side, piece]) * sign
            value[node] = value[other] + sign * h / 2 * (first[node] + first[other]) - h**2 / 12 * curve * sign
        elif any(walls):
            # the end without a wall has a factor too
            far = high - low
            first[node] -= (1 if walls[0] else -1) / far
            value[node] -= math.log(far)
            second[side, piece] = q[side, piece] - p[node] ** 2 + 1 / far**2
    value -= value.max()
    f0, f1, d0, d1 = value[:-1], value[1:], width * first[:-1], width * first[1:]
    e0, e1 = 0.5 * width**2 * second[0], 0.5 * width**2 * second[1]
    a, b, c = f1 - f0 - d0 - e0, d1 - d0 - 2 * e0, e1 - e0
    found: Array = np.stack([f0, d0, e0, 10 * a - 4 * b + c, -15 * a + 7 * b - 2 * c, 6 * a - 3 * b + c], -1)
    return found


def coordinate_state(
    system: System,
    places: Tensor,
    coordinate: tuple[int, int],
    ends: tuple[float, float],
    peak: float,
    walls: Walls | None,
    kinetic: float,
) -> LineState | None:
    """The state along a coordinate of a particle, with the others where V is low; None unless V jumps at fixed places."""
    i, a = coordinate
    near = [piece for piece in (walls.regions[i] if walls is not None else ()) if a in piece.axes]
    if any(len(piece.axes) > 1 or piece.power != 1 for piece in near) or (walls is not None and walls.stated):
        return None
    low, high = (float(side[i, a]) for side in bounds(walls, *places.shape[1:]))
    bounded = math.isfinite(low), math.isfinite(high)
    wide = low if bounded[0] else ends[0], high if bounded[1] else ends[1]
    if wide[1] - wide[0] > WIDEST * (ends[1] - ends[0]):
        return None
    order = system.potential(places).detach().argsort()
    others = places[order[: 1 if places[0].numel() == 1 else OTHERS]]

    def mean(at: Tensor, samples: Tensor = others) -> Tensor:
        moved = samples[:, None].repeat(1, len(at), 1, 1)
        moved[:, :, i, a] = at
        return system.potential(moved.flatten(0, 1)).detach().view(len(samples), -1).mean(0)

    narrow, state = wide[1] - wide[0], None
    for _ in range(ROUNDS):
        jumps = [find_jumps(partial(mean, samples=one[None]), *wide, kinetic) for one in others]
        same = SAME * (wide[1] - wide[0])
        fixed = all(
            len(found) == len(jumps[0])
            and all(abs(p.place - q.place) <= same for p, q in zip(found, jumps[0], strict=True))
            for found in jumps
        )
        wider = line_state(mean, wide, bounded, jumps[0], peak) if fixed and 0 < len(jumps[0]) <= MOST_JUMPS else None
        if wider is None:
            break
        state = wider
        small = [end or drop < SMALL for end, drop in zip(bounded, drops(state[1]), strict=True)]
        if all(small) or wide[1] - wide[0] > WIDEST * narrow:
            break
        # another well, or a slow decay, is beyond the end
        more = 0.5 * (wide[1] - wide[0])
        wide = wide[0] - more * (not small[0]), wide[1] + more * (not small[1])
    return None if state is None else LineState(None if system.identical else i, a, *state)
