"""What is the score of a set of MLPerf Training runs? The mean without the fastest and the slowest.

The rules of MLCommons (training_policies) drop one run on each side, four of each where a benchmark asks for 40 runs,
and scale the mean where a submission converged faster than the reference. A score computed here is not verified by
MLCommons.
"""

from collections.abc import Sequence

import numpy as np

from data.readers.scaling.mlperf import ResultSet, distinct
from data.schemas.scaling import Series
from tasks.scaling.laws import Floats

RUNS_PER_DROPPED = 10
"""One run of so many is dropped on each side, at least one."""

FEWEST = 3


def olympic_mean(minutes: Floats) -> float:
    """Return the mean of ``minutes``, ``(runs,)``, without the fastest and the slowest.

    Args:
        minutes: infinite for runs that did not converge; they count as the slowest.

    Raises:
        ValueError: fewer than three runs, a time that is not above 0, or more failed runs than are dropped.
    """
    if minutes.ndim != 1 or len(minutes) < FEWEST:
        raise ValueError(f"minutes: expected at least {FEWEST} runs, found shape {minutes.shape}")
    if not (minutes > 0.0).all():
        raise ValueError("minutes: expected times above 0")
    dropped = max(1, len(minutes) // RUNS_PER_DROPPED)
    kept = np.sort(minutes)[dropped:-dropped]
    if not np.isfinite(kept).all():
        failed = int(np.isinf(minutes).sum())
        raise ValueError(f"minutes: expected at most {dropped} failed run(s) of {len(minutes)}, found {failed}")
    return float(kept.mean())


def score(minutes: Floats, factor: float = 1.0) -> float:
    """Return the olympic mean times the factor of the submission's convergence.

    Raises:
        ValueError: see :func:`olympic_mean`; or the factor is not above 0.
    """
    if not (np.isfinite(factor) and factor > 0.0):
        raise ValueError(f"factor: expected a number above 0, found {factor}")
    return olympic_mean(minutes) * factor


def scored(sets: Sequence[ResultSet], name: str) -> Series:
    """Return scores by number of accelerators; a set that copies another run for run counts once.

    Such a series mixes batch sizes and software, so its law describes submissions, not hardware.

    Args:
        sets: of one benchmark on one accelerator.
        name: of the series.

    Raises:
        ValueError: no sets; or see :func:`olympic_mean`.
    """
    if not sets:
        raise ValueError(f"{name}: expected at least one set of results, found none")
    alone = sorted(distinct(sets), key=lambda each: each.accelerators)
    scale = np.array([float(each.accelerators) for each in alone])
    minutes = np.array([score(each.minutes, each.factor) for each in alone])
    runs = tuple(" ".join(each.key) for each in alone)
    return Series(name, "compute", scale, minutes, "accelerators", "minutes", "lower", runs)
