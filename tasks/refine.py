"""How is a decision made better? Classical search first, then windows of moves by a solver; the exact cost decides.

One loop for every noun. The decision never gets worse: it starts from what is in force, a change
enters only if the exact cost confirms it, and a solver that fails is replaced by a deterministic one.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic

import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE

from data.schemas.plan import Bound, Fallback, SolverRow
from qiskit_solvers.solver import Solver
from tasks.fan_out.workers import HERE, Step, Workers
from tasks.problems.protocol import Decision, Found, Problem
from tasks.refine_steps import Effort as Effort
from tasks.refine_steps import Searched, Walked, less, never, search, walk

LAST_PLAN, NEAR_LAST_PLAN = "last plan", "drawn to the last plan"
"""How reports call the last plan's decision as far as it still fits, and the best one with what it could keep of it."""


@dataclass(frozen=True, slots=True, eq=False)
class LastPlan(Generic[Decision]):
    """What was decided last time, for a flow that runs again and again while little changes.

    Many decisions are about as good as the best, and which one a search finds turns on trifles. So the search begins
    at this one where it is better than what is in force, and in the end this one stays, or as much of it as possible,
    for at most ``stability`` of the gain.

    Args:
        decision: feasible today; taken back to what still pays before it is compared.
        nearer: of :class:`tasks.problems.protocol.Steady`.
        stability: share of the gain that may be given up, 0 to 1.
    """

    decision: Decision
    nearer: Callable[[Decision, Decision, float], Decision]
    stability: float = 0.01

    def __post_init__(self) -> None:
        if not 0.0 <= self.stability <= 1.0:
            raise ValueError(f"stability: expected a share from 0 to 1, got {self.stability}")


@dataclass(frozen=True, slots=True, eq=False)
class Refined(Generic[Decision]):
    """The outcome for one problem.

    Args:
        decision: the cheapest decision that any method reached.
        costs: exact cost after each confirmed change, the incumbent's first; never rising.
        rows: what each method reached, for the report.
        bound: the proven lower bound and the distance to it.
        fallbacks: solvers that failed, and what stood in.
    """

    decision: Decision
    costs: tuple[float, ...]
    rows: tuple[SolverRow, ...]
    bound: Bound
    fallbacks: tuple[Fallback, ...]


Progress = Callable[[str, float], None]
"""Told which phase is at work and the share of the whole that is done, 0 to 1."""


def refine(
    problem: Problem[Decision],
    solver: Solver,
    rng: np.random.Generator,
    *,
    effort: Effort,
    twins: tuple[Solver, ...] = (),
    expired: Callable[[], bool] = never,
    progress: Progress = lambda _phase, _share: None,
    last: LastPlan[Decision] | None = None,
    workers: Workers = HERE,
) -> Refined[Decision]:
    """Return the best decision found from the incumbent, or from the last plan's decision if that is cheaper.

    The classical search of the noun's moves runs first. From where it stopped, each of ``twins`` and
    then ``solver`` get windows drawn with the same seed, so that they can be compared; the cheapest end
    wins, and of equal ones the first of incumbent, last plan, classical search, twins, solver. Where a last
    plan is given, the outcome departs from it only where that pays; see :class:`LastPlan`.

    Args:
        problem: the noun.
        solver: answers windows; where it fails, :class:`~qiskit_solvers.exact.Exact` answers the rest in its place.
        rng: all chance.
        effort: how much is computed.
        twins: solvers to compare with, under the same contract and the same windows.
        expired: the guard in seconds, asked before each window; a plan that met it says so.
        progress: told how far the work is.
        last: what the last plan decided; None where there is none.
        workers: take the search and the walks over windows, which need nothing of one another; in other processes
            ``expired`` must be something that can be sent there.
    """
    incumbent = problem.incumbent()
    start = problem.cost(incumbent)
    base: Decision = incumbent
    costs: tuple[float, ...] = (start,)
    rows = [SolverRow(problem.name, "incumbent", start, 0, 0, 0, chosen=False)]
    ends: list[tuple[Decision, tuple[float, ...]]] = [(incumbent, (start,))]
    if last is not None and less(problem.cost(last.decision), start):
        base = problem.search(last.decision, 0, rng).decision
        costs = (start, problem.cost(base))
        rows.append(SolverRow(problem.name, LAST_PLAN, costs[-1], 0, 0, 0, chosen=False))
        ends.append((base, costs))
    else:
        last = None
    progress("classical search", 0.0)
    searched = workers.begin(_search_from(problem, base, effort.evaluations, rng))()
    found, rng = searched.found, searched.rng
    classical = problem.cost(found.decision)
    if less(classical, costs[-1]):
        base, costs = found.decision, (*costs, classical)
    rows.append(
        SolverRow(problem.name, "classical search", costs[-1], found.evaluations, 0, found.accepted, chosen=False)
    )
    ends.append((base, costs))
    fallbacks: list[Fallback] = []
    seed = int(rng.integers(2**32))
    lineup = (*twins, solver)
    walks = [workers.begin(_walk_from(problem, each, base, effort, seed, expired)) for each in lineup]
    for number, (candidate, walked) in enumerate(zip(lineup, walks, strict=True)):
        progress(f"{candidate.kind} on windows", (1 + number) / (1 + len(lineup)))
        reached = walked()
        for row in reached.rows:
            rows.append(row)
            ends.append((reached.decision, (*costs, *reached.costs[1:])))
        fallbacks += reached.fallbacks
    best = 0
    for number, (_, trail) in enumerate(ends):
        if less(trail[-1], ends[best][1][-1]):
            best = number
    if last is not None and best > 1:
        allowance = last.stability * (start - ends[best][1][-1])
        kept, to_beat = ends[1][0], ends[best][1][-1] + allowance
        if ends[1][1][-1] <= to_beat:
            best = 1
        else:
            near = last.nearer(ends[best][0], kept, allowance)
            cost = problem.cost(near)
            rows.append(SolverRow(problem.name, NEAR_LAST_PLAN, cost, 0, 0, 0, chosen=False))
            ends.append((near, (*ends[1][1], cost)))
            best = len(ends) - 1 if cost <= to_beat else best
    rows[best] = replace(rows[best], chosen=True)
    decision, trail = ends[best]
    return Refined(decision, trail, tuple(rows), _bound(problem, found, trail[-1]), tuple(fallbacks))


def _search_from(
    problem: Problem[Decision], start: Decision, evaluations: int, rng: np.random.Generator
) -> Step[Searched[Decision]]:
    """Return the step of the classical search, whose answer costs no more than its start and no less than its bound.

    Whether a decision is feasible is for the validator to say.
    """

    def sound(answer: Searched[Decision]) -> bool:
        reached = problem.cost(answer.found.decision)
        at_most, at_least = not less(problem.cost(start), reached), not less(reached, answer.found.bound)
        return isinstance(answer.rng, np.random.Generator) and at_most and at_least

    label = f"refine {problem.name}: classical search"
    return Step(label, search, (problem, start, evaluations, rng), sound)


def _walk_from(
    problem: Problem[Decision],
    solver: Solver,
    start: Decision,
    effort: Effort,
    seed: int,
    expired: Callable[[], bool],
) -> Step[Walked[Decision]]:
    """Return the step of one solver's windows; its answer must cost what it says, and start where we did."""

    def sound(answer: Walked[Decision]) -> bool:
        return (
            isinstance(answer, Walked)
            and answer.costs[0] == problem.cost(start)
            and answer.costs[-1] == problem.cost(answer.decision)
            and all(isinstance(row, SolverRow) and row.problem == problem.name for row in answer.rows)
            and all(isinstance(each, Fallback) for each in answer.fallbacks)
        )

    label = f"refine {problem.name}: {solver.kind} on windows"
    return Step(label, walk, (problem, solver, start, effort, seed, expired), sound)


def _bound(problem: Problem[Decision], found: Found[Decision], cost: float) -> Bound:
    value, method = problem.bound(), "closed-form relaxation"
    if found.bound > value:
        value, method = found.bound, found.proof
    gap = None if value <= 0 else max(0.0, (cost - value) / value)
    return Bound(problem.name, value, gap, method)


@task(name="refine", task_run_name="refine-{problem.name}", cache_policy=NO_CACHE)
def refine_plan(
    problem: Problem[Decision],
    solver: Solver,
    *,
    effort: Effort,
    twins: tuple[Solver, ...],
    seed: int,
    expired: Callable[[], bool],
    progress: Progress,
    last: LastPlan[Decision] | None = None,
    begun: Callable[[], Refined[Decision]] | None = None,
) -> Refined[Decision]:
    """Run :func:`refine` as a Prefect task, or wait for the same call where it was ``begun`` before its turn."""
    if begun is not None:
        return begun()
    rng = np.random.default_rng(seed)
    return refine(problem, solver, rng, effort=effort, twins=twins, expired=expired, progress=progress, last=last)
