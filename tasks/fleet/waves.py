"""In which waves is a plan rolled out, so that nobody goes without meanwhile?

Machines that a wave starts serve before it stops others. Capacity that is added never makes a loss of regions, a loss
of a cloud or a far user worse, so once all is started all that is to go may go; waves stop as much as they can before
that, so that little is paid twice. What only shares hold - of spot, of clouds - and carbon may be exceeded between the
first wave and the last, and is said.

Regions that fail together are never changed in one wave: a bad image or a mistaken quota then meets one of them first.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data.schemas.fleet_plan import Step, Wave
from tasks.fleet.feasible import broken_limits
from tasks.fleet.model import FleetModel, Integers
from tasks.fleet.plan import address

NOT_BETWEEN = ("spot_share", "cloud_shares", "carbon_kg_per_h", "max_regions", "changed_nodes", "availability")
"""Limits that only the first and the last state must keep."""

MOST_WAVES = 200


@dataclass(frozen=True, slots=True)
class Rollout:
    """The waves, and what they cannot promise."""

    waves: tuple[Wave, ...]
    notes: tuple[str, ...]


def correlated(model: FleetModel) -> tuple[frozenset[int], ...]:
    """Return groups of regions, by number, that fail together: of one metro, or down together in an outage.

    An outage of spot machines alone says nothing of how regions fail, and one of a whole cloud cannot be kept apart:
    only those of at most a tenth of all regions count.
    """
    fleet = model.fleet
    number = {region.id: at for at, region in enumerate(fleet.regions)}
    groups: list[frozenset[int]] = []
    metros: dict[str, set[int]] = {}
    for at, region in enumerate(fleet.regions):
        if region.metro:
            metros.setdefault(region.metro, set()).add(at)
    groups += [frozenset(group) for group in metros.values() if len(group) > 1]
    for outage in fleet.outages:
        if not outage.spot_only and 1 < len(outage.regions) <= max(2, len(fleet.regions) // 10):
            groups.append(frozenset(number[region] for region in outage.regions))
    return tuple(dict.fromkeys(groups))


def rollout(model: FleetModel, after: Integers) -> Rollout:
    """Return the waves that lead from what is held to ``after``, ``(offers,)``.

    Each wave starts and stops at most ``wave_share`` of the capacity in force (of an empty fleet: of the one planned),
    but at least a node, and changes at most one region of those that fail together. After each of its halves the fleet
    keeps what it kept before: room for all users in time, and for the loss of regions and of a cloud.
    """
    now = model.held.copy()
    groups = correlated(model)
    in_force = float(model.region_capacity(now).sum())
    whole = in_force or float(model.region_capacity(after).sum())
    allowance = model.limits.wave_share * whole
    kept = _must_keep(model, now, after)
    waves: list[Wave] = []
    while not np.array_equal(now, after) and len(waves) < MOST_WAVES:
        starts = _take(model, np.maximum(after - now, 0), allowance, groups, frozenset())
        started = now + starts
        touched = frozenset(model.region[np.flatnonzero(starts)].tolist())
        wanted = np.maximum(started - after, 0)
        stops = _take(model, np.where(now > after, wanted, 0), allowance, groups, touched)
        stops = _safe(model, started, stops, kept)
        if not starts.any() and not stops.any():
            break
        ended = started - stops
        share = max(float(model.capacity @ starts), float(model.capacity @ stops)) / whole if whole else 0.0
        least = min(float(model.region_capacity(each).sum()) for each in (now, ended))
        waves.append(_wave(model, len(waves) + 1, starts, stops, share, least))
        now = ended
    notes = list(_passing(model, after))
    if not np.array_equal(now, after):
        left = int(np.abs(now - after).sum())
        waves.append(_wave(model, len(waves) + 1, np.maximum(after - now, 0), np.maximum(now - after, 0), 1.0, 0.0))
        notes.append(f"the last wave changes {left} nodes at once: no smaller step keeps what was kept before")
    if kept.dropped:
        notes.append(f"between waves nothing is promised of {', '.join(kept.dropped)}, which what is in force breaks")
    return Rollout(tuple(waves), tuple(notes))


@dataclass(frozen=True, slots=True)
class _Kept:
    """Limits that hold before and after and therefore must between; and those that do not hold before."""

    broken: frozenset[str]
    dropped: tuple[str, ...]


def _must_keep(model: FleetModel, before: Integers, after: Integers) -> _Kept:
    broken = {each.limit for nodes in (before, after) for each in broken_limits(model, nodes)}
    mattering = sorted(each for each in broken if not each.startswith((*NOT_BETWEEN, "quota")))
    return _Kept(frozenset(broken), tuple(mattering))


def _holds(model: FleetModel, nodes: Integers, kept: _Kept) -> bool:
    return all(
        each.limit in kept.broken or each.limit.startswith((*NOT_BETWEEN, "quota"))
        for each in broken_limits(model, nodes)
    )


def _take(
    model: FleetModel,
    wanted: Integers,
    allowance: float,
    groups: Sequence[frozenset[int]],
    touched: frozenset[int],
) -> Integers:
    """Return as many of the ``wanted`` nodes as fit into a wave, the cheapest capacity first."""
    taken = np.zeros_like(wanted)
    closed = {other for group in groups if group & touched for other in group - touched}
    left, any_taken = allowance, False
    each_usd = model.usd_per_h / np.maximum(model.capacity, 1e-9)
    for at in sorted(np.flatnonzero(wanted).tolist(), key=lambda at: (each_usd[at], at)):
        region = int(model.region[at])
        if region in closed:
            continue
        size = float(model.capacity[at])
        fits = int(wanted[at]) if size <= 0.0 else min(int(wanted[at]), int((left + 1e-9) / size))
        if fits == 0 and not any_taken:
            fits = 1
        if fits == 0:
            continue
        taken[at] = fits
        left, any_taken = left - fits * size, True
        closed |= {other for group in groups if region in group for other in group - {region}}
    return taken


def _safe(model: FleetModel, started: Integers, stops: Integers, kept: _Kept) -> Integers:
    """Return as many of the ``stops`` as leave the fleet what it must keep: all, or the most of them in order."""
    if not stops.any() or _holds(model, started - stops, kept):
        return stops
    order = np.flatnonzero(stops)
    least, most = 0, order.size  # the first `least` stops are safe, the first `most` are not
    while most - least > 1:
        middle = (least + most) // 2
        some = np.zeros_like(stops)
        some[order[:middle]] = stops[order[:middle]]
        if _holds(model, started - some, kept):
            least = middle
        else:
            most = middle
    safe = np.zeros_like(stops)
    safe[order[:least]] = stops[order[:least]]
    return safe


def _wave(model: FleetModel, number: int, starts: Integers, stops: Integers, share: float, least: float) -> Wave:
    up = tuple(Step(address(model.fleet.offers[at]), int(starts[at])) for at in np.flatnonzero(starts))
    down = tuple(Step(address(model.fleet.offers[at]), -int(stops[at])) for at in np.flatnonzero(stops))
    undo = tuple(Step(step.address, -step.nodes) for step in (*down, *up))
    started = sum(step.nodes for step in up)
    barrier = (
        f"all {started} new nodes answer health checks, and errors and latency are as before"
        if up
        else ("errors and latency are as before")
    )
    return Wave(
        number=number,
        starts=up,
        stops=down,
        share=share,
        least_capacity=least,
        barrier=barrier,
        abort_if="a start is refused or not healthy after 30 minutes, or users are served worse: undo this wave",
        undo=undo,
    )


def _passing(model: FleetModel, after: Integers) -> list[str]:
    """Say which shares may be exceeded between the first state and the last."""
    named = []
    if model.limits.spot_share < 1.0 and after[model.spot].any():
        named.append("spot_share")
    named += [f"cloud_shares of {share.cloud}" for share in model.limits.cloud_shares]
    if model.limits.carbon_kg_per_h is not None:
        named.append("carbon_kg_per_h")
    if not named or np.array_equal(model.held, after):
        return []
    return [f"{', '.join(named)}: kept by the last state, perhaps not between waves"]
