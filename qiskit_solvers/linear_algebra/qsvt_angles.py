"""Which phases make a signal-processing circuit compute a given polynomial?

Symmetric phase factors by Newton's method (Dong, Lin, Ni and Wang 2023, arXiv:2307.12468) from the first step of the
fixed-point iteration (Dong, Lin, Ni and Wang 2022, arXiv:2209.10162). The library of those authors, qsppack, does the
same; the tests compare with it where it is installed. It is no dependency, since it brings a convex optimiser along
for what are a hundred lines here; pyqsp has no wheel and a fixed tolerance.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy.polynomial import chebyshev

from qiskit_solvers.errors import SolverFailed, TooLarge
from qiskit_solvers.ising import Floats
from qiskit_solvers.linear_algebra.amplitude_encoding import Complexes

MAX_DEGREE = 500
"""Highest degree: a Newton step then solves 251 equations; the circuit has as many dense gates as the degree."""

LARGEST_VALUE = 0.999
"""Of a polynomial on [-1, 1]; at 1 the phases stop to depend smoothly on it."""

_STEPS = 60


@dataclass(frozen=True, slots=True, eq=False)
class PhaseFactors:
    """The phases of a polynomial.

    Args:
        phases: ``(degree + 1,)``, radians, the same from both ends: ``P(x)`` is the imaginary part of the upper left
            entry of ``exp(i p_0 Z) prod_j W(x) exp(i p_j Z)`` with ``W(x) = exp(i arccos(x) X)``.
        residual: greatest difference to the polynomial at the nodes.
        steps: of Newton's method.
    """

    phases: Floats
    residual: float
    steps: int


def phase_factors(coefficients: npt.ArrayLike, *, tolerance: float = 1e-12) -> PhaseFactors:
    """Return the symmetric phases of a real polynomial.

    Args:
        coefficients: of Chebyshev polynomials, ``(degree + 1,)``, every second one zero (an even or an odd
            polynomial); at most :data:`LARGEST_VALUE` in magnitude on [-1, 1].
        tolerance: greatest difference to the polynomial at the nodes.

    Raises:
        ValueError: not a finite polynomial of one parity, or one that exceeds :data:`LARGEST_VALUE`.
        TooLarge: the degree exceeds :data:`MAX_DEGREE`.
        SolverFailed: Newton's method did not reach the tolerance.
    """
    series = _checked(coefficients)
    degree = series.size - 1
    free = degree // 2 + 1
    nodes = np.cos((2 * np.arange(1, free + 1) - 1) * np.pi / (4 * free))
    wanted = chebyshev.chebval(nodes, series)
    half = series[::-2][:free] / 2.0  # to first order phase j and its twin give T_(degree - 2 j)
    if degree % 2 == 0:
        half[-1] *= 2.0  # the middle one has no twin
    residual = np.inf
    for step in range(_STEPS + 1):
        found, slopes = _values(half, degree, nodes)
        residual = float(np.abs(found - wanted).max())
        if residual <= tolerance:
            return PhaseFactors(_both_halves(half, degree), residual, step)
        try:
            half = half - np.linalg.solve(slopes, found - wanted)
        except np.linalg.LinAlgError:
            break
    raise SolverFailed(f"phase factors: expected a residual of {tolerance:.0e}, got {residual:.1e} at degree {degree}")


def response(phases: npt.ArrayLike, points: npt.ArrayLike) -> Complexes:
    """Return the upper left entry of the product of all rotations at each point of [-1, 1], ``(points,)``."""
    x = np.asarray(points, dtype=np.float64)
    turns = np.exp(1j * np.asarray(phases, dtype=np.float64))
    rest = 1j * np.sqrt((1.0 - x) * (1.0 + x))
    upper, lower = np.full(x.shape, turns[0]), np.zeros(x.shape, dtype=np.complex128)
    for turn in turns[1:]:
        upper, lower = (upper * x + lower * rest) * turn, (upper * rest + lower * x) / turn
    return np.asarray(upper, dtype=np.complex128)


def _checked(coefficients: npt.ArrayLike) -> Floats:
    series = np.asarray(coefficients, dtype=np.float64)
    if series.ndim != 1 or series.size == 0 or not np.isfinite(series).all():
        raise ValueError(f"coefficients: expected finite numbers of shape (degree + 1,), got shape {series.shape}")
    if series.size - 1 > MAX_DEGREE:
        raise TooLarge(f"phase factors: expected a degree of at most {MAX_DEGREE}, got {series.size - 1}")
    if series[-2::-2].any():
        raise ValueError("coefficients: expected an even or an odd polynomial, got both parities")
    grid = np.cos(np.linspace(0.0, np.pi, 8 * series.size + 1))
    largest = float(np.abs(chebyshev.chebval(grid, series)).max())
    if largest > LARGEST_VALUE:
        raise ValueError(f"coefficients: expected at most {LARGEST_VALUE} in magnitude on [-1, 1], got {largest}")
    return series


def _both_halves(half: Floats, degree: int) -> Floats:
    return np.concatenate([half, half[::-1] if degree % 2 else half[-2::-1]])


def _values(half: Floats, degree: int, nodes: Floats) -> tuple[Floats, Floats]:
    """Return the polynomial at each node ``(nodes,)``, and its slope by each free phase ``(nodes, phases)``."""
    phases = _both_halves(half, degree)
    turns = np.exp(1j * phases)
    rest = 1j * np.sqrt((1.0 - nodes) * (1.0 + nodes))
    # the row from the left up to and with each phase; the column from the right is the same, the phases are symmetric
    rows = np.empty((degree + 1, 2, nodes.size), dtype=np.complex128)
    rows[0, 0], rows[0, 1] = turns[0], 0.0
    for place in range(degree):
        upper, lower = rows[place]
        rows[place + 1, 0] = (upper * nodes + lower * rest) * turns[place + 1]
        rows[place + 1, 1] = (upper * rest + lower * nodes) / turns[place + 1]
    # left row with phase j, times right column without it: the right column with phase j, its phase taken off
    columns = rows[::-1]
    slopes = 1j * (rows[:, 0] * columns[:, 0] / turns[:, None] - rows[:, 1] * columns[:, 1] * turns[:, None])
    folded = slopes[: half.size].imag.copy()
    twins = slopes[::-1][: half.size].imag
    if degree % 2 == 0:
        folded[:-1] += twins[:-1]
    else:
        folded += twins
    return np.asarray(rows[-1, 0].imag), np.asarray(folded.T)
