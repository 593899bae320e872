"""What is asked for in a replay, and what does a forecast made in time ask for on its behalf?"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tasks.fleet_replay.forecast import Forecast, Forecaster, blocks_of, forecast

Floats = npt.NDArray[np.float64]

SMOOTHED_TICKS = 11
"""Ticks over which a recording is averaged to tell its swings from its course."""

STARTED = 0.5
"""A recording counts from where its course first reaches this share of its highest."""


@dataclass(frozen=True, slots=True, eq=False)
class Needed:
    """What a forecast asks for.

    Args:
        machines: machines' worth for each tick of the replay, ``(ticks,)``.
        forecast: by blocks, from the first block of all that was asked for.
        block_ticks: of one.
    """

    machines: Floats
    forecast: Forecast
    block_ticks: int


def needed_ahead(
    demand: Floats,
    tick_s: float,
    before: int,
    forecasters: tuple[Forecaster, ...],
    rng: np.random.Generator,
    *,
    block_ticks: int = 8,
    quantile: float = 0.995,
) -> Needed:
    """Return what a forecast asks for, of all users together, in each tick from ``before`` on.

    Methods learn from three quarters of what was before and are chosen by the last quarter of it.

    Args:
        demand: of all users from the beginning, ``(users, ticks)``.
        tick_s: seconds of a tick.
        before: ticks before the replay; what is left over of whole blocks is dropped from the beginning.
        forecasters: methods to choose from.
        rng: all chance.
        block_ticks: of a block, for whose highest demand machines are bought.
        quantile: of blocks in which what is bought should do.

    Raises:
        ValueError: there is too little before, or nothing after.
    """
    dropped = before % block_ticks
    blocks_before = before // block_ticks
    part = demand[:, dropped:]
    # a last block that is not whole is filled with its last value: what is forecast of it comes from before it
    missing = -part.shape[1] % block_ticks
    part = np.concatenate([part, np.repeat(part[:, -1:], missing, axis=1)], axis=1)
    part = np.vstack([part, part.sum(axis=0)])
    blocks = blocks_of(part, tick_s, block_ticks, blocks_before * 3 // 4, blocks_before)
    found = forecast(blocks, forecasters, rng, quantile=quantile)
    ticks = demand.shape[1] - before
    return Needed(np.repeat(found.upper[blocks_before:], block_ticks)[:ticks], found, block_ticks)


def recorded_swings(at_s: Floats, amount: Floats, tick_s: float) -> Floats:
    """Return demand over its own course, tick by tick, of a recording; they average 1, ``(ticks,)``.

    Args:
        at_s: moments, in order, ``(entries,)``.
        amount: that came at each, ``(entries,)``.
        tick_s: seconds of a tick.

    Raises:
        ValueError: the recording is too short.
    """
    ticks = int((at_s[-1] - at_s[0]) // tick_s) if at_s.size else 0
    if ticks < SMOOTHED_TICKS + 2:
        raise ValueError(f"at_s: expected a recording of {SMOOTHED_TICKS + 2} ticks of {tick_s:g} s, got {ticks}")
    number = ((at_s - at_s[0]) // tick_s).astype(np.int64)
    summed = np.bincount(number[number < ticks], amount[number < ticks], minlength=ticks)
    window = np.ones(SMOOTHED_TICKS)
    course = np.convolve(summed, window, "same") / np.convolve(np.ones(ticks), window, "same")
    first = int(np.argmax(course >= STARTED * course.max()))
    swings = summed[first:] / course[first:]
    return np.asarray(swings / swings.mean())


def with_swings(demand: Floats, swings: Floats, rng: np.random.Generator, ticks_together: int = 8) -> Floats:
    """Return demand that swings as a recording did, ``(users, ticks)``: stretches of it, drawn for each user.

    A bootstrap of blocks (Kuensch 1989, doi 10.1214/aos/1176347265), so what swings together in time stays together.
    """
    users, ticks = demand.shape
    together = min(ticks_together, len(swings))
    stretches = -(-ticks // together)
    starts = rng.integers(0, len(swings) - together + 1, (users, stretches))
    drawn = swings[starts[:, :, None] + np.arange(together)].reshape(users, -1)[:, :ticks]
    return np.asarray(demand * drawn)
