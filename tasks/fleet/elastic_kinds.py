"""Which limits can be stretched, at what measure, and how is it told? One value for each kind of limit."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import coo_array, csr_array

from tasks.fleet.model import UNLIMITED, FleetModel, Floats
from tasks.fleet.programme_rows import carbon_unit, distinct_outages
from tasks.fleet.programme_sheet import Programme
from tasks.fleet.programme_solve import Values
from tasks.fleet.service import Cut, late_allowance

Told = list[tuple[str, str]]
"""Limits, and what is said of each."""


@dataclass(frozen=True, slots=True, eq=False)
class Elastic:
    """Further columns that stretch limits.

    Args:
        cost: of each, ``(amounts,)``; what is made least.
        upper: most of each, ``(amounts,)``.
        on_rows: their part in the programme's rows, ``(rows, amounts)``.
        on_cut: their part in a cut's row, given the programme's unit, ``(amounts,)``.
        stretched: the model for which users are to be served, given the amounts.
        told: what to say, given the values and the amounts.
    """

    cost: Floats
    upper: Floats
    on_rows: Callable[[Programme], csr_array]
    on_cut: Callable[[Cut, float], Floats]
    stretched: Callable[[Floats], FleetModel]
    told: Callable[[Values, Floats], Told]


def shed(model: FleetModel) -> Elastic:
    """Return demand as what gives way: of each zone what is not served, as shares of it."""
    zones = model.demand.size
    total = float(model.demand.sum())

    def on_rows(programme: Programme) -> csr_array:
        rows = np.zeros((len(programme.limit), zones))
        for row, limit in enumerate(programme.limit):
            name, _, of = limit.partition(" of ")
            if name == "lost_regions":
                tags = set(of.split("+")) if of else set()
                rows[row] = [tags <= set(zone.residency) for zone in model.fleet.zones]
            elif name == "lost_cloud_share":
                rows[row] = model.limits.lost_cloud_share
            elif name == "availability" and np.isfinite(programme.low[row]):
                rows[row] = 1.0
        return csr_array(rows * model.demand / programme.unit)

    def on_cut(cut: Cut, unit: float) -> Floats:
        value: Floats = (cut.zone_weight - cut.late * model.limits.late_share) * model.demand / unit
        return value

    def stretched(amounts: Floats) -> FleetModel:
        left = 1.0 - amounts
        return replace(model, demand=model.demand * np.where(left > 1e-7, left, 0.0))

    def told(values: Values, amounts: Floats) -> Told:
        lacking = model.demand * amounts
        by: dict[tuple[str, ...], list[int]] = {}
        for at, zone in enumerate(model.fleet.zones):
            by.setdefault(tuple(sorted(zone.residency)), []).append(at)
        found: Told = []
        for tags, members in sorted(by.items(), key=lambda each: -lacking[each[1]].sum()):
            short, whole = float(lacking[members].sum()), float(model.demand[members].sum())
            if short > 1e-7 * total:
                who = f"residency {' and '.join(tags)}" if tags else "demand"
                where = f"regions tagged {' and '.join(tags)}" if tags else "any region"
                most = sorted(members, key=lambda at: -lacking[at])[:3]
                named = ", ".join(model.fleet.zones[at].id for at in most if lacking[at] > 1e-7 * total)
                text = (
                    f"{who}: {short:,.4g} of {whole:,.4g} units lack capacity in {where} ({named}{_held_back(values)})"
                )
                found.append(("demand", text))
        return found

    return Elastic(model.demand / (total or 1.0), np.ones(zones), on_rows, on_cut, stretched, told)


def _held_back(values: Values) -> str:
    """Return which limits have a price in the relaxation."""
    programme = values.programme
    priced = np.flatnonzero(np.abs(values.row_price) > 1e-9)
    names = sorted({programme.limit[row] for row in priced} - {"", "demand"})
    if (values.upper_price[: programme.offers] < -1e-9).any():
        names.append("quotas")
    return "; held back by " + ", ".join(names) if names else ""


def elastic_kinds(model: FleetModel) -> Iterator[Elastic]:
    """Yield the other limits, each by itself."""
    limits = model.limits
    demand = float(model.demand.sum())
    if (model.quota < UNLIMITED).any():
        yield _quotas(model)
    if limits.late_share < 1.0:
        yield _late(model)
    if limits.lost_regions:
        yield _rows(model, "lost_regions", 1.0, lambda amount, _: f"hold {amount:,.4g} units less for lost regions")
    if limits.lost_cloud_share > 0.0:
        share = limits.lost_cloud_share
        yield _rows(model, "lost_cloud_share", 1.0, lambda amount, _: f"relax it to {_down(share - amount / demand)}")
    if limits.availability > 0.0 and distinct_outages(model)[1].size:
        yield _availability(model)
    if limits.spot_share < 1.0:
        most = limits.spot_share
        yield _rows(model, "spot_share", -1.0, lambda amount, total: f"relax it to {_up(most + amount / total)}")
    if limits.cloud_shares:
        yield _rows(model, "cloud_shares", -1.0, lambda amount, total: f"relax each by {_up(amount / total)}")
    if limits.carbon_kg_per_h is not None:
        cap, unit = limits.carbon_kg_per_h, carbon_unit(model)
        yield _rows(model, "carbon_kg_per_h", -1.0, lambda amount, _: f"raise it to {_up(cap + amount * unit)}")
    if limits.max_regions is not None:
        regions = limits.max_regions
        yield _rows(model, "max_regions", -1.0, lambda amount, _: f"at least {_next(regions + amount)}")
    if limits.changed_nodes is not None:
        changed = limits.changed_nodes
        yield _rows(model, "changed_nodes", -1.0, lambda amount, _: f"raise it to {_next(changed + amount)}")


IN_UNITS = ("lost_regions", "lost_cloud_share", "spot_share", "cloud_shares")
"""Limits whose rows are in capacity."""


def _rows(model: FleetModel, limit: str, sign: float, told: Callable[[float, float], str]) -> Elastic:
    """Return one amount by which all rows of ``limit`` give way.

    Args:
        model: of the fleet.
        limit: by its field's name.
        sign: -1 where the rows bound from above.
        told: what to say, given the amount and the capacity of all nodes.
    """

    def on_rows(programme: Programme) -> csr_array:
        mine = [name.split(" of ")[0] == limit for name in programme.limit]
        return csr_array(sign * np.array(mine, np.float64)[:, None])

    def say(values: Values, amounts: Floats) -> Told:
        programme = values.programme
        total = float(programme.capacity(values.columns, len(model.fleet.regions)).sum())
        amount = float(amounts[0]) * (programme.unit if limit in IN_UNITS else 1.0)
        return [(limit, f"would do: {limit}: {told(amount, max(total, 1e-300))}")]

    return Elastic(np.ones(1), np.full(1, np.inf), on_rows, lambda _, __: np.zeros(1), lambda _: model, say)


def _quotas(model: FleetModel) -> Elastic:
    """Return nodes beyond the quota of each offer."""
    offers = model.capacity.size
    total = float(model.demand.sum()) or 1.0

    def on_rows(programme: Programme) -> csr_array:
        return csr_array(programme.rows[:, :offers])

    def told(_: Values, amounts: Floats) -> Told:
        named = []
        for at in np.argsort(-amounts * model.capacity, kind="stable")[:3]:
            more = int(np.ceil(amounts[at] - 1e-6))
            if more > 0:
                offer = model.fleet.offers[at]
                quota = int(model.quota[at])
                named.append(f"{offer.region}/{offer.sku}/{offer.purchase} from {quota:,} to {quota + more:,}")
        others = int((amounts > 1e-6).sum()) - len(named)
        further = f" and of {others} more offers" if others > 0 else ""
        return [("quota", f"would do: quota: raise that of {', '.join(named)}{further}")]

    return Elastic(
        cost=model.capacity / total * (1.0 + 1e-3 * model.usd_per_h / max(1e-9, float(model.usd_per_h.max()))),
        upper=np.full(offers, np.inf),
        on_rows=on_rows,
        on_cut=lambda _, __: np.zeros(offers),
        stretched=lambda _: model,
        told=told,
    )


def _late(model: FleetModel) -> Elastic:
    """Return the share of demand that may be served from afar."""
    total = float(model.demand.sum())

    def stretched(amounts: Floats) -> FleetModel:
        share = min(1.0, model.limits.late_share + float(amounts[0]))
        return replace(model, fleet=replace(model.fleet, limits=replace(model.limits, late_share=share)))

    def told(_: Values, amounts: Floats) -> Told:
        share = (late_allowance(model) / (total or 1.0)) + float(amounts[0])
        return [("late_share", f"would do: late_share: relax it to {_up(share)}")]

    return Elastic(
        cost=np.ones(1),
        upper=np.full(1, 1.0 - model.limits.late_share),
        on_rows=lambda programme: csr_array((len(programme.limit), 1)),
        on_cut=lambda cut, unit: np.array([cut.late * total / unit]),
        stretched=stretched,
        told=told,
    )


def _availability(model: FleetModel) -> Elastic:
    """Return outages given up beyond what the availability allows, all of them as shares."""
    _, weight = distinct_outages(model)
    total = float(model.demand.sum())

    def on_rows(programme: Programme) -> csr_array:
        mine = [row for row, name in enumerate(programme.limit) if name == "availability"]
        held = [row for row in mine if np.isfinite(programme.low[row])]
        value = np.full(len(held), total / programme.unit)
        return csr_array(coo_array((value, (held, np.arange(len(held)))), shape=(len(programme.limit), weight.size)))

    def told(_: Values, amounts: Floats) -> Told:
        least = model.limits.availability - float(weight @ np.minimum(1.0, amounts))
        return [("availability", f"would do: availability: relax it to at most {_down(least)}")]

    return Elastic(weight, np.ones(weight.size), on_rows, lambda _, __: np.zeros(weight.size), lambda _: model, told)


def _next(value: float) -> str:
    """Return the whole number that is not below ``value``."""
    return f"{int(np.ceil(value - 1e-6)):,}"


def _up(value: float) -> str:
    """Return ``value`` to four digits, not below it."""
    digits = 3 - int(np.floor(np.log10(abs(value) or 1.0)))
    return f"{np.ceil(value * 10.0**digits - 1e-6) / 10.0**digits:,g}"


def _down(value: float) -> str:
    """Return ``value`` to four digits, not above it."""
    digits = 3 - int(np.floor(np.log10(abs(value) or 1.0)))
    return f"{np.floor(value * 10.0**digits + 1e-6) / 10.0**digits:,g}"
