"""What would others schedule? CP-SAT with cap modes, one cap for all in order of arrival, and least energy per work."""

from dataclasses import dataclass

import numpy as np
from ortools.sat.python import cp_model

from qiskit_solvers.errors import SolverFailed
from tasks.problems.power import Power, Schedule
from tasks.problems.power_board import laid_out, put_off
from tasks.problems.power_search import overloaded, topological
from tasks.problems.power_tables import UNLIMITED_MW
from tasks.problems.power_work import Floats, Ints, Work, cost_of

SCALE = 1_000_000
"""CP-SAT counts in integers: a millionth of the unit of cost."""

SHARES = tuple(np.linspace(0.4, 1.0, 13).tolist())
"""Caps that one cap for all is tried at, as shares of each job's highest."""


@dataclass(frozen=True, slots=True, eq=False)
class CpSatSchedule:
    """What CP-SAT returned.

    Args:
        schedule: the best that it found.
        bound: proven lower bound on the cost of schedules that are never above the cap.
        optimal: whether it proved that none is cheaper.
    """

    schedule: Schedule
    bound: float
    optimal: bool


def cp_sat(
    problem: Power, seconds: float, seed: int, *, workers: int = 1, hint: Schedule | None = None
) -> CpSatSchedule:
    """Return CP-SAT's schedule: cumulative power and GPUs, an interval per job whose length is that of its level.

    Args:
        problem: the power noun.
        seconds: time limit.
        seed: of the search.
        workers: threads; one thread and a proof give the same schedule each time.
        hint: a schedule to begin with.

    Raises:
        SolverFailed: it found no schedule that is never above the cap.
    """
    model, work, slots = cp_model.CpModel(), problem.work, problem.slots
    timed = np.isfinite(work.due) | bool(work.tariff.size)
    starts, ends, levels = [], [], []
    intervals: list[cp_model.IntervalVar] = []
    powers: list[cp_model.IntVar] = []
    objective: list[cp_model.LinearExpr] = []
    for j in range(len(problem.jobs)):
        running = bool(work.running[j])
        start = model.new_int_var(0 if running else int(work.earliest[j]), 0 if running else slots, f"start {j}")
        chosen = [model.new_bool_var(f"level {j} {k}") for k in range(int(work.levels[j]))]
        model.add_exactly_one(chosen)
        duration = sum(int(work.duration[j, k]) * chosen[k] for k in range(len(chosen)))
        end = model.new_int_var(0, slots, f"end {j}")
        model.add_min_equality(end, [start + duration, slots])  # beyond the horizon nothing is limited
        size = model.new_int_var(0, slots, f"size {j}")
        power = model.new_int_var(int(work.draw[j].min()), int(work.draw[j].max()), f"power {j}")
        model.add(power == sum(int(work.draw[j, k]) * chosen[k] for k in range(len(chosen))))
        intervals.append(model.new_interval_var(start, size, end, f"run {j}"))
        powers.append(power)
        if timed[j]:
            objective.append(_looked_up(model, work, j, start, chosen, slots))
        else:
            objective.append(round(float(work.delay[j]) * SCALE) * start)
            objective.extend(round(float(work.own[j, k]) * SCALE) * chosen[k] for k in range(len(chosen)))
        starts.append(start)
        ends.append(end)
        levels.append(chosen)
        if hint is not None:
            at, now = int(hint.start[j]), int(hint.level[j])
            until = min(slots, at + int(work.duration[j, now]))
            for variable, value in ((start, at), (end, until), (size, until - at), (power, int(work.draw[j, now]))):
                model.add_hint(variable, value)
            for k, literal in enumerate(chosen):
                model.add_hint(literal, int(now == k))
    if problem.accounts.energy_budget_kwh is not None:
        spent = (int(work.spend[j, k]) * literal for j, chosen in enumerate(levels) for k, literal in enumerate(chosen))
        model.add(sum(spent) <= int(work.budget[0]))
    for later, earlier in problem.tables.edges:
        model.add(starts[later] >= ends[earlier])
    *usable, headroom_mw = problem.tables.limit.tolist()
    if headroom_mw < UNLIMITED_MW:
        model.add_cumulative(intervals, powers, headroom_mw)
    for row in range(len(usable)):
        members = [j for j in range(len(intervals)) if row in (len(usable) - 1, work.pool[j])]
        model.add_cumulative([intervals[j] for j in members], [int(work.needs[j]) for j in members], usable[row])
    for site, room_mw in enumerate(work.site_room.tolist()):
        here, drawn = [], []
        for j in work.site_jobs[work.site_jobs_first[site] : work.site_jobs_first[site + 1]].tolist():
            entries = range(int(work.site_first[j]), int(work.site_first[j + 1]))
            table = work.site_draw[next(e for e in entries if work.site[e] == site)].tolist()
            power = model.new_int_var(min(table), max(table), f"power {j} at {site}")
            model.add(power == sum(table[k] * levels[j][k] for k in range(len(levels[j]))))
            if hint is not None:
                model.add_hint(power, table[int(hint.level[j])])
            here.append(intervals[j])
            drawn.append(power)
        if here:
            model.add_cumulative(here, drawn, room_mw)
    model.minimize(sum(objective))
    solver = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds = seconds
    solver.parameters.num_workers = workers
    solver.parameters.random_seed = seed
    status = solver.solve(model)
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        raise SolverFailed(f"CP-SAT: expected a schedule within {seconds} s, got {solver.status_name(status)}")
    rounding = (slots + 1) * len(problem.jobs) / SCALE
    return CpSatSchedule(
        Schedule(
            np.array([solver.value(start) for start in starts], dtype=np.int64),
            np.array([[solver.value(k) for k in chosen].index(1) for chosen in levels], dtype=np.int64),
        ),
        solver.best_objective_bound / SCALE - rounding,
        status == cp_model.OPTIMAL,
    )


def _looked_up(
    model: cp_model.CpModel, work: Work, job: int, start: cp_model.IntVar, chosen: list[cp_model.IntVar], slots: int
) -> cp_model.IntVar:
    """Return a variable that is the cost of a job whose lateness or energy makes it no straight line in its start."""
    starts = np.arange(slots + 1)
    costs = [round(SCALE * cost_of(job, level, int(at), work)) for level in range(len(chosen)) for at in starts]
    index = model.new_int_var(0, len(costs) - 1, f"cost index {job}")
    model.add(index == start + (slots + 1) * sum(k * chosen[k] for k in range(len(chosen))))
    cost = model.new_int_var(min(costs), max(costs), f"cost {job}")
    model.add_element(index, costs, cost)
    return cost


def uniform_cap(problem: Power) -> Schedule:
    """Return the cheapest schedule under one cap for all, jobs taken in their order to where they first fit.

    Raises:
        SolverFailed: the running jobs are above the cluster's cap at every share.
    """
    best: Schedule | None = None
    jobs = np.arange(len(problem.jobs))
    caps = problem.tables.cap_w
    highest = caps[jobs, problem.work.levels - 1]
    for share in SHARES:
        below = (caps <= share * highest[:, None] + 1e-9).sum(axis=1) - 1
        level = np.clip(below, 0, problem.work.levels - 1)
        schedule = _filled(problem, level, jobs.astype(np.float64))
        if schedule is not None and (best is None or problem.cost(schedule) < problem.cost(best)):
            best = schedule
    if best is None:
        raise SolverFailed("uniform cap: the running jobs are above the cluster's cap at every share")
    return best


def least_energy(problem: Power) -> Schedule:
    """Return the schedule of a greedy knapsack: every job at its least energy, the least energy per priority first.

    Raises:
        SolverFailed: the running jobs are above the cluster's cap even so.
    """
    level = np.argmin(problem.tables.energy_kwh, axis=1)
    energy = problem.tables.energy_kwh[np.arange(level.size), level]
    schedule = _filled(problem, level, energy / problem.work.delay)
    if schedule is None:
        raise SolverFailed("least energy: the running jobs are above the cluster's cap")
    return schedule


def _filled(problem: Power, level: Ints, key: Floats) -> Schedule | None:
    """Return jobs by rising key at their levels, each at its first fit; None above the cap or the energy budget."""
    work, tables = problem.work, problem.tables
    waiting = np.flatnonzero(work.running == 0)
    start = np.zeros(level.size, np.int64)
    start[waiting] = problem.slots
    board = laid_out(work, tables.limit, problem.slots, start, level)
    if overloaded(board) or board.purse[0] < 0:
        return None
    board.off[waiting] = 1
    put_off(topological(work, waiting, key), np.zeros(level.size, np.int64), work, board)
    return Schedule(board.start, board.level)
