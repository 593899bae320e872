"""When does each job run, and under which power cap?"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from data.schemas.cluster import Snapshot
from data.schemas.plan import Action
from tasks.problems.power_actions import InForce, actions
from tasks.problems.power_board import Board, Floats, Ints, Work, draws, laid_out, settle
from tasks.problems.power_in_force import slot_of, starts_in_force
from tasks.problems.power_search import CEILINGS, key, listed, prices, relieved, search
from tasks.problems.power_tables import Tables, rows, tabulate
from tasks.problems.power_window import moves_window
from tasks.problems.protocol import Figure, Found, Window

HOURS_PER_OVERLOAD_KWH = 1000.0
"""One kWh above the cap costs as much as delaying every job by this many hours: relief always pays."""

BOUND_STEPS, BOUND_EFFORT = 300, 1_500_000
"""Steps on prices at most, and steps times jobs; more steps raised the bound by less than a thousandth on 500 jobs."""


@dataclass(frozen=True, slots=True, eq=False)
class Schedule:
    """Start slot and cap level of each job.

    Args:
        start: ``(jobs,)``; the number of slots means not scheduled within the horizon.
        level: column of the job's cap levels, ``(jobs,)``.

    Raises:
        ValueError: the shapes differ.
    """

    start: Ints
    level: Ints

    def __post_init__(self) -> None:
        if self.start.ndim != 1 or self.start.shape != self.level.shape:
            raise ValueError(f"start, level: expected shape (jobs,), got {self.start.shape} and {self.level.shape}")
        self.start.setflags(write=False)
        self.level.setflags(write=False)


@dataclass(frozen=True, slots=True, eq=False)
class Power:
    """The power noun: the unit of its cost is one GPU-hour of delay at priority 1, taken to be worth 1 USD.

    ``cost = sum of priority * GPUs * hours until the job has ended + USD for the energy that jobs draw above idle
    GPUs + overload_weight * overload``. A job's energy counts for its whole run, also past the horizon, so that
    putting off saves nothing. Hard limits: GPUs of each model and of all models in each slot; a job starts after
    the jobs that it depends on have ended; and the cluster's power cap, except that a schedule that begins above
    it may stay so, and never gets further above.

    Args:
        jobs: their ids, caps and starts; all arrays follow their order.
        tables: the snapshot as arrays.
        work: what the compiled parts read, costs included.
        slots: of the horizon.
        slot_s: length of one.
        overload_weight: cost of one mW above the cap during one slot.
        in_force: the schedule to start from.
        notes: what had to be changed in the schedule in force to make it possible, and jobs that can never run.
    """

    jobs: tuple[InForce, ...]
    tables: Tables
    work: Work
    slots: int
    slot_s: float
    overload_weight: float
    in_force: Schedule
    notes: tuple[str, ...]

    @classmethod
    def from_snapshot(cls, snapshot: Snapshot, gpu_power_w: Mapping[str, float] | None = None) -> "Power":
        """Return the problem of ``snapshot``.

        Args:
            snapshot: at least one node; a dependency on a job that it does not hold counts as done.
            gpu_power_w: forecast draw of each GPU of a job without a cap, by job id; goes before the snapshot's.

        Raises:
            ValueError: the snapshot has no nodes.
        """
        limits = snapshot.limits
        tables = tabulate(snapshot, gpu_power_w or {})
        count = len(snapshot.jobs)
        weight = np.array([job.priority * job.gpus for job in snapshot.jobs], dtype=np.float64)
        work = Work(
            levels=tables.levels,
            duration=tables.duration,
            draw=tables.draw_mw,
            own=weight[:, None] * tables.seconds / 3600 + limits.energy_price_usd_per_kwh * tables.energy_kwh,
            delay=weight * limits.slot_s / 3600,
            earliest=tables.earliest,
            running=tables.running,
            needs=tables.needs,
            pool=tables.pool,
            before_first=rows(tables.edges, count, 0)[0],
            before=rows(tables.edges, count, 0)[1],
            after_first=rows(tables.edges, count, 1)[0],
            after=rows(tables.edges, count, 1)[1],
        )
        start, notes = starts_in_force(snapshot, tables, work)
        kwh_per_mw_slot = 1e-6 * limits.slot_s / 3600
        return cls(
            jobs=tuple(
                InForce(
                    job=job.id,
                    cap_w=job.gpu_power_cap_w,
                    start_s=job.planned_start_s,
                    slot=slot_of(job.planned_start_s, limits.slot_s, limits.horizon_slots),
                )
                for job in snapshot.jobs
            ),
            tables=tables,
            work=work,
            slots=limits.horizon_slots,
            slot_s=limits.slot_s,
            overload_weight=HOURS_PER_OVERLOAD_KWH * float(weight.sum()) * kwh_per_mw_slot,
            in_force=Schedule(start, tables.level_in_force),
            notes=notes,
        )

    @property
    def name(self) -> str:
        """How reports call it."""
        return "power"

    def incumbent(self) -> Schedule:
        """Return the schedule in force; jobs without a planned start are not scheduled."""
        return self.in_force

    def cost(self, decision: Schedule) -> float:
        """Return the exact cost in GPU-hours of delay at priority 1 (or USD)."""
        return self._cost(decision.start, decision.level)

    def bound(self) -> float:
        """Return a lower bound: prices on power and GPUs, dependencies only through their shortest chains."""
        if not self.jobs:
            return 0.0
        base, _ = relieved(self.work, self._board(self.in_force), self.overload_weight)
        known = self.cost(self.in_force)
        for ceiling in CEILINGS:
            board = listed(self.work, base, key(self.work, base, "gpu time", ceiling), ceiling, 0.0)
            known = min(known, self._cost(board.start, board.level))
        steps = min(BOUND_STEPS, max(50, BOUND_EFFORT // len(self.jobs)))
        bound, _ = prices(self.work, self.slots, self.tables.limit, self.overload_weight, known, steps)
        return bound - 1e-9 * abs(bound)  # what rounding may have added

    def search(self, decision: Schedule, evaluations: int, rng: np.random.Generator) -> Found[Schedule]:
        """Relieve, list, then anneal; changes that gain nothing over the schedule in force are taken back."""
        if not self.jobs or evaluations < 1:
            return Found(decision, 0, 0)
        start, level, done, accepted = search(
            self.work, self._board(decision), self._cost, self.overload_weight, self.tables.limit, evaluations, rng
        )
        board = self._board(Schedule(start, level))
        settle(self.in_force.start, self.in_force.level, self.work, board)
        found = Schedule(board.start, board.level)
        if self.cost(found) < self.cost(decision) and self.overload_kwh(found) <= self.overload_kwh(decision):
            return Found(found, done, accepted)
        return Found(decision, done, 0)

    def window(self, decision: Schedule, size: int, rng: np.random.Generator) -> Window[Schedule]:
        """Return a window of changes that would pay but for a limit, and of those that make room for them."""
        drafts = moves_window(self._board(decision), self.cost(decision), self.work, self.overload_weight, size, rng)

        def sew(string: npt.NDArray[np.int8]) -> Schedule:
            board = drafts.sew(string).board
            return Schedule(board.start, board.level)

        return Window(drafts.ising, sew)

    def actions(self, decision: Schedule) -> tuple[Action, ...]:
        """Return the recaps and starts that lead from what is in force to ``decision``."""
        return actions(
            self.jobs,
            self.tables,
            self.work,
            before=(self.in_force.start, self.in_force.level),
            after=(decision.start, decision.level),
            slots=self.slots,
            slot_s=self.slot_s,
            overload_weight=self.overload_weight,
        )

    def figures(self, decision: Schedule) -> tuple[Figure, ...]:
        """Return what an operator reads; all over the horizon, except for the mean hours until a job has ended."""
        power_w = self.power_w(decision)
        weight = self.work.delay
        seconds = self.tables.seconds[np.arange(len(self.jobs)), decision.level] + decision.start * self.slot_s
        hours = float(weight @ seconds) / float(weight.sum()) / 3600 if self.jobs else 0.0
        return (
            Figure("power.peak_w", "W", float(power_w.max()), "lower"),
            Figure("power.overload_kwh", "kWh", self.overload_kwh(decision), "lower"),
            Figure("power.energy_kwh", "kWh", float(power_w.sum()) * self.slot_s / 3.6e6, "lower"),
            Figure("power.weighted_completion_h", "h", hours, "lower"),
        )

    def power_w(self, decision: Schedule) -> Floats:
        """Return the draw of the whole cluster, ``(slots,)`` W; a slot in which a job ends counts whole."""
        return self.tables.background_w + draws(self.work, self.slots, decision.start, decision.level) / 1e3

    def overload_kwh(self, decision: Schedule) -> float:
        """Return the energy above the power cap within the horizon."""
        above = np.maximum(0, draws(self.work, self.slots, decision.start, decision.level) - self.tables.limit[-1])
        return float(above.sum()) * 1e-6 * self.slot_s / 3600

    def energy_kwh(self, decision: Schedule) -> float:
        """Return the energy that all jobs draw above idle GPUs until they have ended."""
        return float(self.tables.energy_kwh[np.arange(len(self.jobs)), decision.level].sum())

    def feasible(self, decision: Schedule) -> bool:
        """Return whether ``decision`` keeps GPUs and dependencies, and is no further above the cap than in force."""
        board, edges = self._board(decision), self.tables.edges
        ends = np.minimum(self.slots, decision.start + self.work.duration[np.arange(len(self.jobs)), decision.level])
        return bool(
            board.free.min() >= 0
            and np.all(decision.start[edges[:, 0]] >= ends[edges[:, 1]])
            and np.all((decision.start >= self.work.earliest) & (decision.start <= self.slots))
            and np.all(decision.start[self.work.running == 1] == 0)
            and np.all((decision.level >= 0) & (decision.level < self.work.levels))
            and self.overload_kwh(decision) <= self.overload_kwh(self.in_force)
        )

    def _cost(self, start: Ints, level: Ints) -> float:
        above = np.maximum(0, draws(self.work, self.slots, start, level) - self.tables.limit[-1]).sum()
        own = self.work.own[np.arange(start.size), level]
        return float((own + self.work.delay * start).sum() + self.overload_weight * float(above))

    def _board(self, decision: Schedule) -> Board:
        return laid_out(self.work, self.tables.limit, self.slots, decision.start, decision.level)
