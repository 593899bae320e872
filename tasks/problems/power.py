"""When does each job run, and under which power cap?"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from data.schemas.cluster import Snapshot
from data.schemas.plan import Action
from tasks.problems.power_actions import InForce, actions
from tasks.problems.power_board import Board, draws, laid_out, site_draws, summed
from tasks.problems.power_budget import budget_mj, budget_notes, over_budget_mj
from tasks.problems.power_carried import carried_schedule, draw_near
from tasks.problems.power_fill import settle
from tasks.problems.power_in_force import slot_of, starts_in_force
from tasks.problems.power_rates import Accounts, accounts_of, posed
from tasks.problems.power_search import CEILINGS, key, listed, prices, relieved, search
from tasks.problems.power_tables import MJ_PER_KWH, Tables, tabulate
from tasks.problems.power_window import moves_window
from tasks.problems.power_work import Floats, Ints, Work, extras
from tasks.problems.protocol import Figure, Found, Window

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

    ``cost = sum of priority * GPUs * (hours until the job has ended + 10 * hours after its deadline) + USD for the
    energy that jobs draw above idle GPUs and for its carbon + overload_weight * overload``. A job's energy counts for
    its whole run, also past the horizon, so that putting off saves nothing by itself; it saves where energy is
    cheaper later. Hard limits: GPUs of each model and of all models in each slot; a job starts after the jobs that
    it depends on have ended; and the power caps of the cluster, and of nodes and racks, and the energy budget of all
    runs, except that a schedule that begins above one may stay so, and never gets further above; a kWh
    above the budget costs what one above a cap does. Caps count with the draw at the snapshot's quantile, energy with
    the expected draw, deadlines with the run time of a workload that power caps slow down more than most.

    Args:
        jobs: their ids, caps and starts; all arrays follow their order.
        tables: the snapshot as arrays.
        work: what the compiled parts read, costs included.
        slots: of the horizon.
        slot_s: length of one.
        overload_weight: cost of one mW above the cap during one slot.
        in_force: the schedule to start from.
        accounts: which figures the snapshot asks for beside those that are always told.
        notes: what had to be changed in the schedule in force to make it possible, and jobs that can never run.
    """

    jobs: tuple[InForce, ...]
    tables: Tables
    work: Work
    slots: int
    slot_s: float
    overload_weight: float
    in_force: Schedule
    accounts: Accounts
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
        work, overload_weight = posed(snapshot, tables)
        start, notes = starts_in_force(snapshot, tables, work)
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
            overload_weight=overload_weight,
            in_force=Schedule(start, tables.level_in_force),
            accounts=accounts_of(snapshot),
            notes=(*notes, *budget_notes(tables, limits.energy_budget_kwh)),
        )

    def with_energy_budget(self, budget_kwh: float | None) -> "Power":
        """Return the same problem under another energy budget, or none."""
        old = budget_notes(self.tables, self.accounts.energy_budget_kwh)
        return replace(
            self,
            work=self.work._replace(budget=budget_mj(budget_kwh, self.tables)),
            accounts=replace(self.accounts, energy_budget_kwh=budget_kwh),
            notes=(
                *(note for note in self.notes if note not in old),
                *budget_notes(self.tables, budget_kwh),
            ),
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
        if self.cost(found) < self.cost(decision) and self._no_further_above(found, decision):
            return Found(found, done, accepted)
        return Found(decision, done, 0)

    def carried(self, actions: tuple[Action, ...]) -> Schedule:
        """Return the schedule that an earlier plan means, as near to it as fits; its starts count from now."""
        in_force = (self.in_force.start, self.in_force.level)
        meant = Schedule(
            *carried_schedule(actions, self.jobs, self.tables, self.work, in_force, self.slots, self.slot_s)
        )
        return meant if self.feasible(meant) else self.in_force

    def nearer(self, decision: Schedule, last: Schedule, allowance: float) -> Schedule:
        """Return ``decision`` with starts and levels of ``last`` where they fit and cost at most ``allowance``."""
        board = self._board(decision)
        draw_near(last.start, last.level, allowance, self.work, board)
        near = Schedule(board.start, board.level)
        kept = self.cost(near) <= self.cost(decision) + allowance and self.feasible(near)
        return near if kept else decision

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
        made = [
            Figure("power.peak_w", "W", float(power_w.max()), "lower"),
            Figure("power.overload_kwh", "kWh", self.overload_kwh(decision), "lower"),
            Figure("power.energy_kwh", "kWh", float(power_w.sum()) * self.slot_s / 3.6e6, "lower"),
            Figure("power.weighted_completion_h", "h", hours, "lower"),
        ]
        if self.accounts.margins:
            made.append(Figure("power.peak_high_w", "W", float(self.high_w(decision).max()), "lower"))
        if self.tables.sites.limited:
            made.append(Figure("power.site_overload_kwh", "kWh", self.site_overload_kwh(decision), "lower"))
        if self.accounts.energy_budget_kwh is not None:
            made.append(Figure("power.jobs_energy_kwh", "kWh", self.energy_kwh(decision), "lower"))
        if self.accounts.deadlines:
            made.append(Figure("power.missed_deadlines", "jobs", float(self.missed(decision).size), "lower"))
        for name, unit, rate in self.accounts.rates(self.slots):
            spent = float((power_w * rate).sum()) * self.slot_s / 3.6e6
            made.append(Figure(name, unit, spent, "lower"))
        return tuple(made)

    def power_w(self, decision: Schedule) -> Floats:
        """Return the expected draw of the whole cluster, ``(slots,)`` W; a slot in which a job ends counts whole."""
        jobs = np.arange(len(self.jobs))
        mean_mw, duration = (table[jobs, decision.level] for table in (self.tables.mean_mw, self.work.duration))
        return self.tables.background_w + summed(mean_mw, self.slots, decision.start, duration) / 1e3

    def high_w(self, decision: Schedule) -> Floats:
        """Return the sum of what each job exceeds only as often as the quantile allows, ``(slots,)`` W."""
        return self.tables.background_w + draws(self.work, self.slots, decision.start, decision.level) / 1e3

    def missed(self, decision: Schedule) -> Ints:
        """Return the jobs that end after their deadlines if power caps slow them down more than most, as positions."""
        jobs = np.arange(len(self.jobs))
        return np.flatnonzero(decision.start + self.work.slow[jobs, decision.level] > self.work.due + 1e-9)

    def overload_kwh(self, decision: Schedule) -> float:
        """Return the energy above the cluster's power cap within the horizon."""
        above = np.maximum(0, draws(self.work, self.slots, decision.start, decision.level) - self.tables.limit[-1])
        return float(above.sum()) * 1e-6 * self.slot_s / 3600

    def site_overload_kwh(self, decision: Schedule) -> float:
        """Return the same over nodes and racks, with what jobs without nodes draw above their share in their run."""
        jobs, sites = np.arange(len(self.jobs)), self.tables.sites
        excess = (sites.excess_mw * self.work.duration)[jobs, decision.level].sum()
        return (float(self._above_sites(decision.start, decision.level)) + float(excess)) * 1e-6 * self.slot_s / 3600

    def lowest_site_overload_kwh(self) -> float:
        """Return what is left of it at the starts in force with every job at its lowest cap."""
        return self.site_overload_kwh(Schedule(self.in_force.start, np.zeros_like(self.in_force.level)))

    def energy_kwh(self, decision: Schedule) -> float:
        """Return the energy that all jobs draw above idle GPUs until they have ended; what a budget is on."""
        return int(self.tables.energy_mj[np.arange(len(self.jobs)), decision.level].sum()) / MJ_PER_KWH

    def least_energy_kwh(self) -> float:
        """Return the same with every job at the cap level that needs least: no schedule takes less."""
        return int(self.tables.energy_mj.min(axis=1).sum()) / MJ_PER_KWH

    def feasible(self, decision: Schedule) -> bool:
        """Return whether ``decision`` keeps GPUs and dependencies, and is no further above a limit than in force."""
        board, edges = self._board(decision), self.tables.edges
        ends = np.minimum(self.slots, decision.start + self.work.duration[np.arange(len(self.jobs)), decision.level])
        return bool(
            board.free.min() >= 0
            and np.all(decision.start[edges[:, 0]] >= ends[edges[:, 1]])
            and np.all((decision.start >= self.work.earliest) & (decision.start <= self.slots))
            and np.all(decision.start[self.work.running == 1] == 0)
            and np.all((decision.level >= 0) & (decision.level < self.work.levels))
            and self._no_further_above(decision, self.in_force)
        )

    def _cost(self, start: Ints, level: Ints) -> float:
        above = np.maximum(0, draws(self.work, self.slots, start, level) - self.tables.limit[-1]).sum()
        jobs = np.arange(start.size)
        each = self.work.own[jobs, level] + self.work.delay * start
        if self.accounts.deadlines or self.work.tariff.size:
            each += extras(self.work, start, level)
        each_above = self.overload_weight * float(above + self._above_sites(start, level))
        over_budget = float(self.work.over_budget[0]) * over_budget_mj(self.work, level)
        return float(each.sum() + each_above + over_budget)

    def _above_sites(self, start: Ints, level: Ints) -> int:
        """Return what jobs with nodes draw above the caps of nodes and racks within the horizon, in mW times slots."""
        if not self.tables.sites.limited:
            return 0
        drawn = site_draws(self.work, self.slots, start, level)
        return int(np.maximum(0, drawn - self.work.site_room[:, None]).sum())

    def _no_further_above(self, decision: Schedule, than: Schedule) -> bool:
        return (
            self.overload_kwh(decision) <= self.overload_kwh(than)
            and over_budget_mj(self.work, decision.level) <= over_budget_mj(self.work, than.level)
            and (not self.tables.sites.limited or self.site_overload_kwh(decision) <= self.site_overload_kwh(than))
        )

    def _board(self, decision: Schedule) -> Board:
        return laid_out(self.work, self.tables.limit, self.slots, decision.start, decision.level)
