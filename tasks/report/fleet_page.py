"""What does a person read about a fleet's plan? One HTML page with a map of the world, which needs nothing else."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from data.schemas.fleet import Fleet
from data.schemas.fleet_plan import FleetPlan
from data.schemas.plan import Metric
from tasks.fleet.latency_frontier import LatencyChoice
from tasks.report.fleet_frontier import FleetPoint, latency_chart, latency_lines
from tasks.report.fleet_map import KINDS, counts, fleet_map, region_changes
from tasks.report.fleet_tables import (
    binding_table,
    change_table,
    cost_table,
    latency_table,
    region_table,
    solver_table,
    wave_table,
)
from tasks.report.plain import one_line
from tasks.report.quantities import counted, number
from tasks.validation.verdict import Verdict

LABELS = {
    "cost.usd_per_h": "rent and regions",
    "cost.usd_per_month": "in a month of 730 hours",
    "latency.p95_ms": "latency of 95 % of users",
    "latency.mean_ms": "mean latency",
    "demand.near_share": "users within the latency",
    "demand.served_share": "users served",
    "carbon.kg_per_h": "carbon dioxide",
    "regions.used": "regions",
    "nodes.all": "nodes",
    "capacity.spare_after_loss": "spare capacity with the largest regions lost",
    "capacity.used_share": "capacity in use",
    "capacity.spot_share": "capacity that is spot",
}
KEY_FIGURES = (
    "cost.usd_per_h",
    "latency.p95_ms",
    "demand.near_share",
    "carbon.kg_per_h",
    "regions.used",
    "nodes.all",
    "capacity.spare_after_loss",
    "capacity.spot_share",
)
INCUMBENT = "incumbent"
_SHARES = ("demand.near_share", "demand.served_share", "capacity.used_share", "capacity.spot_share")
_FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class FigureRow:
    """A figure before and after, in words.

    Args:
        verdict: better, worse, changed or same.
    """

    label: str
    before: str
    after: str
    change: str
    verdict: str


def figure_row(metric: Metric) -> FigureRow:
    """Return what a reader sees of ``metric``."""
    label = LABELS.get(metric.name, metric.name)
    before, after = (_shown(metric, value) for value in (metric.before, metric.after))
    if before == after:
        return FigureRow(label, before, after, "", "same")
    if not (math.isfinite(metric.before) and math.isfinite(metric.after)):
        return FigureRow(label, before, after, "", "changed")
    gained = metric.after > metric.before if metric.better == "higher" else metric.after < metric.before
    if metric.name in _SHARES:
        change = f"{100 * (metric.after - metric.before):+.1f} points"
    elif metric.before > 0.0:
        change = f"{100 * (metric.after / metric.before - 1):+.1f} %"
    else:
        change = f"{metric.after - metric.before:+,.1f}"
    return FigureRow(label, before, after, change, "better" if gained else "worse")


def _shown(metric: Metric, value: float) -> str:
    if not math.isfinite(value):
        return "not all are served"
    if metric.name in _SHARES:
        return f"{100 * value:.1f} %"
    return f"{number(round(value, 2))} {metric.unit}".rstrip()


def headline(plan: FleetPlan) -> str:
    """Return what a plan does, in two sentences."""
    changed = [each for each in plan.resource_changes if each.change.before != each.change.after]
    if not changed:
        return "The fleet stays as it is: nothing that keeps its limits is cheaper."
    started = sum(max(0, each.change.after - each.change.before) for each in changed)
    stopped = sum(max(0, each.change.before - each.change.after) for each in changed)
    cost = next((each for each in plan.metrics if each.name == "cost.usd_per_h"), None)
    money = ""
    if cost is not None and cost.before > 0.0:
        share = 100.0 * (cost.after / cost.before - 1.0)
        money = f" It costs {cost.after:,.2f} USD/h instead of {cost.before:,.2f} ({share:+.1f} %)."
    elif cost is not None:
        money = f" It costs {cost.after:,.2f} USD/h."
    waves = counted(len(plan.waves), "wave")
    return f"The plan rents {counted(started, 'node')} and gives back {counted(stopped, 'node')}, in {waves}.{money}"


def render_fleet_report(
    plan: FleetPlan,
    fleet: Fleet,
    verdict: Verdict | None,
    *,
    frontier: Sequence[LatencyChoice] = (),
    seconds: Sequence[tuple[str, float]] = (),
    renderings: Sequence[str] = (),
) -> str:
    """Return the page of ``plan``.

    Args:
        plan: what changes.
        fleet: that it was made for.
        verdict: of the validator; None where it could not be asked.
        frontier: the cheapest fleets under several latency limits; empty leaves the picture out.
        seconds: phases of the run and what they took.
        renderings: a line for each of the tools in whose words the plan lies in the run's folder.

    Returns:
        HTML without any reference to another file, bounded in size.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["line"] = one_line
    environment.globals |= {"counted": counted, "number": number}
    changes = region_changes(plan, fleet)
    kinds = counts(changes)
    figures = {metric.name: metric for metric in plan.metrics}
    return environment.from_string(_text("fleet.html.j2")).render(
        plan=plan,
        fleet=fleet,
        verdict=verdict,
        failed=[] if verdict is None else [check for check in verdict.checks if not check.passed],
        headline=headline(plan),
        figures=[figure_row(figures[name]) for name in KEY_FIGURES if name in figures],
        metrics=[figure_row(metric) for metric in plan.metrics],
        map=fleet_map(changes, fleet),
        legend=[(kind, text, kinds[kind]) for kind, text in KINDS],
        chart=_chart(plan, fleet, frontier) if frontier else None,
        chart_lines=latency_lines(frontier, _cost(plan)) if frontier else (),
        changes=change_table(plan),
        costs=cost_table(plan, fleet),
        latencies=latency_table(plan, fleet),
        regions=region_table(plan, fleet, changes),
        waves=wave_table(plan),
        binding=binding_table(plan),
        solvers=solver_table(plan),
        seconds=tuple(seconds),
        renderings=tuple(renderings),
        style=Markup(_text("page.css") + _text("fleet.css")),  # noqa: S704 - our own files
    )


def _text(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def _chart(plan: FleetPlan, fleet: Fleet, frontier: Sequence[LatencyChoice]) -> Markup:
    """Return the picture of what nearness costs; costs are those that methods compare, changes spread over time."""
    before = next((row.cost for row in plan.solvers if row.method == INCUMBENT), 0.0)
    latency = next(metric for metric in plan.metrics if metric.name == "latency.p95_ms")
    in_force = FleetPoint(latency.before, before) if before > 0.0 and math.isfinite(latency.before) else None
    return latency_chart(frontier, in_force, FleetPoint(fleet.limits.latency_ms, _cost(plan)))


def _cost(plan: FleetPlan) -> float:
    """Return what the plan costs as methods compare it; without an account of methods, its rent and regions."""
    chosen = [row.cost for row in plan.solvers if row.chosen]
    return chosen[0] if chosen else next(metric.after for metric in plan.metrics if metric.name == "cost.usd_per_h")
