"""What does a tensor cost as a Tucker network whose modes are runs of its own? Ranks from the spectra of each part."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tasks.codecs.network_search.chain_kernel import PARAMETER_BITS
from tasks.codecs.network_search.spectra import Spectra

Parts = tuple[tuple[int, ...], ...]
"""Modes of each part, every mode once."""

LONGEST = 1 << 14
"""Product of the modes of a part: its factor has so many rows."""


@dataclass(frozen=True, slots=True)
class Tucker:
    """A Tucker network that was priced.

    Args:
        parts: modes of each of its modes.
        bits: of its factors and core, in 32-bit numbers.
        error: relative squared error, at most what was asked for.
        ranks: of each part.
        tails: relative squared error of each part's truncation.
    """

    parts: Parts
    bits: float
    error: float
    ranks: tuple[int, ...]
    tails: tuple[float, ...]


def price(spectra: Spectra, parts: Parts, relative_error: float) -> Tucker:
    """Return the network with ranks lowered one by one where that saves most for the error that it makes.

    The squared errors of a higher-order singular value decomposition add up to at most the sum of the tails (De
    Lathauwer et al. 2000, doi 10.1137/S0895479896305696).
    """
    allowed = relative_error**2
    lengths = [math.prod(spectra.modes[mode] for mode in part) for part in parts]
    spectrum = [spectra.squares(sum(1 << mode for mode in part)) for part in parts]
    tails = [np.maximum(0.0, 1.0 - np.concatenate([np.zeros(1), np.cumsum(values)])) for values in spectrum]
    if any(values.size == 0 for values in spectrum) or sum(float(tail[-1]) for tail in tails) > allowed:
        return Tucker(parts, math.inf, math.inf, (), ())
    ranks = [tail.size - 1 for tail in tails]
    error = sum(float(tail[rank]) for tail, rank in zip(tails, ranks, strict=True))
    while True:
        core = math.prod(ranks)
        best, gain = -1, 0.0
        for part, rank in enumerate(ranks):
            if rank < 2:
                continue
            more = float(tails[part][rank - 1] - tails[part][rank])
            saved = core / rank + lengths[part]
            if error + more <= allowed and saved / max(more, 1e-300) > gain:
                best, gain = part, saved / max(more, 1e-300)
        if best < 0:
            break
        error += float(tails[best][ranks[best] - 1] - tails[best][ranks[best]])
        ranks[best] -= 1
    numbers = math.prod(ranks) + sum(length * rank for length, rank in zip(lengths, ranks, strict=True))
    cut = tuple(float(tail[rank]) for tail, rank in zip(tails, ranks, strict=True))
    return Tucker(parts, PARAMETER_BITS * numbers, sum(cut), tuple(ranks), cut)


def partitions(modes: tuple[int, ...], lengths: tuple[int, ...]) -> Iterator[Parts]:
    """Return every partition of the modes into at least two parts that are not too long, the finest first."""
    found = [parts for parts in _all(modes) if len(parts) > 1 or len(modes) == 1]
    fit = (
        parts
        for parts in sorted(found, key=lambda parts: (-len(parts), parts))
        if all(len(part) == 1 or math.prod(lengths[mode] for mode in part) <= LONGEST for part in parts)
    )
    return itertools.islice(fit, 256)


def _all(modes: tuple[int, ...]) -> Iterator[Parts]:
    if not modes:
        yield ()
        return
    first, rest = modes[0], modes[1:]
    for size in range(len(rest) + 1):
        for others in itertools.combinations(rest, size):
            left = tuple(mode for mode in rest if mode not in others)
            for parts in _all(left):
                yield ((first, *others), *parts)
