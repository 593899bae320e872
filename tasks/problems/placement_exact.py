"""What is the best placement, or the best of a part of it? CP-SAT on the integer programme, the same each time."""

from dataclasses import dataclass

import numpy as np

from tasks.problems.placement_columns import placement_of, values_of
from tasks.problems.placement_kernel import Crew, Ints, Room
from tasks.problems.placement_programme import Programme

SCALE = 1_000_000
"""CP-SAT counts in whole millionths of a GPU; whoever takes the placement prices it exactly."""


@dataclass(frozen=True, slots=True, eq=False)
class Solved:
    """What CP-SAT found.

    Args:
        node_of: node of each worker in the best placement found, ``(workers,)``; None where it found none.
        bound: proven lower bound on the cost of every placement that the programme allows.
        proven: whether that placement is proven to be the best.
        work: deterministic time that was spent, about seconds.
        status: what CP-SAT calls how it ended.
    """

    node_of: Ints | None
    bound: float
    proven: bool
    work: float
    status: str


def solve(
    programme: Programme,
    room: Room,
    crew: Crew,
    hint: Ints,
    *,
    work: float | None,
    seed: int,
    seconds: float | None = None,
    workers: int = 1,
) -> Solved:
    """Return the best placement that OR-Tools' CP-SAT finds for ``programme``.

    Args:
        programme: the placement, or a part of it.
        room: the nodes.
        crew: the workers.
        hint: a placement to begin with, ``(workers,)``.
        work: deterministic time, about seconds, after which the search stops; None for no such limit.
        seed: of its chance.
        seconds: by the clock, after which the search stops; None for no such limit. Writing the model comes on top.
        workers: threads; with one thread and no limit by the clock it returns the same each time.
    """
    from ortools.sat.python import cp_model  # takes half a second, and few placements need it

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
    start = values_of(programme, room, crew, hint)
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
    spent = float(solver.response_proto.deterministic_time)
    name = solver.status_name(status)
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return Solved(None, -np.inf, False, spent, name)
    found = np.array([solver.value(column) for column in columns], np.float64)
    rounding = float(np.abs(programme.cost - scaled / SCALE) @ programme.upper)
    bound = solver.best_objective_bound / SCALE + programme.constant - rounding
    return Solved(placement_of(programme, crew, found), bound, status == cp_model.OPTIMAL, spent, name)
