"""How does the time of an improvement grow with the cluster? Search and windows from 1,000 to 50,000 GPUs."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qiskit_solvers.anneal import Anneal
from tasks.problems.placement import Placement
from tasks.refine import Effort, refine
from tests.benchmarks.placement.instances import Family, Half, instance, read_trace

FAMILY = Family("philly", "nvl72", 2)
"""A running job of Philly holds 2.6 GPUs in the mean; twice that is the goal's 2,000 jobs on 10,000 GPUs."""

EVALUATIONS_PER_JOB = 200
"""As the standard effort has at 2,000 jobs; the effort grows with the cluster, so that its time is comparable."""

GOAL_S = 120.0
GOAL_GPUS = 10_000
GOAL_EXPONENT = 1.3


@dataclass(frozen=True, slots=True)
class Grown:
    """One size: seconds of posing the problem, of search and windows, and of writing the actions and figures."""

    gpus: int
    jobs: int
    pose_s: float
    improve_s: float
    plan_s: float
    incumbent: float
    reached: float
    windows: int

    @property
    def whole_s(self) -> float:
        """Seconds from the snapshot to the actions."""
        return self.pose_s + self.improve_s + self.plan_s


def growth(folder: Path, half: Half, sizes: Sequence[int], *, seed: int) -> list[Grown]:
    """Return the time of the standard effort at each size, scaled with the jobs, and print a table."""
    trace = read_trace(folder, FAMILY.trace).half(half)
    print(f"\ngrowth: {EVALUATIONS_PER_JOB} evaluations for each job, 12 windows of 14 moves, {FAMILY.name}")
    head = ("GPUs", "jobs", "pose s", "improve s", "plan s", "in force", "reached", "windows")
    print("".join(f"{word:>11}" for word in head))
    rows = []
    for gpus in sizes:
        snapshot = instance(trace, FAMILY, gpus=gpus, seed=seed, looks=2)
        began = time.perf_counter()
        problem = Placement.from_snapshot(snapshot)
        incumbent = problem.cost(problem.incumbent())
        posed = time.perf_counter()
        if not rows:
            refine(problem, Anneal(), np.random.default_rng(seed), effort=Effort(evaluations=100, rounds=1))  # compile
            posed, began = time.perf_counter(), time.perf_counter() - (posed - began)
        effort = Effort(evaluations=EVALUATIONS_PER_JOB * len(snapshot.jobs))
        refined = refine(problem, Anneal(), np.random.default_rng(seed), effort=effort)
        improved = time.perf_counter()
        problem.actions(refined.decision)
        problem.figures(refined.decision)
        planned = time.perf_counter()
        row = Grown(
            sum(node.gpus for node in snapshot.nodes),
            len(snapshot.jobs),
            posed - began,
            improved - posed,
            planned - improved,
            incumbent,
            refined.costs[-1],
            sum(row.windows for row in refined.rows),
        )
        rows.append(row)
        print(
            f"{row.gpus:11,}{row.jobs:11,}{row.pose_s:11.2f}{row.improve_s:11.2f}{row.plan_s:11.2f}"
            f"{row.incumbent:11.1f}{row.reached:11.1f}{row.windows:11}",
            flush=True,
        )
    if len(rows) > 1:
        print(f"seconds grow as GPUs to the power of {exponent(rows):.2f} (goal: at most {GOAL_EXPONENT})")
    for row in rows:
        if row.gpus >= GOAL_GPUS:
            verdict = "met" if row.whole_s <= GOAL_S else "missed"
            print(f"{row.gpus:,} GPUs, {row.jobs:,} jobs: {row.whole_s:.1f} s (goal {GOAL_S:.0f} s: {verdict})")
            break
    return rows


def exponent(rows: Sequence[Grown]) -> float:
    """Return the slope of log seconds over log GPUs, by least squares."""
    gpus, seconds = np.log([row.gpus for row in rows]), np.log([row.whole_s for row in rows])
    return float(np.polyfit(gpus, seconds, 1)[0])
