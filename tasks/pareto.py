"""Which choices does no other choice beat in everything? Frontiers, exact where they can be, with their hypervolume.

All objectives are made small. Listing all choices, sums over independent groups, and integer programmes are exact; what
:mod:`tasks.pareto_evolved` finds is told with its hypervolume beside that of an exact frontier, wherever there is one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, islice

import numpy as np
import numpy.typing as npt
from scipy.optimize import Bounds, LinearConstraint, milp

from qiskit_solvers.errors import SolverFailed, TooLarge

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

MOST_SUBSETS = 20_000_000
"""That :func:`of_subsets` lists."""

MOST_SUMS = 20_000_000
"""That :func:`of_sums` holds at a time."""

AT_ONCE = 1 << 18
"""Subsets that are looked at together."""

RESOLUTION = 1e-5
"""Of :func:`of_programme`: part of an objective's range by which two points must differ to be told apart. The
tolerance of HiGHS is a tenth of it."""

OPTIMAL, INFEASIBLE = 0, 2
"""What :func:`scipy.optimize.milp` says of a programme."""


@dataclass(frozen=True, slots=True, eq=False)
class Frontier:
    """Points that nothing dominates; of points with equal values the first.

    Args:
        values: ``(points, objectives)``, rising in the first objective; lower is better in all.
        choices: what gives each point, ``(points, ...)``.
        method: how they were found.
        exact: whether no point is missing.

    Raises:
        ValueError: shapes do not agree, or there is no point.
    """

    values: Floats
    choices: npt.NDArray[np.generic]
    method: str
    exact: bool

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or not len(self.values):
            raise ValueError(f"values: expected shape (points, objectives), none 0, got {self.values.shape}")
        if len(self.choices) != len(self.values):
            raise ValueError(f"choices: expected one for each of {len(self.values)} points, got {len(self.choices)}")

    def hypervolume(self, reference: Sequence[float]) -> float:
        """Return the volume between the points and ``reference``, ``(objectives,)``; see :func:`hypervolume`."""
        return hypervolume(self.values, reference)

    def ratio(self, exact: "Frontier", reference: Sequence[float]) -> float:
        """Return which part of an exact frontier's hypervolume this one has; 1 where that has none.

        Raises:
            ValueError: the other frontier is not exact.
        """
        if not exact.exact:
            raise ValueError(f"exact: expected an exact frontier, got one by {exact.method}")
        whole = exact.hypervolume(reference)
        return self.hypervolume(reference) / whole if whole > 0.0 else 1.0


def non_dominated(values: Floats) -> Indices:
    """Return which points no other point is at least as good as in all objectives, by their first objective.

    Args:
        values: ``(points, objectives)``, lower is better.

    Raises:
        ValueError: the shape is another, or a value is not finite.
    """
    if values.ndim != 2 or not values.shape[1]:
        raise ValueError(f"values: expected shape (points, objectives), got {values.shape}")
    if not np.isfinite(values).all():
        bad = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
        raise ValueError(f"values: expected finite numbers, found {values[bad].tolist()} at point {bad}")
    order = np.lexsort(values.T[::-1])
    if values.shape[1] == 2 and order.size:
        second = values[order, 1]
        first = np.ones(order.size, bool)
        first[1:] = second[1:] < np.minimum.accumulate(second)[:-1]
        return order[first]
    kept = list[int]()
    while order.size:  # nothing that is left can dominate the first, which comes before all in every tie
        best, order = int(order[0]), order[1:]
        kept.append(best)
        order = order[(values[order] < values[best]).any(axis=1)]
    return np.array(kept, np.int64)


def hypervolume(values: Floats, reference: Sequence[float]) -> float:
    """Return the volume that the points dominate, up to ``reference``, by slices along the last objective.

    Zitzler and Thiele 1999, doi 10.1109/4235.797969; points that are not below the reference in everything add nothing.

    Args:
        values: ``(points, objectives)``, lower is better.
        reference: worst value of each objective, ``(objectives,)``.

    Raises:
        ValueError: the reference has another number of objectives.
    """
    worst = np.asarray(reference, np.float64)
    if worst.shape != values.shape[1:]:
        raise ValueError(f"reference: expected {values.shape[1]} objectives, got shape {worst.shape}")
    inside = values[(values < worst).all(axis=1)]
    if not len(inside):
        return 0.0
    points = inside[non_dominated(inside)]
    if points.shape[1] == 1:
        return float(worst[0] - points[0, 0])
    points = points[np.argsort(points[:, -1], kind="stable")]
    ends = np.append(points[1:, -1], worst[-1])
    slices = [
        float(end - point[-1]) * hypervolume(points[: number + 1, :-1], worst[:-1].tolist())
        for number, (point, end) in enumerate(zip(points, ends, strict=True))
        if end > point[-1]
    ]
    return math.fsum(slices)


def of_points(values: Floats, method: str = "enumeration") -> Frontier:
    """Return the frontier of all choices there are, ``(choices, objectives)``; ``choices`` are their numbers."""
    kept = non_dominated(values)
    return Frontier(values[kept], kept, method, exact=True)


def of_subsets(values: Floats, size: int) -> Frontier:
    """Return the frontier of all subsets of a size, whose objectives are the means of their members.

    Args:
        values: of single members, ``(members, objectives)``.
        size: of a subset.

    Raises:
        ValueError: no subset has this size.
        TooLarge: there are more than :data:`MOST_SUBSETS`.
    """
    if not 1 <= size <= len(values):
        raise ValueError(f"size: expected 1 to {len(values)}, got {size}")
    count = math.comb(len(values), size)
    if count > MOST_SUBSETS:
        raise TooLarge(f"of_subsets: expected at most {MOST_SUBSETS} subsets, got {count}")
    subsets = combinations(range(len(values)), size)
    best, chosen = np.zeros((0, values.shape[1])), np.zeros((0, size), np.int64)
    for start in range(0, count, AT_ONCE):
        block = np.array(list(islice(subsets, min(AT_ONCE, count - start))), np.int64)
        best, chosen = np.concatenate([best, values[block].mean(axis=1)]), np.concatenate([chosen, block])
        kept = non_dominated(best)
        best, chosen = best[kept], chosen[kept]
    return Frontier(best, chosen, f"enumeration of {count} subsets", exact=True)


def of_sums(groups: Sequence[Floats]) -> Frontier:
    """Return the frontier of one choice from each group, whose objectives add up.

    A partial choice that another dominates is dropped, for whatever follows is the same for both (Nemhauser and
    Ullmann 1969, doi 10.1287/mnsc.15.9.494). A product becomes a sum by its logarithm: a budget's frontier of spend
    and performance is that of ``(spend, -log(performance))``.

    Args:
        groups: objectives of each choice of each group, ``(choices, objectives)`` each.

    Raises:
        ValueError: there is no group, or they have unlike objectives.
        TooLarge: more than :data:`MOST_SUMS` partial choices are left.
    """
    if not groups or any(group.ndim != 2 or group.shape[1] != groups[0].shape[1] for group in groups):
        raise ValueError(f"groups: expected (choices, objectives) with the same objectives, got {len(groups)} groups")
    values, chosen = np.zeros((1, groups[0].shape[1])), np.zeros((1, 0), np.int64)
    for group in groups:
        if len(values) * len(group) > MOST_SUMS:
            raise TooLarge(f"of_sums: expected at most {MOST_SUMS} partial choices, got {len(values) * len(group)}")
        values = (values[:, None, :] + group).reshape(-1, group.shape[1])
        kept = non_dominated(values)
        values = values[kept]
        chosen = np.column_stack([chosen[kept // len(group)], kept % len(group)])
    return Frontier(values, chosen, "sums of what nothing dominates", exact=True)


def of_programme(
    objectives: Floats, constraints: Sequence[LinearConstraint], upper: Floats, *, most: int = 10_000
) -> Frontier:
    """Return the frontier of an integer programme with two linear objectives, by the epsilon-constraint method.

    The first objective is made small while the second must be better than at the last point, until nothing is left
    (Haimes, Lasdon and Wismer 1971, doi 10.1109/TSMC.1971.4308298). At each point the second is made small in turn, so
    that no point is weakly dominated. Exact up to :data:`RESOLUTION`.

    Args:
        objectives: coefficients, ``(2, variables)``.
        constraints: what the integers keep to.
        upper: largest value of each, ``(variables,)``; the smallest is 0.
        most: points after which it stops, and says that it is not exact.

    Raises:
        ValueError: there are not two objectives, or no integers keep to the constraints.
        SolverFailed: HiGHS did not end.
    """
    if objectives.ndim != 2 or len(objectives) != 2:
        raise ValueError(f"objectives: expected shape (2, variables), got {objectives.shape}")
    first, second = objectives

    def least(row: Floats, *more: LinearConstraint) -> Floats | None:
        scale = float(np.abs(row).max()) or 1.0
        found = milp(
            row / scale,
            integrality=np.ones(row.size),
            bounds=Bounds(0.0, upper),
            constraints=[*constraints, *more],
            options={"mip_rel_gap": 0.0},
        )
        if found.status == INFEASIBLE:
            return None
        if found.status != OPTIMAL:
            raise SolverFailed(f"HiGHS: {found.message}")
        return np.asarray(np.round(found.x))

    ends = [least(first), least(second)]
    if ends[0] is None or ends[1] is None:
        raise ValueError("constraints: expected integers that keep to them, found none")
    widths = [float(abs(row @ ends[0] - row @ ends[1])) or 1.0 for row in objectives]
    points = list[Floats]()
    found: Floats | None = ends[0]
    while found is not None and len(points) < most:
        limit = LinearConstraint(first / widths[0], -np.inf, first @ found / widths[0] + RESOLUTION / 10)
        best = least(second, limit)
        points.append(found if best is None else best)
        below = second @ points[-1] / widths[1] - RESOLUTION
        found = least(first, LinearConstraint(second / widths[1], -np.inf, below))
    values = np.array([objectives @ point for point in points])
    kept = non_dominated(values)
    return Frontier(values[kept], np.array(points)[kept].astype(np.int64), "epsilon-constraint", exact=found is None)
