"""Where does scaling change? The knee beyond which more scale gives less, the peak, and breaks between two laws."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from tasks.scaling.bootstrap import LEVEL, bootstrapped, percentile
from tasks.scaling.choose import Choice, choose
from tasks.scaling.fitted import Fit, Interval
from tasks.scaling.laws import Floats
from tasks.scaling.loss import LogHuber

HALF = 0.5
"""A knee is where the local exponent has fallen to this share of that at the smallest scale."""

BETTER_BY = 6.0
"""AICc by which two laws must beat the best single one to be called two: odds of 20 to 1."""

FEWEST = 8
"""Distinct scales that a side of a break must have to be looked at."""

GRID = 200


@dataclass(frozen=True, slots=True)
class Change:
    """A scale at which one power law turns into another.

    Args:
        scale: where.
        low: of its interval; None where none could be drawn.
        high: likewise.
        before: exponent.
        after: exponent.
        gain: AICc of the best single law less that of the broken one.
    """

    scale: float
    low: float | None
    high: float | None
    before: float
    after: float
    gain: float


def knee(fit: Fit, share: float = HALF) -> Interval | None:
    """Return where the local exponent has fallen to ``share`` of that at the smallest scale; None if not in the data.

    The interval comes from the fit's draws; it is that of those draws which have a knee at all, and without draws it is
    as narrow as the estimate.
    """
    place = _knee(fit, fit.parameters, share)
    if place is None:
        return None
    drawn = [_knee(fit, draw, share) for draw in fit.draws]
    found = [each for each in drawn if each is not None]
    return percentile("knee", place, np.array(found or [place]), LEVEL)


def _knee(fit: Fit, theta: Floats, share: float) -> float | None:
    u = np.linspace(np.log(fit.smallest), np.log(fit.largest), GRID)
    slopes = fit.form.elasticity(theta, np.exp(u))
    wanted = share * slopes[0]
    below = np.flatnonzero((slopes - wanted) * np.sign(slopes[0]) < 0.0)
    if not len(below) or slopes[0] == 0.0:
        return None
    last = int(below[0])

    def miss(at: float) -> float:
        return float(fit.form.elasticity(theta, np.exp(np.array([at])))[0] - wanted)

    return float(np.exp(brentq(miss, u[last - 1], u[last], xtol=1e-10)))


def regime_changes(
    choice: Choice,
    loss: LogHuber = LogHuber(),  # noqa: B008 - frozen
    *,
    rng: np.random.Generator,
    draws: int = 200,
) -> tuple[Change, ...]:
    """Return the scales where a series turns from one power law into another, in order of scale.

    A break is believed where the broken law beats every law without one by AICc; what lies left and right of it is then
    looked at in the same way (binary segmentation; Scott and Knott 1974, doi 10.2307/2529204).

    Args:
        choice: the laws of the series.
        loss: that was minimised.
        rng: source of chance for the intervals.
        draws: for each interval.
    """
    series = choice.series
    change = _change(choice, loss, rng, draws)
    if change is None:
        return ()
    found = [change]
    for side in (series.scale < change.scale, series.scale >= change.scale):
        part = series.take(side) if side.any() else None
        if part is not None and part.distinct_scales >= FEWEST:
            found += regime_changes(choose(part, loss), loss, rng=rng, draws=draws)
    return tuple(sorted(found, key=lambda each: each.scale))


def _change(choice: Choice, loss: LogHuber, rng: np.random.Generator, draws: int) -> Change | None:
    broken = next((fit for fit in choice.fits if fit.form.kind == "broken"), None)
    single = [fit.aicc for fit in choice.fits if fit is not broken and fit.aicc is not None]
    if broken is None or broken.aicc is None or not single:
        return None
    place, gain = float(broken.parameters[3]), min(single) - broken.aicc
    if gain < BETTER_BY or not broken.smallest < place < broken.largest:
        return None
    drawn = bootstrapped(choice.series, broken, rng, draws=draws, loss=loss)
    interval = drawn.interval("break") if drawn.intervals else None
    low, high = (interval.low, interval.high) if interval else (None, None)
    return Change(place, low, high, float(broken.parameters[1]), float(broken.parameters[2]), gain)
