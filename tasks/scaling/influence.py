"""Which points carry a law? Those without which a figure of it would be another.

Five of 245 points decide whether Hoffmann's losses say that models should grow faster than their data or not; a fit
that hides that is not to be built upon.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np

from data.schemas.scaling import Series
from tasks.scaling.fit import FitFailed, solve
from tasks.scaling.fitted import Fit
from tasks.scaling.laws import Floats
from tasks.scaling.loss import LogHuber, Loss

MOST_REFITS = 400
"""Sets of points that are all tried; where there are more, points are left out one after another."""

Figure = Callable[[Floats], float]
"""What is looked at, from natural parameters, ``(k,)``."""


@dataclass(frozen=True, slots=True)
class Influence:
    """What becomes of a figure without some points.

    Args:
        points: numbers of those left out.
        figure: with all points.
        without: without them.
    """

    points: tuple[int, ...]
    figure: float
    without: float

    @property
    def shift(self) -> float:
        """How far they moved the figure."""
        return self.figure - self.without


def leave_out(
    series: Series,
    fit: Fit,
    figure: Figure,
    *,
    count: int = 1,
    loss: Loss = LogHuber(),  # noqa: B008 - frozen
) -> tuple[Influence, ...]:
    """Return what leaving out ``count`` points does to ``figure``, the largest shift first.

    All sets are tried where there are few enough; else the most influential point is left out, then the most
    influential of the rest, and so on, and the result is that one set. Sets without which the law cannot be fitted are
    passed over.

    Args:
        series: that was fitted.
        fit: to it.
        figure: what is looked at.
        count: how many points to leave out together.
        loss: that was minimised.

    Raises:
        ValueError: ``count`` is below 1, or would leave nothing to fit.
    """
    if not 1 <= count <= series.points - len(fit.form.names):
        most = series.points - len(fit.form.names)
        raise ValueError(f"{series.name}: expected to leave out 1 to {most} points, found {count}")
    if comb(series.points, count) <= MOST_REFITS:
        found = [_without(series, fit, figure, rows, loss) for rows in combinations(range(series.points), count)]
        return tuple(sorted((each for each in found if each is not None), key=lambda each: -abs(each.shift)))
    gone: tuple[int, ...] = ()
    best: Influence | None = None
    for _ in range(count):
        rest = [row for row in range(series.points) if row not in gone]
        tried = [_without(series, fit, figure, (*gone, row), loss) for row in rest]
        usable = [each for each in tried if each is not None]
        if not usable:
            break
        best = max(usable, key=lambda each: abs(each.shift))
        gone = best.points
    return (best,) if best is not None else ()


def _without(series: Series, fit: Fit, figure: Figure, rows: tuple[int, ...], loss: Loss) -> Influence | None:
    weights = np.ones(series.points)
    weights[list(rows)] = 0.0
    if len(np.unique(series.scale[weights > 0.0])) < len(fit.form.names):
        return None
    begin = fit.form.coordinates(fit.parameters)[None, :]
    try:
        solved = solve(series, fit.form, loss, weights, begin)
    except FitFailed:
        return None
    return Influence(tuple(sorted(rows)), figure(fit.parameters), figure(solved.parameters))
