"""What is the best placement? The whole problem as one integer programme for CP-SAT or HiGHS."""

from dataclasses import dataclass

import numpy as np

from qiskit_solvers.errors import SolverFailed
from tasks.problems.placement import Placed, Placement
from tasks.problems.placement_columns import placement_of
from tasks.problems.placement_exact import solve
from tasks.problems.placement_kernel import Floats
from tasks.problems.placement_programme import Programme
from tasks.problems.placement_programme_cost import programme_of


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
    programme = programme or programme_of(problem.room, problem.crew)
    start = problem.incumbent() if hint is None else hint
    found = solve(
        programme, problem.room, problem.crew, start.node_of, work=work, seed=seed, seconds=seconds, workers=workers
    )
    if found.node_of is None:
        raise SolverFailed(f"cp-sat: {found.status} after {work} units of work, {seconds} seconds")
    return BestPlacement(Placed(found.node_of), found.bound, found.proven)


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

    programme = programme or programme_of(problem.room, problem.crew)
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
    return BestPlacement(Placed(placement_of(programme, problem.crew, values)), bound, result.status == 0)
