"""Which solver of windows refines best in equal seconds, from where the classical search stopped?

Every method starts from the same decision, gets the same windows in the same order, and has the same processor
seconds, the drawing and pricing of its windows included. "native search" spends them on the problem's own search
again. Gaps are to the best cost that any method reached on that problem in any run.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any

import numpy as np

from qiskit_solvers import Anneal, Exact, Qaoa, Solver
from tests.benchmarks.solver.printing import brief, show
from tests.benchmarks.solver.recorded import problems
from tests.benchmarks.solver.swaps import Swaps, swaps
from tests.benchmarks.solver.uniform import Uniform

NATIVE, UNIFORM, EXACT, ANNEAL = "native search", "uniform samples", "exact", "SA"
WINDOW, TRIES = 14, 16
_SIGNIFICANT = 1e-9
_EMPTY = 25
"""Windows in a row without a move after which a walk has nothing to do."""


@dataclass(frozen=True, slots=True)
class Walk:
    """One method from one start.

    Args:
        problem: its name.
        method: its name.
        seed: of the run.
        start: cost at the start.
        reached: cost after each of the budgets, in their order.
        windows: how many were solved.
        improving: how many of them lowered the cost.
        solver_share: share of the seconds that went into the solver, the rest into drawing and pricing.
    """

    problem: str
    method: str
    seed: int
    start: float
    reached: tuple[float, ...]
    windows: int
    improving: int
    solver_share: float


@dataclass(frozen=True, slots=True)
class Refinement:
    """All walks.

    Args:
        budgets_s: processor seconds.
        walks: every run.
        sentence: what was found.
    """

    budgets_s: tuple[float, ...]
    walks: tuple[Walk, ...]
    sentence: str


def methods() -> Mapping[str, Solver]:
    """Return the solvers of windows, by name."""
    return {
        EXACT: Exact(),
        **{f"QAOA p={p}": Qaoa(layers=p, on="simulator") for p in (1, 3, 5)},
        "QAOA ramp p=20": Qaoa(layers=20, on="simulator"),
        ANNEAL: Anneal(),
        UNIFORM: Uniform(),
    }


def refinement(*, seeds: int, budgets_s: tuple[float, ...], evaluations: int) -> Refinement:
    """Measure and print.

    Args:
        seeds: runs per problem; the swap problem is another instance in each.
        budgets_s: processor seconds at which costs are read; each method gets the last one.
        evaluations: of the classical search that leads to the start.
    """
    walks: list[Walk] = []
    posed: dict[str, Callable[[int], Any]] = {name: _always(problem) for name, problem in problems().items()}
    posed[swaps(0).name] = swaps
    for name, pose in posed.items():
        for seed in range(seeds):
            problem = pose(seed)
            start = _start(problem, evaluations, seed)
            for method, solver in methods().items():
                if seed == 0:
                    _walk(name, method, problem, solver, start, (0.01,), seed)  # compiled and loaded
                walks.append(_walk(name, method, problem, solver, start, budgets_s, seed))
            walks.append(_native(name, problem, start, budgets_s, seed))
    result = Refinement(budgets_s, tuple(walks), _sentence(walks))
    _print(result)
    return result


def _always(problem: Any) -> Callable[[int], Any]:
    return lambda _seed: problem


def _start(problem: Any, evaluations: int, seed: int) -> Any:
    if isinstance(problem, Swaps):
        return problem.descended(problem.incumbent())
    return problem.search(problem.incumbent(), evaluations, np.random.default_rng(seed)).decision


def _walk(
    name: str, method: str, problem: Any, solver: Solver, start: Any, budgets_s: Sequence[float], seed: int
) -> Walk:
    decision, cost = start, problem.cost(start)
    first, solving, windows, improving, empty, number = cost, 0.0, 0, 0, 0, 0
    reached: list[float] = []
    began = time.process_time()
    while len(reached) < len(budgets_s):
        if time.process_time() - began >= budgets_s[len(reached)]:
            reached.append(cost)
            continue
        draw, solve = np.random.default_rng(np.random.SeedSequence([seed, number])).spawn(2)
        number += 1
        window = problem.window(decision, WINDOW, draw)
        if window.ising.spins == 0:
            empty += 1
            if empty == _EMPTY:
                reached += [cost] * (len(budgets_s) - len(reached))
            continue
        empty = 0
        at = time.process_time()
        strings = solver(window.ising, solve)
        solving += time.process_time() - at
        windows += 1
        for string in strings[:TRIES]:
            sewn = window.sew(string)
            price = problem.cost(sewn)
            if price < cost - _SIGNIFICANT * max(1.0, abs(cost)):
                decision, cost = sewn, price
                improving += 1
                break
    share = solving / max(time.process_time() - began, 1e-9)
    return Walk(name, method, seed, first, tuple(reached), windows, improving, share)


def _native(name: str, problem: Any, start: Any, budgets_s: Sequence[float], seed: int) -> Walk:
    """Give each budget to one search of as many evaluations as fit, by the rate of a short one."""
    first = problem.cost(start)
    rng = np.random.default_rng(np.random.SeedSequence([seed, 2**32 - 1]))
    trial = 5_000
    problem.search(start, trial, rng)
    began = time.process_time()
    problem.search(start, trial, rng)
    rate = trial / max(time.process_time() - began, 1e-9)
    reached = [problem.cost(problem.search(start, max(1, int(rate * s)), rng).decision) for s in budgets_s]
    return Walk(name, NATIVE, seed, first, tuple(min(first, cost) for cost in reached), 0, 0, 0.0)


def best_known(walks: Sequence[Walk], problem: str, seed: int) -> float:
    """Return the lowest cost that was reached; the swap problem is another instance for each seed."""
    own = swaps(0).name == problem
    return min(min(w.reached) for w in walks if w.problem == problem and (not own or w.seed == seed))


def closed(walks: Sequence[Walk]) -> dict[tuple[str, str], list[float]]:
    """Return for each problem and method the shares of the gap from start to best known that its runs closed.

    Runs that started at the best known cost have no gap and are left out.
    """
    shares: dict[tuple[str, str], list[float]] = {}
    for walk in walks:
        best = best_known(walks, walk.problem, walk.seed)
        if walk.start - best > _SIGNIFICANT * max(1.0, abs(best)):
            share = (walk.start - walk.reached[-1]) / (walk.start - best)
            shares.setdefault((walk.problem, walk.method), []).append(share)
    return shares


def _sentence(walks: Sequence[Walk]) -> str:
    shares = closed(walks)
    names = list(dict.fromkeys(walk.method for walk in walks))
    overall = {
        name: fmean([share for (_, method), seen in shares.items() if method == name for share in seen] or [math.nan])
        for name in names
    }
    ranked = sorted((name for name in names if not math.isnan(overall[name])), key=lambda name: -overall[name])
    if not ranked:
        return "No run found anything better than the classical search had."
    order = ", ".join(f"{name} {overall[name]:.0%}" for name in ranked)
    deepest = [name for name in names if name.startswith("QAOA")]
    best = max(deepest, key=lambda name: overall[name])
    duels = ", ".join(f"{_beats(walks, best, other)} against {other}" for other in (UNIFORM, ANNEAL, EXACT, NATIVE))
    return (
        f"Of the gap to the best known cost, each closed (mean over problems and seeds): {order}. "
        f"The best QAOA, {best}, won-lost {duels}."
    )


def _beats(walks: Sequence[Walk], one: str, other: str) -> str:
    ends = {(w.problem, w.seed, w.method): w.reached[-1] for w in walks}
    won = lost = 0
    for (problem, seed, method), cost in ends.items():
        if method == one:
            apart = ends[problem, seed, other] - cost
            won += apart > _SIGNIFICANT * max(1.0, abs(cost))
            lost += -apart > _SIGNIFICANT * max(1.0, abs(cost))
    return f"{won}-{lost}"


def _print(result: Refinement) -> None:
    walks = result.walks
    for problem in dict.fromkeys(walk.problem for walk in walks):
        rows = []
        for method in dict.fromkeys(walk.method for walk in walks):
            runs = [walk for walk in walks if walk.problem == problem and walk.method == method]
            gaps = [
                median(_gap(walk.reached[at], best_known(walks, problem, walk.seed)) for walk in runs)
                for at in range(len(result.budgets_s))
            ]
            windows, improving = sum(walk.windows for walk in runs), sum(walk.improving for walk in runs)
            counts = f"{improving}/{windows}" if windows else ""
            share = f"{median(walk.solver_share for walk in runs):.0%}" if windows else ""
            rows.append((method, *(f"{gap:.3f}" for gap in gaps), counts, share))
        runs = [walk for walk in walks if walk.problem == problem]
        start = median(_gap(walk.start, best_known(walks, problem, walk.seed)) for walk in runs)
        show(
            f"refine, {problem}: start {start:.3f} % above the best known, medians of "
            f"{len({walk.seed for walk in runs})} seeds",
            ("", *(f"gap % at {brief(s)} s" for s in result.budgets_s), "improving/windows", "time in solver"),
            rows,
        )
    print(f"\n{result.sentence}")


def _gap(cost: float, best: float) -> float:
    return 100.0 * (cost - best) / max(abs(best), 1e-12)
