"""Which policies is ours measured beside? What never changes, what follows demand, and what fails over greedily.

Those that follow demand are given the same forecast as ours, so what differs is where and how they buy.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from tasks.fleet_replay.replay import ON_DEMAND, SPOT, Decide, Ground, View

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class StaticRegions:
    """The same machines all the time, for the highest demand of before, with any one region lost.

    Args:
        purchase: of all of them.
        headroom: above the highest demand before the replay.
    """

    purchase: Literal["on_demand", "spot"] = "on_demand"
    headroom: float = 0.15
    kind: str = "static, N-1 over regions"

    def begin(self, ground: Ground) -> Decide:
        """Spread them evenly over regions, and over the zones of each.

        Raises:
            ValueError: there are fewer than two regions.
        """
        sites = ground.sites
        regions = sorted({site.region for site in sites})
        if len(regions) < 2:
            raise ValueError(f"sites: expected two regions, since one may be lost, got {', '.join(regions)}")
        each = math.ceil(ground.peak_before * (1.0 + self.headroom) / (len(regions) - 1))
        column = ON_DEMAND if self.purchase == "on_demand" else SPOT
        wanted = np.zeros((len(sites), 2), np.int64)
        for region in regions:
            of = [number for number, site in enumerate(sites) if site.region == region]
            wanted[of, column] = spread(each, len(of))
        return lambda _: wanted


@dataclass(frozen=True, slots=True)
class OneRegion:
    """On-demand machines in one region: what most begin with.

    Args:
        region: None takes the cheapest, by name where several are.
        follows: whether it follows the forecast; otherwise it is sized for the highest demand of before.
        lost_zones: of the region, whichever they are, without which it has capacity for all.
        headroom: above the highest demand before the replay, where it does not follow.
    """

    region: str | None = None
    follows: bool = False
    lost_zones: int = 0
    headroom: float = 0.15
    kind: str = "one region, on demand"

    def begin(self, ground: Ground) -> Decide:
        """Spread them evenly over the zones of the region.

        Raises:
            ValueError: there is no such region, or it has too few zones.
        """
        sites = ground.sites
        region = self.region or min(sites, key=lambda site: (site.on_demand_usd_per_h, site.region)).region
        of = [number for number, site in enumerate(sites) if site.region == region]
        if len(of) <= self.lost_zones:
            raise ValueError(f"region: expected {region} with more than {self.lost_zones} zones, got {len(of)}")
        more = len(of) / (len(of) - self.lost_zones)

        def decide(view: View) -> Integers:
            needed = max(view.needed, view.asked) if self.follows else ground.peak_before * (1.0 + self.headroom)
            wanted = np.zeros((len(sites), 2), np.int64)
            wanted[of, ON_DEMAND] = spread(math.ceil(needed * more), len(of))
            return wanted

        return decide


@dataclass(frozen=True, slots=True)
class GreedyFailover:
    """All machines in the cheapest zone that has any, the next one after a loss, on demand where none has.

    What a job manager such as SkyPilot's does for one task (Yang et al. 2023, NSDI, "SkyPilot: An Intercloud Broker for
    Sky Computing"), for all machines of a service at once; a zone that has taken machines away is tried last for as
    long as ``shuns_s``.
    """

    shuns_s: float = 3_600.0
    kind: str = "greedy failover, SkyPilot-like"

    def begin(self, ground: Ground) -> Decide:
        """Begin in the cheapest zone."""
        sites = ground.sites
        prices = [site.spot_usd_per_h for site in sites]
        dearest = [site.on_demand_usd_per_h for site in sites]
        lost_at = np.full(len(sites), -np.inf)
        home = -1

        def decide(view: View) -> Integers:
            nonlocal home
            up = view.seen[:, -1] if view.tick else np.ones(len(sites), np.bool_)
            lost_at[(view.wanted[:, SPOT] > 0) & ~up] = view.tick * ground.tick_s
            if home < 0 or not up[home]:
                shunned = view.tick * ground.tick_s - lost_at < self.shuns_s
                order = sorted(np.flatnonzero(up), key=lambda zone: (shunned[zone], prices[zone], zone))
                home = int(order[0]) if order else -1
            wanted = np.zeros((len(sites), 2), np.int64)
            needed = math.ceil(max(view.needed, view.asked))
            if home >= 0:
                wanted[home, SPOT] = needed
            else:
                wanted[int(np.argmin(dearest)), ON_DEMAND] = needed
            return wanted

        return decide


@dataclass(frozen=True, slots=True)
class SpreadFailover:
    """Spot machines over all zones that did not lose any lately, some more than needed, on demand for what is missing.

    The policy of Mao et al. 2024 (arXiv 2411.01438, "SkyServe") for replicas: on-demand machines stand in for spot ones
    until those serve.

    Args:
        more: machines beyond the need, as a share of it.
        shuns_s: for how long a zone that lost machines is left alone, where another has any.
    """

    more: float = 0.2
    shuns_s: float = 3_600.0
    kind: str = "spread failover, SkyServe-like"

    def begin(self, ground: Ground) -> Decide:
        """Begin with all zones."""
        sites = ground.sites
        cheapest = int(np.argmin([site.on_demand_usd_per_h for site in sites]))
        lost_at = np.full(len(sites), -np.inf)

        def decide(view: View) -> Integers:
            up = view.seen[:, -1] if view.tick else np.ones(len(sites), np.bool_)
            lost_at[(view.wanted[:, SPOT] > 0) & ~up] = view.tick * ground.tick_s
            calm = view.tick * ground.tick_s - lost_at >= self.shuns_s
            chosen = np.flatnonzero(up & calm) if (up & calm).any() else np.flatnonzero(up)
            needed = math.ceil(max(view.needed, view.asked))
            target = math.ceil(needed * (1.0 + self.more))
            wanted = np.zeros((len(sites), 2), np.int64)
            # what serves stays where it is: only what is missing is placed, and only what is too much is given back
            held = view.ready[:, SPOT] + view.starting[:, SPOT]
            held[~up] = 0
            wanted[:, SPOT] = _filled(held, chosen, target)
            serving = int(view.ready[up, SPOT].sum()) if view.tick else target
            wanted[cheapest, ON_DEMAND] = min(needed, max(0, target - serving))
            return wanted

        return decide


def _filled(held: Integers, chosen: Integers, target: int) -> Integers:
    """Return machines that come to the target, ``(sites,)``: more where fewest are, or fewer where most are."""
    wanted = held.copy()
    for _ in range(target - int(held.sum()) if chosen.size else 0):
        wanted[chosen[int(np.argmin(wanted[chosen]))]] += 1
    for _ in range(int(held.sum()) - target):
        wanted[int(np.argmax(wanted))] -= 1
    return wanted


def spread(machines: int, places: int) -> Integers:
    """Return ``machines`` over ``places`` as evenly as whole ones allow, ``(places,)``."""
    return machines // places + (np.arange(places) < machines % places).astype(np.int64)
