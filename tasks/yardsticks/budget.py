"""How would a budget over levels be spent without our search? Exactly, on a grid, greedily, and at random.

Ten dimensions are few for the exact methods: the list of states that nothing dominates ends in milliseconds and is what
:mod:`tasks.allocate_budget` answers with. The dynamic programme rounds, and says by how much at most it may be wrong.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.optimize import Bounds, LinearConstraint, milp

from qiskit_solvers.errors import SolverFailed, TooLarge
from qiskit_solvers.ising import Floats, Indices
from tasks.problems.budget import Allotted, Budget
from tasks.problems.budget_hull import cheapest

MOST_STATES = 4_000_000
"""Partial choices that :func:`exact` holds at a time, 100 MB."""

MOST_CHOICES = 1 << 22
"""That :func:`exhaustive` lists."""

NARROW = 1e-6
"""Part of the budget beyond the cheapest levels below which the grid proves no bound."""

TOLERANCE = 1e-6
"""By which HiGHS may overstep a constraint; where its answer does, it is asked again for that much less."""


@dataclass(frozen=True, slots=True, eq=False)
class Gridded:
    """What a dynamic programme on a grid found.

    Args:
        decision: within the budget.
        bound: loss that no choice within the budget is below.
    """

    decision: Allotted
    bound: float


def exact(problem: Budget, known: Allotted | None = None) -> Allotted:
    """Return the best of all choices, by the list of partial choices that no other dominates.

    A partial choice is dropped where another spends no more and loses no more (Nemhauser and Ullmann 1969, doi
    10.1287/mnsc.15.9.494), and where even the relaxation of the other dimensions could not bring it below the best
    choice known. Nothing is rounded.

    Args:
        problem: the choice of levels.
        known: a choice within the budget, the better the fewer partial choices are left; None is the greedy one.

    Raises:
        TooLarge: more than :data:`MOST_STATES` partial choices are left.
    """
    best = min(greedy(problem), problem.incumbent() if known is None else known, key=problem.cost)
    to_beat = problem.cost(best)
    loss, spend = np.zeros(1), np.zeros(1)
    trail: list[tuple[Indices, Indices]] = []
    counts = problem.counts
    for row, count in enumerate(counts.tolist()):
        wider = loss.size * count
        if wider > MOST_STATES:
            raise TooLarge(f"exact: expected at most {MOST_STATES} partial choices, got {wider}")
        spend = (spend[:, None] + problem.spend[row, :count]).ravel()
        loss = (loss[:, None] + problem.loss[row, :count]).ravel()
        room, saved, least = _rest(problem, row + 1)
        left = problem.limit - spend - room[0]
        hopeful = loss + least - np.interp(left, room - room[0], saved)
        keep = np.flatnonzero((left >= 0.0) & (hopeful <= to_beat + 1e-9 * max(1.0, abs(to_beat))))
        order = keep[np.lexsort((loss[keep], spend[keep]))]
        lowest = np.minimum.accumulate(loss[order])
        first = np.ones(order.size, bool)
        first[1:] = loss[order][1:] < lowest[:-1]
        kept = order[first]
        trail.append((kept // count, kept % count))
        loss, spend = loss[kept], spend[kept]
    if not loss.size:  # only rounding can have dropped the best choice itself
        return best
    at, level_of = int(loss.argmin()), np.zeros(counts.size, np.int64)
    for row in range(counts.size - 1, -1, -1):
        parents, levels = trail[row]
        level_of[row], at = levels[at], int(parents[at])
    found = Allotted(level_of)
    return found if problem.feasible(found) and problem.cost(found) < to_beat else best


def dynamic_programme(problem: Budget, cells: int = 6000) -> Gridded:
    """Return the best choice on a grid of spends, and a bound.

    The dynamic programme of the multiple-choice knapsack problem (Kellerer, Pferschy and Pisinger 2004, chapter 11,
    doi 10.1007/978-3-540-24777-7). The budget is cut into ``cells``. What levels take is rounded up, so the choice is
    never over the budget, and is the best of those that stay within it after rounding; where all spends are whole
    cells that is all of them. What rounding left over then buys single levels. Rounded down instead, every choice
    within the budget stays so, and the same programme gives the bound.

    Args:
        problem: the choice of levels.
        cells: of the grid; time and memory grow with it.

    Raises:
        ValueError: there is no cell.
    """
    if cells < 1:
        raise ValueError(f"cells: expected at least 1, got {cells}")
    least = cheapest(problem.loss, problem.spend)
    cheap = problem.spend[np.arange(least.size), least]
    room = max(0.0, problem.budget - math.fsum(cheap.tolist()))
    more = (problem.spend - cheap[:, None]) * (cells / room) if room > 0.0 else problem.spend - cheap[:, None]
    finite = np.isfinite(more)
    more[~finite] = 2 * cells
    if room <= 0.0:
        more[more > 0.0] = 2 * cells
    slack = min(1e-9, 5e-13 * cells) / least.size  # of a cell: spends that are whole cells on paper
    up = np.minimum(np.ceil(more - slack), 2 * cells).astype(np.int64)
    down = np.minimum(np.floor(more + slack), 2 * cells).astype(np.int64)
    level_of, _ = _on_grid(problem.loss, np.maximum(up, 0), cells)
    _, bound = _on_grid(problem.loss, np.maximum(down, 0), cells)
    found = Allotted(level_of)
    best = _filled(problem, found) if problem.feasible(found) else problem.incumbent()
    if room <= NARROW * abs(problem.budget):  # a cell is as fine as rounding
        bound = problem.bound()
    return Gridded(min(best, problem.incumbent(), key=problem.cost), bound - 1e-12 * max(1.0, abs(bound)))


def greedy(problem: Budget) -> Allotted:
    """Return the steps along the upper hulls in the order of what they bring for a unit of spend."""
    found = Allotted(problem.relaxed.level_of.copy())
    return found if problem.feasible(found) else problem.incumbent()


def at_random(problem: Budget, draws: int, rng: np.random.Generator) -> Allotted:
    """Return the best of ``draws`` choices in which each dimension has any of its levels, and what is in force.

    What is over the budget counts as a draw and is no answer.
    """
    level_of = (rng.random((draws, problem.counts.size)) * problem.counts).astype(np.int64)
    rows = np.arange(problem.counts.size)
    loss = problem.loss[rows, level_of].sum(axis=1)
    loss[problem.spend[rows, level_of].sum(axis=1) > problem.limit] = np.inf
    found = Allotted(level_of[int(loss.argmin())].copy())
    fits = problem.feasible(found) and problem.cost(found) < problem.cost(problem.incumbent())
    return found if fits else problem.incumbent()


def at_the_price(problem: Budget, draws: int, temperature: float, rng: np.random.Generator) -> list[Allotted]:
    """Return ``draws`` choices in which each dimension is drawn by itself, at the price of the relaxation.

    A level has the Boltzmann weight of its loss and the price of its spend. Nothing couples two dimensions, so this is
    what a sampler that knows the price and no more can do. Choices may be over the budget.

    Args:
        problem: the choice of levels.
        draws: how many choices.
        temperature: in units of loss, above 0.
        rng: all chance.

    Raises:
        ValueError: the temperature is not above 0.
    """
    if not temperature > 0.0:
        raise ValueError(f"temperature: expected more than 0, got {temperature}")
    finite = np.isfinite(problem.loss)
    priced = np.where(finite, problem.loss + problem.relaxed.price * np.where(finite, problem.spend, 0.0), np.inf)
    weight = np.exp((priced.min(axis=1, keepdims=True) - priced) / temperature)
    below = (weight / weight.sum(axis=1, keepdims=True)).cumsum(axis=1)
    level_of = (rng.random((draws, len(below), 1)) >= below).sum(axis=2)
    return [Allotted(np.minimum(one, problem.counts - 1).astype(np.int64)) for one in level_of]


def exhaustive(problem: Budget) -> Allotted:
    """Return the best of all choices by listing them.

    Raises:
        TooLarge: there are more than :data:`MOST_CHOICES`.
    """
    counts = problem.counts.tolist()
    if math.prod(counts) > MOST_CHOICES:
        raise TooLarge(f"exhaustive: expected at most {MOST_CHOICES} choices, got {math.prod(counts)}")
    loss, spend = np.zeros(1), np.zeros(1)
    for row, count in enumerate(counts):
        loss = (loss[:, None] + problem.loss[row, :count]).ravel()
        spend = (spend[:, None] + problem.spend[row, :count]).ravel()
    loss[spend > problem.limit] = np.inf
    return Allotted(np.array(np.unravel_index(int(loss.argmin()), counts), np.int64))


def programme(problem: Budget, seconds: float) -> Allotted:
    """Return the choice that HiGHS finds for the integer programme.

    Args:
        problem: the choice of levels.
        seconds: wall clock after which it stops.

    Raises:
        SolverFailed: nothing was found, or it is over the budget.
    """
    dimensions, levels = problem.loss.shape
    there = np.isfinite(problem.loss).ravel()
    unit = max(float(np.abs(problem.loss[np.isfinite(problem.loss)]).max()), 1e-300)
    spend = np.where(there, problem.spend.ravel(), 0.0) / (problem.budget or 1.0)
    one_each = LinearConstraint(sparse.kron(sparse.eye_array(dimensions), np.ones((1, levels))), 1.0, 1.0)
    for margin in (0.0, TOLERANCE):
        found = milp(
            np.where(there, problem.loss.ravel(), 0.0) / unit,
            integrality=np.ones(there.size),
            bounds=Bounds(0.0, there.astype(float)),
            constraints=[one_each, LinearConstraint(spend[None, :], -np.inf, float(problem.budget > 0.0) - margin)],
            options={"time_limit": seconds, "mip_rel_gap": 0.0},
        )
        if found.x is None:
            raise SolverFailed(f"HiGHS: {found.message}")
        choice = Allotted(found.x.reshape(dimensions, levels).argmax(axis=1))
        if problem.feasible(choice):
            return min(choice, problem.incumbent(), key=problem.cost)  # which may use the margin
    raise SolverFailed(f"HiGHS: its answer spends {problem.spent(choice):g} of {problem.budget:g}")


def _on_grid(loss: Floats, cells_of: Indices, cells: int) -> tuple[Indices, float]:
    """Return the levels of the least loss within ``cells`` cells, and that loss."""
    best, choices = np.zeros(cells + 1), np.zeros((len(loss), cells + 1), np.int16)
    for row in range(len(loss)):
        after = np.full(cells + 1, np.inf)
        for level, taken in enumerate(cells_of[row].tolist()):
            if taken > cells or not np.isfinite(loss[row, level]):
                continue
            reached = np.full(cells + 1, np.inf)
            reached[taken:] = best[: cells + 1 - taken] + loss[row, level]
            better = reached < after
            after[better] = reached[better]
            choices[row, better] = level
        best = after
    level_of, at = np.zeros(len(loss), np.int64), cells
    for row in range(len(loss) - 1, -1, -1):
        level_of[row] = choices[row, at]
        at -= int(cells_of[row, level_of[row]])
    return level_of, float(best[cells])


def _filled(problem: Budget, decision: Allotted) -> Allotted:
    """Return ``decision`` with the level that saves most, again and again, while one fits."""
    level_of, rows = decision.level_of.copy(), np.arange(len(problem.levels))
    while True:
        left = problem.limit - problem.spent(Allotted(level_of.copy()))
        more = problem.spend - problem.spend[rows, level_of][:, None]
        saved = np.where(more <= left, problem.loss[rows, level_of][:, None] - problem.loss, 0.0)
        row, level = np.unravel_index(int(saved.argmax()), saved.shape)
        if saved[row, level] <= 0.0:
            return Allotted(level_of)
        before = level_of[row]
        level_of[row] = level
        if not problem.feasible(Allotted(level_of.copy())):  # by a rounding error
            level_of[row] = before
            return Allotted(level_of)


def _rest(problem: Budget, row: int) -> tuple[Floats, Floats, float]:
    """Return the relaxation of the dimensions from ``row`` on: spends, loss saved at them, loss of the cheapest."""
    least = cheapest(problem.loss, problem.spend)[row:]
    at = np.arange(row, len(problem.loss))
    steps = sorted((step for one in at for step in problem.relaxed.hulls[one]), key=lambda step: -step.rate)
    room = np.concatenate([[problem.spend[at, least].sum()], [step.more for step in steps]]).cumsum()
    saved = np.concatenate([[0.0], [step.saved for step in steps]]).cumsum()
    return room, saved, float(problem.loss[at, least].sum())
