"""Who else places jobs? The yardsticks as the harness asks for them: a problem and seconds in, a decision out."""

from collections.abc import Callable
from typing import Any

import ortools.sat.python.cp_model  # noqa: F401  # loaded here, so that no method pays for it by the clock

from qiskit_solvers.errors import SolverFailed
from tasks.problems.placement import Placed, Placement
from tasks.yardsticks.fragmentation_gradient import steepest
from tasks.yardsticks.kueue import balanced, best_fit, least_free
from tasks.yardsticks.partitioned import metis
from tasks.yardsticks.placement import cp_sat, highs
from tasks.yardsticks.placement_books import replanned, waiting_only

Yardstick = Callable[[Any, float], Any]


def contenders(*, highs_too: bool) -> dict[str, Yardstick]:
    """Return the yardsticks by name; the exact solvers get the seconds beside those for writing their model."""
    made: dict[str, Yardstick] = {
        "Kueue BestFit, waiting jobs only": lambda problem, _seconds: waiting_only(problem, best_fit),
        "Kueue-like, all, best of 3 rules": best_of_rules,
        "FGD, all": lambda problem, _seconds: replanned(problem, steepest),
        "METIS and repair": lambda problem, _seconds: metis(problem, 0),
        "CP-SAT from the best of 3 rules": by_cp_sat,
    }
    return made | ({"HiGHS, one thread": by_highs} if highs_too else {})


def best_of_rules(problem: Placement, _seconds: float) -> Placed:
    """Return the cheapest of what BestFit, LeastFreeCapacity and balanced make of all jobs under the budget."""
    return min((replanned(problem, rule) for rule in (best_fit, least_free, balanced)), key=problem.cost)


def by_cp_sat(problem: Placement, seconds: float) -> Placed:
    """Return CP-SAT's incumbent after ``seconds``, from what Kueue's rules make; that itself where it has none."""
    hint = best_of_rules(problem, seconds)
    try:
        found = cp_sat(problem, None, 0, seconds=seconds, hint=hint).decision
    except SolverFailed:
        return hint
    return min(found, hint, key=problem.cost)


def by_highs(problem: Placement, seconds: float) -> Placed | None:
    """Return HiGHS' incumbent after ``seconds``, or None."""
    try:
        return highs(problem, seconds).decision
    except SolverFailed:
        return None
