"""How is a whole budget put into an Ising model of two spins a dimension? Binary-coded levels, and a price on spending.

Any function of four levels is quadratic in two bits, so the loss and the linear price on what is spent beyond the
budget are exact. A window of moves needs no penalty, but holds few moves; this holds the whole choice. It is for the
challenger's column of the benchmark: the exact methods answer first.

The budget is kept without slack spins, of which a fine one would take ten more: ``price * (spent - budget) + curvature
* (spent - budget)**2`` after the unbalanced penalty of Montanez-Barrera et al. 2022 (arXiv:2211.13914). The price is
the relaxation's, at which the best choices within the budget are among the lowest; the curvature draws strings towards
the budget. Squaring an exact spend would couple four spins, so in the square alone spends are additive in the bits:
exact for the three levels of each dimension that the price likes best, and wrong for the fourth. Strings are brought
within the budget and priced exactly afterwards. Without curvature nothing couples one dimension to another.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qiskit_solvers.ising import Indices, Ising
from tasks.problems.budget import Allotted, Budget

CURVATURE = 0.03
"""Of the square, in units of the price over the median spend between neighbouring levels. Of 0, 0.03, 0.1, 0.3 and 1
it lost QAOA the least on instances of their own (``python -m tests.benchmarks.fleet.budget --tune``)."""

BITS = np.array([[0, 0], [1, 0], [0, 1], [1, 1]], np.float64)
"""Of each code: the lesser bit first."""


@dataclass(frozen=True, slots=True, eq=False)
class Coded:
    """A budget as an Ising model.

    Args:
        ising: spin ``-1`` is bit 1; the spins of a dimension lie together, the lesser bit first.
        level_of_code: level of each dimension for each code of its two bits, ``(dimensions, 4)``.
        spins_of: first spin of each dimension and how many it has, ``(dimensions, 2)``.
    """

    ising: Ising
    level_of_code: Indices
    spins_of: Indices

    def decode(self, string: npt.NDArray[np.int8]) -> Allotted:
        """Return the levels of a string, ``(spins,)``, whether or not they are within the budget."""
        level_of = np.zeros(len(self.spins_of), np.int64)
        for row, (first, count) in enumerate(self.spins_of.tolist()):
            code = sum(1 << bit for bit in range(count) if string[first + bit] < 0)
            level_of[row] = self.level_of_code[row, code]
        return Allotted(level_of)


def coded(problem: Budget, curvature: float = CURVATURE) -> Coded:
    """Return the Ising model of a budget.

    Args:
        problem: of at most four levels a dimension.
        curvature: of the square; 0 leaves it away.

    Raises:
        ValueError: a dimension has more levels.
    """
    rows = len(problem.levels)
    if problem.counts.max() > len(BITS):
        many = problem.levels[int(problem.counts.argmax())].name
        raise ValueError(f"{many}: expected at most {len(BITS)} levels, got {problem.counts.max()}")
    order = np.zeros((rows, len(BITS)), np.int64)
    for row, count in enumerate(problem.counts.tolist()):
        rising = np.lexsort((problem.loss[row, :count], problem.spend[row, :count]))
        order[row] = rising[np.minimum(np.arange(len(BITS)), count - 1)]
    at = np.arange(rows)[:, None]
    loss, spend = problem.loss[at, order], problem.spend[at, order]
    counts = np.ceil(np.log2(problem.counts)).astype(np.int64)
    firsts = np.concatenate([[0], counts.cumsum()[:-1]])
    price, weight = problem.relaxed.price, 0.0
    steps = np.diff(spend, axis=1)
    if price > 0.0 and (steps > 0.0).any():
        weight = curvature * price / float(np.median(steps[steps > 0.0]))
    spins = int(counts.sum())
    linear, pairs, offset = np.zeros(spins), np.zeros((spins, spins)), -price * problem.budget
    additive, base = np.zeros(spins), -problem.budget
    for row in range(rows):
        mine = firsts[row] + np.arange(counts[row])
        used = slice(0, 1 << counts[row])
        energy = loss[row, used] + price * spend[row, used]
        offset += float(energy[0])
        if counts[row] > 0:
            linear[mine[0]] += energy[1] - energy[0]
        if counts[row] > 1:
            linear[mine[1]] += energy[2] - energy[0]
            pairs[mine[0], mine[1]] += energy[3] - energy[1] - energy[2] + energy[0]
        design = np.column_stack([np.ones(1 << counts[row]), BITS[used, : counts[row]]])
        likely = np.argsort(energy, kind="stable")[: counts[row] + 1]
        fitted = np.linalg.solve(design[likely], spend[row, likely])
        base += float(fitted[0])
        additive[mine] = fitted[1:]
    offset += weight * base**2
    linear += weight * (additive**2 + 2.0 * base * additive)
    pairs += 2.0 * weight * np.triu(np.outer(additive, additive), 1)
    both = pairs + pairs.T
    ising = Ising(
        h=-linear / 2 - both.sum(axis=1) / 4,
        J=pairs / 4,
        offset=float(offset + linear.sum() / 2 + pairs.sum() / 4),
    )
    return Coded(ising, order, np.column_stack([firsts, counts]))


def brought_within(problem: Budget, decision: Allotted) -> Allotted:
    """Return ``decision`` with levels lowered until it is within the budget.

    Each time the one change is made that loses the least for a unit of spend that it frees.
    """
    level_of, rows = decision.level_of.copy(), np.arange(len(problem.levels))
    while not problem.feasible(Allotted(level_of.copy())):
        freed = problem.spend[rows, level_of][:, None] - problem.spend
        lost = problem.loss - problem.loss[rows, level_of][:, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            rate = np.where((freed > 0.0) & np.isfinite(lost), lost / freed, np.inf)
        row, level = np.unravel_index(int(rate.argmin()), rate.shape)
        level_of[row] = level
    return Allotted(level_of)
