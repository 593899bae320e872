"""How is a budget spent over the dimensions of a fleet, so that the product of what they bring is largest?

Each dimension gets one of its levels, which brings a performance and takes a part of the budget. The logarithm turns
the product into a sum, so this is the multiple-choice knapsack problem (Sinha and Zoltners 1979, doi
10.1287/opre.27.3.503). At ten dimensions it is solved to proof in milliseconds by :mod:`tasks.yardsticks.budget`;
annealing and windows stand beside that, and are worth their time only where it does not end.
"""

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from data.schemas.plan import Action
from qiskit_solvers.ising import Floats, Indices
from tasks.problems.budget_anneal import anneal
from tasks.problems.budget_dimensions import Levels, tables
from tasks.problems.budget_hull import Relaxed, cheapest, relaxed
from tasks.problems.moves import fusion_window
from tasks.problems.protocol import Figure, Found, Window

ROUNDING = 1e-12
"""By which part of the budget sums that are equal on paper may be above it."""

HOT, COLD = 1.0, 0.001
"""First and last temperature of a run, in units of the median gain from a level to the next."""

RUNS = 12
"""Into which a search is cut: where gains are nearly as spends, a dozen short runs from the same start found the best
of 4**10 choices 19 times of 24, three that went on from the best so far 17 times."""

DRAWN_PER_SPIN = 64
"""Moves that are looked at for each spin of a window."""


@dataclass(frozen=True, slots=True, eq=False)
class Allotted:
    """The level of each dimension, by its place on the dimension's list, ``(dimensions,)``; read-only.

    Raises:
        ValueError: the shape is another.
    """

    level_of: Indices

    def __post_init__(self) -> None:
        if self.level_of.ndim != 1:
            raise ValueError(f"level_of: expected shape (dimensions,), got {self.level_of.shape}")
        self.level_of.setflags(write=False)


class Move(NamedTuple):
    """Give one or two dimensions another level; possible while each has the one before."""

    dimensions: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Budget:
    """The noun of budgets: ``cost = -sum of log(performance)`` while ``sum of spend <= budget``.

    A decision is no action on a cluster: it says what to rent or build.

    Args:
        levels: what may be chosen in each dimension.
        budget: what all may take together, in the unit of the levels' spend.
        in_force: what is chosen today; None is the cheapest level of each.
        notes: what was assumed.

    Raises:
        ValueError: there is no dimension, names repeat, the budget is below the cheapest levels, or what is in force
            is no choice or above the budget.
    """

    levels: tuple[Levels, ...]
    budget: float
    in_force: Allotted | None = None
    name: str = "budget"
    notes: tuple[str, ...] = ()
    loss: Floats = field(init=False, repr=False)
    spend: Floats = field(init=False, repr=False)
    relaxed: Relaxed = field(init=False, repr=False)

    def __post_init__(self) -> None:
        names = [each.name for each in self.levels]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"levels: expected at least one dimension, each of another name, got {names}")
        if not math.isfinite(self.budget):
            raise ValueError(f"budget: expected a finite number, got {self.budget}")
        loss, spend = tables(self.levels)
        for name, table in (("loss", loss), ("spend", spend)):
            table.setflags(write=False)
            object.__setattr__(self, name, table)
        least = self.spent(Allotted(cheapest(loss, spend)))
        if least > self.limit:
            short = f"{least - self.budget:g} short"
            raise ValueError(f"budget: expected at least {least:g}, the cheapest levels, got {self.budget:g}: {short}")
        if self.in_force is not None:
            self._require(self.in_force)
        object.__setattr__(self, "relaxed", relaxed(loss, spend, self.limit))

    @property
    def limit(self) -> float:
        """The budget, with room for rounding."""
        return self.budget + ROUNDING * abs(self.budget)

    @property
    def counts(self) -> Indices:
        """Levels of each dimension, ``(dimensions,)``."""
        return np.array([each.scale.size for each in self.levels], np.int64)

    def incumbent(self) -> Allotted:
        """Return what is chosen today, or the cheapest levels."""
        return Allotted(cheapest(self.loss, self.spend)) if self.in_force is None else self.in_force

    def cost(self, decision: Allotted) -> float:
        """Return the loss: minus the logarithm of the product of what the levels bring."""
        return math.fsum(self.loss[np.arange(len(self.loss)), decision.level_of].tolist())

    def spent(self, decision: Allotted) -> float:
        """Return what the levels take of the budget."""
        return math.fsum(self.spend[np.arange(len(self.spend)), decision.level_of].tolist())

    def feasible(self, decision: Allotted) -> bool:
        """Say whether each dimension has such a level and all of them are within the budget."""
        return self.spent(decision) <= self.limit

    def bound(self) -> float:
        """Return the loss of the linear relaxation, which no choice is below."""
        return self.relaxed.bound

    def search(self, decision: Allotted, evaluations: int, rng: np.random.Generator) -> Found[Allotted]:
        """Anneal from ``decision`` or the greedy choice on the hulls, whichever is better."""
        best, lowest, accepted = decision, self.cost(decision), 0
        greedy = Allotted(self.relaxed.level_of.copy())
        if self.feasible(greedy) and self.cost(greedy) < lowest:
            best, lowest, accepted = greedy, self.cost(greedy), 1
        if evaluations < 1:
            return Found(best, 0, accepted)
        start = best
        for _ in range(RUNS):
            found, improved = self.annealed(start, evaluations // RUNS, rng)
            if self.cost(found) < lowest:
                best, lowest, accepted = found, self.cost(found), accepted + improved
        return Found(best, evaluations, accepted)

    def annealed(self, decision: Allotted, evaluations: int, rng: np.random.Generator) -> tuple[Allotted, int]:
        """Return the best of one run of annealing from ``decision``, never worse than it, and how often it improved."""
        unit = self._gain()
        level_of, improved = anneal(
            decision.level_of,
            self.loss,
            self.spend,
            self.counts,
            self.limit,
            evaluations,
            HOT * unit,
            COLD * unit,
            rng,
        )
        found = Allotted(level_of)
        if not self.feasible(found) or self.cost(found) >= self.cost(decision):
            return decision, 0
        return found, improved

    def window(self, decision: Allotted, size: int, rng: np.random.Generator) -> Window[Allotted]:
        """Return a window of lower levels, exchanges between two dimensions, and higher levels, in this order.

        What frees a part of the budget comes first, for a level that does not fit alone may fit after it.
        """
        return fusion_window(decision, self._promising(decision, size, rng), self._apply, self.cost)

    def actions(self, decision: Allotted) -> tuple[Action, ...]:  # noqa: ARG002 -- what to buy, not a plan
        """Return nothing: a budget says what to rent or build, the cluster's plan does not hold it."""
        return ()

    def figures(self, decision: Allotted) -> tuple[Figure, ...]:
        """Return what the levels bring together, on a logarithmic scale, and what they take."""
        return (
            Figure("budget.log_performance", "natural log", -self.cost(decision), "higher"),
            Figure("budget.spent", "of the budget", self.spent(decision) / (self.budget or 1.0), "lower"),
        )

    def _require(self, decision: Allotted) -> None:
        level_of, counts = decision.level_of, self.counts
        if level_of.shape != counts.shape or (level_of < 0).any() or (level_of >= counts).any():
            raise ValueError(f"in_force: expected a level below each of {counts.tolist()}, got {level_of.tolist()}")
        if not self.feasible(decision):
            spent = self.spent(decision)
            raise ValueError(f"in_force: expected at most {self.budget:g}, got {spent:g}: {spent - self.budget:g} over")

    def _gain(self) -> float:
        """Return by how much the loss of one level differs from the next, the median."""
        ordered = np.sort(self.loss, axis=1)
        with np.errstate(invalid="ignore"):  # infinity less infinity, beyond the last level
            gains = np.diff(ordered, axis=1)
        gains = gains[np.isfinite(gains) & (gains > 0.0)]
        return float(np.median(gains)) if gains.size else 1.0

    def _apply(self, decision: Allotted, move: Move) -> Allotted | None:
        """Make a move, or return None where it is not possible any more or takes too much."""
        dimensions = list(move.dimensions)
        if decision.level_of[dimensions].tolist() != list(move.before):
            return None
        level_of = decision.level_of.copy()
        level_of[dimensions] = move.after
        moved = Allotted(level_of)
        return moved if self.feasible(moved) else None

    def _promising(self, decision: Allotted, size: int, rng: np.random.Generator) -> list[Move]:
        """Return at most ``size`` changes of one or two dimensions: those that cost the least at the hulls' price."""
        pool = DRAWN_PER_SPIN * size
        which = rng.integers(len(self.levels), size=(pool, 2))
        before = decision.level_of[which]
        after = (rng.random((pool, 2)) * self.counts[which]).astype(np.int64)
        alone = (rng.random(pool) < 1 / 3) | (which[:, 0] == which[:, 1]) | (after[:, 1] == before[:, 1])
        possible = after[:, 0] != before[:, 0]
        which, before, after, alone = which[possible], before[possible], after[possible], alone[possible]
        worse = self.loss[which, after] - self.loss[which, before]
        more = self.spend[which, after] - self.spend[which, before]
        worse[alone, 1] = more[alone, 1] = 0.0
        worth = (worse + self.relaxed.price * more).sum(axis=1)
        noise = 0.05 * self._gain() * rng.gumbel(size=worth.size)
        picked: dict[Move, float] = {}
        for k in np.argsort(worth - noise, kind="stable").tolist():
            places = 1 if alone[k] else 2
            order = np.argsort(which[k, :places]).tolist()
            move = Move(*(tuple(int(row[k, place]) for place in order) for row in (which, before, after)))
            picked[move] = float(more[k].sum())
            if len(picked) == size:
                break
        return sorted(picked, key=lambda move: (picked[move], move))
