"""What does an operator read of a fleet, before and after? Money, latency, carbon, and the room that is left."""

import numpy as np
from scipy.sparse import csr_array

from data.schemas.fleet_plan import HOURS_PER_MONTH
from data.schemas.plan import Metric
from tasks.fleet.model import FleetModel, Integers
from tasks.fleet.service import minimum_cut, serve
from tasks.problems.protocol import Figure


def fleet_metrics(model: FleetModel, nodes: Integers, flows: csr_array) -> tuple[Metric, ...]:
    """Return what an operator reads before and after; before, users are taken to be served as well as they could be."""
    capacity = model.region_capacity(model.held)
    now = serve(model, capacity, by_latency=minimum_cut(model, capacity) is None)  # the search is long where much lacks
    before, after = figures(model, model.held, now.flows), figures(model, nodes, flows)
    return tuple(
        Metric(was.name, was.unit, was.value, will.value, was.better) for was, will in zip(before, after, strict=True)
    )


def figures(model: FleetModel, nodes: Integers, flows: csr_array) -> tuple[Figure, ...]:
    """Return what an operator reads of ``nodes``, ``(offers,)``, and of ``flows`` from zones to regions."""
    capacity = model.region_capacity(nodes)
    total, demand = float(capacity.sum()), float(model.demand.sum())
    rent = float(model.usd_per_h @ nodes)
    used = capacity > 0.0
    standing = float(model.fixed_usd_per_h[np.bincount(model.region, nodes, minlength=capacity.size) > 0].sum())
    pairs = flows.tocoo()
    near = float(pairs.data[model.near[pairs.row, pairs.col]].sum())
    spare = total - float(np.sort(capacity)[::-1][: model.limits.lost_regions].sum()) - demand
    return (
        Figure("cost.usd_per_h", "USD/h", rent + standing, "lower"),
        Figure("cost.usd_per_month", "USD", (rent + standing) * HOURS_PER_MONTH, "lower"),
        Figure("latency.p95_ms", "ms", latency_quantile(model, flows, 0.95), "lower"),
        Figure("latency.mean_ms", "ms", latency_mean(model, flows), "lower"),
        Figure("demand.near_share", "", near / demand if demand else 1.0, "higher"),
        Figure("demand.served_share", "", float(pairs.data.sum()) / demand if demand else 1.0, "higher"),
        Figure("carbon.kg_per_h", "kg/h", float(model.carbon_kg_per_h @ nodes), "lower"),
        Figure("regions.used", "", float(used.sum()), "lower"),
        Figure("nodes.all", "", float(nodes.sum()), "lower"),
        Figure("capacity.spare_after_loss", model.fleet.capacity_unit, spare, "higher"),
        Figure("capacity.used_share", "", demand / total if total else 0.0, "higher"),
        Figure(
            "capacity.spot_share",
            "",
            float(model.capacity[model.spot] @ nodes[model.spot]) / total if total else 0.0,
            "lower",
        ),
    )


def latency_quantile(model: FleetModel, flows: csr_array, share: float) -> float:
    """Return the milliseconds within which ``share`` of the demand that is served is; 0 where there is none.

    How much is served is a figure of its own: a fleet without machines has no latency, and JSON no infinity.
    """
    pairs = flows.tocoo()
    ms = model.rtt_ms[pairs.row, pairs.col]
    order = np.argsort(ms, kind="stable")
    served = np.cumsum(pairs.data[order])
    if not served.size:
        return 0.0
    at = int(np.searchsorted(served, share * float(served[-1]) * (1.0 - 1e-9)))
    return float(ms[order[at]])


def latency_mean(model: FleetModel, flows: csr_array) -> float:
    """Return the mean milliseconds of the demand that is served; 0 where there is none."""
    pairs = flows.tocoo()
    served = float(pairs.data.sum())
    return float(pairs.data @ model.rtt_ms[pairs.row, pairs.col]) / served if served else 0.0
