"""Do dimensions go together? Correlations between series over the runs that both measured, with intervals.

Two figures that both grow with scale are correlated whatever else they have to do with one another. So beside the
correlation of performance stands that of what each law leaves unexplained.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.stats import rankdata

from data.schemas.scaling import Series
from tasks.scaling.fitted import Fit
from tasks.scaling.laws import Floats

FEWEST_RUNS = 5
"""Shared runs below which a correlation says nothing."""


@dataclass(frozen=True, slots=True)
class Coefficient:
    """A correlation with its percentile interval; None where one side does not vary."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Correlation:
    """Two series over the runs that they share.

    Args:
        one: name of a series.
        other: name of the other.
        runs: how many both measured.
        performance: of log performance (Pearson).
        ranks: of performance (Spearman).
        residuals: of what the laws leave unexplained (Pearson); None where a series has no law.
    """

    one: str
    other: str
    runs: int
    performance: Coefficient
    ranks: Coefficient
    residuals: Coefficient | None


def correlations(
    series: Sequence[Series],
    fits: Mapping[str, Fit],
    rng: np.random.Generator,
    *,
    draws: int = 1000,
    level: float = 0.95,
) -> tuple[Correlation, ...]:
    """Return the correlation of each pair of series that shares at least five runs.

    Args:
        series: with runs; others share none.
        fits: laws by name of the series.
        rng: source of chance; runs are drawn with replacement.
        draws: for each interval.
        level: of the intervals; they are not corrected for the number of pairs.
    """
    by_run = {each.name: _mean_by_run(each, np.log(each.performance)) for each in series}
    unexplained = {
        each.name: _mean_by_run(each, np.log(each.performance / fits[each.name](each.scale)))
        for each in series
        if each.name in fits
    }
    found = []
    for one, other in combinations((each.name for each in series), 2):
        shared = sorted(by_run[one].keys() & by_run[other].keys())
        if len(shared) < FEWEST_RUNS:
            continue
        rows = rng.integers(len(shared), size=(draws, len(shared)))
        x, y = (np.array([by_run[name][run] for run in shared]) for name in (one, other))
        residuals = None
        if one in unexplained and other in unexplained:
            left = [np.array([unexplained[name][run] for run in shared]) for name in (one, other)]
            residuals = _coefficient(left[0], left[1], rows, level)
        found.append(
            Correlation(
                one,
                other,
                len(shared),
                _coefficient(x, y, rows, level),
                _coefficient(rankdata(x), rankdata(y), rows, level),
                residuals,
            )
        )
    return tuple(found)


def _mean_by_run(series: Series, values: Floats) -> dict[str, float]:
    if not series.runs:
        return {}
    runs = np.array(series.runs)
    return {str(run): float(values[runs == run].mean()) for run in dict.fromkeys(series.runs)}


def _coefficient(x: Floats, y: Floats, rows: np.ndarray, level: float) -> Coefficient:
    value = _pearson(x[None, :], y[None, :])[0]
    if np.isnan(value):
        return Coefficient(None, None, None)
    drawn = _pearson(x[rows], y[rows])
    low, high = np.quantile(drawn[np.isfinite(drawn)], [0.5 - level / 2.0, 0.5 + level / 2.0])
    return Coefficient(float(value), float(low), float(high))


def _pearson(x: Floats, y: Floats) -> Floats:
    """Return the correlation of each row, ``(rows,)``; NaN where one side does not vary."""
    x, y = x - x.mean(axis=1, keepdims=True), y - y.mean(axis=1, keepdims=True)
    spread = np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))
    with np.errstate(invalid="ignore", divide="ignore"):
        result: Floats = np.where(spread > 1e-12, (x * y).sum(axis=1) / spread, np.nan)
    return result
