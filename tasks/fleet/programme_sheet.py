"""What is a linear programme of a fleet made of? Its columns and rows, and the sheet on which they are written."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import coo_array, csr_array, vstack

from tasks.fleet.model import Flags, FleetModel, Floats, Integers
from tasks.fleet.service import Cut

INFINITY = np.inf

Term = tuple[Integers | int, Integers | int, Floats | float]
"""Rows, columns and values, broadcast against one another."""


@dataclass(frozen=True, slots=True, eq=False)
class Programme:
    """Minimise ``cost @ x + constant`` with ``low <= rows @ x <= high`` and ``lower <= x <= upper``.

    Args:
        cost: ``(columns,)``.
        constant: USD per hour that no choice changes.
        lower: ``(columns,)``.
        upper: ``(columns,)``.
        rows: ``(rows, columns)``.
        low: ``(rows,)``.
        high: ``(rows,)``.
        limit: which limit each row belongs to, ``(rows,)``; empty where it only says what a column is.
        unit: capacity that counts as 1.
        offers: how many; the first columns are added nodes.
        kept: offers with kept nodes, in the order of the columns that follow.
        opened: regions with a column that says whether they are used.
        open_at: first of those columns.
        capacity_at: first of the columns of regions' capacities.
        given_up_at: first of the columns that say whether an outage is given up.
        outages: how many such columns.
    """

    cost: Floats
    constant: float
    lower: Floats
    upper: Floats
    rows: csr_array
    low: Floats
    high: Floats
    limit: tuple[str, ...]
    unit: float
    offers: int
    kept: Integers
    opened: Integers
    open_at: int
    capacity_at: int
    given_up_at: int
    outages: int

    @property
    def whole(self) -> Flags:
        """Which columns must be whole numbers, ``(columns,)``."""
        chosen = np.zeros(self.cost.size, np.bool_)
        chosen[: self.offers + self.kept.size] = True
        return chosen | self.binary

    @property
    def binary(self) -> Flags:
        """Which columns are yes or no, ``(columns,)``."""
        chosen = np.zeros(self.cost.size, np.bool_)
        chosen[self.open_at : self.open_at + self.opened.size] = True
        chosen[self.given_up_at : self.given_up_at + self.outages] = True
        return chosen

    def nodes(self, values: Floats) -> Floats:
        """Return the nodes of each offer, ``(offers,)``, in values of the columns."""
        nodes: Floats = values[: self.offers].copy()
        nodes[self.kept] += values[self.offers : self.offers + self.kept.size]
        return nodes

    def capacity(self, values: Floats, regions: int) -> Floats:
        """Return the capacity of each region, ``(regions,)``, in values of the columns."""
        capacity: Floats = values[self.capacity_at : self.capacity_at + regions] * self.unit
        return capacity


class Sheet:
    """A programme while it is written. Mutable; lives within :func:`tasks.fleet.programme_rows.write_programme`."""

    def __init__(self) -> None:
        self.costs: list[Floats] = []
        self.lowers: list[Floats] = []
        self.uppers: list[Floats] = []
        self.columns = 0
        self.at: list[tuple[Integers, Integers, Floats]] = []
        self.low: list[Floats] = []
        self.high: list[Floats] = []
        self.limits: list[str] = []

    def add(self, count: int, cost: Floats | float = 0.0, upper: Floats | float = INFINITY) -> int:
        """Add columns from 0 to ``upper`` and return the first."""
        first = self.columns
        self.costs.append(np.broadcast_to(np.asarray(cost, np.float64), count))
        self.lowers.append(np.zeros(count))
        self.uppers.append(np.broadcast_to(np.asarray(upper, np.float64), count))
        self.columns += count
        return first

    def rows(
        self,
        limit: str,
        count: int,
        terms: Sequence[Term],
        low: Floats | float = -INFINITY,
        high: Floats | float = INFINITY,
    ) -> None:
        """Add rows; terms are rows (from 0), columns and values, each broadcast against one another."""
        first = len(self.limits)
        for row, column, value in terms:
            row, column, value = np.broadcast_arrays(np.atleast_1d(row), column, np.asarray(value, np.float64))
            self.at.append((row.astype(np.int64) + first, column.astype(np.int64), value.astype(np.float64)))
        self.low.append(np.broadcast_to(np.asarray(low, np.float64), count))
        self.high.append(np.broadcast_to(np.asarray(high, np.float64), count))
        self.limits.extend([limit] * count)

    def matrix(self) -> csr_array:
        """Return all rows."""
        shape = (len(self.limits), self.columns)
        if not self.at:
            return csr_array(shape)
        row, column, value = (np.concatenate(part) for part in zip(*self.at, strict=True))
        return coo_array((value, (row, column)), shape=shape).tocsr()


def with_cuts(programme: Programme, model: FleetModel, cuts: Sequence[Cut]) -> Programme:
    """Return ``programme`` with further cuts."""
    if not cuts:
        return programme
    size = programme.cost.size
    weights = csr_array(np.array([cut.weight for cut in cuts]))
    coded = weights.tocoo()
    rows = coo_array((coded.data, (coded.row, coded.col + programme.capacity_at)), shape=(len(cuts), size)).tocsr()
    need = np.array([cut.missing(model, np.zeros(weights.shape[1])) for cut in cuts]) / programme.unit
    return replace(
        programme,
        rows=vstack([programme.rows, rows]).tocsr(),
        low=np.concatenate([programme.low, need]),
        high=np.concatenate([programme.high, np.full(len(cuts), INFINITY)]),
        limit=programme.limit + tuple("late_share" if cut.late else "demand" for cut in cuts),
    )
