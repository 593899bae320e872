"""In which waves is a plan rolled out, so that nobody goes without meanwhile?

Machines that a wave starts serve before it stops others. More capacity never makes a loss of regions, a loss of a
cloud, an outage or a far user worse, so once all is started all that is to go may go; waves stop what they can before
that, the dearest first, so that little is paid twice. What only shares hold - of spot, of clouds -, carbon and the
number of regions may be exceeded between the first state and the last; the wave that does says so.

Regions that fail together (:class:`data.schemas.fleet_plan.Wave` says which) are never changed in one wave: a bad image
or a mistaken quota then meets one of them first.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from data.schemas.fleet_plan import Step, Wave
from tasks.fleet.feasible import broken_limits
from tasks.fleet.model import FleetModel, Integers
from tasks.fleet.plan import address
from tasks.fleet.safe_states import SafeStates, safe_states

PASSES = ("spot_share", "cloud_shares", "carbon_kg_per_h", "max_regions")
"""Limits that more capacity can break, so that only the first and the last state must keep them."""

TRIES = 8
"""Times that a wave looks for other stops where the dearest are not safe yet."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """The waves, and what they cannot promise."""

    waves: tuple[Wave, ...]
    notes: tuple[str, ...]


def correlated(model: FleetModel) -> tuple[frozenset[int], ...]:
    """Return groups of regions, by number, that fail together; see :class:`data.schemas.fleet_plan.Wave`."""
    fleet = model.fleet
    number = {region.id: at for at, region in enumerate(fleet.regions)}
    most = max(2, len(fleet.regions) // 10)
    outages = [frozenset(number[name] for name in each.regions) for each in fleet.outages if not each.spot_only]
    seen = [group for group in outages if 1 < len(group) <= most]
    known = frozenset().union(*seen)
    places: dict[tuple[str, ...], list[int]] = {}
    for at, region in enumerate(fleet.regions):
        if region.metro:
            places.setdefault((region.metro,), []).append(at)
        elif at not in known:
            places.setdefault((region.cloud, region.country), []).append(at)
    near = [frozenset(group) for group in places.values() if len(group) > 1]
    return tuple(dict.fromkeys([*near, *seen]))


def rollout(model: FleetModel, after: Integers, flows: csr_array | None = None) -> Rollout:
    """Return the waves that lead from what is held to ``after``, ``(offers,)``.

    Each wave starts, and stops, at most ``wave_share`` of the capacity in force as it begins (of an empty fleet: of the
    one planned), but at least a node, and changes at most one region of those that fail together. After each of its
    halves nobody goes without who is served both before the first wave and after the last, whatever may be lost.

    Args:
        model: of the fleet.
        after: ``(offers,)``.
        flows: that serve everybody in time with ``after``, ``(zones, regions)``; looked for where None.
    """
    now = model.held.copy()
    closing = _closing(model, correlated(model))
    safe = safe_states(model, after, flows)
    planned = float(model.capacity @ after)
    waves: list[Wave] = []
    while not np.array_equal(now, after):
        whole = float(model.capacity @ now) or planned
        allowance = model.limits.wave_share * whole
        starts = _take(model, np.maximum(after - now, 0), allowance, closing, ())
        started = now + starts
        touched = np.unique(model.region[np.flatnonzero(starts)]).tolist()
        stops = _stops(model, started, allowance, closing, touched, safe)
        ended = started - stops
        exceeded = sorted({*_exceeded(model, started, safe), *_exceeded(model, ended, safe)})
        sizes = float(model.capacity @ starts), float(model.capacity @ stops)
        least = min(float(model.capacity @ now), float(model.capacity @ ended))
        share = max(sizes) / whole if whole else 0.0
        waves.append(_wave(model, len(waves) + 1, starts, stops, share=share, least=least, passing=tuple(exceeded)))
        now = ended
    return Rollout(tuple(waves), tuple(_notes(model, waves, safe)))


def _notes(model: FleetModel, waves: Sequence[Wave], safe: SafeStates) -> Iterable[str]:
    """Say what the waves give up."""
    passing = sorted({name for wave in waves for name in wave.passing})
    for name in passing:
        numbers = [wave.number for wave in waves if name in wave.passing]
        yield f"{name}: exceeded between waves {numbers[0]} and {numbers[-1]}, and kept by the last state"
    big = [wave for wave in waves if wave.share > model.limits.wave_share * (1.0 + 1e-9)]
    if big:
        yield f"{len(big)} waves change a single node that is more than the share of a wave"
    if waves and safe.short_before:
        yield f"between waves no more is promised of {', '.join(safe.short_before)} than what is in force keeps"


def _closing(model: FleetModel, groups: Sequence[frozenset[int]]) -> tuple[frozenset[int], ...]:
    """Return for each region the others that may not be changed with it."""
    found: list[set[int]] = [set() for _ in model.fleet.regions]
    for group in groups:
        for region in group:
            found[region] |= group
    return tuple(frozenset(others - {region}) for region, others in enumerate(found))


def _take(
    model: FleetModel,
    wanted: Integers,
    allowance: float,
    closing: Sequence[frozenset[int]],
    touched: Iterable[int],
    *,
    dearest: bool = False,
) -> Integers:
    """Return as many of the ``wanted`` nodes as fit into a wave that has ``touched`` regions already.

    Args:
        model: of the fleet.
        wanted: ``(offers,)``.
        allowance: capacity that the wave may change; of a single node it may be more.
        closing: for each region the others that may not be changed with it.
        touched: regions.
        dearest: whether the dearest capacity goes first; otherwise the cheapest.
    """
    taken = np.zeros_like(wanted)
    closed = {other for region in touched for other in closing[region]}
    left, any_taken = allowance * (1.0 + 1e-12), False
    for at in _by_price(model, wanted, dearest=dearest).tolist():
        region = int(model.region[at])
        if region in closed:
            continue
        size = float(model.capacity[at])
        fits = int(wanted[at]) if size <= 0.0 else min(int(wanted[at]), int(max(0.0, left) / size))
        if fits == 0 and not any_taken:
            fits = 1
        if fits == 0:
            continue
        taken[at] = fits
        left, any_taken = left - fits * size, any_taken or size > 0.0
        closed |= closing[region]
    return taken


def _stops(
    model: FleetModel,
    started: Integers,
    allowance: float,
    closing: Sequence[frozenset[int]],
    touched: Iterable[int],
    safe: SafeStates,
) -> Integers:
    """Return what a wave that has ``started`` so much, in ``touched`` regions, may stop."""
    wanted: Integers = np.maximum(started - safe.after, 0)
    touched = set(touched)
    found: Integers = np.zeros_like(wanted)
    for _ in range(TRIES):
        some = _take(model, wanted, allowance, closing, touched, dearest=True)
        if not some.any():
            break
        found = safe.most(started, some, _by_price(model, some, dearest=True))
        if found.any():
            break
        wanted[some > 0] = 0  # none of them is safe yet: look at others
    return found


def _by_price(model: FleetModel, nodes: Integers, *, dearest: bool) -> Integers:
    """Return the numbers of the offers that ``nodes`` are of, in the order of what a unit of capacity costs."""
    at = np.flatnonzero(nodes)
    each_usd = model.usd_per_h[at] / np.maximum(model.capacity[at], 1e-9)
    order = np.argsort(-each_usd if dearest else each_usd, kind="stable")
    return np.asarray(at[order], np.int64)


def _exceeded(model: FleetModel, nodes: Integers, safe: SafeStates) -> list[str]:
    """Return the limits that ``nodes`` exceed by more than both ends do, and may."""
    return [
        each.limit
        for each in broken_limits(model, nodes, service=False)
        if each.limit.startswith(PASSES) and each.found - each.wanted > safe.over.get(each.limit, 0.0)
    ]


def _wave(
    model: FleetModel,
    number: int,
    starts: Integers,
    stops: Integers,
    *,
    share: float,
    least: float,
    passing: tuple[str, ...],
) -> Wave:
    up = tuple(Step(address(model.fleet.offers[at]), int(starts[at])) for at in np.flatnonzero(starts))
    down = tuple(Step(address(model.fleet.offers[at]), -int(stops[at])) for at in np.flatnonzero(stops))
    ready = f"all {int(starts.sum())} new nodes answer health checks; " if up else ""
    in_time = 1.0 - model.limits.late_share
    return Wave(
        number=number,
        starts=up,
        stops=down,
        share=share,
        least_capacity=least,
        barrier=(
            f"{ready}capacity of at least {least:,.0f} {model.fleet.capacity_unit} serves, and {in_time:.0%} of users "
            f"are served within {model.limits.latency_ms:g} ms, for 15 minutes"
        ),
        abort_if=(
            "a start is refused or not healthy after 30 minutes, errors rise, or the barrier is not reached within an "
            "hour: undo this wave, and plan again"
        ),
        undo=tuple(Step(step.address, -step.nodes) for step in (*down, *up)),
        passing=passing,
    )
