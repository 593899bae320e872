"""How do scraped samples become equally spaced series? Grid, rates of counters, short gaps."""

import itertools
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float64]
"""One value per step, oldest first, ``(samples,)``; NaN where none is known."""


def on_grid(
    times_s: Samples, values: Samples, *, start_s: float, step_s: float, count: int, blank: float
) -> tuple[Samples, int]:
    """Return the samples on the grid ``start_s + i * step_s``, ``(count,)``, and how many had no value.

    Args:
        times_s: Unix seconds, ``(scraped,)``.
        values: one for each, ``(scraped,)``.
        start_s: time of the first step, Unix seconds.
        step_s: length of a step.
        count: steps.
        blank: values from here on stand for "no value", as do NaN and infinities.
    """
    grid = np.full(count, np.nan)
    places = (times_s - start_s) / step_s
    steps = np.rint(places)
    asked = (steps >= 0) & (steps < count) & (np.abs(steps - places) <= 0.25)
    known = asked & np.isfinite(values) & (values < blank)
    grid[steps[known].astype(np.intp)] = values[known]
    return grid, int(np.count_nonzero(asked & ~known))


def rates(counter: Samples, *, step_s: float, most: int) -> Samples:
    """Return the growth per second of ``counter`` in each step but the first, ``(samples - 1,)``.

    Over a gap the growth is spread evenly if at most ``most`` samples are missing; where the counter fell, it was
    reset, and nothing is known.
    """
    known = np.flatnonzero(np.isfinite(counter))
    result = np.full(max(len(counter) - 1, 0), np.nan)
    for before, after in itertools.pairwise(known.tolist()):
        growth = counter[after] - counter[before]
        if growth >= 0 and after - before <= most + 1:
            result[before:after] = growth / ((after - before) * step_s)
    return result


def carried(values: Samples, *, most: int) -> Samples | None:
    """Return ``values`` with gaps of up to ``most`` samples filled by the value before, from the first value on.

    None if there is no value, or a longer gap after the first. What is missing before the first stays missing.
    """
    known = np.flatnonzero(np.isfinite(values))
    if len(known) == 0 or np.max(np.diff(known, append=len(values))) > most + 1:
        return None
    source = np.maximum.accumulate(np.where(np.isfinite(values), np.arange(len(values)), -1))
    return np.where(source >= 0, values[source], np.nan)


def mean_known(rows: Iterable[Samples]) -> Samples:
    """Return the mean over rows of what is known at each step; NaN where nothing is."""
    stack = np.stack(list(rows))
    known = np.isfinite(stack).sum(axis=0)
    mean: Samples = np.full(stack.shape[1], np.nan)
    np.divide(np.nansum(stack, axis=0), known, out=mean, where=known > 0)
    return mean
