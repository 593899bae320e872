"""What are the best rounds? The whole colouring as an integer programme for CP-SAT, for some hundred transfers."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from ortools.sat.python import cp_model

from qiskit_solvers.errors import SolverFailed
from tasks.communication.dsatur import first_fit
from tasks.problems.links import Assigned, Links

TICKS = 1_000_000
"""Whole parts into which the mean transfer is counted; the returned decision is priced exactly."""


@dataclass(frozen=True, slots=True, eq=False)
class BestRounds:
    """What CP-SAT found.

    Args:
        decision: the best rounds found.
        bound: proven lower bound of what was modelled, to the rounding of :data:`TICKS`; 0 where it proves nothing.
        proven: whether the decision is proven to be the best of all.
    """

    decision: Assigned
    bound: float
    proven: bool


def cp_sat(
    problem: Links,
    seed: int,
    *,
    work: float | None = None,
    seconds: float | None = None,
    conflict_free: bool = False,
    most_rounds: int | None = None,
) -> BestRounds:
    """Return the best rounds that OR-Tools' CP-SAT finds on one thread, beginning from longest-first first fit.

    Rounds are sorted by length, which breaks their symmetry. With as many rounds as the largest degree plus one no
    conflict can pay, and the cliques of shared things are exact constraints; else each pair has its price.

    Args:
        problem: the colouring.
        seed: of its chance.
        work: deterministic time, about seconds, after which it stops; None is no limit.
        seconds: wall clock after which it stops; None is no limit.
        conflict_free: leave out decisions with conflicts even where they might pay; smaller, and proves nothing then.
        most_rounds: use no more, even if there are; smaller, and proves nothing then.

    Raises:
        SolverFailed: nothing was found.
    """
    model = cp_model.CpModel()
    rounds = min(problem.rounds, most_rounds or problem.rounds)
    degrees = problem.conflicts.degrees
    needless = problem.rounds > int(degrees.max(initial=0))
    exact = rounds == problem.rounds and (needless or not conflict_free)
    tick = float(problem.seconds.mean()) / TICKS
    ticks = np.round(problem.seconds / tick).astype(np.int64)
    count = ticks.size
    inside = [[model.new_bool_var("") for _ in range(rounds)] for _ in range(count)]
    length = [model.new_int_var(0, int(ticks.max()), "") for _ in range(rounds)]
    for v in range(count):
        model.add_exactly_one(inside[v])
        for r in range(rounds):
            model.add(length[r] >= int(ticks[v])).only_enforce_if(inside[v][r])
    for r in range(rounds - 1):
        model.add(length[r] >= length[r + 1])
    terms = list(length)
    if needless or conflict_free:
        for clique in problem.conflicts.held:
            for r in range(rounds):
                model.add_at_most_one(inside[v][r] for v in clique.tolist())
    else:
        for v in range(count):
            for u in problem.conflicts.of(v).tolist():
                if u < v:
                    continue
                clash = model.new_bool_var("")
                for r in range(rounds):
                    model.add_bool_or(~inside[v][r], ~inside[u][r], clash)
                terms.append(round(problem.congestion * int(min(ticks[u], ticks[v]))) * clash)
    model.minimize(sum(terms))
    _hint(model, problem, inside, length, ticks, rounds)
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = seed
    if work is not None:
        solver.parameters.max_deterministic_time = work
    if seconds is not None:
        solver.parameters.max_time_in_seconds = seconds
    status = solver.solve(model)
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        raise SolverFailed(f"cp-sat: {solver.status_name(status)}")
    chosen = [next(r for r in range(rounds) if solver.boolean_value(inside[v][r])) for v in range(count)]
    bound = solver.best_objective_bound * tick if exact else 0.0
    return BestRounds(Assigned(np.array(chosen, np.int64)), bound, exact and status == cp_model.OPTIMAL)


def _hint(
    model: cp_model.CpModel,
    problem: Links,
    inside: list[list[cp_model.IntVar]],
    length: list[cp_model.IntVar],
    ticks: npt.NDArray[np.int64],
    rounds: int,
) -> None:
    """Begin from first fit, longest first, with the longest rounds first; none where it needs more rounds."""
    colours = first_fit(problem.conflicts, np.argsort(-problem.seconds, kind="stable"))
    longest = np.zeros(max(rounds, int(colours.max()) + 1), np.int64)
    np.maximum.at(longest, colours, ticks)
    order = np.argsort(-longest, kind="stable")
    place = np.argsort(order, kind="stable")
    for v, r in enumerate(place[colours].tolist()):
        for other in range(rounds):
            model.add_hint(inside[v][other], int(other == r))
    for r in range(rounds):
        model.add_hint(length[r], int(longest[order[r]]))
