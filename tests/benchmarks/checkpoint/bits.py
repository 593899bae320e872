"""What do bits by sensitivity gain, and does a search, or QAOA, gain anything on the Lagrangian rule?

First MiniLM: sizes of archives at equal function, on sentences that nothing was chosen with. Then choices of steps from
MiniLM and from networks on digits: the Lagrangian rule, HiGHS with some seconds, and our loop with annealing and with
QAOA on the windows, which differ in nothing but who answers them: the same windows, the same strings priced.

Run: ``python -m tests.benchmarks.checkpoint.bits [--instances 12] [--output runs/bench-checkpoint]``.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from scipy.stats import binomtest

from qiskit_solvers.anneal import Anneal
from qiskit_solvers.errors import SolverFailed
from qiskit_solvers.qaoa import Qaoa
from qiskit_solvers.solver import Solver
from tasks.problems.bits import Bits, Chosen
from tasks.refine import Effort, refine
from tasks.yardsticks.bits import exact, lagrangian
from tests.benchmarks.checkpoint import minilm
from tests.benchmarks.checkpoint.bit_instances import of_digits, of_minilm
from tests.benchmarks.checkpoint.held_out_bits import MEASURES, REFERENCES, Row, calibrated, held_out
from tests.benchmarks.columns import interval

RULE, ANNEALING, QAOA = "Lagrangian rule", "ours, annealing on windows", "ours, QAOA on windows"
SECONDS = 2.0
"""Of HiGHS for each instance."""

EFFORTS = {
    "windows only": Effort(evaluations=0, rounds=8, patience=8),
    "whole loop": Effort(rounds=8, patience=8),
}
"""Ours from the rounded relaxation by windows alone, and as it is used: after the classical search."""

TIE = 1e-9
"""Relative difference below which two sizes are a tie."""

Method = Callable[[Bits], Chosen]


def main(argv: list[str] | None = None) -> None:
    """Print both tables, and write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--instances", type=int, default=12, help="of MiniLM, and as many of digits")
    parser.add_argument("--output", type=Path, default=Path("runs/bench-checkpoint"))
    options = parser.parse_args(argv)
    problems, rows = of_digits(options.instances), list[Row]()
    absent = minilm.missing()
    if absent:
        print(f"no table of MiniLM: {absent}")
    else:
        model = calibrated()
        rows = [row for reference in REFERENCES for row in held_out(model, reference, Anneal())]
        print(function_table(rows), flush=True)
        problems = of_minilm(model, options.instances) + problems
    gaps = gaps_of(problems)
    print(gap_table(gaps), flush=True)
    options.output.mkdir(parents=True, exist_ok=True)
    told = {
        "held_out": [asdict(row) for row in rows],
        "gaps_percent": gaps,
        "instances": [name for name, _ in problems],
    }
    (options.output / "bits.json").write_text(json.dumps(told, indent=1) + "\n")
    if rows:
        plot(rows, options.output / "bits.png")


def function_table(rows: Sequence[Row]) -> str:
    """Return sizes and losses on the held-out sentences, and which loses no more than its reference there."""
    lines = [
        "\nMiniLM, whole archives; losses on held-out sentences (similarity MSE, drift, 1 - Spearman's rho).",
        "Sentences of Python's documentation: half of the bytes are word embeddings, most words are not in them.",
        f"{'reference':10}{'method':30}{'bit/weight':>11}{'saved, %':>10}"
        + "".join(f"{name:>12}" for name in MEASURES),
    ]
    for row in rows:
        first = next(one for one in rows if one.reference == row.reference)
        saved = 100.0 * (1.0 - row.bits_per_weight / first.bits_per_weight)
        marks = "".join(
            f"{row.lost[name]:11.3g}" + ("!" if row.lost[name] > first.lost[name] * (1 + 1e-12) else " ")
            for name in MEASURES
        )
        lines.append(f"{row.reference:10}{row.method:30}{row.bits_per_weight:11.3f}{saved:10.1f}{marks}")
    lines.append("! worse than the reference on the held-out sentences")
    return "\n".join(lines)


def gaps_of(problems: Sequence[tuple[str, Bits]]) -> dict[str, list[float]]:
    """Return by how many percent each method is above the bound, instance by instance."""
    methods: dict[str, Method] = {"equal errors": lambda problem: problem.incumbent(), RULE: lagrangian, "HiGHS": highs}
    for effort, what in EFFORTS.items():
        for name, solver in ((ANNEALING, Anneal()), (QAOA, Qaoa())):
            methods[f"{name}, {effort}"] = lambda problem, solver=solver, what=what: ours(problem, solver, what)
    gaps: dict[str, list[float]] = {name: [] for name in methods}
    for _, problem in problems:
        for name, method in methods.items():
            gaps[name].append(100.0 * (problem.cost(method(problem)) / problem.bound() - 1.0))
    return gaps


def ours(problem: Bits, solver: Solver, effort: Effort) -> Chosen:
    """Return what the loop finds."""
    return refine(problem, solver, np.random.default_rng(0), effort=effort).decision


def highs(problem: Bits) -> Chosen:
    """Return what HiGHS finds in :data:`SECONDS`; what is in force where it finds nothing."""
    try:
        return exact(problem, SECONDS)
    except SolverFailed:
        return problem.incumbent()


def gap_table(gaps: dict[str, list[float]]) -> str:
    """Return the mean distance of each method to the bound, and how often it beats the rule and its classical twin."""
    count = len(next(iter(gaps.values())))
    lines = [
        f"\nbytes above the proven bound, %: {count} instances, means with 95 % bootstrap intervals",
        f"{'method':42}{'above the bound, %':>28}{'better/tied/worse than the rule':>33}",
    ]
    for name, each in gaps.items():
        lines.append(f"{name:42}{interval(each)!s:>28}{'{} / {} / {}'.format(*record(each, gaps[RULE])):>33}")
    lines += [quantum(effort, gaps[f"{QAOA}, {effort}"], gaps[f"{ANNEALING}, {effort}"]) for effort in EFFORTS]
    return "\n".join(lines)


def quantum(effort: str, one: Sequence[float], other: Sequence[float]) -> str:
    """Return the sentence that says what QAOA added to annealing on the same windows."""
    better, tied, worse = record(one, other)
    difference = interval(np.array(one) - np.array(other))
    account = f"{better} better, {tied} tied, {worse} worse; {difference} % of the bound"
    clear = better + worse > 0 and binomtest(better, better + worse).pvalue <= 0.05
    if clear and (difference.high < 0.0 or difference.low > 0.0):
        verb = "gained on" if difference.high < 0.0 else "lost to"
        return f"{effort}: QAOA {verb} annealing on the same windows: {account}."
    return f"{effort}: QAOA added nothing that can be told from annealing on the same windows: {account}."


def record(one: Sequence[float], other: Sequence[float]) -> tuple[int, int, int]:
    """Return on how many instances the first is smaller, as large, and larger."""
    difference = np.array(one) - np.array(other)
    tied = np.abs(difference) <= 100.0 * TIE
    return int((~tied & (difference < 0)).sum()), int(tied.sum()), int((~tied & (difference > 0)).sum())


def plot(rows: Sequence[Row], path: Path) -> None:
    """Draw size against drift on the held-out sentences."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for method in dict.fromkeys(row.method for row in rows):
        chosen = sorted((row for row in rows if row.method == method), key=lambda row: row.bits_per_weight)
        axes.plot([row.bits_per_weight for row in chosen], [row.lost["drift"] for row in chosen], "o-", label=method)
    axes.set_yscale("log")
    axes.set_xlabel("bit per weight, whole archive")
    axes.set_ylabel("drift on held-out sentences")
    axes.legend()
    figure.savefig(path, dpi=130)
    plt.close(figure)


if __name__ == "__main__":
    main()
