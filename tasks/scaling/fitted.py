"""What is a fitted law? Its form, its parameters, and how far they can be trusted."""

from dataclasses import dataclass

import numpy as np

from tasks.scaling.laws import Floats, Form, marginal


@dataclass(frozen=True, slots=True)
class Interval:
    """A percentile interval of a figure.

    Args:
        name: of a parameter, or of a figure derived from several.
        level: e.g. 0.95.
    """

    name: str
    estimate: float
    low: float
    high: float
    level: float


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """A law that was fitted to a series; calling it gives performance at a scale.

    It is evaluated wherever it is asked; :func:`tasks.scaling.extrapolate.predict` refuses what the data do not carry.

    Args:
        series: name.
        form: the law, bound to the span of the data.
        parameters: natural ones in the order of ``form.names``, ``(k,)``.
        smallest: scale of the data.
        largest: likewise.
        points: how many were fitted.
        objective: the loss, summed over the points.
        sigma: residual standard deviation of log performance, by N - k degrees; None where N = k.
        r2: share of the variance of log performance that is explained; None where there is none. It says nothing of
            what lies beyond the data.
        held_out: mean relative error on the largest points of a fit that had not seen them; None where not measured.
        aicc: None where N - k - 1 is not above 0 (k counts the noise's scale too); ``notes`` then say so.
        draws: parameters of bootstrap fits, ``(draws, k)``; none until :mod:`tasks.scaling.bootstrap` made them.
        intervals: of the parameters and of what is derived from them.
        scale_unit: of the argument.
        performance_unit: of the value.
        notes: what a reader of the figures must know.
        runs: that the points are from; None where each is from one of its own.

    Raises:
        ValueError: a shape is wrong, or a parameter is not finite.
    """

    series: str
    form: Form
    parameters: Floats
    smallest: float
    largest: float
    points: int
    objective: float
    sigma: float | None
    r2: float | None
    held_out: float | None
    aicc: float | None
    draws: Floats
    intervals: tuple[Interval, ...] = ()
    scale_unit: str = ""
    performance_unit: str = ""
    notes: tuple[str, ...] = ()
    runs: int | None = None

    def __post_init__(self) -> None:
        count = len(self.form.names)
        if self.parameters.shape != (count,) or not np.isfinite(self.parameters).all():
            raise ValueError(f"{self.series}: expected {count} finite parameters, found {self.parameters}")
        if self.draws.ndim != 2 or self.draws.shape[1] != count:
            raise ValueError(f"{self.series}: expected draws of shape (draws, {count}), found {self.draws.shape}")

    @property
    def spare(self) -> int:
        """Degrees of freedom that the noise is known by: runs that are apart, less parameters."""
        return (self.points if self.runs is None else self.runs) - len(self.parameters)

    def __call__(self, scale: Floats | float) -> Floats:
        """Return performance at ``scale``, of its shape."""
        with np.errstate(all="ignore"):  # far from the data a law may leave the numbers there are
            return self.form.value(self.parameters, np.asarray(scale, dtype=np.float64))

    def marginal(self, scale: Floats | float) -> Floats:
        """Return what one more unit of scale gives, of its shape."""
        with np.errstate(all="ignore"):
            return marginal(self.form, self.parameters, np.asarray(scale, dtype=np.float64))

    def inverse(self, performance: float) -> float:
        """Return the smallest scale that gives ``performance``; ValueError where none does."""
        return self.form.inverse(self.parameters, performance)

    def samples(self, count: int) -> Floats:
        """Return ``count`` sets of parameters as the bootstrap drew them, ``(count, k)``.

        Raises:
            ValueError: fewer were drawn.
        """
        if count > len(self.draws):
            raise ValueError(f"{self.series}: expected at most {len(self.draws)} draws, which exist, found {count}")
        return self.draws[:count]

    def spread(self, count: int, scale: Floats) -> Floats:
        """Return performance at each scale by each of ``count`` draws, ``(count, scales)``; see :meth:`samples`."""
        with np.errstate(all="ignore"):
            return self.form.value(self.samples(count), np.atleast_1d(np.asarray(scale, dtype=np.float64)))

    def interval(self, name: str) -> Interval:
        """Return the interval called ``name``.

        Raises:
            ValueError: there is none.
        """
        for each in self.intervals:
            if each.name == name:
                return each
        raise ValueError(f"{self.series}: expected one of {[each.name for each in self.intervals]}, found {name!r}")
