"""The page and the schema that are published say what archives are."""

import hashlib
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import xxhash
import zstandard

from tasks.codecs.schema import PATH, schema_text

GOLDEN = Path(__file__).parents[2] / "golden"


def test_the_published_schema_is_the_one_of_the_dataclasses() -> None:
    assert PATH.read_text(encoding="utf-8") == schema_text()


def read_by_the_page(octets: bytes) -> tuple[dict[str, Any], int]:
    """Return the index and where the chunks end, by nothing but what the page says."""
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


@pytest.mark.parametrize("name", ["small.qfz", "small_torch.qfz"])
def test_a_reader_written_from_the_page_finds_every_chunk(name: str) -> None:
    octets = (GOLDEN / name).read_bytes()
    index, end = read_by_the_page(octets)
    jsonschema.validate(index, json.loads(PATH.read_text(encoding="utf-8")))
    at = 16
    for stored in (index["leaves"], *index["tensors"]):
        for number, length in enumerate(stored["lengths"]):
            chunk = octets[at : at + length]
            assert xxhash.xxh3_64_hexdigest(chunk) == stored["packed_hashes"][16 * number : 16 * number + 16]
            if index["chains"][stored["chains"][number]] == []:
                assert xxhash.xxh3_64_hexdigest(chunk) == stored["raw_hashes"][16 * number : 16 * number + 16]
            at += length
    assert at == end
