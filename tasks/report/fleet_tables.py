"""What do a fleet and its plan come to, row by row? Cost by cloud, latency by users, carbon by region, waves."""

from collections.abc import Sequence
from dataclasses import dataclass

from data.schemas.fleet import Fleet
from data.schemas.fleet_plan import HOURS_PER_MONTH, FleetPlan
from tasks.report.fleet_map import RegionChange
from tasks.report.quantities import number

MOST_ROWS = 300
"""Rows of a table; what is left out is counted, and stands in the plan's file."""

MARKS = {"create": "+", "update": "~", "delete": "-", "no-op": "="}


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the report.

    Args:
        heads: of the columns.
        numeric: which of them hold figures.
        rows: of cells as they are shown.
        left_out: rows that are not shown.
    """

    heads: tuple[str, ...]
    numeric: tuple[bool, ...]
    rows: tuple[tuple[str, ...], ...]
    left_out: int = 0


def table(heads: Sequence[str], numeric: str, rows: Sequence[Sequence[str]]) -> Table:
    """Return a table of at most :data:`MOST_ROWS`; ``numeric`` has an n for each column of figures."""
    kept = tuple(tuple(row) for row in rows[:MOST_ROWS])
    return Table(tuple(heads), tuple(letter == "n" for letter in numeric), kept, max(0, len(rows) - MOST_ROWS))


def change_table(plan: FleetPlan) -> Table:
    """Return the resources that change, the greatest change of rent first."""
    changed = [each for each in plan.resource_changes if each.change.before != each.change.after]
    changed.sort(key=lambda each: (-abs(each.cost_delta_usd_per_h), each.address))
    rows = [
        (
            MARKS[each.change.actions[0]],
            each.address,
            f"{each.change.before:,}",
            f"{each.change.after:,}",
            f"{each.cost_delta_usd_per_h:+,.2f}",
            f"{each.capacity_delta:+,.1f}",
            each.reason,
            each.risk,
        )
        for each in changed
    ]
    return table(("", "resource", "nodes", "after", "USD/h", "capacity", "why", "risk"), "..nnnn..", rows)


def cost_table(plan: FleetPlan, fleet: Fleet) -> Table:
    """Return nodes and rent of each cloud and purchase, before and after."""
    price = {(each.region, each.sku, each.purchase): each.usd_per_h for each in fleet.offers}
    cloud = {region.id: region.cloud for region in fleet.regions}
    found: dict[tuple[str, str], list[float]] = {}
    for each in plan.resource_changes:
        row = found.setdefault((cloud[each.region], each.purchase), [0.0, 0.0, 0.0, 0.0])
        usd = price[each.region, each.sku, each.purchase]
        for when, nodes in enumerate((each.change.before, each.change.after)):
            row[when] += nodes
            row[2 + when] += nodes * usd
    rows = [(*key, *_four(values)) for key, values in sorted(found.items())]
    total = [sum(values[column] for values in found.values()) for column in range(4)]
    rows.append(("all", "", *_four(total)))
    heads = ("cloud", "bought", "nodes", "after", "USD/h", "after", "USD a month, after - before")
    return table(heads, "..nnnnn", rows)


def _four(values: Sequence[float]) -> tuple[str, ...]:
    month = (values[3] - values[2]) * HOURS_PER_MONTH
    return (f"{values[0]:,.0f}", f"{values[1]:,.0f}", f"{values[2]:,.2f}", f"{values[3]:,.2f}", f"{month:+,.0f}")


def latency_table(plan: FleetPlan, fleet: Fleet) -> Table:
    """Return who is served from where after the plan, those who wait longest first."""
    rows = []
    for zone in fleet.zones:
        flows = sorted((each for each in plan.flows if each.zone == zone.id), key=lambda each: -each.share)
        served = sum(each.share for each in flows)
        mean = sum(each.share * each.rtt_ms for each in flows) / served if served else 0.0
        late = sum(each.share for each in flows if each.rtt_ms > fleet.limits.latency_ms)
        where = ", ".join(f"{each.region} {100 * each.share:.0f} %" for each in flows[:4])
        longest = max((each.rtt_ms for each in flows), default=0.0)
        residency = ", ".join(zone.residency)
        rows.append((mean, (zone.id, residency, number(zone.demand), mean, longest, f"{100 * late:.1f} %", where)))
    rows.sort(key=lambda row: -row[0])
    cells = [
        (a, b, c, f"{mean:.1f}", f"{longest:.1f}", late, where) for _, (a, b, c, mean, longest, late, where) in rows
    ]
    heads = ("users", "data stay in", "demand", "mean ms", "longest ms", "beyond the limit", "served from")
    return table(heads, "..nnnn.", cells)


def region_table(plan: FleetPlan, fleet: Fleet, changes: Sequence[RegionChange]) -> Table:
    """Return nodes, capacity, carbon and grid of each region, before and after, the largest first."""
    watts = {sku.id: sku.node_power_w for sku in fleet.skus}
    drawn: dict[str, list[float]] = {}
    for each in plan.resource_changes:
        for when, nodes in enumerate((each.change.before, each.change.after)):
            drawn.setdefault(each.region, [0.0, 0.0])[when] += nodes * watts[each.sku] / 1000.0
    rows = []
    for change in sorted(changes, key=lambda one: -max(one.capacity)):
        grid = change.region.carbon_g_per_kwh
        kg = [None if grid is None else kw * change.region.pue * grid / 1000.0 for kw in drawn[change.region.id]]
        rows.append(
            (
                change.region.id,
                change.region.country,
                f"{change.nodes[0]:,}",
                f"{change.nodes[1]:,}",
                number(change.capacity[0]),
                number(change.capacity[1]),
                "unknown" if grid is None else number(grid),
                *("unknown" if value is None else f"{value:,.1f}" for value in kg),
            )
        )
    heads = ("region", "country", "nodes", "after", "capacity", "after", "grid g/kWh", "carbon kg/h", "after")
    return table(heads, "..nnnnnnn", rows)


def wave_table(plan: FleetPlan) -> Table:
    """Return what each wave starts and stops, and what is left at its weakest moment."""
    rows = []
    for wave in plan.waves:
        started, stopped = sum(step.nodes for step in wave.starts), -sum(step.nodes for step in wave.stops)
        regions = sorted({step.address.split("/")[0] for step in (*wave.starts, *wave.stops)})
        where = ", ".join(regions[:6]) + (f" and {len(regions) - 6} more" if len(regions) > 6 else "")
        figures = (f"{started:,}", f"{stopped:,}", f"{100 * wave.share:.1f} %", number(round(wave.least_capacity, 3)))
        rows.append((str(wave.number), *figures, where, wave.barrier))
    heads = ("wave", "nodes started", "stopped", "of capacity", "least capacity", "where", "goes on when")
    return table(heads, "nnnnn..", rows)


def binding_table(plan: FleetPlan) -> Table:
    """Return the limits that keep the plan from being cheaper."""
    rows = [
        (each.limit, "-" if each.usd_per_h is None else f"{each.usd_per_h:,.2f}", each.detail) for each in plan.binding
    ]
    return table(("limit", "USD/h", "what it keeps from"), ".n.", rows)


def solver_table(plan: FleetPlan) -> Table:
    """Return what each method reached, and the bound that nobody can pass."""
    rows = [
        (
            row.problem,
            row.method,
            f"{row.cost:,.2f}",
            f"{row.evaluations:,}",
            f"{row.windows:,}",
            f"{row.accepted:,}",
            "chosen" if row.chosen else "",
        )
        for row in plan.solvers
    ]
    for bound in plan.bounds:
        gap = "" if bound.gap is None else f"gap {100 * bound.gap:.3f} %"
        rows.append((bound.problem, f"bound: {bound.method}", f"{bound.value:,.2f}", "", "", "", gap))
    return table(("problem", "method", "USD/h", "evaluations", "windows", "accepted", ""), "..nnnn.", rows)
