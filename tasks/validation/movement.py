"""May the GPUs be handed over like this, and can they be, in this order?"""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise

from data.schemas.cluster import Snapshot
from data.schemas.job import Job, Worker
from data.schemas.plan import Action, Migrate, Place, Plan
from tasks.validation.routing_measures import moved_replicas
from tasks.validation.verdict import Check, judged

Gpu = tuple[str, int]
"""A GPU: its node and its index there."""


def check_migration_budget(before: Snapshot, after: Snapshot) -> Check:
    """Check that no more GPUs of running jobs and no more expert replicas move than the limits allow.

    A worker counts as moved unless one of the same job held exactly its GPUs before.
    """
    limits = before.limits
    gpus = sum(
        now.gpus_per_worker * (Counter(_sorted(now)) - Counter(_sorted(was))).total()
        for was, now in _changed_jobs(before, after)
        if was.state == "running"
    )
    replicas = sum(moved_replicas(was, now) for was, now in zip(before.deployments, after.deployments, strict=True))
    wrong = []
    if gpus > limits.migration_budget_gpus:
        wrong.append(f"expected at most {limits.migration_budget_gpus} GPUs of running jobs to move, found {gpus}")
    if replicas > limits.migration_budget_replicas:
        wrong.append(f"expected at most {limits.migration_budget_replicas} replicas to move, found {replicas}")
    seen = (
        f"{gpus} of {limits.migration_budget_gpus} GPUs and "
        f"{replicas} of {limits.migration_budget_replicas} replicas move"
    )
    return judged("migration budget", wrong, seen)


def check_pinned_jobs(before: Snapshot, after: Snapshot) -> Check:
    """Check that jobs that must not be moved stand where they stood, GPU by GPU."""
    wrong = [
        f"job {was.id}: expected it to stay on {_said(was.placement)} (movable is false), found {_said(now.placement)}"
        for was, now in _changed_jobs(before, after)
        if was.placement and not was.movable
    ]
    return judged("pinned jobs", wrong, f"{sum(not job.movable for job in before.jobs)} job(s) that must stay")


def check_nodes(before: Snapshot, after: Snapshot) -> Check:
    """Check that workers only go to nodes that are up; on a drained one at most those stay that were there."""
    nodes = {node.id: node for node in before.nodes}
    wrong = []
    for was, now in _changed_jobs(before, after):
        stood = Counter(worker.node for worker in was.placement)
        for node, workers in Counter(worker.node for worker in now.placement).items():
            if nodes[node].state != "up" and workers > stood[node]:
                expected = f"at most the {stood[node]} worker(s) that were there, since it is {nodes[node].state}"
                wrong.append(f"job {now.id} on {node}: expected {expected}, found {workers}")
    return judged("nodes", wrong, "newcomers only on nodes that are up")


def check_gpu_models(before: Snapshot, after: Snapshot) -> Check:
    """Check that a job keeps the GPU model that it holds, and that one that gets GPUs gets those of one model."""
    model = {node.id: node.gpu_model for node in before.nodes}
    wrong = []
    for was, now in _changed_jobs(before, after):
        held = {model[worker.node] for worker in was.placement}
        found = {model[worker.node] for worker in now.placement}
        if (held and not found <= held) or (not held and len(found) > 1):
            expected = " or ".join(sorted(held)) if held else "GPUs of one model"
            wrong.append(f"job {now.id}: expected {expected}, found {', '.join(sorted(found))}")
    return judged("GPU models", wrong, "every job on the model that it held or asked for")


def check_spare_nodes(before: Snapshot, after: Snapshot) -> Check:
    """Check that enough nodes of each NVLink domain stay wholly free to stand in for one that fails.

    Of each domain with more open nodes (up, with usable GPUs) than ``spare_nodes_per_domain``, as many as that stay
    without a job, or as many as were before where those were fewer.
    """
    wanted = before.limits.spare_nodes_per_domain
    opened = Counter(domain for _, domain in _open_nodes(before))
    was, now = _idle_nodes(before), _idle_nodes(after)
    wrong = []
    for domain, nodes in opened.items():
        least = min(wanted, was[domain]) if nodes > wanted else 0
        if now[domain] < least:
            wrong.append(f"domain {domain}: expected at least {least} wholly free node(s), found {now[domain]}")
    return judged("spare nodes", wrong, f"{wanted} wholly free node(s) wanted in each NVLink domain")


def _open_nodes(state: Snapshot) -> list[tuple[str, str]]:
    """Return id and NVLink domain of the nodes that are up and have usable GPUs."""
    nodes = (node for node in state.nodes if node.state == "up" and node.gpus > len(set(node.unavailable_gpus)))
    return [(node.id, node.nvlink_domain) for node in nodes]


def _idle_nodes(state: Snapshot) -> Counter[str]:
    busy = {worker.node for job in state.jobs for worker in job.placement}
    return Counter(domain for node, domain in _open_nodes(state) if node not in busy)


def check_migration_order(plan: Plan, before: Snapshot, after: Snapshot) -> Check:
    """Check that plan and inverse can be carried out: no GPU is held twice after any step.

    Actions are made in their order; the migrations of a batch all stop before any of them starts again. A job that
    steps aside moves once more, to somewhere else than where it was, and rests only on usable GPUs of its model on
    nodes that are up.
    """
    wrong = [
        *(f"plan, {problem}" for problem in _collisions(before, plan.actions)),
        *(f"inverse, {problem}" for problem in _collisions(after, plan.inverse)),
        *_unfit_rests(before, plan.actions),
    ]
    migrations = [action for action in plan.actions if isinstance(action, Migrate)]
    batches = len({action.batch for action in migrations})
    return judged("migration order", wrong, f"{len(migrations)} migration(s) in {batches} batch(es)")


def _collisions(state: Snapshot, actions: Sequence[Action]) -> Iterator[str]:
    holder = {gpu: job.id for job in state.jobs for gpu in _gpus(job.placement)}
    moves = [action for action in actions if isinstance(action, Migrate | Place)]
    last: int | None = None
    for number, (batch, group) in enumerate(groupby(moves, _batch)):
        together = list(group) if batch is not None else []
        if batch is not None and last is not None and batch <= last:
            yield f"step {number}: expected a batch after {last}, found {batch}"
        last = last if batch is None else batch
        steps = [together] if batch is not None else [[place] for place in group]
        for step in steps:
            yield from _step(step, holder)


def _step(step: Sequence[Migrate | Place], holder: dict[Gpu, str]) -> Iterator[str]:
    """Let the jobs of ``step`` go and take their new GPUs; ``holder`` is brought up to date."""
    for action in step:
        for node, index in _gpus(action.before):
            found = holder.pop((node, index), None)
            if found != action.job:
                yield f"{_named(action)}: expected {action.job} on {node} GPU {index}, found {found or 'nobody'} on it"
    for action in step:
        mine: set[Gpu] = set()
        for node, index in _gpus(action.after):
            other = holder.setdefault((node, index), action.job)
            if other != action.job:
                yield f"{_named(action)}: expected {node} GPU {index} to be free for {action.job}, found {other} on it"
            if (node, index) in mine:
                yield f"{_named(action)}: expected {action.job} to take {node} GPU {index} once, found it twice"
            mine.add((node, index))


def _unfit_rests(before: Snapshot, actions: Sequence[Action]) -> Iterator[str]:
    """Yield what is wrong on the way of jobs that migrate, which the states before and after do not show."""
    nodes = {node.id: node for node in before.nodes}
    jobs = {job.id: job for job in before.jobs}
    ways: dict[str, list[Migrate]] = {}
    for action in actions:
        if isinstance(action, Migrate):
            ways.setdefault(action.job, []).append(action)
    for name, way in ways.items():
        job = jobs[name]
        if len(way) > 2 or way[0].before == way[-1].after:
            yield f"job {name}: expected it to step aside at most once on its way, found {len(way)} migration(s)"
        models = {nodes[worker.node].gpu_model for worker in job.placement}
        for step, onward in pairwise(way):
            if onward.batch <= step.batch:
                yield f"job {name}: expected it to move on in a batch after {step.batch}, found {onward.batch}"
            held = set(_gpus(job.placement))
            for name_of_node, index in _gpus(step.after):
                node = nodes.get(name_of_node)
                if (name_of_node, index) in held:
                    continue
                if (
                    node is None
                    or node.state != "up"
                    or node.gpu_model not in models
                    or not 0 <= index < node.gpus
                    or index in node.unavailable_gpus
                ):
                    expected = "a usable GPU of its model on a node that is up"
                    yield f"job {name} steps aside: expected {expected}, found {name_of_node} GPU {index}"


def _named(action: Migrate | Place) -> str:
    return f"batch {action.batch}" if isinstance(action, Migrate) else "placements"


def _batch(action: Migrate | Place) -> int | None:
    return action.batch if isinstance(action, Migrate) else None


def _gpus(placement: Sequence[Worker]) -> Iterator[Gpu]:
    return ((worker.node, gpu) for worker in placement for gpu in worker.gpus)


def _sorted(job: Job) -> list[tuple[str, tuple[int, ...]]]:
    return [(worker.node, tuple(sorted(worker.gpus))) for worker in job.placement]


def _changed_jobs(before: Snapshot, after: Snapshot) -> list[tuple[Job, Job]]:
    """Return the jobs whose GPUs change, as they were and as they will be."""
    pairs = zip(before.jobs, after.jobs, strict=True)
    return [(was, now) for was, now in pairs if was.placement != now.placement]


def _said(placement: Sequence[Worker]) -> str:
    return ", ".join(f"{worker.node}:{','.join(map(str, worker.gpus))}" for worker in placement) or "no GPUs"
