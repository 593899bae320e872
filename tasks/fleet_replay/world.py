"""What happens in a replay, whatever anybody decides? Which zones have spot machines when, who asks for how much."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from data.geography import distance_km
from data.readers.fleet.spot_traces import SpotTrace

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

FIBRE_KM_PER_MS = 100.0
"""There and back, light takes a millisecond for as much fibre."""

DETOUR, BASE_MS = 1.6, 4.0
"""Fibre does not run straight, and networks take their time at both ends."""


@dataclass(frozen=True, slots=True)
class Site:
    """An availability zone that machines of one kind are rented in.

    Args:
        zone: e.g. ``us-west-2a``.
        region: that it is part of; on-demand machines fail with it, spot machines by zone.
        on_demand_usd_per_h: of one machine.
        spot_usd_per_h: likewise.
        most: machines that may be had of either purchase.
    """

    zone: str
    region: str
    latitude_deg: float
    longitude_deg: float
    on_demand_usd_per_h: float
    spot_usd_per_h: float
    most: int = 1_000

    def __post_init__(self) -> None:
        if not 0.0 < self.spot_usd_per_h <= self.on_demand_usd_per_h or self.most < 1:
            raise ValueError(f"{self.zone}: expected 0 < spot price <= price on demand and a machine, got {self}")


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """What is replayed.

    Args:
        sites: zones, in the order of the arrays.
        there: whether spot machines are to be had, and stay, ``(sites, ticks)``.
        tick_s: seconds of a tick.
        demand: in machines' worth, ``(users, ticks)``.
        rtt_ms: from users to sites and back, ``(users, sites)``.
        needed: machines' worth that a forecast made before each tick asks for, ``(ticks,)``.
        peak_before: highest demand before the replay, from which whatever never changes was sized.
        start_ticks: that a machine is paid for before it serves.
    """

    sites: tuple[Site, ...]
    there: Flags
    tick_s: float
    demand: Floats
    rtt_ms: Floats
    needed: Floats
    peak_before: float
    start_ticks: int = 2

    def __post_init__(self) -> None:
        count, ticks = self.there.shape
        users = len(self.demand)
        shapes = {"there": (len(self.sites), ticks), "demand": (users, ticks), "rtt_ms": (users, count)}
        for name, shape in {**shapes, "needed": (ticks,)}.items():
            found = np.shape(getattr(self, name))
            if found != shape:
                raise ValueError(f"{name}: expected shape {shape}, got {found}")
        if not self.tick_s > 0.0 or self.start_ticks < 1 or users < 1 or not self.peak_before > 0.0:
            raise ValueError(
                "expected users, a tick above 0 s, a tick or more to start and a peak above 0, "
                f"got {users}, {self.tick_s}, {self.start_ticks}, {self.peak_before}"
            )

    @property
    def ticks(self) -> int:
        """Moments that are replayed."""
        return int(self.there.shape[1])

    def part(self, first: int, last: int) -> "World":
        """Return ticks ``first`` to before ``last``."""
        return World(
            self.sites, self.there[:, first:last], self.tick_s, self.demand[:, first:last], self.rtt_ms,
            self.needed[first:last], self.peak_before, self.start_ticks,
        )  # fmt: skip


def there_of(traces: Sequence[SpotTrace]) -> Flags:
    """Return whether any machine was there, ``(traces, ticks)``, of recordings made side by side.

    Raises:
        ValueError: there is no recording, or their ticks differ in length or number.
    """
    if not traces:
        raise ValueError("traces: expected at least one recording, got none")
    if len({(trace.tick_s, trace.there.size, trace.recorded) for trace in traces}) > 1:
        found = sorted({f"{trace.recorded}: {trace.there.size} x {trace.tick_s:g} s" for trace in traces})
        raise ValueError(f"traces: expected recordings made side by side, got {', '.join(found)}")
    return np.array([trace.there > 0 for trace in traces])


def rtt_by_distance(users: Sequence[tuple[float, float]], sites: Sequence[Site]) -> Floats:
    """Return milliseconds from users, as latitudes and longitudes, to sites and back, ``(users, sites)``."""
    latitudes, longitudes = zip(*users, strict=True)
    km = distance_km(
        latitudes, longitudes, [site.latitude_deg for site in sites], [site.longitude_deg for site in sites]
    )
    return np.asarray(BASE_MS + DETOUR * km / FIBRE_KM_PER_MS)


def sites_of(
    traces: Sequence[SpotTrace],
    where: Mapping[str, tuple[float, float]],
    usd_per_h: Mapping[str, tuple[float, float]],
    most: int = 1_000,
) -> tuple[Site, ...]:
    """Return the zones of recordings as sites.

    Args:
        traces: of one zone each.
        where: latitude and longitude of each region.
        usd_per_h: price on demand and of spot in each region.
        most: machines to be had in a zone of either purchase.

    Raises:
        ValueError: a region has no place or no price.
    """
    missing = sorted({trace.region for trace in traces} - (set(where) & set(usd_per_h)))
    if missing:
        raise ValueError(f"expected a place and prices of every region, got none of {', '.join(missing)}")
    return tuple(
        Site(trace.zone, trace.region, *where[trace.region], *usd_per_h[trace.region], most) for trace in traces
    )
