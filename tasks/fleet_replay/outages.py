"""What is down together, and for how much of the time? Recordings as the outages that a fleet is planned against.

Every distinct pattern of places without capacity is one record with the share of time in which it was seen. Taking
places to be independent instead promises more than there was: of the three zones of us-west-2 at least one had spot
machines in 96.1 % of 45 days, where the shares of each alone, multiplied, promise 99.9 %.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from data.readers.fleet.spot_traces import SpotTrace
from data.schemas.fleet import Outage
from tasks.fleet_replay.world import there_of

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


def outages_from_traces(
    traces: Sequence[SpotTrace],
    *,
    region_ids: Mapping[str, str] | None = None,
    most: int | None = None,
    ticks: slice | None = None,
) -> tuple[Outage, ...]:
    """Return what was down together, of spot machines only, the most frequent first.

    Args:
        traces: recordings made side by side, one of each zone.
        region_ids: id of the fleet's region that each zone belongs to, by zone; a region is down where none of its
            recorded zones has machines. None takes every zone as a region by its own name.
        most: records at most; rarer patterns are added to the most frequent of those that are kept that has all their
            places down, or where there is none to the record of all places, so what is said is never too little.
        ticks: part of the recordings; None takes all.

    Raises:
        ValueError: the recordings were not made side by side, a zone has no region, or ``most`` is below 1.
    """
    if most is not None and most < 1:
        raise ValueError(f"most: expected at least 1, got {most}")
    there = there_of(traces)
    if ticks is not None:
        there = there[:, ticks]
    if not there.shape[1]:
        raise ValueError("ticks: expected at least one, got none")
    names = [trace.zone if region_ids is None else region_ids.get(trace.zone, "") for trace in traces]
    if not all(names):
        missing = [trace.zone for trace, name in zip(traces, names, strict=True) if not name]
        raise ValueError(f"region_ids: expected a region of every zone, got none of {', '.join(missing)}")
    places = sorted(set(names))
    of = np.array([places.index(name) for name in names])
    down = np.array([~there[of == place].any(axis=0) for place in range(len(places))])
    patterns, weights = pattern_weights(down)
    if most is not None and len(patterns) > most:
        patterns, weights = _fewer(patterns, weights, most)
    return tuple(
        Outage(float(weight), tuple(name for name, hit in zip(places, pattern, strict=True) if hit), True)
        for pattern, weight in zip(patterns, weights, strict=True)
    )


def pattern_weights(down: Flags) -> tuple[Flags, Floats]:
    """Return the distinct patterns in which anything is down, and their shares of time, the most frequent first.

    Args:
        down: ``(places, ticks)``.

    Returns:
        Patterns ``(patterns, places)``, and shares ``(patterns,)``, which come to the share of time with any down.
    """
    patterns, counts = np.unique(down.T, axis=0, return_counts=True)
    hit = patterns.any(axis=1)
    order = np.argsort(-counts[hit], kind="stable")
    return patterns[hit][order], counts[hit][order] / down.shape[1]


def _fewer(patterns: Flags, weights: Floats, most: int) -> tuple[Flags, Floats]:
    """Return as many patterns, each of the others counted as one that is at least as bad."""
    kept, worst = list(range(most - 1)), np.ones(patterns.shape[1], np.bool_)
    chosen = [*patterns[kept], worst]
    added = np.append(weights[kept], 0.0)
    for number in range(most - 1, len(patterns)):
        covers = [place for place, one in enumerate(chosen) if (one | ~patterns[number]).all()]
        added[covers[0]] += weights[number]
    used = added > 0.0
    return np.array(chosen)[used], added[used]


def share_up(there: Flags, least: int = 1) -> float:
    """Return the share of time in which at least so many of the zones had machines; ``there`` is ``(zones, ticks)``."""
    return float((there.sum(axis=0) >= least).mean())


def share_up_if_independent(there: Flags, least: int = 1) -> float:
    """Return what that share would be, were zones independent of one another with the shares that each had."""
    chances = np.array([1.0])
    for share in there.mean(axis=1):
        chances = np.convolve(chances, [1.0 - share, share])
    return float(chances[least:].sum())


def best_set(traces: Sequence[SpotTrace], size: int) -> tuple[tuple[str, ...], float]:
    """Return the zones, so many of them, of which at least one had machines most of the time, and that share."""
    there = there_of(traces)
    return max(
        (
            (tuple(traces[number].zone for number in chosen), share_up(there[list(chosen)]))
            for chosen in combinations(range(len(traces)), size)
        ),
        key=lambda found: found[1],
    )


@dataclass(frozen=True, slots=True)
class HeldOutShares:
    """How well shares of time with any of some zones up were told ahead, over all sets of so many zones.

    Args:
        seen: mean absolute error of what was seen in the time that was learned from.
        independent: likewise, of the shares of single zones then, taken to be independent.
        seen_too_much: share of sets of which more was promised than there was.
        independent_too_much: likewise.
        factor: mean absolute error where the shares of single zones are known, and how much likelier it is that none
            is up than by independence was learned.
        known_independent: likewise, by independence.
    """

    seen: float
    independent: float
    seen_too_much: float
    independent_too_much: float
    factor: float
    known_independent: float


def held_out_shares(there: Flags, learned: int, size: int) -> HeldOutShares:
    """Return how well the first ``learned`` ticks tell of the rest, for every set of ``size`` zones.

    Raises:
        ValueError: nothing is left to learn from, or to compare with, or there is no such set.
    """
    if not 0 < learned < there.shape[1] or not 1 <= size <= len(there):
        raise ValueError(f"expected 1 to {there.shape[1] - 1} ticks and 1 to {len(there)} zones, got {learned}, {size}")
    first, rest = there[:, :learned], there[:, learned:]
    told = []
    for chosen in combinations(range(len(there)), size):
        before, after = first[list(chosen)], rest[list(chosen)]
        none, alone = 1.0 - share_up(before), 1.0 - share_up_if_independent(before)
        known = 1.0 - share_up_if_independent(after)
        factor = none / alone if alone > 0.0 else 1.0
        told.append((1.0 - none, 1.0 - alone, 1.0 - min(1.0, factor * known), 1.0 - known, share_up(after)))
    shares = np.array(told)
    errors = shares[:, :4] - shares[:, 4:]
    wrong = np.abs(errors).mean(axis=0)
    broken = (errors > 0.0).mean(axis=0)
    return HeldOutShares(
        float(wrong[0]), float(wrong[1]), float(broken[0]), float(broken[1]), float(wrong[2]), float(wrong[3])
    )
