"""What does a schedule change, and why? The actions from the schedule in force to another, in plain words."""

from dataclasses import dataclass

import numpy as np

from data.schemas.plan import Action, Recap, Start
from tasks.problems.power_board import draws, site_draws
from tasks.problems.power_budget import over_budget_mj
from tasks.problems.power_tables import Tables
from tasks.problems.power_work import Floats, Ints, Work, extra


@dataclass(frozen=True, slots=True)
class InForce:
    """What the snapshot says of a job's cap and start, as an action's ``before`` must say it."""

    job: str
    cap_w: float | None
    start_s: float | None
    slot: int


def actions(
    jobs: tuple[InForce, ...],
    tables: Tables,
    work: Work,
    before: tuple[Ints, Ints],
    after: tuple[Ints, Ints],
    slots: int,
    slot_s: float,
    overload_weight: float,
) -> tuple[Action, ...]:
    """Return recaps and starts, job by job; the gains add up to what the cost falls by.

    A job whose planned start could not be kept, and now can, needs no action: its share is in no gain.

    Args:
        jobs: what is in force, ``(jobs,)``.
        tables: the snapshot as arrays.
        work: what the jobs ask for.
        before: start and level to count gains from, each ``(jobs,)``.
        after: start and level wanted, each ``(jobs,)``.
        slots: of the horizon.
        slot_s: length of one.
        overload_weight: cost of one mW above the cap during one slot.
    """
    relief = _relief(tables, work, before, after, slots, overload_weight)
    thrift = _thrift(work, before[1], after[1])
    made: list[Action] = []
    for j, job in enumerate(jobs):
        (at, now), (start, level) = (int(before[0][j]), int(before[1][j])), (int(after[0][j]), int(after[1][j]))
        if level != now:
            shared = relief[j] if work.draw[j, level] < work.draw[j, now] or start == at else 0.0
            made.append(
                Recap(
                    job=job.job,
                    before=job.cap_w,
                    after=_cap(tables, j, level),
                    reason=_recap_reason(tables, work, j, (now, level), at, shared > 0, thrift[j] > 0),
                    gain=_fall(work, j, (at, now), (at, level)) + float(shared + thrift[j]),
                )
            )
            relief[j] -= shared
        if start != (job.slot if tables.running[j] == 0 else start):
            made.append(
                Start(
                    job=job.job,
                    before=job.start_s,
                    after=None if start == slots else start * slot_s,
                    reason=_start_reason(work, j, level, (at, start), slots, slot_s, relief[j] > 0),
                    gain=_fall(work, j, (at, level), (start, level)) + float(relief[j]),
                )
            )
    return tuple(made)


def _cap(tables: Tables, job: int, level: int) -> float | None:
    """Return the cap in watts; the last level of a job on unlike nodes can only be said as no cap."""
    if tables.mixed[job] and level == tables.levels[job] - 1:
        return None
    return float(tables.cap_w[job, level])


def _fall(work: Work, job: int, before: tuple[int, int], after: tuple[int, int]) -> float:
    """Return by how much a job's own cost falls from one start and level to another."""
    (at, now), (start, level) = before, after
    fall = work.own[job, now] - work.own[job, level] + work.delay[job] * (at - start)
    return float(fall + (extra(job, now, at, work) - extra(job, level, start, work)))


def _relief(
    tables: Tables, work: Work, before: tuple[Ints, Ints], after: tuple[Ints, Ints], slots: int, weight: float
) -> Floats:
    """Return the cost of overload that each job's change saves, by how far it lowers the slots above a cap."""
    count = before[0].size
    drawn = [draws(work, slots, *schedule) for schedule in (before, after)]
    above = [np.maximum(0, draw - tables.limit[-1]) for draw in drawn]
    everybody = np.arange(count)
    relief = _shared(work, before, after, (everybody, work.draw), (above[0], above[1]), weight)
    if not tables.sites.limited:
        return relief
    drawn = [site_draws(work, slots, *schedule) for schedule in (before, after)]
    above = [np.maximum(0, draw - work.site_room[:, None]) for draw in drawn]
    owner = np.repeat(everybody, np.diff(work.site_first))
    for site in np.flatnonzero((above[0] != above[1]).any(axis=1)):
        here = work.site == site
        entries = (owner[here], work.site_draw[here])
        relief += _shared(work, before, after, entries, (above[0][site], above[1][site]), weight)
    return relief


def _thrift(work: Work, before: Ints, after: Ints) -> Floats:
    """Return what each job's level saves of the cost of being above the energy budget, by the energy that it saves."""
    saved = over_budget_mj(work, before) - over_budget_mj(work, after)
    jobs = np.arange(before.size)
    share = np.maximum(0, work.spend[jobs, before] - work.spend[jobs, after]).astype(np.float64)
    return share * (work.over_budget[0] * saved / share.sum()) if saved else np.zeros(before.size)


def _shared(
    work: Work,
    before: tuple[Ints, Ints],
    after: tuple[Ints, Ints],
    entries: tuple[Ints, Ints],
    above: tuple[Ints, Ints],
    weight: float,
) -> Floats:
    """Return what each job saves of the overload of one cap, ``(jobs,)``.

    Args:
        work: the jobs.
        before: start and level.
        after: start and level.
        entries: jobs that count with this cap, and what each draws at each level.
        above: mW above the cap in each slot, before and after.
        weight: cost of one mW above the cap during one slot.
    """
    count, slots = before[0].size, above[0].size
    jobs, table = entries
    saved = weight * float(above[0].sum() - above[1].sum())
    over = np.concatenate(([0], np.cumsum(above[0] > above[1])))  # relieved slots before each
    share = np.zeros(count)
    for (start, level), sign in ((before, 1), (after, -1)):
        first, at = np.minimum(slots, start[jobs]), level[jobs]
        end = np.minimum(slots, start[jobs] + work.duration[jobs, at])
        share[jobs] += sign * table[np.arange(jobs.size), at] * (over[end] - over[first])
    changed = (before[0] != after[0]) | (before[1] != after[1])
    share = np.where(changed, np.maximum(0.0, share), 0.0)
    total = float(share.sum())
    return share * (saved / total) if total > 0 else share


def _recap_reason(
    tables: Tables, work: Work, job: int, levels: tuple[int, int], start: int, relieves: bool, saves: bool
) -> str:
    now, level = levels
    watts = (tables.draw_mw[job, now] - tables.draw_mw[job, level]) / 1e6
    speed = f"{100 * tables.speed[job, level]:.0f} % of full speed"
    if watts > 0:
        pays = _fall(work, job, (start, now), (start, level)) > 0
        pays_by_energy = "the energy saved outweighs the time lost" if pays else "leaves that power to others"
        shared = tables.sites.excess_mw[job, level] < tables.sites.excess_mw[job, now]
        if shared:
            pays_by_energy = "every node that it may get can hold that many watts"
        why = "takes load off a cluster above its power cap" if relieves else pays_by_energy
        if saves and not relieves:
            why = "takes energy off jobs above their energy budget"
        if relieves and work.site_first[job + 1] > work.site_first[job]:
            why = "takes load off a node, rack or cluster above its power cap"
        return f"draws {watts:.2f} kW less at {speed}: {why}"
    if watts < 0:
        return f"there is room for {-watts:.2f} kW more: runs at {speed}"
    return f"draws the same at {speed}"


def _start_reason(
    work: Work, job: int, level: int, starts: tuple[int, int], slots: int, slot_s: float, relieves: bool
) -> str:
    at, start = starts
    if start == slots:
        return "put off to bring the cluster under its power cap" if relieves else "no room for it within the horizon"
    if at == start:
        return "its planned start was not possible: GPUs were missing or a dependency had not ended"
    if at == slots:
        return f"GPUs and power are there from {start * slot_s / 60:.0f} min on"
    minutes = abs(at - start) * slot_s / 60
    if start < at:
        in_time = start + work.slow[job, level] <= work.due[job] < at + work.slow[job, level]
        return f"GPUs and power are there {minutes:.0f} min earlier{', in time for its deadline' if in_time else ''}"
    pays = _fall(work, job, (at, level), (start, level)) > 0
    why = "energy is cheaper then" if pays else "makes room for jobs to which it matters more"
    return f"{minutes:.0f} min later: {'brings the cluster under its power cap' if relieves else why}"
