"""What does it cost to be nearer to users? The cheapest fleet under each of several latency limits."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from data.schemas.fleet import Fleet
from qiskit_solvers.errors import SolverFailed
from tasks.fleet.elastic import NoFleet
from tasks.fleet.model import fleet_model
from tasks.fleet.programme import place_fleet

LOWEST, HIGHEST = 0.3, 1.5
"""Of the limit in force: between these the frontier's limits lie."""


@dataclass(frozen=True, slots=True)
class LatencyChoice:
    """The cheapest fleet that was found under a latency limit.

    Args:
        latency_ms: the limit.
        cost_usd_per_h: None where no fleet was found that keeps it.
        bound_usd_per_h: no fleet that keeps it costs less; None likewise.
        why: in words, where no fleet was found; else empty.
    """

    latency_ms: float
    cost_usd_per_h: float | None
    bound_usd_per_h: float | None
    why: str = ""


def limits_about(latency_ms: float, count: int) -> tuple[float, ...]:
    """Return ``count`` latency limits in equal ratios about ``latency_ms``, the lowest first, whole milliseconds."""
    ratio = (HIGHEST / LOWEST) ** (1.0 / max(1, count - 1))
    asked = {max(1.0, float(round(latency_ms * LOWEST * ratio**step))) for step in range(count)}
    return tuple(sorted(asked))


def latency_frontier(
    fleet: Fleet,
    limits_ms: Sequence[float],
    *,
    gap: float,
    seconds: float,
    told: Callable[[float], None] = lambda _: None,
) -> tuple[LatencyChoice, ...]:
    """Return the cheapest fleet under each limit, the lowest limit first: the epsilon-constraint method.

    It finds every point that no other dominates, to within ``gap`` (Haimes, Lasdon and Wismer 1971, doi
    10.1109/TSMC.1971.4308298). A fleet that keeps a limit keeps each longer one, so costs never rise with the limit.

    Args:
        fleet: as it is; only its latency limit is changed.
        limits_ms: to try.
        gap: relative, of each solution.
        seconds: for all of them together; what is left when a limit's turn comes is shared by those to come.
        told: called with the share of them that is done.
    """
    until = time.monotonic() + seconds
    ordered = sorted(limits_ms)
    found: list[LatencyChoice] = []
    cheapest: float | None = None
    for number, latency_ms in enumerate(ordered):
        share = max(0.5, (until - time.monotonic()) / (len(ordered) - number))
        model = fleet_model(replace(fleet, limits=replace(fleet.limits, latency_ms=latency_ms)))
        try:
            placed = place_fleet(model, gap=gap, seconds=share)
        except NoFleet as error:
            why = next((each.detail for each in error.shortages), "no fleet keeps it")
            found.append(LatencyChoice(latency_ms, None, None, why))
        except SolverFailed as error:
            found.append(LatencyChoice(latency_ms, cheapest, None, "" if cheapest is not None else str(error)))
        else:
            cost = placed.cost_usd_per_h if cheapest is None else min(cheapest, placed.cost_usd_per_h)
            cheapest = cost
            found.append(LatencyChoice(latency_ms, cost, placed.bound_usd_per_h))
        told((number + 1) / len(ordered))
    return tuple(found)
