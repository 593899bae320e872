"""In how few seconds are transfers sent? On a crossbar exactly, and over shared rails beside DSATUR and CP-SAT.

A crossbar is polynomial: the table shows that our rounds reach the bound, and how fast, beside what scipy and networkx
offer; no quantum step could win there. Over rails and planes that messages share, rounds are colours of a general
graph, which is NP-hard: five seeded instances of each of four families, each method with the same seconds.

Run: ``python -m tests.benchmarks.bench_links [--instances 5] [--seconds 2] [--output runs/bench-links]``.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from qiskit_solvers.errors import SolverFailed
from tasks.communication.dsatur import dsatur, first_fit
from tasks.problems.links import Assigned, Links, within
from tasks.problems.protocol import Problem
from tasks.yardsticks.colouring import cp_sat
from tests.benchmarks.columns import CLASSICAL, compared
from tests.benchmarks.links.crossbar import as_json, crossbar_rows, table
from tests.benchmarks.links.fabrics import FAMILIES

FIRST_SEED = 1000
"""Seeds from here on; those below were used to set the temperatures."""

SPARE_ROUNDS = 2
"""Rounds beyond first fit's that CP-SAT may use: more makes its model larger and its answer worse."""


def main() -> None:
    """Print both tables, and write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--instances", type=int, default=5, help="of each family")
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--ports", type=int, nargs="+", default=[8, 72, 256])
    parser.add_argument("--output", type=Path, default=Path("runs/bench-links"))
    options = parser.parse_args()
    rows = list(crossbar_rows(tuple(options.ports), seed=0))
    print(table(rows), flush=True)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "crossbar.json").write_text(json.dumps(as_json(rows), indent=1) + "\n")
    problems = instances(options.instances)
    yardsticks = {
        "first fit, longest first": lambda problem, _: quick(problem, longest_first(problem)),
        "DSATUR (Brelaz)": lambda problem, _: quick(problem, dsatur(problem.conflicts)),
        "DSATUR, ties by length": lambda problem, _: quick(problem, dsatur(problem.conflicts, problem.seconds)),
        "CP-SAT": exact,
    }
    columns = compared(problems, yardsticks, seconds=options.seconds, seed=0)
    columns.show("transfers over shared rails and planes")
    print(gaps(problems, columns), flush=True)
    columns.save(options.output, "links")


def instances(count: int) -> list[tuple[str, Problem[Any]]]:
    """Return ``count`` instances of each family; a clique's rounds are the fewest that leave no conflict."""
    made: list[tuple[str, Problem[Any]]] = []
    for family in FAMILIES:
        for number in range(count):
            transfers = family(np.random.default_rng(FIRST_SEED + number))
            problem = Links.from_transfers(transfers)
            if family.slack is not None:
                clique = max(who.size for who in problem.conflicts.held)
                problem = Links.from_transfers(transfers, rounds=clique + family.slack)
            made.append((f"{family.name} #{number}", problem))
    return made


def longest_first(problem: Links) -> np.ndarray:
    """Return first fit's colours, longest transfers first."""
    return first_fit(problem.conflicts, np.argsort(-problem.seconds, kind="stable"))


def quick(problem: Links, colours: np.ndarray) -> Assigned:
    """Return colours as a decision within the rounds that there are."""
    return Assigned(within(colours, problem.rounds, problem.seconds, problem.conflicts))


def exact(problem: Links, seconds: float) -> Assigned | None:
    """Return what CP-SAT finds; it begins from longest-first first fit, which counts where it has nothing better."""
    started = time.perf_counter()
    colours = longest_first(problem)
    start = quick(problem, colours)
    rounds = int(colours.max()) + 1 + SPARE_ROUNDS
    left = seconds - (time.perf_counter() - started)
    try:
        found = cp_sat(problem, 0, seconds=left, most_rounds=rounds).decision
    except SolverFailed:
        return start
    return min(start, found, key=problem.cost)


def gaps(problems: list[tuple[str, Problem[Any]]], columns: Any) -> str:
    """Return how far above the proven bound each method is, by family, in percent, and how often it reaches it."""
    lines = [f"\n{'above the clique bound, %':60}" + "".join(f"{method[:24]:>26}" for method in columns.methods)]
    bounds = {name: problem.bound() for name, problem in problems}
    families = list(dict.fromkeys(name.split(" #")[0] for name in bounds))
    for family in families:
        cells = []
        for method in columns.methods:
            chosen = [row for row in columns.reached if row.method == method and row.instance.startswith(family)]
            over = [100.0 * (row.cost / bounds[row.instance] - 1.0) for row in chosen]
            reached = sum(value < 1e-4 for value in over)
            cells.append(f"{np.mean(over):.2f} ({reached}/{len(over)} at bound)")
        lines.append(f"{family:60}" + "".join(f"{cell:>26}" for cell in cells))
    better, tied, worse = columns.record(CLASSICAL, "CP-SAT")
    lines.append(f"Ours (classical) against CP-SAT at equal seconds: {better} better, {tied} tied, {worse} worse.")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
