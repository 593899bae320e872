"""How does a fleet's plan come together? Changes with reasons, the way back, and the account of how it was found."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csr_array

from data.digest import UNSIGNED, fleet_plan_digest
from data.errors import BadRecord, PlanRefused
from data.readers.fleet.fleet_file import fleet_digest
from data.schemas.fleet import Fleet, Offer
from data.schemas.fleet_plan import (
    HOURS_PER_MONTH,
    Binding,
    Change,
    Doing,
    Drift,
    FleetPlan,
    Flow,
    ResourceChange,
    Wave,
)
from data.schemas.plan import Bound, Fallback, SetAside, SolverRow
from tasks.fleet.figures import fleet_metrics
from tasks.fleet.model import FleetModel, Integers
from tasks.report.plain import one_line

SMALLEST_SHARE = 1e-6
"""Of a zone's demand; smaller flows are the arithmetic's."""


def address(offer: Offer) -> str:
    """Return how plans call an offer: ``region/sku/purchase``."""
    return f"{offer.region}/{offer.sku}/{offer.purchase}"


@dataclass(frozen=True, slots=True)
class Account:
    """How a plan was found.

    Args:
        solvers: what each method reached.
        bounds: proven lower bounds.
        binding: limits that keep it from being cheaper.
        fallbacks: what stood in for what.
        set_aside: records of the input that were not used.
        notes: what a reader should know.
    """

    solvers: tuple[SolverRow, ...] = ()
    bounds: tuple[Bound, ...] = ()
    binding: tuple[Binding, ...] = ()
    fallbacks: tuple[Fallback, ...] = ()
    set_aside: Sequence[BadRecord] = ()
    notes: tuple[str, ...] = ()


def assemble_fleet_plan(
    model: FleetModel,
    nodes: Integers,
    *,
    flows: csr_array,
    waves: tuple[Wave, ...],
    account: Account,
    code_version: str,
    options: str,
    seed: int,
    last: FleetPlan | None = None,
) -> FleetPlan:
    """Return the signed plan that leads from what is held to ``nodes``.

    Args:
        model: the fleet.
        nodes: of each offer after the plan, ``(offers,)``.
        flows: from each zone to each region afterwards, ``(zones, regions)``, in the fleet's unit.
        waves: in which order (:mod:`tasks.fleet.waves`).
        account: how it was found.
        code_version: of the software that made it.
        options: what the run was asked for, as JSON.
        seed: of all chance.
        last: the plan that was carried out last, for drift; None where there is none.
    """
    changes = resource_changes(model, model.held, nodes)
    plan = FleetPlan(
        fleet=model.fleet.name,
        prior_state_sha256=fleet_digest(model.fleet),
        prior_state_taken_at=model.fleet.taken_at,
        catalogue_sha256=model.fleet.catalogue_sha256,
        code_version=code_version,
        options=options,
        seed=seed,
        resource_changes=changes,
        resource_drift=() if last is None else drift(model, last),
        waves=waves,
        inverse=inverse(changes),
        flows=_flows(model, flows),
        metrics=fleet_metrics(model, nodes, flows),
        solvers=account.solvers,
        bounds=account.bounds,
        binding=account.binding,
        fallbacks=account.fallbacks,
        set_aside=tuple(SetAside(record.path, record.expected, record.found) for record in account.set_aside),
        notes=account.notes,
        sha256=UNSIGNED,
    )
    return replace(plan, sha256=fleet_plan_digest(plan))


def resource_changes(model: FleetModel, before: Integers, after: Integers) -> tuple[ResourceChange, ...]:
    """Return what becomes of every offer that is held before or after, in the order of the fleet's offers."""
    found = []
    for at, offer in enumerate(model.fleet.offers):
        was, will = int(before[at]), int(after[at])
        if was == will == 0:
            continue
        delta = will - was
        found.append(
            ResourceChange(
                address=address(offer),
                region=offer.region,
                sku=offer.sku,
                purchase=offer.purchase,
                change=Change((doing(was, will),), was, will),
                reason=_reason(model, at, delta),
                cost_delta_usd_per_h=delta * offer.usd_per_h,
                capacity_delta=delta * float(model.capacity[at]),
                risk=_risk(offer, will),
            )
        )
    return tuple(found)


def doing(before: int, after: int) -> Doing:
    """Return what OpenTofu would call a change from ``before`` nodes to ``after``."""
    if before == after:
        return "no-op"
    if before == 0:
        return "create"
    return "delete" if after == 0 else "update"


def inverse(changes: Sequence[ResourceChange]) -> tuple[ResourceChange, ...]:
    """Return the changes that undo ``changes``."""
    return tuple(
        replace(
            each,
            change=Change((doing(each.change.after, each.change.before),), each.change.after, each.change.before),
            reason="back to what was in force" if each.change.before != each.change.after else each.reason,
            cost_delta_usd_per_h=-each.cost_delta_usd_per_h,
            capacity_delta=-each.capacity_delta,
            risk="",
        )
        for each in reversed(changes)
    )


def drift(model: FleetModel, last: FleetPlan) -> tuple[Drift, ...]:
    """Return what is held otherwise than ``last`` left it."""
    planned = {each.address: each.change.after for each in last.resource_changes}
    found = {address(offer): int(nodes) for offer, nodes in zip(model.fleet.offers, model.held, strict=True) if nodes}
    return tuple(
        Drift(key, planned.get(key, 0), found.get(key, 0))
        for key in sorted(planned.keys() | found.keys())
        if planned.get(key, 0) != found.get(key, 0)
    )


def check_fresh(plan: FleetPlan, fleet: Fleet) -> None:
    """Refuse a plan that was altered, or made for another state.

    Raises:
        PlanRefused: says which.
    """
    if fleet_plan_digest(plan) != plan.sha256:
        raise PlanRefused(f"the plan was altered: expected the SHA-256 {plan.sha256}, found {fleet_plan_digest(plan)}")
    now = fleet_digest(fleet)
    if now != plan.prior_state_sha256:
        raise PlanRefused(
            f"the plan is stale: it was made for the fleet {plan.prior_state_sha256[:12]} of "
            f"{plan.prior_state_taken_at}, found {now[:12]} of {fleet.taken_at}; plan again"
        )


def exit_code(plan: FleetPlan) -> int:
    """Return 0 where nothing changes, 2 where something does, as OpenTofu's ``-detailed-exitcode``."""
    return 2 if any(each.change.before != each.change.after for each in plan.resource_changes) else 0


def diff_text(plan: FleetPlan) -> str:
    """Return the changes for a terminal: ``+`` rent, ``~`` more or fewer, ``-`` give back; then what it comes to."""
    marks = {"create": "+", "update": "~", "delete": "-"}
    changed = [each for each in plan.resource_changes if each.change.actions[0] != "no-op"]
    names = [one_line(each.address) for each in changed]
    width = max(map(len, names), default=0)
    lines = [
        f"  {marks[each.change.actions[0]]} {name:<{width}}  {each.change.before:>7} -> {each.change.after:<7}"
        f" {each.cost_delta_usd_per_h:>+12,.2f} USD/h  {one_line(each.reason)}"
        for name, each in zip(names, changed, strict=True)
    ]
    lines += [
        f"  ! {one_line(each.address)}: {each.found} nodes, the last plan left {each.planned}"
        for each in plan.resource_drift
    ]
    by_action = {action: sum(each.change.actions[0] == action for each in changed) for action in marks}
    total = sum(each.cost_delta_usd_per_h for each in changed)
    summary = (
        f"Plan: {by_action['create']} to add, {by_action['update']} to change, {by_action['delete']} to destroy; "
        f"rent {total:+,.2f} USD/h ({total * HOURS_PER_MONTH:+,.0f} USD a month), in {len(plan.waves)} waves."
    )
    return "\n".join([*lines, summary if changed else "No changes. The fleet is as the plan would have it."]) + "\n"


def _flows(model: FleetModel, flows: csr_array) -> tuple[Flow, ...]:
    """Return the flows but for the smallest, whose users go where the others of their zone do."""
    pairs = flows.tocoo()
    share = pairs.data / model.demand[pairs.row]
    keep = np.flatnonzero(share > SMALLEST_SHARE)
    every = np.bincount(pairs.row, share, minlength=model.demand.size)
    kept = np.bincount(pairs.row[keep], share[keep], minlength=model.demand.size)
    share = share * np.divide(every, kept, out=np.ones_like(every), where=kept > 0.0)[pairs.row]
    zones, regions = model.fleet.zones, model.fleet.regions
    return tuple(
        Flow(
            zones[pairs.row[at]].id,
            regions[pairs.col[at]].id,
            float(min(1.0, share[at])),
            float(model.rtt_ms[pairs.row[at], pairs.col[at]]),
        )
        for at in sorted(keep.tolist(), key=lambda at: (pairs.row[at], pairs.col[at]))
    )


def _reason(model: FleetModel, at: int, delta: int) -> str:
    """Say in words why an offer is rented, kept or given back: what a unit of its capacity costs beside others'."""
    offer = model.fleet.offers[at]
    if model.capacity[at] <= 0.0:
        return "it serves nothing: it is always interrupted" if delta < 0 else "as it is"
    each = float(model.usd_per_h[at] / model.capacity[at])
    unit = f"{each:.4g} USD/h per unit"
    held = (model.held > 0) & (model.capacity > 0.0)
    if not held.any():
        return f"new: {unit}" if delta else f"as it is: {unit}"
    mean = float(model.usd_per_h[held] @ model.held[held]) / float(model.capacity[held] @ model.held[held])
    beside = f"{abs(1.0 - each / mean):.0%} {'below' if each < mean else 'above'} the mean in force"
    place = model.fleet.regions[model.region[at]]
    if delta > 0:
        why = "cheap" if each < mean else f"needed near to its users in {place.metro or place.id}"
        return f"{why}: {unit}, {beside}"
    if delta < 0:
        why = "dear" if each >= mean else "not needed where others serve the same users"
        return f"{why}: {unit}, {beside}"
    return f"as it is: {unit}" if offer.purchase != "reserved" else "as it is: it is paid for"


def _risk(offer: Offer, nodes: int) -> str:
    found = []
    if offer.purchase == "spot" and nodes:
        found.append(f"spot, gone {offer.interruption:.1%} of the time")
    if offer.quota_nodes is not None and nodes and nodes >= offer.quota_nodes:
        found.append(f"the quota of {offer.quota_nodes} nodes is used up")
    return "; ".join(found)
