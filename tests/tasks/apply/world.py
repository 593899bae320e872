"""A cluster whose state is a file, faults at chosen points, and plans drawn over the samples."""

import os
import signal
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from data.digest import SNAPSHOT
from data.errors import ApplyFailed
from data.readers.sources import Sample
from data.schemas.apply import Opened, Process, Resumed
from data.schemas.checkpoint import Archive
from data.schemas.cluster import Snapshot
from data.schemas.job import Worker
from data.schemas.plan import Action, Compress, Migrate, MoveReplicas, Place, Recap, Start
from data.transition import apply_actions
from tasks.apply import journal as journals
from tasks.apply.dry_run import look_at
from tasks.apply.executor import Executor, Found
from tasks.apply.loop import Applied, go_on

BY = Process("", "here", 1, "tester")
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def clock() -> datetime:
    return NOON


def no_fault(_: int, __: Action) -> None:
    """Let everything go well."""


@dataclass(slots=True)
class FileCluster:
    """Changes one action at a time, each on disk before the next; ``changes.txt`` has a line for each change.

    Args:
        folder: of the state.
        fault: called with the number of changes so far and the action that is about to be carried out.
    """

    folder: Path
    fault: Callable[[int, Action], None] = no_fault
    kind: str = "file"

    @property
    def state(self) -> Snapshot:
        return SNAPSHOT.validate_json((self.folder / "state.json").read_bytes())

    @state.setter
    def state(self, state: Snapshot) -> None:
        whole = self.folder / "state.partial"
        whole.write_bytes(SNAPSHOT.dump_json(state))
        whole.replace(self.folder / "state.json")

    @property
    def changes(self) -> list[str]:
        log = self.folder / "changes.txt"
        return log.read_text().splitlines() if log.exists() else []

    def look(self, actions: Sequence[Action]) -> tuple[Found, ...]:
        state = self.state
        return tuple(look_at(state, action) for action in actions)

    def room(self, actions: Sequence[Action]) -> AbstractContextManager[None]:
        return nullcontext()

    def carry_out(self, step: Sequence[Action]) -> None:
        for action in step:
            (found,) = self.look([action])
            if found.standing == "after":
                continue
            if found.standing != "before":
                raise ApplyFailed(f"{action.kind}: {found.detail}")
            self.fault(len(self.changes), action)
            self.state = apply_actions(self.state, (action,))
            with (self.folder / "changes.txt").open("a") as log:
                log.write(f"{replace(action, reason='', gain=0.0)}\n")


def sample(name: str) -> Snapshot:
    """Return a dozen jobs of a sample and what else actions change, so that its file is short."""
    whole = Sample(name=name)().snapshot  # type: ignore[arg-type]  # a test names those that there are
    waiting = [job for job in whole.jobs if job.state == "pending"][:6]
    running = [job for job in whole.jobs if job.state == "running"][:6]
    few = tuple(
        replace(each, loads=each.loads[:1], transitions=(), placement=each.placement[:2]) for each in whole.deployments
    )
    less = replace(whole, jobs=(*running, *waiting), nodes=whole.nodes[:12], deployments=few[:1])
    return replace(less, links=(), node_series=(), link_series=())


def opened(snapshot: Snapshot, actions: Sequence[Action], executor: str = "file") -> Opened:
    """Return the first entry of a journal of ``actions``."""
    digests = ("1" * 64, "2" * 64, "3" * 64)
    who = ("tester", "as a test")
    return Opened(
        BY, snapshot.cluster, "plan.json", *digests, snapshot.taken_at, executor, "{}", *who, (), tuple(actions)
    )


def begin(path: Path, first: Opened, executor: Executor, listen: journals.Listener = lambda _: None) -> Applied:
    """Apply from the start."""
    with journals.new_journal(path, first, clock, listen) as journal:
        return go_on(journal, executor)


def resume(path: Path, executor: Executor, way: str = "on", listen: journals.Listener = lambda _: None) -> Applied:
    """Go on with what was cut off, or go back."""
    with journals.old_journal(path, clock, listen) as journal:
        journal.append(Resumed(BY, way))  # type: ignore[arg-type]  # on or back
        return go_on(journal, executor)


def killed(what: Callable[[], object]) -> bool:
    """Do ``what`` in a child process; tell whether it was killed."""
    child = os.fork()
    if child == 0:
        try:
            what()
            os._exit(0)
        except BaseException:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def die() -> None:
    """End this process as a power failure would."""
    os.kill(os.getpid(), signal.SIGKILL)


def drawn(snapshot: Snapshot, rng: np.random.Generator, count: int) -> tuple[Action, ...]:
    """Return ``count`` actions of every kind, each of them possible after those before it."""
    actions: list[Action] = []
    state, batch = snapshot, 0
    kinds = ["job"] * 4 + ["experts"] * bool(snapshot.deployments) + ["archive"] * bool(snapshot.checkpoints)
    while len(actions) < count:
        batch += int(rng.integers(2))
        kind = kinds[rng.integers(len(kinds))]
        action = {"job": _job_action, "experts": _experts, "archive": _archive}[kind](state, rng, batch)
        if action.before != action.after:
            actions.append(action)
            state = apply_actions(state, (action,))
    return tuple(actions)


def _job_action(state: Snapshot, rng: np.random.Generator, batch: int) -> Action:
    job = state.jobs[rng.integers(len(state.jobs))]
    if rng.random() < 0.3:
        watts = float(rng.integers(200, 700))
        return Recap(job.id, job.gpu_power_cap_w, watts, "drawn", 0.0)
    if job.state == "pending" and rng.random() < 0.5:
        return Start(job.id, job.planned_start_s, float(rng.integers(0, 10_000)), "drawn", 0.0)
    nodes = rng.integers(len(state.nodes), size=job.workers)
    after = tuple(Worker(state.nodes[node].id, tuple(range(job.gpus_per_worker))) for node in nodes)
    if job.state == "running":
        return Migrate(job.id, job.placement, after, batch, "drawn", 0.0)
    return Place(job.id, job.placement, after, "drawn", 0.0)


def _experts(state: Snapshot, rng: np.random.Generator, _: int) -> Action:
    deployment = state.deployments[rng.integers(len(state.deployments))]
    layer = int(rng.integers(deployment.layers))
    one, other = (int(slot) for slot in rng.choice(deployment.slots, 2, replace=False))
    held = deployment.placement[layer]
    return MoveReplicas(
        deployment.id, layer, (one, other), (held[one], held[other]), (held[other], held[one]), "drawn", 0.0
    )


def _archive(state: Snapshot, rng: np.random.Generator, _: int) -> Action:
    checkpoint = state.checkpoints[rng.integers(len(state.checkpoints))]
    size = int(rng.integers(1, 1_000))
    return Compress(checkpoint.id, checkpoint.archive, Archive(f"{size}.qfz", "0" * 64, size), "drawn", 0.0)
