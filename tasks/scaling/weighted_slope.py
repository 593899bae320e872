"""With which exponent does an optimum grow? A weighted straight line through logarithms.

As Porian et al. 2024 (arXiv 2406.19146) fit the best model size against compute, each point weighed by one over the
standard deviation that a bootstrap gave it.
"""

from dataclasses import dataclass

import numpy as np

from tasks.scaling.laws import Floats


@dataclass(frozen=True, slots=True)
class Slope:
    """``log y = level + exponent log x``.

    Args:
        exponent: the slope.
        level: log y at x = 1.
        r2: share of the weighted variance that is explained.
    """

    exponent: float
    level: float
    r2: float


def weighted_slope(x: Floats, y: Floats, deviation: Floats) -> Slope:
    """Return the line with the least squares of residuals over deviation.

    Args:
        x: above 0, ``(points,)``.
        y: above 0, ``(points,)``.
        deviation: standard deviations of log y, above 0, ``(points,)``.

    Raises:
        ValueError: shapes differ, fewer than two distinct x, or a number that is not finite and above 0.
    """
    arrays = {"x": x, "y": y, "deviation": deviation}
    for name, values in arrays.items():
        if values.shape != x.shape or values.ndim != 1:
            raise ValueError(f"{name}: expected shape {x.shape}, found {values.shape}")
        if not (np.isfinite(values) & (values > 0.0)).all():
            raise ValueError(f"{name}: expected finite numbers above 0")
    if len(np.unique(x)) < 2:
        raise ValueError(f"x: expected at least two distinct values, found {len(np.unique(x))}")
    weights = 1.0 / deviation**2
    u, v = np.log(x), np.log(y)
    centre_u, centre_v = np.average(u, weights=weights), np.average(v, weights=weights)
    spread = float(weights @ (u - centre_u) ** 2)
    exponent = float(weights @ ((u - centre_u) * (v - centre_v))) / spread
    residuals = v - centre_v - exponent * (u - centre_u)
    total = float(weights @ (v - centre_v) ** 2)
    r2 = 1.0 - float(weights @ residuals**2) / total if total > 0.0 else 1.0
    return Slope(exponent, float(centre_v - exponent * centre_u), r2)
