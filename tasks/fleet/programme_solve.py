"""What is the best value of a placement's programme? HiGHS answers; cuts are added until the users can be served.

Huangfu and Hall 2018 (doi 10.1007/s12532-017-0130-5) describe HiGHS, which scipy brings along. The relaxation is solved
again after each round of cuts: every answer in between is a lower bound, since a programme with fewer rows allows more.
"""

import time
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, linprog, milp
from scipy.sparse import vstack

from qiskit_solvers.errors import SolverFailed
from tasks.fleet.model import Flags, FleetModel, Floats
from tasks.fleet.programme_sheet import Programme, with_cuts
from tasks.fleet.service import Cut, minimum_cut, serve

MOST_ROUNDS = 200
"""Rounds of cuts; a handful is usual."""


class NoValues(Exception):
    """The programme has no values that keep all of its rows."""


class NoWholeValues(SolverFailed):
    """The time was over before whole numbers were found.

    Args:
        message: what the solver says.
        bound: no whole numbers are cheaper, USD per hour.
    """

    def __init__(self, message: str, bound: float) -> None:
        self.bound = bound
        super().__init__(message)


@dataclass(frozen=True, slots=True, eq=False)
class Values:
    """Values of a programme's columns.

    Args:
        programme: with the cuts that were found on the way.
        columns: ``(columns,)``.
        bound: no values are cheaper, USD per hour, constant included.
        row_price: USD per hour for each unit of a row's bound, ``(rows,)``; empty where columns are whole.
        upper_price: likewise of the columns' upper bounds, ``(columns,)``.
        cuts: all that are known.
        complete: whether users can be served; False where time ran out before.
    """

    programme: Programme
    columns: Floats
    bound: float
    row_price: Floats
    upper_price: Floats
    cuts: tuple[Cut, ...]
    complete: bool = True


def solve_relaxed(model: FleetModel, programme: Programme, cuts: tuple[Cut, ...], until: float) -> Values:
    """Return the optimum of the relaxation.

    Args:
        model: of the fleet.
        programme: with ``cuts`` in it.
        cuts: all that are known.
        until: by the monotonic clock.

    Raises:
        NoValues: there are none.
        SolverFailed: the time was over before the first answer.
    """
    found: Values | None = None
    for _ in range(MOST_ROUNDS):
        try:
            found = solve_linear(programme, cuts, until)
        except SolverFailed:
            if found is None:
                raise
            return replace(found, complete=False)
        cut = missing_cut(model, programme.capacity(found.columns, len(model.fleet.regions)))
        if cut is None:
            return found
        programme, cuts = with_cuts(programme, model, [cut]), (*cuts, cut)
    raise SolverFailed(f"service needs more than {MOST_ROUNDS} rounds of cuts")


def solve_linear(programme: Programme, cuts: tuple[Cut, ...], until: float) -> Values:
    """Solve one linear programme.

    Raises:
        NoValues: no values keep its rows.
        SolverFailed: the time was over.
    """
    equal = programme.low == programme.high
    above, below = np.isfinite(programme.low) & ~equal, np.isfinite(programme.high) & ~equal
    above_rows, below_rows, equal_rows = (np.flatnonzero(each) for each in (above, below, equal))
    found = linprog(
        programme.cost,
        A_ub=vstack([programme.rows[below_rows], -programme.rows[above_rows]]).tocsr(),
        b_ub=np.concatenate([programme.high[below], -programme.low[above]]),
        A_eq=programme.rows[equal_rows],
        b_eq=programme.low[equal],
        bounds=np.column_stack([programme.lower, programme.upper]),
        method="highs-ds",
        options={"time_limit": max(0.05, until - time.monotonic())},
    )
    if found.status == 2:
        raise NoValues
    if found.x is None or found.status != 0:
        raise SolverFailed(f"HiGHS did not solve the relaxation: {found.message}")
    price = np.zeros(programme.low.size)
    price[below_rows] = found.ineqlin.marginals[: below_rows.size]
    price[above_rows] = -found.ineqlin.marginals[below_rows.size :]
    price[equal_rows] = found.eqlin.marginals
    return Values(programme, found.x, float(found.fun) + programme.constant, price, found.upper.marginals, cuts)


def solve_whole(
    model: FleetModel, programme: Programme, cuts: tuple[Cut, ...], whole: Flags, until: float, gap: float
) -> Values:
    """Return values in which the ``whole`` columns are whole numbers.

    Raises:
        NoValues: there are none.
        NoWholeValues: the time was over before any were found.
    """
    bound = -np.inf
    for _ in range(MOST_ROUNDS):
        found = milp(
            programme.cost,
            integrality=whole.astype(np.int64),
            bounds=Bounds(programme.lower, programme.upper),
            constraints=LinearConstraint(programme.rows, programme.low, programme.high),
            options={"time_limit": max(0.05, until - time.monotonic()), "mip_rel_gap": gap},
        )
        if found.status == 2:
            raise NoValues
        lower = getattr(found, "mip_dual_bound", None)
        bound = max(bound, -np.inf if lower is None else float(lower) + programme.constant)
        if found.x is None:
            raise NoWholeValues(f"HiGHS found no whole numbers: {found.message}", bound)
        none = np.zeros(0)
        answer = Values(programme, found.x, bound, none, none, cuts)
        cut = missing_cut(model, programme.capacity(found.x, len(model.fleet.regions)))
        if cut is None:
            return answer
        programme, cuts = with_cuts(programme, model, [cut]), (*cuts, cut)
        if time.monotonic() > until:
            raise NoWholeValues("the time was over before whole numbers served all users", bound)
    raise NoWholeValues(f"service needs more than {MOST_ROUNDS} rounds of cuts", bound)


def missing_cut(model: FleetModel, capacity: Floats) -> Cut | None:
    """Return what ``capacity`` breaks: by a minimum cut, and only where that finds nothing by a transport problem."""
    return minimum_cut(model, capacity) or serve(model, capacity, by_latency=False).cut
