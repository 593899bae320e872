"""What would an operator do without learning? Never, always, every k minutes, or when it pays back in some hours."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tasks.planner.episode import BUDGETS, Episode, View, play
from tasks.planner.world import TICK_S


@dataclass(frozen=True, slots=True)
class Every:
    """Re-optimise every ``ticks`` ticks with one budget; 0 ticks is never, 1 always."""

    ticks: int
    budget: int = len(BUDGETS) - 1
    kind: Literal["every"] = "every"

    def __call__(self, view: View) -> int:
        """Return the largest allowed budget up to the own one, if it is time."""
        if not self.ticks or round(view.now_s / TICK_S) % self.ticks:
            return 0
        return int(np.flatnonzero(view.allowed[: self.budget + 1])[-1])


@dataclass(frozen=True, slots=True)
class PayBack:
    """Spend the budget that gains most if what is gathered lasts ``hours`` from now on; none if none gains.

    ``age_share`` above 0 expects that a gang lasts that share of its age on top: jobs that have run long run longer.
    """

    hours: float
    age_share: float = 0.0
    kind: Literal["pay back"] = "pay back"

    def __call__(self, view: View) -> int:
        """Return the budget of the highest expected gain."""
        aged = np.expm1(view.table[:, 2])
        net = np.where(view.allowed, view.gained * self.hours + self.age_share * aged - view.lost_h, -np.inf)
        return int(np.argmax(net))


EVERY = tuple(Every(ticks, budget) for ticks in (1, 2, 3, 6, 12, 24, 48) for budget in (1, 2, 3))
"""The grid of which the best on training days is the yardstick "every k minutes"; 10 minutes to 8 hours."""

DEFAULT = Every(1)
"""What is used unless asked otherwise: the learned planner (:mod:`tasks.planner.policy`) is off.

On 24 held-out episodes for each price of a restart it cannot be told from the best clock: +0.02 % at a quarter of an
hour and at one hour, +0.01 % at four; intervals hold nought (``python -m tests.benchmarks.bench_planner``). Episodes
share days, so the intervals are too narrow rather than too wide.
"""

PAY_BACKS = tuple(PayBack(hours, share) for hours in (0.25, 0.5, 1.0, 2.0, 4.0, 8.0) for share in (0.0, 0.5))


def best_of(rules: Sequence[Every] | Sequence[PayBack], episodes: Sequence[Episode]) -> Every | PayBack:
    """Return the rule with the highest sum of rewards; of equal ones the first."""
    totals = [sum(play(given, rule).total for given in episodes) for rule in rules]
    return rules[int(np.argmax(totals))]
