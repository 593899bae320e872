"""Which placement is meant by moves that were planned earlier, and how is a new one kept near to it?

Each job of the earlier plan goes where it was to go, if it still stands where it stood then, still has as many workers
of that size, and the nodes are still there and open. Where such moves no longer fit together, the one that gained
least is dropped, again and again; those that were dropped are then tried once more, the best first.

A new placement is drawn to the earlier one (as in path relinking, Glover 1997, doi 10.1007/978-1-4615-4102-8_1): each
job that they place differently goes where the earlier one had it, and so do those that must make room for that.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data.schemas.job import Job, Worker
from data.schemas.plan import Action, Migrate, Place
from tasks.problems.placement_kernel import (
    Crew,
    Ints,
    Room,
    free_gpus,
    keeps_limits,
    moved_gpus,
    spare_nodes,
    total_cost,
)

SWEEPS, LARGEST = 3, 256
"""Times that all jobs are tried, and jobs that are tried at most: each prices the whole placement."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Where a job of the earlier plan was to go: its number, the node of each worker, and what that gained."""

    job: int
    nodes: tuple[int, ...]
    gain: float


def carried_nodes(
    actions: Sequence[Action], jobs: Sequence[Job], node_ids: Sequence[str], room: Room, crew: Crew
) -> Ints:
    """Return the node of each worker, ``(workers,)``, feasible: what of ``actions`` still fits, the rest as in force.

    Args:
        actions: of the earlier plan; those of other nouns are passed over.
        jobs: of the present cluster, in the order of ``crew``.
        node_ids: in the order of ``room``.
        room: the nodes.
        crew: the workers.
    """
    left = _wanted(actions, jobs, node_ids, room, crew)
    node_of = crew.home.copy()
    for want in left:
        _put(node_of, want, crew)
    dropped: list[Wanted] = []
    while left and not keeps_limits(node_of, room, crew):
        worst = min(_in_the_way(node_of, left, room, crew), key=lambda want: (want.gain, want.job))
        left.remove(worst)
        dropped.append(worst)
        _send_back(node_of, worst, crew)
    for want in sorted(dropped, key=lambda want: (-want.gain, want.job)):
        _put(node_of, want, crew)
        if not keeps_limits(node_of, room, crew):
            _send_back(node_of, want, crew)
    return node_of


def _wanted(
    actions: Sequence[Action], jobs: Sequence[Job], node_ids: Sequence[str], room: Room, crew: Crew
) -> list[Wanted]:
    """Return the moves that make sense by themselves; a job that moved in several steps goes to the end of the last."""
    begins: dict[str, tuple[Worker, ...]] = {}
    ends: dict[str, tuple[Worker, ...]] = {}
    gains: dict[str, float] = {}
    for action in actions:
        if isinstance(action, Migrate | Place):
            begins.setdefault(action.job, action.before)
            ends[action.job] = action.after
            gains[action.job] = gains.get(action.job, 0.0) + action.gain
    index = {name: number for number, name in enumerate(node_ids)}
    found = []
    for number, job in enumerate(jobs):
        if job.id not in ends or not _unmoved(job, begins[job.id]):
            continue
        workers = ends[job.id]
        nodes = tuple(index.get(worker.node, -1) for worker in workers)
        if len(nodes) == job.workers and all(len(worker.gpus) == job.gpus_per_worker for worker in workers):
            nodes = _matched(np.array(nodes), number, crew)
            if _allowed(nodes, number, room, crew):
                found.append(Wanted(number, nodes, gains[job.id]))
    return found


def _unmoved(job: Job, before: tuple[Worker, ...]) -> bool:
    """Tell whether a job stands where the plan left it, or waits: then any room that was meant for it will do."""
    return not job.placement or sorted(each.node for each in job.placement) == sorted(each.node for each in before)


def _matched(nodes: Ints, job: int, crew: Crew) -> tuple[int, ...]:
    """Return ``nodes`` in an order that leaves as many equal workers as possible at home."""
    home = crew.home[crew.job_first[job] : crew.job_first[job + 1]].tolist()
    left = sorted(nodes.tolist())
    stays = []
    for node in home:
        stays.append(node in left)
        if stays[-1]:
            left.remove(node)
    rest = iter(left)
    return tuple(node if stay else next(rest) for node, stay in zip(home, stays, strict=True))


def _allowed(nodes: tuple[int, ...], job: int, room: Room, crew: Crew) -> bool:
    """Tell whether the workers of a job may stand on ``nodes``, others aside."""
    workers = np.arange(crew.job_first[job], crew.job_first[job + 1])
    node, home, model = np.array(nodes), crew.home[workers], crew.model[workers]
    away = node != home
    if not away.any() or node.min() < 0 or crew.movable[workers[0]] == 0:
        return False
    if home[0] < 0 and (crew.job_ready[job] == 0 or np.unique(room.model[node]).size > 1):
        return False
    fits = (room.open[node] == 1) & ((model < 0) | (room.model[node] == model))
    return bool(np.all(fits | ~away))


def _put(node_of: Ints, want: Wanted, crew: Crew) -> None:
    node_of[crew.job_first[want.job] : crew.job_first[want.job + 1]] = want.nodes


def _send_back(node_of: Ints, want: Wanted, crew: Crew) -> None:
    span = slice(crew.job_first[want.job], crew.job_first[want.job + 1])
    node_of[span] = crew.home[span]


def _in_the_way(node_of: Ints, moved: list[Wanted], room: Room, crew: Crew) -> list[Wanted]:
    """Return the moves of which one must be dropped for the sake of the first limit that is not kept."""
    full = free_gpus(node_of, room, crew) < 0
    if not full.any() and moved_gpus(node_of, crew) > crew.budget:
        return [want for want in moved if crew.home[crew.job_first[want.job]] >= 0] or moved
    if not full.any():
        full = (spare_nodes(node_of, room) < room.domain_spare)[room.domain]
    newcomers = [want for want in moved if any(full[list(_new_nodes(want, crew))])]
    return newcomers or moved


def _new_nodes(want: Wanted, crew: Crew) -> set[int]:
    home = crew.home[crew.job_first[want.job] : crew.job_first[want.job + 1]].tolist()
    return {node for node, was in zip(want.nodes, home, strict=True) if node != was}


def drawn_near(new: Ints, earlier: Ints, allowance: float, room: Room, crew: Crew) -> Ints:
    """Return a placement between ``new`` and ``earlier`` that costs no more than ``allowance`` above ``new``.

    The cheapest way back comes first, by what it costs for each job.

    Args:
        new: the node of each worker, ``(workers,)``.
        earlier: likewise.
        allowance: in the unit of the cost.
        room: the nodes.
        crew: the workers.
    """
    at = new.copy()
    limit = float(total_cost(new, room, crew)) + allowance
    for share in np.linspace(0.0, 1.0, SWEEPS):
        for job in _differing(at, earlier, crew)[:LARGEST].tolist():
            back = _way_back(job, at, earlier, room, crew)
            if back is None:
                continue
            cost = float(total_cost(back, room, crew))
            if cost <= limit - (1.0 - share) * allowance + 1e-9:
                at = back
    return at


def _differing(one: Ints, other: Ints, crew: Crew) -> Ints:
    return np.unique(crew.job[one != other])


def _way_back(seed: int, at: Ints, earlier: Ints, room: Room, crew: Crew) -> Ints | None:
    """Return ``at`` with one job, and whoever must make room, where ``earlier`` has them; None if limits forbid it."""
    result = at.copy()
    back = [seed]
    while back:
        for job in back:
            span = slice(crew.job_first[job], crew.job_first[job + 1])
            result[span] = earlier[span]
        full = free_gpus(result, room, crew) < 0
        if not full.any():
            break
        # some of those who are only here in ``at`` must leave, or ``earlier`` itself would hold too many
        away = result != earlier
        away[away] = (result[away] >= 0) & full[result[away]]
        back = np.unique(crew.job[away]).tolist()
    return result if keeps_limits(result, room, crew) else None
