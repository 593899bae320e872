"""What becomes of a reader that is given a million archives by somebody who means harm?

``python -m tests.fuzz_archives --archives 1000000 --seed 1`` mutates archives of every element type, operation and
recipe: bytes at random, and, with every checksum made right again, fields of the index and the bytes of chunks. Each is
read to its end in a child process. Anything but a typed refusal, or whole tensors, is a finding: another exception, an
abort, more than 5 seconds, more memory than 200 MB, or other tensors though no checksum was mended.
"""

import argparse
import hashlib
import io
import json
import mmap
import resource
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
import zstandard

from data.errors import BadRecord, SourceUnavailable
from data.schemas.tensor import ELEMENT_TYPES, Octets, tensor_bytes
from tasks.codecs import container
from tasks.codecs.archive import open_archive
from tasks.codecs.autoencoder_recipe import EntangledBlocks, written_runs
from tasks.codecs.chain import Chain, encode
from tasks.codecs.coded_planes import CodedPlanes
from tasks.codecs.delta import Delta
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

SECONDS = 5.0
MEMORY_BYTES = 200_000_000
REBUILT_BYTES = 1 << 22
_HANGS_S = 60.0
_NUMBERS = (0, 1, -1, 2, 3, 7, 64, 255, 2**16, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**63, 10**30, 0.5, 1e-320, 1e308)
_TEXTS = ("", ".", "..", "../x", "/etc/passwd", "\0", "x" * 5000, "F64", "U8", "F4", "zstd", "delta", "exec", "\u2028")


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
                from tasks.codecs.chain import decode

                return Packed(chain, octets, decode(chain, octets, around, len(raw)))
        return Packed((), raw)


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A whole archive, its index as JSON, and what it holds."""

    name: str
    octets: bytes
    index: dict[str, Any]
    chunks: bytes
    base: bytes | None
    tensors: dict[str, bytes]


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
    found = [_sample("types", every)]
    for number, chain in enumerate(operations):
        given = [Given(d, d, (300,), octets, Treatment(By(chain))) for d, octets in floats.items()]
        found.append(_sample(f"operation {number}", given))
    found += [_sample(recipe.kind, [_whole(recipe, content, 256)]) for recipe, content in _recipes(rng)]
    below = _sample("base", [Given(d, d, (300,), o, Treatment(Lossless())) for d, o in floats.items()])
    near = {d: bytes(np.frombuffer(o, np.uint8) ^ (rng.random(len(o)) < 0.05)) for d, o in floats.items()}
    above = [Given(d, d, (300,), o, Treatment(By((Delta(),)), delta=True)) for d, o in near.items()]
    found.append(_sample("delta", above, below))
    return tuple(found)


def _floats(rng: np.random.Generator, dtype: str, count: int) -> bytes:
    values = rng.standard_normal(count).astype("<f4")
    if dtype == "BF16":
        return (values.view("<u4") >> 16).astype("<u2").tobytes()
    return values.astype({"F16": "<f2", "F32": "<f4", "F64": "<f8"}[dtype]).tobytes()


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


def _sample(name: str, given: list[Given], below: Sample | None = None) -> Sample:
    file = io.BytesIO()
    treatments = {tensor.name: tensor.treatment for tensor in given}
    base = None if below is None else open_archive(Path("base.qfz"), octets=below.octets)
    write_archive(
        file, Source("arrays", "0" * 64, 0), b"{}", given, policy=lambda each, _: treatments[each.name], base=base
    )
    octets = file.getvalue()
    with io.BytesIO(octets) as opened:
        footer = container.read_ends(opened, Path(name))[1]
    text = zstandard.decompress(octets[footer.offset : footer.offset + footer.length])
    chunks = octets[len(container.OPENING) : footer.offset]
    sample = Sample(name, octets, json.loads(text), chunks, None if below is None else below.octets, {})
    return replace(sample, tensors=read_all(sample.octets, sample.base))


def read_all(octets: bytes, base: bytes | None, workers: int = 1) -> dict[str, bytes]:
    """Read an archive to its end, as a careful caller would: bounded memory, every tensor, then everything again.

    Raises:
        BadRecord, SourceUnavailable: it is refused.
    """
    with tempfile.TemporaryDirectory() as folder:
        below = Path(folder) / "base.qfz"
        if base is not None:
            below.write_bytes(base)

        def find(_base: Base) -> Path:
            return below

        with open_archive(Path("x.qfz"), find, memory_bytes=REBUILT_BYTES, octets=octets) as archive:
            archive.leaves()
            found = {}
            for stored in archive.index.tensors:
                kept, held = [], 0
                for piece in archive.pieces(stored, workers):
                    held += len(piece)
                    if held <= 1 << 16:
                        kept.append(bytes(piece))
                found[stored.name] = b"".join(kept)
                with suppress(BadRecord):  # half a byte
                    archive.read(stored, 0, min(3, stored.raw_bytes))
            archive.verify(workers)
        return found


def closed(index: dict[str, Any], chunks: bytes) -> bytes:
    """Return an archive of an index and chunks, with every checksum of its ends right."""
    text = json.dumps(index, separators=(",", ":")).encode()
    packed = zstandard.compress(text)
    body = container.OPENING + chunks
    wide = container._FIELDS.size - 56
    digest = hashlib.sha256(body).digest() if wide == 32 else xxhash.xxh3_128_digest(body)
    fields = container._FIELDS.pack(len(body), len(packed), len(text), hashlib.sha256(packed).digest(), digest)
    import zlib

    return body + packed + fields + container._CLOSING.pack(zlib.crc32(fields), container.MAGIC)


def mutated(sample: Sample, rng: np.random.Generator) -> tuple[bytes, bool]:
    """Return an archive with something wrong, and whether its checksums were mended."""
    how = int(rng.integers(8))
    if how == 0:
        return _scarred(sample.octets, rng), False
    if how == 1:
        return sample.octets[: int(rng.integers(len(sample.octets)))], False
    index, chunks = json.loads(json.dumps(sample.index)), sample.chunks
    if how < 5:
        for _ in range(int(rng.integers(1, 3))):
            _change_field(index, rng)
    else:
        chunks = _change_chunk(index, chunks, rng)
        if how == 7:
            _change_field(index, rng)
    return closed(index, chunks), True


def _scarred(octets: bytes, rng: np.random.Generator) -> bytes:
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
            out[at : at + 4] = rng.choice([b"\xff\xff\xff\xff", b"\0\0\0\0", b"\0\0\0\x80", b"\xff\xff\xff\x7f"])
        elif what == 2:
            del out[at : at + int(rng.integers(1, 9))]
        else:
            out[at] = int(rng.integers(256))
    return bytes(out)


def _change_field(index: dict[str, Any], rng: np.random.Generator) -> None:
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
    """Change the bytes of one chunk, and mend its length and hashes."""
    at = sum(index["leaves"]["lengths"])
    held = [stored for stored in index["tensors"] if stored.get("lengths")]
    chosen = int(rng.integers(len(held)))
    at += sum(sum(stored["lengths"]) for stored in held[:chosen])
    stored = held[chosen]
    length = stored["lengths"][0]
    packed = chunks[at : at + length]
    packed = zstandard.compress(bytes(1 << 20)) if rng.integers(20) == 0 else _scarred(packed, rng)
    stored["lengths"][0] = len(packed)
    digest = xxhash.xxh3_64_hexdigest(packed)
    stored["packed_hashes"] = digest + stored["packed_hashes"][16:]
    if stored.get("recipe") and len(stored["lengths"]) == 1:
        index["chains"].append([])  # what the recipe gets is what we wrote
        stored["chains"][0] = len(index["chains"]) - 1
        stored["recipe"]["content_bytes"] = len(packed)
        stored["raw_hashes"] = digest
    return chunks[:at] + packed + chunks[at + length :]


def judged(sample: Sample, octets: bytes, *, mended: bool) -> str:
    """Return ``refused`` or ``read``, or what is wrong with the reader."""
    begun, before = time.process_time(), _peak_bytes()
    try:
        found = read_all(octets, sample.base)
        outcome = "read" if mended or found == sample.tensors else "FINDING: other tensors, without a word"
    except (BadRecord, SourceUnavailable):
        outcome = "refused"
    except Exception:
        outcome = "FINDING: " + traceback.format_exc(limit=-3)
    if time.process_time() - begun > SECONDS:
        outcome = f"FINDING: {time.process_time() - begun:.1f} s"
    if _peak_bytes() - before > MEMORY_BYTES:
        outcome = f"FINDING: {_peak_bytes() - before} bytes of memory"
    return outcome


def case(seed: int, number: int) -> tuple[Sample, bytes, bool]:
    """Return mutated archive ``number`` of a seed, its sample, and whether checksums were mended."""
    rng = np.random.default_rng((seed, number))
    sample = samples()[int(rng.integers(len(samples())))]
    return sample, *mutated(sample, rng)


def _peak_bytes() -> int:
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _child(seed: int, first: int, count: int, place: Path) -> None:
    """Judge archives; ``place`` always holds the number of the one that is being read."""
    warnings.simplefilter("error")
    for sample in samples():
        for number in range(20):  # whatever is compiled or imported late is no memory of an archive
            judged(sample, mutated(sample, np.random.default_rng(number))[0], mended=True)
    tally: Counter[str] = Counter()
    with place.open("r+b") as file, mmap.mmap(file.fileno(), 8) as at:
        for number in range(first, first + count):
            at[:] = number.to_bytes(8, "little")
            sample, octets, mended = case(seed, number)
            outcome = judged(sample, octets, mended=mended)
            tally[outcome.split(":")[0]] += 1
            if outcome.startswith("FINDING"):
                print(json.dumps({"number": number, "sample": sample.name, "what": outcome}), flush=True)
        at[:] = (first + count).to_bytes(8, "little")
    print(json.dumps(dict(tally)), flush=True)


def run(archives: int, seed: int, told: Callable[[str], None] = print) -> tuple[int, int]:
    """Judge ``archives`` mutated archives, 50,000 to a child; return how many were read in sum, and findings."""
    done = findings = 0
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "number"
        while done < archives:
            count = min(50_000, archives - done)
            place.write_bytes(done.to_bytes(8, "little"))
            code = ("import sys; from pathlib import Path; from tests.fuzz_archives import _child; "
                    "_child(*map(int, sys.argv[1:4]), Path(sys.argv[4]))")  # fmt: skip
            command = [sys.executable, "-c", code, str(seed), str(done), str(count), str(place)]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
                assert child.stdout is not None
                for line in child.stdout:
                    findings += '"what"' in line
                    told(line.rstrip())
            reached = int.from_bytes(place.read_bytes(), "little")
            if child.returncode:
                findings += 1
                told(f"FINDING: archive {reached} of seed {seed} ended the process with {child.returncode}")
                reached += 1
            done = reached
    return done, findings


def main(argv: list[str] | None = None) -> int:
    """Judge archives; the status is 1 where there is a finding."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--archives", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(argv)
    begun = time.monotonic()
    done, findings = run(options.archives, options.seed)
    print(f"{done} archives, {findings} findings, {time.monotonic() - begun:.0f} s")
    return int(findings > 0)


if __name__ == "__main__":
    raise SystemExit(main())
