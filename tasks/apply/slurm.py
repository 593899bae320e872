"""How are a plan's actions carried out on a Slurm cluster? By scontrol and scancel, in the order that loses nothing.

The meaning is that of the script in :mod:`tasks.report.slurm`, which a person may run instead. Each method can be
called again: it looks first, and does only what is not in force yet.
"""

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, with_config

from data.errors import ApplyFailed
from data.readers.slurm.plan_marks import CAP, STARTS
from data.schemas.job import Worker
from data.schemas.plan import Action, Compress, Migrate, MoveReplicas, Place, Recap, Start
from tasks.apply.archives import check_archive, look_at_archive
from tasks.apply.executor import Found, Standing
from tasks.apply.hook_protocol import carry_out_by_hook, look_by_hook
from tasks.apply.plan_origin import PlanFolder, TakenS
from tasks.apply.slurm_caps import SlurmCaps, cap_words, told_caps
from tasks.apply.slurm_control import SignalTo, SlurmControl
from tasks.apply.slurm_queue import Queue, SlurmJob, job_id, node_names, read_queue
from tasks.apply.slurm_reservation import OUT_OF_IT, SlurmReservation
from tasks.apply.slurm_standing import (
    UNDO,
    asked_words,
    check_stoppable,
    chose_nodes,
    clock,
    given,
    is_free,
    noted,
    planned,
    runs_on,
    same_cap,
    target_s,
)

Timeout = Annotated[float, Field(gt=0.0, le=86_400.0)]


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True, slots=True)
class SlurmExecutor:
    """Changes the Slurm cluster that this machine's commands talk to; needs an operator's rights.

    A job that moves is requeued: its script starts again and has to resume from its checkpoint by itself. A placed or
    moved job keeps its new nodes in ``ReqNodeList``; the administrator's comment says that a plan asked for them.

    Args:
        signal: sent to jobs before they are requeued, so that they write a checkpoint; empty for none.
        signal_to: who gets it: the steps, the batch script, or all.
        grace_s: seconds that the jobs then have.
        stop_timeout_s: seconds after which a requeued job must hold no nodes any more.
        start_timeout_s: seconds after which a released job must run.
        command_timeout_s: seconds of each Slurm command.
        poll_s: seconds between two looks while waiting.
        reserve: keep the nodes between which jobs move from all other jobs meanwhile. Without it the scheduler may give
            them away between a stop and a start, and the step fails.
        defer_s: seconds after the snapshot until which a job waits that the plan keeps out of its horizon; it is not
            held, since a held job is hidden from the plans that follow.
        cap_hook: program that sets and tells power caps of running jobs (``set JOB WATTS``, ``look JOB``; max for no
            cap, mixed where they differ). Caps are also noted in the administrator's comment, for whenever the job
            starts anew; without a hook, and for jobs that wait, that is all, and a prolog has to set them.
        experts_hook: program that moves expert replicas, see :mod:`tasks.apply.shell`; without one they are refused.
        hook_timeout_s: seconds of each call of a hook.
    """

    kind: Literal["slurm"] = "slurm"
    signal: Annotated[str, Field(pattern=r"^([A-Z][A-Z0-9]{1,9})?$")] = ""
    signal_to: SignalTo = "all"
    grace_s: Annotated[float, Field(ge=0.0, le=86_400.0)] = 0.0
    stop_timeout_s: Timeout = 300.0
    start_timeout_s: Timeout = 600.0
    command_timeout_s: Timeout = 60.0
    poll_s: Annotated[float, Field(ge=0.1, le=60.0)] = 2.0
    reserve: bool = True
    defer_s: Timeout = 86_400.0
    cap_hook: Path | None = None
    experts_hook: Path | None = None
    hook_timeout_s: Timeout = 120.0
    taken_s: TakenS = None
    folder: PlanFolder = None

    def __post_init__(self) -> None:
        if self.signal and not self.grace_s:
            raise ValueError(f"expected seconds of grace after the signal {self.signal}, found grace_s=0")

    def room(self, actions: Sequence[Action]) -> AbstractContextManager[None]:
        """See :meth:`tasks.apply.executor.Executor.room`; a reservation of their nodes."""
        return self._reservation().of(actions) if self.reserve else nullcontext()

    def look(self, actions: Sequence[Action]) -> tuple[Found, ...]:
        """See :meth:`tasks.apply.executor.Executor.look`."""
        queue = self._queue(actions)
        found: list[Found] = []
        for action in actions:
            try:
                found.append(self._found(action, queue))
            except ApplyFailed as error:
                found.append(Found("other", str(error)))
        return tuple(found)

    def carry_out(self, step: Sequence[Action]) -> None:
        """See :meth:`tasks.apply.executor.Executor.carry_out`.

        Every id is checked before the first command runs.
        """
        for action in step:
            if isinstance(action, Migrate | Place | Recap | Start):
                job_id(action.job)
            if isinstance(action, Migrate | Place):
                node_names((*action.before, *action.after))
        moves = [action for action in step if isinstance(action, Migrate)]
        if moves:
            with self._caps().kept([move.job for move in moves]):
                self._migrate(moves)
        queue = self._queue([action for action in step if not isinstance(action, Migrate)])
        for action in step:
            match action:
                case Migrate():
                    pass
                case Place():
                    self._place(action, queue)
                case Recap():
                    self._recap(action, queue)
                case Start():
                    self._start(action, queue)
                case MoveReplicas():
                    carry_out_by_hook(self._experts_hook(action), [action], self.hook_timeout_s, self.taken_s)
                case Compress():
                    check_archive(action, self.folder)

    # ---- what is in force ----

    def _queue(self, actions: Sequence[Action]) -> Queue:
        jobs = [action.job for action in actions if isinstance(action, Migrate | Place | Recap | Start)]
        return self._control().settled(jobs) if jobs else Queue({}, {}, {})

    def _found(self, action: Action, queue: Queue) -> Found:
        match action:
            case MoveReplicas():
                return look_by_hook(self._experts_hook(action), [action], self.hook_timeout_s, self.taken_s)[0]
            case Compress():
                return look_at_archive(action, self.folder)
            case Migrate() | Place() | Recap() | Start():
                job = queue.find(job_id(action.job))
                if job is None:
                    ended = queue.ended.get(action.job, "unknown to Slurm")
                    return Found("gone", f"job {action.job} neither runs nor waits: {ended}")
                return self._standing(action, job)

    def _standing(self, action: Migrate | Place | Recap | Start, job: SlurmJob) -> Found:
        told = job.told()
        match action:
            case Migrate():
                sides = runs_on(job, action.before), runs_on(job, action.after)
                if sides == (True, False):
                    check_stoppable(action.job, job, action.before)
                if self._caps().bind(action.job, job) and sides[1]:
                    cap_w, noted_w = self._caps().look(action.job, job)
                    told += f", {told_caps(cap_w, noted_w)}"
                    sides = sides[0], same_cap(cap_w, noted_w)
            case Place():
                sides = given(job, action.before) or _waits_for_any(job, action), _has(job, action.after)
            case Recap():
                cap_w, noted_w = self._caps().look(action.job, job)
                told = told_caps(cap_w, noted_w)
                sides = (
                    same_cap(cap_w, action.before),
                    same_cap(cap_w, action.after) and same_cap(noted_w, action.after),
                )
            case Start():
                sides = planned(action, job, self.taken_s, self.defer_s, time.time())
                if job.eligible_s and job.state == "PENDING":
                    told += f", not before {clock(job.eligible_s)}Z"
        standing: Standing = "after" if sides[1] else "before" if sides[0] else "other"
        return Found(standing, told)

    def _experts_hook(self, action: MoveReplicas) -> Path:
        if self.experts_hook is None:
            raise ApplyFailed(
                f"deployment {action.deployment}: Slurm knows no experts; name a hook that moves them (experts_hook)"
            )
        return self.experts_hook

    # ---- what brings it into force ----

    def _migrate(self, moves: Sequence[Migrate]) -> None:
        """Stop all, then start all; jobs that are there already, or gone, are not stopped."""
        control = self._control()
        moving = self._to_move(moves)
        waiting = [name for name, (_, job) in moving.items() if job.state == "PENDING"]
        for name in waiting:  # where an earlier try was cut off
            control.tell(name, "hold")
        if waiting:  # until it was held, one may have started
            moving = self._to_move(moves)
            for name in set(waiting) - set(moving):
                control.tell(name, "release")
        if not moving:
            return
        running = {name: job for name, (_, job) in moving.items() if job.state == "RUNNING"}
        control.stop(list(running), self._caps().lifting(running))
        left = control.wait_stopped(list(moving))
        into = self._reserved()
        for name in left:
            move, job = moving[name]
            control.change(name, *asked_words(job, move.after), "StartTime=now", *into)
        for name in left:
            control.tell(name, "release")
        control.wait_started(left)
        for name in left if into else ():
            control.change(name, OUT_OF_IT)

    def _to_move(self, moves: Sequence[Migrate]) -> dict[str, tuple[Migrate, SlurmJob]]:
        """Return the jobs that are not there yet, by their ids.

        Raises:
            ApplyFailed: one must not be stopped.
        """
        queue = read_queue(self.command_timeout_s)
        found = {move.job: (move, queue.find(move.job)) for move in moves}
        moving = {
            name: (move, job) for name, (move, job) in found.items() if job is not None and not runs_on(job, move.after)
        }
        for name, (move, job) in moving.items():
            check_stoppable(name, job, move.before, move.after)
        return moving

    def _place(self, action: Place, queue: Queue) -> None:
        job = queue.find(action.job)
        if job is None or _has(job, action.after):
            return
        if job.state == "PENDING":
            if action.after and chose_nodes(job):
                raise ApplyFailed(f"job {action.job}: expected no nodes of its own choice, found {job.told()}")
            self._ask(action, job)
            return
        if action.after:
            raise ApplyFailed(f"job {action.job}: expected it to wait, found {job.told()}")
        check_stoppable(action.job, job, action.before)
        with self._caps().kept([action.job]):
            self._control().stop([action.job], self._caps().lifting({action.job: job}))
            self._ask(action, job)

    def _ask(self, action: Place, job: SlurmJob) -> None:
        """Let a job that waits, or was told to stop, ask for the nodes of an action.

        While it is held it cannot start: on a running job the same words would take nodes away.
        """
        control = self._control()
        control.tell(action.job, "hold")
        try:
            if job.state != "PENDING":
                control.wait_stopped([action.job])
            now = control.states([action.job])
            if now.get(action.job, "PENDING") != "PENDING":
                raise ApplyFailed(f"job {action.job}: expected it to wait, it started meanwhile and was left as it is")
            if now:
                again = () if job.state == "PENDING" else ("StartTime=now",)
                into = self._reserved()
                if into and not action.after:
                    into = (OUT_OF_IT,)
                control.change(action.job, *asked_words(job, action.after), *again, *into)
        finally:
            control.tell(action.job, "release")

    def _recap(self, action: Recap, queue: Queue) -> None:
        job = queue.find(action.job)
        if job is None or all(same_cap(cap_w, action.after) for cap_w in self._caps().look(action.job, job)):
            return
        note = noted(job.note, **{CAP: cap_words(action.after)})
        if note != job.note:
            self._control().change(action.job, f"AdminComment={note}")
        # one that waited may have started before it was noted
        if self.cap_hook is not None and self._control().states([action.job]).get(action.job) == "RUNNING":
            self._caps().set(action.job, action.after)

    def _start(self, action: Start, queue: Queue) -> None:
        job = queue.find(action.job)
        if job is None or planned(action, job, self.taken_s, self.defer_s, time.time())[1]:
            return
        if job.state != "PENDING":
            raise ApplyFailed(f"job {action.job}: expected it to wait for its start, found {job.told()}")
        at_s = target_s(action, self.taken_s, self.defer_s)
        at_once = at_s <= time.time()
        # what is undone to may be an hour that the job's user chose
        mark = None if at_once or action.reason == UNDO else f"{int(at_s)}"
        note = noted(job.note, **{STARTS: mark})
        words = [f"StartTime={'now' if at_once else clock(at_s)}"]
        self._control().change(action.job, *words, *([f"AdminComment={note}"] if note != job.note else []))

    def _reserved(self) -> tuple[str, ...]:
        return self._reservation().words() if self.reserve else ()

    def _reservation(self) -> SlurmReservation:
        lasts_s = self.grace_s + self.stop_timeout_s + self.start_timeout_s + 10.0 * self.command_timeout_s
        return SlurmReservation(lasts_s, self.command_timeout_s)

    def _caps(self) -> SlurmCaps:
        return SlurmCaps(self.cap_hook, self.hook_timeout_s, self.command_timeout_s)

    def _control(self) -> SlurmControl:
        return SlurmControl(
            self.signal,
            self.signal_to,
            self.grace_s,
            self.stop_timeout_s,
            self.start_timeout_s,
            self.command_timeout_s,
            self.poll_s,
        )


def _has(job: SlurmJob, workers: Sequence[Worker]) -> bool:
    """Tell whether a job has the place that an action gives it; of no workers, that it is free of any."""
    return given(job, workers) if workers else is_free(job)


def _waits_for_any(job: SlurmJob, action: Place) -> bool:
    """Tell whether a job waits for nodes that only an earlier plan asked for, which is as good as for any."""
    return not action.before and job.state == "PENDING" and not job.held and not chose_nodes(job)
