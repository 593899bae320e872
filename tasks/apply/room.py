"""Is there still room where a plan puts jobs? What others took since, which no look at the plan's own jobs shows."""

from collections import Counter

from data.errors import PlanRefused
from data.schemas.cluster import Snapshot
from data.schemas.job import Worker
from data.schemas.plan import Action, Migrate, Place
from tasks.report.plain import one_line

MOST_NAMED = 10


def check_room(actions: tuple[Action, ...], now: Snapshot) -> None:
    """Make sure that every node to which ``actions`` move jobs is up and has the GPUs for all that would be there.

    GPUs are counted, not told apart: launchers choose among those of a node.

    Args:
        actions: of a plan.
        now: the cluster as it is, read again.

    Raises:
        PlanRefused: a node is gone, not up, or too full; names the nodes.
    """
    jobs = {job.id: job for job in now.jobs}
    moved = {
        action.job: action.after for action in actions if isinstance(action, Migrate | Place) and action.job in jobs
    }
    then = {job.id: moved.get(job.id, job.placement) for job in now.jobs}
    used = Counter[str]()
    for placement in then.values():
        for worker in placement:
            used[worker.node] += len(worker.gpus)
    nodes = {node.id: node for node in now.nodes}
    wrong: list[str] = []
    for name in sorted({worker.node for placement in moved.values() for worker in placement}):
        node = nodes.get(name)
        if node is None:
            wrong.append(f"{name} is not in the cluster any more")
            continue
        newcomers = [job for job, placement in moved.items() if _on(placement, name) - _on(jobs[job].placement, name)]
        usable = node.gpus - len(set(node.unavailable_gpus))
        if node.state != "up" and newcomers:
            wrong.append(f"{name} is {node.state}")
        elif used[name] > usable:
            wrong.append(f"{name} would need {used[name]} GPUs and has {usable}")
    if wrong:
        more = f"; and {len(wrong) - MOST_NAMED} more" if len(wrong) > MOST_NAMED else ""
        raise PlanRefused(
            f"stale plan: no room any more where it puts jobs: {one_line('; '.join(wrong[:MOST_NAMED]), 1_000)}{more}; "
            "make a new plan"
        )


def _on(placement: tuple[Worker, ...], node: str) -> Counter[tuple[int, ...]]:
    """Return the workers of a placement on ``node``, by their GPUs."""
    return Counter(worker.gpus for worker in placement if worker.node == node)
