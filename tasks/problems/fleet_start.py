"""With which nodes does a fleet's search begin? What is held where that keeps all limits, else what mends it.

Mending buys, at the cheapest offers, what limits lack: capacity for users, reserves, machines that are no spot. It
gives nothing back, since that is what the search is for; so it has no answer where carbon, the number of regions or of
changes, or a quota is what the holdings break.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tasks.fleet.feasible import Broken, broken_limits
from tasks.fleet.model import FleetModel, Floats, Integers
from tasks.problems.fleet_service import Service
from tasks.problems.fleet_state import Rules, keeps, rules_of

PURCHASES = 2_000
"""After which mending gives up."""


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """Nodes that keep all limits.

    Args:
        nodes: ``(offers,)``.
        how: what they are: ``holdings``, ``mended holdings`` or ``cheapest purchases``.
        breaks: limits that the holdings break.
    """

    nodes: Integers
    how: str
    breaks: tuple[Broken, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know."""
        told = tuple(f"what is held breaks {broken}" for broken in self.breaks)
        return told if self.how == "holdings" else (*told, f"compared with {self.how}, which keep all limits")


def start_of(model: FleetModel) -> Start | None:
    """Return nodes to begin with; None where neither holdings nor purchases, with them or without, keep all limits."""
    breaks = broken_limits(model, model.held)
    if not breaks:
        return Start(model.held.copy(), "holdings")
    told = breaks if model.held.any() else ()
    if model.held.any() and (mended := mend(model, np.minimum(model.held, model.quota))) is not None:
        return Start(mended, "mended holdings", told)
    bought = mend(model, np.zeros(model.capacity.size, np.int64))
    return None if bought is None else Start(bought, "cheapest purchases", told)


def mend(model: FleetModel, begin: Integers) -> Integers | None:
    """Return ``begin``, ``(offers,)``, with what it lacks bought at the cheapest offers; None where that fails."""
    rules, service = rules_of(model), Service(model)
    nodes = begin.copy()
    price = model.usd_per_h + np.where(nodes < model.held, -rules.change_usd_per_h, rules.change_usd_per_h)
    for _ in range(PURCHASES):
        lacking = next(_lacking(model, rules, service, nodes), None)
        if lacking is None:
            return nodes if keeps(rules, nodes) and service(model.region_capacity(nodes)) else None
        weight, amount = lacking
        bought = rules.capacity * nodes
        # spot that is bought first would have to be outweighed by dearer machines later
        room = rules.spot_share * max(rules.demand, float(bought.sum())) - float(bought[rules.spot].sum())
        most = np.where(rules.spot, np.floor(max(0.0, room) / rules.capacity), np.inf)
        most = np.minimum(most, model.quota - nodes)
        able = (weight > 0.0) & (most >= 1.0)
        if not able.any():
            return None
        offer = int(np.argmin(np.where(able, price / np.where(able, weight, 1.0), np.inf)))
        nodes[offer] += min(int(np.ceil(amount / weight[offer] - 1e-9)), int(most[offer]))
    return None


def _lacking(model: FleetModel, rules: Rules, service: Service, nodes: Integers) -> Iterator[tuple[Floats, float]]:
    """Yield limits that ``nodes`` break: what a node of each offer helps, ``(offers,)``, and how much is lacking."""
    bought: Floats = rules.capacity * nodes
    capacity, slack = model.region_capacity(nodes), rules.slack
    if (cut := service.cut(capacity)) is not None:
        weight, need = cut
        yield weight[rules.region] * rules.capacity, need - float(weight @ capacity)
    for has, need in zip(rules.group, rules.group_need, strict=True):
        largest = np.argsort(np.where(has, -capacity, np.inf), kind="stable")[: min(rules.lost_regions, int(has.sum()))]
        rest = has.copy()
        rest[largest] = False
        lacking = need - float(capacity[rest].sum())
        if lacking > slack:  # in parts, since another region may become the largest
            yield rules.capacity * rest[rules.region], max(lacking / 8.0, min(lacking, 1e-3 * need))
    cloud = rules.cloud[rules.region]
    for number, share in enumerate(rules.cloud_share):
        others = cloud != number
        rest_of = float(bought[others].sum())
        if rest_of < rules.without_cloud - slack:
            yield rules.capacity * others, rules.without_cloud - rest_of
        over = float(bought[~others].sum()) - share * float(bought.sum())
        if over > slack:
            yield rules.capacity * share * others, over
    over = float(bought[rules.spot].sum()) - rules.spot_share * float(bought.sum())
    if over > slack:
        yield rules.capacity * rules.spot_share * ~rules.spot, over
    up = bought @ ~rules.down
    broken = np.flatnonzero(up < rules.demand - slack)
    if float(rules.outage_weight[broken].sum()) > rules.most_down + 1e-12:
        first = broken[int(np.argmax(up[broken]))]
        yield rules.capacity * ~rules.down[:, first], rules.demand - float(up[first])
