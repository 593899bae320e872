"""How well does a planner do over some days of a trace? Bandwidth over latency, less what migrations cost."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from numba import njit

from tasks.planner.consolidate import consolidate, spread_gangs
from tasks.planner.world import TICK_S, Floats, Ints, Jobs, State, advance, copied, empty_state, score

BUDGETS = (0, 8, 32, 128)
"""GPUs that one re-optimisation may move; nought is to leave things as they are."""

FEATURES = 10
"""Of each budget, see :func:`features`."""

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """What a planner sees at a tick.

    Args:
        now_s: the time.
        since_s: since it last moved anything.
        gained: score that each budget's moves would add at once, ``(budgets,)``.
        lost_h: GPU-hours that they would cost, ``(budgets,)``.
        moved: GPUs that they would move, ``(budgets,)``.
        table: all of that and the cluster's state as features, ``(budgets, FEATURES)``.
        allowed: budgets that would do something that no smaller one does, and nought, ``(budgets,)``.
        jobs: of the trace.
        state: the cluster, not to be changed.
    """

    now_s: float
    since_s: float
    gained: Floats
    lost_h: Floats
    moved: Floats
    table: Matrix
    allowed: npt.NDArray[np.bool_]
    jobs: Jobs
    state: State


class Planner(Protocol):
    """Decides at each tick."""

    def __call__(self, view: View) -> int:
        """Return which of :data:`BUDGETS` to spend now; one that is allowed."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Episode:
    """Some days of a trace on a cluster.

    Args:
        jobs: those that arrive from before ``begin_s`` on, to fill the cluster.
        start: the cluster at ``begin_s``.
        begin_s: when planning begins.
        end_s: when it ends.
        restart_h: hours that each GPU of a job loses when any of its workers moves: restore, and lost steps.
    """

    jobs: Jobs
    start: State
    begin_s: float
    end_s: float
    restart_h: float


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What a planner achieved.

    Args:
        reward: at each tick, in GPU-hours at full NVLink speed, migrations taken off, ``(ticks,)``.
        chosen: index of the budget at each tick, ``(ticks,)``.
        lost_h: GPU-hours that migrations cost.
        moved: GPUs that moved.
    """

    reward: Floats
    chosen: Ints
    lost_h: float
    moved: float

    @property
    def total(self) -> float:
        """All rewards."""
        return float(self.reward.sum())


def thinned(jobs: Jobs, share: float, rng: np.random.Generator) -> Jobs:
    """Return a random ``share`` of the jobs: another cluster with the same days."""
    kept = rng.random(jobs.gpus.size) < share
    return Jobs(jobs.arrival_s[kept], jobs.duration_s[kept], jobs.gpus[kept])


def episode(
    jobs: Jobs, domains: int, begin_s: float, end_s: float, *, restart_h: float, tidy_every: int = 0
) -> Episode:
    """Return an episode whose cluster was filled by the jobs before ``begin_s``.

    Args:
        jobs: of the trace.
        domains: of eight GPUs.
        begin_s: when planning begins.
        end_s: when it ends.
        restart_h: price of moving a job, see :class:`Episode`.
        tidy_every: ticks between re-optimisations until then; 0 is never.
    """
    own = jobs.arrival_s <= end_s
    used = Jobs(jobs.arrival_s[own], jobs.duration_s[own], jobs.gpus[own])
    state = empty_state(used, domains)
    first = float(used.arrival_s[0]) if used.arrival_s.size else begin_s
    for number in range(int((begin_s - first) // TICK_S)):
        now = first + number * TICK_S
        advance(now, used, state)
        if tidy_every and number % tidy_every == 0:
            consolidate(now, BUDGETS[-1], used, state)
    # jobs that are over are forgotten: the state is copied at each tick
    numbers = state.numbers
    alive = np.sort(
        np.concatenate(
            [state.running[: numbers[0]], state.waiting[: numbers[1]], np.arange(numbers[2], used.gpus.size)]
        )
    )
    place = np.full(used.gpus.size, -1, np.int64)
    place[alive] = np.arange(alive.size)
    running, waiting = np.zeros(alive.size, np.int64), np.zeros(alive.size, np.int64)
    running[: numbers[0]] = place[state.running[: numbers[0]]]
    waiting[: numbers[1]] = place[state.waiting[: numbers[1]]]
    arrived = int(np.count_nonzero(alive < numbers[2]))
    start = State(
        np.ascontiguousarray(state.held[alive]),
        state.free,
        state.end_s[alive],
        state.start_s[alive],
        running,
        waiting,
        np.array([numbers[0], numbers[1], arrived], np.int64),
    )
    return Episode(
        Jobs(used.arrival_s[alive], used.duration_s[alive], used.gpus[alive]), start, begin_s, end_s, restart_h
    )


def play(given: Episode, planner: Planner) -> Outcome:
    """Return what ``planner`` achieves over an episode."""
    state = copied(given.start)
    ticks = int((given.end_s - given.begin_s) // TICK_S)
    reward, chosen = np.zeros(ticks), np.zeros(ticks, np.int64)
    lost, moved, last = 0.0, 0.0, given.begin_s
    for tick in range(ticks):
        now = given.begin_s + tick * TICK_S
        advance(now, given.jobs, state)
        view = look(now, now - last, given.restart_h, given.jobs, state)
        choice = planner(view)
        if not view.allowed[choice]:
            raise ValueError(f"planner: expected one of {np.flatnonzero(view.allowed).tolist()}, got {choice}")
        cost = 0.0
        if choice:
            moves = consolidate(now, BUDGETS[choice], given.jobs, state)
            cost, last = given.restart_h * float(moves[:, 2].sum()), now
            moved += float(moves[:, 0].sum())
        lost += cost
        chosen[tick] = choice
        reward[tick] = score(given.jobs, state) * TICK_S / 3600.0 - cost
    return Outcome(reward, chosen, lost, moved)


def look(now_s: float, since_s: float, restart_h: float, jobs: Jobs, state: State) -> View:
    """Return what a planner sees: one trial with the largest budget shows what the smaller ones would do."""
    budgets = np.array(BUDGETS, np.float64)
    sums, gangs, apart = _trial(now_s, budgets, jobs, state)
    sums[:, 2] *= restart_h
    moved, gained, lost, _aged = sums.T
    allowed = np.concatenate([[True], np.diff(moved) > 0])
    table = features(sums, budgets, state, gangs, apart, since_s)
    return View(now_s, since_s, gained, lost, moved, table, allowed, jobs, state)


def features(sums: Matrix, budgets: Floats, state: State, gangs: int, apart: int, since_s: float) -> Matrix:
    """Return numbers of order one for each budget, ``(budgets, FEATURES)``.

    They are the logarithms of gain, price and gain times age; whether the gain pays the price back within an hour and
    within four; the age of what would be gathered; and of the cluster: how full, how many wait, how many gangs are
    apart, how long ago something moved.
    """
    moved, gained, lost, aged = sums.T
    free = float(state.free.sum()) / (8.0 * state.free.size)
    table = np.zeros((budgets.size, FEATURES))
    table[:, 0] = np.log1p(gained)
    table[:, 1] = np.log1p(lost)
    table[:, 2] = np.log1p(np.maximum(aged, 0.0))
    table[:, 3] = (gained - lost) / (1.0 + gained + lost)
    table[:, 4] = (4.0 * gained - lost) / (1.0 + 4.0 * gained + lost)
    table[:, 5] = np.log1p(np.maximum(aged, 0.0) / np.maximum(gained, 1e-9)) * (gained > 0)
    table[:, 6] = (1.0 - free) * (moved > 0)
    table[:, 7] = np.log1p(float(state.numbers[1])) / 8.0 * (moved > 0)
    table[:, 8] = apart / max(1, gangs) * (moved > 0)
    table[:, 9] = np.log1p(since_s / TICK_S) / 4.0 * (moved > 0)
    return table


@njit(cache=True)
def _trial(now_s: float, budgets: Floats, jobs: Jobs, state: State) -> tuple[Matrix, int, int]:
    """Return the sums of what each budget's moves would do, ``(budgets, 4)``, and gangs in all and apart."""
    gangs, apart = spread_gangs(jobs, state)
    sums = np.zeros((budgets.size, 4))
    if apart == 0:
        return sums, gangs, apart
    moves = consolidate(now_s, int(budgets[-1]), jobs, copied(state))
    for b in range(budgets.size):
        used = 0.0
        for i in range(moves.shape[0]):
            used += moves[i, 0]
            if used > budgets[b]:
                break
            for k in range(4):
                sums[b, k] += moves[i, k]
    return sums, gangs, apart
