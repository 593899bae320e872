"""How many bits does a weight take at the same error, ours beside SZ3, zfp, int8 and int4, and how far is the floor?

Run ``python -m tests.benchmarks.checkpoint.lossy``. The weights are the matrices of MiniLM, fp32. The error is that of
each matrix over its size, both root mean squares. Ours is the whole archive, index and hashes included, as is its
error, measured on what was read back; of the peers only their packed bytes count. Floors: the order-0 entropy of each
matrix on the very grid; the rate-distortion function of a Gaussian, log2(1 / error), and 0.254 bit above it, which no
uniform quantiser gets below at fine steps (Gish and Pierce 1968, doi 10.1109/TIT.1968.1054193).
"""

import argparse
import io
import json
import math
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tasks.codecs.archive import open_archive
from tasks.codecs.index import Index, Source
from tasks.codecs.lossy import by_tensor, one_bound, policy, relative_rms_step
from tasks.codecs.quantise_chunk import values_of
from tasks.codecs.treatment import Policy
from tasks.codecs.writer import write_archive
from tests.benchmarks.checkpoint import minilm
from tests.benchmarks.checkpoint.lossless import FOLDER, Held, excerpt, held
from tests.benchmarks.checkpoint.lossy_peers import (
    PEERS,
    Coded,
    Matrix,
    bits_at,
    int4_groups,
    int8_channel,
    missing,
    order_0_bits,
    relative_rms,
)

ERRORS = (1e-3, 1e-2, 5e-2, 1e-1, 3e-1)
SCALAR_LOSS_BITS = 0.5 * math.log2(2.0 * math.pi * math.e / 12.0)
"""What a uniform quantiser with an entropy coder loses to the best coder, at fine steps: 0.254 bit."""

SPEED_BYTES = 16_000_000
ROUNDS = 5


@dataclass(frozen=True, slots=True, eq=False)
class Archived:
    """Matrices as they came out of an archive.

    Args:
        bits_per_weight: of the whole archive.
        errors: relative error of each matrix, by name.
        relative_rms: of all matrices as one.
        index: what the archive says of them.
    """

    bits_per_weight: float
    errors: dict[str, float]
    relative_rms: float
    index: Index


def main(argv: list[str] | None = None) -> None:
    """Print the tables, and write them as JSON and a plot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--errors", type=float, nargs="+", default=ERRORS)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of the speeds")
    arguments = parser.parse_args(argv)
    for absent in (missing(), minilm.missing()):
        if absent:
            raise SystemExit(absent)
    tensors = tuple(one for one in held(minilm.weights(), "F32") if len(one.shape) == 2)
    count = sum(math.prod(one.shape) for one in tensors)
    print(f"{len(tensors)} matrices, {count:,} weights; bits per weight at the same relative error of every matrix")
    rates = [at_error(tensors, error) for error in arguments.errors]
    print_rows(rates)
    fixed = [beside_fixed(tensors, name, code) for name, code in FIXED.items()]
    print("\nat the error that a fixed format has, all matrices as one, and each matrix by itself:")
    print_rows(fixed)
    speed = speeds(tensors, arguments.rounds)
    print(f"\nspeed over that of zstd level 3, process time, medians of {arguments.rounds} rounds in turns:")
    print_rows(speed)
    FOLDER.mkdir(parents=True, exist_ok=True)
    results = {"weights": count, "rates": rates, "fixed": fixed, "speeds": speed}
    (FOLDER / "lossy.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    plot(rates, FOLDER / "lossy.png")


def at_error(tensors: tuple[Held, ...], error: float) -> dict[str, float]:
    """Return bits per weight of everything at one relative error, and how ours keeps its promise."""
    count = sum(math.prod(one.shape) for one in tensors)
    found = archived(tensors, policy(f"rms:{error!r}"))
    whole = archived(tensors, policy(f"abs:{one_bound(tensors, error)!r}"))
    floor = 0.0
    above = []
    peers = dict.fromkeys(PEERS, 0.0)
    for one, stored in zip(tensors, found.index.tensors, strict=True):
        matrix = matrix_of(one)
        step = relative_rms_step(one, error)
        assert step is not None
        bits = order_0_bits(np.rint(matrix.astype(np.float64) / step).astype(np.int64).reshape(-1))
        floor += bits
        if stored.error is not None:
            above.append((8 * stored.packed_bytes - bits) / matrix.size)
        for name, code in PEERS.items():
            peers[name] += bits_at(code(matrix, step, error), matrix, error)
    gaussian = math.log2(1.0 / error)
    return {
        "error": error,
        "ours": found.bits_per_weight,
        "ours, one step": whole.bits_per_weight,
        "order-0 floor": floor / count,
        **{name: bits / count for name, bits in peers.items()},
        "Gaussian": gaussian,
        "Gaussian + 0.254": gaussian + SCALAR_LOSS_BITS,
        "ours above it, worst matrix": max(above),
        "worst error / bound": max(found.errors.values()) / error,
        "one step, error / bound": whole.relative_rms / error,
    }


FIXED: dict[str, Callable[[Matrix], Coded]] = {"int8": int8_channel, "int4": int4_groups}


def beside_fixed(tensors: tuple[Held, ...], name: str, code: Callable[[Matrix], Coded]) -> dict[str, str | float]:
    """Return what ours takes at the error of a fixed format, and in that very format."""
    coded = {one.name: code(matrix_of(one)) for one in tensors}
    errors = {one.name: coded[one.name].relative_rms(matrix_of(one)) for one in tensors}
    energy = {one.name: float(np.sum(matrix_of(one).astype(np.float64) ** 2)) for one in tensors}
    error = math.sqrt(sum(errors[key] ** 2 * energy[key] for key in energy) / sum(energy.values()))
    bits = sum(each.bits for each in coded.values()) / sum(math.prod(one.shape) for one in tensors)
    whole = archived(tensors, policy(f"abs:{one_bound(tensors, error)!r}"))
    each = archived(tensors, by_tensor(errors))
    same = archived(tensors, policy(name))
    return {
        "format": name,
        "error": error,
        "bits": bits,
        "ours, one step": whole.bits_per_weight,
        "smaller by": 1.0 - whole.bits_per_weight / bits,
        "ours, each": each.bits_per_weight,
        "each smaller by": 1.0 - each.bits_per_weight / bits,
        "ours, same format": same.bits_per_weight,
        "its error": same.relative_rms,
    }


def archived(tensors: tuple[Held, ...], how: Policy) -> Archived:
    """Write an archive, read it back, and measure."""
    octets, index = pack(tensors, how)
    errors, lost, energy = {}, 0.0, 0.0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lossy.qfz"
        path.write_bytes(octets)
        with open_archive(path) as archive:
            for one, stored in zip(tensors, archive.index.tensors, strict=True):
                matrix = matrix_of(one)
                errors[one.name] = relative_rms(matrix, values_of(archive.read(stored), "F32").reshape(one.shape))
                size = float(np.sum(matrix.astype(np.float64) ** 2))
                lost, energy = lost + errors[one.name] ** 2 * size, energy + size
    count = sum(math.prod(one.shape) for one in tensors)
    return Archived(8 * len(octets) / count, errors, math.sqrt(lost / energy), index)


def pack(tensors: tuple[Held, ...], how: Policy) -> tuple[bytes, Index]:
    """Return the archive of tensors, and its index."""
    file = io.BytesIO()
    index = write_archive(file, Source("arrays", "0" * 64, 0), b"", tensors, policy=how)
    return file.getvalue(), index


def speeds(tensors: tuple[Held, ...], rounds: int) -> list[dict[str, str | float]]:
    """Return how fast methods pack and restore an excerpt, over zstd level 3."""
    import pysz
    import zstandard

    part = tuple(one for one in excerpt(tensors, SPEED_BYTES) if len(one.octets) >= 4096)
    whole = b"".join(one.octets for one in part)
    matrix = np.frombuffer(whole, "<f4")
    bound = one_bound(part, 0.01)
    config = pysz.szConfig()
    config.cmprAlgo = pysz.szAlgorithm.NOPRED
    config.errorBoundMode = pysz.szErrorBoundMode.ABS
    config.absErrorBound = bound
    folder = tempfile.TemporaryDirectory()

    def restore(octets: bytes) -> object:
        path = Path(folder.name) / "speed.qfz"
        path.write_bytes(octets)
        with open_archive(path) as archive:
            return [sum(map(len, archive.pieces(stored))) for stored in archive.index.tensors]

    methods: dict[str, tuple[Callable[[], bytes], Callable[[bytes], object]]] = {
        "zstd-3": (lambda: zstandard.ZstdCompressor(level=3).compress(whole), zstandard.decompress),
        "ours, abs": (lambda: pack(part, policy(f"abs:{bound!r}"))[0], restore),
        "ours, rms": (lambda: pack(part, policy("rms:0.01"))[0], restore),
        "ours, int8": (lambda: pack(part, policy("int8"))[0], restore),
        "SZ3 no prediction": (
            lambda: pysz.sz.compress(matrix, config)[0],
            lambda packed: pysz.sz.decompress(packed, np.float32, matrix.shape),
        ),
    }
    taken: dict[tuple[str, int], list[float]] = {(name, way): [] for name in methods for way in (0, 1)}
    for _ in range(rounds + 1):  # the first warms up
        for name, (forth, back) in methods.items():
            start = time.process_time()
            packed = forth()
            middle = time.process_time()
            back(packed)
            taken[name, 0].append(middle - start)
            taken[name, 1].append(time.process_time() - middle)
    folder.cleanup()
    median = {key: statistics.median(seconds[1:]) for key, seconds in taken.items()}
    return [
        {
            "method": name,
            "packs": median["zstd-3", 0] / median[name, 0],
            "restores": median["zstd-3", 1] / median[name, 1],
            "MB/s packed": len(whole) / 1e6 / median[name, 0],
            "MB/s restored": len(whole) / 1e6 / median[name, 1],
        }
        for name in methods
    ]


def matrix_of(one: Held) -> Matrix:
    """View a tensor as its matrix."""
    return np.frombuffer(one.octets, "<f4").reshape(one.shape)


def print_rows(rows: list[dict[str, float]] | list[dict[str, str | float]]) -> None:
    """Print a table, one column for each row, since there are more figures than cases."""
    for key in rows[0]:
        cells = (row[key] for row in rows)
        print(f"{key:<28}" + "".join(f"{cell:>18}" if isinstance(cell, str) else f"{cell:>18.4g}" for cell in cells))


def plot(rates: list[dict[str, float]], path: Path) -> None:
    """Plot bits above the Gaussian bound against the error."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4))
    for name in ("ours", "ours, one step", "order-0 floor", *PEERS, "Gaussian + 0.254"):
        axes.semilogx([row["error"] for row in rates], [row[name] - row["Gaussian"] for row in rates], "o-", label=name)
    axes.set_xlabel("relative error (root mean square)")
    axes.set_ylabel("bits per weight above log2(1 / error)")
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


if __name__ == "__main__":
    main()
