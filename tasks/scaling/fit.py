"""Which parameters of a law suit a series best? A robust fit from several starts, with analytic slopes."""

from dataclasses import dataclass

import numpy as np

from data.schemas.scaling import Series
from tasks.scaling.fitted import Fit
from tasks.scaling.laws import Floats, Form
from tasks.scaling.loss import LogHuber, Loss, aicc
from tasks.scaling.minimise import Prediction, minimise


class FitFailed(Exception):
    """A law cannot be fitted to a series; another one may."""


@dataclass(frozen=True, slots=True, eq=False)
class Solved:
    """Natural parameters ``(k,)`` and the loss there."""

    parameters: Floats
    objective: float


def fit_law(series: Series, form: Form, loss: Loss = LogHuber()) -> Fit:  # noqa: B008 - frozen
    """Return ``form`` fitted to ``series``.

    Args:
        series: what was measured.
        form: bound to the series' span.
        loss: what is minimised.

    Raises:
        FitFailed: too few distinct scales, or the loss is finite nowhere.
    """
    solved = solve(series, form, loss, np.ones(series.points), starts(series, form))
    return judged(series, form, solved, loss)


def starts(series: Series, form: Form) -> Floats:
    """Return coordinates to begin at, ``(starts, k)``.

    Raises:
        FitFailed: too few distinct scales for the parameters.
    """
    if series.distinct_scales < len(form.names):
        found = f"{series.distinct_scales} distinct scale(s) for {len(form.names)} parameters"
        raise FitFailed(f"{series.name}: {form.kind} cannot be told from {found}")
    return form.starts(np.log(series.scale), np.log(series.performance))


def solve(series: Series, form: Form, loss: Loss, weights: Floats, begin: Floats, *, polish: bool = True) -> Solved:
    """Return the best parameters for weighted points.

    Args:
        series: what was measured.
        form: bound to the series' span.
        loss: what is minimised.
        weights: of the points, ``(points,)``.
        begin: coordinates to begin at, ``(starts, k)``.
        polish: whether BFGS ends the search; the bootstrap does without.

    Raises:
        FitFailed: the loss is finite nowhere.
    """
    u, y = np.log(series.scale), np.log(series.performance)

    def predict(z: Floats) -> Prediction:
        return Prediction(form.log_value(z, u), form.log_gradient(z, u))

    try:
        best = minimise(predict, y, loss, weights, begin, polish=polish)
    except ValueError as error:
        raise FitFailed(f"{series.name}: {form.kind}: {error}") from error
    with np.errstate(all="ignore"):
        theta = form.natural(best.z)
        value = form.value(theta, series.scale)
    if not (np.isfinite(theta).all() and np.isfinite(value).all() and (value > 0.0).all()):
        raise FitFailed(f"{series.name}: {form.kind} has no finite parameters that fit")
    return Solved(theta, best.value)


def judged(series: Series, form: Form, solved: Solved, loss: Loss) -> Fit:
    """Return a fit with what the residuals of ``solved`` tell."""
    theta, y = solved.parameters, np.log(series.performance)
    residuals = y - np.log(form.value(theta, series.scale))
    count, k = series.points, len(theta)
    spread = float(np.sum((y - y.mean()) ** 2))
    delta = loss.delta if isinstance(loss, LogHuber) else None
    criterion = None if delta is None else aicc(residuals, k, delta)
    notes = []
    if delta is None:
        notes.append("no AICc: it belongs to the robust loss on logarithms")
    elif criterion is None:
        notes.append(f"AICc is not defined for {count} points and {k} parameters besides the noise")
    return Fit(
        series=series.name,
        form=form,
        parameters=theta,
        smallest=float(series.scale.min()),
        largest=float(series.scale.max()),
        points=count,
        objective=solved.objective,
        sigma=float(np.sqrt(np.sum(residuals**2) / (count - k))) if count > k else None,
        r2=1.0 - float(np.sum(residuals**2)) / spread if len(np.unique(y)) > 1 else None,
        held_out=None,
        aicc=criterion,
        draws=np.empty((0, k)),
        scale_unit=series.scale_unit,
        performance_unit=series.performance_unit,
        notes=tuple(notes),
        runs=int(series.clusters.max()) + 1,
    )
