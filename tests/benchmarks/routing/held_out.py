"""How good is a plan on the window that it has not seen? Tables by method and budget, with intervals against EPLB."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from tasks.yardsticks.expert_budget import moved_experts
from tasks.yardsticks.expert_traffic import crossing_share
from tasks.yardsticks.replica_split import balance, split_loads
from tests.benchmarks.columns import Interval, interval
from tests.benchmarks.routing.cases import Case
from tests.benchmarks.routing.methods import PLENTY, Planner


@dataclass(frozen=True, slots=True)
class Measured:
    """One plan on its held-out window.

    Args:
        budget: experts that might be moved.
        balance: sum over layers of the mean load of a rank / the sum of the largest.
        crossing: share of tokens that change domain between layers; NaN where it is not known.
        moved: experts that were moved.
        ms_per_layer: processor time of the plan.
    """

    table: str
    case: str
    method: str
    budget: int
    balance: float
    crossing: float
    moved: int
    ms_per_layer: float


def measured(
    table: str, cases: Sequence[Case], methods: Mapping[str, Planner], budgets: Sequence[int]
) -> list[Measured]:
    """Return each method's plan of each case, on its held-out window, for each budget."""
    rows = []
    for case in cases:
        for budget in budgets:
            for name, planner in methods.items():
                plan = planner(case, budget)
                moved = moved_experts(case.in_force, plan.placement, case.ranks)
                if moved > budget:
                    raise ValueError(f"{name} on {case.name}: expected at most {budget} moves, got {moved}")
                known = case.next_flow.sum() > 0.0
                rows.append(
                    Measured(
                        table=table,
                        case=case.name,
                        method=name,
                        budget=budget,
                        balance=balance(split_loads(case.held_out, plan.placement, plan.shares, case.ranks)),
                        crossing=crossing_share(case.next_flow, plan.placement, case.domain) if known else np.nan,
                        moved=moved,
                        ms_per_layer=1000.0 * plan.seconds / len(case.in_force),
                    )
                )
    return rows


def against(rows: Sequence[Measured], method: str, other: str, budget: int, figure: str) -> Interval:
    """Return the mean difference of ``figure`` between two methods on the same cases, with its interval."""
    values = {(row.case, row.method): getattr(row, figure) for row in rows if row.budget == budget}
    cases = sorted({row.case for row in rows})
    return interval([values[case, method] - values[case, other] for case in cases])


def show(title: str, rows: Sequence[Measured], yardstick: str) -> str:
    """Return the table of ``rows``, means over the cases, and print it; differences are against ``yardstick``."""
    cases = len({row.case for row in rows})
    flows = not np.isnan(rows[0].crossing)
    head = f"{'method':34}{'moved':>7}{'balance':>9}{'against ' + yardstick + ', 95 %':>38}"
    head += f"{'crossing':>10}{'against it, 95 %':>28}" if flows else ""
    lines = [f"\n{title}: {cases} cases, means on the held-out window"]
    for budget in dict.fromkeys(row.budget for row in rows):
        lines.append(f"-- {'no limit to moves' if budget >= PLENTY else f'at most {budget} experts moved'}")
        lines.append(head + f"{'ms/layer':>10}")
        for method in dict.fromkeys(row.method for row in rows):
            mine = [row for row in rows if row.method == method and row.budget == budget]
            if not mine:
                continue
            beside = "" if method == yardstick else str(against(rows, method, yardstick, budget, "balance"))
            line = f"{method:34}{np.mean([row.moved for row in mine]):7.0f}"
            line += f"{np.mean([row.balance for row in mine]):9.4f}{beside:>38}"
            if flows:
                gap = "" if method == yardstick else str(against(rows, method, yardstick, budget, "crossing"))
                line += f"{np.mean([row.crossing for row in mine]):10.4f}{gap:>28}"
            lines.append(line + f"{np.median([row.ms_per_layer for row in mine]):10.2f}")
    text = "\n".join(lines)
    print(text, flush=True)
    return text


def summary(rows: Sequence[Measured], yardstick: str) -> list[dict[str, object]]:
    """Return for each table, budget and method the means and the intervals against ``yardstick``, for a JSON file."""
    told: list[dict[str, object]] = []
    for table, budget, method in dict.fromkeys((row.table, row.budget, row.method) for row in rows):
        inside = [row for row in rows if row.table == table]
        mine = [row for row in inside if (row.budget, row.method) == (budget, method)]
        figures: dict[str, object] = {"table": table, "budget": budget, "method": method, "cases": len(mine)}
        for figure in ("balance", "crossing", "moved", "ms_per_layer"):
            mean = float(np.mean([getattr(row, figure) for row in mine]))
            figures[figure] = None if np.isnan(mean) else mean
        for figure in ("balance", "crossing"):
            gap = against(inside, method, yardstick, budget, figure)
            figures[f"{figure}_against"] = None if np.isnan(gap.mean) else asdict(gap)
        told.append(figures)
    return told


def plot(rows: Sequence[Measured], yardstick: str, path: Path) -> None:
    """Draw, for each table and budget, how much better balanced each method is than ``yardstick``, and what crosses."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    panels = list(dict.fromkeys((row.table, row.budget) for row in rows))
    figure, axes = plt.subplots(len(panels), 2, figsize=(11, 2.9 * len(panels)), squeeze=False, layout="constrained")
    for line, (table, budget) in zip(axes, panels, strict=True):
        inside = [row for row in rows if row.table == table]
        methods = [each for each in dict.fromkeys(row.method for row in inside) if each != yardstick][::-1]
        for axis, figure_name, said in zip(line, ("balance", "crossing"), ("balance", "crossing share"), strict=True):
            gaps = [against(inside, method, yardstick, budget, figure_name) for method in methods]
            if any(np.isnan(gap.mean) for gap in gaps):
                axis.set_visible(False)
                continue
            mean = np.array([gap.mean for gap in gaps])
            spread = np.abs(np.array([[gap.low, gap.high] for gap in gaps]).T - mean)
            axis.errorbar(mean, range(len(methods)), xerr=spread, fmt="o", markersize=4, capsize=3)
            axis.axvline(0.0, color="0.6", linewidth=0.8)
            axis.set_yticks(range(len(methods)), methods, fontsize=8)
            limit = "no limit" if budget >= PLENTY else f"{budget} moves"
            axis.set_title(f"{table}; {limit}", fontsize=8)
            axis.set_xlabel(f"{said} less that of {yardstick}, 95 %", fontsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)
