"""Which schedule is in force? The planned starts, put off where the cluster could not keep them."""

import math

import numpy as np

from data.schemas.cluster import Snapshot
from tasks.problems.power_board import Board, laid_out, put_off
from tasks.problems.power_search import topological
from tasks.problems.power_tables import UNLIMITED_MW, Tables
from tasks.problems.power_work import Ints, Work

NAMED = 10
"""Jobs that a note names."""


def slot_of(start_s: float | None, slot_s: float, slots: int) -> int:
    """Return the slot of a planned start: the first that begins at it or after; ``slots`` where there is none."""
    return slots if start_s is None else min(slots, math.ceil(start_s / slot_s - 1e-9))


def starts_in_force(snapshot: Snapshot, tables: Tables, work: Work) -> tuple[Ints, tuple[str, ...]]:
    """Return the start of each job, ``(jobs,)``, and what had to be changed.

    Planned starts are taken in their order; one at which GPUs are missing, or a dependency has not ended, is put off
    to the first slot where neither holds. Power does not count here: a schedule may be above the cap.
    """
    limits = snapshot.limits
    slots = limits.horizon_slots
    wanted = np.array(
        [0 if job.state == "running" else slot_of(job.planned_start_s, limits.slot_s, slots) for job in snapshot.jobs],
        dtype=np.int64,
    )
    waiting = np.flatnonzero(tables.running == 0)
    start = wanted.copy()
    start[waiting] = slots
    work = work._replace(site_first=np.zeros_like(work.site_first), site=work.site[:0], site_draw=work.site_draw[:0])
    board: Board = laid_out(work, np.append(tables.limit[:-1], UNLIMITED_MW), slots, start, tables.level_in_force)
    board.off[waiting] = 1
    put_off(topological(work, waiting, wanted.astype(np.float64)), wanted, work, board)
    ids = [job.id for job in snapshot.jobs]
    late = [
        f"{ids[j]} ({wanted[j] * limits.slot_s:.0f} s -> {_said(int(board.start[j]), slots, limits.slot_s)})"
        for j in waiting
        if board.start[j] != wanted[j]
    ]
    large = [ids[j] for j in waiting if tables.needs[j] > tables.limit[tables.pool[j]]]
    notes = (
        _note("planned starts put off, since GPUs were missing or dependencies had not ended", late),
        _note("jobs that ask for more GPUs than can be used, and are left unscheduled", large),
    )
    return board.start, tuple(note for note in notes if note)


def _said(start: int, slots: int, slot_s: float) -> str:
    return "not scheduled" if start == slots else f"{start * slot_s:.0f} s"


def _note(what: str, jobs: list[str]) -> str:
    if not jobs:
        return ""
    more = f" and {len(jobs) - NAMED} more" if len(jobs) > NAMED else ""
    return f"{len(jobs)} {what}: {', '.join(jobs[:NAMED])}{more}"
