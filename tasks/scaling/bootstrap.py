"""How sure are a law's parameters? Fits to points drawn again with replacement, runs staying together.

The pairs bootstrap (Efron 1979, doi 10.1214/aos/1176344552), by clusters: points of one run share what that run had of
luck, and drawing them one by one would make intervals too narrow.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from data.schemas.scaling import Series
from tasks.scaling.fit import FitFailed, solve
from tasks.scaling.fitted import Fit, Interval
from tasks.scaling.laws import Floats
from tasks.scaling.loss import LogHuber, Loss

LEVEL = 0.95
FEWEST_RUNS = 3
"""Below that there is nothing to draw from."""

SHARE_OF_FAILURES = 0.2
"""More failed draws than that, and no interval is stated."""

Derived = Callable[[Floats], float]
"""A figure from natural parameters, ``(k,)``."""


def bootstrapped(
    series: Series,
    fit: Fit,
    rng: np.random.Generator,
    *,
    draws: int = 400,
    level: float = LEVEL,
    loss: Loss = LogHuber(),  # noqa: B008 - frozen
    derived: Mapping[str, Derived] | None = None,
) -> Fit:
    """Return ``fit`` with draws of its parameters, and percentile intervals of them and of what is derived from them.

    Each draw begins at the fitted parameters. Where too few runs, or too many failed draws, leave no honest interval,
    the fit comes back without any, and a note says why.

    Args:
        series: what was fitted.
        fit: to it.
        rng: source of chance.
        draws: how many.
        level: of the intervals.
        loss: that was minimised.
        derived: further figures by name.

    Raises:
        ValueError: ``draws`` or ``level`` is out of range.
    """
    if draws < 1 or not 0.0 < level < 1.0:
        raise ValueError(f"expected draws >= 1 and 0 < level < 1, found {draws} and {level}")
    clusters = series.clusters
    runs = int(clusters.max()) + 1
    if runs < FEWEST_RUNS:
        return replace(fit, notes=(*fit.notes, f"no intervals: {runs} run(s), {FEWEST_RUNS} are needed"))
    begin = fit.form.coordinates(fit.parameters)[None, :]
    drawn, failed = [], 0
    for _ in range(draws):
        weights = resampled(clusters, runs, rng)
        if len(np.unique(series.scale[weights > 0.0])) < len(fit.form.names):
            failed += 1
            continue
        try:
            drawn.append(solve(series, fit.form, loss, weights, begin, polish=False).parameters)
        except FitFailed:
            failed += 1
    notes = fit.notes
    if failed:
        notes = (*notes, f"{failed} of {draws} draws had too few distinct scales, or could not be fitted")
    if failed > SHARE_OF_FAILURES * draws:
        return replace(fit, notes=(*notes, "no intervals: too many draws failed"))
    held = np.array(drawn)
    return replace(fit, draws=held, intervals=intervals(fit, held, level, derived or {}), notes=notes)


def resampled(clusters: np.ndarray, runs: int, rng: np.random.Generator) -> Floats:
    """Return how often each point is drawn, ``(points,)``, when runs are drawn with replacement."""
    counts = np.bincount(rng.integers(runs, size=runs), minlength=runs)
    result: Floats = counts[clusters].astype(np.float64)
    return result


def intervals(fit: Fit, draws: Floats, level: float, derived: Mapping[str, Derived]) -> tuple[Interval, ...]:
    """Return percentile intervals of the parameters and of ``derived``, from ``draws``, ``(draws, k)``."""
    figures = {name: (float(fit.parameters[row]), draws[:, row]) for row, name in enumerate(fit.form.names)}
    figures |= {
        name: (figure(fit.parameters), np.array([figure(each) for each in draws])) for name, figure in derived.items()
    }
    return tuple(percentile(name, estimate, values, level) for name, (estimate, values) in figures.items())


def percentile(name: str, estimate: float, values: Floats, level: float) -> Interval:
    """Return the interval that leaves out as many of ``values`` below as above."""
    low, high = np.quantile(values, [0.5 - level / 2.0, 0.5 + level / 2.0])
    return Interval(name, estimate, float(low), float(high), level)
