"""How much will be asked for next, and at most how much? Forecasts of demand's peaks, each from the past alone.

Time is cut into blocks of some ticks; what is forecast is the highest demand of the next block. Every method answers
for every block from the blocks before it, so what it says of a block is what it would have said then. Methods learn
from the first blocks, are judged on held-out ones after those, and the one with the least error there answers from then
on.
"""

import math
from bisect import insort
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
DAY_S = 86_400.0


@dataclass(frozen=True, slots=True, eq=False)
class Blocks:
    """Demand by blocks.

    Args:
        peak: highest demand of each series in each block, ``(series, blocks)``, above 0.
        block_s: seconds of a block.
        learned: blocks to learn from; those before ``held_out_until`` and after them are held out.
        held_out_until: block from which on the chosen method answers.
    """

    peak: Floats
    block_s: float
    learned: int
    held_out_until: int

    def __post_init__(self) -> None:
        if self.peak.ndim != 2 or not (self.peak > 0.0).all() or not self.block_s > 0.0:
            raise ValueError(f"peak: expected positive numbers of shape (series, blocks), got shape {self.peak.shape}")
        if not 2 * self.day <= self.learned < self.held_out_until <= self.peak.shape[1]:
            raise ValueError(
                f"learned: expected two days, {2 * self.day} blocks, or more, fewer than held_out_until, of "
                f"{self.peak.shape[1]}, got {self.learned} and {self.held_out_until}"
            )

    @property
    def day(self) -> int:
        """Blocks of a day."""
        return round(DAY_S / self.block_s)

    @property
    def week(self) -> int:
        """Blocks of a week."""
        return round(7.0 * DAY_S / self.block_s)


class Forecaster(Protocol):
    """A frozen value of options; ``kind`` is its name in tables."""

    @property
    def kind(self) -> str:
        """Name of the method."""
        ...

    def __call__(self, blocks: Blocks, rng: np.random.Generator) -> Floats:
        """Return the middle forecast of every block from those before it, ``(series, blocks)``."""
        ...


@dataclass(frozen=True, slots=True)
class LastValue:
    """The block before; the yardstick of whatever forgets nothing fast."""

    kind: str = "last value"

    def __call__(self, blocks: Blocks, rng: np.random.Generator) -> Floats:  # noqa: ARG002  # nothing is drawn
        """Return each block's forecast; the first is its own, since there is nothing before."""
        return np.column_stack([blocks.peak[:, :1], blocks.peak[:, :-1]])


@dataclass(frozen=True, slots=True)
class SeasonalNaive:
    """The same time a week ago, before that a day ago; the yardstick of whatever repeats."""

    kind: str = "seasonal naive"

    def __call__(self, blocks: Blocks, rng: np.random.Generator) -> Floats:  # nothing is drawn
        """Return each block's forecast."""
        peak = blocks.peak
        told = LastValue()(blocks, rng)
        for lag in (blocks.day, blocks.week):
            told[:, lag:] = peak[:, :-lag] if lag < peak.shape[1] else told[:, lag:]
        return told


@dataclass(frozen=True, slots=True)
class Seasonal:
    """A daily wave for working days and one for weekends, and what the newest deviations from them leave.

    Ridge regression of the logarithm on harmonics, fitted on what is learned from; then its residuals by their own last
    values, also by regression (harmonic regression with autoregressive errors).

    Args:
        harmonics: of the day.
        lags: newest residuals that the next is told from.
        ridge: weight of the coefficients' squares.
    """

    harmonics: int = 4
    lags: int = 4
    ridge: float = 1.0
    kind: str = "seasonal, autoregressive"

    def __call__(self, blocks: Blocks, rng: np.random.Generator) -> Floats:  # noqa: ARG002  # nothing is drawn
        """Return each block's forecast."""
        level = np.log(blocks.peak)
        residual = level - self.course(blocks)
        past = _lagged(residual, self.lags)
        told = np.empty(level.shape)
        for row, series in enumerate(past):
            weights = _ridge(series[self.lags : blocks.learned], residual[row, self.lags : blocks.learned], self.ridge)
            told[row] = series @ weights
        return np.exp(level - residual + told)

    def course(self, blocks: Blocks) -> Floats:
        """Return the logarithm of what the waves come to, ``(series, blocks)``."""
        rows = clock(blocks, self.harmonics)
        level = np.log(blocks.peak)
        fitted = [_ridge(rows[: blocks.learned], one[: blocks.learned], self.ridge) for one in level]
        return np.array([rows @ weights for weights in fitted])


@dataclass(frozen=True, slots=True)
class ForecastScore:
    """How well a method did.

    Args:
        kind: of the method.
        held_out: sum of absolute errors over sum of demand on the held-out blocks, of the series that is judged.
        afterwards: likewise on the blocks after those, on which nothing was chosen.
        covered: share of blocks afterwards in which demand was not above the upper forecast.
        above: by how much the upper forecast lay above demand there, on average, as a share of demand.
    """

    kind: str
    held_out: float
    afterwards: float
    covered: float
    above: float


@dataclass(frozen=True, slots=True, eq=False)
class Forecast:
    """What answers.

    Args:
        kind: of the method that did best on the held-out blocks.
        middle: forecasts of the series that is judged, ``(blocks,)``.
        upper: that demand should exceed in one block of so many only, ``(blocks,)``.
        scores: of all methods, the best first.
    """

    kind: str
    middle: Floats
    upper: Floats
    scores: tuple[ForecastScore, ...]


def forecast(
    blocks: Blocks,
    forecasters: tuple[Forecaster, ...],
    rng: np.random.Generator,
    *,
    series: int = -1,
    quantile: float = 0.995,
) -> Forecast:
    """Return the forecast of one series by the method that erred least on held-out blocks.

    The upper forecast is the middle one times a factor: the quantile of demand over forecast in the newest held-out
    blocks and those that came since, so that it follows how wrong the method has been lately.

    Args:
        blocks: demand of all series.
        forecasters: methods to choose from.
        rng: all chance; each method has its own.
        series: that is judged and answered for, the last by default, as which the sum of all may stand.
        quantile: of demand over forecast.

    Raises:
        ValueError: there is no method, or the quantile is no share.
    """
    if not forecasters or not 0.0 < quantile < 1.0:
        raise ValueError(f"expected a method and a quantile above 0 and below 1, got {len(forecasters)} and {quantile}")
    true = blocks.peak[series]
    span = slice(blocks.learned, blocks.held_out_until)
    after = slice(blocks.held_out_until, None)
    answers = []
    for method, own in zip(forecasters, rng.spawn(len(forecasters)), strict=True):
        middle = method(blocks, own)[series]
        upper = middle * running_factor(true / middle, blocks.learned, blocks.held_out_until, quantile)
        # with nothing after the held-out blocks, there is nothing to say of them
        rest = true[after].size > 0
        score = ForecastScore(
            method.kind,
            _error(true[span], middle[span]),
            _error(true[after], middle[after]) if rest else math.nan,
            float((true[after] <= upper[after]).mean()) if rest else math.nan,
            float((upper[after] / true[after] - 1.0).mean()) if rest else math.nan,
        )
        answers.append((score, middle, upper))
    answers.sort(key=lambda answer: answer[0].held_out)
    best = answers[0]
    return Forecast(best[0].kind, best[1], best[2], tuple(answer[0] for answer in answers))


def running_factor(ratios: Floats, first: int, ready: int, quantile: float) -> Floats:
    """Return what to multiply the forecast of each block with, ``(blocks,)``.

    Args:
        ratios: demand over forecast, ``(blocks,)``.
        first: block from which on ratios count.
        ready: block from which on there is a factor of one's own; before it, it is that of the ratios up to it.
        quantile: of the ratios seen so far, rounded up to one of them.
    """
    seen = np.sort(ratios[first:ready]).tolist()
    factors = np.empty(len(ratios))
    factors[:ready] = seen[min(len(seen) - 1, math.ceil(quantile * (len(seen) + 1)) - 1)]
    for block in range(ready, len(ratios)):
        factors[block] = seen[min(len(seen) - 1, math.ceil(quantile * (len(seen) + 1)) - 1)]
        insort(seen, float(ratios[block]))
    return factors


def clock(blocks: Blocks, harmonics: int) -> Floats:
    """Return what the time of a block is told by: waves of the day and the week, ``(blocks, features)``."""
    at_s = (np.arange(blocks.peak.shape[1]) + 0.5) * blocks.block_s
    day = 2.0 * math.pi * at_s / DAY_S
    turns = [number * day for number in range(1, harmonics + 1)]
    turns += [number * day / 7.0 for number in range(1, 15) if number % 7]
    return np.column_stack([np.ones(len(day)), *(wave(turn) for turn in turns for wave in (np.sin, np.cos))])


def blocks_of(demand: Floats, tick_s: float, block_ticks: int, learned: int, held_out_until: int) -> Blocks:
    """Return the peaks of ``demand``, ``(series, ticks)``, by blocks of ticks; what is left at the end is dropped.

    Raises:
        ValueError: see :class:`Blocks`.
    """
    count = demand.shape[1] // block_ticks
    peak = demand[:, : count * block_ticks].reshape(len(demand), count, block_ticks).max(axis=2)
    return Blocks(np.maximum(peak, 1e-9), tick_s * block_ticks, learned, held_out_until)


def _error(true: Floats, told: Floats) -> float:
    return float(np.abs(true - told).sum() / true.sum())


def _lagged(values: Floats, lags: int) -> Floats:
    """Return the values before each, newest first, 0 where there are none, ``(series, blocks, lags)``."""
    past = np.zeros((*values.shape, lags))
    for lag in range(1, lags + 1):
        past[:, lag:, lag - 1] = values[:, :-lag]
    return past


def _ridge(rows: Floats, values: Floats, weight: float) -> Floats:
    return np.asarray(np.linalg.solve(rows.T @ rows + weight * np.eye(rows.shape[1]), rows.T @ values))
