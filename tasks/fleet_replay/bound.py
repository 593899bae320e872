"""What would it have cost at least, had one known the recording? Linear programmes that no policy can go below.

Whoever serves all demand in every tick needs, in each, capacity in service of at least the demand; a spot machine that
serves was started ``start_ticks`` earlier in the same stretch of its zone, and is paid for from then on. The programme
is solved over windows by themselves, each of which may begin with any machines at hand for nothing, and machines may be
divided; both can only lower the cost, so the sum is a bound on every policy that serves everything. It is exact for
each window. A policy that leaves demand unserved may cost less.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tasks.fleet_replay.world import World

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


class BoundFailed(RuntimeError):
    """A linear programme of a window has no answer."""


@dataclass(frozen=True, slots=True)
class Bound:
    """The least that serving everything costs.

    Args:
        usd_per_h: with machines that must start.
        free_start_usd_per_h: where starting costs nothing, in closed form; never above the other.
        windows: that were solved.
    """

    usd_per_h: float
    free_start_usd_per_h: float
    windows: int


def bound(world: World, first: int = 0, window: int = 443) -> Bound:
    """Return the bound from tick ``first`` on, by windows of about a day.

    Raises:
        ValueError: ``first`` is no tick of the world, or ``window`` has none.
        BoundFailed: a programme has no answer: demand exceeds what can be had, or the solver gave up.
    """
    if not 0 <= first < world.ticks or window < 1:
        raise ValueError(f"expected a tick below {world.ticks} and a window of a tick, got {first} and {window}")
    usable = serving(world)[:, first:]
    asked = world.demand.sum(axis=0)[first:]
    prices = np.array([site.spot_usd_per_h for site in world.sites])
    always = min(site.on_demand_usd_per_h for site in world.sites)
    starts = range(0, len(asked), window)
    total = sum(
        _window(world, usable[:, start : start + window], asked[start : start + window], prices, always)
        for start in starts
    )
    return Bound(total / len(asked), float(free_start(world, usable, asked).mean()), len(starts))


def serving(world: World) -> Flags:
    """Return where a spot machine can have been started in time to serve, ``(sites, ticks)``.

    In the first ticks of the replay whatever is there may serve at once.
    """
    usable = world.there.copy()
    for back in range(1, world.start_ticks + 1):
        usable[:, back:] &= world.there[:, :-back]
    return usable


def free_start(world: World, usable: Flags, asked: Floats) -> Floats:
    """Return the cost per hour of each tick by itself: the cheapest machines that are there first, ``(ticks,)``."""
    most = np.array([site.most for site in world.sites], np.float64)
    left, cost = asked.copy(), np.zeros(len(asked))
    spot = np.array([site.spot_usd_per_h for site in world.sites])
    fixed = np.array([site.on_demand_usd_per_h for site in world.sites])
    offers = [(price, most[number] * usable[number]) for number, price in enumerate(spot)]
    offers += [(price, np.full(len(asked), most[number])) for number, price in enumerate(fixed)]
    for price, room in sorted(offers, key=lambda offer: offer[0]):
        taken = np.minimum(left, room)
        left -= taken
        cost += price * taken
    if (left > 1e-9).any():
        raise BoundFailed(f"demand exceeds what can be had by {left.max():.3g} machines' worth")
    return cost


def _window(world: World, usable: Flags, asked: Floats, prices: Floats, always: float) -> float:
    """Return the least cost of a window, in USD per hour times ticks.

    On-demand machines are taken together at the lowest price, and start for nothing: a bound still. Columns: spot
    machines serving by site and tick, spot machines started likewise, machines on demand by tick.
    """
    from scipy.optimize import linprog
    from scipy.sparse import coo_array, csr_array, hstack, vstack

    count, ticks = usable.shape
    size = count * ticks
    most = np.array([site.most for site in world.sites], np.float64)
    starting = world.start_ticks * np.repeat(prices, ticks)
    cost = np.concatenate([np.repeat(prices, ticks), starting, np.full(ticks, always)])
    each = np.arange(size)
    at = each % ticks
    enough = coo_array((np.ones(size), (at, each)), (ticks, size))
    rows = [hstack([-enough, coo_array((ticks, size)), coo_array(-np.eye(ticks))])]
    later = each[at > 0]
    number = np.arange(later.size)
    signs, columns = np.repeat([1.0, -1.0], later.size), np.concatenate([later, later - 1])
    grows = coo_array((signs, (np.tile(number, 2), columns)), (later.size, size))
    begun = coo_array((np.full(later.size, -1.0), (number, later)), (later.size, size))
    rows.append(hstack([grows, begun, coo_array((later.size, ticks))]))
    upper = np.concatenate([(usable * most[:, None]).ravel(), np.full(size, np.inf), np.full(ticks, most.sum())])
    limits = np.concatenate([-asked, np.zeros(later.size)])
    found = linprog(
        cost, A_ub=csr_array(vstack(rows)), b_ub=limits, bounds=np.column_stack([np.zeros(upper.size), upper])
    )
    if found.x is None:
        raise BoundFailed(f"a window of {ticks} ticks: {found.message}")
    return float(found.fun)
