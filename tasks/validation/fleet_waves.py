"""Does a fleet's rollout keep its promises at every step? Each wave once more, step by step.

Between waves nothing is worse than both the state in force and the planned one: whom they serve in time, and with which
regions, clouds and outages lost, every state between them serves too.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from data.schemas.fleet_plan import FleetPlan, Step, Wave
from tasks.validation.fleet_limits import MORE_HELPS, SERVICE, standings
from tasks.validation.fleet_service import ServiceProof
from tasks.validation.fleet_tables import FleetTables, Integers
from tasks.validation.verdict import Check, judged

CLOSE = 1e-6
"""Relative difference up to which two figures count as the same."""

NOT_BETWEEN = ("quota", "changed_nodes")
"""Limits that have no meaning between waves: quotas are checked on both ends, changes only as a whole."""


@dataclass(frozen=True, slots=True, eq=False)
class States:
    """Nodes of each offer around the two halves of a wave, ``(offers,)`` each."""

    wave: Wave
    before: Integers
    started: Integers
    ended: Integers


def check_waves(
    plan: FleetPlan, tables: FleetTables, after: Integers, proof: ServiceProof, ends: dict[str, float]
) -> tuple[Check, ...]:
    """Return the checks of all waves.

    Args:
        plan: whose resources are offers of the fleet.
        tables: the fleet.
        after: nodes of the plan, ``(offers,)``.
        proof: of service.
        ends: of each limit, by name, the greater shortfall of the two ends.
    """
    unknown = sorted(
        {step.address for wave in plan.waves for step in (*wave.starts, *wave.stops, *wave.undo)}
        - tables.offer_at.keys()
    )
    steps = judged("waves change what is offered", (f"no offer is {each}" for each in unknown), f"{len(plan.waves)}")
    if unknown:
        return (steps,)
    states = _states(plan.waves, tables)
    return (
        steps,
        judged("waves lead to the plan", _leads(states, tables, after), f"{len(states)} waves"),
        judged("a wave is at most its share", _shares(states, tables, after), f"{tables.fleet.limits.wave_share:g}"),
        judged("regions that fail together are apart", _apart(states, tables), "no two in one wave"),
        judged("no step is worse than both ends", _between(states, tables, proof, ends), f"{2 * len(states)} steps"),
        judged("what waves exceed is told", _passing(states, tables, ends), "shares, carbon and regions"),
        judged("each wave can be undone", _undone(states, tables), f"{len(states)} waves"),
    )


def _states(waves: Sequence[Wave], tables: FleetTables) -> list[States]:
    found = []
    now = tables.held.copy()
    for wave in waves:
        started = _stepped(now, wave.starts, tables)
        ended = _stepped(started, wave.stops, tables)
        found.append(States(wave, now, started, ended))
        now = ended
    return found


def _stepped(nodes: Integers, steps: Sequence[Step], tables: FleetTables) -> Integers:
    found = nodes.copy()
    for step in steps:
        found[tables.offer_at[step.address]] += step.nodes
    return found


def _leads(states: Sequence[States], tables: FleetTables, after: Integers) -> Iterator[str]:
    low, high = np.minimum(tables.held, after), np.maximum(tables.held, after)
    for place, each in enumerate(states):
        wave = each.wave
        if wave.number != place + 1:
            yield f"expected wave {place + 1}, found {wave.number}"
        if not wave.starts and not wave.stops:
            yield f"wave {wave.number}: expected something to do, found nothing"
        if any(step.nodes <= 0 for step in wave.starts) or any(step.nodes >= 0 for step in wave.stops):
            yield f"wave {wave.number}: expected starts above 0 and stops below 0"
        twice = Counter(step.address for step in (*wave.starts, *wave.stops))
        yield from (f"wave {wave.number}: {key} stands there {n} times" for key, n in twice.items() if n > 1)
        for nodes in (each.started, each.ended):
            for at in np.flatnonzero((nodes < low) | (nodes > high)):
                offer = tables.fleet.offers[at]
                name = f"{offer.region}/{offer.sku}/{offer.purchase}"
                yield f"wave {wave.number}: {name}: expected {low[at]} to {high[at]} nodes, found {nodes[at]}"
    end = states[-1].ended if states else tables.held
    wrong = int((end != after).sum())
    if wrong:
        yield f"after the last wave: expected the planned nodes, found others at {wrong} offers"


def _shares(states: Sequence[States], tables: FleetTables, after: Integers) -> Iterator[str]:
    most = tables.fleet.limits.wave_share
    planned = float(tables.node_capacity @ after)
    for each in states:
        wave = each.wave
        whole = float(tables.node_capacity @ each.before) or planned
        halves = (each.started - each.before, each.started - each.ended)
        sizes = [float(tables.node_capacity @ half) / whole if whole else 0.0 for half in halves]
        for half, size in zip(halves, sizes, strict=True):
            if size > most * (1.0 + CLOSE) and int(half[tables.node_capacity > 0.0].sum()) > 1:
                yield f"wave {wave.number}: expected at most {most:g} of the capacity in force, found {size:.6g}"
        if abs(max(sizes) - wave.share) > CLOSE * max(1.0, max(sizes)):
            yield f"wave {wave.number}: told a share of {wave.share:.6g}, found {max(sizes):.6g}"
        least = min(float(tables.node_capacity @ nodes) for nodes in (each.before, each.ended))
        if abs(least - wave.least_capacity) > CLOSE * max(1.0, least):
            yield f"wave {wave.number}: told a least capacity of {wave.least_capacity:.9g}, found {least:.9g}"


def _together(tables: FleetTables) -> list[frozenset[int]]:
    """Return the groups of regions, by number, that fail together; :class:`data.schemas.fleet_plan.Wave` says which."""
    fleet = tables.fleet
    groups: dict[tuple[str, ...], set[int]] = {}
    seen: set[int] = set()
    found: list[frozenset[int]] = []
    for outage in fleet.outages:
        down = frozenset(tables.region_at[region] for region in outage.regions)
        if not outage.spot_only and len(down) > 1 and (len(down) <= 2 or 10 * len(down) <= len(fleet.regions)):
            found.append(down)
            seen |= down
    for number, region in enumerate(fleet.regions):
        if region.metro:
            groups.setdefault(("metro", region.metro), set()).add(number)
        elif number not in seen:
            groups.setdefault(("country", region.cloud, region.country), set()).add(number)
    return [*dict.fromkeys(found), *(frozenset(group) for group in groups.values() if len(group) > 1)]


def _apart(states: Sequence[States], tables: FleetTables) -> Iterator[str]:
    groups = _together(tables)
    for each in states:
        touched = (each.started != each.before) | (each.ended != each.started)
        regions = set(tables.region[touched].tolist())
        for group in groups:
            if len(group & regions) > 1:
                names = ", ".join(tables.fleet.regions[at].id for at in sorted(group & regions))
                yield f"wave {each.wave.number}: {names} fail together"


def _moments(states: Sequence[States]) -> Iterator[tuple[Wave, str, Integers]]:
    for each in states:
        yield each.wave, "started", each.started
        yield each.wave, "stopped", each.ended


def _between(
    states: Sequence[States], tables: FleetTables, proof: ServiceProof, ends: dict[str, float]
) -> Iterator[str]:
    demand = float(tables.demand.sum())
    missing = ends.get(SERVICE, 0.0)
    for wave, half, nodes in _moments(states):
        for standing in standings(tables, nodes, proof, missing):
            allowed = ends.get(standing.name, 0.0)
            slack = CLOSE * (1.0 if standing.limit == "availability" else max(1.0, demand))
            if standing.limit in MORE_HELPS and standing.short > allowed + slack:
                yield f"wave {wave.number}, when it has {half}: {standing}"


def _passing(states: Sequence[States], tables: FleetTables, ends: dict[str, float]) -> Iterator[str]:
    """Yield what a wave exceeds and does not tell, or tells and does not exceed; on the edge either is right."""
    edge = CLOSE * max(1.0, float(tables.demand.sum()))
    for each in states:
        over: dict[str, float] = {}
        for nodes in (each.started, each.ended):
            for one in standings(tables, nodes, None):
                if one.limit not in (*MORE_HELPS, *NOT_BETWEEN):
                    more = one.found - one.wanted - ends.get(one.name, 0.0)
                    over[one.name] = max(more, over.get(one.name, more))
        told = set(each.wave.passing)
        for name in sorted(name for name, more in over.items() if more > edge and name not in told):
            yield f"wave {each.wave.number}: exceeds {name} and does not say so"
        for name in sorted(name for name in told if over.get(name, -np.inf) < -edge):
            yield f"wave {each.wave.number}: says that it exceeds {name}, and does not"


def _undone(states: Sequence[States], tables: FleetTables) -> Iterator[str]:
    for each in states:
        wanted = [(step.address, -step.nodes) for step in (*each.wave.stops, *each.wave.starts)]
        if [(step.address, step.nodes) for step in each.wave.undo] != wanted:
            yield f"wave {each.wave.number}: expected its stops and then its starts taken back, found something else"
        elif not np.array_equal(_stepped(each.ended, each.wave.undo, tables), each.before):
            yield f"wave {each.wave.number}: undone, it does not lead back"
