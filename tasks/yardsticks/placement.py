"""What is the best placement? The whole problem as one integer programme for CP-SAT or HiGHS."""

from dataclasses import dataclass

import numpy as np
from ortools.sat.python import cp_model

from qiskit_solvers.errors import SolverFailed
from tasks.problems.placement import Placed, Placement
from tasks.yardsticks.placement_programme import Floats, Programme, programme_of
from tasks.yardsticks.placement_values import decision_of, values_of

SCALE = 1_000_000
"""CP-SAT counts in whole millionths of a GPU; the returned decision is priced exactly."""


@dataclass(frozen=True, slots=True, eq=False)
class BestPlacement:
    """What an exact solver found.

    Args:
        decision: the best placement found.
        bound: proven lower bound on the cost of every placement.
        proven: whether the decision is proven to be the best.
    """

    decision: Placed
    bound: float
    proven: bool


def cp_sat(
    problem: Placement,
    work: float | None,
    seed: int,
    *,
    seconds: float | None = None,
    workers: int = 1,
    programme: Programme | None = None,
    hint: Placed | None = None,
) -> BestPlacement:
    """Return the best placement that OR-Tools' CP-SAT finds from what is in force.

    Args:
        problem: the placement.
        work: deterministic time, about seconds, after which the search stops; None for no such limit.
        seed: of its chance.
        seconds: by the clock, after which the search stops; None for no such limit. Writing the model comes on top.
        workers: threads; with one thread and no limit by the clock it returns the same each time.
        programme: of ``problem``, where it is at hand.
        hint: a placement to begin with, instead of what is in force.

    Raises:
        SolverFailed: no placement was found.
    """
    programme = programme or programme_of(problem)
    model = cp_model.CpModel()
    columns = [model.new_int_var(0, upper, "") for upper in programme.upper.astype(np.int64).tolist()]
    offsets, at, values = programme.rows.indptr, programme.rows.indices, programme.rows.data.astype(np.int64)
    for row, (low, high) in enumerate(zip(programme.low, programme.high, strict=True)):
        part = slice(offsets[row], offsets[row + 1])
        terms = cp_model.LinearExpr.weighted_sum([columns[k] for k in at[part]], values[part].tolist())
        bounds = int(max(low, cp_model.INT32_MIN)), int(min(high, cp_model.INT32_MAX))
        model.add_linear_constraint(terms, *bounds)
    scaled = np.rint(programme.cost * SCALE).astype(np.int64)
    priced = np.flatnonzero(scaled).tolist()
    model.minimize(cp_model.LinearExpr.weighted_sum([columns[k] for k in priced], scaled[priced].tolist()))
    start = values_of(programme, problem, problem.incumbent() if hint is None else hint)
    for column, value in zip(columns, start.astype(np.int64).tolist(), strict=True):
        model.add_hint(column, value)
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = workers
    solver.parameters.linearization_level = 2  # proves in seconds what takes minutes without the whole relaxation
    solver.parameters.random_seed = seed
    if work is not None:
        solver.parameters.max_deterministic_time = work
    if seconds is not None:
        solver.parameters.max_time_in_seconds = seconds
    status = solver.solve(model)
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        raise SolverFailed(f"cp-sat: {solver.status_name(status)} after {work} units of work, {seconds} seconds")
    found = np.array([solver.value(column) for column in columns], np.float64)
    rounding = float(np.abs(programme.cost - scaled / SCALE) @ programme.upper)
    bound = solver.best_objective_bound / SCALE + programme.constant - rounding
    return BestPlacement(decision_of(programme, problem, found), bound, status == cp_model.OPTIMAL)


def highs(problem: Placement, seconds: float, *, programme: Programme | None = None) -> BestPlacement:
    """Return the best placement that HiGHS finds through :func:`scipy.optimize.milp`, which takes no start.

    Args:
        problem: the placement.
        seconds: by the clock, after which the search stops; writing the model comes on top.
        programme: of ``problem``, where it is at hand.

    Raises:
        SolverFailed: no placement was found in time.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp

    programme = programme or programme_of(problem)
    if not programme.names:
        return BestPlacement(problem.incumbent(), programme.constant, True)
    result = milp(
        programme.cost,
        integrality=np.ones(programme.cost.size),
        bounds=Bounds(np.zeros(programme.cost.size), programme.upper),
        constraints=LinearConstraint(programme.rows, programme.low, programme.high),
        options={"time_limit": seconds, "mip_rel_gap": 0.0},
    )
    if result.x is None:
        raise SolverFailed(f"HiGHS: no placement within {seconds} seconds ({result.message})")
    values: Floats = result.x
    bound = -np.inf if result.mip_dual_bound is None else float(result.mip_dual_bound) + programme.constant
    return BestPlacement(decision_of(programme, problem, values), bound, result.status == 0)
