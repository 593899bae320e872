"""How small and how fast are archives that keep every bit, beside their peers, on the same real weights?

Run ``python -m tests.benchmarks.checkpoint.lossless``. The weights are MiniLM's, in three element types, as the bytes
of their tensors one after the other. Ours is the whole archive of the tensors, index and hashes included; a peer packs
all the bytes at once, and checks nothing. The floor is the entropy of order 0 of every tensor: of a float's upper 16
bits jointly, and of the bytes below. Speeds are of process time, medians of rounds in which the methods take turns.
"""

import argparse
import io
import json
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from data.schemas.tensor import Octets
from tasks.codecs.archive import Archive, open_archive
from tasks.codecs.index import Source
from tasks.codecs.lossless import Effort, lossless
from tasks.codecs.writer import write_archive
from tests.benchmarks.checkpoint import minilm
from tests.benchmarks.checkpoint.lossless_peers import PEERS, WIDTHS, ZSTD, Peer, installed

FOLDER = Path("runs/bench-checkpoint")
SLOW_BYTES = 4_000_000
ROUNDS = 5
_SPARE_BYTES = 4_000_000  # of an archive beside the bytes of tensors: its index


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """A tensor in memory, as archives take it."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    octets: bytes

    def pieces(self, piece_bytes: int) -> Iterator[Octets]:
        """Yield its bytes."""
        view = memoryview(self.octets)
        return (view[start : start + piece_bytes] for start in range(0, len(view), piece_bytes))


def held(tensors: Mapping[str, torch.Tensor], dtype: str) -> tuple[Held, ...]:
    """Return tensors of one element type as archives take them."""
    return tuple(
        Held(name, dtype, tuple(tensor.shape), tensor.contiguous().view(torch.uint8).numpy().tobytes())
        for name, tensor in tensors.items()
    )


def excerpt(tensors: tuple[Held, ...], most: int) -> tuple[Held, ...]:
    """Return as many of the tensors, the largest last, as fit into ``most`` bytes; the last one is cut."""
    taken, left = [], most
    for tensor in sorted(tensors, key=lambda tensor: len(tensor.octets)):
        width = WIDTHS[tensor.dtype]
        octets = tensor.octets[: left // width * width]
        if octets:
            taken.append(Held(tensor.name, tensor.dtype, (len(octets) // width,), octets))
        left -= len(octets)
    return tuple(taken)


def joined(tensors: tuple[Held, ...]) -> bytes:
    """Return the bytes of all tensors."""
    return b"".join(tensor.octets for tensor in tensors)


def pack(
    tensors: tuple[Held, ...], effort: Effort = "fast", base: Archive | None = None, workers: int = 1
) -> memoryview:
    """Return the archive of tensors."""
    file = _Held(sum(len(tensor.octets) for tensor in tensors) + _SPARE_BYTES)
    source = Source("arrays", "0" * 64, 0)
    write_archive(file, source, b"", tensors, policy=lossless(effort), base=base, workers=workers)
    return file.octets[: file.tell()]


class _Held(io.RawIOBase):
    """A file in memory that is as long as it may become from the beginning, as what peers pack into is."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.octets = np.empty(most, dtype=np.uint8).data
        self.at = 0

    def write(self, octets: Octets) -> int:  # type: ignore[override]
        self.octets[self.at : self.at + len(octets)] = octets
        self.at += len(octets)
        return len(octets)

    def seek(self, offset: int, whence: int = 0) -> int:
        self.at = offset
        return offset

    def tell(self) -> int:
        return self.at


def unpack(path: Path, workers: int = 1) -> memoryview:
    """Return the bytes of all tensors of an archive, each hash checked."""
    with open_archive(path) as archive:
        whole = np.empty(sum(stored.raw_bytes for stored in archive.index.tensors), dtype=np.uint8).data
        at, wanted = 0, []
        for stored in archive.index.tensors:
            wanted.append((stored, whole[at : at + stored.raw_bytes]))
            at += stored.raw_bytes
        archive.read_into(wanted, workers)
    return whole


def floor_bytes(tensors: tuple[Held, ...]) -> float:
    """Return the entropy of order 0 of tensors, each by itself."""
    total = 0.0
    for tensor in tensors:
        words = np.frombuffer(tensor.octets, f"<u{WIDTHS[tensor.dtype]}")
        below = 8 * (WIDTHS[tensor.dtype] - 2)
        total += _entropy_bytes(words >> below)
        for place in range(0, below, 8):
            total += _entropy_bytes(words >> place & 0xFF)
    return total


def _entropy_bytes(symbols: np.ndarray) -> float:
    counts = np.bincount(symbols.astype(np.int64))
    counts = counts[counts > 0]
    return float(-np.sum(counts * np.log2(counts / symbols.size)) / 8)


def ratios(dtype: str, peers: tuple[Peer, ...]) -> dict[str, float]:
    """Return how many times smaller each method makes all the weights; every one is restored and compared."""
    tensors = held(minilm.weights(dtype), dtype)
    whole = joined(tensors)
    found = {"floor": len(whole) / floor_bytes(tensors)}
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / "lossless.qfz"
    for effort in ("fast", "small"):
        path.write_bytes(pack(tensors, effort))
        _expect(f"qfz {effort}", unpack(path), whole)
        found[f"qfz {effort}"] = len(whole) / path.stat().st_size
    path.unlink()
    for peer in peers:
        raw = joined(excerpt(tensors, SLOW_BYTES)) if peer.slow else whole
        packed = peer.pack(raw, dtype)
        _expect(peer.name, peer.unpack(packed, dtype), raw)
        found[peer.name] = len(raw) / len(packed)
    return found


def speeds(dtype: str, peers: tuple[Peer, ...], rounds: int) -> dict[str, dict[str, float]]:
    """Return MB of weights per second of process time, ``pack`` and ``unpack``, and of wall time on two threads."""
    tensors = held(minilm.weights(dtype), dtype)
    whole = joined(tensors)
    paths = {effort: FOLDER / f"lossless-{effort}.qfz" for effort in ("fast", "small")}
    for effort, path in paths.items():
        path.write_bytes(pack(tensors, effort))
    peers = tuple(peer for peer in peers if not peer.slow)
    packed = {peer.name: peer.pack(whole, dtype) for peer in peers}
    runs: dict[tuple[str, str], Callable[[], object]] = {}
    for effort, path in paths.items():
        runs[f"qfz {effort}", "pack"] = lambda effort=effort: pack(tensors, effort)
        runs[f"qfz {effort}", "unpack"] = lambda path=path: unpack(path)
    for peer in peers:
        runs[peer.name, "pack"] = lambda peer=peer: peer.pack(whole, dtype)
        runs[peer.name, "unpack"] = lambda peer=peer: peer.unpack(packed[peer.name], dtype)
    found = _medians(runs, rounds, time.process_time)
    threads = {
        (f"qfz fast, {workers} threads", way): (
            (lambda workers=workers: pack(tensors, "fast", workers=workers))
            if way == "pack"
            else (lambda workers=workers: unpack(paths["fast"], workers))
        )
        for workers in (1, 2)
        for way in ("pack", "unpack")
    }
    found |= _medians(threads, rounds, time.perf_counter)
    for path in paths.values():
        path.unlink()
    named: dict[str, dict[str, float]] = {}
    for (name, way), seconds in found.items():
        named.setdefault(name, {})[way] = len(whole) / 1e6 / seconds
    return named


def _medians(
    runs: Mapping[tuple[str, str], Callable[[], object]], rounds: int, clock: Callable[[], float]
) -> dict[tuple[str, str], float]:
    """Return the median seconds of each run, by ``clock``; the first round, which compiles, does not count."""
    seconds: dict[tuple[str, str], list[float]] = {key: [] for key in runs}
    for _ in range(rounds + 1):
        for key, run in runs.items():
            start = clock()
            run()
            seconds[key].append(clock() - start)
    return {key: statistics.median(each[1:]) for key, each in seconds.items()}


def _expect(name: str, found: Octets, expected: bytes) -> None:
    if found != expected:
        raise ValueError(f"{name}: expected the bytes that were packed, found others")


def main(argv: list[str] | None = None) -> None:
    """Print the tables, and write them beside the other results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    rounds = parser.parse_args(argv).rounds
    torch.set_num_threads(1)
    peers = installed(PEERS)
    report: dict[str, object] = {}
    print(f"Ratio on all weights ({XZ_NOTE}), and the best peer's")
    for dtype in WIDTHS:
        found = ratios(dtype, peers)
        best = max((peer.name for peer in peers if not peer.slow), key=lambda name: found[name])
        report[f"ratio {dtype}"] = found
        print(f"  {dtype:<5} " + "  ".join(f"{name} {ratio:.4f}" for name, ratio in found.items()))
        for effort in ("fast", "small"):
            ours = found[f"qfz {effort}"]
            print(
                f"        qfz {effort}: {ours / found[best]:.4f} of the best peer ({best}), "
                f"{ours / found['floor']:.4f} of the floor"
            )
    print(f"MB/s of process time on all weights, one thread, median of {rounds}; in brackets over zstd-3")
    for dtype in WIDTHS:
        measured = speeds(dtype, peers, rounds)
        report[f"speed {dtype}"] = measured
        for name, ways in measured.items():
            if "threads" not in name:
                cells = (f"{way} {ways[way]:6.0f} ({ways[way] / measured[ZSTD.name][way]:.2f})" for way in ways)
                print(f"  {dtype:<5} {name:<22} " + "  ".join(cells))
        one, two = (measured[f"qfz fast, {workers} threads"] for workers in (1, 2))
        print(
            f"  {dtype:<5} two threads over one, wall: " + ", ".join(f"{way} {two[way] / one[way]:.2f}" for way in one)
        )
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "lossless.json").write_text(json.dumps(report, indent=1))


XZ_NOTE = f"xz on {SLOW_BYTES / 1e6:.0f} MB of them"

if __name__ == "__main__":
    main()
