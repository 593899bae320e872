"""Where, on what and how much is rented, so that all users are served at least cost? Nodes, and a bound on them.

The bound is that of a relaxation of the whole problem: nodes may be broken numbers, and users are held to be served by
cuts of which any number may be missing (:mod:`tasks.fleet.service`), so no arc is left out and nothing is aggregated
that could matter. The plan keeps every limit in whole nodes, checked once more by
:func:`tasks.fleet.feasible.broken_limits`. What is found when time runs out is handed on with the gap that it has.

There are three steps, each only where the one before left too wide a gap: the relaxation without regions' fixed cost,
rounded; the relaxation with it, whose big-M are what that plan's cost can buy, rounded; and the integer programme.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csr_array

from data.schemas.fleet_plan import Binding
from qiskit_solvers.errors import SolverFailed
from tasks.fleet.feasible import broken_limits
from tasks.fleet.model import FleetModel, Integers
from tasks.fleet.programme_rows import carbon_unit, most_nodes, write_programme
from tasks.fleet.programme_solve import NoValues, NoWholeValues, Values, solve_relaxed, solve_whole
from tasks.fleet.rounding import round_nodes
from tasks.fleet.service import Cut, first_cuts, serve


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """Nodes of each offer, how users are served by them, and how much better any plan could be.

    Args:
        nodes: ``(offers,)`` int64.
        flows: ``(zones, regions)``, in the fleet's capacity unit.
        cost_usd_per_h: of ``nodes``.
        bound_usd_per_h: no plan that keeps the limits costs less.
        seconds: spent.
        binds: limits that keep the plan from being cheaper, with what a unit more of each would save.
        rounding_usd_per_h: cost above the best relaxation's: what whole nodes and whole regions cost at most.
        notes: what a reader should know.
    """

    nodes: Integers
    flows: csr_array
    cost_usd_per_h: float
    bound_usd_per_h: float
    seconds: float
    binds: tuple[Binding, ...]
    rounding_usd_per_h: float
    notes: tuple[str, ...]

    @property
    def gap(self) -> float:
        """Share of the cost that a better plan could save at most."""
        return max(0.0, self.cost_usd_per_h - self.bound_usd_per_h) / max(1e-9, abs(self.cost_usd_per_h))


@dataclass(slots=True)
class _Best:
    """The cheapest nodes and the highest bound so far. Mutable; lives within :func:`place_fleet`."""

    model: FleetModel
    nodes: Integers | None = None
    cost: float = np.inf
    bound: float = -np.inf
    relaxed: float = -np.inf

    def offer(self, nodes: Integers | None) -> None:
        """Take ``nodes`` if they are cheaper."""
        if nodes is not None and self.model.cost_usd_per_h(nodes) < self.cost:
            self.nodes, self.cost = nodes, self.model.cost_usd_per_h(nodes)

    def within(self, gap: float) -> bool:
        """Tell whether the gap is closed."""
        return self.nodes is not None and self.cost - self.bound <= max(gap * abs(self.cost), 1e-9 * abs(self.cost))


def place_fleet(model: FleetModel, *, gap: float = 1e-3, seconds: float = 60.0) -> Placed:
    """Return the cheapest nodes that keep all limits, to within ``gap`` of the cost where the time suffices.

    Never worse than what is held: if the holdings keep all limits, the plan costs at most as much as they do.

    Args:
        model: of the fleet.
        gap: relative, at which the search ends; 0 asks for an optimum.
        seconds: after which it ends with what it has; a solver's step may run over by a little.

    Raises:
        tasks.fleet.elastic.NoFleet: no nodes keep all limits; the error says which ones, and by how much.
        SolverFailed: none were found in time.
    """
    started = time.monotonic()
    until = started + seconds
    best = _Best(model)
    notes: list[str] = []
    held_breaks = broken_limits(model, model.held) if model.held.any() else ()
    if model.held.any() and not held_breaks:
        best.offer(model.held)
    notes.extend(f"what is held breaks {broken}" for broken in held_breaks)
    values = _search(model, best, gap, until)
    if best.nodes is None:
        raise SolverFailed(f"no fleet of whole nodes was found in {seconds:g} s")
    served = serve(model, model.region_capacity(best.nodes))
    rounding = best.cost - best.relaxed
    notes.append("the bound is that of a relaxation of the whole problem: every pair of zone and region counts in it")
    notes.append(f"whole nodes and whole regions cost at most {rounding:,.2f} USD/h above the relaxation")
    if not best.within(gap):
        notes.append(f"the gap of {gap:g} was not reached in {seconds:g} s")
    return Placed(
        nodes=best.nodes,
        flows=served.flows,
        cost_usd_per_h=best.cost,
        bound_usd_per_h=min(best.bound, best.cost),
        seconds=time.monotonic() - started,
        binds=binding(model, values),
        rounding_usd_per_h=rounding,
        notes=tuple(notes),
    )


def _search(model: FleetModel, best: _Best, gap: float, until: float) -> Values:
    """Do the three steps on ``best`` and return the last relaxation."""
    from tasks.fleet.elastic import no_fleet

    cuts: tuple[Cut, ...] = tuple(first_cuts(model))
    found: Values | None = None
    for opened in (False, True):
        # what the best plan's cost can buy keeps the factors of "holds nothing unless it is used" small
        most = most_nodes(model, best.cost) if np.isfinite(best.cost) else None
        try:
            values = solve_relaxed(model, write_programme(model, cuts, most=most, opened=opened), cuts, until)
        except NoValues:
            raise no_fleet(model) from None
        except SolverFailed:
            if found is None:
                raise
            return found
        found, cuts = values, values.cuts
        best.bound = best.relaxed = max(best.bound, values.bound)
        if opened or model.limits.max_regions is None:
            for each in _settled(model, values, until):
                rounded = round_nodes(model, each, until=until, gap=gap / 8.0, last_resort=False)
                best.offer(None if rounded is None else rounded[0])
        if best.within(gap):
            return values
    _whole(model, best, values, gap, until)
    return values


def _settled(model: FleetModel, values: Values, until: float) -> Iterator[Values]:
    """Yield the relaxation's values with each outage given up or not, in two ways; ``values`` where they are so.

    Given up are those that the relaxation gives up most, or those whose price for their time is highest.
    """
    programme = values.programme
    place = slice(programme.given_up_at, programme.given_up_at + programme.outages)
    share = values.columns[place]
    if ((share < 1e-6) | (share > 1.0 - 1e-6)).all():
        yield values
        return
    budget = max(row for row, limit in enumerate(programme.limit) if limit == "availability")  # written last
    weight = programme.rows[[budget]].toarray()[0, place]
    worth = np.zeros(share.size)
    for column in range(share.size):
        row = programme.rows[:, [place.start + column]].tocoo()
        worth[column] = float(sum(values.row_price[at] for at in row.row if at != budget))
    for order in (np.lexsort((weight, -share)), np.argsort(-worth / np.maximum(weight, 1e-12), kind="stable")):
        chosen = np.zeros(share.size)
        left = 1.0
        for at in order.tolist():
            if weight[at] <= left:
                chosen[at], left = 1.0, left - weight[at]
        lower, upper = programme.lower.copy(), programme.upper.copy()
        lower[place], upper[place] = chosen, chosen
        try:
            yield solve_relaxed(model, replace(programme, lower=lower, upper=upper), values.cuts, until)
        except (NoValues, SolverFailed):
            continue


def _whole(model: FleetModel, best: _Best, values: Values, gap: float, until: float) -> None:
    """Solve the programme with more and more whole, rounding each: outages, regions too, nodes too."""
    from tasks.fleet.elastic import no_fleet

    programme = values.programme
    outages = np.zeros(programme.cost.size, np.bool_)
    outages[programme.given_up_at : programme.given_up_at + programme.outages] = True
    steps = [outages, programme.binary, programme.whole]
    steps = [each for at, each in enumerate(steps) if each.any() and (at == 0 or (each != steps[at - 1]).any())]
    for whole in steps:
        every = whole is steps[-1]
        try:
            found = solve_whole(model, programme, values.cuts, whole, until, gap if every else gap / 2.0)
        except NoValues:
            if best.nodes is None:
                raise no_fleet(model) from None
            return
        except NoWholeValues as error:
            best.bound = max(best.bound, error.bound)
            return
        best.bound = max(best.bound, found.bound)
        rounded = round_nodes(model, found, until=until, gap=gap / 8.0, last_resort=every)
        best.offer(None if rounded is None else rounded[0])
        if best.within(gap):
            return


def binding(model: FleetModel, values: Values) -> tuple[Binding, ...]:
    """Return the limits that bind in a relaxation, by what they cost; quotas are the ten dearest."""
    programme = values.programme
    if not values.row_price.size:
        return ()
    total = float(model.demand.sum())
    price: dict[str, float] = {}
    for row in np.flatnonzero(np.abs(values.row_price) > 1e-9):
        limit = programme.limit[row]
        if limit:
            price[limit] = price.get(limit, 0.0) + abs(float(values.row_price[row]))
    found = []
    for limit, usd in price.items():
        name = limit.split(" ", 1)[0]
        if name == "late_share":
            saved, unit = usd * total / programme.unit * 0.01, "a point more of late_share"
        elif name in ("spot_share", "cloud_shares"):
            held = float(programme.capacity(values.columns, len(model.fleet.regions)).sum())
            saved, unit = usd * held / programme.unit * 0.01, f"a point more of {name}"
        elif name in ("demand", "lost_regions", "lost_cloud_share"):
            saved, unit = usd / programme.unit, "a unit less to hold"
        elif name == "carbon_kg_per_h":
            saved, unit = usd / carbon_unit(model), "a kilogram more an hour"
        else:
            saved, unit = usd, "one more of it"
        found.append(Binding(name, f"{limit}: {unit} would save {saved:,.4f} USD/h", saved))
    found.sort(key=lambda each: -(each.usd_per_h or 0.0))
    quota = -values.upper_price[: programme.offers]
    scarce = [at for at in np.argsort(-quota, kind="stable")[:10] if quota[at] > 1e-9]
    for at in scarce:
        offer = model.fleet.offers[at]
        name = f"{offer.region}/{offer.sku}/{offer.purchase}"
        found.append(Binding("quota", f"{name}: a node more would save {quota[at]:,.4f} USD/h", float(quota[at])))
    return tuple(found)
