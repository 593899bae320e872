"""How long does each of several calls take? Timed in turns, so that a slow minute of the machine meets all of them."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

Call = Callable[[int], object]
"""Does the work once; the argument counts the rounds, so that no two rounds need be the same."""

_SHORTEST_S = 0.002
"""A shorter call is repeated within one reading until it fills this; the clock is then no part of the figure."""

_LONG_S, _LONG_READINGS = 1.0, 3
"""Calls that take this long are read this often, and need no second warm-up."""


@dataclass(frozen=True, slots=True)
class Timing:
    """What a call took.

    Args:
        ms: median over the readings.
        lowest_ms: fastest reading.
        readings: how many there were.
    """

    ms: float
    lowest_ms: float
    readings: int


def interleaved(
    calls: Mapping[str, Call],
    *,
    rounds: int,
    patience_s: float,
    clock: Callable[[], float] = time.process_time,
) -> dict[str, Timing]:
    """Return the time of each call, all of them taking turns round by round.

    The first call of each is a warm-up. One that takes longer than ``patience_s`` is not called again; its
    only reading is then the warm-up. One that takes longer than a second is read three times at most.
    ``readings`` says how often it was.

    Args:
        calls: by name.
        rounds: readings of each.
        patience_s: seconds.
        clock: seconds; the processor's of this process, unless a call works in another process.
    """
    readings: dict[str, list[float]] = {}
    inner: dict[str, int] = {}
    long: set[str] = set()
    for name, call in calls.items():
        first = _seconds(call, 0, 1, clock)
        if first > patience_s:
            readings[name] = [first]
            continue
        readings[name] = []
        if first > _LONG_S:
            inner[name] = 1
            long.add(name)
            continue
        # the warm-up may have compiled or loaded something; what counts is the second call
        inner[name] = max(1, math.ceil(_SHORTEST_S / max(_seconds(call, 0, 1, clock), 1e-7)))
    for number in range(rounds):
        for name, times in inner.items():
            if name in long and number >= _LONG_READINGS:
                continue
            readings[name].append(_seconds(calls[name], number, times, clock))
    return {name: Timing(1e3 * median(seen), 1e3 * min(seen), len(seen)) for name, seen in readings.items()}


def _seconds(call: Call, number: int, times: int, clock: Callable[[], float]) -> float:
    began = clock()
    for _ in range(times):
        call(number)
    return (clock() - began) / times
