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
from qiskit_solvers.errors import SolverFailed, TooLarge
from qiskit_solvers.exact import Exact
from qiskit_solvers.ising import Ising
from qiskit_solvers.solver import Solver, Spins
from tasks.problems.protocol import Decision, Found, Problem, Window

LAST_PLAN, NEAR_LAST_PLAN = "last plan", "drawn to the last plan"
"""How reports call the last plan's decision as far as it still fits, and the best one with what it could keep of it."""

_SIGNIFICANT = 1e-9
"""Relative gain below which two costs count as equal: rounding, not improvement."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is computed; counted, not timed, so that the same seed gives the same plan.

    Args:
        evaluations: moves that the classical search prices.
        rounds: windows that each solver gets.
        window: moves per window, that is spins.
        patience: windows in a row without a gain after which the loop stops.
        tries: strings of each answer that are priced exactly.
    """

    evaluations: int = 400_000
    rounds: int = 12
    window: int = 14
    patience: int = 6
    tries: int = 16

    def __post_init__(self) -> None:
        if self.evaluations < 0 or min(self.rounds, self.window, self.patience, self.tries) < 1:
            raise ValueError(f"expected evaluations of at least 0 and the rest of at least 1, got {self}")


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
    expired: Callable[[], bool] = lambda: False,
    progress: Progress = lambda _phase, _share: None,
    last: LastPlan[Decision] | None = None,
) -> Refined[Decision]:
    """Return the best decision found from the incumbent, or from the last plan's decision if that is cheaper.

    The classical search of the noun's moves runs first. From where it stopped, each of ``twins`` and
    then ``solver`` get windows drawn with the same seed, so that they can be compared; the cheapest end
    wins, and of equal ones the first of incumbent, last plan, classical search, twins, solver. Where a last
    plan is given, the outcome departs from it only where that pays; see :class:`LastPlan`.

    Args:
        problem: the noun.
        solver: answers windows; where it fails, :class:`Exact` answers the rest in its place.
        rng: all chance.
        effort: how much is computed.
        twins: solvers to compare with, under the same contract and the same windows.
        expired: the guard in seconds, asked before each window; a plan that met it says so.
        progress: told how far the work is.
        last: what the last plan decided; None where there is none.
    """
    incumbent = problem.incumbent()
    start = problem.cost(incumbent)
    base: Decision = incumbent
    costs: tuple[float, ...] = (start,)
    rows = [SolverRow(problem.name, "incumbent", start, 0, 0, 0, chosen=False)]
    ends: list[tuple[Decision, tuple[float, ...]]] = [(incumbent, (start,))]
    if last is not None and _less(problem.cost(last.decision), start):
        base = problem.search(last.decision, 0, rng).decision
        costs = (start, problem.cost(base))
        rows.append(SolverRow(problem.name, LAST_PLAN, costs[-1], 0, 0, 0, chosen=False))
        ends.append((base, costs))
    else:
        last = None
    progress("classical search", 0.0)
    found = problem.search(base, effort.evaluations, rng)
    classical = problem.cost(found.decision)
    if _less(classical, costs[-1]):
        base, costs = found.decision, (*costs, classical)
    rows.append(
        SolverRow(problem.name, "classical search", costs[-1], found.evaluations, 0, found.accepted, chosen=False)
    )
    ends.append((base, costs))
    fallbacks: list[Fallback] = []
    seed = int(rng.integers(2**32))
    lineup = (*twins, solver)
    for number, candidate in enumerate(lineup):
        progress(f"{candidate.kind} on windows", (1 + number) / (1 + len(lineup)))
        walk = _Walk(problem, candidate, base, effort)
        walk.run(np.random.default_rng(seed), expired)
        for row in walk.rows():
            rows.append(row)
            ends.append((walk.decision, (*costs, *walk.costs[1:])))
        fallbacks += walk.fallbacks
    best = 0
    for number, (_, reached) in enumerate(ends):
        if _less(reached[-1], ends[best][1][-1]):
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


class _Walk(Generic[Decision]):
    """One run over windows: the decision as it improves, and who improved it."""

    def __init__(self, problem: Problem[Decision], solver: Solver, start: Decision, effort: Effort) -> None:
        self.problem = problem
        self.solver = solver
        self.stage = f"refine {problem.name}"
        self.effort = effort
        self.decision = start
        self.costs = [problem.cost(start)]
        self.fallbacks: list[Fallback] = []
        self.legs = [_Leg(f"{solver.kind} on windows", self.costs[0])]

    def run(self, rng: np.random.Generator, expired: Callable[[], bool]) -> None:
        """Take windows until the rounds are used up, the patience is, or the time."""
        size, misses = self.effort.window, 0
        for number in range(self.effort.rounds):
            if misses >= self.effort.patience:
                return
            if expired():
                reason = f"the time guard ended the loop after {number} of {self.effort.rounds} windows"
                self.fallbacks.append(Fallback(self.stage, self.solver.kind, "the best so far", reason))
                return
            draw, solve = rng.spawn(2)
            window = self.problem.window(self.decision, size, draw)
            misses += 1
            if window.ising.spins == 0:
                continue
            try:
                strings = self._answer(window.ising, solve)
            except TooLarge as error:
                size //= 2
                used = f"windows of {size} moves"
                self.fallbacks.append(Fallback(self.stage, self.solver.kind, used, str(error)))
                continue
            misses = 0 if self._keep_first_better(window, strings) else misses

    def rows(self) -> list[SolverRow]:
        """Return one row for the solver, and one for its stand-in where there was one."""
        return [
            SolverRow(self.problem.name, leg.method, leg.cost, leg.spins, leg.windows, leg.accepted, chosen=False)
            for leg in self.legs
        ]

    def _answer(self, ising: Ising, rng: np.random.Generator) -> Spins:
        leg = self.legs[-1]
        try:
            strings = self.solver(ising, rng)
        except SolverFailed as error:
            stand_in = Exact(max_spins=max(ising.spins, self.effort.window))
            self.fallbacks.append(Fallback(self.stage, self.solver.kind, stand_in.kind, str(error)))
            leg = _Leg(f"{stand_in.kind} on windows, standing in for {self.solver.kind}", leg.cost)
            self.legs.append(leg)
            self.solver = stand_in
            strings = stand_in(ising, rng)
        leg.windows += 1
        leg.spins += ising.spins
        return strings

    def _keep_first_better(self, window: Window[Decision], strings: Spins) -> bool:
        for string in strings[: self.effort.tries]:
            sewn = window.sew(string)
            cost = self.problem.cost(sewn)
            if _less(cost, self.costs[-1]):
                self.decision = sewn
                self.costs.append(cost)
                self.legs[-1].accepted += 1
                self.legs[-1].cost = cost
                return True
        return False


@dataclass(slots=True)
class _Leg:
    """The windows that one solver answered in a walk."""

    method: str
    cost: float
    windows: int = 0
    spins: int = 0
    accepted: int = 0


def _bound(problem: Problem[Decision], found: Found[Decision], cost: float) -> Bound:
    value, method = problem.bound(), "closed-form relaxation"
    if found.bound > value:
        value, method = found.bound, found.proof
    gap = None if value <= 0 else max(0.0, (cost - value) / value)
    return Bound(problem.name, value, gap, method)


def _less(cost: float, than: float) -> bool:
    return cost < than - _SIGNIFICANT * max(1.0, abs(than))


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
) -> Refined[Decision]:
    """Run :func:`refine` as a Prefect task."""
    rng = np.random.default_rng(seed)
    return refine(problem, solver, rng, effort=effort, twins=twins, expired=expired, progress=progress, last=last)
