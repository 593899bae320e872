"""Does a fleet's plan keep every promise? The independent check of a plan beside the fleet that it was made for.

Written from the definitions of :mod:`data.schemas.fleet` and :mod:`data.schemas.fleet_plan`; how the plan was found is
not known here. What needs another check to have passed is left out where it has not, never passed.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from data.fleet_crosscheck import cross_check_fleet
from data.schemas.fleet import Fleet
from data.schemas.fleet_plan import FLEET_PLAN, FleetPlan, ResourceChange
from tasks.validation.fleet_figures import check_figures, check_flows
from tasks.validation.fleet_limits import Limit, Standing, standings
from tasks.validation.fleet_service import ServiceProof
from tasks.validation.fleet_tables import FleetTables, Integers, fleet_sha256, fleet_tables
from tasks.validation.fleet_waves import check_waves
from tasks.validation.verdict import Check, Verdict, judged

CLOSE = 1e-6
"""Relative difference up to which two sums of money count as the same."""

CHECKED: tuple[tuple[Limit, str], ...] = (
    ("quota", "quotas are kept"),
    ("service", "everybody is served in time"),
    ("lost_regions", "regions may be lost"),
    ("lost_cloud_share", "a cloud may be lost"),
    ("availability", "known outages are borne"),
    ("spot_share", "spot is at most its share"),
    ("cloud_shares", "clouds are at most their shares"),
    ("carbon_kg_per_h", "carbon is below its cap"),
    ("max_regions", "regions are few enough"),
    ("changed_nodes", "changes are few enough"),
)


def verify_fleet_plan(plan: FleetPlan, fleet: Fleet) -> Verdict:
    """Re-check ``plan`` against the fleet that it is said to be made for.

    Args:
        plan: of any origin.
        fleet: as it was read.

    Raises:
        Unsolved: it could be neither proved nor refuted that users are served.
    """
    checks = [_unaltered(plan), _of_this_fleet(plan, fleet)]
    unsound = [str(each.record("fleet")) for each in cross_check_fleet(fleet)]
    checks.append(judged("the fleet is sound", unsound, f"{len(fleet.offers)} offers in {len(fleet.regions)} regions"))
    if not unsound:
        tables = fleet_tables(fleet)
        checks.append(_resources(plan.resource_changes, tables))
        if checks[-1].passed:
            checks += _contents(plan, tables)
    return Verdict(all(check.passed for check in checks), tuple(checks))


def _contents(plan: FleetPlan, tables: FleetTables) -> Iterator[Check]:
    """Yield the checks of a plan whose resources are offers of the fleet."""
    after = _nodes(plan.resource_changes, tables, "after")
    proof = ServiceProof(tables)
    in_force, planned = standings(tables, tables.held, proof), standings(tables, after, proof)
    yield _before(plan, tables)
    yield judged("actions say what happens", _actions(plan.resource_changes), f"{len(plan.resource_changes)} resources")
    yield judged("differences are true", _deltas(plan.resource_changes, tables), "rent and capacity of each")
    for limit, name in CHECKED:
        about = [each for each in planned if each.limit == limit]
        wrong = [str(each) for each in about if each.short > 0.0]
        yield judged(name, wrong, "; ".join(map(str, about)) if len(about) < 4 else f"{len(about)} figures")
    yield check_flows(plan, tables, after)
    yield check_figures(plan, tables, after)
    yield _never_worse(plan, tables, after, in_force)
    yield judged("what is in force is judged", _told_broken(plan, tables, in_force), "what it breaks is told")
    ends: dict[str, float] = {}
    for each in (*in_force, *planned):
        ends[each.name] = max(each.short, ends.get(each.name, 0.0))
    yield from check_waves(plan, tables, after, proof, ends)
    yield judged("the inverse leads back", _inverse(plan, tables, after), "exactly")
    yield judged("drift is of what is held", _drift(plan, tables), f"{len(plan.resource_drift)} resources")


def _unaltered(plan: FleetPlan) -> Check:
    found = hashlib.sha256(FLEET_PLAN.dump_json(replace(plan, sha256="0" * 64))).hexdigest()
    wrong = () if found == plan.sha256 else (f"expected the SHA-256 {plan.sha256}, found {found}",)
    return judged("the plan is unaltered", wrong, f"SHA-256 {found}")


def _of_this_fleet(plan: FleetPlan, fleet: Fleet) -> Check:
    pairs = (
        ("fleet", plan.fleet, fleet.name),
        ("prior_state_sha256", plan.prior_state_sha256, fleet_sha256(fleet)),
        ("prior_state_taken_at", plan.prior_state_taken_at, fleet.taken_at),
        ("catalogue_sha256", plan.catalogue_sha256, fleet.catalogue_sha256),
    )
    wrong = [f"{field}: the plan says {told}, the fleet {found}" for field, told, found in pairs if told != found]
    return judged("the plan is of this fleet", wrong, f"SHA-256 {pairs[1][2]}")


def _resources(changes: Sequence[ResourceChange], tables: FleetTables) -> Check:
    wrong = []
    for each in changes:
        name = f"{each.region}/{each.sku}/{each.purchase}"
        if each.address != name:
            wrong.append(f"{each.address}: expected the address {name}")
        elif name not in tables.offer_at:
            wrong.append(f"{name}: no such offer")
    twice = Counter(each.address for each in changes)
    wrong += [f"{name}: stands there {count} times" for name, count in twice.items() if count > 1]
    return judged("resources are offers", wrong, f"{len(changes)} resources")


def _nodes(changes: Sequence[ResourceChange], tables: FleetTables, side: Literal["before", "after"]) -> Integers:
    found = np.zeros(len(tables.fleet.offers), np.int64)
    for each in changes:
        found[tables.offer_at[each.address]] = each.change.before if side == "before" else each.change.after
    return found


def _before(plan: FleetPlan, tables: FleetTables) -> Check:
    told = _nodes(plan.resource_changes, tables, "before")
    wrong = []
    for at in np.flatnonzero(told != tables.held):
        offer = tables.fleet.offers[at]
        name = f"{offer.region}/{offer.sku}/{offer.purchase}"
        wrong.append(f"{name}: the fleet holds {tables.held[at]} nodes, the plan says {told[at]}")
    return judged("what is held is as told", wrong, f"{int(told.sum())} nodes")


def _action(before: int, after: int) -> str:
    if before == after:
        return "no-op"
    if not before:
        return "create"
    return "update" if after else "delete"


def _actions(changes: Sequence[ResourceChange]) -> Iterator[str]:
    for each in changes:
        wanted = _action(each.change.before, each.change.after)
        if each.change.actions != (wanted,):
            yield f"{each.address}: expected {wanted}, found {', '.join(each.change.actions)}"
        if each.change.before == each.change.after == 0:
            yield f"{each.address}: expected nodes before or after, found none"
        if not each.reason.strip():
            yield f"{each.address}: expected a reason, found none"


def _deltas(changes: Sequence[ResourceChange], tables: FleetTables) -> Iterator[str]:
    for each in changes:
        at = tables.offer_at[each.address]
        more = each.change.after - each.change.before
        for name, told, found in (
            ("cost_delta_usd_per_h", each.cost_delta_usd_per_h, more * float(tables.usd_per_h[at])),
            ("capacity_delta", each.capacity_delta, more * float(tables.node_capacity[at])),
        ):
            if not _close(told, found):
                yield f"{each.address}: {name}: expected {found:.9g}, found {told:.9g}"


def _never_worse(plan: FleetPlan, tables: FleetTables, after: Integers, in_force: Sequence[Standing]) -> Check:
    held, cost = tables.cost_usd_per_h(tables.held), tables.cost_usd_per_h(after)
    wrong = []
    sound = not any(each.short > 0.0 for each in in_force)
    if sound and cost > held and not _close(cost, held):
        wrong.append(f"expected at most the {held:.9g} USD/h of what is in force, found {cost:.9g}")
    for name, rows, value in (
        ("incumbent", [row for row in plan.solvers if row.method == "incumbent"], held),
        ("chosen", [row for row in plan.solvers if row.chosen], cost),
    ):
        if len(rows) != 1:
            wrong.append(f"expected one {name} row in the solver table, found {len(rows)}")
        wrong += [
            f"{row.method}: told {row.cost:.9g} USD/h, found {value:.9g}" for row in rows if not _close(row.cost, value)
        ]
    for bound in plan.bounds:
        if bound.value > cost and not _close(bound.value, cost):
            wrong.append(f"told that {bound.value:.9g} USD/h are needed, found {cost:.9g}")
        gap = max(0.0, cost - bound.value) / abs(cost) if cost else 0.0
        if bound.gap is not None and abs(bound.gap - gap) > CLOSE:
            wrong.append(f"told a gap of {bound.gap:.6g}, found {gap:.6g}")
    return judged(
        "never worse", wrong, f"{cost:.9g} USD/h, {held:.9g} in force" + ("" if sound else ", which is short")
    )


def _told_broken(plan: FleetPlan, tables: FleetTables, in_force: Sequence[Standing]) -> Iterator[str]:
    """Yield the limits that the state in force breaks clearly and of which no note says so."""
    if not tables.held.any():
        return
    for each in in_force:
        names = ("late_share", "demand") if each.limit == "service" else (each.name,)
        if each.short > CLOSE * max(1.0, abs(each.wanted)) and not any(
            name in note for name in names for note in plan.notes
        ):
            yield f"it breaks {each}, and no note says so"


def _inverse(plan: FleetPlan, tables: FleetTables, after: Integers) -> Iterator[str]:
    resources = _resources(plan.inverse, tables)
    if not resources.passed:
        yield resources.detail
        return
    if not np.array_equal(_nodes(plan.inverse, tables, "before"), after):
        yield "expected it to begin at the planned nodes, found others"
    if not np.array_equal(_nodes(plan.inverse, tables, "after"), tables.held):
        yield "expected it to end at the nodes in force, found others"
    yield from _actions(plan.inverse)
    yield from _deltas(plan.inverse, tables)


def _drift(plan: FleetPlan, tables: FleetTables) -> Iterator[str]:
    """Yield what drift tells wrongly; the last plan is not at hand, so only what was found is checked."""
    for each in plan.resource_drift:
        at = tables.offer_at.get(each.address)
        held = 0 if at is None else int(tables.held[at])
        if each.found != held:
            yield f"{each.address}: told that {each.found} nodes were found, the fleet holds {held}"
        if each.found == each.planned:
            yield f"{each.address}: expected a difference, found none"


def _close(one: float, other: float) -> bool:
    return abs(one - other) <= CLOSE * max(1.0, abs(one), abs(other))
