"""How are the factors of a subspace laid out? Which go together in a block or strip, and what their levels cost."""

import functools
import itertools
import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

CHUNK = 256  # levels' sums that are held at a time
_BLOCK = 4096  # strings of a block at most: both parts, their transpose and their phases fit into the second cache
_LEAST = 64  # strings of a block at least, or too much time goes into the odometer
_ROWS = 512  # rows of a strip
_WIDTH = 64  # numbers of a row: whole cache lines, and loops that are worth their start


class Layout(NamedTuple):
    """Where the levels of each factor stand, and which factors go together."""

    sizes: Ints  # (factors,)
    strides: Ints  # (factors + 1,) the last is the number of strings
    starts: Ints  # (factors + 1,) first level of each factor
    cuts: Ints  # (passes + 1,) factors cuts[i] .. cuts[i + 1] - 1 are mixed together, those of pass 0 in blocks
    turned: int  # factors 0 .. turned - 1 are mixed in the transpose of a block
    width: int  # numbers of a row of a strip, at most
    widest: int  # numbers of the largest block or strip
    constant: float  # energy of string 0
    singles: Floats  # (levels,) 0 at level 0 of each factor
    pairs: Floats  # (levels, levels) [later factor, earlier factor], 0 where either is at level 0


def passes(sizes: list[int]) -> list[int]:
    """Return the cuts of :class:`Layout` for factors of these sizes, at least one."""
    cuts, rows = [0], 1
    for f, k in enumerate(sizes):
        first = len(cuts) == 1
        if rows * k > (_BLOCK if first else _ROWS) and rows >= (_LEAST if first else 2):
            cuts.append(f)
            rows = 1
        rows *= k
    return [*cuts, len(sizes)]


def widest(sizes: list[int]) -> int:
    """Return how many numbers the largest block or strip has."""
    cuts = passes(sizes)
    block = math.prod(sizes[: cuts[1]])
    return max([block, *(min(block, _WIDTH) * math.prod(sizes[a:b]) for a, b in itertools.pairwise(cuts[1:]))])


def bytes_used(sizes: list[int], width: int) -> int:
    """Return the bytes of a layout, of the sines and of the room to mix two states of ``width`` bytes a number."""
    levels, factors, block = sum(sizes), len(sizes), math.prod(sizes[: passes(sizes)[1]])
    table = levels * levels + levels + 3 * (factors + 1) + factors
    sines = (factors + 1) * levels + levels * levels + (factors + 1) + 2 * block + factors
    return 8 * (table + 2 * sines) + 4 * width * (widest(sizes) + CHUNK)


def laid_out(starts: Ints, constant: float, singles: Floats, pairs: Floats) -> Layout:
    """Return the layout of at least one factor.

    Args:
        starts: factor f has levels ``starts[f] .. starts[f + 1] - 1``.
        constant: in energy.
        singles: ``(levels,)``.
        pairs: ``(levels, levels)``, factors [earlier, later], zero elsewhere.
    """
    sizes = np.diff(starts)
    cuts, turned, numbers = _plan(tuple(sizes.tolist()))
    strides = np.cumprod([1, *sizes.tolist()], dtype=np.int64)
    zero = starts[:-1]
    own = np.repeat(zero, sizes)  # level 0 of each level's factor
    both = pairs + pairs.T
    seen = both[:, zero].sum(axis=1)  # by a level, when all others are at their level 0
    split = both - both[own] - both[:, own] + both[np.ix_(own, own)]
    return Layout(
        sizes=sizes,
        strides=strides,
        starts=starts,
        cuts=np.array(cuts, dtype=np.int64),
        turned=turned,
        width=_WIDTH,
        widest=numbers,
        constant=float(constant + singles[zero].sum() + seen[zero].sum() / 2),
        singles=singles - singles[own] + seen - seen[own],
        pairs=np.where(own[:, None] > own, split, 0.0),
    )


@functools.lru_cache(maxsize=256)
def _plan(sizes: tuple[int, ...]) -> tuple[list[int], int, int]:
    """Return cuts, turned and widest of :class:`Layout`; a loop solves many models of the same sizes."""
    cuts = passes(list(sizes))
    strides = np.cumprod([1, *sizes[: cuts[1]]], dtype=np.int64)
    turned = min(range(cuts[1]), key=lambda turned: _effort(strides, turned))
    return cuts, turned, widest(list(sizes))


def _effort(strides: Ints, turned: int) -> float:
    """Return about how many ns a number it takes to mix a block, by the lengths of the loops."""
    runs = strides[:-1] * np.where(np.arange(strides.size - 1) < turned, strides[-1] // strides[turned], 1)
    return float((1 + 24 / runs).sum()) + 2 * (turned > 0)
