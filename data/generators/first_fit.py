"""What does a greedy first-fit scheduler leave behind at one moment?

Jobs arrive, start on the first nodes (in the order given) with enough free GPUs, hold them, and finish. No job is ever
moved, and NVLink domains are not looked at: this is how today's schedulers come to leave fragments. Whoever does
not fit waits; others may overtake, until the wait has lasted longer than ``patience_s``.
"""

import heapq
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.schemas.cluster import Node
from data.schemas.job import Worker

ANY = -1
"""Model of a request that runs anywhere; predecessor of a request that waits for none."""


@dataclass(frozen=True, slots=True, eq=False)
class Requests:
    """Jobs that ask for GPUs, in order of arrival; all arrays ``(jobs,)``.

    Args:
        arrival_s: seconds at which they arrive, not falling.
        duration_s: how long they hold their GPUs.
        workers: workers of each, all started together.
        gpus_per_worker: GPUs of each worker, all on one node.
        model: index into ``models`` of the GPU model that each needs, or ``ANY``.
        after: index of the earlier job that must finish first, or ``ANY``.
        models: names of GPU models.
    """

    arrival_s: NDArray[np.float64]
    duration_s: NDArray[np.float64]
    workers: NDArray[np.int64]
    gpus_per_worker: NDArray[np.int64]
    model: NDArray[np.int64]
    after: NDArray[np.int64]
    models: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse arrays that do not belong together."""
        shape = self.arrival_s.shape
        for name in ("duration_s", "workers", "gpus_per_worker", "model", "after"):
            found = getattr(self, name).shape
            if found != shape:
                raise ValueError(f"{name}: expected shape {shape} like arrival_s, found {found}")
        if np.any(np.diff(self.arrival_s) < 0.0):
            raise ValueError("arrival_s: expected times that do not fall")
        if np.any(self.after >= np.arange(len(self.after))):
            raise ValueError("after: expected indexes of earlier jobs")


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """Who runs and who waits at ``moment_s``; finished jobs are left out.

    Args:
        running: indexes of running jobs, ascending.
        pending: indexes of waiting jobs, ascending.
        start_s: when each running job started.
        placement: the GPUs of each running job.
        finished: how many have come and gone.
        turned_away: how many were not taken in.
    """

    moment_s: float
    running: tuple[int, ...]
    pending: tuple[int, ...]
    start_s: dict[int, float]
    placement: dict[int, tuple[Worker, ...]]
    finished: int
    turned_away: int


def first_fit(
    nodes: Sequence[Node],
    requests: Requests,
    *,
    moment_s: float = math.inf,
    most: int | None = None,
    until: int | None = None,
    patience_s: float = 86_400.0,
) -> Held:
    """Run the scheduler until ``moment_s``, or until ``until`` jobs run or wait, or until the last arrival.

    Args:
        nodes: those that are not up get no jobs; GPUs in ``unavailable_gpus`` are never given out.
        requests: the jobs. One that could never fit waits for ever; one whose predecessor was turned away waits for
            nobody.
        moment_s: when to look, in the time of ``requests``; later arrivals are not seen.
        most: jobs are turned away while this many run or wait (a limit on submissions); None means no limit.
        until: look as soon as this many run or wait; None means not before ``moment_s``.
        patience_s: a job that has waited longer is not overtaken by later ones that need the same model.
    """
    state = _Scheduler(nodes, requests, patience_s)
    now = 0.0
    for job, arrival in enumerate(requests.arrival_s.tolist()):
        if arrival > moment_s:
            break
        now = arrival
        state.finish_until(now)
        if most is None or state.alive < most:
            state.arrive(job, arrival)
        else:
            state.done.add(job)
            state.turned_away += 1
        if until is not None and state.alive >= until:
            return state.held(now)
    if math.isfinite(moment_s):
        now = moment_s
    state.finish_until(now)
    return state.held(now)


class _Scheduler:
    """The scheduler's books. Mutable; lives within one call of :func:`first_fit`."""

    def __init__(self, nodes: Sequence[Node], requests: Requests, patience_s: float) -> None:
        names = (*requests.models, *sorted({node.gpu_model for node in nodes} - set(requests.models)))
        # nodes of one model lie side by side, so that a model is a slice
        self.nodes = sorted(nodes, key=lambda node: names.index(node.gpu_model))
        self.slots: list[list[int]] = [
            sorted(set(range(node.gpus)) - set(node.unavailable_gpus)) if node.state == "up" else []
            for node in self.nodes
        ]
        self.free = np.array([len(slots) for slots in self.slots], dtype=np.int32)
        model = [names.index(node.gpu_model) for node in self.nodes]
        self.slice = {k: slice(model.index(k), model.index(k) + model.count(k)) for k in set(model)}
        self.slice[ANY] = slice(0, len(model))
        self.model_of = model
        self.widths = sorted({int(width) for width in requests.gpus_per_worker})
        self.room = {  # workers of a width that fit into a model's free GPUs, kept up to date
            (k, width): int((self.free[part] // width).sum()) for k, part in self.slice.items() for width in self.widths
        }
        self.duration = requests.duration_s.tolist()
        self.arrival = requests.arrival_s.tolist()
        shapes = zip(requests.model.tolist(), requests.workers.tolist(), requests.gpus_per_worker.tolist(), strict=True)
        self.shape: list[tuple[int, int, int]] = list(shapes)
        self.after = requests.after.tolist()
        self.patience_s = patience_s
        self.waiting: dict[tuple[int, int, int], list[int]] = defaultdict(list)
        self.blocked: dict[int, list[int]] = defaultdict(list)
        self.closed: set[int] = set()
        self.ends: list[tuple[float, int]] = []
        self.start: dict[int, float] = {}
        self.given: dict[int, list[tuple[int, list[int]]]] = {}
        self.done: set[int] = set()
        self.alive = 0
        self.turned_away = 0

    def arrive(self, job: int, now: float) -> None:
        self.alive += 1
        if self.after[job] != ANY and self.after[job] not in self.done:
            self.blocked[self.after[job]].append(job)
            return
        model, workers, width = self.shape[job]
        # who waits already did not fit before, and nothing has become free since
        if self.room.get((model, width), 0) >= workers and not self._is_closed(model):
            self._give(job, self.shape[job], now)
        else:
            heapq.heappush(self.waiting[self.shape[job]], job)

    def finish_until(self, now: float) -> None:
        while self.ends and self.ends[0][0] <= now:
            end = self.ends[0][0]
            while self.ends and self.ends[0][0] == end:
                job = heapq.heappop(self.ends)[1]
                for node, gpus in self.given.pop(job):
                    self._change(node, len(gpus))
                    self.slots[node] = sorted(self.slots[node] + gpus)
                del self.start[job]
                self.done.add(job)
                self.alive -= 1
                for freed in self.blocked.pop(job, ()):
                    heapq.heappush(self.waiting[self.shape[freed]], freed)
            self._start_waiting(end)

    def held(self, now: float) -> Held:
        pending = [job for queue in self.waiting.values() for job in queue]
        pending += [job for jobs in self.blocked.values() for job in jobs]
        placement = {
            job: tuple(Worker(self.nodes[node].id, tuple(gpus)) for node, gpus in self.given[job])
            for job in sorted(self.given)
        }
        running = tuple(placement)
        start = {job: self.start[job] for job in running}
        finished = len(self.done) - self.turned_away
        return Held(now, running, tuple(sorted(pending)), start, placement, finished, self.turned_away)

    def _start_waiting(self, now: float) -> None:
        """Start whoever fits, earliest first; jobs of a shape that did not fit once are not tried again."""
        heads = [(queue[0], shape) for shape, queue in self.waiting.items() if queue]
        heapq.heapify(heads)
        self.closed.clear()
        while heads:
            job, shape = heapq.heappop(heads)
            model, workers, width = shape
            if self._is_closed(model):
                continue
            if self.room.get((model, width), 0) < workers:
                if now - self.arrival[job] > self.patience_s:
                    self.closed.add(model)
                continue
            queue = self.waiting[shape]
            heapq.heappop(queue)
            self._give(job, shape, now)
            if queue:
                heapq.heappush(heads, (queue[0], shape))

    def _is_closed(self, model: int) -> bool:
        """Tell whether somebody has waited too long to be overtaken by a job that needs ``model``."""
        return model in self.closed or ANY in self.closed or (model == ANY and bool(self.closed))

    def _give(self, job: int, shape: tuple[int, int, int], now: float) -> None:
        model, workers, width = shape
        part = self.slice[model]
        given: list[tuple[int, list[int]]] = []
        for offset in np.flatnonzero(self.free[part] >= width)[:workers].tolist():
            node = part.start + offset
            while len(given) < workers and len(self.slots[node]) >= width:
                given.append((node, self.slots[node][:width]))
                self.slots[node] = self.slots[node][width:]
                self._change(node, -width)
            if len(given) == workers:
                break
        self.given[job] = given
        self.start[job] = now
        heapq.heappush(self.ends, (now + self.duration[job], job))

    def _change(self, node: int, by: int) -> None:
        before = int(self.free[node])
        self.free[node] = before + by
        for width in self.widths:
            change = (before + by) // width - before // width
            if change:
                self.room[self.model_of[node], width] += change
                self.room[ANY, width] += change
