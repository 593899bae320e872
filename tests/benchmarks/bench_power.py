"""How good are schedules under power caps, and do the caps hold when draws were forecast wrongly?

Jobs arrive as in the Philly trace, replayed until so many of them run or wait, on nodes of eight GPUs of one of the
four models that were swept for Zeus (NSDI 2023); each job gets, by chance, one of that model's measured workloads.
The cluster's cap lies between what it draws with every GPU at its lowest cap and at its highest, so that it can be
kept; racks have caps of their own, a tenth above their share of it. Every instance is another time of the trace,
model, cap and draw of workloads and priorities. Workloads are split in two by the hash of their names; all reports
are on the half that nothing was chosen on.

Three tables. (1) Cost in the same seconds, where one cap for all, in order of arrival, is in force: CP-SAT with cap
modes (one thread, begun from what is in force), the greedy list of least energy per work, ours with annealing on
windows, ours with QAOA. (2) Cost, weighted completion and energy of our search alone beside CP-SAT's for 60 and 500
jobs. (3) How often the cluster's cap or a rack's is exceeded when every draw is forecast: a job's draw is taken as the
median of the known half's workloads of its network, else of its data set; what known workloads drew in truth over
the forecast from the others gives the quantile that the margin allows for. True draws are the measured ones of the
held-out half. Schedules with the margin stand beside those without.

Run: ``python -m tests.benchmarks.bench_power [--quick] [--seconds 4] [--instances 20] [--folder runs/bench-power]``.
"""

import argparse
import hashlib
import json
import os
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from data.readers.power.zeus_sweep import MeasuredWorkload, read_power_sweep
from data.readers.traces.philly import read_philly
from data.schemas.cluster import Limits, Snapshot
from data.schemas.job import Job
from data.transition import apply_actions
from qiskit_solvers.errors import SolverFailed
from tasks.problems.power import Power, Schedule
from tasks.problems.power_board import site_draws
from tasks.yardsticks.power import cp_sat, least_energy, uniform_cap
from tests.benchmarks.columns import Interval, compared, interval

ROOT = Path(__file__).resolve().parents[2]
MODELS = {"V100": ("v100", 250.0, 100.0), "A40": ("a40", 300.0, 100.0), "RTX6000": ("rtx6000", 260.0, 100.0),
          "P100": ("p100", 250.0, 125.0)}  # fmt: skip
"""File, highest and lowest cap in watts."""

QUANTILES = (0.5, 0.8, 0.9, 0.95, 0.99)


@dataclass(frozen=True, slots=True)
class Sweep:
    """A GPU model with its workloads: those that choices may be made on, and those that are reported on."""

    model: str
    known: tuple[MeasuredWorkload, ...]
    held_out: tuple[MeasuredWorkload, ...]


@dataclass(frozen=True, slots=True)
class Beside:
    """Ours over CP-SAT's at equal seconds, less one, in percent, below 0 is better for us."""

    jobs: int
    answered: int
    instances: int
    cost: str
    completion: str
    energy: str


@dataclass(frozen=True, slots=True)
class Broken:
    """Caps exceeded by true draws, over plans, at one quantile."""

    quantile: float
    margin: bool
    plans: int
    plans_above: int
    slots_above_percent: float
    worst_percent: float
    completion_percent: float


def main() -> None:
    """Print the three tables, and write them with a plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few small instances: does it run at all?")
    parser.add_argument("--seconds", type=float, default=4.0, help="for each method on each instance")
    parser.add_argument("--instances", type=int, default=20)
    parser.add_argument("--patience", type=float, default=1.0, help="times as many seconds for CP-SAT in table 2")
    parser.add_argument("--folder", type=Path, default=ROOT / "runs" / "bench-power")
    options = parser.parse_args()
    folder = Path(os.environ.get("QUANTUMFLOW_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        sys.exit(f"no real data: {folder} is missing (set QUANTUMFLOW_DATA)")
    run(folder, options.folder, options.seconds, options.instances, quick=options.quick, patience=options.patience)


def run(data: Path, folder: Path, seconds: float, instances: int, *, quick: bool, patience: float = 1.0) -> None:
    """Run every table; ``quick`` with small figures throughout."""
    swept = sweeps(data)
    seconds, instances = (0.3, 2) if quick else (seconds, instances)
    sizes = (24, 24) if quick else (60, 120)
    problems = [
        (f"{number:02d} {swept[number % 4].model}", capped_alike(instance(data, swept, sizes[number % 2], number)))
        for number in range(instances)
    ]
    yardsticks = {
        "CP-SAT cumulative with cap modes": lambda problem, limit: answered(problem, problem.incumbent(), limit),
        "greedy, least energy per work": lambda problem, _limit: greedy(problem, least_energy),
    }
    columns = compared(problems, yardsticks, seconds=seconds, seed=0)
    columns.show(f"power: {sizes[0]} or {sizes[1]} jobs under cluster and rack caps")
    columns.save(folder, "columns")
    beside = [
        scaled(data, swept, jobs, seconds, 2 if quick else 6, patience) for jobs in ((24,) if quick else (60, 500))
    ]
    theirs = f"{patience * seconds:g} s of CP-SAT"
    print(f"\n{seconds:g} s of our search over {theirs}, less one, in %: below 0 is better for us; 95 % intervals")
    print(f"{'jobs':>5} {'CP-SAT answered':>16} {'cost':>28} {'weighted completion':>28} {'energy':>28}")
    for row in beside:
        told = f"{row.answered}/{row.instances}"
        print(f"{row.jobs:5d} {told:>16} {row.cost:>28} {row.completion:>28} {row.energy:>28}")
    broken = violations(data, swept, 3 if quick else 20, 24 if quick else 120)
    print("\ncaps under forecast error: true draws of held-out workloads, plans made on forecasts")
    heads = ("quantile", "margin", "plans above", "slots above, %", "worst, % of cap", "completion, %")
    print(" ".join(f"{name:>15}" for name in heads))
    for each in broken:
        told_of = (
            f"{each.quantile:.2f}",
            "yes" if each.margin else "no",
            f"{each.plans_above}/{each.plans}",
            f"{each.slots_above_percent:.2f}",
            f"{each.worst_percent:.2f}",
            f"{each.completion_percent:+.2f}",
        )
        print(" ".join(f"{value:>15}" for value in told_of))
    told = {"beside_cp_sat": [asdict(row) for row in beside], "forecast_error": [asdict(each) for each in broken]}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tables.json").write_text(json.dumps(told, indent=1) + "\n")


def sweeps(data: Path) -> tuple[Sweep, ...]:
    """Return the four GPU models, each with its workloads in two halves; which, the hash of the name says."""
    made = []
    for model, (name, _, _) in MODELS.items():
        workloads = read_power_sweep(data / "zeus_nsdi23" / f"summary_power_{name}.csv").workloads
        sides: tuple[list[MeasuredWorkload], list[MeasuredWorkload]] = ([], [])
        for workload in workloads:
            sides[hashlib.sha256(workload.name.encode()).digest()[0] % 2].append(workload)
        made.append(Sweep(model, tuple(sides[0]), tuple(sides[1])))
    return tuple(made)


def instance(data: Path, swept: Sequence[Sweep], jobs: int, seed: int) -> Snapshot:
    """Return ``jobs`` jobs of the trace on about half as many GPUs as they ask for, with held-out workloads."""
    rng = np.random.default_rng(seed)
    sweep = swept[seed % len(swept)]
    _, highest_w, lowest_w = MODELS[sweep.model]
    trace = data / "philly_sia" / "philly_sorted_rows20000_40000.csv"
    reading = read_philly(trace, jobs=jobs, gpus=max(16, jobs // 2 // 8 * 8), speedup=10.0 * (1 + seed % 7))
    nodes = tuple(
        replace(
            node,
            gpu_model=sweep.model,
            gpu_power_min_w=lowest_w,
            gpu_power_max_w=highest_w,
            gpu_idle_w=30.0,
            base_power_w=500.0,
            rack=f"rack-{number // 2:03d}",
        )
        for number, node in enumerate(reading.snapshot.nodes)
    )

    def drawn(job: Job) -> Job:
        work = sweep.held_out[int(rng.integers(len(sweep.held_out)))]
        return replace(
            job,
            gpu_model=None if job.gpu_model is None else sweep.model,
            power_levels=work.levels,
            gpu_power_w=work.gpu_power_w,
            priority=float(rng.choice([1.0, 2.0, 5.0])),
            workload=work.name,
        )

    share = float(rng.choice([0.25, 0.4, 0.6]))
    node_w = 500.0 + 8 * (lowest_w + share * (highest_w - lowest_w))
    limits = Limits(
        power_cap_w=node_w * len(nodes),
        rack_power_cap_w=1.1 * 2 * node_w,
        slot_s=300.0,
        horizon_slots=96,
    )
    return replace(
        reading.snapshot,
        nodes=nodes,
        jobs=tuple(drawn(job) for job in reading.snapshot.jobs),
        links=(),
        limits=limits,
    )


def capped_alike(snapshot: Snapshot) -> Power:
    """Return the problem in which one cap for all, in order of arrival, is in force."""
    problem = Power.from_snapshot(snapshot)
    try:
        schedule = uniform_cap(problem)
    except SolverFailed:  # what runs is above a cap at every share: what the trace left is in force
        return problem
    return Power.from_snapshot(apply_actions(snapshot, problem.actions(schedule)))


def answered(problem: Power, hint: Schedule, seconds: float) -> Schedule | None:
    """Return CP-SAT's feasible schedule in the seconds, or the hint where that is cheaper: it need not return it."""
    try:
        schedule = cp_sat(problem, seconds, 0, hint=hint).schedule
    except SolverFailed:
        return None
    if not problem.feasible(schedule):
        return None
    return schedule if problem.cost(schedule) < problem.cost(hint) else hint


def greedy(problem: Power, method: object) -> Schedule | None:
    """Return the schedule of a list; None where it keeps not every limit."""
    try:
        schedule = method(problem)  # type: ignore[operator]
    except SolverFailed:
        return None
    return schedule if problem.feasible(schedule) else None


def searched(problem: Power, seconds: float, seed: int) -> Schedule:
    """Return our search's schedule in about the seconds, by a rate that is measured first."""
    begin, rng = time.perf_counter(), np.random.default_rng(seed)
    problem.search(problem.incumbent(), 20_000, rng)
    rate = 20_000 / (time.perf_counter() - begin)
    left = seconds - (time.perf_counter() - begin)
    return problem.search(problem.incumbent(), max(1, int(rate * left)), rng).decision


def scaled(data: Path, swept: Sequence[Sweep], jobs: int, seconds: float, instances: int, patience: float) -> Beside:
    """Return our search beside CP-SAT's on instances of a size; without an answer what is in force counts as its."""
    answers = 0
    ratios: list[np.ndarray] = []
    for seed in range(100, 100 + instances):
        problem = capped_alike(instance(data, swept, jobs, seed))
        theirs = answered(problem, problem.incumbent(), patience * seconds)
        found = searched(problem, seconds, seed)
        answers += theirs is not None
        ratios.append(told(problem, found) / told(problem, theirs or problem.incumbent()))
    return Beside(jobs, answers, instances, *(str(percent(column)) for column in np.array(ratios).T))


def told(problem: Power, schedule: Schedule) -> np.ndarray:
    """Return cost, weighted completion in hours, and energy of the jobs in kWh, ``(3,)``."""
    hours = next(each.value for each in problem.figures(schedule) if each.name == "power.weighted_completion_h")
    return np.array([problem.cost(schedule), hours, problem.energy_kwh(schedule)])


def percent(ratios: np.ndarray) -> Interval:
    """Return ratios less one in percent."""
    return interval(100.0 * (ratios - 1.0))


def forecast_w(workload: MeasuredWorkload, known: Sequence[MeasuredWorkload]) -> float:
    """Return the draw to be expected: the median of known workloads of the same network, else data set, else of all."""
    networks = [each for each in known if each.network == workload.network]
    sets = [each for each in known if each.network.split("-")[0] == workload.network.split("-")[0]]
    return statistics.median(each.gpu_power_w for each in networks or sets or known)


def margins(sweep: Sweep) -> list[float]:
    """Return true over forecast draw of each known workload, forecast from the others."""
    return [
        workload.gpu_power_w / forecast_w(workload, [other for other in sweep.known if other is not workload])
        for workload in sweep.known
    ]


def violations(data: Path, swept: Sequence[Sweep], instances: int, jobs: int) -> list[Broken]:
    """Return how often caps are exceeded by true draws, at each quantile with the margin, and without it."""
    rows: dict[tuple[float, bool], list[tuple[float, float, float, float]]] = {}
    for seed in range(200, 200 + instances):
        truth = instance(data, swept, jobs, seed)
        sweep = swept[seed % len(swept)]
        by_name = {workload.name: workload for workload in sweep.held_out}
        _, highest_w, _ = MODELS[sweep.model]
        expected = {
            job.id: min(highest_w, round(forecast_w(by_name[job.workload], sweep.known), 1)) for job in truth.jobs
        }
        judged, begun = Power.from_snapshot(truth), 0.0
        for quantile, margin in ((0.5, False), *((each, True) for each in QUANTILES)):
            factor = max(1.0, float(np.quantile(margins(sweep), quantile)))
            jobs_planned = tuple(
                replace(
                    job,
                    gpu_power_w=expected[job.id],
                    gpu_power_high_w=min(highest_w, expected[job.id] * factor) if margin else None,
                )
                for job in truth.jobs
            )
            problem = Power.from_snapshot(replace(truth, jobs=jobs_planned))
            decision = problem.search(problem.incumbent(), 60_000, np.random.default_rng(seed)).decision
            over, worst = above(judged, decision, truth)
            hours = float(told(judged, decision)[1])
            begun = begun or hours
            rows.setdefault((quantile, margin), []).append(
                (float(over > 0), float(over), worst, 100.0 * (hours / begun - 1.0))
            )
    made = []
    for (quantile, margin), found in rows.items():
        plans, slots, worst_of, slower = np.array(found).T
        share = 100.0 * float(slots.mean()) / judged.slots
        worst = float(worst_of.max())
        made.append(Broken(quantile, margin, len(found), int(plans.sum()), share, worst, float(slower.mean())))
    return made


def above(judged: Power, decision: Schedule, truth: Snapshot) -> tuple[int, float]:
    """Return the slots in which the true draw is above a cap, and the worst in percent of that cap."""
    cap_w = truth.limits.power_cap_w or np.inf
    cluster_w = judged.power_w(decision)
    racks_mw = site_draws(judged.work, judged.slots, decision.start, decision.level)
    over_mw = racks_mw - judged.work.site_room[:, None]
    rack_w = truth.limits.rack_power_cap_w or np.inf
    slots = (cluster_w > cap_w + 1e-3) | (over_mw > 0).any(axis=0)
    worst = max(float(cluster_w.max()) / cap_w - 1.0, float(over_mw.max()) / 1e3 / rack_w, 0.0)
    return int(slots.sum()), 100.0 * worst


if __name__ == "__main__":
    main()
