"""Where is a summed loss least? Damped Gauss-Newton steps from several starts, and BFGS from the best of them.

Gauss-Newton with the weights of the robust loss (iteratively reweighted; Holland and Welsch 1977, doi
10.1080/03610927708827533) reaches a valley in a few cheap steps, but creeps along the kinks of a loss that is nearly
absolute; BFGS with the exact gradient goes on from there until no slope is steeper than 1e-9.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from tasks.scaling.laws import Floats
from tasks.scaling.loss import Loss

GRADIENT = 1e-9
"""BFGS stops where no slope is steeper."""

BEYOND = 1e100
"""Stands for a loss that overflowed: a line search steps back from it."""

RESTARTS, LONGEST = 2, 150
"""Rough losses stop a line search early: it begins again where it stopped while that still gains, each time for at most
so many steps. Flat valleys, where parameters cannot be told apart, need not be walked to their end."""

STEPS = 80
GAIN, ROUGH = 1e-10, 1e-6
"""Gauss-Newton ends after so many steps, or when two in a row gain less than this share of the loss; ROUGH is for
draws of a bootstrap, whose spread is far wider."""

FIRST_STEPS, FINALISTS = 15, 2
"""Each of several starts is given so many steps; the best few go on."""

SOFTEST, STIFFEST = 1e-12, 1e12
"""Damping that is as good as none, and damping under which no step is left."""


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """What a law says at some coordinates.

    Args:
        log_value: log performance, ``(points,)``.
        gradient: its derivatives by the coordinates, ``(points, k)``.
    """

    log_value: Floats
    gradient: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Minimum:
    """Where a loss is least: coordinates ``(k,)`` and the loss there."""

    z: Floats
    value: float


Predict = Callable[[Floats], Prediction]


def minimise(
    predict: Predict, observed: Floats, loss: Loss, weights: Floats, starts: Floats, *, polish: bool = True
) -> Minimum:
    """Return the least of the minima that are reached from each start.

    Args:
        predict: the law, by its coordinates.
        observed: log performance, ``(points,)``.
        loss: what is minimised.
        weights: of the points, ``(points,)``.
        starts: ``(starts, k)``.
        polish: whether BFGS goes on from the best.

    Raises:
        ValueError: the loss is finite at no start.
    """
    gain = GAIN if polish else ROUGH
    with np.errstate(all="ignore"):  # what overflows is stepped back from
        reached = [Minimum(start, BEYOND) for start in starts]
        if len(starts) > FINALISTS:
            tried = [_gauss_newton(predict, observed, loss, weights, each.z, gain, FIRST_STEPS) for each in reached]
            reached = sorted(tried, key=lambda each: each.value)[:FINALISTS]
        reached = [_gauss_newton(predict, observed, loss, weights, each.z, gain, STEPS) for each in reached]
        best = min(reached, key=lambda each: each.value)
        if best.value >= BEYOND:
            raise ValueError("the loss is finite at no start")
        return _bfgs(predict, observed, loss, weights, best) if polish else best


def _gauss_newton(
    predict: Predict, observed: Floats, loss: Loss, weights: Floats, start: Floats, gain: float, steps: int
) -> Minimum:
    """Return where Levenberg's and Marquardt's damped steps end (Marquardt 1963, doi 10.1137/0111030)."""
    z, damping, idle = start, 1e-3, 0
    at = predict(z)
    penalty = loss(at.log_value, observed, weights)
    if not np.isfinite(penalty.total):
        return Minimum(start, BEYOND)
    for _ in range(steps):
        slope = penalty.slope @ at.gradient
        bowl = (at.gradient * penalty.curvature[:, None]).T @ at.gradient
        if not (np.isfinite(slope).all() and np.isfinite(bowl).all()):
            break
        scales = np.diag(np.diag(bowl) + SOFTEST * max(float(np.trace(bowl)), SOFTEST))
        moved = False
        while damping < STIFFEST:
            step = np.linalg.solve(bowl + damping * scales, -slope)
            tried = predict(z + step)
            found = loss(tried.log_value, observed, weights)
            if np.isfinite(found.total) and found.total <= penalty.total:
                moved = True
                break
            damping *= 8.0
        if not moved:
            break
        idle = idle + 1 if penalty.total - found.total <= gain * penalty.total else 0
        z, at, penalty, damping = z + step, tried, found, max(damping / 5.0, SOFTEST)
        if idle == 2:
            break
    return Minimum(z, penalty.total)


def _bfgs(predict: Predict, observed: Floats, loss: Loss, weights: Floats, start: Minimum) -> Minimum:
    def objective(z: Floats) -> tuple[float, Floats]:
        at = predict(z)
        penalty = loss(at.log_value, observed, weights)
        slope = penalty.slope @ at.gradient
        if np.isfinite(penalty.total) and np.isfinite(slope).all():
            return penalty.total, slope
        return BEYOND, np.zeros_like(z)

    reached = start
    for _ in range(RESTARTS):
        found = minimize(objective, reached.z, jac=True, method="BFGS", options={"gtol": GRADIENT, "maxiter": LONGEST})
        gained = reached.value - float(found.fun)
        if gained > 0.0:
            reached = Minimum(np.asarray(found.x), float(found.fun))
        if found.success or gained <= GAIN * reached.value:
            break
    return reached
