"""When is spot capacity there, where nobody recorded it? Zones that come and go, those of one region together.

A zone has capacity while a score is below a threshold. The score has a part that all zones share, one of each region
and one of each zone; each part forgets slowly (first-order autoregression), so capacity stays away for hours, flickers
when the score is near the threshold, and is scarce in several zones at once, as it is in recordings.
"""

import math
from collections.abc import Mapping
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from data.readers.fleet.spot_traces import SpotTrace

Floats = npt.NDArray[np.float64]


def generate_spot_traces(
    rng: np.random.Generator,
    *,
    regions: Mapping[str, tuple[float, ...]],
    ticks: int,
    tick_s: float = 195.0,
    everywhere: float = 0.15,
    region: float = 0.45,
    memory_h: float = 6.0,
) -> tuple[SpotTrace, ...]:
    """Draw a recording of each zone, all from the same moments.

    Args:
        rng: all chance.
        regions: by name, the share of time in which each of its zones, a, b, c and so on, has capacity.
        ticks: looks at each zone.
        tick_s: seconds between two.
        everywhere: share of the score's variance that all zones have in common.
        region: share that the zones of a region have in common.
        memory_h: hours after which a part of the score has forgotten all but 1/e.

    Raises:
        ValueError: a number is out of range, or there is no zone.
    """
    own = 1.0 - everywhere - region
    if min(everywhere, region, own) < 0.0 or not memory_h > 0.0 or not tick_s > 0.0 or ticks < 1:
        raise ValueError(
            "expected shares of at least 0 that come to 1 at most, ticks, and times above 0, "
            f"got {everywhere}, {region}, {ticks} ticks of {tick_s} s, {memory_h} h"
        )
    shares = [share for each in regions.values() for share in each]
    if not shares or any(len(each) > 26 for each in regions.values()) or not all(0.0 < share < 1.0 for share in shares):
        raise ValueError(f"regions: expected 1 to 26 shares above 0 and below 1 in each, got {dict(regions)}")
    kept = math.exp(-tick_s / (3_600.0 * memory_h))
    common = math.sqrt(everywhere) * _wandering(rng, ticks, kept)
    traces = []
    for name, each in regions.items():
        together = common + math.sqrt(region) * _wandering(rng, ticks, kept)
        for letter, share in zip("abcdefghijklmnopqrstuvwxyz", each, strict=False):
            score = together + math.sqrt(own) * _wandering(rng, ticks, kept)
            there = (score < NormalDist().inv_cdf(share)).astype(np.int64)
            there.flags.writeable = False
            traces.append(SpotTrace("generated", "availability", name + letter, "generated_1", 1, tick_s, there))
    return tuple(traces)


def _wandering(rng: np.random.Generator, ticks: int, kept: float) -> Floats:
    """Return a series of variance one that keeps a share of its value from tick to tick, ``(ticks,)``."""
    from scipy.signal import lfilter

    drawn = rng.standard_normal(ticks)
    drawn[1:] *= math.sqrt(1.0 - kept * kept)
    return np.asarray(lfilter([1.0], [1.0, -kept], drawn), np.float64)
