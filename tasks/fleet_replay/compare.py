"""How do policies compare on one world? One row each, beside the least that serving everything costs.

Where nobody's recordings are at hand, a world can be made up: six zones of three regions that come and go, and users
around four cities. What a policy comes to there says how it works, not what it would save.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from data.generators.demand import generate_demand
from data.generators.spot import generate_spot_traces
from tasks.fleet_replay.bound import Bound, bound
from tasks.fleet_replay.demand import needed_ahead
from tasks.fleet_replay.forecast import ForecastScore, LastValue, Seasonal, SeasonalNaive
from tasks.fleet_replay.hedge import Hedge
from tasks.fleet_replay.outcome import Outcome, judge
from tasks.fleet_replay.policies import GreedyFailover, OneRegion, SpreadFailover, StaticRegions
from tasks.fleet_replay.replay import Policy, replay
from tasks.fleet_replay.world import World, rtt_by_distance, sites_of, there_of

POLICIES: Mapping[str, Policy] = {
    "hedged by the past": Hedge(),
    "static N-1, on demand": StaticRegions(),
    "static N-1, spot": StaticRegions("spot"),
    "one region, on demand": OneRegion(follows=True),
    "greedy failover": GreedyFailover(),
    "spread failover": SpreadFailover(),
}
"""Ours first, then those that it is measured beside."""

TICK_S = 195.0
REGIONS = {"east-1": (0.6, 0.7), "east-2": (0.75, 0.7), "west-1": (0.9, 0.85)}
WHERE = {"east-1": (39.0, -77.0), "east-2": (40.0, -83.0), "west-1": (46.0, -120.0)}
USD_PER_H = {"east-1": (4.0, 0.8), "east-2": (4.0, 0.9), "west-1": (4.0, 0.9)}
USERS = ((40.7, -74.0, 0.35), (34.0, -118.2, 0.25), (41.9, -87.6, 0.2), (32.8, -96.8, 0.2))
"""Latitude, longitude and share of the demand."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What policies came to.

    Args:
        outcomes: by the names of the policies, in their order.
        bound: least cost of serving everything.
        days: that were judged.
    """

    outcomes: tuple[Outcome, ...]
    bound: Bound
    days: float


@dataclass(frozen=True, slots=True, eq=False)
class MadeUp:
    """A world that was drawn, and how wrong the forecasts were that policies in it are given."""

    world: World
    forecasts: tuple[ForecastScore, ...]


def compare(world: World, policies: Mapping[str, Policy] = POLICIES, first: int = 0) -> Comparison:
    """Return what policies came to from tick ``first`` on.

    Raises:
        ValueError: ``first`` is no tick of the world.
        BoundFailed: demand exceeds what can be had.
    """
    outcomes = [replace(judge(world, replay(world, policy), first), kind=name) for name, policy in policies.items()]
    return Comparison(tuple(outcomes), bound(world, first), (world.ticks - first) * world.tick_s / 86_400.0)


def made_up_world(rng: np.random.Generator, *, days: float = 7.0, machines: float = 30.0) -> MadeUp:
    """Draw a world and forecast its demand from two weeks before.

    Args:
        rng: all chance.
        days: that are replayed, above 0.
        machines: that users ask for on a weekday, about.

    Raises:
        ValueError: a number is not above 0.
    """
    if not days > 0.0 or not machines > 0.0:
        raise ValueError(f"expected days and machines above 0, got {days} and {machines}")
    drawn, asked_for, learned = rng.spawn(3)
    before, ticks = int(14 * 86_400 / TICK_S), max(1, int(days * 86_400 / TICK_S))
    traces = generate_spot_traces(drawn, regions=REGIONS, ticks=ticks, tick_s=TICK_S)
    sites = sites_of(traces, WHERE, USD_PER_H)
    demand = generate_demand(
        asked_for,
        longitude_deg=np.array([user[1] for user in USERS]),
        mean=machines * np.array([user[2] for user in USERS]),
        ticks=before + ticks,
        tick_s=TICK_S,
    )
    needed = needed_ahead(demand, TICK_S, before, (Seasonal(), SeasonalNaive(), LastValue()), learned)
    peak = float(demand[:, :before].sum(axis=0).max())
    rtt_ms = rtt_by_distance([user[:2] for user in USERS], sites)
    world = World(sites, there_of(traces), TICK_S, demand[:, before:], rtt_ms, needed.machines, peak)
    return MadeUp(world, needed.forecast.scores)
