"""What does somebody who means harm do to an archive? Bytes at random; or fields and chunks, checksums made right."""

import json
from contextlib import suppress
from typing import Any

import numpy as np
import xxhash
import zstandard

from tests.fuzz_samples import Sample, closed

_NUMBERS = (0, 1, -1, 2, 3, 7, 64, 255, 2**16, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**63, 10**30, 0.5, 1e-320, 1e308)
_EXTREMES = (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\0\0\0\x80", b"\xff\xff\xff\x7f")
_TEXTS = ("", ".", "..", "../x", "/etc/passwd", "\0", "x" * 5000, "F64", "U8", "F4", "zstd", "delta", "exec", "\u2028")


def mutated(sample: Sample, rng: np.random.Generator) -> tuple[bytes, bool]:
    """Return an archive with something wrong, and whether its checksums were mended."""
    how = int(rng.integers(8))
    if how == 0:
        return scarred(sample.octets, rng), False
    if how == 1:
        return sample.octets[: int(rng.integers(len(sample.octets)))], False
    index, chunks = json.loads(json.dumps(sample.index)), sample.chunks
    if how < 5:
        for _ in range(int(rng.integers(1, 3))):
            change_field(index, rng)
    else:
        chunks = _change_chunk(index, chunks, rng)
        if how == 7:
            change_field(index, rng)
    return closed(index, chunks), True


def scarred(octets: bytes, rng: np.random.Generator) -> bytes:
    """Return bytes with some of them flipped, cut out, doubled or set to an extreme."""
    out = bytearray(octets)
    for _ in range(int(rng.integers(1, 4))):
        at = int(rng.integers(len(out))) if out else 0
        what = int(rng.integers(5))
        if not out or what == 4:
            out[at:at] = rng.bytes(int(rng.integers(1, 9)))
        elif what == 0:
            out[at] ^= 1 << int(rng.integers(8))
        elif what == 1:
            out[at : at + 4] = _EXTREMES[int(rng.integers(4))]
        elif what == 2:
            del out[at : at + int(rng.integers(1, 9))]
        else:
            out[at] = int(rng.integers(256))
    return bytes(out)


def change_field(index: dict[str, Any], rng: np.random.Generator) -> None:
    """Change one value anywhere in the index."""
    places: list[tuple[Any, Any]] = []
    waiting: list[Any] = [index]
    while waiting:
        inside = waiting.pop()
        for key, value in inside.items() if isinstance(inside, dict) else enumerate(inside):
            places.append((inside, key))
            if isinstance(value, dict | list):
                waiting.append(value)
    inside, key = places[int(rng.integers(len(places)))]
    value, what = inside[key], int(rng.integers(6))
    if what == 0:
        del inside[key]
    elif what == 1 and isinstance(value, list):
        inside[key] = value * int(rng.integers(2, 70))
    elif what == 2 and isinstance(inside, list):
        other = int(rng.integers(len(inside)))
        inside[key], inside[other] = inside[other], value
    elif what == 3:
        other_inside, other_key = places[int(rng.integers(len(places)))]
        with suppress(KeyError, IndexError):
            inside[key] = json.loads(json.dumps(other_inside[other_key]))
    elif isinstance(value, str):
        inside[key] = _TEXTS[int(rng.integers(len(_TEXTS)))]
    else:
        inside[key] = _NUMBERS[int(rng.integers(len(_NUMBERS)))]


def _change_chunk(index: dict[str, Any], chunks: bytes, rng: np.random.Generator) -> bytes:
    """Change the bytes of one chunk or let two change places, and mend lengths and hashes."""
    held = [stored for stored in (index["leaves"], *index["tensors"]) if stored.get("lengths")]
    chosen = int(rng.integers(len(held)))
    stored = held[chosen]
    number = int(rng.integers(len(stored["lengths"])))
    at = sum(sum(before["lengths"]) for before in held[:chosen]) + sum(stored["lengths"][:number])
    length = stored["lengths"][number]
    packed = chunks[at : at + length]
    what = int(rng.integers(20))
    if what == 0:
        packed = zstandard.compress(bytes(1 << 20))
    elif what == 1:  # another chunk of the archive, whole
        other = held[int(rng.integers(len(held)))]
        begin = sum(sum(before["lengths"]) for before in held[: held.index(other)])
        packed = chunks[begin : begin + other["lengths"][0]]
    else:
        packed = scarred(packed, rng)
    stored["lengths"][number] = len(packed)
    digest = xxhash.xxh3_64_hexdigest(packed)
    hashes = stored["packed_hashes"]
    stored["packed_hashes"] = hashes[: 16 * number] + digest + hashes[16 * number + 16 :]
    if (stored.get("recipe") or stored is index["leaves"]) and len(stored["lengths"]) == 1:
        index["chains"].append([])  # what the recipe gets is what we wrote
        stored["chains"][0] = len(index["chains"]) - 1
        stored["raw_hashes"] = digest
        if stored.get("recipe"):
            stored["recipe"]["content_bytes"] = len(packed)
        else:
            stored["shape"] = [len(packed)]
            for file in index["source"]["files"][:1]:
                file["leaves_bytes"] += len(packed) - length
    return chunks[:at] + packed + chunks[at + length :]
