"""Who may start on the nodes of a plan while its jobs move? Only these jobs, by a reservation of Slurm's.

Between the stop of one job and the start of another the scheduler would give the nodes to whatever waits, which is most
likely the job for which the plan makes room. The reservation ends by itself where an apply is killed; jobs in it may
outlive it (``FLEX``), and are not held when it ends (``NO_HOLD_JOBS_AFTER``).
"""

import math
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from data.errors import ApplyFailed, SourceUnavailable
from data.readers.slurm.plan_marks import RESERVATION
from data.schemas.plan import Action, Migrate, Place
from tasks.apply.slurm_queue import command, node_names, read_queue, reserved_jobs
from tasks.apply.slurm_standing import clock

_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,127}\$?")
OUT_OF_IT = "ReservationName="


@dataclass(frozen=True, slots=True)
class SlurmReservation:
    """The reservation of the one apply that a cluster has at a time.

    Args:
        lasts_s: seconds after which it ends unless it is renewed; more than one batch needs.
        timeout_s: of each command.
    """

    lasts_s: float
    timeout_s: float

    @contextmanager
    def of(self, actions: Sequence[Action]) -> Iterator[None]:
        """Reserve the nodes between which ``actions`` move jobs, while the block lasts; none where nothing moves.

        Raises:
            ApplyFailed: Slurm refuses, e.g. since some are reserved for somebody else in that time.
            SourceUnavailable: Slurm does not answer.
        """
        if not any(isinstance(action, Migrate) for action in actions):
            yield
            return
        moved = [action for action in actions if isinstance(action, Migrate | Place)]
        nodes = node_names([worker for action in moved for worker in (*action.before, *action.after)])
        self._end()  # of an apply that was killed
        self._begin(nodes, self._users({action.job for action in moved}))
        try:
            yield
        finally:
            with suppress(ApplyFailed, SourceUnavailable):  # it ends by itself
                self._end()

    def words(self) -> tuple[str, ...]:
        """Return what lets a job into it, and put off its end; nothing where there is none."""
        try:
            command("scontrol", "update", f"ReservationName={RESERVATION}", self._until(), timeout_s=self.timeout_s)
        except ApplyFailed:
            return ()
        return (f"ReservationName={RESERVATION}",)

    def _begin(self, nodes: Sequence[str], users: Sequence[str]) -> None:
        words = (
            f"ReservationName={RESERVATION}", f"Nodes={','.join(nodes)}", "StartTime=now",
            f"Duration={math.ceil(self.lasts_s / 60.0)}", f"Users={','.join(users)}",
            "Flags=IGNORE_JOBS,FLEX,NO_HOLD_JOBS_AFTER",
        )  # fmt: skip
        command("scontrol", "create", "reservation", *words, timeout_s=self.timeout_s)

    def _end(self) -> None:
        """Let all jobs out of it, and end it; nothing where there is none."""
        for job in reserved_jobs(RESERVATION, self.timeout_s):
            with suppress(ApplyFailed):  # it has ended meanwhile
                command("scontrol", "update", f"JobId={job}", OUT_OF_IT, timeout_s=self.timeout_s)
        with suppress(ApplyFailed):  # there is none
            command("scontrol", "delete", f"ReservationName={RESERVATION}", timeout_s=self.timeout_s)

    def _users(self, jobs: set[str]) -> list[str]:
        """Return whose jobs they are; jobs that are gone have none."""
        queue = read_queue(self.timeout_s)
        users = {found.user for job in jobs if (found := queue.find(job)) is not None}
        if wrong := sorted(user for user in users if not _USER.fullmatch(user)):
            raise ApplyFailed(f"a reservation for the plan's jobs: expected names of users, found {wrong[0]!r}")
        return sorted(users) or ["root"]

    def _until(self) -> str:
        return f"EndTime={clock(time.time() + self.lasts_s)}"
