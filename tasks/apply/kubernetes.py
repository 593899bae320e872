"""How are a plan's actions carried out on a Kubernetes cluster? By server-side apply, as a person may by kubectl.

The objects are those of :mod:`tasks.report.kubernetes`. Jobs move while they are suspended; caps, starts, expert maps
and archives stand in ConfigMaps for whoever acts on them.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, with_config

from data.errors import ApplyFailed
from data.schemas.plan import Action, Compress, Migrate, MoveReplicas, Place, Recap, Start
from tasks.apply.archives import check_archive, look_at_archive
from tasks.apply.executor import Found, Standing
from tasks.apply.kubernetes_api import KubernetesApi, connected
from tasks.apply.kubernetes_jobs import (
    KubernetesJob,
    all_run,
    check_movable,
    failure_of,
    find_job,
    given,
    is_stopped,
    job_name,
    node_names,
    runs_on,
    waits,
)
from tasks.apply.kubernetes_notes import Note, note_of
from tasks.apply.plan_origin import PlanFolder, TakenS
from tasks.report.plain import one_line

Timeout = Annotated[float, Field(gt=0.0, le=86_400.0)]


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True, slots=True)
class KubernetesExecutor:
    """Changes batch/v1 Jobs through the API server of a kubeconfig context.

    Needs the rights to read and patch Jobs, to list pods, and to read, create and patch ConfigMaps in ``namespace``.

    Args:
        context: name in the kubeconfig; None takes its current one, else the service account of the pod.
        namespace: where the ConfigMaps stand.
        request_timeout_s: seconds of each request.
        stop_timeout_s: seconds after which a suspended Job must have no pods any more.
        start_timeout_s: seconds after which all pods of a moved Job must run.
        poll_s: seconds between two looks while waiting.
    """

    kind: Literal["kubernetes"] = "kubernetes"
    context: Annotated[str | None, Field(max_length=253)] = None
    namespace: Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")] = "default"
    request_timeout_s: Timeout = 30.0
    stop_timeout_s: Timeout = 300.0
    start_timeout_s: Timeout = 600.0
    poll_s: Annotated[float, Field(ge=0.05, le=60.0)] = 2.0
    taken_s: TakenS = None
    folder: PlanFolder = None

    def look(self, actions: Sequence[Action]) -> tuple[Found, ...]:
        """See :meth:`tasks.apply.executor.Executor.look`."""
        with connected(self.context, self.request_timeout_s) as api:
            return tuple(self._found(api, action) for action in actions)

    def room(self, actions: Sequence[Action]) -> AbstractContextManager[None]:  # noqa: ARG002
        """Keep nothing: what waits may take what a stopped Job leaves; its step then fails, and is undone."""
        return nullcontext()

    def carry_out(self, step: Sequence[Action]) -> None:
        """See :meth:`tasks.apply.executor.Executor.carry_out`.

        Every name is checked before the first request.
        """
        for action in step:
            if isinstance(action, Migrate | Place):
                job_name(action.job)
                node_names((*action.before, *action.after))
        with connected(self.context, self.request_timeout_s) as api:
            moves = [action for action in step if isinstance(action, Migrate)]
            if moves:
                self._migrate(api, moves)
            for action in step:
                match action:
                    case Migrate():
                        pass
                    case Place():
                        self._place(api, action)
                    case Recap() | Start() | MoveReplicas() | Compress():
                        if isinstance(action, Compress) and action.after is not None:
                            check_archive(action, self.folder)
                        note = note_of(action, self.taken_s)
                        api.change_data(self.namespace, note.name, note.document)

    # ---- what is in force ----

    def _found(self, api: KubernetesApi, action: Action) -> Found:
        try:
            if not isinstance(action, Migrate | Place):
                return self._noted(api, action)
            job = find_job(api, action.job)
        except ApplyFailed as error:
            return Found("other", str(error))
        if job is None:
            return Found("gone", f"there is no Job {action.job}, or it has ended")
        if isinstance(action, Migrate):
            sides = runs_on(job, action.before), runs_on(job, action.after)
        else:
            sides = given(job, action.before) or (not action.before and waits(job)), given(job, action.after)
        standing: Standing = "after" if sides[1] else "before" if sides[0] else "other"
        return Found(standing, job.told())

    def _noted(self, api: KubernetesApi, action: Recap | Start | MoveReplicas | Compress) -> Found:
        if isinstance(action, Compress) and action.after is not None:
            archive = look_at_archive(action, self.folder)
            if archive.standing != "after":
                return archive
        note: Note = note_of(action, self.taken_s)
        held = api.config_map(self.namespace, note.name) or {}
        return note.found(dict(held.get("data") or {}))

    # ---- what brings it into force ----

    def _migrate(self, api: KubernetesApi, moves: Sequence[Migrate]) -> None:
        """Suspend all, then place and start all; Jobs that are there already, or gone, are left alone."""
        moving: list[tuple[Migrate, KubernetesJob]] = []
        for move in moves:
            job = find_job(api, move.job)
            if job is not None and not runs_on(job, move.after):
                check_movable(job, move.before, move.after)
                moving.append((move, job))
        self._suspend(api, moving)
        left = [(move, job) for move, job in moving if self._place_suspended(api, move, job)]
        for move, job in left:
            api.apply(job.document(move, "start", suspend=False, nodes=node_names(move.after)))
        for move, _ in left:
            wanted = f"run on {','.join(node_names(move.after))}"
            self._wait(api, move.job, partial(all_run, workers=move.after), self.start_timeout_s, wanted)

    def _place(self, api: KubernetesApi, action: Place) -> None:
        job = find_job(api, action.job)
        if job is None or given(job, action.after):
            return
        check_movable(job, action.before, ())
        if job.bound and action.after and not job.suspended:
            raise ApplyFailed(f"Job {action.job}: expected it to wait, found {job.told()}")
        self._suspend(api, [(action, job)])
        if self._place_suspended(api, action, job):
            api.apply(job.document(action, "start", suspend=False, nodes=node_names(action.after)))

    def _suspend(self, api: KubernetesApi, moving: Sequence[tuple[Migrate | Place, KubernetesJob]]) -> None:
        for action, job in moving:
            # the affinity of an earlier plan stays until the Job is suspended: leaving it out would take it away
            api.apply(job.document(action, "stop", suspend=True, nodes=sorted(job.asked)))
        for action, _ in moving:
            wanted = "have no pods and no start time any more"
            self._wait(api, action.job, is_stopped, self.stop_timeout_s, wanted)

    def _place_suspended(self, api: KubernetesApi, action: Migrate | Place, job: KubernetesJob) -> bool:
        """Give a suspended Job its nodes; tell whether it is still there."""
        if find_job(api, action.job) is None:
            return False
        api.apply(job.document(action, "place", suspend=True, nodes=node_names(action.after)))
        return True

    def _wait(
        self, api: KubernetesApi, name: str, done: Callable[[KubernetesJob], bool], timeout_s: float, what: str
    ) -> None:
        """Wait until a Job is as wanted, has completed or is deleted.

        Raises:
            ApplyFailed: it is not after ``timeout_s``, or it failed.
        """
        end_s = time.monotonic() + timeout_s
        while (job := find_job(api, name)) is not None and not done(job):
            if time.monotonic() >= end_s:
                raise ApplyFailed(f"Job {name}: expected it to {what} within {timeout_s:g} s, found {job.told()}")
            time.sleep(self.poll_s)
        if job is None and (why := failure_of(api, name)) is not None:
            raise ApplyFailed(f"Job {name}: expected it to {what}, but it failed: {one_line(why)}")
