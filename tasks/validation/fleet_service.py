"""Can these regions serve all users, in time? A linear programme of the validator's own, as the definition has it.

Flows ``y[z, r] >= 0`` on pairs that residency allows; all demand of a zone is served; no region serves more than its
capacity; what is served beyond the latency is at most the late share of all demand. Who serves what is late does not
matter to the other rows beyond the region's capacity, so late flows are kept as what each zone sends away late and what
each region takes of the late users with the same residency; that is exact.
"""

from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import coo_array

from tasks.validation.fleet_tables import Flags, FleetTables, Floats

TOLERANCE = 1e-6
"""Of all demand, below which it counts as served: what a solver in double precision may be off by."""

MIXED = 6
"""Known loads of which pairs are mixed; the first are those of the state in force and of the planned one."""

MANY_PAIRS = 50_000
"""From so many on the interior point method is used: where much is missing, the simplex takes four times as long."""

FIRST_TRIED = 24
"""Nearest regions of each zone that are tried first: flows over few pairs prove as much as flows over all."""


class Unsolved(Exception):
    """The programme could be neither solved nor refuted."""


@dataclass(slots=True)
class ServiceProof:
    """How much of demand capacities cannot serve in time. Mutable, lives in one validation.

    Args:
        tables: the fleet.
        known: loads of regions, ``(regions,)`` each, under which all users but so many are served in time.
    """

    tables: FleetTables
    known: list[tuple[Floats, float]] = field(default_factory=list)

    def missing(self, capacity: Floats, enough: float = 0.0) -> float:
        """Return how much demand ``capacity``, ``(regions,)``, cannot serve in time; 0 where it can serve all.

        Args:
            capacity: ``(regions,)``.
            enough: where no more than that is proved to be missing, no less is looked for.
        """
        demand = float(self.tables.demand.sum())
        slack = TOLERANCE * demand
        if demand <= 0.0:
            return 0.0
        proved = self._proved(capacity + slack / capacity.size)
        if proved <= enough + slack:
            return proved
        capacity = np.maximum(0.0, capacity)  # of a rollout that stops what it has not
        near = self.tables.near
        for pairs in (_nearest(self.tables, near), near):
            missing, load = _least_missing(self.tables, pairs, capacity)
            if missing <= slack:
                self.known.append((load, 0.0))
                return 0.0
        self.known.append((load, missing))
        return missing

    def _proved(self, capacity: Floats) -> float:
        """Return what known loads prove of ``capacity``: that it carries one of them, or a share of each of two."""
        best = min((missing for load, missing in self.known if (load <= capacity).all()), default=np.inf)
        for (one, first), (other, second) in combinations(self.known[:MIXED], 2):
            if max(first, second) < best and _carries_a_mix(one, other, capacity):
                best = max(first, second)
        return float(best)


def _carries_a_mix(one: Floats, other: Floats, capacity: Floats) -> bool:
    """Tell whether ``(1 - s) one + s other <= capacity`` for some share ``s`` of all users, from 0 to 1."""
    with np.errstate(divide="ignore", invalid="ignore"):
        bound = (capacity - one) / (other - one)
    rises, falls = other > one, other < one
    if (one > capacity)[~rises & ~falls].any():
        return False
    return max(0.0, np.max(bound[falls], initial=0.0)) <= min(1.0, np.min(bound[rises], initial=1.0))


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
        method="highs" if zone.size < MANY_PAIRS else "highs-ipm",
    )
    if solved.x is None:
        raise Unsolved(f"HiGHS says: {solved.message}")
    load = most[:regions] @ solved.x * unit
    return float(solved.fun) * unit, np.asarray(load, np.float64)
