"""What does any fleet cost at least? The cheapest capacity that is enough in sum, bought in broken numbers.

The programme's relaxation (:mod:`tasks.fleet.programme`) is far closer; this one needs no solver.
"""

import numpy as np

from tasks.fleet.model import FleetModel


def capacity_bound(model: FleetModel) -> float:
    """Return the cost per hour of the cheapest capacity that demand needs, with a region and a cloud lost.

    The ``k`` largest of ``n`` regions hold at least ``k / n`` of all capacity, and the largest cloud likewise; so what
    is held in sum is at least what is left, over the share that is. What an offer costs is convex in its nodes: those
    that are held cost less to keep than others to start, for those that go cost a change as well. So the cheapest
    comes of filling a knapsack by the price for a unit of capacity (Dantzig 1957, doi 10.1287/opre.5.2.266).
    """
    limits, demand = model.limits, float(model.demand.sum())
    need, regions, clouds = demand, len(model.fleet.regions), len(model.clouds)
    if 0 < limits.lost_regions < regions:
        need = demand / (1.0 - limits.lost_regions / regions)
    if limits.lost_cloud_share > 0.0 and clouds > 1:
        need = max(need, limits.lost_cloud_share * demand / (1.0 - 1.0 / clouds))
    change = limits.change_usd_per_node / limits.horizon_h
    kept = np.minimum(model.held, model.quota)
    price = np.concatenate([model.usd_per_h - change, model.usd_per_h + change])
    room = np.concatenate([kept, model.quota - kept]).astype(np.float64)
    each = np.concatenate([model.capacity, model.capacity])
    order = np.argsort(price / each, kind="stable")
    before = np.concatenate([[0.0], np.cumsum((each * room)[order])[:-1]])
    taken = np.clip(need - before, 0.0, (each * room)[order]) / each[order]
    saving = price[order] < 0.0  # those that earn more by staying than they cost stay in any case
    nodes = np.where(saving, room[order], taken)
    return float(change * model.held.sum() + price[order] @ nodes) * (1.0 - 1e-12)
