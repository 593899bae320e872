"""Can these regions serve all users, in time? A linear programme of the validator's own, as the definition has it.

Flows ``y[z, r] >= 0`` on pairs that residency allows; all demand of a zone is served; no region serves more than its
capacity; what is served beyond the latency is at most the late share of all demand. Who serves what is late does not
matter to the other rows beyond the region's capacity, so late flows are kept as what each zone sends away late and what
each region takes of the late users with the same residency; that is exact.
"""

from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import coo_array

from tasks.validation.fleet_tables import Flags, FleetTables, Floats

TOLERANCE = 1e-6
"""Of all demand, below which it counts as served: what a solver in double precision may be off by."""

FIRST_TRIED = 24
"""Nearest regions of each zone that are tried first: flows over few pairs prove as much as flows over all."""


class Unsolved(Exception):
    """The programme could be neither solved nor refuted."""


@dataclass(slots=True)
class ServiceProof:
    """Whether capacities serve all users in time; remembers loads of regions that do. Mutable, lives in one validation.

    Args:
        tables: the fleet.
        loads: of regions, ``(regions,)`` each, under which all users are served in time.
    """

    tables: FleetTables
    loads: list[Floats] = field(default_factory=list)

    def missing(self, capacity: Floats) -> float:
        """Return how much demand ``capacity``, ``(regions,)``, cannot serve in time; 0 where it can serve all."""
        demand = float(self.tables.demand.sum())
        slack = TOLERANCE * demand
        if demand <= 0.0 or any((load <= capacity + slack / capacity.size).all() for load in self.loads):
            return 0.0
        capacity = np.maximum(0.0, capacity)  # of a rollout that stops what it has not
        near = self.tables.near
        for pairs in (_nearest(self.tables, near), near):
            missing, load = _least_missing(self.tables, pairs, capacity)
            if missing <= slack:
                self.loads.append(load)
                return 0.0
        return missing


def _nearest(tables: FleetTables, near: Flags) -> Flags:
    ms = np.where(near, tables.rtt_ms, np.inf)
    count = min(FIRST_TRIED, ms.shape[1])
    found = np.zeros_like(near)
    np.put_along_axis(found, np.argsort(ms, axis=1, kind="stable")[:, :count], True, axis=1)
    return np.asarray(found & near, np.bool_)


def _least_missing(tables: FleetTables, pairs: Flags, capacity: Floats) -> tuple[float, Floats]:
    """Return the least demand that stays unserved with in-time flows on ``pairs``, and the load of each region."""
    zones, regions = pairs.shape
    rights, right_of = np.unique(tables.allowed, axis=0, return_inverse=True)
    right_of = right_of.ravel()
    zone, region = np.nonzero(pairs)
    right, taker = np.nonzero(rights)
    # columns: in time (zone, region), sent late (zone), taken late (right, region), unserved (zone)
    sent, taken, lost = zone.size, zone.size + zones, zone.size + zones + right.size
    columns = lost + zones
    every = np.arange(zones)
    equal = coo_array(
        (
            np.concatenate([np.ones(zone.size + 3 * zones), -np.ones(right.size)]),
            (
                np.concatenate([zone, every, every, zones + right_of, zones + right]),
                np.concatenate(
                    [np.arange(zone.size), sent + every, lost + every, sent + every, taken + np.arange(right.size)]
                ),
            ),
        ),
        shape=(zones + len(rights), columns),
    ).tocsr()
    most = coo_array(
        (
            np.ones(zone.size + right.size + zones),
            (
                np.concatenate([region, taker, np.full(zones, regions)]),
                np.concatenate([np.arange(zone.size), taken + np.arange(right.size), sent + every]),
            ),
        ),
        shape=(regions + 1, columns),
    ).tocsr()
    total = float(tables.demand.sum())
    unit = total / zones  # the solver's tolerances are absolute
    cost = np.concatenate([np.zeros(lost), np.ones(zones)])
    solved = linprog(
        cost,
        A_eq=equal,
        b_eq=np.concatenate([tables.demand / unit, np.zeros(len(rights))]),
        A_ub=most,
        b_ub=np.concatenate([np.minimum(capacity, total), [tables.fleet.limits.late_share * total]]) / unit,
        bounds=(0, None),
        method="highs",
    )
    if solved.x is None:
        raise Unsolved(f"HiGHS says: {solved.message}")
    load = most[:regions] @ solved.x * unit
    return float(solved.fun) * unit, np.asarray(load, np.float64)
