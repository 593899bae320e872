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
from scipy import sparse
from scipy.optimize import minimize_scalar

from qiskit_solvers.angles.closed_form_kernels import dense_averages, sparse_averages
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
            single, mixed, both = dense_averages(self.ising.h, J + J.T, gamma)
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
        arrays = sparse_averages(self.ising.h, self._starts, self._neighbours, self._weights, self._back, gamma)
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
