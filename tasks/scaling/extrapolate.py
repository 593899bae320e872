"""What will performance be at a scale that nobody measured? An estimate with its interval, or a refusal.

Within an octave of the data a law may be read off. Beyond it the parameters' uncertainty grows with every doubling, so
that an interval is part of the answer; and another law that fits as well may say something else, which no bootstrap of
one law can know: rivals are asked too.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from tasks.scaling.fitted import Fit
from tasks.scaling.laws import Floats

FREE_OCTAVES = 1.0
"""Doublings beyond the data for which a law may be read off without an interval."""

LEAST = 1e-300
"""Stands for performance that a draw puts at nought or below, which has no logarithm."""

NOISE_STEPS = 81
"""Quantiles that stand for the noise of one measurement."""


@dataclass(frozen=True, slots=True)
class Rival:
    """What another law says at the same scale."""

    kind: str
    performance: float


@dataclass(frozen=True, slots=True)
class Forecast:
    """Performance at a scale.

    Args:
        scale: that was asked for.
        performance: by the law.
        octaves: doublings beyond the nearest measured scale; 0 inside the data.
        low: of the interval in which one measurement would lie; None where no draws were made.
        high: likewise.
        level: of the interval.
        rivals: what other laws say, those that were passed in and say something above 0.
    """

    scale: float
    performance: float
    octaves: float
    low: float | None
    high: float | None
    level: float
    rivals: tuple[Rival, ...] = ()

    @property
    def widest(self) -> tuple[float, float]:
        """The interval widened to what rivals say; of the estimates alone where there is no interval."""
        told = [self.performance, *(rival.performance for rival in self.rivals)]
        told += [each for each in (self.low, self.high) if each is not None]
        return min(told), max(told)


def octaves_beyond(fit: Fit, scale: float) -> float:
    """Return how many doublings (or halvings) ``scale`` lies beyond the data; 0 inside."""
    return max(0.0, float(np.log2(scale / fit.largest)), float(np.log2(fit.smallest / scale)))


def predict(fit: Fit, scale: float, *, level: float = 0.95, rivals: Sequence[Fit] = ()) -> Forecast:
    """Return the performance at ``scale``.

    Args:
        fit: the law; :func:`tasks.scaling.bootstrap.bootstrapped` gives it the draws that an interval needs.
        scale: in the law's unit.
        level: of the interval.
        rivals: other laws of the same series.

    Raises:
        ValueError: the scale is not above 0; it lies more than an octave beyond the data and no draws were made; or the
            law or its draws say nothing there (performance not above 0, or not finite).
    """
    if not (np.isfinite(scale) and scale > 0.0):
        raise ValueError(f"{fit.series}: expected a scale above 0, found {scale}")
    beyond = octaves_beyond(fit, scale)
    if beyond > FREE_OCTAVES and not len(fit.draws):
        where = f"{scale:g} {fit.scale_unit}".rstrip()
        raise ValueError(
            f"{fit.series}: {where} lies {beyond:.1f} octaves beyond the data "
            f"({fit.smallest:g} to {fit.largest:g}): expected a fit with bootstrap draws for an interval, found none"
        )
    value = float(fit(scale))
    if not (np.isfinite(value) and value > 0.0):
        raise ValueError(f"{fit.series}: the {fit.form.kind} law gives {value:g} at {scale:g}, which is no performance")
    low, high = _interval(fit, scale, level) if len(fit.draws) else (None, None)
    if high is not None and not np.isfinite(high):
        raise ValueError(f"{fit.series}: draws of the {fit.form.kind} law leave all numbers at {scale:g}")
    told = {each.form.kind: float(each(scale)) for each in rivals if each is not fit}
    others = tuple(Rival(kind, said) for kind, said in told.items() if np.isfinite(said) and said > 0.0)
    return Forecast(scale, value, beyond, low, high, level, others)


def _interval(fit: Fit, scale: float, level: float) -> tuple[float, float]:
    """Return the range of one measurement: each draw of the law with each quantile of the noise.

    A bootstrap of few runs is too sure of itself: draws are spread out by sqrt(N / (N - k)) for N runs and k
    parameters, and the noise is that of Student's t with N - k degrees (Student 1908, doi 10.1093/biomet/6.1.1).
    """
    spare = fit.spare
    laws = fit.spread(len(fit.draws), np.array([scale]))[:, 0]
    centre = float(fit(scale))
    if not np.isfinite(laws).all():
        return 0.0, float("inf")
    if spare < 1:
        return max(0.0, float(laws.min())), float(laws.max())
    logs = (np.log(np.maximum(laws, LEAST)) - np.log(centre)) * np.sqrt(1.0 + len(fit.parameters) / spare)
    values: Floats = logs[:, None] + _noise(fit.sigma or 0.0, spare)[None, :]
    low, high = np.quantile(values, [0.5 - level / 2.0, 0.5 + level / 2.0])
    with np.errstate(over="ignore"):
        return centre * float(np.exp(low)), centre * float(np.exp(high))


def _noise(sigma: float, spare: int) -> Floats:
    steps: Floats = stdtrit(spare, (np.arange(NOISE_STEPS) + 0.5) / NOISE_STEPS)
    return sigma * steps
