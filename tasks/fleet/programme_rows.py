"""What is a fleet's placement as a linear programme? Columns for nodes, regions and shares; a row for each limit.

There is no column for any flow: service is held by the cuts of :mod:`tasks.fleet.service`, which are added as they are
found. Capacities are counted in units of a typical node, since a solver's tolerances are absolute.

- nodes of an offer are those that are kept (at most those in force) and those that are added, so that what is changed
  is linear; each limit on them is a bound;
- the ``k`` largest regions of capacities ``c`` sum to ``min_q k q + sum max(0, c - q)`` (Ogryczak and Tamir 2003, doi
  10.1016/S0020-0190(02)00370-8), so "the rest is enough" is linear too;
- an outage is a row over the regions that are down, and a binary column where it may be given up.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tasks.fleet.model import Flags, FleetModel, Floats, Integers
from tasks.fleet.programme_sheet import INFINITY, Programme, Sheet, Term, with_cuts
from tasks.fleet.service import Cut


@dataclass(frozen=True, slots=True, eq=False)
class _Columns:
    """Where columns stand on the sheet.

    Args:
        room: most nodes of each offer, ``(offers,)``.
        kept: offers with a column of kept nodes, from ``stay`` on.
        used: regions with a column that says whether they are used, from ``opened`` on.
        capacity: first column of regions' capacities; ``total`` is that of their sum.
        unit: capacity that counts as 1; ``share`` is that of a node of each offer, ``(offers,)``.
    """

    room: Floats
    kept: Integers
    stay: int
    used: Integers
    opened: int
    capacity: int
    total: int
    unit: float
    share: Floats

    def nodes(self, row: int | Integers, value: Floats, offers: Integers | None = None) -> list[Term]:
        """Return terms of added and of kept nodes; ``value`` is of each offer, ``(offers,)``."""
        chosen = np.arange(value.size) if offers is None else offers
        place = np.flatnonzero(np.isin(self.kept, chosen))
        mine = self.kept[place]
        if isinstance(row, int):
            return [(row, chosen, value[chosen]), (row, self.stay + place, value[mine])]
        return [(row[chosen], chosen, value[chosen]), (row[mine], self.stay + place, value[mine])]


def most_nodes(model: FleetModel, cost_usd_per_h: float) -> Integers:
    """Return the most nodes of each offer that a plan of at most ``cost_usd_per_h`` can have, ``(offers,)``.

    Offers that cost nothing are held to a hundred times all demand, so that numbers stay in range; a fleet without
    contradictions (:mod:`data.fleet_crosscheck`) has a quota on each of them.
    """
    many = np.ceil(100.0 * (1.0 + float(model.demand.sum())) / model.capacity)
    price = model.usd_per_h + model.limits.change_usd_per_node / model.limits.horizon_h
    with np.errstate(divide="ignore"):
        added = np.where(price > 0.0, cost_usd_per_h / price, INFINITY)
    most: Integers = np.minimum(model.quota, np.minimum(many, np.floor(model.held + added + 1e-6))).astype(np.int64)
    return most


def write_programme(
    model: FleetModel,
    cuts: Sequence[Cut],
    *,
    most: Integers | None = None,
    opened: bool = True,
) -> Programme:
    """Return the programme of ``model`` with the ``cuts`` known so far.

    Args:
        model: of the fleet.
        cuts: that users can be served with.
        most: of each offer, which quotas are cut to, ``(offers,)``.
        opened: whether regions' fixed cost and their number count; without them the programme has fewer columns, and
            its optimum is still a lower bound.
    """
    sheet = Sheet()
    limits, offers, regions = model.limits, model.capacity.size, len(model.fleet.regions)
    unit = float(np.median(model.capacity)) if offers else 1.0
    spread = limits.change_usd_per_node / limits.horizon_h
    split = spread > 0.0 or limits.changed_nodes is not None
    kept = np.flatnonzero(model.held) if split else np.zeros(0, np.int64)
    room = (model.quota if most is None else np.minimum(most, model.quota)).astype(np.float64)
    added = room.copy()
    added[kept] = np.maximum(0.0, room[kept] - model.held[kept])
    sheet.add(offers, model.usd_per_h + spread, added)
    stay = sheet.add(kept.size, model.usd_per_h[kept] - spread, np.minimum(room[kept], model.held[kept]))
    used = np.zeros(0, np.int64)
    if opened:
        matters = (model.fixed_usd_per_h > 0.0) | (limits.max_regions is not None)
        used = np.flatnonzero((np.bincount(model.region, minlength=regions) > 0) & matters)
    at = _Columns(
        room=room,
        kept=kept,
        stay=stay,
        used=used,
        opened=sheet.add(used.size, model.fixed_usd_per_h[used], 1.0),
        capacity=sheet.add(regions),
        total=sheet.add(1),
        unit=unit,
        share=model.capacity / unit,
    )
    every = np.arange(regions)
    sheet.rows("", regions, [*at.nodes(model.region, at.share), (every, at.capacity + every, -1.0)], 0.0, 0.0)
    sheet.rows("", 1, [(0, at.capacity + every, 1.0), (0, at.total, -1.0)], 0.0, 0.0)
    _use(sheet, model, at)
    _lost_regions(sheet, model, at)
    _shares(sheet, model, at)
    _amounts(sheet, model, at)
    given_up_at, outages = _outages(sheet, model, at)
    written = Programme(
        cost=np.concatenate(sheet.costs),
        constant=spread * float(model.held[kept].sum()),
        lower=np.concatenate(sheet.lowers),
        upper=np.concatenate(sheet.uppers),
        rows=sheet.matrix(),
        low=np.concatenate(sheet.low),
        high=np.concatenate(sheet.high),
        limit=tuple(sheet.limits),
        unit=unit,
        offers=offers,
        kept=kept,
        opened=used,
        open_at=at.opened,
        capacity_at=at.capacity,
        given_up_at=given_up_at,
        outages=outages,
    )
    return with_cuts(written, model, cuts)


def _use(sheet: Sheet, model: FleetModel, at: _Columns) -> None:
    """Say that a region holds nothing unless it is used, and how many may be."""
    if not at.used.size:
        return
    column = np.full(len(model.fleet.regions), -1)
    column[at.used] = at.opened + np.arange(at.used.size)
    linked = np.flatnonzero((column[model.region] >= 0) & (at.room > 0.0))
    row = np.full(at.room.size, -1)
    row[linked] = np.arange(linked.size)
    value = 1.0 / np.maximum(1.0, at.room)  # divided by the quota, so that no number is large
    terms = [*at.nodes(row, value, linked), (row[linked], column[model.region[linked]], -1.0)]
    sheet.rows("", linked.size, terms, high=0.0)
    if model.limits.max_regions is not None:
        most = float(model.limits.max_regions)
        sheet.rows("max_regions", 1, [(0, at.opened + np.arange(at.used.size), 1.0)], high=most)


def groups(model: FleetModel) -> list[tuple[tuple[str, ...], Flags, float]]:
    """Return whose loss of regions is counted: sets of tags, the regions that have them, the demand that needs them.

    The empty set stands for everybody. A zone needs a set of tags if it asks for every one of them.
    """
    none: tuple[str, ...] = ()
    asked = sorted({none} | {tuple(sorted(set(zone.residency))) for zone in model.fleet.zones})
    found = []
    for tags in asked:
        has = np.array([set(tags) <= set(region.tags) for region in model.fleet.regions], np.bool_)
        needs = np.array([set(tags) <= set(zone.residency) for zone in model.fleet.zones], np.bool_)
        found.append((tags, has, float(model.demand[needs].sum())))
    return found


def _lost_regions(sheet: Sheet, model: FleetModel, at: _Columns) -> None:
    """Hold capacity without the largest regions, for everybody and for each set of tags."""
    lost = model.limits.lost_regions
    rented = np.bincount(model.region, minlength=len(model.fleet.regions)) > 0
    for tags, has, demand in groups(model):
        if demand <= 0.0 or not lost:
            continue
        inside = np.flatnonzero(has & rented)
        own, capacity = np.arange(inside.size), at.capacity + inside
        threshold = sheet.add(1)
        over: list[Term] = [(own, threshold, 1.0), (own, capacity, -1.0)]
        rest: list[Term] = [(0, capacity, 1.0), (0, threshold, -float(lost))]
        if lost > 1:
            above = sheet.add(inside.size)
            over.append((own, above + own, 1.0))
            rest.append((0, above + own, -1.0))
        sheet.rows("", inside.size, over, low=0.0)
        sheet.rows("lost_regions" + (" of " + "+".join(tags) if tags else ""), 1, rest, low=demand / at.unit)


def _shares(sheet: Sheet, model: FleetModel, at: _Columns) -> None:
    """Hold the shares of clouds and of spot machines, and capacity without any one cloud."""
    limits = model.limits
    for number, cloud in enumerate(model.clouds):
        mine = at.capacity + np.flatnonzero(model.cloud == number)
        if limits.lost_cloud_share > 0.0:
            need = limits.lost_cloud_share * float(model.demand.sum()) / at.unit
            sheet.rows(f"lost_cloud_share of {cloud}", 1, [(0, at.total, 1.0), (0, mine, -1.0)], low=need)
        for bound in limits.cloud_shares:
            if bound.cloud == cloud:
                terms: list[Term] = [(0, mine, 1.0), (0, at.total, -bound.most)]
                sheet.rows(f"cloud_shares of {cloud}", 1, terms, high=0.0)
    if limits.spot_share < 1.0 and model.spot.any():
        terms = [*at.nodes(0, at.share, np.flatnonzero(model.spot)), (0, at.total, -limits.spot_share)]
        sheet.rows("spot_share", 1, terms, high=0.0)


def carbon_unit(model: FleetModel) -> float:
    """Return the kilograms of carbon dioxide an hour that count as 1 in the programme."""
    return max(float(np.max(model.carbon_kg_per_h, initial=0.0)), 1e-9)


def _amounts(sheet: Sheet, model: FleetModel, at: _Columns) -> None:
    """Hold the carbon and the nodes that change."""
    limits = model.limits
    if limits.carbon_kg_per_h is not None:
        unit = carbon_unit(model)
        terms = at.nodes(0, model.carbon_kg_per_h / unit)
        sheet.rows("carbon_kg_per_h", 1, terms, high=limits.carbon_kg_per_h / unit)
    if limits.changed_nodes is not None:
        terms = [(0, np.arange(at.room.size), 1.0), (0, at.stay + np.arange(at.kept.size), -1.0)]
        sheet.rows("changed_nodes", 1, terms, high=float(limits.changed_nodes - int(model.held[at.kept].sum())))


def distinct_outages(model: FleetModel) -> tuple[Flags, Floats]:
    """Return the distinct sets of offers that are down, ``(patterns, offers)``, and the time of each, ``(patterns,)``.

    Left out are those that last no time, and those in no more regions than may be lost anyway: they break nothing.
    """
    down, weight = model.outage_down, model.outage_weight
    regions = np.array([np.unique(model.region[each]).size for each in down], np.int64)
    matters = (regions > model.limits.lost_regions) & (weight > 0.0)
    if not matters.any():
        return np.zeros((0, model.capacity.size), np.bool_), np.zeros(0)
    distinct, number = np.unique(down[matters], axis=0, return_inverse=True)
    return distinct, np.bincount(number.ravel(), weight[matters]).astype(np.float64)


def _outages(sheet: Sheet, model: FleetModel, at: _Columns) -> tuple[int, int]:
    """Hold capacity in outages, but for those that the availability leaves room to give up; say where those stand.

    What is missing in an outage that is given up is at most what it takes down beyond the largest regions, which are
    held in reserve anyway; the factor of "given up" is no larger than that, or the relaxation would give up for little.
    """
    limits = model.limits
    down, weight = distinct_outages(model)
    if limits.availability <= 0.0 or not weight.size:
        return sheet.columns, 0
    spare = 1.0 - limits.availability
    need = float(model.demand.sum()) / at.unit
    may = np.flatnonzero(weight <= spare * (1.0 + 1e-12))
    given_up = sheet.add(may.size, 0.0, 1.0)
    column = np.full(weight.size, -1)
    column[may] = given_up + np.arange(may.size)
    offers_there = np.bincount(model.region, minlength=len(model.fleet.regions))
    for number in range(weight.size):
        out = np.flatnonzero(down[number])
        # a region that is down whole is one column
        whole = np.bincount(model.region[out], minlength=offers_there.size) == offers_there
        single = out[~whole[model.region[out]]]
        terms: list[Term] = [(0, at.total, 1.0), (0, at.capacity + np.flatnonzero(whole & (offers_there > 0)), -1.0)]
        terms.extend(at.nodes(0, -at.share, single))
        if column[number] >= 0:
            most = np.sort(np.bincount(model.region[out], at.room[out] * at.share[out], minlength=offers_there.size))
            missing = float(most[: most.size - limits.lost_regions].sum())
            terms.append((0, int(column[number]), min(need, missing)))
        sheet.rows("availability", 1, terms, low=need)
    if may.size:
        sheet.rows("availability", 1, [(0, given_up + np.arange(may.size), weight[may] / spare)], high=1.0)
    return given_up, int(may.size)
