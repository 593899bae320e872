"""How does our policy decide? It plans anew when zones come or go or demand drifts, and hedges by the past.

Between plans it holds what it has. A plan asks what sets of zones may be lost before a reaction could help
(:mod:`tasks.fleet_replay.hedge_risks`), and for the cheapest machines that bear it
(:mod:`tasks.fleet_replay.hedge_programme`). What a new plan no longer wants is kept until what it wants instead serves.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from tasks.fleet_replay.hedge_programme import hedge
from tasks.fleet_replay.hedge_risks import Memory
from tasks.fleet_replay.replay import ON_DEMAND, SPOT, Decide, Ground, View

Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Hedge:
    """Options of the policy.

    Args:
        unserved: price of demand that is not served, in on-demand machines' rent. A machine more is bought where it
            would be missed with a chance of one in as many.
        settle_ticks: that a zone must have had machines before any are taken there.
        drift: change of the need, as a share, that makes for a new plan.
        every_ticks: after which there is a new plan in any case.
        keeps_h: hours over which the rent of starting a machine is spread.
        starts_share: machines that a plan may start, as a share of the need, while what is held would serve it; more
            only as far as something is missing. None means any number.
    """

    unserved: float = 1_000.0
    settle_ticks: int = 2
    drift: float = 0.03
    every_ticks: int = 8
    keeps_h: float = 1.0
    starts_share: float | None = 0.5
    kind: Literal["ours: hedged by the past"] = "ours: hedged by the past"

    def begin(self, ground: Ground) -> Decide:
        """Begin with no past: what may be lost is guessed at until there is one."""
        sites = ground.sites
        regions = sorted({site.region for site in sites})
        memory = Memory(np.array([regions.index(site.region) for site in sites]), ground.start_ticks + 2)
        spot = np.array([site.spot_usd_per_h for site in sites])
        dearest = np.array([site.on_demand_usd_per_h for site in sites])
        anchor, always = int(np.argmin(dearest)), float(dearest.min())
        most = np.array([site.most for site in sites], np.int64)
        start_share = ground.start_ticks * ground.tick_s / 3_600.0 / self.keeps_h
        planned_at = -self.every_ticks
        planned_need, plan = -math.inf, np.zeros((len(sites), 2), np.int64)

        def decide(view: View) -> Integers:
            nonlocal planned_at, planned_need, plan
            needed = max(view.needed, view.asked)
            usable = settled(view.seen, self.settle_ticks)
            hit = bool((plan[~usable, SPOT] > 0).any())
            moved = abs(needed - planned_need) > self.drift * planned_need
            # zones that come, or only grow older, can wait; a zone that goes, or demand that grows, cannot
            if hit or moved or view.tick >= planned_at + self.every_ticks:
                memory.see(view.seen)
                held = view.ready + view.starting
                held[~usable, SPOT] = 0
                starts = None
                if self.starts_share is not None:
                    missing = max(0, math.ceil(needed - float(held.sum())))
                    starts = missing + math.ceil(self.starts_share * needed)
                found = hedge(
                    needed, usable, memory.risks(ages(view.seen), usable, 0.1 / self.unserved), spot, always, most,
                    held[:, SPOT], int(held[:, ON_DEMAND].sum()),
                    unserved_usd=self.unserved * always, start_usd_share=start_share, most_starts=starts,
                )  # fmt: skip
                plan = np.zeros((len(sites), 2), np.int64)
                plan[:, SPOT] = found.spot
                plan[anchor, ON_DEMAND] = found.on_demand
                planned_at, planned_need = view.tick, needed
            return _after_serving(plan, view, usable)

        return decide


def settled(seen: Flags, ticks: int) -> Flags:
    """Return the zones that had machines in all of the last ``ticks``, ``(zones,)``; all where nothing was seen."""
    return np.asarray(seen[:, max(0, seen.shape[1] - ticks) :].all(axis=1))


def ages(seen: Flags) -> Integers:
    """Return for how many ticks each zone has had machines by now, ``(zones,)``."""
    if not seen.shape[1]:
        return np.zeros(len(seen), np.int64)
    down = ~seen[:, ::-1]
    return np.asarray(np.where(down.any(axis=1), down.argmax(axis=1), seen.shape[1]), np.int64)


def _after_serving(plan: Integers, view: View, usable: Flags) -> Integers:
    """Return the plan, and what is held beyond it while something of the plan does not serve yet."""
    ready = view.ready.copy()
    ready[~usable, SPOT] = 0
    if view.tick and (ready < plan).any():
        return np.maximum(plan, ready)
    return plan
