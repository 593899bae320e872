"""In which rounds are these transfers sent? Exactly where that is easy, by the refine loop where it is hard."""

from typing import Literal

import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE

from data.errors import PlanRefused
from data.schemas.transfers import RoundSchedule, Transfers
from qiskit_solvers.solver import Solver
from tasks.communication.conflict_graph import Duplex
from tasks.communication.rounds import are_equal, crossbar_rounds, is_crossbar, whole_rounds
from tasks.problems.links import Assigned, Links
from tasks.refine import Effort, refine
from tasks.validation.transfer_rounds import check_rounds

Method = Literal["auto", "crossbar", "colouring"]


def schedule_transfers(
    transfers: Transfers,
    solver: Solver,
    rng: np.random.Generator,
    *,
    effort: Effort,
    twins: tuple[Solver, ...] = (),
    rounds: int | None = None,
    duplex: Duplex = "full",
    cut: bool = True,
    method: Method = "auto",
) -> RoundSchedule:
    """Return rounds that send all transfers, checked once more from the definitions.

    ``auto`` takes the exact polynomial methods where transfers share nothing but ports that send and receive at once
    and rounds are not limited, and colours the conflict graph otherwise.

    Args:
        transfers: what is sent.
        solver: answers windows of the colouring.
        rng: all chance.
        effort: how much is computed.
        twins: solvers to compare with.
        rounds: most rounds; None takes the file's limit, or none.
        duplex: whether a port can send and receive at once.
        cut: whether a message may be sent in several rounds, on a crossbar.
        method: which way.

    Raises:
        ValueError: ``crossbar`` is asked for where it does not apply, or there are too many pairs that conflict.
        PlanRefused: the validator found the rounds wrong.
    """
    limit = transfers.rounds if rounds is None else rounds
    items = transfers.transfers
    easy = is_crossbar(items, duplex) and (cut or are_equal(items)) and limit is None
    if method == "crossbar" and not easy:
        raise ValueError(
            f"method: expected 'auto' or 'colouring' for {transfers.source}, got 'crossbar': it needs full duplex, no "
            "'uses', rounds without a limit, and messages that are equal or may be cut"
        )
    if easy and method != "colouring":
        schedule = crossbar_rounds(transfers)
    else:
        problem = Links.from_transfers(items, rounds=limit, duplex=duplex)
        schedule = _coloured(transfers, problem, solver, rng, effort, twins)
    verdict = check_rounds(schedule, transfers, duplex)
    if not verdict.passed:
        wrong = "; ".join(f"{check.name}: {check.detail}" for check in verdict.checks if not check.passed)
        raise PlanRefused(f"the validator refused the rounds: {wrong}")
    return schedule


def _coloured(
    transfers: Transfers,
    problem: Links,
    solver: Solver,
    rng: np.random.Generator,
    effort: Effort,
    twins: tuple[Solver, ...],
) -> RoundSchedule:
    refined = refine(problem, solver, rng, effort=effort, twins=twins)
    decision: Assigned = refined.decision
    chosen = next(row.method for row in refined.rows if row.chosen)
    cost = refined.costs[-1]
    return RoundSchedule(
        source=transfers.source,
        method=f"colouring of the conflict graph: {chosen}",
        makespan_s=problem.makespan_s(decision),
        bound_s=refined.bound.value,
        optimal=cost <= refined.bound.value * (1 + 1e-9),
        conflicts=problem.clashes(decision),
        congestion_s=problem.congestion_s(decision),
        cut=False,
        before_s=problem.cost(problem.incumbent()),
        rounds=whole_rounds(transfers.transfers, decision.round_of),
        solvers=refined.rows,
        fallbacks=refined.fallbacks,
        notes=(*transfers.notes, *problem.notes),
    )


@task(name="schedule-transfers", cache_policy=NO_CACHE)
def schedule_rounds(
    transfers: Transfers,
    solver: Solver,
    *,
    effort: Effort,
    twins: tuple[Solver, ...],
    rounds: int | None,
    duplex: Duplex,
    cut: bool,
    method: Method,
    seed: int,
) -> RoundSchedule:
    """Run :func:`schedule_transfers` as a Prefect task."""
    return schedule_transfers(
        transfers,
        solver,
        np.random.default_rng(seed),
        effort=effort,
        twins=twins,
        rounds=rounds,
        duplex=duplex,
        cut=cut,
        method=method,
    )
