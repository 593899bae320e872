"""How many bits does a quantised number take, and what error does it make?

A normal number of variance ``x`` in units of the squared step, rounded to whole steps and coded at its entropy. Well
above a step that is ``log2(x) / 2 + 2.05`` bits and an error of 1/12 (Gish and Pierce 1968,
doi 10.1109/TIT.1968.1054193); below it both fall to nothing, and the whole number is the error.
"""

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

Array = npt.NDArray[np.float64]

LOWEST, HIGHEST, PER_UNIT = -12.0, 6.0, 16
"""Range of ``ln(x)`` in the table, and its entries per unit; above it the closed form holds."""

GAUSS_BITS = 0.5 * np.log2(2.0 * np.pi * np.e)


def table() -> Array:
    """Return bits and squared error (in squared steps) by ``ln(x)``, ``(entries, 2)``."""
    grid = np.linspace(LOWEST, HIGHEST, int((HIGHEST - LOWEST) * PER_UNIT) + 1)
    return np.array([_at(float(np.exp(0.5 * place))) for place in grid])


def _at(deviation: float) -> tuple[float, float]:
    reach = int(np.ceil(9.0 * deviation)) + 1
    levels = np.arange(-reach, reach + 1)
    low, high = (levels - 0.5) / deviation, (levels + 0.5) / deviation
    share = np.where(levels > 0, norm.sf(low) - norm.sf(high), norm.cdf(high) - norm.cdf(low))
    seen = share[share > 0.0]
    # of the cell [low, high]: the moments of a standard normal number, from the density at its ends
    first = norm.pdf(low) - norm.pdf(high)
    second = share + low * norm.pdf(low) - high * norm.pdf(high)
    error = (deviation**2 * second - 2.0 * levels * deviation * first + levels**2 * share).sum()
    return float(-(seen * np.log2(seen)).sum()), float(error)
