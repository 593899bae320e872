"""How good are schedules under a power cap? Ours beside CP-SAT in the same seconds, and beside what operators use.

Jobs arrive as in the Philly trace, replayed until so many of them run or wait, on nodes of eight V100 GPUs; each job
gets, by chance, one of the 68 workloads whose speed and draw under seven caps were measured for Zeus (NSDI 2023). The
cap is a share of what the cluster draws with every GPU at its highest cap. Every instance is another time of the
trace and another draw of workloads and priorities. CP-SAT gets one thread as the search does, first the seconds that
the search took, then thirty times as many on eight threads, where it runs its whole portfolio; it begins from the list
of the uniform cap. CP-SAT from our schedule shows what it still finds. Medians over the instances.

Run: ``python -m tests.benchmarks.bench_power [--jobs 60 500] [--shares 0.6 0.8] [--evaluations 1000000]``.
"""

import argparse
import csv
import os
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from data.readers.traces import read_philly
from data.schemas.cluster import Limits, Snapshot
from data.schemas.job import Job, PowerLevel
from qiskit_solvers.errors import SolverFailed
from tasks.problems.power import Power, Schedule
from tasks.yardsticks.power import cp_sat, least_energy, uniform_cap

ROOT = Path(__file__).resolve().parents[2]

PATIENCE, WORKERS = 30.0, 8
"""Times the seconds of the search, and threads, that CP-SAT gets in its longer runs."""


@dataclass(frozen=True, slots=True)
class Workload:
    """A measured workload: speed under each cap, and draw without one."""

    name: str
    levels: tuple[PowerLevel, ...]
    gpu_power_w: float


@dataclass(frozen=True, slots=True)
class Measured:
    """What one method reached on one instance."""

    gap_percent: float
    weighted_completion_h: float
    job_energy_kwh: float
    seconds: float


def main() -> None:
    """Print one table per size and cap."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, nargs="+", default=[60, 500])
    parser.add_argument("--shares", type=float, nargs="+", default=[0.6, 0.8])
    parser.add_argument("--evaluations", type=int, default=1_000_000)
    parser.add_argument("--instances", type=int, default=5)
    options = parser.parse_args()
    folder = Path(os.environ.get("QUANTUMFLOW_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        sys.exit(f"no real data: {folder} is missing (set QUANTUMFLOW_DATA)")
    workloads = read_workloads(folder / "zeus_nsdi23" / "summary_power_v100.csv")
    for jobs in options.jobs:
        for share in options.shares:
            results: dict[str, list[Measured]] = defaultdict(list)
            for seed in range(options.instances):
                snapshot = instance(folder, workloads, jobs, share, seed)
                for name, measured in compared(Power.from_snapshot(snapshot), options.evaluations, seed).items():
                    results[name].append(measured)
            show(jobs, share, results, options.instances)


def read_workloads(path: Path) -> tuple[Workload, ...]:
    """Return the measured workloads; speed is relative to the highest cap, and never above 1."""
    times: dict[str, dict[float, tuple[float, float]]] = defaultdict(dict)
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            name = "-".join((row["dataset"], row["network"], row["batch_size"], row["optimizer"]))
            times[name][float(row["power_limit"])] = (float(row["time_per_epoch"]), float(row["average_power"]))
    workloads = []
    for name, measured in sorted(times.items()):
        full, draw_w = measured[max(measured)]
        levels = tuple(PowerLevel(cap, min(1.0, full / seconds)) for cap, (seconds, _) in sorted(measured.items()))
        workloads.append(Workload(name, levels, draw_w))
    return tuple(workloads)


def instance(folder: Path, workloads: tuple[Workload, ...], jobs: int, share: float, seed: int) -> Snapshot:
    """Return ``jobs`` jobs of the trace on about half as many GPUs as they ask for, under a cap."""
    rng = np.random.default_rng(seed)
    trace = folder / "philly_sia" / "philly_sorted_rows20000_40000.csv"
    reading = read_philly(trace, jobs=jobs, gpus=max(16, jobs // 2 // 8 * 8), speedup=10.0 * (seed + 1))
    nodes = tuple(
        replace(node, gpu_power_min_w=100.0, gpu_power_max_w=250.0, gpu_idle_w=30.0, base_power_w=500.0)
        for node in reading.snapshot.nodes
    )

    def drawn(job: Job) -> Job:
        work = workloads[int(rng.integers(len(workloads)))]
        priority = float(rng.choice([1.0, 2.0, 5.0]))
        return replace(
            job, power_levels=work.levels, gpu_power_w=work.gpu_power_w, priority=priority, workload=work.name
        )

    highest_w = sum(node.base_power_w + node.gpus * node.gpu_power_max_w for node in nodes)
    limits = Limits(power_cap_w=share * highest_w, slot_s=300.0, horizon_slots=96)
    return replace(
        reading.snapshot, nodes=nodes, jobs=tuple(drawn(job) for job in reading.snapshot.jobs), limits=limits
    )


def compared(problem: Power, evaluations: int, seed: int) -> dict[str, Measured]:
    """Return what each method reaches; a method without a schedule under the cap is missing."""
    bound = problem.bound()
    problem.search(problem.incumbent(), 10_000, np.random.default_rng(seed))  # compiled before it is timed

    def timed(method: Callable[[], Schedule]) -> tuple[Schedule, Measured]:
        begin = time.perf_counter()
        schedule = method()
        seconds = time.perf_counter() - begin
        cost = problem.cost(schedule)
        hours = next(f.value for f in problem.figures(schedule) if f.name == "power.weighted_completion_h")
        gap = 100 * (cost - bound) / bound
        return schedule, Measured(gap, hours, problem.energy_kwh(schedule), seconds)

    found, ours = timed(lambda: problem.search(problem.incumbent(), evaluations, np.random.default_rng(seed)).decision)
    start = uniform_cap(problem)
    methods: dict[str, Callable[[], Schedule]] = {
        "uniform cap, in order": lambda: uniform_cap(problem),
        "least energy per work": lambda: least_energy(problem),
        "CP-SAT, same seconds": lambda: cp_sat(problem, ours.seconds, seed, hint=start).schedule,
        "CP-SAT, 30 x seconds": lambda: longer(start),
        "CP-SAT, 30 x, from ours": lambda: longer(found),
    }

    def longer(hint: Schedule) -> Schedule:
        return cp_sat(problem, PATIENCE * ours.seconds, seed, workers=WORKERS, hint=hint).schedule

    results = {"search": ours}
    for name, method in methods.items():
        try:
            results[name] = timed(method)[1]
        except SolverFailed:
            print(f"  instance {seed}: {name} found no schedule", file=sys.stderr)
    return results


def show(jobs: int, share: float, results: dict[str, list[Measured]], instances: int) -> None:
    """Print the medians."""
    print(f"\n{jobs} jobs, cap {share:.0%} of the highest draw, medians of {instances}")
    print(f"{'method':<26} {'above bound %':>13} {'completion h':>13} {'job kWh':>9} {'s':>7} {'found':>6}")
    for name, rows in results.items():
        middle = [statistics.median(getattr(row, field) for row in rows) for field in Measured.__dataclass_fields__]
        figures = f"{middle[0]:13.2f} {middle[1]:13.3f} {middle[2]:9.1f} {middle[3]:7.2f}"
        print(f"{name:<26} {figures} {len(rows):>4}/{instances}")


if __name__ == "__main__":
    main()
