"""How sure is a median over instances, and what follows from a probability of the optimum?"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_RESAMPLES = 2000
_CONFIDENCE = 0.99
"""With which the optimum shall be among the samples."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A median and the bounds of its 95 % interval."""

    middle: float
    low: float
    high: float


def median_interval(values: Floats, rng: np.random.Generator) -> Interval:
    """Return the median of ``values``, ``(instances,)``, with a percentile bootstrap over the instances.

    Efron 1979, doi 10.1214/aos/1176344552. Infinite values are allowed: a median among them is infinite.

    Raises:
        ValueError: there are no values.
    """
    if values.size == 0:
        raise ValueError("values: expected at least one, got none")
    drawn = np.sort(values[rng.integers(0, values.size, (_RESAMPLES, values.size))], axis=1)
    # of an even number the lower middle: infinities then need no arithmetic
    middles = np.sort(drawn[:, (values.size - 1) // 2])
    ordered = np.sort(values)
    return Interval(
        float(ordered[(values.size - 1) // 2]),
        float(middles[int(0.025 * _RESAMPLES)]),
        float(middles[int(0.975 * _RESAMPLES) - 1]),
    )


def shots99(probability: float) -> float:
    """Return how many samples show an outcome of this probability at least once, with 99 % probability."""
    if probability >= _CONFIDENCE:
        return 1.0
    if probability <= 0.0:
        return math.inf
    return math.log(1.0 - _CONFIDENCE) / math.log1p(-probability)


def ratio(mean: float, lowest: float, uniform: float) -> float:
    """Return the approximation ratio: 1 at the ``lowest`` energy, 0 at the mean of strings drawn by chance."""
    spread = uniform - lowest
    return (uniform - mean) / spread if spread > 0.0 else 1.0
