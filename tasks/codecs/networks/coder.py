"""How do a few thousand integers of very different sizes become about as many bits as they are worth?

Binary range coding (Martin 1979, "Range encoding: an algorithm for removing redundancy from a digitised message") with
probabilities that adapt after every bit, as in Marpe et al. 2003, doi 10.1109/TCSVT.2003.815173. There are no tables to
store, which is what counts where all there is to code is the cores of a network. Each integer comes with a class that
both sides know: the size that is expected of it, in half octaves. Integers only, so that every machine decodes alike.
"""

import numpy as np
import numpy.typing as npt
from numba import njit

Integers = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]
Table = npt.NDArray[np.int64]

CLASSES = 128
"""Of integers; class ``c`` expects a root mean square of about ``2 ** ((c - SMALLEST) / 2)``."""

SMALLEST = 12
"""Class of a root mean square of 1."""

COUNTS = range(6)
"""Classes for numbers that are never negative, such as lengths; what each of them holds is up to the caller."""

LARGEST = 2**53
"""Greatest magnitude that is coded."""

_UNARY = 18
_BINS = _UNARY + 64 + 2
_AT_ONCE = 4096
_BYTES_EACH = 256
"""Bytes that no integer exceeds, however unexpected: at most 84 adaptive bits of at most 2 bytes, and 54 plain ones."""

_SIGNED = COUNTS.stop
_TOP = 1 << 24
_ONE = 1 << 16
_LEAST = 48
_MEMORY = 160
"""Bits after which a probability no longer settles, but follows."""

_RATES = np.array([round(_ONE / (seen + 1.6)) for seen in range(_MEMORY)], dtype=np.int64)


def classes_of(half_octaves: npt.NDArray[np.integer]) -> Integers:
    """Return the class of integers whose root mean square is expected to be ``2 ** (half_octaves / 2)``."""
    return np.clip(half_octaves.astype(np.int64) + SMALLEST, COUNTS.stop, CLASSES - 1)


class Writer:
    """Codes integers one after the other."""

    def __init__(self) -> None:
        self._bins, self._seen = _fresh()
        self._state = np.array([0, 2**32 - 1, 0, 1], dtype=np.int64)
        self._out = bytearray()

    def put(self, values: npt.NDArray[np.integer], classes: npt.NDArray[np.integer]) -> None:
        """Code ``values``, ``(n,)``, of ``classes``, ``(n,)``.

        Raises:
            ValueError: a magnitude is above 2^53, or a count is negative.
        """
        if np.any(values[classes < _SIGNED] < 0):
            raise ValueError(f"expected counts of at least 0, found {values.min()}")
        if values.size and max(int(values.max()), -int(values.min())) > LARGEST:
            raise ValueError(f"expected magnitudes of at most {LARGEST}, found more")
        for start in range(0, len(values), _AT_ONCE):
            some = values[start : start + _AT_ONCE].astype(np.int64)
            theirs = classes[start : start + _AT_ONCE].astype(np.int64)
            room = np.empty(len(some) * _BYTES_EACH + int(self._state[3]), dtype=np.uint8)
            length = _encode(some, theirs, self._bins, self._seen, self._state, room)
            self._out += room[:length].tobytes()

    def finish(self) -> bytes:
        """Return all that was coded; zeros that only close it are left out, since the reader goes on with zeros."""
        room = np.empty(16 + int(self._state[3]), dtype=np.uint8)
        length = _flush(self._state, room)
        return bytes(self._out + room[:length].tobytes().rstrip(b"\0"))


class Reader:
    """Reads what a :class:`Writer` coded, or anything at all."""

    def __init__(self, octets: bytes) -> None:
        self._bins, self._seen = _fresh()
        self._octets = np.frombuffer(octets, dtype=np.uint8)
        self._state = np.array([0, 2**32 - 1, 0], dtype=np.int64)
        _begin(self._octets, self._state)

    def take(self, classes: npt.NDArray[np.integer]) -> Integers:
        """Return the next integers, ``(n,)``, of ``classes``, ``(n,)``.

        Raises:
            ValueError: the bytes ended before, or hold a magnitude above 2^53.
        """
        values = np.empty(len(classes), dtype=np.int64)
        if not _decode(classes.astype(np.int64), self._octets, self._bins, self._seen, self._state, values):
            raise ValueError("expected coded integers, found bytes that end too early or code too large a number")
        return values

    def finish(self) -> None:
        """Refuse bytes that were not all needed.

        Raises:
            ValueError: some are left.
        """
        if int(self._state[2]) < len(self._octets):
            raise ValueError(f"expected {int(self._state[2])} bytes of coded integers, found {len(self._octets)}")


def _fresh() -> tuple[Integers, Integers]:
    """Return the probabilities of a zero bit, in 65536ths, and how often each was met, ``(classes, bins)``."""
    shape = (CLASSES, _BINS)
    return np.full(shape, _ONE // 2, dtype=np.int64), np.zeros(shape, dtype=np.int64)


_kernel = njit(cache=True, nogil=True)
_inner = njit(cache=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)


@_inner
def _plain_bits(kind: int) -> int:
    """Return how many low bits an integer of this class has that are all but even: expected size over 2."""
    return max(0, (kind - SMALLEST) // 2 - 1)


@_inner
def _learn(bins: Table, seen: Table, kind: int, place: int, bit: int) -> None:
    """Move a probability towards the bit that was met."""
    rate = _RATES[seen[kind, place]]
    target = _LEAST if bit else _ONE - _LEAST
    bins[kind, place] += ((target - bins[kind, place]) * rate) >> 16
    if seen[kind, place] < _MEMORY - 1:
        seen[kind, place] += 1


@_inner
def _shift(state: Integers, out: Bytes, at: int) -> int:
    """Move the top byte out; a run of 255 waits, since a carry may still come."""
    low = state[0]
    if low < 0xFF000000 or low >= 1 << 32:
        carry = low >> 32
        byte = state[2]
        while state[3] > 0:
            out[at] = (byte + carry) & 255
            at += 1
            byte = 255
            state[3] -= 1
        state[2] = (low >> 24) & 255
    state[3] += 1
    state[0] = (low & 0xFFFFFF) << 8
    return at


@_inner
def _put_bit(bins: Table, seen: Table, kind: int, place: int, bit: int, state: Integers, out: Bytes, at: int) -> int:
    bound = (state[1] >> 16) * bins[kind, place]
    if bit:
        state[0] += bound
        state[1] -= bound
    else:
        state[1] = bound
    _learn(bins, seen, kind, place, bit)
    while state[1] < _TOP:
        state[1] <<= 8
        at = _shift(state, out, at)
    return at


@_inner
def _put_plain(bit: int, state: Integers, out: Bytes, at: int) -> int:
    state[1] >>= 1
    if bit:
        state[0] += state[1]
    while state[1] < _TOP:
        state[1] <<= 8
        at = _shift(state, out, at)
    return at


@_kernel
def _encode(values: Integers, classes: Integers, bins: Table, seen: Table, state: Integers, out: Bytes) -> int:
    at = 0
    for i in range(len(values)):
        kind = classes[i]
        plain = _plain_bits(kind)
        size = abs(values[i])
        high = size >> plain
        for place in range(min(high, _UNARY)):
            at = _put_bit(bins, seen, kind, place, 1, state, out, at)
        if high < _UNARY:
            at = _put_bit(bins, seen, kind, high, 0, state, out, at)
        else:  # the rest by its length, then its bits (Elias 1975, doi 10.1109/TIT.1975.1055349)
            rest = high - _UNARY + 1
            length = 0
            while rest >> (length + 1):
                at = _put_bit(bins, seen, kind, _UNARY + length, 1, state, out, at)
                length += 1
            at = _put_bit(bins, seen, kind, _UNARY + length, 0, state, out, at)
            for shift in range(length - 1, -1, -1):
                at = _put_plain((rest >> shift) & 1, state, out, at)
        if plain:
            first = (size >> (plain - 1)) & 1
            at = _put_bit(bins, seen, kind, _BINS - 1 - min(high, 1), first, state, out, at)
            for shift in range(plain - 2, -1, -1):
                at = _put_plain((size >> shift) & 1, state, out, at)
        if size and kind >= _SIGNED:
            at = _put_plain(1 if values[i] < 0 else 0, state, out, at)
    return at


@_kernel
def _flush(state: Integers, out: Bytes) -> int:
    at = 0
    for _ in range(5):
        at = _shift(state, out, at)
    return at


@_kernel
def _begin(octets: Bytes, state: Integers) -> None:
    for _ in range(5):
        state[0] = (state[0] << 8 | _next(octets, state)) & 0xFFFFFFFF


@_inner
def _next(octets: Bytes, state: Integers) -> int:
    at = state[2]
    state[2] += 1
    return int(octets[at]) if at < len(octets) else 0


@_inner
def _take_bit(bins: Table, seen: Table, kind: int, place: int, octets: Bytes, state: Integers) -> int:
    bound = (state[1] >> 16) * bins[kind, place]
    bit = 1 if state[0] >= bound else 0
    if bit:
        state[0] -= bound
        state[1] -= bound
    else:
        state[1] = bound
    _learn(bins, seen, kind, place, bit)
    while state[1] < _TOP:
        state[1] <<= 8
        state[0] = state[0] << 8 | _next(octets, state)
    return bit


@_inner
def _take_plain(octets: Bytes, state: Integers) -> int:
    state[1] >>= 1
    bit = 1 if state[0] >= state[1] else 0
    if bit:
        state[0] -= state[1]
    while state[1] < _TOP:
        state[1] <<= 8
        state[0] = state[0] << 8 | _next(octets, state)
    return bit


@_kernel
def _decode(classes: Integers, octets: Bytes, bins: Table, seen: Table, state: Integers, values: Integers) -> bool:
    for i in range(len(values)):
        kind = classes[i]
        plain = _plain_bits(kind)
        high = 0
        while high < _UNARY and _take_bit(bins, seen, kind, high, octets, state):
            high += 1
        if high == _UNARY:
            length = 0
            while _take_bit(bins, seen, kind, _UNARY + length, octets, state):
                length += 1
                if length + plain > 53:
                    return False
            rest = 1
            for _ in range(length):
                rest = rest << 1 | _take_plain(octets, state)
            high = rest + _UNARY - 1
        size = high
        if plain:
            size = size << 1 | _take_bit(bins, seen, kind, _BINS - 1 - min(high, 1), octets, state)
            for _ in range(plain - 1):
                size = size << 1 | _take_plain(octets, state)
        if size > LARGEST or state[2] > len(octets) + 8:
            return False
        values[i] = -size if size and kind >= _SIGNED and _take_plain(octets, state) else size
    return True
