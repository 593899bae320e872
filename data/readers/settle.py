"""Which records must go so that the rest of a snapshot agrees with itself?"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from data.crosscheck import cross_check
from data.digest import SNAPSHOT
from data.errors import BadRecord, BadSource
from data.readers.reading import Reading
from data.schemas.cluster import Node, Snapshot
from data.schemas.job import Job

_NODE = TypeAdapter(Node)
_JOB = TypeAdapter(Job)

Record = TypeVar("Record", Node, Job)


def settle(
    snapshot: Snapshot,
    paths: Mapping[str, str],
    set_aside: Sequence[BadRecord],
    notes: Sequence[str],
    source: str,
    without: Collection[str] = (),
) -> Reading:
    """Return the largest part of ``snapshot`` that holds no contradiction, found by setting aside one record at a time.

    Dependencies on jobs that the source does not have are dropped: such a job is over, or will never be seen. A pending
    job that waits for one that was set aside goes with it, since nobody can tell when it may start. GPUs of a running
    job that goes are marked unavailable, since somebody still holds them.

    Args:
        snapshot: what was read, with placements that the jobs claim.
        paths: ``node:<id>`` and ``job:<id>`` to the place in the source, for messages.
        set_aside: records that were lost before.
        notes: what was assumed before.
        source: file, URL or command, for messages.
        without: ids of jobs that the source has, and that were lost before.

    Raises:
        ValueError: the name of the cluster or the time is malformed.
        BadSource: no node is left.
    """
    SNAPSHOT.validate_json(SNAPSHOT.dump_json(replace(snapshot, nodes=(), jobs=())))
    gone = list(set_aside)
    nodes = _valid(snapshot.nodes, _NODE, "node", paths, gone)
    lost: list[Job] = []
    jobs = _valid(snapshot.jobs, _JOB, "job", paths, gone, lost)
    unusable = {*without, *(job.id for job in lost)} - {job.id for job in jobs}
    dropped = 0
    while True:
        jobs, stuck = _startable(jobs, unusable)
        for job, other in stuck:
            place = f"{paths.get(f'job:{job.id}', f'job:{job.id}')}.depends_on"
            gone.append(BadRecord(place, "jobs that can be used", f"{other}, which was set aside"))
        lost += [job for job, _ in stuck]
        known = {job.id for job in jobs}
        dropped += sum(other not in known for job in jobs for other in job.depends_on)
        jobs = [_without_unknown(job, known) for job in jobs]
        blocked_nodes = _block(nodes, jobs, lost)
        current = replace(snapshot, nodes=tuple(blocked_nodes), jobs=tuple(jobs))
        wrong: dict[str, dict[int, BadRecord]] = {"nodes": {}, "jobs": {}}
        for contradiction in cross_check(current):
            if contradiction.collection in wrong:
                records: Sequence[Node | Job] = nodes if contradiction.collection == "nodes" else jobs
                key = f"{contradiction.collection[:-1]}:{records[contradiction.index].id}"
                place = f"{paths.get(key, key)}.{contradiction.field}".removesuffix(".")
                problem = BadRecord(place, contradiction.expected, contradiction.found)
                wrong[contradiction.collection].setdefault(contradiction.index, problem)
        if not any(wrong.values()):
            break
        gone += [*wrong["nodes"].values(), *wrong["jobs"].values()]
        nodes = [node for index, node in enumerate(nodes) if index not in wrong["nodes"]]
        lost += [jobs[index] for index in wrong["jobs"]]
        unusable |= {jobs[index].id for index in wrong["jobs"]}
        jobs = [job for index, job in enumerate(jobs) if index not in wrong["jobs"]]
        unusable -= {job.id for job in jobs}  # of two with the same id the first stays
    if not current.nodes:
        raise BadSource(source, [*gone, BadRecord(source, "at least one node with GPUs", "none")])
    told = list(notes)
    if dropped:
        told.append(f"{dropped} dependencies on jobs that are not in the source were taken as fulfilled")
    return Reading(current, tuple(gone), tuple(told))


def _valid(
    records: Sequence[Record],
    adapter: TypeAdapter[Record],
    kind: str,
    paths: Mapping[str, str],
    gone: list[BadRecord],
    lost: list[Record] | None = None,
) -> list[Record]:
    kept: list[Record] = []
    for record in records:
        try:
            checked = adapter.validate_json(adapter.dump_json(record))
        except PydanticSerializationError as error:
            key = f"{kind}:{record.id}"
            gone.append(BadRecord(paths.get(key, key), "text that UTF-8 can hold", str(error)))
            if lost is not None:
                lost.append(record)
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
            key = f"{kind}:{record.id}"
            place = ".".join(str(part) for part in problem["loc"])
            gone.append(BadRecord(f"{paths.get(key, key)}.{place}", problem["msg"], problem["input"]))
            if lost is not None:
                lost.append(record)
        else:
            kept.append(checked)
    return kept


def _startable(jobs: list[Job], unusable: set[str]) -> tuple[list[Job], list[tuple[Job, str]]]:
    """Return the jobs that wait for none of ``unusable``, and the others with what they wait for; these are added."""
    waiting: dict[str, list[Job]] = defaultdict(list)
    for job in jobs:
        for other in job.depends_on if job.state == "pending" else ():
            waiting[other].append(job)
    stuck: dict[str, tuple[Job, str]] = {}
    follow = sorted(unusable & waiting.keys())
    for other in follow:  # grows while it is walked
        for job in waiting.get(other, ()):
            if job.id not in stuck:
                stuck[job.id] = job, other
                follow.append(job.id)
    unusable |= stuck.keys()
    return [job for job in jobs if job.id not in stuck], list(stuck.values())


def _without_unknown(job: Job, known: set[str]) -> Job:
    if all(other in known for other in job.depends_on):
        return job
    return replace(job, depends_on=tuple(other for other in job.depends_on if other in known))


def _block(nodes: list[Node], jobs: list[Job], lost: list[Job]) -> list[Node]:
    if not lost:
        return nodes
    held = {(worker.node, gpu) for job in jobs for worker in job.placement for gpu in worker.gpus}
    blocked: dict[str, set[int]] = defaultdict(set)
    for job in lost:
        for worker in job.placement:
            blocked[worker.node].update(gpu for gpu in worker.gpus if (worker.node, gpu) not in held)
    return [
        replace(
            node,
            unavailable_gpus=tuple(sorted({*node.unavailable_gpus, *(g for g in blocked[node.id] if g < node.gpus)})),
        )
        if node.id in blocked
        else node
        for node in nodes
    ]
