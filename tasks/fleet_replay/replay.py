"""What would have come of a policy? It is asked before every tick, sees only the past, and the recording goes on.

What a tick does, in this order: the policy says what it wants; spot machines in zones that have none now are gone,
those that were starting too; machines that have started long enough begin to serve; what is wanted and not held is
asked for, on demand always with success, spot where the zone has any; what is held and not wanted is given back. A zone
has room for all or for none, as recordings of single machines cannot say more.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tasks.fleet_replay.world import Site, World

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

ON_DEMAND, SPOT = 0, 1
"""Columns of machines, ``(sites, 2)``."""


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """What a policy may know before a tick.

    Args:
        tick: that is about to begin.
        seen: whether zones had spot machines in all ticks before, ``(sites, tick)``.
        ready: machines that served in the tick before, ``(sites, 2)``.
        starting: machines that are paid for and do not serve yet, ``(sites, 2)``.
        wanted: what the policy last asked for, ``(sites, 2)``.
        needed: machines' worth that the forecast asks for.
        asked: demand of the tick before, in machines' worth; 0 before the first.
    """

    tick: int
    seen: Flags
    ready: Integers
    starting: Integers
    wanted: Integers
    needed: float
    asked: float


@dataclass(frozen=True, slots=True)
class Ground:
    """What a policy knows before anything has happened; the fields are the world's."""

    sites: tuple[Site, ...]
    tick_s: float
    start_ticks: int
    peak_before: float


Decide = Callable[[View], Integers]


class Policy(Protocol):
    """A frozen value of options; what it remembers in one replay lives in the function that ``begin`` returns."""

    @property
    def kind(self) -> str:
        """Name of the policy, as it stands in tables."""
        ...

    def begin(self, ground: Ground) -> Decide:
        """Return what says before each tick how many machines are wanted, ``(sites, 2)``."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Replayed:
    """What happened.

    Args:
        kind: of the policy.
        ready: machines that served in each tick, ``(ticks, sites, 2)``.
        paid: machines that were paid for, ``(ticks, sites, 2)``.
        started: machines that were asked for and came, ``(ticks,)``.
        stopped: machines that were given back, ``(ticks,)``.
        lost: serving machines that spot took away, ``(ticks,)``.
    """

    kind: str
    ready: Integers
    paid: Integers
    started: Integers
    stopped: Integers
    lost: Integers


def replay(world: World, policy: Policy) -> Replayed:
    """Return what would have happened under ``policy``.

    The first tick finds what the policy wants for it in service, as if it had been at work before.

    Raises:
        ValueError: the policy asks for what no site has.
    """
    count, ticks = world.there.shape
    decide = policy.begin(Ground(world.sites, world.tick_s, world.start_ticks, world.peak_before))
    most = np.array([site.most for site in world.sites])[:, None]
    asked = world.demand.sum(axis=0)
    ready = np.zeros((count, 2), np.int64)
    starting = np.zeros((world.start_ticks, count, 2), np.int64)
    """By ticks until they serve: row 0 serves from the next tick on."""
    wanted = ready.copy()
    all_ready, all_paid = np.zeros((ticks, count, 2), np.int64), np.zeros((ticks, count, 2), np.int64)
    started, stopped, lost = (np.zeros(ticks, np.int64) for _ in range(3))
    for tick in range(ticks):
        past = world.there[:, :tick]
        before = float(asked[tick - 1]) if tick else 0.0
        view = View(tick, past, ready.copy(), starting.sum(axis=0), wanted, float(world.needed[tick]), before)
        wanted = decide(view)
        if wanted.shape != (count, 2) or (wanted < 0).any() or (wanted > most).any():
            raise ValueError(f"{policy.kind}: expected 0 to {most.max()} machines at each site, got {wanted.tolist()}")
        gone = ~world.there[:, tick]
        lost[tick] = ready[gone, SPOT].sum()
        ready[gone, SPOT] = 0
        starting[:, gone, SPOT] = 0
        ready += starting[0]
        starting[:-1] = starting[1:]
        starting[-1] = 0
        more = wanted - ready - starting.sum(axis=0)
        if (more < 0).any():
            stopped[tick] = _give_back(np.maximum(-more, 0), ready, starting)
        more = np.maximum(more, 0)
        more[gone, SPOT] = 0
        started[tick] = more.sum()
        if tick:
            starting[-1] += more
        else:
            ready += more
        all_ready[tick] = ready
        all_paid[tick] = ready + starting.sum(axis=0)
    return Replayed(policy.kind, all_ready, all_paid, started, stopped, lost)


def _give_back(fewer: Integers, ready: Integers, starting: Integers) -> int:
    """Take machines away in place, those that started last first; return how many."""
    total = int(fewer.sum())
    for row in starting[::-1]:
        taken = np.minimum(row, fewer)
        row -= taken
        fewer = fewer - taken
    ready -= fewer
    return total
