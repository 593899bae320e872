"""How is a chunk of floats put on a grid for a quantiser, and made of its bytes again?

The bytes are those of :mod:`tasks.codecs.quantise_kernels`. Floats of 16 bits are computed in float32, and rounded to
their own type before any error is measured: a bound holds for what is restored, not for what was computed.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from data.schemas.tensor import ELEMENT_TYPES, Octets
from tasks.codecs.protocol import Around
from tasks.codecs.quantise_integers import INTEGER_BYTES_MAX, RUN_BYTES_MAX
from tasks.codecs.quantise_kernels import (
    COUNT_BYTES,
    LEVELS_MAX,
    PLACE_BYTES_MAX,
    Each,
    Flags,
    Floats,
    Levels,
    drop_far,
    find_levels,
    off_grid,
    off_levels,
    over_limit,
    read_grid,
    to_bfloat16,
    to_grid,
    write_grid,
)

QUANTISABLE = ("F16", "BF16", "F32", "F64")
"""Element types that can be put on a grid."""

Words = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """How steep the grid of a chunk is, by groups of neighbouring elements.

    Args:
        steps: of each group, ``(groups,)``.
        first: elements of the first group.
        group: elements of every further one.
        levels: where each multiple lies, of a grid of one step (:func:`tasks.codecs.quantise_kernels.find_levels`);
            empty where multiples stand for themselves.
    """

    steps: Each
    first: int
    group: int
    levels: Levels = field(default_factory=lambda: np.empty(0, np.int8))


@dataclass(frozen=True, slots=True, eq=False)
class OnGrid:
    """A chunk on its grid.

    Args:
        groups: the grid.
        integers: multiples of a step, ``(elements,)``.
        back: the floats that they come back as, in their element type; exact ones as they were, ``(elements,)``.
        over: which elements are exact, ``(elements,)``.
        exact: how many they are.
    """

    groups: Groups
    integers: npt.NDArray[np.int32]
    back: Floats
    over: Flags
    exact: int


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """A chunk as it was read.

    Args:
        integers: multiples, ``(elements,)``.
        levels: where they lie, ``(LEVELS_MAX,)``, or empty.
        exact: places of the elements that are stored as they are, ``(exact,)``.
        kept: their words, ``(exact,)``.
    """

    integers: npt.NDArray[np.int32]
    levels: Levels
    exact: npt.NDArray[np.int64]
    kept: Words


def put_on_grid(
    values: Floats, dtype: str, groups: Groups, limits: Each, top: int, *, with_levels: bool = False
) -> OnGrid:
    """Quantise floats, and see which come back with an error over the limit.

    Args:
        values: of the element type ``dtype``, ``(elements,)``.
        dtype: one of :data:`QUANTISABLE`.
        groups: the grid.
        limits: greatest absolute error in each group, ``(groups,)``.
        top: greatest multiple.
        with_levels: whether a multiple may stand for the mean of its cell; only for a grid of one step.
    """
    integers = np.empty(len(values), dtype=np.int32)
    to_grid(values, groups.steps, groups.first, groups.group, top, integers)
    if len(groups.steps) == 1:
        drop_far(integers)
    if with_levels:
        levels = np.empty(LEVELS_MAX, dtype=np.int8)
        groups = replace(groups, levels=levels[: find_levels(values, integers, float(groups.steps[0]), levels)])
    back = taken_off(integers, dtype, groups)
    over = np.empty(len(values), dtype=np.bool_)
    exact = over_limit(values, back, limits, groups.first, groups.group, over)
    if exact:
        back[over] = values[over]
    return OnGrid(groups, integers, back, over, exact)


def taken_off(integers: npt.NDArray[np.int32], dtype: str, groups: Groups) -> Floats:
    """Return the floats that multiples, ``(elements,)``, stand for, rounded to the element type."""
    values: Floats = np.empty(len(integers), np.float64) if dtype == "F64" else np.empty(len(integers), np.float32)
    if len(groups.levels):
        off_levels(integers, float(groups.steps[0]), groups.levels, values)
    else:
        off_grid(integers, groups.steps, groups.first, groups.group, values)
    if dtype in ("F16", "BF16"):
        return _widened(octets_of(values, dtype), dtype)
    return values


def written(grid: OnGrid, raw: Octets, around: Around) -> memoryview:
    """Return the bytes of a chunk on its grid, ``raw`` before."""
    run = len(grid.integers) * INTEGER_BYTES_MAX + RUN_BYTES_MAX
    exact = grid.exact * (PLACE_BYTES_MAX + around.word_bytes)
    out = np.empty(2 * COUNT_BYTES + exact + 1 + LEVELS_MAX + run, dtype=np.uint8)
    return out[: write_grid(grid.integers, grid.over, unwritable(raw), around.word_bytes, grid.groups.levels, out)].data


def expected(grid: OnGrid, raw: Octets, around: Around) -> memoryview:
    """Return the bytes that a chunk on its grid must come back as."""
    octets = octets_of(grid.back, around.dtype)
    if grid.exact:
        width = f"<u{around.word_bytes}"
        octets.view(width)[grid.over] = unwritable(raw).view(width)[grid.over]
    return octets.data


def read(packed: Octets, around: Around, limit: int) -> Grid:
    """Return what :func:`written` wrote.

    Raises:
        ValueError: no such chunk, one of more than ``limit`` bytes, or elements that are no floats.
    """
    if around.dtype not in QUANTISABLE:
        raise ValueError(f"expected elements of {', '.join(QUANTISABLE)}, found {around.dtype}")
    word_bytes = around.word_bytes
    if len(packed) < 2 * COUNT_BYTES:
        raise ValueError(f"expected a quantised chunk, found {len(packed)} bytes")
    count = int.from_bytes(packed[:COUNT_BYTES], "little")
    exact_count = int.from_bytes(packed[COUNT_BYTES : 2 * COUNT_BYTES], "little")
    if count * word_bytes > limit or exact_count > count:
        found = f"{count} elements of {word_bytes} bytes, {exact_count} of them exact"
        raise ValueError(f"expected a quantised chunk of at most {limit} bytes, found {found}")
    integers, exact = np.empty(count, dtype=np.int32), np.empty(exact_count, dtype=np.int64)
    octets = unwritable(packed)
    levels = np.empty(LEVELS_MAX, dtype=np.int8)
    at = read_grid(octets, word_bytes, integers, exact, levels)
    if at < 0:
        raise ValueError(f"expected a quantised chunk of {count} elements, found another")
    kept = octets[at : at + exact_count * word_bytes].view(f"<u{word_bytes}")
    return Grid(integers, levels if levels.any() else levels[:0], exact, kept)


def restored(values: Floats, chunk: Grid, around: Around) -> memoryview:
    """Return the bytes of ``values``, ``(elements,)``, with the exact elements in their places."""
    octets = octets_of(values, around.dtype)
    words = octets.view(f"<u{around.word_bytes}")
    words[chunk.exact] = chunk.kept
    return octets.data


def values_of(raw: Octets, dtype: str) -> Floats:
    """View or widen elements as floats, ``(elements,)``: float64 for F64, float32 for the others.

    Raises:
        ValueError: the elements are no floats, or ``raw`` is no whole number of them.
    """
    if dtype not in QUANTISABLE or len(raw) % ELEMENT_TYPES[dtype].word_bytes:
        raise ValueError(f"expected whole elements of {', '.join(QUANTISABLE)}, found {len(raw)} bytes of {dtype}")
    values = _widened(unwritable(raw), dtype)
    values = values if values.flags.aligned else values.copy()
    values.flags.writeable = False
    return values


def octets_of(values: Floats, dtype: str) -> npt.NDArray[np.uint8]:
    """Round floats, ``(elements,)``, to their element type; return its bytes."""
    if dtype == "BF16":
        words = np.empty(len(values), dtype=np.uint16)
        to_bfloat16(values, words)
        return words.view(np.uint8)
    if dtype == "F16":
        with np.errstate(over="ignore"):  # an infinity is over any limit, hence stored exactly
            return values.astype(np.float16).view(np.uint8)
    return values.view(np.uint8)


def unwritable(octets: Octets) -> npt.NDArray[np.uint8]:
    """View bytes as an array that is never writable, so that kernels are compiled for one kind of array."""
    array = np.frombuffer(octets, dtype=np.uint8)
    array.flags.writeable = False
    return array


def _widened(octets: npt.NDArray[np.uint8], dtype: str) -> Floats:
    """Return bytes as floats that can be computed with, ``(elements,)``."""
    if dtype == "BF16":
        return (octets.view("<u2").astype(np.uint32) << 16).view(np.float32)
    if dtype == "F16":
        return octets.view("<f2").astype(np.float32)
    return octets.view(np.float64) if dtype == "F64" else octets.view(np.float32)
