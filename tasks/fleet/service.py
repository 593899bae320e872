"""Can these regions serve these users? The flows if so; if not, an inequality that every fleet which can must keep.

Flows cost nothing, so whether they exist depends on the capacities ``c`` of regions alone. By Farkas' lemma they exist
exactly if ``weight @ c + late * allowance >= demand`` for all cuts of a finite list (Gale 1957, doi
10.2140/pjm.1957.7.1073); the most violated one comes from a minimum cut or from the duals of a transport problem, which
is Benders' way (1962, doi 10.1007/BF01386316). A programme over nodes therefore needs no column for any flow.

What is served from afar goes through one pool for each kind of zone (those that may go to the same regions), from which
any region of the kind may take it. That loses nothing: how a pool's inflow meets its outflow is free, since all of its
zones may go to all of its regions, and a pooled flow that ends near would count as late without need.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

from qiskit_solvers.errors import SolverFailed
from tasks.fleet.model import Flags, FleetModel, Floats, Integers

TOLERANCE = 1e-9
"""Relative to all demand: below it nothing is missing, and nothing is late."""

SCALE = 2**30
"""Units of all demand in flows of whole numbers, which have 32 bits."""

MISSING_COST = 1_000.0
"""What a unit that is not served costs, where one that is late costs 1."""

NEAREST = 40
"""Near regions of a zone that are tried before all of them are."""


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """``weight @ capacity + late * late_allowance >= zone_weight @ demand``, for all fleets that can serve.

    Args:
        weight: ``(regions,)``.
        zone_weight: ``(zones,)``.
        late: 0 where lateness does not help.
    """

    weight: Floats
    zone_weight: Floats
    late: float

    def missing(self, model: FleetModel, capacity: Floats) -> float:
        """Return by how much ``capacity``, ``(regions,)``, falls short of it; 0 or less if it does not."""
        need = float(self.zone_weight @ model.demand)
        return need - float(self.weight @ capacity) - self.late * late_allowance(model)


@dataclass(frozen=True, slots=True, eq=False)
class Service:
    """How users are served.

    Args:
        flows: ``(zones, regions)`` in the fleet's unit.
        late: demand that is served beyond the latency.
        missing: of each zone, what is not served, ``(zones,)``.
        cut: what the capacities break, if they do.
    """

    flows: csr_array
    late: float
    missing: Floats
    cut: Cut | None


def late_allowance(model: FleetModel) -> float:
    """Return how much demand may be served beyond the latency."""
    return float(model.limits.late_share * model.demand.sum())


def kinds_of_zones(model: FleetModel) -> tuple[Integers, Flags]:
    """Return the kind of each zone, ``(zones,)``, and the regions that each kind may go to, ``(kinds, regions)``."""
    rows, kind = np.unique(model.allowed, axis=0, return_inverse=True)
    return kind.ravel().astype(np.int64), rows


def first_cuts(model: FleetModel) -> list[Cut]:
    """Return what any fleet must keep: room for all, for each kind of zones, and near to each single zone."""
    kind, rows = kinds_of_zones(model)
    zones, regions = model.near.shape
    cuts = [Cut(np.ones(regions), np.ones(zones), 0.0)]
    for row in rows:
        inside = (rows <= row).all(axis=1)  # of those kinds that may go nowhere else
        cuts.append(Cut(row.astype(np.float64), inside[kind].astype(np.float64), 0.0))
    for zone in np.flatnonzero(model.demand > late_allowance(model)):
        alone = np.zeros(zones)
        alone[zone] = 1.0
        cuts.append(Cut(model.near[zone].astype(np.float64), alone, 1.0))
    return cuts


@dataclass(frozen=True, slots=True, eq=False)
class _Flow:
    """A greatest flow in which all zones share one pool.

    Args:
        near: pairs that it uses, ``(zones, regions)``.
        zone: those on the source's side of the minimum cut, ``(zones,)``.
        region: likewise, ``(regions,)``.
        pool: whether the pool is too.
    """

    near: Flags
    zone: Flags
    region: Flags
    pool: bool


def _maximum_flow(model: FleetModel, capacity: Floats) -> _Flow:
    """Return a greatest flow from users over near pairs and one pool to ``capacity``, in whole units."""
    zones, regions = model.near.shape
    total = float(model.demand.sum()) or 1.0
    zone, region = np.nonzero(model.near)
    first, second, source, sink = (zones + regions + np.arange(4)).tolist()  # the pool's way in and its way out
    every_zone, every_region = np.arange(zones), zones + np.arange(regions)
    late = late_allowance(model)
    arcs = (
        (np.full(zones, source), every_zone, model.demand),
        (zone, zones + region, model.demand[zone]),
        (every_zone, np.full(zones, first), model.demand),
        (np.array([first]), np.array([second]), np.array([late])),
        (np.full(regions, second), every_region, np.full(regions, late)),
        (every_region, np.full(regions, sink), np.minimum(capacity, total)),
    )
    tail, head, room = (np.concatenate(part) for part in zip(*arcs, strict=True))
    whole = np.floor(np.maximum(0.0, room) * (SCALE / total)).astype(np.int32)
    graph = csr_array((whole, (tail, head)), shape=(sink + 1, sink + 1))
    flow = maximum_flow(graph, source, sink).flow
    left = graph - flow
    left.data[left.data < 0] = 0
    left.eliminate_zeros()
    reached = np.zeros(sink + 1, np.bool_)
    reached[breadth_first_order(left, source, return_predecessors=False)] = True
    used = flow[:zones, zones : zones + regions].toarray() > 0
    return _Flow(used, reached[:zones], reached[zones : zones + regions], bool(reached[second]))


def minimum_cut(model: FleetModel, capacity: Floats) -> Cut | None:
    """Return a violated cut whose weights are all 0 or 1, or None where there is none.

    All zones share one pool here, so a kind of zones can be served from afar too freely: None proves nothing yet.
    """
    flow = _maximum_flow(model, capacity)
    cut = Cut(flow.region.astype(np.float64), flow.zone.astype(np.float64), 0.0 if flow.pool else 1.0)
    return cut if cut.missing(model, capacity) > TOLERANCE * 10.0 * float(model.demand.sum()) else None


def serve(model: FleetModel, capacity: Floats, *, by_latency: bool = True) -> Service:
    """Return how ``capacity``, ``(regions,)``, serves all users, or what it lacks.

    Args:
        model: of the fleet.
        capacity: of each region, ``(regions,)``.
        by_latency: whether the flows are those of least latency; otherwise those with the least that is late.
    """
    # a flow over few pairs proves as much as one over all; only its absence says nothing
    few = _nearest(model) | _maximum_flow(model, capacity).near
    found = _transport(model, capacity, few, by_latency=by_latency)
    if found.cut is None or (not by_latency and few.sum() == model.near.sum()):
        return found
    found = _transport(model, capacity, model.near, by_latency=False)
    if found.cut is None and by_latency:
        return _transport(model, capacity, model.near, by_latency=True)
    return found


def _nearest(model: FleetModel) -> Flags:
    """Return the :data:`NEAREST` near regions of each zone, ``(zones, regions)``."""
    rtt = np.where(model.near, model.rtt_ms, np.inf)
    count = min(NEAREST, rtt.shape[1])
    chosen = np.zeros(rtt.shape, np.bool_)
    np.put_along_axis(chosen, np.argpartition(rtt, count - 1, axis=1)[:, :count], True, axis=1)
    nearest: Flags = chosen & model.near
    return nearest


@dataclass(frozen=True, slots=True, eq=False)
class _Arcs:
    """Columns of the transport problem: near pairs, ways into the pools, ways out of them, and what is not served.

    Args:
        zone: of each near pair; ``region`` likewise.
        kind: of each zone, ``(zones,)``.
        pool: of each way out of a pool; ``target`` is the region that it leads to.
    """

    zone: Integers
    region: Integers
    kind: Integers
    pool: Integers
    target: Integers

    @property
    def late(self) -> int:
        """First of the columns into the pools."""
        return self.zone.size

    @property
    def out(self) -> int:
        """First of the columns out of the pools."""
        return self.late + self.kind.size

    @property
    def lost(self) -> int:
        """First of the columns of what is not served."""
        return self.out + self.pool.size

    def rows(self, kinds: int, regions: int) -> tuple[csr_array, csr_array]:
        """Return rows that must be equal (zones, then pools) and rows with a bound (regions, then what is late)."""
        zones, size = self.kind.size, self.lost + self.kind.size
        every, pairs, outs = np.arange(zones), np.arange(self.zone.size), np.arange(self.pool.size)
        row = np.concatenate([self.zone, every, every, zones + self.kind, zones + self.pool])
        column = np.concatenate([pairs, self.late + every, self.lost + every, self.late + every, self.out + outs])
        value = np.concatenate([np.ones(self.zone.size + 3 * zones), -np.ones(self.pool.size)])
        equal = coo_array((value, (row, column)), shape=(zones + kinds, size)).tocsr()
        row = np.concatenate([self.region, self.target, np.full(zones, regions)])
        column = np.concatenate([pairs, self.out + outs, self.late + every])
        bounded = coo_array((np.ones(row.size), (row, column)), shape=(regions + 1, size)).tocsr()
        return equal, bounded


def _transport(model: FleetModel, capacity: Floats, near: Flags, *, by_latency: bool) -> Service:
    """Solve the transport problem over ``near`` pairs and the pools."""
    kind, rows = kinds_of_zones(model)
    zones, regions = near.shape
    (zone, region), (pool, target) = np.nonzero(near), np.nonzero(rows)
    arcs = _Arcs(zone, region, kind, pool, target)
    equal, bounded = arcs.rows(len(rows), regions)
    total = float(model.demand.sum())
    unit = total / max(1, zones) or 1.0  # tolerances of the solver are absolute
    need = np.concatenate([model.demand, np.zeros(len(rows))]) / unit
    most_late = late_allowance(model) if by_latency else total
    room = np.concatenate([np.minimum(capacity, total), [most_late]]) / unit

    def solved(pair: Floats, far: float, lost: float) -> Any:
        cost = np.concatenate([pair, np.full(zones, far), np.zeros(arcs.pool.size), np.full(zones, lost)])
        found = linprog(cost, A_ub=bounded, b_ub=room, A_eq=equal, b_eq=need, bounds=(0, None), method="highs")
        if found.x is None:
            raise SolverFailed(f"HiGHS did not solve the transport problem: {found.message}")
        return found

    if by_latency:
        pair = model.rtt_ms[arcs.zone, arcs.region]
        worst = 4.0 * max(float(model.limits.latency_ms), float(np.max(pair, initial=0.0)))
        found = solved(pair, worst, 1e3 * worst)
    else:
        found = solved(np.zeros(arcs.zone.size), 1.0, MISSING_COST)
    values = np.maximum(found.x, 0.0) * unit
    late, missing = float(values[arcs.late : arcs.out].sum()), values[arcs.lost :]
    slack, cut = 1e-7 * total, None
    if missing.sum() > slack:
        cut = _dual(solved(np.zeros(arcs.zone.size), 0.0, 1.0), zones, regions, 0.0)
    elif late > late_allowance(model) + slack:
        cut = _dual(found, zones, regions, 1.0)
    return Service(_flows(model, arcs, values), late, missing, cut)


def _dual(found: Any, zones: int, regions: int, late: float) -> Cut:
    """Return the cut that the duals of the transport problem are."""
    return Cut(np.maximum(0.0, -found.ineqlin.marginals[:regions]), found.eqlin.marginals[:zones].copy(), late)


def _flows(model: FleetModel, arcs: _Arcs, values: Floats) -> csr_array:
    """Return all flows, ``(zones, regions)``, the pools dealt out zone by zone."""
    heads, tails, amounts = [arcs.zone], [arcs.region], [values[: arcs.late]]
    into, out = values[arcs.late : arcs.out], values[arcs.out : arcs.lost]
    for number in np.unique(arcs.pool):
        members, targets = np.flatnonzero(arcs.kind == number), arcs.target[arcs.pool == number]
        give, take = np.cumsum(into[members]), np.cumsum(out[arcs.pool == number])
        ends = np.unique(np.concatenate([give, take]))
        starts = np.concatenate([[0.0], ends[:-1]])
        middle = (starts + ends) / 2.0
        inside = (middle < give[-1]) & (middle < take[-1])
        heads.append(members[np.searchsorted(give, middle[inside])])
        tails.append(targets[np.searchsorted(take, middle[inside])])
        amounts.append((ends - starts)[inside])
    amount = np.concatenate(amounts)
    keep = amount > 1e-12 * float(model.demand.sum())
    place = np.concatenate(heads)[keep], np.concatenate(tails)[keep]
    flows = coo_array((amount[keep], place), shape=model.near.shape).tocsr()
    flows.sum_duplicates()
    return flows
