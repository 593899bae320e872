"""What do exact methods take at larger sizes, and what do levels and uncertain laws cost?"""

import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import numpy as np

from qiskit_solvers.errors import SolverFailed, TooLarge
from tasks.budget_uncertainty import uncertainty
from tasks.problems.budget import Allotted, Budget
from tasks.problems.budget_dimensions import Dimension, Floats, Levels, PowerLaw
from tasks.yardsticks.budget import dynamic_programme, exact, greedy, programme
from tasks.yardsticks.budget_laws import by_multiplier, closed_form
from tests.benchmarks.fleet.budget_instances import alike, dimensions_of, lawful

T = TypeVar("T")

Told = tuple[str, object]

DRAWS = 200


def size_table(seed: int) -> Told:
    """Return seconds and losses above the bound of the methods that need no chance, by size."""
    rows = []
    for label, build in (("power laws", lawful), ("gain as spend", alike)):
        for copies, levels in ((1, 4), (1, 29), (5, 29), (20, 29)):
            problem = widened(build, copies, levels, seed)
            grid, spent = timed(partial(dynamic_programme, problem))
            row: dict[str, object] = {"family": label, "dimensions": 10 * copies, "levels": levels, "grid_s": spent}
            row |= {"grid_above_its_bound": problem.cost(grid.decision) - grid.bound}
            try:
                best, row["exact_s"] = timed(partial(searched_exact, problem, seed))
                row["exact"] = problem.cost(best)
            except TooLarge as error:
                row["exact"] = str(error)
            try:
                best, row["highs_s"] = timed(partial(programme, problem, 20.0))
                row["highs"] = problem.cost(best)
            except SolverFailed as error:
                row["highs"] = str(error)
            chosen, row["greedy_s"] = timed(partial(greedy, problem))
            row |= {"greedy": problem.cost(chosen), "grid": problem.cost(grid.decision), "bound": problem.bound()}
            rows.append(row)
    lines = [
        "\nlog performance, larger is better; seconds; and the relaxation's bound",
        f"{'family':15}{'dims x levels':>14}{'exact':>20}{'grid of 6000':>20}{'HiGHS':>20}{'greedy':>20}{'bound':>12}",
    ]
    for row in rows:
        cells = [cell(row, name) for name in ("exact", "grid", "highs", "greedy")]
        size = f"{row['dimensions']} x {row['levels']}"
        lines.append(
            f"{row['family']:15}{size:>14}" + "".join(f"{each:>20}" for each in cells) + f"{-row['bound']:12.6f}"
        )
    return "\n".join(lines), rows


def scale_table(seed: int) -> Told:
    """Return what the closed form, the multiplier and levels reach where every scale may be chosen."""
    rng, rows = np.random.default_rng([seed, 1]), []
    for number in range(8):
        some = dimensions_of(rng)
        wide = [Dimension(each.name, each.unit, each.law, each.price, 1e-6, 1e9) for each in some]
        budget = 12.0 * sum(float(each.price(np.ones(1))[0]) for each in some)
        form, form_s = timed(partial(closed_form, wide, budget))
        multiplier, multiplier_s = timed(partial(by_multiplier, wide, budget))
        inside = by_multiplier(some, budget)
        row = {"instance": number, "closed_form_s": form_s, "multiplier_s": multiplier_s}
        row["multiplier_below_closed_form"] = form.log_performance - multiplier.log_performance
        row["gap_within_1_to_64"] = inside.bound - inside.log_performance
        for count in (4, 16, 64):
            problem = Budget(tuple(each.levels(count) for each in some), budget)
            lost = inside.log_performance + problem.cost(exact(problem))
            row[f"levels_{count}_give_up"] = float(-np.expm1(-lost))
        rows.append(row)
    worst = {name: max(abs(float(row[name])) for row in rows) for name in rows[0] if name != "instance"}
    lines = [
        "\nevery scale, 8 budgets over ten power laws; the largest over the budgets",
        f"multiplier and closed form differ by, log performance: {worst['multiplier_below_closed_form']:.1e}",
        f"multiplier below its own bound, scales 1 to 64:     {worst['gap_within_1_to_64']:.1e}",
    ]
    lines += [
        f"levels, {count:2} a dimension: performance given up      {100 * worst[f'levels_{count}_give_up']:.2f} %"
        for count in (4, 16, 64)
    ]
    lines.append(f"seconds: closed form {worst['closed_form_s']:.5f}, multiplier {worst['multiplier_s']:.3f}")
    return "\n".join(lines), rows


def uncertain_table(seed: int) -> Told:
    """Return what is given up where exponents are known to within some error, by the choice and by the hedged one."""
    rows = []
    for error in (0.02, 0.05, 0.1, 0.2):
        rng = np.random.default_rng([seed, 2])
        some = dimensions_of(rng, (1.0, 2.0, 4.0, 8.0))
        budget = 3.0 * sum(float(each.price(np.ones(1))[0]) for each in some)
        draws = [
            [PowerLaw(1.0, float(each.law.exponent + error * rng.normal())) for each in some]  # type: ignore[attr-defined]
            for _ in range(DRAWS)
        ]
        told = uncertainty(some, solved(some, budget), draws, lambda drawn, budget=budget: solved(drawn, budget))
        surest = [max(told.wins(number).values()) for number in range(len(some))]
        rows.append(
            {
                "error": error,
                "stays_best": told.stays_best,
                "regret_mean": float(told.regret.mean()),
                "regret_95": float(np.quantile(told.regret, 0.95)),
                "hedged_regret_mean": float(told.hedged_regret.mean()),
                "surest_level_wins": surest,
            }
        )
    lines = [
        f"\nuncertain laws: {DRAWS} draws of ten exponents, four levels each",
        f"{'error':>6}{'stays best, %':>15}{'given up, mean %':>18}{'95th, %':>9}{'hedged, mean %':>16}"
        f"{'commonest level wins, % (least sure dimension)':>48}",
    ]
    lines += [
        f"{row['error']:6.2f}{100 * row['stays_best']:15.1f}{100 * row['regret_mean']:18.2f}"
        f"{100 * row['regret_95']:9.2f}{100 * row['hedged_regret_mean']:16.2f}"
        f"{100 * min(row['surest_level_wins']):48.1f}"
        for row in rows
    ]
    return "\n".join(lines), rows


def widened(build: Callable[[np.random.Generator, int], Budget], copies: int, levels: int, seed: int) -> Budget:
    """Return a budget over as many times ten dimensions, each ten another draw."""
    parts = [build(np.random.default_rng([seed, 4, copy]), levels) for copy in range(copies)]
    renamed = [
        Levels(f"{each.name} {copy}", each.scale, each.performance, each.spend)
        for copy, part in enumerate(parts)
        for each in part.levels
    ]
    return Budget(tuple(renamed), sum(part.budget for part in parts))


def solved(dimensions: list[Dimension], budget: float) -> Floats:
    """Return the best steps."""
    problem = Budget(tuple(each.levels(1) for each in dimensions), budget)
    best: Allotted = exact(problem)
    return np.array([each.scale[level] for each, level in zip(problem.levels, best.level_of, strict=True)])


def searched_exact(problem: Budget, seed: int) -> Allotted:
    """Return the best choice, proved from what a search found."""
    known = problem.search(problem.incumbent(), 400_000, np.random.default_rng(seed)).decision
    return exact(problem, known)


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """Return what ``work`` returns and the seconds that it took."""
    started = time.perf_counter()
    done = work()
    return done, time.perf_counter() - started


def cell(row: dict[str, object], name: str) -> str:
    """Return log performance and seconds, or that there is none."""
    value = row[name]
    return f"{-value:.6f} {row[name + '_s']:7.3f}" if isinstance(value, float) else "too large"
