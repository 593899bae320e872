"""In which rounds are these transfers sent? Exactly where that is easy, by the refine loop where it is hard."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE

from data.errors import PlanRefused
from data.schemas.transfers import Round, RoundSchedule, Transfers
from qiskit_solvers.solver import Solver
from tasks.communication.conflict_graph import Duplex
from tasks.communication.planes import end_of_planes, least_end, on_planes
from tasks.communication.rounds import are_equal, crossbar_rounds, is_crossbar, whole_rounds
from tasks.problems.links import Assigned, Links
from tasks.refine import Effort, refine
from tasks.validation.transfer_rounds import check_rounds

Method = Literal["auto", "crossbar", "colouring"]

INCUMBENT = "incumbent"
"""How the rows of the refinement call what is in force."""


@dataclass(frozen=True, slots=True)
class Sending:
    """What the fabric can do, and how the rounds are found.

    Args:
        rounds: most rounds, those of all planes; None takes the file's limit, or none.
        planes: equal copies of the fabric that work side by side.
        duplex: whether a port can send and receive at once.
        cut: whether a message may be sent in several rounds, on a crossbar.
        method: ``auto`` takes the exact polynomial methods where transfers share nothing but ports that send and
            receive at once and the rounds are enough for them, and colours the conflict graph otherwise.

    Raises:
        ValueError: a number is not positive.
    """

    rounds: int | None = None
    planes: int = 1
    duplex: Duplex = "full"
    cut: bool = True
    method: Method = "auto"

    def __post_init__(self) -> None:
        if self.planes < 1 or (self.rounds is not None and self.rounds < 1):
            raise ValueError(f"expected rounds and planes of at least 1, got {self.rounds} and {self.planes}")


def schedule_transfers(
    transfers: Transfers,
    solver: Solver,
    rng: np.random.Generator,
    *,
    effort: Effort,
    twins: tuple[Solver, ...] = (),
    sending: Sending = Sending(),
) -> RoundSchedule:
    """Return rounds that send all transfers, checked once more from the definitions.

    Args:
        transfers: what is sent.
        solver: answers windows of the colouring.
        rng: all chance.
        effort: how much is computed.
        twins: solvers to compare with.
        sending: what the fabric can do.

    Raises:
        ValueError: ``crossbar`` is asked for where it does not apply, or there are too many pairs that conflict.
        PlanRefused: the validator found the rounds wrong.
    """
    limit = transfers.rounds if sending.rounds is None else sending.rounds
    schedule = _exact(transfers, sending, limit)
    if schedule is None:
        problem = Links.from_transfers(transfers.transfers, rounds=limit, duplex=sending.duplex)
        schedule = _coloured(transfers, problem, solver, rng, effort, twins, sending.planes)
    verdict = check_rounds(schedule, transfers, sending.duplex, most_rounds=limit)
    if not verdict.passed:
        wrong = "; ".join(f"{check.name}: {check.detail}" for check in verdict.checks if not check.passed)
        raise PlanRefused(f"the validator refused the rounds: {wrong}")
    return schedule


def _exact(transfers: Transfers, sending: Sending, limit: int | None) -> RoundSchedule | None:
    """Return the shortest rounds on crossbars; None where that is not asked for, or cannot be done."""
    if sending.method == "colouring":
        return None
    items = transfers.transfers
    refused = "it needs full duplex, no 'uses', and messages that are equal or may be cut"
    if is_crossbar(items, sending.duplex) and (sending.cut or are_equal(items)):
        schedule = crossbar_rounds(transfers, planes=sending.planes, cut=sending.cut)
        if limit is None or len(schedule.rounds) <= limit:
            return schedule
        refused = f"it needs {len(schedule.rounds)} rounds, and there are {limit}"
    if sending.method == "crossbar":
        raise ValueError(f"method 'crossbar' does not apply: {refused}; 'auto' finds rounds all the same")
    return None


def _coloured(
    transfers: Transfers,
    problem: Links,
    solver: Solver,
    rng: np.random.Generator,
    effort: Effort,
    twins: tuple[Solver, ...],
    planes: int,
) -> RoundSchedule:
    """Return rounds that are short in sum, given to planes; what is in force stays where that is no shorter then."""
    refined = refine(problem, solver, rng, effort=effort, twins=twins)
    rows, chosen = refined.rows, next(row.method for row in refined.rows if row.chosen)
    decision, rounds, cost = _sent(transfers, problem, refined.decision, planes)
    before, rounds_before, before_s = _sent(transfers, problem, problem.incumbent(), planes)
    notes = list(problem.notes)
    if planes > 1:
        notes.append(f"the rounds are coloured for their sum, then given to {planes} planes, the longest first")
    if chosen != INCUMBENT and cost >= before_s:
        notes.append(f"the rounds of {chosen} would end no sooner on the planes: those in force stay")
        decision, rounds, cost, chosen = before, rounds_before, before_s, INCUMBENT
        rows = tuple(replace(row, chosen=row.method == INCUMBENT) for row in rows)
    bound_s = least_end(problem.least_lengths().tolist(), planes)
    return RoundSchedule(
        source=transfers.source,
        method=f"colouring of the conflict graph: {chosen}",
        makespan_s=end_of_planes(rounds),
        bound_s=bound_s,
        optimal=cost <= bound_s * (1 + 1e-9),
        conflicts=problem.clashes(decision),
        congestion_s=problem.congestion_s(decision),
        cut=False,
        before_s=before_s,
        rounds=rounds,
        solvers=rows,
        fallbacks=refined.fallbacks,
        notes=(*transfers.notes, *notes),
        planes=planes,
    )


def _sent(
    transfers: Transfers, problem: Links, decision: Assigned, planes: int
) -> tuple[Assigned, tuple[Round, ...], float]:
    """Return a decision, its rounds on their planes, and what they take, congestion included."""
    rounds = on_planes(whole_rounds(transfers.transfers, decision.round_of), planes)
    return decision, rounds, end_of_planes(rounds) + problem.congestion_s(decision)


@task(name="schedule-transfers", cache_policy=NO_CACHE)
def schedule_rounds(
    transfers: Transfers,
    solver: Solver,
    *,
    effort: Effort,
    twins: tuple[Solver, ...],
    sending: Sending,
    seed: int,
) -> RoundSchedule:
    """Run :func:`schedule_transfers` as a Prefect task."""
    rng = np.random.default_rng(seed)
    return schedule_transfers(transfers, solver, rng, effort=effort, twins=twins, sending=sending)
