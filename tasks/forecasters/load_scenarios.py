"""For which loads shall an expert map be made: the forecast alone, or the windows of the past as well?

Where the past recurs, as when the same kinds of requests come again, experts rise and fall together, and past windows
show how. Where experts drift on their own, past windows are merely old, and a map made for them is worse than one made
for the forecast. What tells the two apart is how much of the newest window's deviation from its own forecast lies in
the span of the deviations of the windows before it. Measured: 0.87 to 0.97 in recordings of prefill; with decode among
them 0.92 to 0.99 from five windows on, but as low as 0.06 from three or four; 0.01 to 0.13 in generated loads that
drift independently. The threshold was chosen on these, so it is no more than a rule of thumb.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MEAN_TO_STANDARD = float(np.sqrt(np.pi / 2.0))
"""Standard error / mean absolute error of a normal distribution."""


@dataclass(frozen=True, slots=True, eq=False)
class Scenarios:
    """Futures to be made for.

    Args:
        tokens: in the next window, the forecast first, ``(scenarios, layers, experts)``, read-only.
        likelihood: of each, adding up to 1, ``(scenarios,)``.
        load_error: relative standard error of an expert's load that they do not show.
        recurrence: share of the newest deviation that past ones explain, 0 to 1; 0 with fewer than three windows.
    """

    tokens: Floats
    likelihood: Floats
    load_error: float
    recurrence: float


@dataclass(frozen=True, slots=True)
class PastWindows:
    """The forecast, and the newest windows at its volume where the past recurs.

    Args:
        most: past windows at most.
        forecast_likelihood: of the forecast; the past windows share the rest equally.
        least_recurrence: explained share from which past windows are used.
    """

    most: int = 4
    forecast_likelihood: float = 0.2
    least_recurrence: float = 0.25

    def __post_init__(self) -> None:
        if self.most < 0 or not 0.0 < self.forecast_likelihood <= 1.0 or self.least_recurrence < 0.0:
            raise ValueError(f"expected most and least_recurrence of at least 0 and a likelihood in (0, 1], got {self}")

    def __call__(self, loads: Floats, forecast: Floats, expected: Floats, error: float) -> Scenarios:
        """Return the scenarios of the window after the last of ``loads``.

        Args:
            loads: of the past, oldest first, ``(windows, layers, experts)``.
            forecast: of the next window, ``(layers, experts)``.
            expected: what the newest window had been forecast to be, ``(layers, experts)``.
            error: of one-step-ahead forecasts, sum of absolute errors over sum of tokens.
        """
        explained = recurrence(loads, expected) if len(loads) > 2 else 0.0
        futures = [forecast]
        if explained >= self.least_recurrence:
            futures += [_at_volume(window, forecast) for window in loads[::-1][: self.most]]
        tokens = np.array(futures)
        tokens.flags.writeable = False
        likelihood = np.ones(1)
        if len(futures) > 1:
            rest = (1.0 - self.forecast_likelihood) / (len(futures) - 1)
            likelihood = np.array([self.forecast_likelihood, *[rest] * (len(futures) - 1)])
        unexplained = 1.0 - explained if len(futures) > 1 else 1.0
        return Scenarios(tokens, likelihood, MEAN_TO_STANDARD * error * float(np.sqrt(unexplained)), explained)


def recurrence(loads: Floats, expected: Floats) -> float:
    """Return the share of the newest window's deviation that lies in the span of the earlier ones' deviations.

    Args:
        loads: oldest first, ``(windows, layers, experts)``; windows count by their shares of a layer's tokens.
        expected: what the newest window had been forecast to be, ``(layers, experts)``.
    """
    shares, centre = _shares(loads), _shares(expected)
    explained = whole = 0.0
    for layer in range(loads.shape[1]):
        deviation = shares[-1, layer] - centre[layer]
        basis, sizes, _ = np.linalg.svd((shares[:-1, layer] - centre[layer]).T, full_matrices=False)
        basis = basis[:, sizes > 1e-9 * max(1e-300, float(sizes.max(initial=0.0)))]
        explained += float(((basis.T @ deviation) ** 2).sum())
        whole += float((deviation**2).sum())
    return min(1.0, explained / whole) if whole > 0.0 else 0.0


def _shares(loads: Floats) -> Floats:
    total = loads.sum(axis=-1, keepdims=True)
    return np.asarray(np.divide(loads, total, out=np.zeros(loads.shape), where=total > 0.0))


def _at_volume(window: Floats, forecast: Floats) -> Floats:
    """Return a window with the tokens of the forecast in each layer; the forecast where it had none."""
    total = window.sum(axis=1, keepdims=True)
    scale = np.divide(forecast.sum(axis=1, keepdims=True), total, out=np.zeros(total.shape), where=total > 0.0)
    return np.asarray(np.where(total > 0.0, window * scale, forecast))
