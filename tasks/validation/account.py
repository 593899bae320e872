"""Is the plan never worse than what is in force, by its own account, and is the account complete?"""

import math
from collections import defaultdict
from collections.abc import Iterator
from typing import assert_never

from data.schemas.plan import Action, Compress, Migrate, MoveReplicas, Place, Plan, Recap, SolverRow, Start
from tasks.validation.verdict import Check, judged

TOLERANCE = 1e-9
"""Relative difference below which two costs count as equal: rounding."""


def check_never_worse(plan: Plan) -> Check:
    """Check that each problem's chosen cost is not above the incumbent's, nor below the bound.

    Every problem has one row of the incumbent and one chosen row, and every problem that the actions belong to has
    its rows. The gap of a bound is (chosen cost - bound) / bound where the bound is positive, and else missing.
    """
    rows: dict[str, list[SolverRow]] = defaultdict(list)
    for row in plan.solvers:
        rows[row.problem].append(row)
    wrong = [problem for name, group in rows.items() for problem in _rows(name, group)]
    wrong += _bounds(plan, rows)
    acted_on = {name for action in plan.actions if (name := _problem(action)) is not None}
    for name in sorted(acted_on - rows.keys()):
        wrong.append(f"{name}: expected rows in the solver table, since actions belong to it, found none")
    return judged("never worse", wrong, f"{len(rows)} problem(s), none costs more than what is in force")


def _rows(name: str, group: list[SolverRow]) -> Iterator[str]:
    chosen = [row for row in group if row.chosen]
    incumbents = [row for row in group if row.method == "incumbent"]
    if len(chosen) != 1:
        yield f"{name}: expected one chosen row, found {len(chosen)}"
    if len(incumbents) != 1:
        yield f"{name}: expected one row of the incumbent, found {len(incumbents)}"
    for row in chosen:
        for incumbent in incumbents:
            if row.cost > incumbent.cost + TOLERANCE * max(1.0, abs(incumbent.cost)):
                yield f"{name}: expected at most the incumbent's cost {incumbent.cost}, found {row.cost} ({row.method})"


def _bounds(plan: Plan, rows: dict[str, list[SolverRow]]) -> Iterator[str]:
    for bound in plan.bounds:
        if bound.problem not in rows:
            yield f"bound of {bound.problem}: expected rows in the solver table, found none"
            continue
        for row in rows[bound.problem]:
            if bound.value > row.cost + TOLERANCE * max(1.0, abs(row.cost)):
                yield f"bound of {bound.problem}: expected at most {row.cost} ({row.method}), found {bound.value}"
            gap = max(0.0, (row.cost - bound.value) / bound.value) if bound.value > 0 else None
            if row.chosen and not _same(gap, bound.gap):
                yield f"bound of {bound.problem}: expected a gap of {gap}, found {bound.gap}"


def _same(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return math.isclose(one, other, rel_tol=1e-6, abs_tol=TOLERANCE)


def _problem(action: Action) -> str | None:
    """Return the problem whose decision the action is part of; None for checkpoints, which have no cost."""
    match action:
        case Migrate() | Place():
            return "placement"
        case Recap() | Start():
            return "power"
        case MoveReplicas():
            return f"routing:{action.deployment}"
        case Compress():
            return None
        case _:
            assert_never(action)
