"""Which archives are mutated? Whole ones of every element type, operation and recipe, of one chunk and of several."""

import atexit
import hashlib
import io
import json
import shutil
import struct
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
import zstandard
from pydantic import TypeAdapter

from data.errors import BadRecord
from data.schemas.tensor import ELEMENT_TYPES, Octets, tensor_bytes
from tasks.codecs import container
from tasks.codecs.archive import FindBase, open_archive
from tasks.codecs.autoencoder_recipe import EntangledBlocks, written_runs
from tasks.codecs.chain import Chain, decode, encode
from tasks.codecs.coded_planes import CodedPlanes
from tasks.codecs.delta import Delta
from tasks.codecs.delta_trend import Trend
from tasks.codecs.index import Base, Source
from tasks.codecs.lossless import Lossless
from tasks.codecs.networks.form import NetworkForm, decompose
from tasks.codecs.networks.quantised import quantise, to_bytes
from tasks.codecs.networks.stored import TensorNetwork
from tasks.codecs.planes import Planes
from tasks.codecs.protocol import Around
from tasks.codecs.quantise import Quantised
from tasks.codecs.quantise_groups import QuantisedGroups
from tasks.codecs.recipe import Recipe
from tasks.codecs.transformed_blocks import TransformedBlocks
from tasks.codecs.treatment import Loss, Packed, Treatment, Whole
from tasks.codecs.writer import write_archive
from tasks.codecs.zstd import Zstd


@dataclass(frozen=True, slots=True, eq=False)
class Given:
    """A tensor that is packed as it is told."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    octets: bytes
    treatment: Treatment

    def pieces(self, piece_bytes: int) -> Iterator[Octets]:
        """Yield the bytes."""
        return (self.octets[start : start + piece_bytes] for start in range(0, len(self.octets), piece_bytes))


@dataclass(frozen=True, slots=True)
class By:
    """Packs every chunk by one chain."""

    chain: Chain

    def pack(self, raw: Octets, around: Around) -> Packed:
        """Return the chunk, by the chain where it shrinks."""
        chain = self.chain
        with suppress(ValueError):
            octets = encode(chain, raw, around)
            if len(octets) <= len(raw):
                return Packed(chain, octets, decode(chain, octets, around, len(raw)))
        return Packed((), raw)


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A whole archive, its index as JSON, and what it holds."""

    name: str
    octets: bytes
    index: dict[str, Any]
    chunks: bytes
    base: "Sample | None"
    tensors: dict[str, bytes]

    @property
    def index_sha256(self) -> str:
        """What the archive is known by."""
        return hashlib.sha256(self.octets[len(container.OPENING) + len(self.chunks) : -84]).hexdigest()

    @property
    def chain(self) -> "tuple[Sample, ...]":
        """This archive and those below it, the nearest first."""
        return (self, *(() if self.base is None else self.base.chain))


_PIECE = 36_000  # bytes: more than 8192 words of 4 bytes, from where planes are coded in pairs

REBUILT_BYTES = 1 << 22
"""Bytes of a tensor that is made as a whole, at most."""


@lru_cache(maxsize=1)
def samples() -> tuple[Sample, ...]:
    """Return archives that hold every element type, operation and recipe."""
    rng = np.random.default_rng(1)
    floats = {d: _floats(rng, d, 300) for d in ("F16", "BF16", "F32", "F64")}
    every = [Given(d, d, (24,), rng.bytes(tensor_bytes(d, (24,))), Treatment(Lossless())) for d in ELEMENT_TYPES]
    operations: tuple[Chain, ...] = (
        (Zstd(),),
        (Planes(rotated=True), Zstd(search="none")),
        (CodedPlanes(rotated=True),),
        (CodedPlanes(rotated=True, effort="small"),),
        (Quantised(0.1, 0.05),),
        (Quantised(1.0, 0.9),),
        (QuantisedGroups(8, 50, 20),),
        (QuantisedGroups(4, 64, 64),),
    )
    found = [_written("types", every)]
    for number, chain in enumerate(operations):
        given = [Given(d, d, (300,), octets, Treatment(By(chain))) for d, octets in floats.items()]
        found.append(_written(f"operation {number}", given))
    found += [_written(recipe.kind, [_whole(recipe, content, 256)]) for recipe, content in _recipes(rng)]
    below = _written("base", [Given(d, d, (300,), o, Treatment(Lossless())) for d, o in floats.items()])
    near = {d: bytes(np.frombuffer(o, np.uint8) ^ (rng.random(len(o)) < 0.05)) for d, o in floats.items()}
    above = [Given(d, d, (300,), o, Treatment(By((Delta(),)), delta=True)) for d, o in near.items()]
    found.append(_written("delta", above, below))
    predicted: tuple[Delta | Trend, ...] = (Delta(), Trend(changes=1), Trend(changes=2), Trend(changes=3))
    for step, codec in enumerate(predicted, 1):
        moved = _drifted(floats, step)
        above = [Given(d, d, (300,), o, Treatment(By((codec,)), delta=True)) for d, o in moved.items()]
        below = _written(f"{codec.kind}, {step} archives below", above, below)
        found.append(below)
    long = {dtype: _floats(rng, dtype, count) for dtype, count in (("F16", 36_000), ("BF16", 20_000), ("F32", 18_000))}
    found.append(_cut("chunks as they are", (), long))
    near = _drifted(long, 1)
    found.append(_cut("chunks of differences", (Delta(),), near, found[-1]))
    found.append(_cut("chunks of trends", (Trend(changes=1),), _drifted(long, 2), found[-1]))
    found.append(_cut("chunks of planes", (CodedPlanes(rotated=True),), long))
    return tuple(found)


def _floats(rng: np.random.Generator, dtype: str, count: int) -> bytes:
    values = rng.standard_normal(count).astype("<f4")
    if dtype == "BF16":
        return (values.view("<u4") >> 16).astype("<u2").tobytes()
    return values.astype({"F16": "<f2", "F32": "<f4", "F64": "<f8"}[dtype]).tobytes()


def _drifted(tensors: dict[str, bytes], steps: int) -> dict[str, bytes]:
    """Return floats that went on evenly for some steps, most of them."""
    rng, moved = np.random.default_rng(2), {}
    for dtype, octets in tensors.items():
        words = np.frombuffer(octets, f"<u{ELEMENT_TYPES[dtype].word_bytes}")
        each = rng.integers(0, 4, len(words)) * steps + (rng.random(len(words)) < 0.05) * steps**2
        moved[dtype] = (words + each.astype(words.dtype)).tobytes()
    return moved


def _recipes(rng: np.random.Generator) -> Iterator[tuple[Recipe, bytes]]:
    """Yield recipes of 256 elements of float32."""
    runs = written_runs(rng.integers(-9, 9, (4, 16)).astype(np.int32), each=True)
    angles = rng.random(8).astype("<f4").tobytes() + runs
    yield EntangledBlocks("F32", 4, 2, (0, 2), 0.1, True, len(angles)), angles
    encoder = rng.random(4).astype("<f4").tobytes() + rng.integers(-90, 90, (4, 16)).astype(np.int8).tobytes() + runs
    yield TransformedBlocks("linear", "F32", 16, 4, 0.1, True, len(encoder)), encoder
    yield TransformedBlocks("fourier", "F32", 16, 4, 0.1, True, len(runs)), runs
    kept = bytes((0b1011, 0b1)) + runs
    yield TransformedBlocks("kept", "F32", 16, 4, 0.1, True, len(kept)), kept
    x = np.linspace(0.0, 1.0, 16)
    smooth = np.exp(-np.abs(x[:, None] - x[None, :]))
    for kind in ("cp", "tucker", "tt"):
        form = NetworkForm(kind, ((4, 4), (4, 4)), (0, 2, 1, 3), (2, 1, 1))
        octets = to_bytes(quantise(decompose(smooth, form, 0.05, rng), 0.05))
        yield TensorNetwork("F32", len(octets)), octets


def _whole(recipe: Recipe, content: bytes, elements: int) -> Given:
    array = np.frombuffer(content, np.uint8)
    restored = recipe.rebuild(array, 4 * elements).tobytes()
    return Given("made", "F32", (elements,), restored, Treatment(Whole(recipe, array, Loss(0, 0, 1, elements, 0))))


def _written(name: str, given: list[Given], below: Sample | None = None) -> Sample:
    file = io.BytesIO()
    treatments = {tensor.name: tensor.treatment for tensor in given}
    base = None if below is None else open_archive(_path(below), _finder(below.base))
    write_archive(
        file, Source("arrays", "0" * 64, 0), b"{}", given, policy=lambda each, _: treatments[each.name], base=base
    )
    if base is not None:
        base.close()
    return taken_apart(name, file.getvalue(), below)


def taken_apart(name: str, octets: bytes, base: Sample | None = None) -> Sample:
    """Return a whole archive as a sample."""
    return Sample(name, octets, *parts(octets), base, read_all(octets, base))


def parts(octets: bytes) -> tuple[Any, bytes]:
    """Return the index of an archive as JSON, and its chunks."""
    footer = container.read_ends(io.BytesIO(octets), Path("a.qfz"))[1]
    text = zstandard.decompress(octets[footer.offset : footer.offset + footer.length])
    return json.loads(text), octets[len(container.OPENING) : footer.offset]


def _cut(name: str, chain: Chain, given: dict[str, bytes], below: Sample | None = None) -> Sample:
    """Return an archive of shorter chunks than we write, so that its tensors have several."""
    chains = [[], json.loads(TypeAdapter(Chain).dump_json(chain))]
    chunks, tensors = b"{}", []
    for dtype, octets in given.items():
        pieces = [octets[start : start + _PIECE] for start in range(0, len(octets), _PIECE)]
        packed = []
        for number, piece in enumerate(pieces):
            held = () if below is None else below.chain
            versions = [each.tensors[dtype][_PIECE * number : _PIECE * number + _PIECE] for each in held]
            around = Around(dtype, versions[0], earlier=tuple(versions[1:])) if versions else Around(dtype)
            with suppress(ValueError):  # it does not shrink
                coded = bytes(encode(chain, piece, around))
                packed.append((1, coded, bytes(decode(chain, coded, around, len(piece)))))
                if len(coded) <= len(piece):
                    continue
                packed.pop()
            packed.append((0, piece, piece))
        tensors.append(
            {
                "name": dtype,
                "dtype": dtype,
                "shape": [8 * len(octets) // ELEMENT_TYPES[dtype].bits],
                "piece_bytes": _PIECE,
                "lengths": [len(coded) for _, coded, _ in packed],
                "chains": [which for which, _, _ in packed],
                "packed_hashes": "".join(xxhash.xxh3_64_hexdigest(coded) for _, coded, _ in packed),
                "raw_hashes": "".join(xxhash.xxh3_64_hexdigest(raw) for _, _, raw in packed),
            }
        )
        chunks += b"".join(coded for _, coded, _ in packed)
    brackets = xxhash.xxh3_64_hexdigest(b"{}")
    leaves = {"name": "", "dtype": "U8", "shape": [2], "piece_bytes": 256, "lengths": [2], "chains": [0]}
    leaves |= {"packed_hashes": brackets, "raw_hashes": brackets}
    source = {"format": "arrays", "sha256": "0" * 64, "size_bytes": 0, "files": []}
    index = {"source": source, "chains": chains, "leaves": leaves, "tensors": tensors}
    if below is not None:
        for tensor in tensors:
            tensor["base"] = tensor["name"]
        index["base"] = {"file": "base.qfz", "index_sha256": below.index_sha256, "depth": len(below.chain)}
    return taken_apart(name, closed(index, chunks), below)


def closed(index: dict[str, Any], chunks: bytes) -> bytes:
    """Return an archive of an index and chunks, with every checksum of its ends right."""
    text = json.dumps(index, separators=(",", ":")).encode()
    packed = zstandard.compress(text)
    body = container.OPENING + chunks
    digests = (hashlib.sha256(packed).digest(), xxhash.xxh3_128_digest(body))
    fields = struct.pack("<QQQ32s16s", len(body), len(packed), len(text), *digests)
    return body + packed + fields + struct.pack("<I8s", zlib.crc32(fields), container.MAGIC)


def read_all(octets: bytes, base: Sample | None, workers: int = 1) -> dict[str, bytes]:
    """Read an archive to its end, as a careful caller would: bounded memory, every tensor, then everything again.

    Raises:
        BadRecord, SourceUnavailable: it is refused.
    """
    with open_archive(Path("x.qfz"), _finder(base), memory_bytes=REBUILT_BYTES, octets=octets) as archive:
        archive.leaves()
        found = {}
        for stored in archive.index.tensors:
            kept, held = [], 0
            for piece in archive.pieces(stored, workers):
                held += len(piece)
                if held <= 1 << 17:
                    kept.append(bytes(piece))
            found[stored.name] = b"".join(kept)
            with suppress(BadRecord):  # half a byte
                archive.read(stored, 0, min(3, stored.raw_bytes))
        archive.verify(workers)
    return found


def _finder(base: Sample | None) -> FindBase:
    """Return what finds the archives below by what they are known by; anything else is taken for the nearest."""
    held = () if base is None else base.chain
    known = {each.index_sha256: each for each in held}

    def find(wanted: Base) -> Path:
        return _path(known.get(wanted.index_sha256, held[0])) if held else Path("nowhere.qfz")

    return find


def _path(sample: Sample) -> Path:
    """Return where a base lies; folders are dear, so it stays until the process ends."""
    path = _folder() / f"{hashlib.sha256(sample.octets).hexdigest()}.qfz"
    if not path.exists():
        path.write_bytes(sample.octets)
    return path


@lru_cache(maxsize=1)
def _folder() -> Path:
    name = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, name)
    return Path(name)
