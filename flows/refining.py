"""Which problems are refined at the same time? One after the other in this process; on a team, all that can be.

A noun is posed on the state that the ones before it leave behind, which is known only at its turn. Where there is a
team, each is begun at once on the state as it is now. At its turn it is posed again: if it is the same to the bit, what
was begun is its answer; if not, that is dropped and it is begun anew. So a team never changes a plan.
"""

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from prefect.logging import get_run_logger

from flows.params import TWINS, Params
from flows.watch import Watch
from qiskit_solvers.solver import Solver
from tasks.fan_out.same import same
from tasks.fan_out.workers import Errand, Guard, NoTeam, Team
from tasks.problems.protocol import Steady
from tasks.refine import LastPlan, Refined, refine, refine_plan

THREADS = 64
"""Problems that are refined at the same time at most; a thread only waits."""

TELL_S = 0.5
"""Between two looks how far a refinement is that goes on elsewhere."""


@dataclass(frozen=True, slots=True, eq=False)
class Posed:
    """A problem to refine.

    Args:
        problem: the noun.
        seed: of all its chance.
        carried: what the last plan decided, as far as it still fits; None where there is none.
    """

    problem: Steady[Any]
    seed: int
    carried: Any


@dataclass(slots=True, eq=False)
class _Begun:
    posed: Posed
    errand: Errand
    future: Future[Refined[Any]]
    news: list[tuple[str, float]]


@dataclass(slots=True, eq=False)
class Refining:
    """Refines the problems of one run.

    Args:
        params: what was asked for.
        watch: its guard ends the loops; it is told how far the work is, and how long steps took.
        team: takes the steps; None leaves them to this process.
        threads: of this process, which wait for the team.
    """

    params: Params
    watch: Watch
    team: Team | None = None
    threads: ThreadPoolExecutor | None = None
    _begun: dict[tuple[str, int], _Begun] = field(default_factory=dict)

    def begin(self, noun: str, position: int, posed: Posed, *, urgency: int = 0) -> None:
        """Have the team refine a problem, if it does not do so already; without a team do nothing.

        Args:
            noun: of the problem.
            position: among those of the noun.
            posed: the problem.
            urgency: 0 for its turn; the higher, the later its steps are taken where others wait too.
        """
        if self.team is None or self.threads is None:
            return
        before = self._begun.pop((noun, position), None)
        if before is not None and same(before.posed, posed):
            self._begun[noun, position] = before
            return
        if before is not None:
            before.errand.cancel()
        errand, news = Errand(self.team, urgency), list[tuple[str, float]]()
        expired = Guard(self.watch.guard_s - (time.monotonic() - self.watch.started_s)).expired

        def run() -> Refined[Any]:
            return refine(
                posed.problem,
                self.params.solver,
                np.random.default_rng(posed.seed),
                effort=self.params.work,
                twins=self._twins(),
                expired=expired,
                progress=lambda phase, share: news.append((phase, share)),
                last=self._last(posed),
                workers=errand,
            )

        self._begun[noun, position] = _Begun(posed, errand, self.threads.submit(run), news)

    def refined(self, noun: str, position: int, posed: Posed, span: tuple[float, float]) -> Refined[Any]:
        """Return the outcome for a problem, whose turn it is.

        Args:
            noun: of the problem.
            position: among those of the noun.
            posed: the problem.
            span: share of the run that is done before and after, 0 to 1.
        """
        self.begin(noun, position, posed)
        begun = self._begun.get((noun, position))
        stage = f"refine {posed.problem.name}"
        progress = self.watch.within(stage, *span)
        if begun is not None:
            self.watch.enter(stage, span[0])
            begun.errand.urge()
        refined = refine_plan(
            posed.problem,
            self.params.solver,
            effort=self.params.work,
            twins=self._twins(),
            seed=posed.seed,
            expired=self.watch.expired,
            progress=progress,
            last=self._last(posed),
            begun=None if begun is None else lambda: self._waited(begun, stage, span),
        )
        if begun is not None:
            del self._begun[noun, position]  # until here an end of the run drops it as well
            self.watch.laps.extend(begun.errand.laps)
            for loss in begun.errand.lost:
                get_run_logger().warning("workers: %s", loss)
        return refined

    def close(self) -> None:
        """Drop what nobody asked for."""
        for begun in self._begun.values():
            begun.errand.cancel()

    def _waited(self, begun: _Begun, stage: str, span: tuple[float, float]) -> Refined[Any]:
        """Wait for a refinement, and tell how far it is: from this thread, which has Prefect's context."""
        told = 0
        while not wait([begun.future], timeout=TELL_S).done:
            if len(begun.news) > told:
                told = len(begun.news)
                phase, share = begun.news[-1]
                self.watch.listen(f"{stage}: {phase}", span[0] + (span[1] - span[0]) * share)
        return begun.future.result()

    def _twins(self) -> tuple[Solver, ...]:
        return tuple(solver for solver in TWINS if solver.kind != self.params.solver.kind)

    def _last(self, posed: Posed) -> LastPlan[Any] | None:
        if posed.carried is None:
            return None
        return LastPlan(posed.carried, posed.problem.nearer, self.params.stability)


@contextmanager
def refining(params: Params, watch: Watch) -> Iterator[Refining]:
    """Start the team that was asked for, and end it afterwards; where none can be had this process does the work.

    Args:
        params: what was asked for.
        watch: of the run.
    """
    with ExitStack() as stack:  # left in the opposite order: unwanted work is dropped, the team ends, then who waited
        threads = stack.enter_context(ThreadPoolExecutor(THREADS, thread_name_prefix="refine"))
        try:
            team = stack.enter_context(params.workers.team())
        except NoTeam as error:
            get_run_logger().warning("workers: %s; everything is computed in this process", error)
            team = None
        work = Refining(params, watch, team, threads)
        stack.callback(work.close)
        yield work
