"""Where does scaling change? The knee beyond which more scale gives less, the peak, and breaks between two laws."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from data.schemas.scaling import Series
from tasks.scaling.bootstrap import LEVEL, bootstrapped, percentile
from tasks.scaling.choose import choose
from tasks.scaling.fit import FitFailed, fit_law
from tasks.scaling.fitted import Fit, Interval
from tasks.scaling.laws import Floats, Span
from tasks.scaling.loss import LogHuber
from tasks.scaling.power_laws import Broken

HALF = 0.5
"""A knee is where the local exponent has fallen to this share of that at the smallest scale."""

BETTER_BY = 6.0
"""AICc by which two laws must beat the best single one to be called two: odds of 20 to 1."""

GRID = 200


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """A scale at which one power law turns into another.

    Args:
        scale: where, with its interval where one could be drawn.
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
    series: Series,
    loss: LogHuber = LogHuber(),  # noqa: B008 - frozen
    *,
    rng: np.random.Generator,
    draws: int = 200,
) -> tuple[Change, ...]:
    """Return the scales where ``series`` turns from one power law into another, in order of scale.

    A break is believed where the broken law beats every law without one by AICc; what lies left and right of it is then
    looked at in the same way (binary segmentation; Scott and Knott 1974, doi 10.2307/2529204).

    Args:
        series: what was measured.
        loss: what is minimised.
        rng: source of chance for the intervals.
        draws: for each interval.
    """
    change = _change(series, loss, rng, draws)
    if change is None:
        return ()
    left, right = series.scale < change.scale, series.scale >= change.scale
    found = [change]
    for side in (left, right):
        if side.any():
            found += regime_changes(series.take(side), loss, rng=rng, draws=draws)
    return tuple(sorted(found, key=lambda each: each.scale))


def _change(series: Series, loss: LogHuber, rng: np.random.Generator, draws: int) -> Change | None:
    if series.distinct_scales < 2 or len(np.unique(series.performance)) == 1:
        return None
    span = Span(float(np.log(series.scale.min())), float(np.log(series.scale.max())))
    form = Broken(span)
    if series.distinct_scales < form.fewest:
        return None
    try:
        broken = fit_law(series, form, loss)
    except FitFailed:
        return None
    single = [fit.aicc for fit in choose(series, loss).fits if fit.form.kind != "broken" and fit.aicc is not None]
    place = float(broken.parameters[3])
    if broken.aicc is None or not single or not fit_inside(broken, place):
        return None
    gain = min(single) - broken.aicc
    if gain < BETTER_BY:
        return None
    drawn = bootstrapped(series, broken, rng, draws=draws, loss=loss)
    interval = drawn.interval("break") if drawn.intervals else None
    low, high = (interval.low, interval.high) if interval else (None, None)
    return Change(place, low, high, float(broken.parameters[1]), float(broken.parameters[2]), gain)


def fit_inside(fit: Fit, scale: float) -> bool:
    """Return whether ``scale`` lies within the data."""
    return fit.smallest < scale < fit.largest
