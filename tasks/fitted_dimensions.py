"""How does a fitted law become a dimension of a budget? As it is where more is better, as its reciprocal otherwise."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data.schemas.scaling import Better
from tasks.problems.budget_dimensions import Dimension, Floats, Law, PowerLaw
from tasks.scaling.fitted import Fit
from tasks.scaling.laws import Form

OCTAVE = 2.0
"""Times the largest scale of the data up to which a law without draws may be asked."""


@dataclass(frozen=True, slots=True, eq=False)
class FittedLaw:
    """A form with its parameters, so that a draw is a value.

    Args:
        form: of the law.
        parameters: natural ones, ``(k,)``.
        better: ``lower`` takes the reciprocal, e.g. of a loss or of minutes.
    """

    form: Form
    parameters: Floats
    better: Better

    def __call__(self, scale: Floats) -> Floats:
        """Return performance at each scale, higher is better, ``(scales,)``."""
        value = self.form.value(self.parameters, scale)
        return value if self.better == "higher" else np.asarray(1.0 / value)


def law_of(fit: Fit, better: Better, parameters: Floats | None = None) -> Law:
    """Return a fit as a law of which more is better; powers as :class:`PowerLaw`, for they have a closed form.

    Args:
        fit: the law.
        better: which performance is.
        parameters: of a draw, ``(k,)``; None is the fit's own.
    """
    theta = fit.parameters if parameters is None else parameters
    if fit.form.kind == "power" and theta[0] > 0.0:
        sign = 1.0 if better == "higher" else -1.0
        return PowerLaw(float(theta[0]) ** sign, sign * float(theta[1]))
    return FittedLaw(fit.form, theta, better)


def dimension_of(
    name: str,
    fit: Fit,
    price: Law,
    *,
    better: Better = "higher",
    least: float | None = None,
    most: float | None = None,
    steps: tuple[float, ...] = (),
) -> Dimension:
    """Return a dimension that grows along a fit.

    Args:
        name: of the dimension, e.g. ``compute``.
        fit: the law.
        price: what a scale takes of the budget.
        better: which performance is.
        least: smallest scale; None is the data's.
        most: largest scale; None is the data's.
        steps: scales that may be chosen; empty where every one may.

    Raises:
        ValueError: ``most`` is more than an octave beyond the data, and no draws say how uncertain that is.
    """
    low, high = fit.smallest if least is None else least, fit.largest if most is None else most
    if high > OCTAVE * fit.largest and not len(fit.draws):
        raise ValueError(
            f"{name}: expected scales up to {OCTAVE * fit.largest:g}, twice the largest measured, got {high:g}; "
            "beyond that a fit needs draws, which say how uncertain it is"
        )
    return Dimension(name, fit.scale_unit, law_of(fit, better), price, low, high, steps)


def draws_of(fits: Sequence[Fit], better: Sequence[Better], count: int) -> tuple[tuple[Law, ...], ...]:
    """Return laws as the bootstrap of each fit drew them, ``(count, dimensions)``.

    Fits are of different measurements, so their draws are independent: the i-th of one goes with the i-th of another.

    Raises:
        ValueError: a fit has fewer draws.
    """
    drawn = [fit.samples(count) for fit in fits]
    return tuple(
        tuple(law_of(fit, way, theta[i]) for fit, way, theta in zip(fits, better, drawn, strict=True))
        for i in range(count)
    )
