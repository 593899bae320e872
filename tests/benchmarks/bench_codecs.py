"""How small and how fast are archives of trained weights, beside zstd and xz?

Run ``python tests/benchmarks/bench_codecs.py``. Trains a perceptron on scikit-learn's digits (about 1.1 million
weights), saves weights and AdamW's moments as safetensors files of several element types, and packs each file with
every method. A method turns a file into bytes and back on one thread; ours makes the whole archive, index and checksums
included. Times are process times, the median of rounds in which the methods take turns.
"""

import io
import lzma
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import zstandard
from safetensors.torch import save_file
from sklearn.datasets import load_digits

sys.path.insert(0, str(Path(__file__).parents[2]))

from data.readers.checkpoint.file import read_checkpoint
from tasks.codecs.archive import open_archive
from tasks.codecs.index import Source
from tasks.codecs.planes import Planes
from tasks.codecs.protocol import Around
from tasks.codecs.writer import write_archive

ROUNDS = 5
EPOCHS = 20


@dataclass(frozen=True, slots=True)
class Method:
    """A way to pack a file into bytes, and a packed file into the bytes of the first."""

    name: str
    pack: Callable[[Path], bytes]
    unpack: Callable[[Path], bytes]


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    files = trained()
    methods = (
        Method("qfz", pack_qfz, unpack_qfz),
        Method("zstd-3", of_file(zstandard.ZstdCompressor(level=3).compress), of_file(zstandard.decompress)),
        Method("xz-6", of_file(lzma.compress), of_file(lzma.decompress)),
    )
    columns = "  ".join(f"{method.name:>7} ratio  pack  unpack MB/s" for method in methods)
    print(f"{'file':<14} {'bytes':>10} {'floor':>6}  {columns}")
    with tempfile.TemporaryDirectory() as folder:
        for name, tensors in files.items():
            source = Path(folder) / f"{name}.safetensors"
            save_file(tensors, source)
            print_row(name, source, methods)


def print_row(name: str, source: Path, methods: tuple[Method, ...]) -> None:
    """Measure every method on one file, in turns, and print one line."""
    size = source.stat().st_size
    seconds: dict[tuple[str, str], list[float]] = {}
    packed_bytes = {}
    for _ in range(ROUNDS):
        for method in methods:
            packed = source.with_suffix(f".{method.name}")
            start = time.process_time()
            octets = method.pack(source)
            seconds.setdefault((method.name, "pack"), []).append(time.process_time() - start)
            packed.write_bytes(octets)
            packed_bytes[method.name] = len(octets)
            start = time.process_time()
            restored = method.unpack(packed)
            seconds.setdefault((method.name, "unpack"), []).append(time.process_time() - start)
            if restored != source.read_bytes():
                raise ValueError(f"{method.name}: expected the bytes of {source}, found others")
    cells = []
    for method in methods:
        speeds = [size / 1e6 / statistics.median(seconds[method.name, way]) for way in ("pack", "unpack")]
        cells.append(f"{size / packed_bytes[method.name]:>13.4f} {speeds[0]:>5.0f} {speeds[1]:>12.0f}")
    print(f"{name:<14} {size:>10} {size / floor_bytes(source):>6.4f}  " + "  ".join(cells))


def pack_qfz(path: Path) -> bytes:
    """Write the archive into memory; the hash of the source is left out, as the others have none."""
    checkpoint = read_checkpoint(path)
    file = io.BytesIO()
    write_archive(file, Source("arrays", "0" * 64, 0), checkpoint.leaves, checkpoint.tensors)
    return file.getvalue()


def unpack_qfz(path: Path) -> bytes:
    """Restore every chunk, with all checks."""
    with open_archive(path) as archive:
        pieces = (piece for stored in archive.index.tensors for piece in archive.pieces(stored))
        return b"".join((archive.leaves(), *pieces))


def of_file(function: Callable[[bytes], bytes]) -> Callable[[Path], bytes]:
    """Let a function of bytes work on a file."""
    return lambda path: function(path.read_bytes())


def floor_bytes(path: Path) -> float:
    """Sum the order-0 entropy of every tensor: of its top 16 bits jointly where it is a float, and of the bytes below.

    No coder that looks at one number at a time gets below it but by its luck with small tables.
    """
    checkpoint = read_checkpoint(path)
    total = float(len(checkpoint.leaves))
    for tensor in checkpoint.tensors:
        width = {"F32": 4, "BF16": 2, "F16": 2}[tensor.dtype]
        raw = b"".join(tensor.pieces(2**20))
        planes = np.frombuffer(Planes().encode(raw, Around(tensor.dtype)), dtype=np.uint8).reshape(width, -1)
        top = planes[0].astype(np.uint32) << 8 | planes[1]
        total += entropy_bytes(top) + sum(entropy_bytes(plane.astype(np.uint32)) for plane in planes[2:])
    return total


def entropy_bytes(symbols: np.ndarray) -> float:
    """Return symbols times their empirical entropy, in bytes."""
    counts = np.bincount(symbols)
    counts = counts[counts > 0]
    return float(-np.sum(counts * np.log2(counts / symbols.size)) / 8)


def trained() -> dict[str, dict[str, torch.Tensor]]:
    """Train the model; return its weights in three element types, and the optimizer's moments."""
    digits = load_digits()
    inputs = torch.from_numpy((digits.data / 16).astype("f4"))
    labels = torch.from_numpy(digits.target)
    torch.manual_seed(0)
    widths = (64, 1024, 1024, 10)
    layers = [part for pair in pairwise(widths) for part in (torch.nn.Linear(*pair), torch.nn.ReLU())]
    model = torch.nn.Sequential(*layers[:-1])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(EPOCHS):
        for batch in torch.randperm(1500).reshape(15, 100):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(inputs[batch]), labels[batch]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    right = (model(inputs[1500:]).argmax(dim=1) == labels[1500:]).float().mean()
    print(
        f"digits, {sum(p.numel() for p in model.parameters())} weights, {EPOCHS} epochs, {right:.1%} right on held-out"
    )
    weights = {name: tensor.detach() for name, tensor in model.named_parameters()}
    moments = optimizer.state_dict()["state"]
    return {
        "weights-fp32": weights,
        "weights-bf16": {name: tensor.to(torch.bfloat16) for name, tensor in weights.items()},
        "weights-fp16": {name: tensor.to(torch.float16) for name, tensor in weights.items()},
        "adam-m-fp32": {str(key): value["exp_avg"] for key, value in moments.items()},
        "adam-v-fp32": {str(key): value["exp_avg_sq"] for key, value in moments.items()},
    }


if __name__ == "__main__":
    main()
