"""Does a state between two others serve whom they both serve, whatever is lost? Mostly proved without a solver.

If loads ``u`` of regions serve everybody, and loads ``v`` do too, then so does any mix ``(1 - m) u + m v``: both ways
of serving, each for its share of the users, are together no later. So a state is proved by one number ``m``, where its
capacities are at least the mix. Where what is in force cannot serve everybody, its capacities stand for ``u``, and the
mix serves no fewer than it does. Where no mix proves a state, flows are looked for, as often as their number allows.
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from tasks.fleet.feasible import broken_limits
from tasks.fleet.model import Flags, FleetModel, Floats, Integers
from tasks.fleet.programme_rows import groups
from tasks.fleet.service import minimum_cut, serve

TOLERANCE = 1e-9
"""Of all demand."""

PAIRS_LOOKED_AT = 2_000_000
"""Of zones and regions, in all searches of one rollout; a count and no time, so that a fleet always gets its waves."""


MOST_SEARCHES = 300
"""However small the fleet."""

ROUNDS = 24
"""Regions that are given up, where no more is safe, before a wave stops no more."""


@dataclass(frozen=True, slots=True, eq=False)
class Losses:
    """What may be lost.

    Args:
        sets: regions, by number, of which the largest may be, and the demand that is theirs.
        down: whether a region is down in an outage, 0 or 1, ``(outages, regions)``.
        spot_only: of each outage, ``(outages,)``.
    """

    sets: tuple[tuple[Integers, float], ...]
    down: Floats
    spot_only: Flags


@dataclass(slots=True, eq=False)
class SafeStates:
    """What is proved of the states between two others. Mutable; lives within one rollout.

    Args:
        model: of the fleet.
        after: nodes that the way leads to, ``(offers,)``.
        first: loads of regions that what is in force serves, or its capacities, ``(regions,)``.
        last: loads of regions that ``after`` serves, or its capacities, ``(regions,)``.
        least: of each margin, below which no state may fall, ``(margins,)``.
        over: by how much either end exceeds a limit, by its name.
        short_before: limits that what is in force breaks.
        losses: that are counted.
        searches: for flows that are left.
    """

    model: FleetModel
    after: Integers
    first: Floats
    last: Floats
    least: Floats
    over: dict[str, float]
    short_before: tuple[str, ...]
    losses: Losses
    searches: int = 0

    def most(self, nodes: Integers, stops: Integers, order: Integers) -> Integers:
        """Return as many of the ``stops`` as leave ``nodes`` safe; those first in ``order`` first.

        Args:
            nodes: from which they are taken, ``(offers,)``; safe, and where there are stops above the planned ones.
            stops: ``(offers,)``, which lead to no fewer nodes than are planned.
            order: numbers of the offers that have stops.
        """
        if (nodes >= self.after).all():
            return stops  # what is planned serves as ever, and this is no less anywhere
        model = self.model
        every, spot = model.region_capacity(nodes), model.region_capacity(np.where(model.spot, nodes, 0))
        taken = np.zeros_like(stops)
        rest = order
        for _ in range(ROUNDS):
            region, size, of_spot = model.region[rest], model.capacity[rest], model.spot[rest]
            counts = np.cumsum(stops[rest])

            def left(wanted: int) -> tuple[Floats, Floats, Integers]:
                """Return capacities, all and of spot, ``(regions,)``, without the first ``wanted`` stops, and those."""
                some = np.clip(wanted - (counts - stops[rest]), 0, stops[rest])  # noqa: B023 - called in this round
                gone = size * some  # noqa: B023
                without = every - np.bincount(region, gone, minlength=every.size)  # noqa: B023
                return without, spot - np.bincount(region, gone * of_spot, minlength=every.size), some  # noqa: B023

            least, most = 0, int(counts[-1])
            while least < most:
                middle = (least + most + 1) // 2
                if self.holds(*left(middle)[:2]):
                    least = middle
                else:
                    most = middle - 1
            every, spot, some = left(least)
            taken[rest] += some
            at = int(np.searchsorted(counts, least, side="right"))
            rest = rest[at + 1 :][region[at + 1 :] != region[min(at, region.size - 1)]]  # there no other is safe either
            if not rest.size:
                break
        return taken

    def holds(self, capacity: Floats, of_spot: Floats) -> bool:
        """Tell whether capacities, all and those of spot, ``(regions,)``, are proved to serve as both ends do."""
        demand = float(self.model.demand.sum())
        slack = TOLERANCE * demand
        if (margins(self.model, self.losses, capacity, of_spot) < self.least - slack).any():
            return False
        if mixed(self.first, self.last, capacity + slack):
            return True
        if self.searches <= 0 or "demand" in self.short_before or capacity.sum() < demand - slack:
            return False
        self.searches -= 1
        return minimum_cut(self.model, capacity) is None and serve(self.model, capacity).cut is None


def safe_states(model: FleetModel, after: Integers, flows: csr_array | None = None) -> SafeStates:
    """Return what can be proved of states between what is held and ``after``, ``(offers,)``.

    Args:
        model: of the fleet.
        after: ``(offers,)``.
        flows: that serve everybody in time with ``after``, ``(zones, regions)``; looked for where None.
    """
    over: dict[str, float] = {}
    for nodes in (model.held, after):
        for each in broken_limits(model, nodes, service=False):
            over[each.limit] = max(each.found - each.wanted, over.get(each.limit, 0.0))
    first, short = _loads(model, model.held)
    last = _loads(model, after)[0] if flows is None else np.asarray(flows.sum(axis=0), np.float64).ravel()
    losses = losses_of(model)
    ends = [
        margins(model, losses, model.region_capacity(nodes), model.region_capacity(np.where(model.spot, nodes, 0)))
        for nodes in (model.held, after)
    ]
    least = np.minimum(0.0, np.minimum(*ends))
    broken = [each.limit for each in broken_limits(model, model.held, service=False)]
    if short:
        broken.insert(0, "demand")
    passing = ("quota", "spot_share", "cloud_shares", "carbon", "max_regions", "changed_nodes")
    kept = tuple(each for each in broken if not each.startswith(passing))
    searches = min(MOST_SEARCHES, PAIRS_LOOKED_AT // max(1, model.near.size))
    return SafeStates(model, after, first, last, least, over, kept, losses, searches)


def _loads(model: FleetModel, nodes: Integers) -> tuple[Floats, bool]:
    """Return loads under which all that ``nodes`` can serve is served, and whether that is less than all demand."""
    capacity = model.region_capacity(nodes)
    if minimum_cut(model, capacity) is not None:
        return capacity, True
    served = serve(model, capacity, by_latency=False)
    if served.cut is not None:
        return capacity, True
    return np.asarray(served.flows.sum(axis=0), np.float64).ravel(), False


def mixed(first: Floats, last: Floats, capacity: Floats) -> bool:
    """Tell whether some mix of ``first`` and ``last`` is nowhere above ``capacity``, all of them ``(regions,)``."""
    towards = last - first
    room = capacity - first
    if (room[towards == 0.0] < 0.0).any():
        return False
    up, down = towards > 0.0, towards < 0.0
    most = float(np.min(room[up] / towards[up], initial=1.0))
    least = float(np.max(room[down] / towards[down], initial=0.0))
    return least <= most


def losses_of(model: FleetModel) -> Losses:
    """Return what may be lost in a fleet."""
    fleet = model.fleet
    number = {region.id: at for at, region in enumerate(fleet.regions)}
    down = np.zeros((len(fleet.outages), len(fleet.regions)))
    for row, outage in enumerate(fleet.outages):
        down[row, [number[region] for region in outage.regions]] = 1.0
    return Losses(
        sets=tuple((np.flatnonzero(inside), needed) for _, inside, needed in groups(model)),
        down=down,
        spot_only=np.array([outage.spot_only for outage in fleet.outages], np.bool_),
    )


def margins(model: FleetModel, losses: Losses, capacity: Floats, of_spot: Floats) -> Floats:
    """Return by how much a state keeps each limit that more nodes never break, service aside, ``(margins,)``.

    They are, in the fleet's unit, the room that is left for each set of tags when the largest regions are lost and
    for everybody when a cloud is; and the share of time by which outages are borne, in all demands.
    """
    limits = model.limits
    demand, total = float(model.demand.sum()), float(capacity.sum())
    found = []
    for inside, needed in losses.sets:
        rest = np.sort(capacity[inside])
        found.append(float(rest[: max(0, rest.size - limits.lost_regions)].sum()) - needed)
    if limits.lost_cloud_share > 0.0:
        cloud = np.bincount(model.cloud, capacity, minlength=len(model.clouds))
        found += (total - cloud - limits.lost_cloud_share * demand).tolist()
    if limits.availability > 0.0 and model.outage_weight.size:
        gone = np.where(losses.spot_only, losses.down @ of_spot, losses.down @ capacity)
        down = float(model.outage_weight[total - gone < demand * (1.0 - TOLERANCE)].sum())
        found.append((1.0 - limits.availability - down) * demand)
    return np.array(found)
