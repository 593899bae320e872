"""Does a state between two others serve whom they both serve, whatever is lost? Mostly proved without a solver.

If loads ``u`` of regions serve everybody, and loads ``v`` do too, then so does any mix ``(1 - m) u + m v``: both ways
of serving, each for its share of the users, are together no later. So a state is proved by one number ``m``, where its
capacities are at least the mix. Where what is in force cannot serve everybody, its capacities stand for ``u``, and the
mix serves no fewer than it does. Where no mix proves a state, flows are looked for, as often as their number allows.
"""

from dataclasses import dataclass

import numpy as np

from tasks.fleet.feasible import broken_limits
from tasks.fleet.model import FleetModel, Floats, Integers
from tasks.fleet.programme_rows import groups
from tasks.fleet.service import minimum_cut, serve

TOLERANCE = 1e-9
"""Of all demand."""

PAIRS_LOOKED_AT = 2_000_000
"""Of zones and regions, in all searches of one rollout; a count and no time, so that a fleet always gets its waves."""


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
        searches: for flows that are left.
    """

    model: FleetModel
    after: Integers
    first: Floats
    last: Floats
    least: Floats
    over: dict[str, float]
    short_before: tuple[str, ...]
    searches: int = 0

    def __call__(self, nodes: Integers) -> bool:
        """Tell whether ``nodes``, ``(offers,)``, are proved to be as good as both ends."""
        if (nodes >= self.after).all():
            return True
        slack = TOLERANCE * float(self.model.demand.sum())
        if (margins(self.model, nodes) < self.least - slack).any():
            return False
        capacity = self.model.region_capacity(nodes)
        if mixed(self.first, self.last, capacity + slack):
            return True
        if self.searches <= 0 or "demand" in self.short_before or capacity.sum() < self.model.demand.sum() - slack:
            return False
        self.searches -= 1
        return minimum_cut(self.model, capacity) is None and serve(self.model, capacity).cut is None

    def most(self, nodes: Integers, stops: Integers, order: Integers) -> Integers:
        """Return as many of the ``stops`` as leave ``nodes`` safe; those first in ``order`` first.

        Args:
            nodes: from which they are taken, ``(offers,)``; safe.
            stops: ``(offers,)``.
            order: numbers of the offers that have stops.
        """
        taken = np.zeros_like(stops)
        rest = order
        while rest.size:
            counts = np.cumsum(stops[rest])
            least, most = 0, int(counts[-1])
            while least < most:
                middle = (least + most + 1) // 2
                if self(nodes - taken - _first(stops, rest, counts, middle)):
                    least = middle
                else:
                    most = middle - 1
            taken = taken + _first(stops, rest, counts, least)
            rest = rest[int(np.searchsorted(counts, least, side="right")) + 1 :]  # the next one is not safe: without it
        return taken


def _first(stops: Integers, order: Integers, counts: Integers, wanted: int) -> Integers:
    """Return the first ``wanted`` nodes of the stops of ``order``, ``(offers,)``."""
    found = np.zeros_like(stops)
    found[order] = np.clip(wanted - (counts - stops[order]), 0, stops[order])
    return found


def safe_states(model: FleetModel, after: Integers) -> SafeStates:
    """Return what can be proved of states between what is held and ``after``, ``(offers,)``."""
    over: dict[str, float] = {}
    for nodes in (model.held, after):
        for each in broken_limits(model, nodes, service=False):
            over[each.limit] = max(each.found - each.wanted, over.get(each.limit, 0.0))
    first, short = _loads(model, model.held)
    last, _ = _loads(model, after)
    least = np.minimum(0.0, np.minimum(margins(model, model.held), margins(model, after)))
    broken = [each.limit for each in broken_limits(model, model.held, service=False)]
    if short:
        broken.insert(0, "demand")
    passing = ("quota", "spot_share", "cloud_shares", "carbon", "max_regions", "changed_nodes")
    kept = tuple(each for each in broken if not each.startswith(passing))
    searches = PAIRS_LOOKED_AT // max(1, model.near.size)
    return SafeStates(model, after, first, last, least, over, kept, searches)


def _loads(model: FleetModel, nodes: Integers) -> tuple[Floats, bool]:
    """Return loads under which all that ``nodes`` can serve is served, and whether that is less than all demand."""
    capacity = model.region_capacity(nodes)
    served = serve(model, capacity)
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


def margins(model: FleetModel, nodes: Integers) -> Floats:
    """Return by how much ``nodes`` keep each limit that more nodes never break, service aside, ``(margins,)``.

    They are, in the fleet's unit, the room that is left for each set of tags when the largest regions are lost and
    for everybody when a cloud is; and the share of time by which outages are borne, in all demands.
    """
    limits = model.limits
    demand = float(model.demand.sum())
    capacity = model.region_capacity(nodes)
    found = []
    for _, inside, needed in groups(model):
        largest = np.sort(capacity[inside])[::-1][: limits.lost_regions]
        found.append(float(capacity[inside].sum() - largest.sum()) - needed)
    if limits.lost_cloud_share > 0.0:
        cloud = np.bincount(model.cloud, capacity, minlength=len(model.clouds))
        found += (capacity.sum() - cloud - limits.lost_cloud_share * demand).tolist()
    if limits.availability > 0.0 and model.outage_weight.size:
        left = (~model.outage_down) @ (model.capacity * nodes)
        down = float(model.outage_weight[left < demand * (1.0 - TOLERANCE)].sum())
        found.append((1.0 - limits.availability - down) * demand)
    return np.array(found)
