"""Who stands where? GPUs of each node by job, gangs by size and change, and the colour that each gets."""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from data.schemas.cluster import Node, Snapshot
from data.schemas.job import Job

COLOURS = 10
"""Gangs that get a colour and a letter of their own; more cannot be told apart."""

LETTERS = "ABCDEFGHIJ"


@dataclass(frozen=True, slots=True)
class Spread:
    """How far a gang is spread.

    Args:
        gpus: that its placed jobs hold.
        domains: NVLink domains.
        racks: racks.
    """

    gpus: int
    domains: int
    racks: int


@dataclass(frozen=True, slots=True)
class ChangedGang:
    """A gang that the plan moves or places; ``gpus_changed`` counts GPUs that it did not hold before."""

    gang: str
    jobs: int
    gpus_changed: int
    before: Spread
    after: Spread


@dataclass(frozen=True, slots=True, eq=False)
class Holdings:
    """Which job holds which GPU, in one state.

    Args:
        job_of: node id and GPU index to the job.
        gang_of: job id to gang.
    """

    job_of: Mapping[str, Mapping[int, str]]
    gang_of: Mapping[str, str]

    def gang(self, node: str, gpu: int) -> str | None:
        """Return the gang that holds the GPU, or None."""
        job = self.job_of.get(node, {}).get(gpu)
        return None if job is None else self.gang_of[job]


def holdings(snapshot: Snapshot) -> Holdings:
    """Return who holds which GPU; where two jobs claim one, the later of them."""
    job_of: dict[str, dict[int, str]] = defaultdict(dict)
    for job in snapshot.jobs:
        for worker in job.placement:
            for gpu in worker.gpus:
                job_of[worker.node][gpu] = job.id
    return Holdings(job_of, {job.id: job.gang_id for job in snapshot.jobs})


def changed_gangs(before: Snapshot, after: Snapshot) -> tuple[ChangedGang, ...]:
    """Return the gangs whose jobs hold other GPUs afterwards, first those whose spread changes, then by GPUs."""
    nodes = {node.id: node for node in before.nodes}
    old = {job.id: job for job in before.jobs}
    members: dict[str, list[tuple[Job, Job]]] = defaultdict(list)
    touched: dict[str, int] = Counter()
    for job in after.jobs:
        was = old[job.id]
        members[job.gang_id].append((was, job))
        if was.placement != job.placement:
            held = {(worker.node, gpu) for worker in was.placement for gpu in worker.gpus}
            now = {(worker.node, gpu) for worker in job.placement for gpu in worker.gpus}
            touched[job.gang_id] += len(now - held) or len(held - now)
    rows = [
        ChangedGang(
            gang,
            len(members[gang]),
            gpus,
            _spread([was for was, _ in members[gang]], nodes),
            _spread([now for _, now in members[gang]], nodes),
        )
        for gang, gpus in touched.items()
    ]
    return tuple(sorted(rows, key=lambda row: (row.before == row.after, -row.gpus_changed, natural(row.gang))))


def coloured_gangs(before: Snapshot, after: Snapshot) -> tuple[tuple[str, int], ...]:
    """Return the gangs that get a colour, with their GPUs: those that change most, then the biggest."""
    size: dict[str, int] = {}
    for state in (before, after):
        held: Counter[str] = Counter()
        for job in state.jobs:
            if job.placement:
                held[job.gang_id] += sum(len(worker.gpus) for worker in job.placement)
        for gang, gpus in held.items():
            size[gang] = max(size.get(gang, 0), gpus)
    changed = {row.gang: row.gpus_changed for row in changed_gangs(before, after)}
    # half of the colours show what moves, the rest what is big
    moving = sorted(changed, key=lambda gang: (-changed[gang], natural(gang)))
    biggest = sorted(size, key=lambda gang: (-size[gang], natural(gang)))
    chosen = dict.fromkeys([*moving[: COLOURS // 2], *biggest])
    return tuple((gang, size.get(gang, 0)) for gang in list(chosen)[:COLOURS])


def natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """Return a sorting key by which ``rack-9`` comes before ``rack-10``."""
    parts = re.findall(r"\d+|\D+", text)
    return tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts)


def usable_gpus(node: Node) -> frozenset[int]:
    """Return the GPUs of a node that may be used."""
    return frozenset() if node.state == "down" else frozenset(range(node.gpus)) - frozenset(node.unavailable_gpus)


def _spread(jobs: list[Job], nodes: Mapping[str, Node]) -> Spread:
    held = [worker for job in jobs for worker in job.placement]
    names = {worker.node for worker in held}
    return Spread(
        sum(len(worker.gpus) for worker in held),
        len({nodes[name].nvlink_domain for name in names}),
        len({nodes[name].rack for name in names}),
    )
