"""When does each job run, and what does the cluster draw? The published model of power and time.

Time is cut into ``limits.horizon_slots`` slots of ``limits.slot_s`` seconds; a job occupies whole slots.

- *Hosts* of a job: the nodes that it holds; without any, all nodes of its GPU model, or all nodes where it names none.
  Their *top* is the largest ``gpu_power_max_w``, their *idle* the smallest ``gpu_idle_w``.
- *Cap*: ``gpu_power_cap_w``, or else the top. *Full draw* of a GPU: ``gpu_power_w``, or else the top. *Draw*: the
  smaller of cap and full draw. *High draw*: the smaller of the cap and the larger of full draw and
  ``gpu_power_high_w``; what limits count with.
- *Speed* under the cap: on straight lines through the job's ``power_levels``, with speed 1 at the top if they end below
  it. Without levels it is 1 while the cap is not below the full draw, else on straight lines through the GPU model's
  median curve of :mod:`tasks.validation.speed`, whose caps are shares of the top. Below the first point it falls in
  proportion to the cap; above the last it is that of the last. *Slow speed*: the same on the model's slow curve.
- *Run time*: ``remaining_s / speed``; *duration*: that in slots, rounded up, at least 1. *Slow run time*:
  ``remaining_s / slow speed``; a job is late if it has not ended by its deadline with that.
- *Draw above idle*: ``GPUs * (draw - idle)``, at least 0, in whole milliwatts, rounded up; the high draw likewise.
- *Background*: base power and idle draw of all GPUs of every node that is not down.
- *Headroom*: power cap less background, in whole milliwatts, rounded down.
- *Room*: usable GPUs of the open nodes, of each model and in sum, or what running jobs hold of it if that is more. A
  job takes room on the model that it holds or names; one without either only from the sum. A running job takes room
  for its GPUs on open nodes only.
- *Planned start*: running jobs 0; a pending job with ``planned_start_s`` the first slot that begins then or later, one
  without the horizon's end, which means that it does not run within the horizon.
- *Start in force*: pending jobs by rising planned start (of equal ones the first in the snapshot), each after all that
  it depends on: the first slot not before its planned start, not before slot 1 unless it holds GPUs, not before all
  that it depends on have ended, from which on there is room for it until it ends or the horizon does; without such a
  slot the horizon's end. Where the plan in force can be kept, this is the planned start.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from heapq import heapify, heappop, heappush

import numpy as np
import numpy.typing as npt

from data.schemas.cluster import Limits, Node, Snapshot
from data.schemas.plan import AssumedPower
from tasks.validation.job_run import ROUNDING, Run, hosts_of, run_of
from tasks.validation.sites import Site, shares, sites

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Timetable:
    """The jobs of a snapshot in slots.

    Args:
        runs: one per job, in the snapshot's order.
        slots: of the horizon.
        slot_s: length of one.
        background_w: draw without jobs.
        headroom_mw: what jobs may draw; None without a power cap.
        room: GPUs for each model, and under None for all of them.
        sites: nodes and racks with a cap of their own.
        limits: of the snapshot.
    """

    runs: tuple[Run, ...]
    slots: int
    slot_s: float
    background_w: float
    headroom_mw: int | None
    room: Mapping[str | None, int]
    sites: tuple[Site, ...]
    limits: Limits

    def drawn_mw(self) -> Ints:
        """Return what jobs draw above idle in each slot, ``(slots,)``, with the starts in force."""
        return self._summed((run.start, run.duration, run.draw_mw) for run in self.runs)

    def high_mw(self) -> Ints:
        """Return the sum of what jobs draw at the limits' quantile above idle, ``(slots,)``."""
        return self._summed((run.start, run.duration, run.high_mw) for run in self.runs)

    def taken(self, model: str | None) -> Ints:
        """Return the GPUs of ``model`` (None: of all) that are taken in each slot, ``(slots,)``, as planned."""
        return self._summed(
            (run.planned, run.duration, run.room) for run in self.runs if model is None or run.model == model
        )

    def above_cap_mw(self) -> Ints:
        """Return how far each slot is above the power cap, ``(slots,)``."""
        if self.headroom_mw is None:
            return np.zeros(self.slots, np.int64)
        return np.maximum(0, self.high_mw() - self.headroom_mw)

    def above_sites_mw(self) -> tuple[int, ...]:
        """Return how far each site is above its cap, summed over slots."""
        over = []
        for index, site in enumerate(self.sites):
            drawn = self._summed((run.start, run.duration, run.site_mw[index]) for run in self.runs)
            over.append(int(np.maximum(0, drawn - site.room_mw).sum()))
        return tuple(over)

    def excess_mw(self) -> int:
        """Return what jobs without GPUs draw above their share, summed over the slots of their whole runs."""
        return sum(run.excess_mw * run.duration for run in self.runs)

    def jobs_energy_kwh(self) -> float:
        """Return what jobs draw above idle until they have ended, within the horizon or after it."""
        return math.fsum(run.draw_mw * run.seconds for run in self.runs) / 3.6e9

    def missed(self) -> tuple[str, ...]:
        """Return the jobs that are late."""
        return tuple(
            run.job.id
            for run in self.runs
            if run.job.deadline_s is not None
            and run.start + run.slow_s / self.slot_s > run.job.deadline_s / self.slot_s + ROUNDING
        )

    def _summed(self, runs: Iterable[tuple[int, int, int]]) -> Ints:
        steps = np.zeros(self.slots + 1, np.int64)
        for start, duration, amount in runs:
            steps[start] += amount
            steps[min(self.slots, start + duration)] -= amount
        return np.cumsum(steps[:-1])


def with_assumed_power(snapshot: Snapshot, assumed: Sequence[AssumedPower]) -> Snapshot:
    """Return the snapshot with the draws that a plan assumed, where it knows none."""
    draws = {entry.job: entry for entry in assumed}
    jobs = []
    for job in snapshot.jobs:
        entry = draws.get(job.id)
        if job.gpu_power_w is None and entry is not None:
            high_w = entry.gpu_power_high_w if job.gpu_power_high_w is None else job.gpu_power_high_w
            jobs.append(replace(job, gpu_power_w=entry.gpu_power_w, gpu_power_high_w=high_w))
        else:
            jobs.append(job)
    return replace(snapshot, jobs=tuple(jobs))


def timetable(snapshot: Snapshot) -> Timetable:
    """Return the timetable of a snapshot that does not contradict itself."""
    limits = snapshot.limits
    nodes = {node.id: node for node in snapshot.nodes}
    of_model: dict[str | None, list[Node]] = {None: list(snapshot.nodes)}
    for node in snapshot.nodes:
        of_model.setdefault(node.gpu_model, []).append(node)
    hosts = {model: hosts_of(members) for model, members in of_model.items() if members}
    capped = sites(snapshot)
    share = shares(snapshot, capped)
    runs = tuple(run_of(job, snapshot, nodes, hosts, capped, share) for job in snapshot.jobs)
    room = _room(snapshot, runs)
    background_w = math.fsum(
        node.base_power_w + node.gpus * node.gpu_idle_w for node in snapshot.nodes if node.state != "down"
    )
    cap_w = limits.power_cap_w
    return Timetable(
        runs=_in_force(runs, limits.horizon_slots, room),
        slots=limits.horizon_slots,
        slot_s=limits.slot_s,
        background_w=background_w,
        headroom_mw=None if cap_w is None else math.floor(1e3 * (cap_w - background_w)),
        room=room,
        sites=capped,
        limits=limits,
    )


def dependencies(runs: Sequence[Run]) -> list[tuple[int, int]]:
    """Return the pairs of a pending job and a job that must end before it starts, as positions in ``runs``."""
    position = {run.job.id: index for index, run in enumerate(runs)}
    return [
        (index, position[other])
        for index, run in enumerate(runs)
        if run.job.state == "pending"
        for other in dict.fromkeys(run.job.depends_on)
        if other in position
    ]


def _room(snapshot: Snapshot, runs: Sequence[Run]) -> dict[str | None, int]:
    usable: Counter[str | None] = Counter()
    held: Counter[str | None] = Counter()
    for node in snapshot.nodes:
        if node.state == "up":
            size = node.gpus - len(set(node.unavailable_gpus))
            usable[node.gpu_model] += size
            usable[None] += size
    for run in runs:
        if run.job.state == "running":
            held[run.model] += run.room
            held[None] += run.room
    models = (None, *(node.gpu_model for node in snapshot.nodes))
    return {model: max(usable[model], held[model]) for model in models}


def _in_force(runs: Sequence[Run], slots: int, room: Mapping[str | None, int]) -> tuple[Run, ...]:
    """Return the runs with the starts in force."""
    free = {model: np.full(slots, size, np.int64) for model, size in room.items()}
    result = list(runs)
    after: dict[int, list[int]] = {}
    before: dict[int, list[int]] = {}
    left: Counter[int] = Counter()
    for index, other in dependencies(runs):
        before.setdefault(index, []).append(other)
        if runs[other].job.state == "pending":
            after.setdefault(other, []).append(index)
            left[index] += 1
    for run in runs:
        if run.job.state == "running":
            _take(run, free)
    ready = [(run.planned, index) for index, run in enumerate(runs) if run.job.state == "pending" and not left[index]]
    heapify(ready)
    while ready:
        planned, index = heappop(ready)
        run = runs[index]
        earliest = 0 if run.job.placement else 1
        ends = (result[other].start + result[other].duration for other in before.get(index, ()))
        start = _first_room(run, max(planned, earliest, *ends), free, slots)
        result[index] = replace(run, start=start)
        _take(result[index], free)
        for other in after.get(index, ()):
            left[other] -= 1
            if not left[other]:
                heappush(ready, (runs[other].planned, other))
    return tuple(result)


def _take(run: Run, free: Mapping[str | None, Ints]) -> None:
    for model in {run.model, None}:
        free[model][run.start : run.start + run.duration] -= run.room


def _first_room(run: Run, earliest: int, free: Mapping[str | None, Ints], slots: int) -> int:
    """Return the first slot from ``earliest`` on from which there is room for ``run``, or ``slots``."""
    if earliest >= slots:
        return slots
    tight = np.zeros(slots, np.bool_)
    for model in {run.model, None}:
        tight |= free[model] < run.room
    start = earliest
    for blocked in np.flatnonzero(tight[earliest:]) + earliest:
        if blocked >= start + run.duration:
            break
        start = int(blocked) + 1
    return start
