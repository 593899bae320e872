"""Which speed goals are met, and by how much are the others missed?

Each goal compares figures of this run; where there are several sizes, the worst one counts.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tests.benchmarks.solver.one_hot_speed import Row as OneHotRow
from tests.benchmarks.solver.printing import brief, show
from tests.benchmarks.solver.speed import FLOOR, FLOOR_SINGLE, OURS, OURS_SINGLE, QOKIT, SLOPE, SLOPE_SINGLE, Cell
from tests.benchmarks.solver.window_speed import Row as WindowRow


@dataclass(frozen=True, slots=True)
class Goal:
    """One goal.

    Args:
        name: what is wanted.
        sense: whether the figure shall be at least or at most the target.
        target: the figure wanted.
        figure: the figure measured; NaN if it could not be.
        where: the size that it comes from.
    """

    name: str
    sense: Literal["at least", "at most"]
    target: float
    figure: float
    where: str

    @property
    def met(self) -> bool:
        """Whether it is met; a figure that is missing meets nothing."""
        return self.figure >= self.target if self.sense == "at least" else self.figure <= self.target

    @property
    def distance(self) -> float:
        """By what factor it is missed; 1 and below: met."""
        if self.sense == "at most":
            return self.figure / self.target if self.target else math.inf if self.figure > 0.0 else 0.0
        return self.target / self.figure if self.figure else math.inf


def energy_goals(cells: Sequence[Cell]) -> list[Goal]:
    """Return the goals on one energy and its derivatives."""

    def worst(name: str, sense: Literal["at least", "at most"], target: float, ratios: list[float]) -> Goal:
        known = [(ratio, cell) for ratio, cell in zip(ratios, cells, strict=True) if not math.isnan(ratio)]
        if not known:
            return Goal(name, sense, target, math.nan, "not measured")
        ratio, cell = (min if sense == "at least" else max)(known, key=lambda pair: pair[0])
        return Goal(name, sense, target, ratio, f"{cell.problem}, n={cell.spins}, p={cell.layers}")

    def times(peer: str) -> list[float]:
        return [cell.ms(peer) / cell.ms(OURS) for cell in cells]

    def over(ours: str, other: str) -> list[float]:
        return [cell.ms(ours) / cell.ms(other) for cell in cells]

    aer = [cell.aer_bound_ms() / cell.ms(OURS) for cell in cells]
    return [
        worst("times faster than Aer with bound parameters", "at least", 20.0, aer),
        worst("times faster than QOKit's C under its makefile", "at least", 3.0, times(QOKIT["makefile"])),
        worst("times faster than QOKit's C at -O3", "at least", 1.2, times(QOKIT["o3"])),
        worst("floors, double precision", "at most", 40.0, over(OURS, FLOOR)),
        worst("floors, single precision", "at most", 40.0, over(OURS_SINGLE, FLOOR_SINGLE)),
        worst("stretch: floors, double precision", "at most", 15.0, over(OURS, FLOOR)),
        worst("energies for all derivatives, double", "at most", 4.0, over(SLOPE, OURS)),
        worst("energies for all derivatives, single", "at most", 4.0, over(SLOPE_SINGLE, OURS_SINGLE)),
    ]


def one_hot_goals(rows: Sequence[OneHotRow]) -> list[Goal]:
    """Return the goals on one-hot groups."""
    by = {(row.method, row.size): row for row in rows}
    fixed, ramp = by["XY, fixed p=3", "6 x 3"], by["XY, ramp p=30", "6 x 3"]
    penalty = by["penalty, p=3 optimised", "6 x 3"]
    times = fixed.optimum / penalty.optimum if penalty.optimum else math.inf
    goals = [
        Goal("times P(opt) of the optimised penalty, XY p=3", "at least", 20.0, times, "6 x 3"),
        Goal("ms for XY p=3", "at most", 1.0, fixed.ms, "6 x 3"),
        Goal("P(opt) of the XY ramp p=30", "at least", 0.7, ramp.optimum, "6 x 3"),
        Goal("ms for the XY ramp p=30", "at most", 5.0, ramp.ms, "6 x 3"),
    ]
    large = by.get(("XY, fixed p=3", "7 x 8"))
    if large is not None:
        goals.append(Goal("ms for 56 one-hot qubits, XY p=3", "at most", 1000.0, large.ms, "7 x 8"))
    return goals


def window_goals(rows: Sequence[WindowRow]) -> list[Goal]:
    """Return the goals on windows, each for the fastest circuit that found the optimum of nine windows in ten."""
    goals = []
    for start, limit in (("simulator", 30.0), ("Aer in the sandbox", 150.0)):
        good = [row for row in rows if row.method.startswith(start) and row.found >= 0.9]
        row = min(good, key=lambda each: each.ms) if good else None
        name = f"ms for a window of 16 moves, {start}"
        goals.append(Goal(name, "at most", limit, row.ms if row else math.nan, row.method if row else "none found it"))
    return goals


def show_goals(goals: Sequence[Goal]) -> None:
    """Print which goals are met."""
    show(
        "goals, at the worst size",
        ("", "wanted", "measured", "", "at"),
        [
            (
                goal.name,
                f"{goal.sense} {brief(goal.target)}",
                brief(goal.figure),
                "met" if goal.met else f"missed by {goal.distance:.2f} x",
                goal.where,
            )
            for goal in goals
        ],
    )
    print(f"{sum(goal.met for goal in goals)} of {len(goals)} met")
