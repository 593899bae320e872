"""What would a reader of archives be that somebody wrote from the format's page, knowing none of our code?

Pure Python and numpy; as slow as it is plain. It imports nothing of the code under test, and never should.
"""

import hashlib
import json
import struct
import zlib
from typing import Any

import numpy as np
import xxhash
import zstandard

WIDTHS = {"U16": 2, "I16": 2, "F16": 2, "BF16": 2, "U32": 4, "I32": 4, "F32": 4, "C64": 4, "U64": 8, "I64": 8, "F64": 8}
BITS = {"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "C64": 64, "C128": 128}
EXPONENTS = {"F16": 5, "BF16": 8, "F32": 8, "F64": 11, "C64": 8, "C128": 11}
Found = dict[str, bytes]
History = dict[str, list[bytes]]


class Bytes:
    """Bytes that are read from first to last."""

    def __init__(self, octets: bytes) -> None:
        self.octets, self.at = octets, 0

    def take(self, count: int) -> bytes:
        assert self.at + count <= len(self.octets)
        self.at += count
        return self.octets[self.at - count : self.at]

    def number(self, count: int) -> int:
        return int.from_bytes(self.take(count), "little")

    def rest(self) -> bytes:
        return self.take(len(self.octets) - self.at)


def read_index(octets: bytes) -> tuple[dict[str, Any], int]:
    """Return the index and where the chunks end."""
    assert octets[:16] == bytes.fromhex("89 51 46 5A 0D 0A 1A 0A") + struct.pack("<II", 2, 0)
    footer = octets[-84:]
    offset, length, raw_length, index_sha256, body_xxh3, crc, magic = struct.unpack("<QQQ32s16sI8s", footer)
    assert (crc, magic) == (zlib.crc32(footer[:72]), octets[:8])
    assert offset + length + 84 == len(octets)
    packed = octets[offset : offset + length]
    assert hashlib.sha256(packed).digest() == index_sha256
    assert xxhash.xxh3_128_digest(octets[:offset]) == body_xxh3
    text = zstandard.decompress(packed)
    assert len(text) == raw_length
    return json.loads(text), offset


def read_archive(octets: bytes, base: History | None = None) -> Found:
    """Return the tensors of an archive by name, its leaves by the name ``""``; without recipes.

    Args:
        octets: the archive.
        base: the archive that it is a difference to.
    """
    return {name: versions[0] for name, versions in read_history(octets, base).items()}


def read_history(octets: bytes, base: History | None = None) -> History:
    """Return the tensors, and after each what it is a difference to in the archives below, the nearest first."""
    index, end = read_index(octets)
    found: History = {}
    at = 16
    for stored in ({**index["leaves"], "name": ""}, *index["tensors"]):
        if "same_as" in stored:
            found[stored["name"]] = found[stored["same_as"]]
            continue
        assert "recipe" not in stored
        size = int(np.prod(stored["shape"], dtype=object)) * bits_of(stored["dtype"]) // 8
        whole, earlier = b"", []
        if "base" in stored:
            assert base is not None
            earlier = base[stored["base"]]
        for number, length in enumerate(stored["lengths"]):
            packed, at = octets[at : at + length], at + length
            assert xxhash.xxh3_64_hexdigest(packed) == stored["packed_hashes"][16 * number : 16 * number + 16]
            below = [version[len(whole) : len(whole) + stored["piece_bytes"]] for version in earlier]
            raw = packed
            for operation in reversed(index["chains"][stored["chains"][number]]):
                raw = undone(operation, raw, stored["dtype"], below)
            assert xxhash.xxh3_64_hexdigest(raw) == stored["raw_hashes"][16 * number : 16 * number + 16]
            whole += raw
        assert len(whole) == size
        found[stored["name"]] = [whole, *earlier]
    assert at == end
    return found


def bits_of(dtype: str) -> int:
    return BITS.get(dtype, 8 * WIDTHS.get(dtype, 1))


def width_of(dtype: str) -> int:
    return 8 if dtype == "C128" else WIDTHS.get(dtype, 1)


def undone(operation: dict[str, Any], packed: bytes, dtype: str, below: list[bytes]) -> bytes:
    """Return what an operation was given; ``below`` are earlier versions of the chunk, the nearest first."""
    width = width_of(dtype)
    if operation["kind"] == "zstd":
        return zstandard.decompress(packed)
    if operation["kind"] == "planes":
        planes = np.frombuffer(packed, np.uint8).reshape(width, -1)
        return words_of(planes, rotated=operation.get("rotated", False))
    if operation["kind"] == "coded_planes":
        return coded_planes(packed, width, rotated=operation.get("rotated", False))
    if operation["kind"] == "quantised":
        return quantised(Bytes(packed), dtype, [operation["step"]], 1 << 62, 1 << 62)
    if operation["kind"] == "quantised_groups":
        return quantised_groups(Bytes(packed), dtype, operation)
    if operation["kind"] == "delta_trend":
        return trend(packed, below, dtype, operation.get("changes", 2))
    assert operation["kind"] == "delta"
    return difference(packed, below[0], dtype)


def words_of(planes: Any, *, rotated: bool) -> bytes:
    """Return the words of planes, ``(width, words)``, the highest bytes first."""
    width = len(planes)
    words = [int.from_bytes(bytes(column), "big") for column in planes.T]
    if rotated:
        words = [word >> 1 | (word & 1) << (8 * width - 1) for word in words]
    return b"".join(word.to_bytes(width, "little") for word in words)


def table(octets: Bytes) -> list[int]:
    """Return the frequencies of a stream."""
    found: list[int] = []
    while sum(found) < 4096:
        share = octets.number(1)
        if share > 127:
            share = share - 128 + 128 * octets.number(1)
        found += [share]
        if share == 0:
            found += [0] * octets.number(1)
    assert sum(found) == 4096
    assert len(found) <= 256
    return found


def symbols(words: list[int], tables: list[list[int]], contexts: list[int]) -> list[int]:
    """Return the symbols of a stream, one for each context, which says the table that it has."""
    slots = [[symbol for symbol, share in enumerate(shares) for _ in range(share)] for shares in tables]
    starts = [[sum(shares[:symbol]) for symbol in range(len(shares))] for shares in tables]
    states = [words[2 * lane] | words[2 * lane + 1] << 16 for lane in range(4)]
    assert all(2**15 <= state < 2**31 for state in states)
    found, left = [], iter(words[8:])
    whole = len(contexts) - len(contexts) % 4
    for i, context in enumerate(contexts):
        lane = i % 4 if i < whole else 0
        slot = states[lane] & 4095
        symbol = slots[context][slot]
        found.append(symbol)
        states[lane] = tables[context][symbol] * (states[lane] >> 12) + slot - starts[context][symbol]
        if states[lane] < 2**15:
            states[lane] = states[lane] << 16 | next(left)
    assert states == [2**15] * 4
    assert list(left) == []
    return found


def stream(octets: Bytes, count: int) -> list[int]:
    """Return the symbols of a stream with one table."""
    words = octets.number(4)
    shares = table(octets)
    return symbols([octets.number(2) for _ in range(words)], [shares], [0] * count)


def pairs(octets: Bytes, count: int) -> list[int]:
    lowest, exceptions = octets.number(1), octets.number(4)
    found = stream(octets, count // 2)
    left = iter(octets.take(exceptions))
    halves: tuple[list[int], list[int]] = ([], [])
    for symbol in found:
        for half, nibble in zip(halves, (symbol % 16, symbol // 16), strict=True):
            half.append((lowest + nibble - 1) % 256 if nibble else next(left))
    plane = halves[0] + halves[1] + [next(left) for _ in range(count % 2)]
    assert list(left) == []
    return plane


def low_bits(octets: Bytes, count: int) -> list[int]:
    """Return the lowest 3 bits of the bytes of a plane."""
    eighth = count // 8
    a, b, c = (octets.take(eighth) for _ in range(3))
    bits: list[list[int]] = [[] for _ in range(8)]
    for i in range(eighth):
        threes = (a[i], a[i] >> 3, b[i], b[i] >> 3, c[i], c[i] >> 3)
        for of, three in zip(bits, threes, strict=False):
            of.append(three % 8)
        bits[6].append(a[i] >> 6 | (c[i] >> 6) % 2 << 2)
        bits[7].append(b[i] >> 6 | c[i] >> 7 << 2)
    return [three for of in bits for three in of] + [last % 8 for last in octets.take(count % 8)]


def coded_planes(packed: bytes, width: int, *, rotated: bool) -> bytes:
    octets = Bytes(packed)
    count = octets.number(4)
    planes = []
    for _ in range(width if count else 0):
        how = octets.number(1)
        assert how in range(5)
        if how == 0:
            plane = list(octets.take(count))
        elif how == 1:
            plane = [octets.number(1)] * count
        elif how == 2:
            plane = stream(octets, count)
        elif how == 3:
            plane = pairs(octets, count)
        else:
            low = low_bits(octets, count)
            plane = [high * 8 + three for high, three in zip(pairs(octets, count), low, strict=True)]
        planes.append(plane)
    assert octets.rest() == b""
    return words_of(np.array(planes, np.uint8), rotated=rotated) if count else b""


def difference(packed: bytes, below: bytes, dtype: str) -> bytes:
    width, octets = width_of(dtype), Bytes(packed)
    base = [int.from_bytes(below[at : at + width], "little") for at in range(0, len(below), width)]
    if not base:
        assert packed == b""
        return b""
    contexts = contexts_of(base, width, EXPONENTS.get(dtype, 0))
    count = octets.number(4)
    tables: list[list[int]] = [[] for _ in range(16)]
    for context in sorted(set(contexts)):
        tables[context] = table(octets)
    classes = symbols([octets.number(2) for _ in range(count)], tables, contexts)
    rest = octets.rest()
    follow, used = int.from_bytes(rest, "little"), 0
    kept, bits = {1: 6, 2: 3, 4: 2, 8: 1}[width], 8 * width
    top, ones, found = 1 << (bits - 1), (1 << bits) - 1, []
    for word, coded in zip(base, classes, strict=True):
        m = coded >> 1
        u = max(0, (m >> kept) - 1)
        assert u <= bits - 2 - kept
        r, used = (follow >> used) % (1 << u), used + u
        half = (m - (u << kept)) << u | r
        step = ~half if coded & 1 else half
        if dtype not in EXPONENTS:
            found.append((word + step) & ones)
            continue
        order = (~word & ones if word & top else word | top) + (-step if word & top else step) & ones
        found.append(order ^ top if order & top else ~order & ones)
    assert len(rest) == -(-used // 8)
    return b"".join(word.to_bytes(width, "little") for word in found)


def contexts_of(base: list[int], width: int, exponent_bits: int) -> list[int]:
    if not exponent_bits:
        return [0] * len(base)
    exponents = [word >> (8 * width - 1 - exponent_bits) & ((1 << exponent_bits) - 1) for word in base]
    often = [value for value in set(exponents) if 1024 * exponents.count(value) >= len(base)]
    return [min(max(max(often, default=0) - exponent, 0), 15) for exponent in exponents]


def run(octets: Bytes, count: int) -> list[int]:
    """Return the integers of a run."""
    least, shift = int.from_bytes(octets.take(4), "little", signed=True), octets.number(1)
    if shift == 255:
        return [least] * count
    bins, end = [], 0
    for _ in range(octets.number(1) + 1):
        how = octets.number(1)
        start = end + (octets.number(2) if how >> 4 == 15 else how >> 4)
        end = start + (1 << how % 16)
        bins.append((least + (start << shift), how % 16 + shift))
    assert end <= 1024
    shares = table(octets)
    words = octets.number(4)
    found = symbols([octets.number(2) for _ in range(words)], [shares], [0] * count)
    places, used = int.from_bytes(octets.take(4 * octets.number(4)), "little"), 0
    integers = []
    for symbol in found:
        base, width = bins[symbol]
        integers.append(base + (places >> used) % (1 << width))
        used += width
    return integers


def quantised(octets: Bytes, dtype: str, steps: list[float], first: int, group: int) -> bytes:
    """Return the elements of a quantised chunk; steps of groups, the first of ``first`` elements."""
    count, exact = octets.number(4), octets.number(4)
    places, last = [], -1
    for _ in range(exact):
        gap = bits = 0
        while True:
            octet = octets.number(1)
            gap, bits = gap | octet % 128 << bits, bits + 7
            if octet < 128:
                break
        last += gap + 1
        places.append(last)
    width = width_of(dtype)
    kept = octets.take(exact * width)
    levels = np.frombuffer(octets.take(octets.number(1)), np.int8).tolist()
    integers = run(octets, count) if count else []
    assert octets.rest() == b""
    values = []
    for i, q in enumerate(integers):
        step = steps[0 if i < first else 1 + (i - first) // group]
        further = levels[min(abs(q), len(levels)) - 1] if levels and q else 0
        values.append((256 * q + (further if q > 0 else -further)) * (step / 256) if levels else q * step)
    with np.errstate(over="ignore"):
        rounded = np.array(values, np.float64).astype("<f8" if dtype == "F64" else "<f4")
        if dtype == "F16":
            rounded = rounded.astype("<f2")
    elements = rounded.view(f"<u{rounded.itemsize}")
    if dtype == "BF16":
        elements = ((elements + (0x7FFF + (elements >> 16 & 1))) >> 16).astype("<u2")
    elements = elements.copy()
    elements[places] = np.frombuffer(kept, f"<u{width}")
    return elements.tobytes()


def quantised_groups(octets: Bytes, dtype: str, operation: dict[str, Any]) -> bytes:
    head = Bytes(octets.take(octets.number(4)))
    count = int.from_bytes(octets.octets[octets.at : octets.at + 4], "little")
    groups = 1 + -(-max(0, count - operation["first"]) // operation["group"]) if count else 0
    dropped = {8: 7, 4: 15}[operation["bits"]]
    upper = np.array(run(head, groups) if groups else [], np.int64).astype(np.uint32) << np.uint32(dropped)
    assert head.rest() == b""
    steps = upper.astype(np.uint32).view(np.float32).astype(float).tolist()
    return quantised(octets, dtype, steps, operation["first"], operation["group"])


def trend(packed: bytes, versions: list[bytes], dtype: str, changes: int) -> bytes:
    """Return a chunk that goes on as it went; ``versions`` are the same chunk of archives below, the nearest first."""
    if not versions[0]:
        return b""
    octets = Bytes(packed)
    weights = [int.from_bytes(octets.take(2), "little", signed=True) for _ in range(changes)]
    floats = [as_floats(version, dtype) for version in versions]
    with np.errstate(all="ignore"):
        move = sum((weights[n] / 4096) * (floats[n] - floats[n + 1]) for n in range(changes))
        words = of_floats(floats[0] + move, dtype)
        finite = np.isfinite(as_floats(words.tobytes(), dtype))
        still = (np.asarray(move) == 0) | ~finite
    words[still] = np.frombuffer(versions[0], words.dtype)[still]
    return difference(octets.rest(), words.tobytes(), dtype)


def as_floats(octets: bytes, dtype: str) -> Any:
    if dtype == "BF16":
        return (np.frombuffer(octets, "<u2").astype("<u4") << 16).view("<f4").astype(float)
    return np.frombuffer(octets, f"<f{width_of(dtype)}").astype(float)


def of_floats(values: Any, dtype: str) -> Any:
    """Return floats rounded to their type, as words."""
    if dtype == "BF16":
        bits = values.astype("<f4").view("<u4")
        return ((bits + (0x7FFF + (bits >> 16 & 1))) >> 16).astype("<u2")
    return values.astype(f"<f{width_of(dtype)}").view(f"<u{width_of(dtype)}")
