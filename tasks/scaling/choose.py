"""Which law suits a series? The one that foretells the largest scales best from the smaller ones.

A law that explains what it was fitted to may still miss what lies beyond: on the 32 points of the Cisco benchmark a
power law has an R2 of 0.96 and is wrong by 45 % at the end when it was fitted to the first half. So laws are ranked by
their error on the largest scales, which they had not seen; where that does not tell them apart, by AICc.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from data.schemas.scaling import Series
from tasks.scaling.fit import FitFailed, fit_law
from tasks.scaling.fitted import Fit
from tasks.scaling.laws import Form, Span
from tasks.scaling.loss import LogHuber, Loss
from tasks.scaling.power_laws import Broken, Power, PowerFloor
from tasks.scaling.saturating_laws import Logarithmic, Saturating
from tasks.scaling.speedup_laws import Amdahl, Usl

HELD_OUT = 0.2
"""Share of the distinct scales, the largest ones, that judge the laws; at least one."""

FEWEST_TO_HOLD_OUT = 4
"""Distinct scales below which none can be spared."""

ALIKE = 0.1
ERRORS = 2.0
"""Held-out errors are told apart by AICc where they are within this share of the best, or within so many standard
errors of it: the noise of a point over the root of how many judge."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A law that was not fitted, and why."""

    kind: str
    why: str


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """Laws of a series, best first.

    Args:
        series: what they were fitted to.
        fits: ranked, at least one.
        left_out: laws that were not fitted.
        why: what decided.
    """

    series: Series
    fits: tuple[Fit, ...]
    left_out: tuple[LeftOut, ...]
    why: str

    @property
    def best(self) -> Fit:
        """The law to use."""
        return self.fits[0]

    def fit(self, kind: str) -> Fit:
        """Return the fit of one law.

        Raises:
            ValueError: it was not fitted.
        """
        for each in self.fits:
            if each.form.kind == kind:
                return each
        raise ValueError(f"{self.series.name}: expected one of {[each.form.kind for each in self.fits]}, found {kind}")


def forms(series: Series) -> tuple[Form, ...]:
    """Return every law that could hold for ``series``, bound to its span.

    Raises:
        FitFailed: there is one scale only.
    """
    if series.distinct_scales < 2:
        found = f"{series.points} point(s) at one scale"
        raise FitFailed(f"{series.name}: expected measurements at two scales or more, found {found}")
    span = Span(float(np.log(series.scale.min())), float(np.log(series.scale.max())))
    return (
        Power(span),
        PowerFloor(span),
        Amdahl(span, series.better),
        Usl(span, series.better),
        Saturating(span),
        Logarithmic(span),
        Broken(span),
    )


def choose(series: Series, loss: Loss = LogHuber()) -> Choice:  # noqa: B008 - frozen
    """Return the laws that can be fitted to ``series``, best first.

    Raises:
        FitFailed: no law can be fitted.
    """
    fits, left_out = [], []
    for form in forms(series):
        why = _unsuited(series, form)
        if why:
            left_out.append(LeftOut(form.kind, why))
            continue
        try:
            fit = fit_law(series, form, loss)
        except FitFailed as error:
            left_out.append(LeftOut(form.kind, str(error)))
            continue
        fits.append(replace(fit, held_out=held_out_error(series, form, loss)))
    if not fits:
        raise FitFailed(f"{series.name}: no law can be fitted: {'; '.join(each.why for each in left_out)}")
    ranked, why = _ranked(fits, int(largest_scales(series).sum()))
    return Choice(series, tuple(ranked), tuple(left_out), why)


def largest_scales(series: Series) -> np.ndarray:
    """Return which points judge the laws, ``(points,)`` of bool: those at the largest of the distinct scales."""
    distinct = np.unique(series.scale)
    if len(distinct) < FEWEST_TO_HOLD_OUT:
        return np.zeros(series.points, dtype=bool)
    count = max(1, int(HELD_OUT * len(distinct)))
    return np.asarray(series.scale >= distinct[-count])


def held_out_error(series: Series, form: Form, loss: Loss) -> float | None:
    """Return the mean relative error on the largest scales of the law fitted to the others; None where none is spared.

    A law that cannot be fitted to the others, or foretells no number above 0, has an infinite error.
    """
    judging = largest_scales(series)
    if not judging.any():
        return None
    seen = series.take(~judging)
    try:
        own = next(each for each in forms(seen) if each.kind == form.kind)
        foretold = fit_law(seen, own, loss)(series.scale[judging])
    except FitFailed:
        return float("inf")
    error = float(np.mean(np.abs(foretold / series.performance[judging] - 1.0)))
    return error if np.isfinite(error) else float("inf")


def _unsuited(series: Series, form: Form) -> str:
    """Return why ``form`` should not be tried, or nothing."""
    if len(np.unique(series.performance)) == 1 and form.kind != "power":
        return "performance is the same everywhere"
    if series.distinct_scales < form.fewest:
        return f"{series.distinct_scales} distinct scales, {form.fewest} are needed"
    if form.kind in ("amdahl", "usl") and series.scale.min() < 1.0:
        return "it counts workers, and the smallest scale is below 1"
    if form.kind == "saturating" and series.better == "lower":
        return "its reciprocal is the power law with a floor"
    return ""


def _ranked(fits: Sequence[Fit], judges: int) -> tuple[list[Fit], str]:
    errors = [fit.held_out for fit in fits if fit.held_out is not None]
    if not errors or not np.isfinite(min(errors)):
        if all(fit.aicc is not None for fit in fits):
            return sorted(fits, key=_by_aicc), "AICc; too few scales to hold any out"
        fewest = sorted(fits, key=lambda fit: (len(fit.parameters), fit.objective))
        return fewest, "fewest parameters; too few points for AICc, too few scales to hold any out"
    best = min(errors)
    noise = min((fit.sigma for fit in fits if fit.sigma is not None), default=0.0) / np.sqrt(judges)
    limit = best + max(ALIKE * best, ERRORS * float(noise))
    near = [fit for fit in fits if fit.held_out is not None and fit.held_out <= limit]
    others = sorted((fit for fit in fits if fit not in near), key=lambda fit: fit.held_out or 0.0)
    told = "error on the largest scales" + (f", then AICc among {len(near)} that are alike" if len(near) > 1 else "")
    return [*sorted(near, key=_by_aicc), *others], told


def _by_aicc(fit: Fit) -> tuple[bool, float, float]:
    return (fit.aicc is None, fit.aicc or 0.0, fit.held_out or 0.0)
