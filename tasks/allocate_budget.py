"""How shall a budget be spent over dimensions? By the method that is exact for their laws, with the others beside it.

Power laws at power prices have a closed form. Laws that are concave in what they cost are solved by a multiplier, to a
bound. Levels are solved by listing the partial choices that nothing dominates, or on a grid where those are too many.
The shared loop with its solver, annealing, greedy and random choices stand in the same table; none of them is needed
where an exact method ends, and the table says so.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE

from data.schemas.plan import Fallback
from qiskit_solvers.anneal import Anneal
from qiskit_solvers.errors import SolverFailed, TooLarge
from qiskit_solvers.solver import Solver
from tasks.budget_uncertainty import Uncertainty, uncertainty
from tasks.problems.budget import Allotted, Budget
from tasks.problems.budget_dimensions import Dimension, Floats, Law
from tasks.problems.budget_ising import BITS, brought_within, coded
from tasks.refine import Effort, refine
from tasks.yardsticks.budget import at_random, dynamic_programme, exact, greedy
from tasks.yardsticks.budget_laws import Scales, by_multiplier, closed_form, concave, inside

CLOSED_FORM, MULTIPLIER, EXACT, GRID = "closed form", "multiplier", "exact", "dynamic programme"

LEVELS = 33
"""Of a dimension without steps where levels must stand for its scales."""

TABLE_LEVELS = 4
"""Likewise, where they only stand in the table beside a closed form or a multiplier."""

MOST_GAP = 700.0
"""Logarithm of the largest gap that is told."""


@dataclass(frozen=True, slots=True)
class Reached:
    """What one method reached.

    Args:
        method: its name.
        log_performance: logarithm of the product of what the dimensions bring.
        gap: part by which the bound's performance is above this one's.
        evaluations: choices that it priced; 0 where it does not price them one by one.
    """

    method: str
    log_performance: float
    gap: float
    evaluations: int


@dataclass(frozen=True, slots=True, eq=False)
class BudgetAllocation:
    """How a budget is spent.

    Args:
        method: that found it.
        names: of the dimensions.
        scale: of each, in its unit, ``(dimensions,)``.
        spend: of each, ``(dimensions,)``.
        level_of: of each, where levels were chosen, ``(dimensions,)``; None where every scale could be.
        log_performance: logarithm of the product of what they bring.
        bound: ``log_performance`` that nothing within the budget exceeds, among what could be chosen.
        rows: what each method reached; where every scale may be chosen, the rows other than the answer's are of
            :data:`TABLE_LEVELS` levels a dimension.
        uncertainty: by the draws of the laws; None where there were none.
        fallbacks: solvers that failed, and what stood in.
        notes: what was assumed.
    """

    method: str
    names: tuple[str, ...]
    scale: Floats
    spend: Floats
    level_of: np.ndarray | None
    log_performance: float
    bound: float
    rows: tuple[Reached, ...]
    uncertainty: Uncertainty | None = None
    fallbacks: tuple[Fallback, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def gap(self) -> float:
        """Part by which the bound's performance is above what is reached."""
        return _gap(self.bound, self.log_performance)


def allocate_budget(
    dimensions: Sequence[Dimension],
    budget: float,
    solver: Solver,
    rng: np.random.Generator,
    effort: Effort,
    draws: Sequence[Sequence[Law]] | None = None,
) -> BudgetAllocation:
    """Return the scales with the largest product of performances within a budget.

    Args:
        dimensions: laws, prices and ranges or steps.
        budget: in the unit of the prices.
        solver: answers the windows of the shared loop, and the whole choice where its spins fit into a window.
        rng: all chance.
        effort: of the loop; annealing and random choices get as many evaluations.
        draws: laws of the dimensions as a bootstrap drew them, ``(draws, dimensions)``.

    Raises:
        ValueError: the budget is below the least that the dimensions take (by how much is said), or a law gives no
            performance above 0.
    """
    notes = list[str]()
    whole = None if any(each.steps for each in dimensions) else _continuous(dimensions, budget, notes)
    problem = _levelled(dimensions, budget, LEVELS if whole is None else TABLE_LEVELS)
    if whole is None and not all(each.steps for each in dimensions):
        free = ", ".join(each.name for each in dimensions if not each.steps)
        notes.append(f"{LEVELS} scales at equal ratios stand for the range of {free}")
    challengers, other, fallbacks = _challengers(problem, solver, rng, effort)
    best, bound, method = _best_levels(problem, other)
    rows = [_row(method, -problem.cost(best), 0), *challengers]
    if problem.cost(other) < problem.cost(best):  # only where the grid had to round
        best, method = other, f"{method}, bettered by another"
    if whole is None:
        scale = np.array([each.scale[level] for each, level in zip(problem.levels, best.level_of, strict=True)])
        level_of, reached = best.level_of, -problem.cost(best)
    else:
        method, found = whole
        scale, level_of, reached, bound = found.scale, None, found.log_performance, found.bound
        rows.insert(0, _row(method, reached, 0))
    told = None
    if draws is not None:
        levels = whole is None
        told = uncertainty(dimensions, scale, draws, lambda drawn: _solved(drawn, budget, levels))
    return BudgetAllocation(
        method=method,
        names=tuple(each.name for each in dimensions),
        scale=scale,
        spend=np.array([float(each.price(np.array([one]))[0]) for each, one in zip(dimensions, scale, strict=True)]),
        level_of=level_of,
        log_performance=reached,
        bound=bound,
        rows=tuple(replace(row, gap=_gap(bound, row.log_performance)) for row in rows),
        uncertainty=told,
        fallbacks=fallbacks,
        notes=tuple(notes),
    )


def _continuous(dimensions: Sequence[Dimension], budget: float, notes: list[str]) -> tuple[str, Scales] | None:
    """Return the method that applies to every scale and what it found; None where none applies."""
    try:
        found = closed_form(dimensions, budget)
        if inside(dimensions, found.scale):
            return CLOSED_FORM, found
        notes.append("the closed form leaves a dimension's range")
    except ValueError:  # no power laws, or no budget, which the multiplier refuses in the same words as levels
        pass
    bumpy = [each.name for each in dimensions if not concave(each)]
    if bumpy:
        notes.append(f"not concave in what it costs: {', '.join(bumpy)}")
        return None
    return MULTIPLIER, by_multiplier(dimensions, budget)


def _levelled(dimensions: Sequence[Dimension], budget: float, count: int) -> Budget:
    return Budget(tuple(each.levels(count) for each in dimensions), budget)


def _best_levels(problem: Budget, known: Allotted | None = None) -> tuple[Allotted, float, str]:
    """Return the best levels, the bound on the logarithm of performance, and the method."""
    try:
        found = exact(problem, known)
    except TooLarge:
        grid = dynamic_programme(problem)
        return grid.decision, -max(grid.bound, problem.bound()), GRID
    return found, -problem.cost(found), EXACT


def _challengers(
    problem: Budget, solver: Solver, rng: np.random.Generator, effort: Effort
) -> tuple[list[Reached], Allotted, tuple[Fallback, ...]]:
    """Return what the methods that prove nothing reached, the best of their choices, and what failed."""
    count = max(1, effort.evaluations)
    annealed, _ = problem.annealed(problem.incumbent(), count, rng)
    ends = [
        ("greedy", greedy(problem), 0),
        ("annealing from the cheapest levels", annealed, count),
        ("random", at_random(problem, count, rng), count),
    ]
    fallbacks: tuple[Fallback, ...] = ()
    twins: tuple[Solver, ...] = () if isinstance(solver, Anneal) else (Anneal(),)
    if problem.counts.max() <= len(BITS):
        model = coded(problem)
        for each in (*twins, solver) if model.ising.spins <= effort.window else ():
            name = f"{each.kind}, the whole choice in {model.ising.spins} spins"
            try:
                strings = each(model.ising, rng)
            except (SolverFailed, TooLarge) as error:
                fallbacks = (*fallbacks, Fallback("allocate budget", name, "the other methods", str(error)))
                continue
            found = min((brought_within(problem, model.decode(each)) for each in strings), key=problem.cost)
            ends.append((name, found, len(strings)))
    refined = refine(problem, solver, rng, effort=effort, twins=twins)
    rows = [_row(name, -problem.cost(found), evaluations) for name, found, evaluations in ends]
    rows += [_row(row.method, -row.cost, row.evaluations) for row in refined.rows if row.method != "incumbent"]
    best = min((refined.decision, *(found for _, found, _ in ends)), key=problem.cost)
    return rows, best, (*fallbacks, *refined.fallbacks)


def _row(method: str, log_performance: float, evaluations: int) -> Reached:
    return Reached(method, log_performance, 0.0, evaluations)


def _solved(dimensions: Sequence[Dimension], budget: float, levels: bool) -> Floats:
    """Return the best scales by the method that the first answer came from, or by one as exact."""
    if levels:
        problem = _levelled(dimensions, budget, LEVELS)
        best = _best_levels(problem)[0].level_of
        return np.array([each.scale[level] for each, level in zip(problem.levels, best, strict=True)])
    found = _continuous(dimensions, budget, [])
    return _solved(dimensions, budget, levels=True) if found is None else found[1].scale


def _gap(bound: float, log_performance: float) -> float:
    return max(0.0, math.expm1(min(bound - log_performance, MOST_GAP)))


@task(name="allocate-budget", cache_policy=NO_CACHE)
def spend_budget(
    dimensions: Sequence[Dimension],
    budget: float,
    solver: Solver,
    *,
    seed: int,
    effort: Effort,
    draws: Sequence[Sequence[Law]] | None = None,
) -> BudgetAllocation:
    """Run :func:`allocate_budget` as a Prefect task."""
    return allocate_budget(dimensions, budget, solver, np.random.default_rng(seed), effort, draws)
