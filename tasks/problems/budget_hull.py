"""How much could a budget bring if a level could be bought in part? The upper hulls of the levels, and their prices.

The relaxation of the multiple-choice knapsack problem: in each dimension only levels on the concave hull of gain over
spend count, and the steps along all hulls are bought in the order of what they bring for a unit of spend; one of them
in part. That is the optimum of the linear programme (Sinha and Zoltners 1979, doi 10.1287/opre.27.3.503).
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

SAFE = 1e-12
"""By which part of its size the bound is lowered: more than rounding can have raised it."""


class Step(NamedTuple):
    """From one level of a hull to the next.

    Args:
        rate: loss that it saves for a unit of spend.
        row: its dimension.
        level: where it leads.
        more: what it takes of the budget.
        saved: loss that it saves.
    """

    rate: float
    row: int
    level: int
    more: float
    saved: float


@dataclass(frozen=True, slots=True, eq=False)
class Relaxed:
    """What the relaxation says.

    Args:
        bound: loss that no choice within the budget is below.
        price: loss that one more unit of the budget would save; 0 where all of it is not needed.
        level_of: greedy choice: the steps of all hulls in order, leaving out dimensions whose next step does not fit,
            ``(dimensions,)``.
        hulls: the steps of each dimension from its cheapest level on, the best rate first.
    """

    bound: float
    price: float
    level_of: Integers
    hulls: tuple[tuple[Step, ...], ...]


def cheapest(loss: Floats, spend: Floats) -> Integers:
    """Return the cheapest level of each dimension, of equally cheap ones the best, ``(dimensions,)``."""
    return np.lexsort((loss, spend), axis=1)[:, 0].astype(np.int64)


def relaxed(loss: Floats, spend: Floats, budget: float) -> Relaxed:
    """Solve the relaxation.

    Args:
        loss: ``-log(performance)``, ``(dimensions, levels)``; infinite where a dimension has fewer levels.
        spend: ``(dimensions, levels)``; infinite likewise.
        budget: at least what the cheapest levels take together.
    """
    rows = np.arange(len(loss))
    level_of = cheapest(loss, spend)
    left = budget - float(spend[rows, level_of].sum())
    bound = float(loss[rows, level_of].sum())
    scale = float(np.abs(loss[np.isfinite(loss)]).sum())
    hulls = tuple(_steps(int(row), loss[row], spend[row], int(level_of[row])) for row in rows)
    steps = sorted(
        (step for hull in hulls for step in hull), key=lambda step: -step.rate
    )  # stable: the steps of a hull stay in their order
    price, whole, stopped = 0.0, True, set[int]()
    for rate, row, level, more, saved in steps:
        if whole and more > left:  # bought in part: here the bound ends
            bound -= rate * left
            price, whole = rate, False
        if whole:
            bound -= saved
        if row in stopped:
            continue
        if more > left:
            stopped.add(row)
            continue
        level_of[row] = level
        left -= more
    return Relaxed(bound - SAFE * max(1.0, scale), price, level_of, hulls)


def _steps(row: int, loss: Floats, spend: Floats, first: int) -> tuple[Step, ...]:
    """Return the steps along a hull, the best first."""
    found, at = list[Step](), first
    while True:
        more, saved = spend - spend[at], loss[at] - loss
        ahead = np.flatnonzero((more > 0.0) & (saved > 0.0) & np.isfinite(spend))
        if not ahead.size:
            return tuple(found)
        rate = saved[ahead] / more[ahead]
        best = float(rate.max())
        ties = ahead[rate >= best]
        chosen = int(ties[more[ties].argmax()])
        if found:
            best = min(best, found[-1].rate)  # a hull is concave; rounding may say otherwise
        found.append(Step(best, row, chosen, float(more[chosen]), float(saved[chosen])))
        at = chosen
