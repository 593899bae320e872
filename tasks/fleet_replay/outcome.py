"""How good was what happened? Served demand, money, moves, recovery, use and latency of one replay."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tasks.fleet_replay.replay import ON_DEMAND, SPOT, Replayed
from tasks.fleet_replay.world import World

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

HEALED_S = 600.0
"""A loss counts as healed where all demand is served as long afterwards, whatever else was lost meanwhile."""

ENOUGH = 1e-9
"""Machines' worth that may lack before a tick counts as short."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One row of the table.

    Args:
        kind: of the policy.
        ticks_served: share of ticks in which all demand was served.
        demand_served: share of all demand that was served.
        usd_per_h: rent, from a machine's start on.
        moves: machines started and given back by choice, and started again after a loss, per day.
        losses: ticks in which spot machines that served were lost.
        healed: share of them ten minutes after which all demand was served, again or still; 1 without any.
        shortages: stretches of ticks in which demand was not served in full.
        recovery_median_s: their length; 0 without any.
        recovery_p95_s: likewise.
        utilisation: served over capacity in service.
        paid_utilisation: served over capacity that was paid for.
        latency_p95_ms: round trip over the network for 95 % of the demand that was served.
        on_demand_share: of the rent.
    """

    kind: str
    ticks_served: float
    demand_served: float
    usd_per_h: float
    moves: float
    losses: int
    healed: float
    shortages: int
    recovery_median_s: float
    recovery_p95_s: float
    utilisation: float
    paid_utilisation: float
    latency_p95_ms: float
    on_demand_share: float


def judge(world: World, replayed: Replayed, first: int = 0) -> Outcome:
    """Return what a replay came to from tick ``first`` on.

    Users are served by the nearest machines that have room, the nearest pair first.

    Raises:
        ValueError: the replay is of another world, or nothing is left to judge.
    """
    if replayed.ready.shape != (world.ticks, len(world.sites), 2) or not 0 <= first < world.ticks:
        raise ValueError(
            f"expected a replay of {world.ticks} ticks of {len(world.sites)} sites and a tick of it, "
            f"got shape {replayed.ready.shape} and {first}"
        )
    ready, paid = replayed.ready[first:], replayed.paid[first:]
    demand = world.demand[:, first:]
    hours = len(ready) * world.tick_s / 3_600.0
    prices = np.array([(site.on_demand_usd_per_h, site.spot_usd_per_h) for site in world.sites])
    rent = (paid * prices).sum(axis=(0, 1)) * world.tick_s / 3_600.0
    served, flows = _served(demand, ready.sum(axis=2), world.rtt_ms)
    asked = demand.sum(axis=0)
    short = asked - served > ENOUGH
    lengths = _lengths(short) * world.tick_s
    lost = np.flatnonzero(replayed.lost[first:])
    within = int(HEALED_S // world.tick_s)
    healed = ~short[np.minimum(lost + within, len(short) - 1)]
    return Outcome(
        kind=replayed.kind,
        ticks_served=float(1.0 - short.mean()),
        demand_served=float(served.sum() / asked.sum()),
        usd_per_h=float(rent.sum() / hours),
        moves=float((replayed.started[first:].sum() + replayed.stopped[first:].sum()) / hours * 24.0),
        losses=len(lost),
        healed=float(np.mean(healed)) if len(lost) else 1.0,
        shortages=len(lengths),
        recovery_median_s=float(np.median(lengths)) if len(lengths) else 0.0,
        recovery_p95_s=float(np.quantile(lengths, 0.95, method="higher")) if len(lengths) else 0.0,
        utilisation=float(served.sum() / max(1e-12, float(ready.sum()))),
        paid_utilisation=float(served.sum() / max(1e-12, float(paid.sum()))),
        latency_p95_ms=_weighted_quantile(world.rtt_ms.ravel(), flows.ravel(), 0.95),
        on_demand_share=float(rent[ON_DEMAND] / max(1e-12, float(rent[ON_DEMAND] + rent[SPOT]))),
    )


def _served(demand: Floats, machines: npt.NDArray[np.int64], rtt_ms: Floats) -> tuple[Floats, Floats]:
    """Return the demand served in each tick, ``(ticks,)``, and in all ticks by pair, ``(users, sites)``."""
    left, room = demand.copy(), machines.T.astype(np.float64)
    flows = np.zeros(rtt_ms.shape)
    for pair in np.argsort(rtt_ms, axis=None, kind="stable"):
        user, site = divmod(int(pair), rtt_ms.shape[1])
        taken = np.minimum(left[user], room[site])
        left[user] -= taken
        room[site] -= taken
        flows[user, site] = taken.sum()
    return np.asarray(demand.sum(axis=0) - left.sum(axis=0)), flows


def _lengths(short: Flags) -> Floats:
    """Return how many ticks each stretch of shortage took."""
    edges = np.diff(np.concatenate(([0], short.astype(np.int64), [0])))
    return np.asarray(np.flatnonzero(edges < 0) - np.flatnonzero(edges > 0), np.float64)


def _weighted_quantile(values: Floats, weights: Floats, share: float) -> float:
    """Return the least value that ``share`` of the weights do not exceed; 0 without weights."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    if not reached[-1] > 0.0:
        return 0.0
    return float(values[order[int(np.searchsorted(reached, share * reached[-1]))]])
