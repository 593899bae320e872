"""How are floats put on a grid and taken off it, and what is stored of those that the grid cannot hold? Compiled.

A chunk of quantised floats is the number of its elements (uint32), that of the exact ones among them (uint32), the
place of each (a base-128 count of the elements since the one before it), their bytes as they were, a table of levels
(how many, then each, int8), and a run of :mod:`tasks.codecs.quantise_integers`.

Where steps are coarse, the numbers of a cell crowd to its inner side, and their mean is a better guess than the middle
(Lloyd 1982, doi 10.1109/TIT.1982.1056489). The table says for 1, 2, ... how much further out the mean is, in 256ths of
a step; the last entry holds for all beyond.
"""

import numpy as np
import numpy.typing as npt

from tasks.codecs.compiled import inner, kernel, u8
from tasks.codecs.quantise_bins import CELLS
from tasks.codecs.quantise_integers import Integers, read_run, write_run
from tasks.codecs.rans import Bytes

Floats = npt.NDArray[np.float32] | npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Levels = npt.NDArray[np.int8]
Each = npt.NDArray[np.float64]
"""One number for each group."""

COUNT_BYTES = 4
LEVELS_MAX = 32
_LEAST_GAIN = 0.002
_LANES = 512
PLACE_BYTES_MAX = 5
"""Bytes of a count of at most 2^32 in base 128."""


@kernel
def to_grid(values: Floats, steps: Each, first: int, group: int, top: int, integers: Integers) -> None:
    """Round every value to a multiple of the step of its group, and say which; 0 for what lies out of reach, and NaN.

    Args:
        values: ``(n,)``.
        steps: of each group, ``(groups,)``; where one is not positive the integers are 0.
        first: elements of the first group.
        group: elements of every further one.
        top: greatest multiple.
        integers: to be filled, ``(n,)``.
    """
    begin, end = 0, min(first, len(values))
    for number in range(len(steps)):
        _to_grid(values[begin:end], 1.0 / steps[number], np.float64(top), integers[begin:end])
        begin, end = end, min(end + group, len(values))


@inner
def _to_grid(values: Floats, steepness: float, top: float, integers: Integers) -> None:
    for i in range(len(values)):  # on slices, in loops this plain, the compiler takes several values at a time
        multiple = np.rint(np.float64(values[i]) * steepness)
        integers[i] = np.int32(multiple if abs(multiple) <= top else 0.0)


@kernel
def drop_far(integers: Integers) -> None:
    """Put multiples far beyond nearly all others to 0: their elements come back wrong, and are stored exactly.

    A run has cells of equal width, and one that reached a few extremes would be coarse for all the rest. Far is eight
    times the power of two that at most one in 2048 is beyond.
    """
    most = np.int64(0)
    for i in range(len(integers)):
        most = max(most, np.int64(abs(integers[i])))
    if most < CELLS:
        return
    above = np.zeros(32, np.int64)  # how many have so many binary digits
    for i in range(len(integers)):
        digits, rest = 0, abs(integers[i])
        while rest > 0:
            digits += 1
            rest >>= 1
        above[digits] += 1
    digits, beyond = 31, 0
    while digits > 0 and (beyond + above[digits]) * 2048 <= len(integers):
        beyond += above[digits]
        digits -= 1
    far = np.int64(8) << digits
    if most >= far:
        for i in range(len(integers)):
            if abs(integers[i]) >= far:
                integers[i] = 0


@kernel
def off_grid(integers: Integers, steps: Each, first: int, group: int, values: Floats) -> None:
    """Fill ``values``, ``(n,)``, with multiples of each group's step (:func:`to_grid`), each product rounded once."""
    begin, end = 0, min(first, len(integers))
    for number in range(len(steps)):
        _off_grid(integers[begin:end], steps[number], values[begin:end])
        begin, end = end, min(end + group, len(integers))


@inner
def _off_grid(integers: Integers, step: float, values: Floats) -> None:
    for i in range(len(integers)):
        values[i] = values.dtype.type(np.float64(integers[i]) * step)


@kernel
def find_levels(values: Floats, integers: Integers, step: float, levels: Levels) -> int:
    """Fill ``levels`` with the mean place of the values of each multiple and its opposite; return how many are used.

    Args:
        values: ``(n,)``.
        integers: their multiples of ``step``, ``(n,)``.
        step: of the grid.
        levels: to be filled, in 256ths of a step, ``(LEVELS_MAX,)``.

    Returns:
        The levels up to the greatest multiple, or 0 where the squared error would shrink by less than a 500th.
    """
    sums, counts = np.zeros(LEVELS_MAX + 1), np.zeros(LEVELS_MAX + 1)
    reach = 0
    before = 0.0
    looked_at = min(len(values), 4096)
    for i in range(len(values)):
        if i == looked_at and _saved(sums, counts) < 0.5 * _LEAST_GAIN * before:
            return 0  # steps are fine
        multiple = abs(integers[i])
        off = np.float64(values[i]) / step - integers[i]
        if multiple == 0 or not abs(off) <= 0.5:
            continue
        reach = max(reach, multiple)
        row = min(multiple, LEVELS_MAX)
        sums[row] += off if integers[i] > 0 else -off
        counts[row] += 1
        before += off * off
    if _saved(sums, counts) < _LEAST_GAIN * before or before == 0.0:
        return 0
    for row in range(1, LEVELS_MAX + 1):
        levels[row - 1] = np.int8(np.rint(256.0 * sums[row] / counts[row])) if counts[row] > 0 else 0
    return min(reach, LEVELS_MAX)


@inner
def _saved(sums: Each, counts: Each) -> float:
    """Return the squared error, in squared steps, that the means of the levels save."""
    gain = 0.0
    for row in range(1, len(sums)):
        if counts[row] > 0:
            gain += sums[row] * sums[row] / counts[row]
    return gain


@kernel
def off_levels(integers: Integers, step: float, levels: Levels, values: Floats) -> None:
    """Fill ``values``, ``(n,)``, with the mean place of each multiple of ``step``; ``levels`` are not empty."""
    last = len(levels)
    for i in range(len(integers)):
        multiple = int(integers[i])
        row = min(abs(multiple), last)
        further = int(levels[row - 1]) if row > 0 else 0
        further = -further if multiple < 0 else further
        values[i] = values.dtype.type(np.float64(256 * multiple + further) * (step / 256.0))


@kernel
def greatest(values: Floats, first: int, group: int, tops: Each) -> None:
    """Fill ``tops``, ``(groups,)``, with the greatest finite magnitude of each group (:func:`to_grid`)."""
    begin, end = 0, min(first, len(values))
    for number in range(len(tops)):
        top = 0.0
        for i in range(begin, end):
            magnitude = abs(np.float64(values[i]))
            if magnitude < np.inf:
                top = max(top, magnitude)
        tops[number] = top
        begin, end = end, min(end + group, len(values))


@kernel
def over_limit(values: Floats, restored: Floats, limits: Each, first: int, group: int, over: Flags) -> int:
    """Flag the elements that were not restored within a limit, NaN and infinities among them; return how many.

    Args:
        values: ``(n,)``.
        restored: as they come back, in the same type, ``(n,)``.
        limits: greatest absolute difference in each group (:func:`to_grid`), ``(groups,)``.
        first: elements of the first group.
        group: elements of every further one.
        over: to be filled, ``(n,)``.
    """
    count = 0
    begin, end = 0, min(first, len(values))
    for number in range(len(limits)):
        count += _over_limit(values[begin:end], restored[begin:end], limits[number], over[begin:end])
        begin, end = end, min(end + group, len(values))
    return count


@inner
def _over_limit(values: Floats, restored: Floats, limit: float, over: Flags) -> int:
    count = 0
    for i in range(len(values)):
        within = abs(np.float64(restored[i]) - np.float64(values[i])) <= limit
        over[i] = not within
        count += not within
    return count


@kernel
def losses(values: Floats, restored: Floats, sums: Each) -> int:
    """Add up what was lost of the finite elements; return how many they are.

    Args:
        values: ``(n,)``.
        restored: ``(n,)``.
        sums: to be filled, ``(3,)``: greatest absolute difference, squared differences, squared values.
    """
    most, lost, energy = np.zeros(_LANES), np.zeros(_LANES), np.zeros(_LANES)
    finite = 0
    for begin in range(0, len(values), _LANES):
        end = min(begin + _LANES, len(values))
        finite += _add_losses(values[begin:end], restored[begin:end], most, lost, energy)
    sums[0] = most.max()
    sums[1] = lost.sum()
    sums[2] = energy.sum()
    return finite


@inner
def _add_losses(values: Floats, restored: Floats, most: Each, lost: Each, energy: Each) -> int:
    finite = 0
    for i in range(len(values)):  # a sum for each lane: the order of additions is the same on every processor
        value = np.float64(values[i])
        counts = abs(value) < np.inf
        error = abs(np.float64(restored[i]) - value) if counts else 0.0
        lost[i] += error * error
        energy[i] += value * value if counts else 0.0
        most[i] = error if error > most[i] else most[i]
        finite += int(counts)
    return finite


@kernel
def write_grid(integers: Integers, over: Flags, octets: Bytes, word_bytes: int, levels: Levels, out: Bytes) -> int:
    """Write a chunk; return how many bytes it takes.

    Args:
        integers: ``(n,)``; those of exact elements become 0.
        over: which elements are exact, ``(n,)``.
        octets: bytes of all elements as they were, ``(n * word_bytes,)``.
        word_bytes: of an element.
        levels: table of levels, ``(at most LEVELS_MAX,)``; empty where multiples stand for themselves.
        out: ``(bytes,)``, ``9 + LEVELS_MAX + exact * (5 + word_bytes)`` and room for a run.
    """
    at = 2 * COUNT_BYTES
    exact = 0
    last = -1
    for i in range(len(integers)):
        if over[i]:
            integers[i] = 0
            gap = i - last - 1
            last = i
            exact += 1
            while gap >= 128:
                out[at] = np.uint8(128 | (gap & 127))
                gap >>= 7
                at += 1
            out[at] = np.uint8(gap)
            at += 1
    for i in range(len(integers)):
        if over[i]:
            out[at : at + word_bytes] = octets[i * word_bytes : (i + 1) * word_bytes]
            at += word_bytes
    _put_count(out, 0, len(integers))
    _put_count(out, COUNT_BYTES, exact)
    out[at] = np.uint8(len(levels))
    at += 1
    out[at : at + len(levels)] = levels.view(np.uint8)
    at += len(levels)
    return write_run(integers, out, at) if len(integers) else at


@kernel
def read_grid(packed: Bytes, word_bytes: int, integers: Integers, exact: npt.NDArray[np.int64], levels: Levels) -> int:
    """Read a chunk; return where the bytes of its exact elements lie, -1 if it is none.

    Args:
        packed: the chunk and nothing else, at least 8 bytes.
        word_bytes: of an element.
        integers: to be filled, as many as the chunk says.
        exact: places of the exact elements, to be filled, as many as the chunk says.
        levels: table of levels, to be filled, ``(LEVELS_MAX,)``; 0 where there is none.
    """
    at = 2 * COUNT_BYTES
    last = -1
    for number in range(len(exact)):
        gap = 0
        for place in range(PLACE_BYTES_MAX + 1):
            if at >= len(packed) or place == PLACE_BYTES_MAX:
                return -1
            octet = int(packed[at])
            at += 1
            gap |= (octet & 127) << (7 * place)
            if octet < 128:
                break
        last += gap + 1
        if last >= len(integers):
            return -1
        exact[number] = last
    kept = at
    at += len(exact) * word_bytes
    if at >= len(packed) or packed[at] > min(LEVELS_MAX, len(packed) - at - 1):
        return -1
    count = int(packed[at])
    levels[:] = 0
    levels[:count].view(np.uint8)[:] = packed[at + 1 : at + 1 + count]
    levels[count:] = levels[count - 1] if count > 0 else 0
    at += 1 + count
    if len(integers):
        at = read_run(packed, at, integers)
    return kept if at == len(packed) else -1


@kernel
def to_bfloat16(values: npt.NDArray[np.float32], words: npt.NDArray[np.uint16]) -> None:
    """Round floats to bfloat16, ties to even, as bits; NaN becomes some NaN or infinity, and is stored exactly."""
    bits = values.view(np.uint32)
    for i in range(len(bits)):
        even = (bits[i] >> np.uint32(16)) & np.uint32(1)
        words[i] = np.uint16((bits[i] + np.uint32(0x7FFF) + even) >> np.uint32(16))


@kernel
def write_integers(integers: Integers, out: Bytes) -> int:
    """Write a run (:func:`tasks.codecs.quantise_integers.write_run`); return how many bytes it takes."""
    return int(write_run(integers, out, 0))


@kernel
def read_integers(packed: Bytes, integers: Integers) -> bool:
    """Read a run into ``integers``, ``(n,)``; return whether ``packed`` was one and nothing else."""
    return bool(read_run(packed, 0, integers) == len(packed))


@inner
def _put_count(out: Bytes, at: int, value: int) -> None:
    """Write a count as uint32."""
    for place in range(COUNT_BYTES):
        out[at + place] = np.uint8(u8(value) >> u8(8 * place))
