"""Which polynomial stands for 1/x, for the sign, or for a threshold, between -1 and 1?

Each function is first made smooth where no singular value is expected, then expanded in Chebyshev polynomials and cut
where the rest is small: 1/x as ``(1 - (1 - x**2)**b) / x`` (Childs, Kothari and Somma 2017, arXiv:1511.02306), the
sign as an error function (Low and Chuang 2017, arXiv:1707.05391).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.polynomial import chebyshev
from scipy.fft import dct
from scipy.special import erf

from qiskit_solvers.errors import TooLarge
from qiskit_solvers.ising import Floats
from qiskit_solvers.linear_algebra.qsvt_angles import LARGEST_VALUE, MAX_DEGREE


@dataclass(frozen=True, slots=True, eq=False)
class Polynomial:
    """A function of singular values, as a circuit can apply it.

    Args:
        coefficients: of Chebyshev polynomials, ``(degree + 1,)``, of one parity, below 1 in magnitude on [-1, 1].
        scale: the function is the polynomial times this.
        error: greatest difference to the function where it was asked for, measured on a grid, in units of the function.
    """

    coefficients: Floats
    scale: float
    error: float

    @property
    def degree(self) -> int:
        """Calls of the block encoding that the circuit makes."""
        return self.coefficients.size - 1

    def __call__(self, points: Floats) -> Floats:
        """Return the function's approximation at ``points``, scaled back."""
        return np.asarray(self.scale * chebyshev.chebval(points, self.coefficients), dtype=np.float64)


def inverse(condition: float, error: float) -> Polynomial:
    """Return 1/x for ``1 / condition <= |x| <= 1``, to ``error`` relative to the greatest value, ``condition``.

    Raises:
        ValueError: a condition below 1 or an error outside 0 to 1.
        TooLarge: more than :data:`~qiskit_solvers.linear_algebra.qsvt_angles.MAX_DEGREE` calls; about
            ``2 condition log(condition / error)`` are needed.
    """
    _check_error(error)
    if not (np.isfinite(condition) and condition >= 1.0):
        raise ValueError(f"condition: expected a finite number of at least 1, got {condition}")
    power = max(1.0, np.ceil(condition**2 * np.log(2.0 / error)))

    def smooth(x: Floats) -> Floats:
        # an even number of points has no node at 0, where the limit is 0
        return np.asarray(-np.expm1(power * np.log1p(-np.minimum(x * x, 1.0 - 1e-16))) / x)

    return _expanded(smooth, lambda x: 1.0 / x, (1.0 / condition, 1.0), error * condition / 2.0, parity=1)


def sign(gap: float, error: float) -> Polynomial:
    """Return the sign of x for ``gap <= |x| <= 1``, to ``error``.

    Raises:
        ValueError: a gap or an error outside 0 to 1.
        TooLarge: about ``log(1 / error) / gap`` calls are too many.
    """
    _check_error(error)
    _check_gap(gap)
    steepness = _steepness(gap, error)
    return _expanded(lambda x: np.asarray(erf(steepness * x)), np.sign, (gap, 1.0), error / 2.0, parity=1)


def above(threshold: float, gap: float, error: float) -> Polynomial:
    """Return x where ``|x| >= threshold + gap`` and 0 where ``|x| <= threshold - gap``, to ``error``; between, between.

    Two shifted signs make the step: what of a spectrum stands out of noise is kept, the rest removed.

    Raises:
        ValueError: a gap or an error outside 0 to 1, or a threshold that is not more than the gap.
        TooLarge: about ``log(1 / error) / gap`` calls are too many.
    """
    _check_error(error)
    _check_gap(gap)
    if not gap < threshold < 1.0:
        raise ValueError(f"threshold: expected more than {gap} and less than 1, got {threshold}")
    steepness = _steepness(gap, error)

    def smooth(x: Floats) -> Floats:
        return np.asarray(x * (1.0 + (erf(steepness * (x - threshold)) - erf(steepness * (x + threshold))) / 2.0))

    def wanted(x: Floats) -> Floats:
        unclear = np.abs(x - threshold) < gap
        return np.asarray(np.where(unclear, smooth(x), np.where(x > threshold, x, 0.0)))

    return _expanded(smooth, wanted, (0.0, 1.0), error / 2.0, parity=1)


def _expanded(
    smooth: Callable[[Floats], Floats],
    wanted: Callable[[Floats], Floats],
    span: tuple[float, float],
    cut: float,
    *,
    parity: int,
) -> Polynomial:
    """Expand a smooth function, cut what sums to less than ``cut``, and measure against the wanted one on ``span``."""
    points = 4 * MAX_DEGREE
    nodes = np.cos((np.arange(points) + 0.5) * np.pi / points)
    series = np.asarray(dct(smooth(nodes)) / points, dtype=np.float64)
    series[0] /= 2.0
    series[1 - parity :: 2] = 0.0
    tails = np.cumsum(np.abs(series[::-1]))[::-1]
    degree = int(np.flatnonzero(tails > cut).max(initial=parity))
    degree += (degree - parity) % 2
    if degree > MAX_DEGREE:
        raise TooLarge(f"qsvt polynomial: expected a degree of at most {MAX_DEGREE}, needs {degree}")
    series = series[: degree + 1]
    grid = np.cos(np.linspace(0.0, np.pi, 16 * MAX_DEGREE + 1))
    largest = float(np.abs(chebyshev.chebval(grid, series)).max())
    # a little below what phases exist for
    scale = max(largest / (LARGEST_VALUE - 0.009), np.finfo(np.float64).tiny)
    asked = np.linspace(*span, 4001)
    error = float(np.abs(chebyshev.chebval(asked, series) - wanted(asked)).max())
    return Polynomial(series / scale, scale, error)


def _steepness(gap: float, error: float) -> float:
    """Return k so that ``erf(k gap)`` is within half of ``error`` of 1."""
    return float(np.sqrt(max(np.log(4.0 / (np.sqrt(np.pi) * error)), 1.0)) / gap)


def _check_error(error: float) -> None:
    if not 0.0 < error < 1.0:
        raise ValueError(f"error: expected between 0 and 1, got {error}")


def _check_gap(gap: float) -> None:
    if not 0.0 < gap < 1.0:
        raise ValueError(f"gap: expected between 0 and 1, got {gap}")
