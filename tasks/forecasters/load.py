"""How busy will each expert be next? A weighted mean of past windows, as forgetful as the past windows call for."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tasks.forecasters.load_scenarios import PastWindows, Scenarios

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Loads:
    """A forecast of routed tokens.

    Args:
        tokens: in the next window, ``(layers, experts)``, read-only.
        alpha: weight of the newest window that was chosen; 1 is the last window itself.
        error: of one-step-ahead forecasts of the past with that weight: sum of absolute errors over sum of tokens.
        last_window_error: the same for forecasting each window by the one before; both 0 with a single window.
        scenarios: futures that a map should be made for, the forecast among them.
        method: who made the forecast, and where another was tried, how it did.
    """

    tokens: Floats
    alpha: float
    error: float
    last_window_error: float
    scenarios: Scenarios
    method: str = "weighted mean of past windows"


@dataclass(frozen=True, slots=True)
class Ewma:
    """Exponentially weighted moving average (Roberts 1959, doi 10.1080/00401706.1959.10489860).

    The weight of the newest window is the one that would have forecast the past windows best, each from those before
    it. So it keeps to the last window where loads drift and averages where they only scatter.

    Args:
        alphas: weights to choose from, each above 0 and at most 1.
    """

    alphas: tuple[float, ...] = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    kind: Literal["ewma"] = "ewma"

    def __post_init__(self) -> None:
        if not self.alphas or not all(0.0 < alpha <= 1.0 for alpha in self.alphas):
            raise ValueError(f"alphas: expected weights above 0 and at most 1, got {self.alphas}")

    def __call__(self, loads: Floats) -> Loads:
        """Return the forecast of the window after the last of ``loads``, ``(windows, layers, experts)``.

        Raises:
            ValueError: ``loads`` has another shape or no window.
        """
        if loads.ndim != 3 or not len(loads):
            raise ValueError(f"loads: expected shape (windows, layers, experts) with a window, got {loads.shape}")
        # ties go to the larger weight: with two windows the past cannot tell, and the last window is what is known
        tried = [_smoothed(loads, alpha) for alpha in sorted({*self.alphas, 1.0}, reverse=True)]
        best = min(tried, key=lambda smoothed: smoothed.error)
        scenarios = PastWindows()(loads, best.mean, best.expected, best.error)
        return Loads(best.mean, best.alpha, best.error, tried[0].error, scenarios)


@dataclass(frozen=True, slots=True, eq=False)
class _Smoothed:
    """The mean with one weight, what it was before the newest window came, and its error so far."""

    mean: Floats
    expected: Floats
    alpha: float
    error: float


def _smoothed(loads: Floats, alpha: float) -> _Smoothed:
    total = float(loads[1:].sum())
    error = 0.0
    mean = expected = loads[0].astype(np.float64)
    for window in loads[1:]:
        expected = mean
        error += float(np.abs(window - mean).sum())
        # the step form, since a constant series then stays exactly what it is
        mean = mean + alpha * (window - mean)
    if alpha == 1.0:
        mean = loads[-1].astype(np.float64)
    mean.flags.writeable = False
    return _Smoothed(mean, expected, alpha, error / total if total > 0 else 0.0)
