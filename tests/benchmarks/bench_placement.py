"""How good is the placement search beside an exact solver? Medians of five, interleaved: `make bench`."""

import time

import numpy as np

from data.generators.cluster import cluster_of
from data.readers.sources import Sample
from data.schemas.cluster import Snapshot
from qiskit_solvers.errors import SolverFailed
from tasks.problems.placement import Placement
from tasks.yardsticks.placement import cp_sat

ROUNDS = 5
EVALUATIONS = (50_000, 1_000_000)
WORK = (5.0, 30.0)


def instances() -> dict[str, Snapshot]:
    """Return generated clusters that CP-SAT can hold, and the samples."""
    made = {
        f"generated, {gpus} GPUs": cluster_of(gpus=gpus, jobs=gpus // 8, rng=np.random.default_rng(3))
        for gpus in (64, 128)
    }
    return made | {name: Sample(name=name)().snapshot for name in ("over-cap", "fragmented")}


def main() -> None:
    """Print one line per instance and method."""
    print(f"{'cluster':24} {'method':26} {'cost':>9} {'seconds':>8}  proven")
    for name, snapshot in instances().items():
        problem = Placement.from_snapshot(snapshot)
        problem.search(problem.incumbent(), 100, np.random.default_rng(0))  # compile
        rows: dict[str, list[tuple[float, float, bool]]] = {}
        for seed in range(ROUNDS):
            for evaluations in EVALUATIONS:
                began = time.perf_counter()
                found = problem.search(problem.incumbent(), evaluations, np.random.default_rng(seed)).decision
                row = (problem.cost(found), time.perf_counter() - began, False)
                rows.setdefault(f"search, {evaluations:,}", []).append(row)
            for work in WORK:
                began = time.perf_counter()
                try:
                    best = cp_sat(problem, work, seed)
                    row = (problem.cost(best.decision), time.perf_counter() - began, best.proven)
                except SolverFailed:
                    row = (np.inf, time.perf_counter() - began, False)
                rows.setdefault(f"CP-SAT, {work:.0f} of work", []).append(row)
        print(f"{name:24} {'in force':26} {problem.cost(problem.incumbent()):9.3f}")
        for method, measured in rows.items():
            cost, seconds, proven = (np.median([row[column] for row in measured]) for column in range(3))
            print(f"{name:24} {method:26} {cost:9.3f} {seconds:8.2f}  {'yes' if proven else 'no'}")


if __name__ == "__main__":
    main()
