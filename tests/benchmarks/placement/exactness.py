"""How often does our loop reach the optimum? Instances small enough for CP-SAT to prove it.

Our classical search hands half of its effort to CP-SAT itself where a cluster is small
(:mod:`tasks.problems.placement_neighbourhood`), so this measures whether that half, begun from what annealing found,
gets there within the seconds; it is not annealing against CP-SAT.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import ortools.sat.python.cp_model  # noqa: F401  # loaded here, so that no method pays for it by the clock

from data.schemas.cluster import Snapshot
from qiskit_solvers.anneal import Anneal
from qiskit_solvers.errors import SolverFailed
from tasks.problems.placement import Placement
from tasks.yardsticks.placement import cp_sat
from tests.benchmarks.columns import ours

TIE = 1e-6
"""GPUs' worth of capacity within which two costs are the same: what CP-SAT's whole numbers round off."""


@dataclass(frozen=True, slots=True)
class Proof:
    """One instance beside its optimum.

    Args:
        bound: that CP-SAT proved; the optimum where ``proven``.
        exact: cost of what CP-SAT returned; of what is in force where it had nothing.
        reached: cost of what our loop reached, with annealing on windows.
    """

    instance: str
    gpus: int
    jobs: int
    incumbent: float
    bound: float
    exact: float
    proven: bool
    reached: float
    exact_s: float
    ours_s: float

    @property
    def optimal(self) -> bool:
        """Whether our loop reached the proven optimum."""
        return self.proven and self.reached <= self.exact + TIE

    @property
    def gap_percent(self) -> float:
        """Return how far our loop is above what CP-SAT returned, in percent of that."""
        return 100.0 * (self.reached - self.exact) / max(1e-9, abs(self.exact))


def proofs(chosen: Sequence[tuple[str, Snapshot]], *, limit_s: float, seconds: float, seed: int) -> list[Proof]:
    """Return our loop after ``seconds`` beside CP-SAT after at most ``limit_s`` on each instance, and print a table."""
    print(f"\nexactness: our loop after {seconds:g} s, CP-SAT with {limit_s:g} s on one thread to prove the optimum")
    head = ("GPUs", "jobs", "in force", "optimum", "proven", "ours", "gap %", "CP-SAT s", "ours s")
    print(f"{'instance':26}" + "".join(f"{word:>10}" for word in head))
    made = []
    for name, snapshot in chosen:
        problem = Placement.from_snapshot(snapshot)
        incumbent = problem.cost(problem.incumbent())
        ours(problem, Anneal(), 0.05, seed)  # compile
        began = time.perf_counter()
        try:
            best = cp_sat(problem, None, seed, seconds=limit_s)
            exact, bound, proven = problem.cost(best.decision), best.bound, best.proven
        except SolverFailed:
            exact, bound, proven = incumbent, problem.bound(), False
        middle = time.perf_counter()
        decision, _ = ours(problem, Anneal(), seconds, seed)
        done = time.perf_counter()
        gpus = sum(node.gpus for node in snapshot.nodes)
        spent = middle - began, done - middle
        reached = problem.cost(decision)
        row = Proof(name, gpus, len(snapshot.jobs), incumbent, bound, exact, proven, reached, *spent)
        made.append(row)
        told = "yes" if proven else f">={bound:.3f}"
        print(
            f"{name:26}{gpus:10}{len(snapshot.jobs):10}{incumbent:10.3f}{exact:10.3f}{told:>10}{row.reached:10.3f}"
            f"{row.gap_percent:10.3f}{spent[0]:10.1f}{spent[1]:10.1f}",
            flush=True,
        )
    proven_ones = [row for row in made if row.proven]
    if proven_ones:
        worst = max(row.gap_percent for row in proven_ones)
        hits = sum(row.optimal for row in proven_ones)
        print(f"optimum reached on {hits} of {len(proven_ones)} proven instances; worst gap {worst:.3f} %")
    return made
