"""Which power caps do the GPUs of a Slurm job have, and how do they go with it when it moves? By a hook of the site.

A cap belongs to GPUs: where it is not lifted before its job goes, whoever comes next has it. So that a job has one
wherever it starts anew, it is also noted in the administrator's comment.
"""

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from data.errors import ApplyFailed, SourceUnavailable
from data.readers.slurm.plan_marks import CAP, told_in
from tasks.apply.hooks import call
from tasks.apply.slurm_queue import SlurmJob, job_id, read_queue, states
from tasks.apply.slurm_standing import cap_of, same_cap


@dataclass(frozen=True, slots=True)
class SlurmCaps:
    """What is noted, and what the hook tells and sets; see :class:`tasks.apply.slurm.SlurmExecutor`.

    Args:
        hook: that sets and tells caps of running jobs; None for notes alone.
        hook_timeout_s: seconds of each call of it.
        command_timeout_s: seconds of each Slurm command.
    """

    hook: Path | None
    hook_timeout_s: float
    command_timeout_s: float

    def look(self, name: str, job: SlurmJob) -> tuple[float | None, float | None]:
        """Return the power cap of each GPU of a job: that in force, and that noted for whenever it starts anew."""
        noted_w = _noted(name, job)
        if self.hook is None or job.state == "PENDING":
            return noted_w, noted_w
        answer = call(self.hook, "look", job_id(name), timeout_s=self.hook_timeout_s)
        return cap_of(answer.strip(), name), noted_w

    def bind(self, name: str, job: SlurmJob) -> bool:
        """Tell whether a job has to have a cap while it runs: one is noted, and there is who sets it.

        Raises:
            ApplyFailed: what is noted is no power cap, and goes to no hook.
        """
        return self.hook is not None and _noted(name, job) is not None

    def set(self, name: str, watts: float | None) -> None:
        """Cap the GPUs of a running job, None for no cap; that it fails does not matter where it runs no more."""
        if self.hook is None:
            return
        try:
            call(self.hook, "set", job_id(name), cap_words(watts) or "max", timeout_s=self.hook_timeout_s)
        except ApplyFailed:
            if self._runs(name):
                raise

    def lifting(self, jobs: Mapping[str, SlurmJob]) -> Callable[[str], None]:
        """Return what lifts the cap of one of ``jobs``, to be called directly before it leaves its GPUs.

        Raises:
            ApplyFailed: what is noted for one is no power cap; none is stopped then.
        """
        capped = {name for name, job in jobs.items() if self.bind(name, job)}

        def lift(name: str) -> None:
            if name in capped:
                self.set(name, None)

        return lift

    @contextmanager
    def kept(self, names: Sequence[str]) -> Generator[None]:
        """However its body ends, those of the jobs ``names`` that run then have the caps that are noted for them.

        Raises:
            ApplyFailed: a hook refuses, and the body ended well; the others have theirs.
            SourceUnavailable: Slurm or a hook does not answer, and the body ended well.
        """
        try:
            yield
        except (ApplyFailed, SourceUnavailable):
            with suppress(ApplyFailed, SourceUnavailable):
                self._bring_back(names)
            raise
        self._bring_back(names)

    def _bring_back(self, names: Sequence[str]) -> None:
        """Set the noted caps of running jobs where others are in force: all that can be, then raise what failed."""
        if self.hook is None or not names:
            return
        queue = read_queue(self.command_timeout_s)
        found = {name: queue.find(name) for name in names}
        failed: list[ApplyFailed | SourceUnavailable] = []
        for name, job in found.items():
            try:
                if job is not None and job.state == "RUNNING" and self.bind(name, job):
                    cap_w, noted_w = self.look(name, job)
                    if not same_cap(cap_w, noted_w):
                        self.set(name, noted_w)
            except SourceUnavailable as error:
                failed.append(error)
            except ApplyFailed as error:
                if self._runs(name):
                    failed.append(error)
        if failed:
            raise failed[0]

    def _runs(self, name: str) -> bool:
        return states([name], self.command_timeout_s).get(name) == "RUNNING"


def cap_words(watts: float | None) -> str | None:
    """Return a power cap as it is noted and as a hook gets it; None for none."""
    return None if watts is None else f"{watts:.10g}"


def told_caps(cap_w: float | None, noted_w: float | None) -> str:
    """Return the cap in force in a few words, and the noted one where it is another."""
    return _told(cap_w) + ("" if same_cap(cap_w, noted_w) else f", while {_told(noted_w)} is noted")


def _noted(name: str, job: SlurmJob) -> float | None:
    noted = told_in(job.note, CAP) or "max"
    if noted == "mixed":
        raise ApplyFailed(f"job {name}: expected its comment to note one power cap in watts, found {CAP}=mixed")
    return cap_of(noted, name)


def _told(cap_w: float | None) -> str:
    if cap_w is None:
        return "no power cap"
    return "power caps that differ" if math.isnan(cap_w) else f"power cap {cap_w:.10g} W"
