"""Are a fleet plan's figures and flows true? Each once more from the records, beside what the plan says.

Two figures cannot be told from the plan, and only their range is checked: how the users of the state in force are
served (the plan keeps the flows of the planned state alone).
"""

from collections import Counter
from collections.abc import Iterator

import numpy as np

from data.schemas.fleet_plan import HOURS_PER_MONTH, FleetPlan
from tasks.validation.fleet_tables import FleetTables, Floats, Integers
from tasks.validation.verdict import Check, judged

CLOSE = 1e-6
"""Relative difference up to which two figures count as the same."""

CUT_OFF = 1e-4
"""The same for figures of flows, of which a plan leaves out the smallest."""

BY_FLOWS = ("latency.p95_ms", "latency.mean_ms", "demand.near_share", "demand.served_share")


def check_flows(plan: FleetPlan, tables: FleetTables, after: Integers) -> Check:
    """Check that the flows serve everybody from where their data may go, in time, within the planned capacity."""
    return judged("flows serve everybody", _wrong_flows(plan, tables, after), f"{len(plan.flows)} flows")


def _wrong_flows(plan: FleetPlan, tables: FleetTables, after: Integers) -> Iterator[str]:
    twice = Counter((each.zone, each.region) for each in plan.flows)
    yield from (f"{zone} to {region}: stands there {n} times" for (zone, region), n in twice.items() if n > 1)
    unknown = [each for each in plan.flows if each.zone not in tables.zone_at or each.region not in tables.region_at]
    if unknown:
        yield from (f"{each.zone} to {each.region}: expected a zone and a region of the fleet" for each in unknown)
        return
    flows = _flows(plan, tables)
    for each in plan.flows:
        zone, region = tables.zone_at[each.zone], tables.region_at[each.region]
        if not tables.allowed[zone, region]:
            yield f"{each.zone} to {each.region}: its users ask for tags that the region does not have"
        if abs(each.rtt_ms - tables.rtt_ms[zone, region]) > CLOSE * max(1.0, each.rtt_ms):
            yield f"{each.zone} to {each.region}: expected {tables.rtt_ms[zone, region]:g} ms, found {each.rtt_ms:g}"
    demand = float(tables.demand.sum())
    for row in np.flatnonzero(np.abs(flows.sum(axis=1) - tables.demand) > CLOSE * tables.demand):
        share = float(flows[row].sum() / tables.demand[row])
        yield f"{tables.fleet.zones[row].id}: expected all of its demand to be served, found {share:.6%}"
    capacity = tables.capacity(after)
    for column in np.flatnonzero(flows.sum(axis=0) > capacity + CUT_OFF * np.maximum(1.0, capacity)):
        found = float(flows[:, column].sum())
        yield f"{tables.fleet.regions[column].id}: expected at most {capacity[column]:.9g}, found {found:.9g}"
    late = float(flows[~tables.near].sum())
    most = tables.fleet.limits.late_share * demand
    if late > most + CUT_OFF * max(1.0, demand):
        yield f"late: expected at most {most:.9g}, found {late:.9g}"


def _flows(plan: FleetPlan, tables: FleetTables) -> Floats:
    flows = np.zeros(tables.allowed.shape)
    for each in plan.flows:
        if each.zone in tables.zone_at and each.region in tables.region_at:
            zone = tables.zone_at[each.zone]
            flows[zone, tables.region_at[each.region]] += each.share * tables.demand[zone]
    return flows


def check_figures(plan: FleetPlan, tables: FleetTables, after: Integers) -> Check:
    """Check every metric, before and after."""
    return judged("figures are true", _wrong_figures(plan, tables, after), f"{len(plan.metrics)} figures")


def _wrong_figures(plan: FleetPlan, tables: FleetTables, after: Integers) -> Iterator[str]:
    before_is, after_is = _figures(tables, tables.held), _figures(tables, after)
    by_flows = _by_flows(plan, tables)
    names = Counter(metric.name for metric in plan.metrics)
    yield from (f"{name}: expected once, found {count} times" for name, count in names.items() if count > 1)
    yield from (f"{name}: expected a figure, found none" for name in (*after_is, *BY_FLOWS) if name not in names)
    for metric in plan.metrics:
        if metric.name in by_flows:
            if not _close(metric.after, by_flows[metric.name], CUT_OFF):
                yield f"{metric.name} after: expected {by_flows[metric.name]:.9g}, found {metric.after:.9g}"
            if metric.before < 0.0 or (metric.unit == "" and metric.before > 1.0 + CUT_OFF):
                yield f"{metric.name} before: out of range, found {metric.before:.9g}"
        elif metric.name in after_is:
            for when, told, found in (
                ("before", metric.before, before_is[metric.name]),
                ("after", metric.after, after_is[metric.name]),
            ):
                if not _close(told, found, CLOSE):
                    yield f"{metric.name} {when}: expected {found:.9g}, found {told:.9g}"
        else:
            yield f"{metric.name}: nothing is known of it"


def _figures(tables: FleetTables, nodes: Integers) -> dict[str, float]:
    size = tables.node_capacity * nodes
    capacity = tables.capacity(nodes)
    total, demand = float(size.sum()), float(tables.demand.sum())
    largest = np.sort(capacity)[::-1][: tables.fleet.limits.lost_regions]
    rent = tables.rent_usd_per_h(nodes)
    return {
        "cost.usd_per_h": rent,
        "cost.usd_per_month": rent * HOURS_PER_MONTH,
        "carbon.kg_per_h": float(tables.carbon_kg_per_h @ nodes),
        "regions.used": float(tables.used(nodes).sum()),
        "nodes.all": float(nodes.sum()),
        "capacity.spare_after_loss": total - float(largest.sum()) - demand,
        "capacity.used_share": demand / total if total else 0.0,
        "capacity.spot_share": float(size[tables.spot].sum()) / total if total else 0.0,
    }


def _by_flows(plan: FleetPlan, tables: FleetTables) -> dict[str, float]:
    flows = _flows(plan, tables)
    served, demand = float(flows.sum()), float(tables.demand.sum())
    zone, region = np.nonzero(flows)
    ms, amount = tables.rtt_ms[zone, region], flows[zone, region]
    order = np.argsort(ms, kind="stable")
    reached = np.cumsum(amount[order])
    at = int(np.searchsorted(reached, 0.95 * served * (1.0 - CLOSE)))
    near = float(flows[tables.near].sum())
    return {
        "latency.p95_ms": float(ms[order[at]]) if served else 0.0,
        "latency.mean_ms": float(amount @ ms) / served if served else 0.0,
        "demand.near_share": near / demand if demand else 1.0,
        "demand.served_share": served / demand if demand else 1.0,
    }


def _close(one: float, other: float, relative: float) -> bool:
    return abs(one - other) <= relative * max(1.0, abs(one), abs(other))
