"""How are Slurm jobs told to stop and to start, and when have they? With time for a checkpoint, and with limits."""

import time
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from typing import Literal

from data.errors import ApplyFailed
from tasks.apply.slurm_queue import Queue, command, read_queue, states

SignalTo = Literal["steps", "batch", "all"]

_FLAGS: dict[SignalTo, tuple[str, ...]] = {"steps": (), "batch": ("--batch",), "all": ("--full",)}
_REST_S = 2.0
"""Between stop and start: Slurm tells them apart by whole seconds, and kills what starts in the second of its stop."""


@dataclass(frozen=True, slots=True)
class SlurmControl:
    """The commands that change jobs; the arguments are those of :class:`tasks.apply.slurm.SlurmExecutor`."""

    signal: str
    signal_to: SignalTo
    grace_s: float
    stop_timeout_s: float
    start_timeout_s: float
    command_timeout_s: float
    poll_s: float

    def change(self, job: str, *words: str) -> None:
        """Let ``scontrol update`` change fields of a job."""
        self._run(job, "scontrol", "update", f"JobId={job}", *words)

    def tell(self, job: str, verb: str) -> None:
        """Tell a job to hold, release or requeuehold."""
        self._run(job, "scontrol", verb, job)

    def states(self, jobs: Sequence[str]) -> dict[str, str]:
        """Return the state of each job that has not ended, see :func:`tasks.apply.slurm_queue.states`."""
        return states(jobs, self.command_timeout_s) if jobs else {}

    def settled(self, jobs: Sequence[str]) -> Queue:
        """Return what Slurm tells of all jobs, once none of ``jobs`` is completing, or ``stop_timeout_s`` have passed.

        One that is completing is about to be gone, or to wait again: it is on no side of any action.
        """
        queue = read_queue(self.command_timeout_s)
        ending = [job for job in jobs if job in queue.single and queue.single[job].state == "COMPLETING"]
        if ending and self._poll(lambda: "COMPLETING" not in self.states(ending).values(), self.stop_timeout_s):
            queue = read_queue(self.command_timeout_s)
        return queue

    def stop(self, jobs: Sequence[str], leave: Callable[[str], None]) -> None:
        """Requeue and hold those of ``jobs`` that run, after they had time to write a checkpoint.

        Args:
            jobs: their ids.
            leave: what is done to each directly before it may go: before its signal, after which some requeue
                themselves, or else before its requeue.
        """
        signalled = bool(self.signal and self.grace_s)
        if signalled and jobs:
            flags = _FLAGS[self.signal_to]
            for job in jobs:
                leave(job)
                self._run(job, "scancel", f"--signal={self.signal}", *flags, job)
            self._poll(lambda: "RUNNING" not in self.states(jobs).values(), self.grace_s)
        for job, state in self.states(jobs).items():
            if state == "RUNNING":
                if not signalled:
                    leave(job)
                self.tell(job, "requeuehold")

    def wait_stopped(self, jobs: Sequence[str]) -> list[str]:
        """Wait until ``jobs`` hold no nodes any more, and hold them; return those that have not ended.

        Raises:
            ApplyFailed: they still hold some after ``stop_timeout_s``, started again, or ended in another way than
                well: a job without a handler dies of the signal before its requeue.
        """
        left = self._waited(jobs, {"PENDING"}, self.stop_timeout_s, "stopped")
        for job in left:  # one that requeued itself is not held yet
            self.tell(job, "hold")
        time.sleep(_REST_S if left else 0.0)
        now = self.states(left)
        if again := [f"{job} is {state}" for job, state in now.items() if state != "PENDING"]:
            raise ApplyFailed(
                f"expected stopped jobs to wait, found {', '.join(again[:8])}: they started by themselves"
            )
        self._check_ends(jobs, now, "when they were told to stop")
        return list(now)

    def wait_started(self, jobs: Sequence[str]) -> None:
        """Wait until ``jobs`` run, or have ended well.

        Raises:
            ApplyFailed: they do not after ``start_timeout_s``, or failed as they started.
        """
        # one that is completing ran, and how it ended is told once it has
        left = self._waited(jobs, {"RUNNING"}, self.start_timeout_s, "started")
        self._check_ends(jobs, left, "when they started anew")

    def _check_ends(self, jobs: Sequence[str], left: Container[str], when: str) -> None:
        """Make sure that those of ``jobs`` that are not ``left`` ended well.

        Raises:
            ApplyFailed: naming those that did not, and how they ended.
        """
        if gone := [job for job in jobs if job not in left]:
            ended = read_queue(self.command_timeout_s).ended
            failed = [f"{job} {ended[job]}" for job in gone if ended.get(job, "COMPLETED") != "COMPLETED"]
            if failed:
                raise ApplyFailed(f"jobs were stopped, and ended {when}: {', '.join(failed[:8])}")

    def _waited(self, jobs: Sequence[str], wanted: set[str], timeout_s: float, word: str) -> list[str]:
        """Wait until all of ``jobs`` are in one of the ``wanted`` states or have ended; return those that have not."""
        late: dict[str, str] = {}

        def all_there() -> bool:
            late.clear()
            late.update({job: state for job, state in self.states(jobs).items() if state not in wanted})
            return not late

        if not self._poll(all_there, timeout_s):
            queue = read_queue(self.command_timeout_s)
            found = {job: queue.find(job) for job in list(late)[:8]}
            shown = "; ".join(f"{job} {each.told() if each else 'ended'}" for job, each in found.items())
            raise ApplyFailed(f"expected {len(late)} jobs to have {word} within {timeout_s:g} s, found {shown}")
        return list(self.states(jobs))

    def _run(self, job: str, *words: str) -> None:
        """Run a command on a job; that it fails does not matter where the job has ended meanwhile.

        Raises:
            ApplyFailed: Slurm refused.
        """
        try:
            command(*words, timeout_s=self.command_timeout_s)
        except ApplyFailed:
            if self.states([job]):
                raise

    def _poll(self, done: Callable[[], bool], timeout_s: float) -> bool:
        end_s = time.monotonic() + timeout_s
        while not done():
            if time.monotonic() >= end_s:
                return False
            time.sleep(min(self.poll_s, max(end_s - time.monotonic(), 0.0)))
        return True
