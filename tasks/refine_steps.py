"""Which steps does refining a problem take? A classical search, then for each solver a walk over windows of moves.

A step needs nothing but what it is given and can therefore be taken in this process or in another one: it returns what
it found together with the generator, or the account, that whoever asked needs to go on.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic

import numpy as np

from data.schemas.plan import Fallback, SolverRow
from qiskit_solvers.errors import SolverFailed, TooLarge
from qiskit_solvers.exact import Exact
from qiskit_solvers.ising import Ising
from qiskit_solvers.solver import Solver, Spins
from tasks.problems.protocol import Decision, Found, Problem, Window

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
class Searched(Generic[Decision]):
    """What the classical search found, and the generator as it left it."""

    found: Found[Decision]
    rng: np.random.Generator


@dataclass(frozen=True, slots=True, eq=False)
class Walked(Generic[Decision]):
    """Where a solver's windows led.

    Args:
        decision: the last one.
        costs: exact cost at the start and after each confirmed change.
        rows: one for the solver, and one for its stand-in where there was one.
        fallbacks: what failed, and what stood in.
    """

    decision: Decision
    costs: tuple[float, ...]
    rows: tuple[SolverRow, ...]
    fallbacks: tuple[Fallback, ...]


def never() -> bool:
    """Tell that there is time left, always."""
    return False


def less(cost: float, than: float) -> bool:
    """Return whether a cost is lower by more than rounding."""
    return cost < than - _SIGNIFICANT * max(1.0, abs(than))


def search(
    problem: Problem[Decision], start: Decision, evaluations: int, rng: np.random.Generator
) -> Searched[Decision]:
    """Take the step of the classical search from ``start``."""
    return Searched(problem.search(start, evaluations, rng), rng)


def walk(
    problem: Problem[Decision],
    solver: Solver,
    start: Decision,
    effort: Effort,
    seed: int,
    expired: Callable[[], bool] = never,
) -> Walked[Decision]:
    """Let ``solver`` answer windows from ``start``; where it fails, :class:`Exact` answers the rest in its place.

    Args:
        problem: the noun.
        solver: answers windows.
        start: feasible.
        effort: how many windows, and how large.
        seed: of the windows and of the solver's chance.
        expired: the guard in seconds, asked before each window; an account of a walk that met it says so.
    """
    steps = _Walk(problem, solver, start, effort)
    steps.run(np.random.default_rng(seed), expired)
    return Walked(steps.decision, tuple(steps.costs), tuple(steps.rows()), tuple(steps.fallbacks))


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
            if less(cost, self.costs[-1]):
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
