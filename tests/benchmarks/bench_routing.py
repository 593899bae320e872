"""How well are experts placed for the window that nobody has seen yet?

Recorded on one part, measured on the other: plans know the history only, and every figure is of the held-out window.
Nothing here was tuned on the recordings; ours runs with its defaults. Balance is the sum over layers of the mean load
of a GPU / the sum of the largest. Methods with a limit to moves get the same one, and balancers' maps are cut to it in
the best order that we know (``tasks/yardsticks/expert_budget.py``).

- *recordings*: DeepSeek (every other of 58 layers, 256 experts), each recording held out once, planned from the others
  of its phase while the map in force is for the other phase ("phase"), or from all others ("mixed"); 288 slots on 32
  GPUs and 72. The recordings know no transitions, so there is no traffic here.
- *drift*: generated, as fitted to the recordings, with transitions; GPUs in NVLink domains of four.
- *texts*: OLMoE (three layers, 64 experts, 8 GPUs in 4 domains), planned from four text domains, measured on the fifth.
- *traffic*: OLMoE with as many slots as experts, where others plan for traffic alone; what each weight buys.
- *proofs*: small problems on which CP-SAT proves its map the best; how near our search comes.
- *columns*: yardsticks, our loop with annealing on windows and our loop with QAOA, at equal seconds
  (``tests/benchmarks/columns.py``); on small problems also CP-SAT.

Run: ``python -m tests.benchmarks.bench_routing [--quick] [--part recordings ...] [--out runs/bench-routing]``; the
first, third and fourth need the real data and are left out without it. A run takes about seven minutes on two cores,
a quick one less than one.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from tasks.problems.routing import ExpertMap, RoutingWeights
from tests.benchmarks.columns import compared
from tests.benchmarks.routing.cases import DATA, drifting, recorded, recordings, texts, thinned
from tests.benchmarks.routing.held_out import Measured, measured, plot, show, summary
from tests.benchmarks.routing.instances import (
    CpSat,
    budgeted_eplb,
    budgeted_greedy,
    exact,
    large,
    provable,
    small,
)
from tests.benchmarks.routing.methods import (
    PLENTY,
    Planner,
    as_it_is,
    by_assignment,
    by_partition,
    eplb,
    expected,
    foreseen,
    greedy,
    ours,
    split,
)

YARDSTICK = "EPLB on EWMA"


@dataclass(frozen=True, slots=True)
class Size:
    """How much is run.

    Args:
        held_out: recordings that are held out, at most.
        stride: every so many-th layer of the recordings is used.
        seeds: generated cases.
        seconds: for each method and instance of the columns.
    """

    held_out: int = 6
    stride: int = 2
    seeds: int = 20
    seconds: float = 1.0


QUICK = Size(held_out=2, stride=12, seeds=2, seconds=0.2)


def main() -> None:
    """Run the parts that were asked for, and print, write and draw what they give."""
    parts: dict[str, Callable[[Size, Path], list[Measured]]] = {
        "recordings": of_recordings,
        "drift": of_drift,
        "texts": of_texts,
        "traffic": of_traffic,
        "proofs": proofs,
        "columns": columns,
    }
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few small cases, to see that everything runs")
    parser.add_argument(
        "--part", nargs="+", choices=parts, default=list(parts), help="all of them unless some are named"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/bench-routing"), help="folder of the JSON and the plots")
    options = parser.parse_args()
    from flows.environment import prepare

    prepare()
    options.out.mkdir(parents=True, exist_ok=True)
    rows: list[Measured] = []
    for part in options.part:
        began = time.perf_counter()
        rows += parts[part](QUICK if options.quick else Size(), options.out)
        print(f"({part}: {time.perf_counter() - began:.0f} s)", flush=True)
    if rows:
        told = {"yardstick": YARDSTICK, "summary": summary(rows, YARDSTICK), "rows": [asdict(row) for row in rows]}
        (options.out / "held_out.json").write_text(json.dumps(told, indent=1) + "\n")
        plot(rows, YARDSTICK, options.out / "held_out.png")
    print(f"\nwritten to {options.out}")


def of_recordings(size: Size, _out: Path) -> list[Measured]:
    """Return plans on DeepSeek's recordings."""
    loads = recordings()
    if not loads:
        print(f"skipped: {DATA / 'sglang_deepseek_expert_counts'} is missing (set QUANTUMFLOW_DATA)")
        return []
    plain = eplb(expected)
    methods: dict[str, Planner] = {
        "as it is": as_it_is,
        "EPLB, last window": eplb(lambda case: case.history[-1]),
        YARDSTICK: plain,
        "EPLB on EWMA, swaps": eplb(expected, swaps=True),
        "EPLB on the mean": eplb(lambda case: case.history.mean(axis=0)),
        "EPLB on EWMA, LP split": split(plain),
        "EPLB on EWMA, split foreseen": foreseen(plain),
        "ours": ours(RoutingWeights()),
        "ours, LP split": ours(RoutingWeights(uneven=True)),
    }
    rows: list[Measured] = []
    for ranks, mixed in ((32, False), (32, True), (72, False)):
        cases = thinned(recorded(loads, ranks, 288, mixed=mixed, most=size.held_out), size.stride)
        title = f"recordings, {'mixed' if mixed else 'phase'}, 288 slots on {ranks} GPUs"
        budgets = (10 * len(cases[0].in_force), PLENTY)
        found = measured(title, cases, methods, budgets)
        show(title, found, YARDSTICK)
        rows += found
    return rows


def of_drift(size: Size, _out: Path) -> list[Measured]:
    """Return plans on generated drift with transitions."""
    cases = drifting(range(100, 100 + size.seeds), layers=8, experts=64, ranks=16, slots=80, windows=6)
    rows = measured("drift, 80 slots on 16 GPUs in 4 domains", cases, _with_traffic(), (80, PLENTY))
    show(rows[0].table, rows, YARDSTICK)
    return rows


def of_texts(size: Size, _out: Path) -> list[Measured]:
    """Return plans for text domains that were not seen."""
    cases = texts(8, 4, 72)[: 2 if size.seeds < 5 else None]
    if not cases:
        print(f"skipped: {DATA / 'olmoe_routing'} is missing (set QUANTUMFLOW_DATA)")
        return []
    rows = measured("texts, 72 slots on 8 GPUs in 4 domains", cases, _with_traffic(), (24, PLENTY))
    show(rows[0].table, rows, YARDSTICK)
    return rows


def of_traffic(size: Size, _out: Path) -> list[Measured]:
    """Return plans for traffic where each expert has one slot."""
    cases = texts(4, 4, 64)[: 2 if size.seeds < 5 else None]
    if not cases:
        print(f"skipped: {DATA / 'olmoe_routing'} is missing (set QUANTUMFLOW_DATA)")
        return []
    methods: dict[str, Planner] = {
        "as it is": as_it_is,
        YARDSTICK: eplb(expected),
        "alternating assignment": by_assignment,
        "METIS, repaired": by_partition,
        "load + co-activation, 0.8": greedy(0.8),
        "load + co-activation, 0.2": greedy(0.2),
        **{
            f"ours, crossings weigh {weight:g}": ours(RoutingWeights(traffic=weight), 300)
            for weight in (0.2, 2.0, 20.0)
        },
    }
    rows = measured("traffic, 64 slots on 4 GPUs, each a domain", cases, methods, (PLENTY,))
    show(rows[0].table, rows, YARDSTICK)
    return rows


def proofs(size: Size, _out: Path) -> list[Measured]:
    """Say on how many small problems CP-SAT has a proof, and on how many of those our search comes to the same cost."""
    seconds, proven, reached, gaps = 10.0 * size.seconds, 0, 0, []
    problems = provable(size.seeds // 2)
    for _, problem in problems:
        found = exact(problem, seconds)
        if found is None or not found.proven:
            continue
        best = problem.cost(ExpertMap(found.placement))
        searched = problem.search(problem.incumbent(), 100_000, np.random.default_rng(0)).decision
        gap = problem.cost(searched) - best
        proven, reached = proven + 1, reached + (gap <= 1e-3)  # what CP-SAT's whole numbers can hide
        gaps.append(100.0 * gap / (problem.cost(problem.incumbent()) - best))
    print(f"\nproofs: CP-SAT proved {proven} of {len(problems)} maps the best in {seconds:g} s each;", end=" ")
    worst = f", the worst {max(gaps):.2f} % of what can be gained above it" if gaps else ""
    print(f"ours (100000 evaluations) comes to the same cost on {reached} of those{worst}")
    return []


def columns(size: Size, out: Path) -> list[Measured]:
    """Compare yardsticks with our loop at equal seconds; its figures go to files of its own."""
    yardsticks = {"EPLB on EWMA, budgeted": budgeted_eplb, "load + co-activation, budgeted": budgeted_greedy}
    one = compared(large(max(2, size.seeds // 2), max(8, size.stride)), yardsticks, seconds=size.seconds, seed=1)
    one.show("columns, drift and recordings")
    one.save(out, "columns")
    solver = CpSat()
    two = compared(small(size.seeds), {**yardsticks, "CP-SAT": solver}, seconds=size.seconds, seed=1)
    two.show("columns, small problems")
    print(f"CP-SAT proved its map the best on {solver.proofs} of {size.seeds} problems")
    two.save(out, "columns_small")
    return []


def _with_traffic() -> dict[str, Planner]:
    plain = eplb(expected)
    return {
        "as it is": as_it_is,
        "EPLB, last window": eplb(lambda case: case.history[-1]),
        YARDSTICK: plain,
        "EPLB on EWMA, swaps": eplb(expected, swaps=True),
        "EPLB on the mean": eplb(lambda case: case.history.mean(axis=0)),
        "EPLB on EWMA, LP split": split(plain),
        "load + co-activation, 0.8": greedy(0.8),
        "ours": ours(RoutingWeights()),
        "ours, crossings weigh 0": ours(RoutingWeights(traffic=0.0)),
        "ours, crossings weigh 1": ours(RoutingWeights(traffic=1.0)),
        "ours, LP split": ours(RoutingWeights(uneven=True)),
    }


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # a long run is read while it goes on
    main()
