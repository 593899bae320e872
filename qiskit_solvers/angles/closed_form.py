"""What does one layer of QAOA expect, without a state? Closed forms for any Ising model, and its best two angles.

After one layer every expectation value of one or two spins is a sum of products of cosines (Ozaeta, van Dam and
McMahon 2022, doi 10.1088/2058-9565/ac9013), derived here in the convention of
:class:`~qiskit_solvers.simulation.space.StateSpace`: ``exp(-i gamma (E - offset))``, then ``exp(i beta X)`` on
every spin. With F_i the field that spin i feels,

    <Z_i>     = -sin(2 beta) <sin(2 gamma F_i)>
    <Z_i Z_j> = -sin(2 beta) cos(2 beta) <Z_j sin(2 gamma F_i) + Z_i sin(2 gamma F_j)>
                + sin(2 beta)^2 <sin(2 gamma F'_i) sin(2 gamma F'_j)>

where the right sides average over all strings and a prime leaves the coupling between i and j out. Time is
spins^3 for a dense model and pairs x degree for a sparse one; groups do not bind, as in the full state.
"""

from dataclasses import dataclass, field

import numpy as np
from numba import njit
from scipy import sparse
from scipy.optimize import minimize_scalar

from qiskit_solvers.ising import Floats, Indices, Ising
from qiskit_solvers.simulation.space import Slope

_DENSE_GAIN = 16.0  # factors that the dense kernel multiplies while the sparse one merges one, about
_TURNS = np.linspace(0.0, 2.0 * np.pi, 64, endpoint=False)  # a curve of two harmonics has at most four extrema
_CURVES = np.stack([np.sin(_TURNS), np.sin(_TURNS) * np.cos(_TURNS), np.sin(_TURNS) ** 2])


@dataclass(frozen=True, slots=True, eq=False)
class Correlations:
    """What one layer expects of spins and of coupled pairs.

    Args:
        spins: ``<Z_i>``, ``(spins,)``.
        pairs: ``<Z_i Z_j>`` of the coupled pairs, ``(pairs,)`` in the order of ``ising.pairs``.
    """

    spins: Floats
    pairs: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Averages:
    """What remains of one layer at a given gamma, before the mixer, and its derivatives by gamma.

    Args:
        single: ``<sin(2 gamma F_i)>``, ``(spins,)``.
        mixed: ``<Z_j sin(2 gamma F_i) + Z_i sin(2 gamma F_j)>``, ``(pairs,)``.
        both: ``<sin(2 gamma F'_i) sin(2 gamma F'_j)>``, ``(pairs,)``.
    """

    single: Floats
    mixed: Floats
    both: Floats


@dataclass(frozen=True, slots=True)
class Angles:
    """Two angles of one layer and what they reach.

    Args:
        gamma: cost angle, in 1 / energy.
        beta: mixer angle, radians.
        energy: expected energy, offset included.
    """

    gamma: float
    beta: float
    energy: float


@dataclass(frozen=True, slots=True, eq=False)
class ClosedForm:
    """One layer of QAOA on a model.

    Args:
        ising: the model; its groups do not bind here.
    """

    ising: Ising
    rows: Indices = field(init=False)
    columns: Indices = field(init=False)
    values: Floats = field(init=False)
    _dense: bool = field(init=False)
    _starts: Indices = field(init=False)
    _neighbours: Indices = field(init=False)
    _weights: Floats = field(init=False)
    _back: Indices = field(init=False)

    def __post_init__(self) -> None:
        pairs, spins = self.ising.pairs, self.ising.spins
        degrees = np.bincount(pairs.rows, minlength=spins) + np.bincount(pairs.columns, minlength=spins)
        merges = float((degrees[pairs.rows] + degrees[pairs.columns]).sum())
        first, second = np.concatenate([pairs.rows, pairs.columns]), np.concatenate([pairs.columns, pairs.rows])
        order = np.lexsort((second, first))
        first, second = first[order], second[order]
        for name, value in (
            ("rows", pairs.rows),
            ("columns", pairs.columns),
            ("values", pairs.values),
            ("_dense", _DENSE_GAIN * merges > spins**3),
            ("_starts", np.searchsorted(first, np.arange(spins + 1)).astype(np.int64)),
            ("_neighbours", second),
            ("_weights", np.concatenate([pairs.values, pairs.values])[order]),
            # the pattern is symmetric: in column order, the place of (i, j) is held by (j, i)
            ("_back", np.lexsort((first, second)).astype(np.int64)),
        ):
            object.__setattr__(self, name, value)

    def averages(self, gamma: float) -> Averages:
        """Return what remains at ``gamma``."""
        if self._dense:
            J = self.ising.couplings
            single, mixed, both = _dense_averages(self.ising.h, J + J.T, gamma)
            return Averages(single, mixed[self.rows, self.columns], both[self.rows, self.columns])
        return self._with_derivatives(gamma)[0]

    def correlations(self, gamma: float, beta: float) -> Correlations:
        """Return the expectation values of spins and coupled pairs."""
        seen = self.averages(gamma)
        sine, cosine = np.sin(2.0 * beta), np.cos(2.0 * beta)
        return Correlations(-sine * seen.single, sine * (sine * seen.both - cosine * seen.mixed))

    def energy(self, gamma: float, beta: float) -> float:
        """Return the expected energy, offset included."""
        seen = self.correlations(gamma, beta)
        return float(self.ising.offset + self.ising.h @ seen.spins + self.values @ seen.pairs)

    def slope(self, gamma: float, beta: float) -> Slope:
        """Return the expected energy and its derivatives by both angles, each ``(1,)``."""
        (a, b, d), (da, db, dd) = (self._curve(seen) for seen in self._with_derivatives(gamma))
        sine, cosine = np.sin(2.0 * beta), np.cos(2.0 * beta)
        return Slope(
            float(self.ising.offset + sine * (a + cosine * b + sine * d)),
            np.array([sine * (da + cosine * db + sine * dd)]),
            np.array([2.0 * (cosine * a + (cosine**2 - sine**2) * b + 2.0 * sine * cosine * d)]),
        )

    def curve(self, gamma: float) -> Floats:
        """Return ``(a, b, d)``: the energy is ``offset + a sin x + b sin x cos x + d sin^2 x`` with x = 2 beta."""
        return self._curve(self.averages(gamma))

    def _curve(self, seen: Averages) -> Floats:
        return np.array([-self.ising.h @ seen.single, -self.values @ seen.mixed, self.values @ seen.both])

    def _with_derivatives(self, gamma: float) -> tuple[Averages, Averages]:
        arrays = _sparse_averages(self.ising.h, self._starts, self._neighbours, self._weights, self._back, gamma)
        return Averages(*arrays[:3]), Averages(*arrays[3:])


def best_angles(ising: Ising, *, points: int = 64) -> Angles:
    """Return the two angles of lowest expected energy.

    For each cost angle of a grid the best mixer angle is known; the best three neighbourhoods are then searched
    continuously. The grid, geometric, spans the cost angles at which the spins turn, from the one that feels the
    strongest fields to the one that feels the weakest, so a minimum beyond a full turn of every spin is not seen.

    Args:
        ising: the model.
        points: of the grid.

    Raises:
        ValueError: fewer than three points.
    """
    if points < 3:
        raise ValueError(f"expected at least 3 points, got {points}")
    largest = largest_coefficient(ising)
    if largest == 0.0:
        return Angles(0.0, 0.0, ising.offset)
    unit = ClosedForm(Ising(ising.h / largest, ising.J / largest))
    grid = turning_angles(unit.ising, points)
    lowest = lowest_turns(np.array([unit.curve(gamma) for gamma in grid]))[1]
    inner = np.flatnonzero((lowest <= np.roll(lowest, 1)) & (lowest <= np.roll(lowest, -1)))
    tried = [
        _lowest_between(unit, grid[max(at - 1, 0)], grid[min(at + 1, points - 1)], 1e-10)
        for at in inner[np.argsort(lowest[inner], kind="stable")][:3]
    ]
    best = min(tried, key=lambda angles: angles.energy)
    return Angles(best.gamma / largest, best.beta, ising.offset + largest * best.energy)


def angles_near(ising: Ising, gamma: float) -> Angles:
    """Return the best two angles for a model of which a neighbour's best cost angle is known, to three digits.

    Half as much and half as much again are looked at, in about ten evaluations; if the minimum is at the edge of
    that, the whole range is searched.
    """
    largest = largest_coefficient(ising)
    middle = gamma * largest
    if middle > 0.0:
        unit = ClosedForm(Ising(ising.h / largest, ising.J / largest))
        found = _lowest_between(unit, middle / 1.5, middle * 1.5, 1e-3)
        if middle / 1.45 < found.gamma < middle * 1.45:
            return Angles(found.gamma / largest, found.beta, ising.offset + largest * found.energy)
    return best_angles(ising)


def _lowest_between(closed: ClosedForm, low: float, high: float, tolerance: float) -> Angles:
    """Return the best angles with the cost angle between two bounds, to a relative tolerance, offset left out."""

    def reach(gamma: float) -> float:
        return float(lowest_turns(closed.curve(gamma)[None])[1][0])

    found = minimize_scalar(reach, bounds=(low, high), method="bounded", options={"xatol": tolerance * high})
    turn = float(lowest_turns(closed.curve(found.x)[None])[0][0])
    return Angles(float(found.x), turn / 2.0, float(found.fun))


def largest_coefficient(ising: Ising) -> float:
    """Return the largest field or coupling by magnitude, 0 if there is none."""
    couplings = ising.J.data if sparse.issparse(ising.J) else ising.J
    return float(max(np.abs(ising.h).max(initial=0.0), np.abs(couplings).max(initial=0.0)))


def turning_angles(ising: Ising, points: int) -> Floats:
    """Return a geometric grid of cost angles, ``(points,)``, over which spins turn by the fields that they feel.

    A spin that feels a field of root mean square f over all strings turns by about a radian at ``gamma = 0.5 / f``.
    Spins that feel less than a thousandth of the strongest are left out of the reckoning.
    """
    pairs = ising.pairs
    squares = ising.h**2
    squares += np.bincount(pairs.rows, pairs.values**2, ising.spins)
    squares += np.bincount(pairs.columns, pairs.values**2, ising.spins)
    felt = np.sqrt(squares)
    strongest = felt.max()
    return np.asarray(np.geomspace(0.1 / strongest, 1.6 / felt[felt > 1e-3 * strongest].min(), points))


def lowest_turns(curves: Floats) -> tuple[Floats, Floats]:
    """Return where ``a sin x + b sin x cos x + d sin^2 x`` is lowest, and its value there.

    Args:
        curves: ``(a, b, d)`` of each, ``(curves, 3)``.

    Returns:
        The places x in (-pi, pi], ``(curves,)``, and the values, ``(curves,)``.
    """
    a, b, d = curves.T
    x = _TURNS[np.argmin(curves @ _CURVES, axis=1)]
    for _ in range(5):  # Newton, from within a twentieth of a radian: squares the error each time
        first = a * np.cos(x) + b * np.cos(2.0 * x) + d * np.sin(2.0 * x)
        second = -a * np.sin(x) - 2.0 * b * np.sin(2.0 * x) + 2.0 * d * np.cos(2.0 * x)
        bent = second > 0.0
        step = np.divide(first, second, out=np.zeros_like(first), where=bent)
        x = x - np.clip(step, -0.1, 0.1)
    values = np.sin(x) * (a + b * np.cos(x) + d * np.sin(x))
    # without fields the curve repeats after half a turn: the smaller turn is meant
    period = np.where(a == 0.0, np.pi, 2.0 * np.pi)
    return period / 2.0 - np.mod(period / 2.0 - x, period), values


@njit(cache=True)
def _dense_averages(h: Floats, J: Floats, gamma: float) -> tuple[Floats, Floats, Floats]:  # pragma: no cover - compiled
    """Return single ``(n,)``, mixed and both ``(n, n)``, the upper triangles; J symmetric."""
    n = h.size
    C, S = np.ones((n, n)), np.zeros((n, n))
    for i in range(n):
        for j in range(i):
            C[i, j] = C[j, i] = np.cos(2.0 * gamma * J[i, j])
            S[i, j] = S[j, i] = np.sin(2.0 * gamma * J[i, j])
    single, mixed, both = np.empty(n), np.zeros((n, n)), np.zeros((n, n))
    others = np.empty((n, n))  # product of the cosines of row i but for column j
    for i in range(n):
        product = 1.0
        for j in range(n):
            others[i, j] = product
            if j != i:
                product *= C[i, j]
        single[i] = np.sin(2.0 * gamma * h[i]) * product
        product = np.cos(2.0 * gamma * h[i])
        for j in range(n - 1, -1, -1):
            others[i, j] *= product
            if j != i:
                product *= C[i, j]
    for i in range(n):
        plus, minus = np.ones(n - i - 1), np.ones(n - i - 1)
        for k in range(n):
            if k == i:
                continue
            c, s, row_c, row_s = C[i, k], S[i, k], C[k, i + 1 :], S[k, i + 1 :]
            own = k - i - 1  # the place of j = k, which has no such factor: put back after a loop without branches
            kept_plus, kept_minus = (plus[own], minus[own]) if k > i else (1.0, 1.0)
            for j in range(plus.size):
                cosines, sines = c * row_c[j], s * row_s[j]
                plus[j] *= cosines - sines
                minus[j] *= cosines + sines
            if k > i:
                plus[own], minus[own] = kept_plus, kept_minus
        for j in range(i + 1, n):
            difference, total = np.cos(2.0 * gamma * (h[i] - h[j])), np.cos(2.0 * gamma * (h[i] + h[j]))
            both[i, j] = 0.5 * (difference * minus[j - i - 1] - total * plus[j - i - 1])
            mixed[i, j] = S[i, j] * (others[i, j] + others[j, i])
    return single, mixed, both


@njit(cache=True)
def _sparse_averages(
    h: Floats,
    starts: Indices,
    neighbours: Indices,
    weights: Floats,
    back: Indices,
    gamma: float,
) -> tuple[Floats, Floats, Floats, Floats, Floats, Floats]:  # pragma: no cover - compiled
    """Return single, mixed, both, then their derivatives by gamma; pairs row by row.

    Args:
        h: fields, ``(n,)``.
        starts: where the neighbours of each spin begin, ``(n + 1,)``.
        neighbours: ascending for each spin, both ways, ``(2 pairs,)``.
        weights: couplings to them, ``(2 pairs,)``.
        back: the entry of the same pair from its other spin, ``(2 pairs,)``.
        gamma: cost angle.
    """
    n, entries = h.size, neighbours.size
    C, S = np.cos(2.0 * gamma * weights), np.sin(2.0 * gamma * weights)
    dC, dS = -2.0 * weights * S, 2.0 * weights * C
    single, dsingle = np.empty(n), np.empty(n)
    others, dothers = np.empty(entries), np.empty(entries)  # as in the dense kernel, by entry
    for i in range(n):
        p, dp = 1.0, 0.0
        for e in range(starts[i], starts[i + 1]):
            others[e], dothers[e] = p, dp
            p, dp = p * C[e], dp * C[e] + p * dC[e]
        sine, cosine = np.sin(2.0 * gamma * h[i]), np.cos(2.0 * gamma * h[i])
        single[i], dsingle[i] = sine * p, sine * dp + 2.0 * h[i] * cosine * p
        p, dp = cosine, -2.0 * h[i] * sine
        for e in range(starts[i + 1] - 1, starts[i] - 1, -1):
            others[e], dothers[e] = others[e] * p, dothers[e] * p + others[e] * dp
            p, dp = p * C[e], dp * C[e] + p * dC[e]
    mixed, dmixed = np.empty(entries // 2), np.empty(entries // 2)
    both, dboth = np.empty(entries // 2), np.empty(entries // 2)
    pair = 0
    for i in range(n):
        for e in range(starts[i], starts[i + 1]):
            j = neighbours[e]
            if j < i:
                continue
            two, dtwo = others[e] + others[back[e]], dothers[e] + dothers[back[e]]
            mixed[pair], dmixed[pair] = S[e] * two, dS[e] * two + S[e] * dtwo
            total, difference = h[i] + h[j], h[i] - h[j]
            plus, dplus = np.cos(2.0 * gamma * total), -2.0 * total * np.sin(2.0 * gamma * total)
            minus, dminus = np.cos(2.0 * gamma * difference), -2.0 * difference * np.sin(2.0 * gamma * difference)
            at, to = starts[i], starts[j]
            while at < starts[i + 1] or to < starts[j + 1]:
                # merge the two neighbourhoods; a spin that is in one of them only counts as uncoupled to the other
                first = neighbours[at] if at < starts[i + 1] else n
                second = neighbours[to] if to < starts[j + 1] else n
                c, s, dc, ds = 1.0, 0.0, 0.0, 0.0
                o, r, do, dr = 1.0, 0.0, 0.0, 0.0
                if first <= second:
                    c, s, dc, ds = C[at], S[at], dC[at], dS[at]
                    at += 1
                if second <= first:
                    o, r, do, dr = C[to], S[to], dC[to], dS[to]
                    to += 1
                if min(first, second) == i or min(first, second) == j:
                    continue
                f, df = c * o - s * r, dc * o + c * do - ds * r - s * dr
                plus, dplus = plus * f, dplus * f + plus * df
                f, df = c * o + s * r, dc * o + c * do + ds * r + s * dr
                minus, dminus = minus * f, dminus * f + minus * df
            both[pair], dboth[pair] = 0.5 * (minus - plus), 0.5 * (dminus - dplus)
            pair += 1
    return single, mixed, both, dsingle, dmixed, dboth
