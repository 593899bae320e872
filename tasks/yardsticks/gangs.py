"""What would CP-SAT plan at each tick? Which spread gangs to gather where, if nothing changed for some hours."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from ortools.sat.python import cp_model

from tasks.planner.episode import Episode
from tasks.planner.world import DOMAIN_GPUS, TICK_S, Jobs, State, advance, copied, gang_score, inside, score, uplinks

SCALE = 1000


@dataclass(frozen=True, slots=True)
class RollingCpSat:
    """Solves the whole cluster anew at each tick on which a gang is spread.

    Args:
        hours: for which it takes the gangs of now to stay.
        work: deterministic time of each solve, about seconds.
    """

    hours: float
    work: float = 0.5


def play_cp_sat(given: Episode, planner: RollingCpSat) -> float:
    """Return the sum of rewards over an episode, as :func:`tasks.planner.episode.play` counts them."""
    state = copied(given.start)
    total = 0.0
    for tick in range(int((given.end_s - given.begin_s) // TICK_S)):
        advance(given.begin_s + tick * TICK_S, given.jobs, state)
        stopped = _solve_and_move(given.jobs, state, given.restart_h, planner)
        total += score(given.jobs, state) * TICK_S / 3600.0 - given.restart_h * stopped
    return total


def _solve_and_move(jobs: Jobs, state: State, restart_h: float, planner: RollingCpSat) -> int:
    """Gather what pays, and return the GPUs of jobs that stop for it."""
    running = state.running[: state.numbers[0]]
    sizes = jobs.gpus[running]
    gangs = [int(job) for job in running[(sizes > 1) & (sizes <= DOMAIN_GPUS)]]
    apart = [job for job in gangs if inside(job, jobs.gpus[job], state.held) < 1.0]
    if not apart:
        return 0
    singles = state.held[running[sizes == 1]].sum(axis=0)
    fixed = state.held[running[sizes > DOMAIN_GPUS]].sum(axis=0)
    asked, domains = uplinks(jobs, state), range(state.free.size)
    model = cp_model.CpModel()
    goes = {(job, d): model.new_bool_var("") for job in gangs for d in domains}
    stays = {job: model.new_bool_var("") for job in gangs}
    left = [model.new_int_var(0, DOMAIN_GPUS, "") for _ in domains]
    out = [model.new_int_var(0, DOMAIN_GPUS, "") for _ in domains]
    model.add(sum(left) == int(singles.sum()))
    worth = []
    for job in gangs:
        model.add_exactly_one(stays[job], *(goes[job, d] for d in domains))
        size = int(jobs.gpus[job])
        gain = (size - gang_score(job, size, state.held, asked)) * planner.hours - restart_h * size
        worth += [round(SCALE * gain) * goes[job, d] for d in domains]
    for d in domains:
        held = sum(int(jobs.gpus[job]) * goes[job, d] + int(state.held[job, d]) * stays[job] for job in gangs)
        model.add(held + left[d] + int(fixed[d]) <= DOMAIN_GPUS)
        model.add(out[d] >= int(singles[d]) - left[d])
    worth += [-round(SCALE * restart_h) * evicted for evicted in out]
    model.maximize(sum(worth))
    for job in gangs:
        model.add_hint(stays[job], 1)
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = 0
    solver.parameters.max_deterministic_time = planner.work
    if solver.solve(model) not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return 0
    stopped = 0
    for job in gangs:
        if not solver.boolean_value(stays[job]):
            stopped += int(jobs.gpus[job])
            state.held[job] = [jobs.gpus[job] * solver.boolean_value(goes[job, d]) for d in domains]
    return stopped + _settle_singles(running[sizes == 1], np.array([solver.value(n) for n in left]), state)


def _settle_singles(jobs_of_one: npt.NDArray[np.int64], left: npt.NDArray[np.int64], state: State) -> int:
    """Move jobs of one GPU until each domain holds as many as planned, bring ``free`` up to date; return the moved."""
    moved = 0
    for job in jobs_of_one:
        now = state.held[jobs_of_one].sum(axis=0)
        d = int(np.argmax(state.held[job]))
        if now[d] > left[d]:
            state.held[job, d] = 0
            state.held[job, int(np.argmax(left - now))] = 1
            moved += 1
    state.free[:] = DOMAIN_GPUS - state.held.sum(axis=0)
    return moved
