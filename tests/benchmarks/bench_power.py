"""How good are schedules under power caps, and do the caps hold when draws were forecast wrongly?

Jobs arrive as in the Philly trace, replayed until so many of them run or wait, on nodes of eight GPUs of one of the
four models that were swept for Zeus (NSDI 2023); each job gets, by chance, one of that model's measured workloads.
The cluster's cap lies between what it draws with every GPU at its lowest cap and at its highest, so that it can be
kept; racks have caps of their own, a tenth above their share of it. Every instance is another time of the trace,
model, cap and draw of workloads and priorities. Workloads are split in two by the hash of their names; all reports
are on the half that nothing was chosen on.

Four tables. (1) Cost in the same seconds, where one cap for all, in order of arrival, is in force: CP-SAT with cap
modes (one thread, begun from what is in force), the greedy list of least energy per work, ours with annealing on
windows, ours with QAOA. (2) Cost, weighted completion and energy of our search alone beside CP-SAT's for 60 and 500
jobs; without a budget, the price of energy decides how much of it speed is worth. (3) The same where the energy of
CP-SAT's schedule is our energy budget: is ours faster for no more energy? CP-SAT has its seconds first, then ours.
Where CP-SAT has no answer in time, what is in force stands for its, and is counted. (4) How often the cluster's cap
or a rack's is exceeded when every draw is forecast: a job's draw is taken as the median of the known half's workloads
of its network, else of its data set; what known workloads drew in truth over the forecast from the others gives the
quantile that the margin allows for. True draws are the measured ones of the held-out half. Schedules with the margin
stand beside those without.

Run: ``python -m tests.benchmarks.bench_power [--quick] [--seconds 4] [--instances 20] [--folder runs/bench-power]``.
"""

import argparse
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from qiskit_solvers.errors import SolverFailed
from tasks.problems.power import Power, Schedule
from tasks.yardsticks.power import least_energy
from tests.benchmarks.columns import compared
from tests.benchmarks.power.beside import answered, scaled, show_beside
from tests.benchmarks.power.forecast_error import violations
from tests.benchmarks.power.instances import capped_alike, instance, sweeps

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    """Print the four tables, and write them with a plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few small instances: does it run at all?")
    parser.add_argument("--seconds", type=float, default=4.0, help="for each method on each instance")
    parser.add_argument("--instances", type=int, default=20)
    parser.add_argument("--patience", type=float, default=1.0, help="times as many seconds for CP-SAT, tables 2 and 3")
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
        row
        for jobs in ((24,) if quick else (60, 500))
        for row in scaled(data, swept, jobs, seconds, 2 if quick else 6, patience)
    ]
    for budget in (False, True):
        show_beside([row for row in beside if row.budget == budget], seconds, patience)
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


def greedy(problem: Power, method: object) -> Schedule | None:
    """Return the schedule of a list; None where it keeps not every limit."""
    try:
        schedule = method(problem)  # type: ignore[operator]
    except SolverFailed:
        return None
    return schedule if problem.feasible(schedule) else None


if __name__ == "__main__":
    main()
