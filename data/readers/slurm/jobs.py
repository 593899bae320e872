"""Which jobs hold or want GPUs of a Slurm cluster, and which GPUs?"""

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

from data.readers.gpu_models import find_gpu_model, gpu_model_name
from data.readers.holdings import Holdings
from data.readers.slurm.dependencies import parse_dependency, resolve
from data.readers.slurm.gres import parse_gpus
from data.readers.slurm.nodes import MOST_GPUS, Assumptions, SlurmNodes
from data.readers.slurm.rows import JobRow
from data.schemas.cluster import Node
from data.schemas.job import Job, Worker

MAX_ARRAY_TASKS = 1_000

_HELD = {
    "JobHeldUser", "JobHeldAdmin", "JobHoldMaxRequeue", "DependencyNeverSatisfied", "BadConstraints",
    "PartitionDown", "PartitionInactive", "InvalidAccount", "InvalidQOS",
}  # fmt: skip
_HOLDING = {"RUNNING", "SUSPENDED", "COMPLETING", "STOPPED"}
_NOT_WAITING = {"REQUEUE_HOLD", "SPECIAL_EXIT", "REVOKED"}


@dataclass(frozen=True, slots=True, eq=False)
class SlurmJobs:
    """The jobs that hold or want GPUs.

    Args:
        paths: id of each job to its place in the source.
        blocked: node and GPU indexes that are held by something which is not among ``jobs``.
    """

    jobs: tuple[Job, ...]
    paths: dict[str, str]
    blocked: dict[str, set[int]]
    notes: tuple[str, ...]


def read_jobs(rows: Sequence[JobRow], nodes: SlurmNodes, taken_s: float, assume: Assumptions) -> SlurmJobs:
    """Return running and pending jobs with GPUs.

    GPU indexes come from ``gres_detail``; where it does not tell them, the lowest free ones are taken, those that the
    node reports as used first, in the order of the job numbers. A pending array comes as one job per task, as many as
    its limit (``%``) admits now.

    Args:
        rows: what Slurm tells of the jobs.
        nodes: the nodes with GPUs.
        taken_s: time of the snapshot, Unix seconds.
        assume: what to take for granted where Slurm does not say.
    """
    reader = _Jobs(nodes, taken_s, assume)
    rows = sorted(rows, key=lambda row: row.number)
    holding = [row for row in rows if row.states & _HOLDING and row.nodes]
    told = [row for row in holding if reader.tells_indexes(row)]
    named = {id(row) for row in told}
    for row in [*told, *(row for row in holding if id(row) not in named)]:
        reader.add_running(row)
    running_tasks = Counter(row.array for row in holding if row.array)
    for row in rows:
        if "PENDING" in row.states and not row.states & (_HOLDING | _NOT_WAITING):
            reader.add_pending(row, running_tasks[row.array] if row.array else 0)
    return reader.finish()


class _Jobs:
    """Jobs read so far; one reading of ``squeue``."""

    def __init__(self, nodes: SlurmNodes, taken_s: float, assume: Assumptions) -> None:
        self.nodes: dict[str, Node] = {node.id: node for node in nodes.nodes}
        self.node_rows = {row.name: row for row in nodes.rows}
        self.gpus_known = nodes.gpus_known
        self.taken_s, self.assume = taken_s, assume
        self.holdings = Holdings({node.id: node.gpus for node in nodes.nodes})
        self.largest: dict[str | None, int] = {}
        for node in nodes.nodes:
            for model in (None, node.gpu_model):
                self.largest[model] = max(self.largest.get(model, 1), node.gpus)
        self.found: list[tuple[JobRow, Job]] = []
        self.blocked: dict[str, set[int]] = {}
        self.notes: Counter[str] = Counter()

    def tells_indexes(self, row: JobRow) -> bool:
        """Tell whether ``gres_detail`` names the GPUs on every node of the job."""
        return len(row.detail) == len(row.nodes) and all(
            entry.indexes is not None and len(entry.indexes) == entry.count
            for text in row.detail
            for entry in parse_gpus(text)
            if entry.count
        )

    def add_running(self, row: JobRow) -> None:
        if self.assume.partition is not None and not any(node in self.nodes for node in row.nodes):
            self.notes["running jobs of other partitions were left out"] += 1
            return
        held = self._held(row)
        counts = [len(gpus) for _, gpus in held if gpus]
        if not counts:
            return
        size = math.gcd(*counts)
        if len(set(counts)) > 1:
            self.notes[f"jobs with unequal GPUs per node came as workers of the common divisor, {size}"] += 1
        placement = tuple(
            Worker(node, gpus[start : start + size]) for node, gpus in held for start in range(0, len(gpus), size)
        )
        if row.states & {"SUSPENDED", "COMPLETING", "STOPPED"}:
            self.notes["suspended or completing jobs keep their GPUs and stay where they are"] += 1
        other = self.assume.partition is not None and row.partition != self.assume.partition
        still = bool(row.states & {"SUSPENDED", "COMPLETING", "STOPPED"}) or other or row.pinned
        job = Job(
            id=_job_id(row),
            workers=len(placement),
            gpus_per_worker=size,
            state="running",
            placement=placement,
            movable=row.requeue and not still,
            gpu_power_cap_w=row.cap_w,
            remaining_s=self._remaining_s(row, row.start_s),
            waiting_s=max(row.start_s - row.submit_s, 0.0) if row.start_s and row.submit_s else 0.0,
        )
        self._add(row, job)

    def _held(self, row: JobRow) -> list[tuple[str, tuple[int, ...]]]:
        """Return the GPUs that the job holds on each of its nodes; unknown nodes come with what the job tells."""
        if self.tells_indexes(row) and row.detail:
            held = [
                (node, tuple(sorted({gpu for entry in parse_gpus(text) for gpu in entry.indexes or ()})))
                for node, text in zip(row.nodes, row.detail, strict=True)
            ]
            for node, gpus in held:
                self.holdings.take(node, gpus)
            return held
        if not self.gpus_known:
            return self._whole_nodes(row)
        counts = self._counts(row)
        if not any(counts):
            if not row.exclusive or not any(self.holdings.free(node) for node in row.nodes):
                self.notes["jobs without GPUs were left out"] += 1
                return []
            self.notes["jobs that hold whole nodes without asking for GPUs hold all of their GPUs"] += 1
            counts = [len(self.holdings.free(node)) for node in row.nodes]
        self.notes["jobs whose GPU indexes Slurm does not tell were given the lowest free ones"] += 1
        return [(node, self._first(node, count)) for node, count in zip(row.nodes, counts, strict=True) if count]

    def _first(self, node: str, count: int) -> tuple[int, ...]:
        used = parse_gpus(self.node_rows[node].gres_used) if node in self.node_rows else ()
        preferred = frozenset(gpu for entry in used for gpu in entry.indexes or ())
        # too many or an unknown node: named as Slurm tells it, so that the cross-check sets the job aside
        return self.holdings.take_first(node, count, preferred) or tuple(range(min(count, MOST_GPUS + 1)))

    def _counts(self, row: JobRow) -> list[int]:
        """Return the GPUs that the job holds on each of its nodes, from the counts that Slurm gives."""
        if len(row.detail) == len(row.nodes):
            return [sum(entry.count for entry in parse_gpus(text)) for text in row.detail]
        total = sum(entry.count for entry in parse_gpus(row.total_held))
        each = sum(entry.count for entry in parse_gpus(row.per_node))
        if each and total in (0, each * len(row.nodes)):
            return [each] * len(row.nodes)
        if not total:
            total = sum(entry.count for entry in parse_gpus(row.per_job))
            total = total or row.tasks * sum(entry.count for entry in parse_gpus(row.per_task))
        share, rest = divmod(total, len(row.nodes))
        if rest:
            self.notes["jobs with unknown GPUs per node were spread evenly"] += 1
        return [share + (index < rest) for index in range(len(row.nodes))]

    def _whole_nodes(self, row: JobRow) -> list[tuple[str, tuple[int, ...]]]:
        cpus = sum(self.node_rows[node].cpus for node in row.nodes if node in self.node_rows)
        if row.exclusive or (cpus and row.cpus >= cpus):
            self.notes["GPUs are not counted by Slurm: jobs on whole nodes hold all of their GPUs"] += 1
            held = [(node, tuple(self.holdings.free(node))) for node in row.nodes if node in self.nodes]
            for node, gpus in held:
                self.holdings.take(node, gpus)
            return held
        for node in row.nodes:
            if node in self.nodes:
                self.blocked.setdefault(node, set()).update(self.holdings.free(node))
        self.notes[
            "jobs that share nodes whose GPUs Slurm does not count were left out, and these GPUs are not used"
        ] += 1
        return []

    def add_pending(self, row: JobRow, running_tasks: int) -> None:
        """Add a job that waits, or the tasks of an array that may start beside ``running_tasks`` others."""
        if self.assume.partition is not None and self.assume.partition not in row.partition.split(","):
            self.notes["pending jobs of other partitions were left out"] += 1
            return
        dependency = parse_dependency(row.dependency)
        if row.reason in _HELD or row.priority <= 0 or dependency.failed:
            self.notes["pending jobs that are held or can never start were left out"] += 1
            return
        if row.own_start_s > self.taken_s:
            self.notes["pending jobs that wait for an hour which their user chose were left out"] += 1
            return
        if row.pinned:
            self.notes["pending jobs that choose or exclude nodes, or have a reservation, were left to Slurm"] += 1
            return
        workers, size = self._asked(row)
        if not size:
            self.notes["jobs without GPUs were left out"] += 1
            return
        planned = row.start_s - self.taken_s
        job = Job(
            id=_job_id(row),
            workers=workers,
            gpus_per_worker=size,
            state="pending",
            movable=row.requeue,
            gpu_power_cap_w=row.cap_w,
            remaining_s=self._remaining_s(row, 0.0),
            waiting_s=max(self.taken_s - row.submit_s, 0.0) if row.submit_s else 0.0,
            planned_start_s=planned if row.start_s and planned >= 0 else None,
        )
        if not row.array or row.array_task is not None:
            self._add(row, job)
            return
        tasks = _array_tasks(row.array_tasks)
        room = max(row.array_limit - running_tasks, 0) if row.array_limit else MAX_ARRAY_TASKS
        if len(tasks) > room:
            self.notes[f"array {row.array}: {len(tasks) - room} tasks beyond what may run at once were left out"] += 1
        for task in tasks[:room]:
            self._add(replace(row, array_task=task), replace(job, id=f"{row.array}_{task}"))

    def _asked(self, row: JobRow) -> tuple[int, int]:
        """Return workers and GPUs of each that a pending job asks for; no GPUs for none."""
        largest = self.largest.get(_model(row), 1)
        each = sum(entry.count for entry in parse_gpus(row.per_node))
        task = sum(entry.count for entry in parse_gpus(row.per_task))
        socket = sum(entry.count for entry in parse_gpus(row.per_socket))
        total = sum(entry.count for entry in parse_gpus(row.per_job) or parse_gpus(row.total_asked))
        if each:
            return row.node_count, each
        if task:
            return row.tasks, task
        if socket:
            return row.node_count, socket * row.sockets
        if total:
            spread = max(row.node_count, math.ceil(total / largest))
            return (spread, total // spread) if total % spread == 0 else (total, 1)
        if row.exclusive or (not self.gpus_known and row.node_count > 1):
            self.notes["pending jobs that ask for whole nodes without naming GPUs were taken to want all of them"] += 1
            return row.node_count, largest
        return 0, 0

    def _remaining_s(self, row: JobRow, start_s: float) -> float:
        if math.isinf(row.limit_s):
            self.notes[f"jobs without a time limit were taken to need {self.assume.unlimited_s:.0f} s more"] += 1
            return self.assume.unlimited_s
        return max(row.limit_s - (self.taken_s - start_s if start_s else 0.0), 0.0)

    def _add(self, row: JobRow, job: Job) -> None:
        gang = f"het-{row.gang}" if row.gang else ""
        workload = re.sub(r"[^\w.\-:/@+=\[\] ]", "_", row.name)[:128]
        self.found.append((row, replace(job, gpu_model=_model(row), gang=gang, workload=workload)))

    def finish(self) -> SlurmJobs:
        """Return the jobs with dependencies and relative priorities."""
        ids: dict[str, list[str]] = {}
        alike: dict[tuple[str, str], list[tuple[int, str]]] = {}
        pending = frozenset(job.id for _, job in self.found if job.state == "pending")
        for row, job in self.found:
            ids.setdefault(str(row.number), []).append(job.id)
            alike.setdefault((row.name, row.user), []).append((row.number, job.id))
            if row.array:
                for name in {str(row.array), f"{row.array}_*"} - {str(row.number)}:
                    ids.setdefault(name, []).append(job.id)
                if row.array_task is not None:
                    ids.setdefault(f"{row.array}_{row.array_task}", []).append(job.id)
        middle = median([row.priority for row, _ in self.found if row.priority > 0] or [1.0])
        jobs: list[Job] = []
        for row, job in self.found:
            dependency = parse_dependency(row.dependency) if job.state == "pending" else parse_dependency("")
            if dependency.either:
                self.notes["dependencies of which any one would do (?) were all taken as needed"] += 1
            namesakes = alike[row.name, row.user] if dependency.singleton else ()
            earlier = [other for before, other in namesakes if before < row.number]
            needed = tuple(other for other in resolve(dependency, ids, pending, earlier) if other != job.id)
            priority = round(min(max(row.priority / middle, 0.01), 100.0), 4) if row.priority > 0 else 1.0
            jobs.append(replace(job, depends_on=needed, priority=priority))
        if jobs:
            self.notes["priorities are relative to the median, from 0.01 to 100"] += 1
        paths = {job.id: row.path for row, job in self.found}
        notes = tuple(f"{note} ({count} jobs)" if count > 1 else note for note, count in self.notes.items())
        return SlurmJobs(tuple(jobs), paths, self.blocked, notes)


def _job_id(row: JobRow) -> str:
    return str(row.number) if row.array_task is None else f"{row.array}_{row.array_task}"


def _model(row: JobRow) -> str | None:
    """Return the GPU model that the job asks for, in its GRES or its constraint."""
    asked = row.per_node, row.per_task, row.per_socket, row.per_job, row.total_asked
    types = {gpu_model_name(entry.type) for text in asked for entry in parse_gpus(text) if entry.type}
    if "|" not in row.constraint:
        named = re.split(r"[&,\[\]()*]", row.constraint)
        types |= {model.name for text in named if (model := find_gpu_model(text))}
    return min(types) if len(types) == 1 else None


def _array_tasks(text: str) -> list[int]:
    """Return the task numbers of e.g. ``0-8:2,11%4``; Slurm cuts long lists, and what is cut off is left out."""
    tasks: list[int] = []
    for part in text.partition("%")[0].strip("[]").split(","):
        match = re.match(r"^(\d{1,9})(?:-(\d{1,9})(?::(\d{1,9}))?)?$", part.strip())
        if match:
            last = min(int(match[2] or match[1]), int(match[1]) + MAX_ARRAY_TASKS * int(match[3] or 1))
            tasks += range(int(match[1]), last + 1, max(int(match[3] or 1), 1))
    return tasks
