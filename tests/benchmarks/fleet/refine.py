"""What do search and windows add to a fleet's plan, begun at the greedy planner's and at the programme's?

Each method begins at the same nodes and may price as many changes: the search as many as the windows of
:data:`WINDOWS` rounds do, drawn changes, pairs and answers together. Costs are told above the programme's bound, which
no plan is below. The exact enumeration of each window stands beside QAOA and annealing: on a simulator, whoever builds
the energies already holds their least one, so no advantage is claimed.

Run: ``python -m tests.benchmarks.fleet.refine [--instances 10] [--output runs/bench-fleet]``.
"""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from data.schemas.fleet import FleetLimits
from qiskit_solvers.anneal import Anneal
from qiskit_solvers.exact import Exact
from qiskit_solvers.qaoa import Qaoa
from qiskit_solvers.solver import Solver
from tasks.fleet.elastic import NoFleet
from tasks.fleet.feasible import broken_limits
from tasks.fleet.model import FleetModel, Integers, fleet_model
from tasks.fleet.programme import place_fleet
from tasks.problems.fleet import FleetProblem, Rented
from tasks.problems.fleet_moves import DRAWN_PER_SPIN
from tasks.refine import Effort, refine
from tasks.yardsticks.fleet import greedy_fleet
from tests.benchmarks.fleet.instances import instance

FIRST_SEED = 2_000
"""Seeds from here on; those below were used while the noun was written."""

SIZE = {"regions": 40, "skus": 6, "zones": 20, "nodes": 12_000}
LIMITS = FleetLimits(latency_ms=90.0, lost_cloud_share=0.6, availability=0.9995)
WINDOWS, SPINS, TRIES = 24, 14, 16
MORE = 8
"""Times as many changes of the row that shows what the search does with more."""

SOLVERS: tuple[Solver, ...] = (Qaoa(), Anneal(), Exact())


@dataclass(frozen=True, slots=True)
class Row:
    """What one method made of one beginning.

    Args:
        begin: ``greedy`` or ``programme``.
        method: search, or a solver on windows.
        evaluations: changes that were priced at most.
        before: cost above the bound, as a share of it.
        after: likewise.
        seconds: that it took.
    """

    seed: int
    begin: str
    method: str
    evaluations: int
    before: float
    after: float
    seconds: float

    @property
    def gain(self) -> float:
        """Share of the bound that was gained."""
        return self.before - self.after


def priced(windows: int, spins: int) -> int:
    """Return the changes that windows price: drawn ones, single ones and pairs, and the strings that are tried."""
    return windows * (DRAWN_PER_SPIN * spins + spins + spins * (spins - 1) // 2 + TRIES)


def compared(model: FleetModel, seed: int, begin: str, nodes: Integers, bound: float) -> list[Row]:
    """Return what each method makes of ``nodes``."""
    problem = FleetProblem(model, Rented(nodes.copy()), bound)
    before = problem.cost(problem.incumbent()) / bound - 1.0
    budget = priced(WINDOWS, SPINS)
    rows = []

    def told(method: str, evaluations: int, found: Rented, started: float) -> None:
        if broken := broken_limits(model, found.nodes):
            raise ValueError(f"seed {seed}, {method}: the plan breaks {broken[0]}")
        after = problem.cost(found) / bound - 1.0
        rows.append(Row(seed, begin, method, evaluations, before, after, time.monotonic() - started))

    for times in (1, MORE):
        started = time.monotonic()
        found = problem.search(problem.incumbent(), times * budget, np.random.default_rng(seed))
        told(f"search, {times} x" if times > 1 else "search", times * budget, found.decision, started)
    effort = Effort(evaluations=0, rounds=WINDOWS, window=SPINS, patience=WINDOWS, tries=TRIES)
    for solver in SOLVERS:
        started = time.monotonic()
        refined = refine(problem, solver, np.random.default_rng(seed), effort=effort)
        told(f"{solver.kind} on windows", budget, refined.decision, started)
    started = time.monotonic()
    half = problem.search(problem.incumbent(), budget // 2, np.random.default_rng(seed)).decision
    fewer = Effort(evaluations=0, rounds=WINDOWS // 2, window=SPINS, patience=WINDOWS, tries=TRIES)
    both = refine(FleetProblem(model, half, bound), Qaoa(), np.random.default_rng(seed), effort=fewer)
    told("half search, then qaoa", budget, both.decision, started)
    return rows


def table(rows: Sequence[Row]) -> str:
    """Return means over instances, with how often each method gained and how often it was best of equal effort."""
    lines = [
        f"{'begin':12}{'method':26}{'evaluations':>12}{'before, %':>11}{'after, %':>11}{'gain, %':>10}"
        f"{'gained':>9}{'best':>6}{'seconds':>9}"
    ]
    for begin in dict.fromkeys(row.begin for row in rows):
        mine = [row for row in rows if row.begin == begin]
        equal = [row for row in mine if row.evaluations == min(each.evaluations for each in mine)]
        least = {seed: min(row.after for row in equal if row.seed == seed) for seed in {row.seed for row in mine}}
        for method in dict.fromkeys(row.method for row in mine):
            each = [row for row in mine if row.method == method]
            best = sum(row in equal and row.after <= least[row.seed] + 1e-12 for row in each)
            lines.append(
                f"{begin:12}{method:26}{each[0].evaluations:12d}"
                f"{100 * float(np.mean([row.before for row in each])):11.4f}"
                f"{100 * float(np.mean([row.after for row in each])):11.4f}"
                f"{100 * float(np.mean([row.gain for row in each])):10.4f}"
                f"{sum(row.gain > 0 for row in each):6d}/{len(each):<2d}{best:6d}"
                f"{float(np.mean([row.seconds for row in each])):9.2f}"
            )
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table, and write the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--instances", type=int, default=10)
    parser.add_argument("--gap", type=float, default=1e-3, help="of the programme where the methods begin")
    parser.add_argument("--output", type=Path, default=Path("runs/bench-fleet"))
    options = parser.parse_args(argv)
    rows: list[Row] = []
    seed, answered = FIRST_SEED, 0
    while answered < options.instances:
        model = fleet_model(instance(np.random.default_rng(seed), outages=40, limits=LIMITS, **SIZE))
        try:
            placed = place_fleet(model, gap=options.gap, seconds=10.0)
        except NoFleet:
            print(f"seed {seed}: no fleet keeps all limits", flush=True)
        else:
            answered += 1
            rows += compared(model, seed, "programme", placed.nodes, placed.bound_usd_per_h)
            greedy = greedy_fleet(model)
            if greedy is None:
                print(f"seed {seed}: the greedy planner has no plan", flush=True)
            else:
                rows += compared(model, seed, "greedy", greedy, placed.bound_usd_per_h)
            print(f"seed {seed}: done, {answered} of {options.instances}", flush=True)
        seed += 1
    print(table(rows), flush=True)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "refine.json").write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")


if __name__ == "__main__":
    main()
