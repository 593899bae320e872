"""Small worlds that can be worked out by hand, and drawn ones."""

import numpy as np

from data.generators.demand import generate_demand
from data.generators.spot import generate_spot_traces
from tasks.fleet_replay.world import Site, World, rtt_by_distance, sites_of, there_of

EAST = Site("east-1a", "east-1", 40.0, -80.0, 4.0, 1.0)
NEXT = Site("east-1b", "east-1", 40.0, -80.0, 4.0, 1.5)
WEST = Site("west-1a", "west-1", 40.0, -120.0, 4.0, 2.0)


def by_hand(*rows: str, demand: float = 1.0, start_ticks: int = 2) -> World:
    """Return sites that are up where a row says ``1``; users in the east ask for the same all the time."""
    there = np.array([[letter == "1" for letter in row] for row in rows])
    ticks = there.shape[1]
    sites = (EAST, NEXT, WEST)[: len(rows)]
    asked = np.full((1, ticks), demand)
    return World(sites, there, 300.0, asked, rtt_by_distance([(40.0, -80.0)], sites), asked[0], demand, start_ticks)


def drawn(seed: int, ticks: int = 1_500) -> World:
    """Return three regions of two zones each, and demand that is forecast by its highest value of the last hour."""
    rng = np.random.default_rng(seed)
    regions = {"east-1": (0.6, 0.7), "east-2": (0.75, 0.65), "west-1": (0.9, 0.85)}
    traces = generate_spot_traces(rng, regions=regions, ticks=ticks)
    where = {"east-1": (39.0, -77.0), "east-2": (40.0, -83.0), "west-1": (45.0, -120.0)}
    prices = {"east-1": (4.0, 0.8), "east-2": (4.0, 0.9), "west-1": (4.0, 0.9)}
    sites = sites_of(traces, where, prices)
    users = [(40.7, -74.0), (34.0, -118.0)]
    before = 443
    asked = generate_demand(
        rng, longitude_deg=np.array([-74.0, -118.0]), mean=np.array([12.0, 8.0]), ticks=before + ticks
    )
    total = asked.sum(axis=0)
    needed = np.array([1.1 * total[before + tick - 18 : before + tick].max() for tick in range(ticks)])
    return World(
        sites, there_of(traces), 195.0, asked[:, before:], rtt_by_distance(users, sites), needed, float(total.max())
    )
