"""How small are checkpoints as differences to earlier ones, beside their peers, one pair and a chain of twenty?

Run ``python -m tests.benchmarks.checkpoint.deltas``. The checkpoints are those of MiniLM's fine-tune: weights rounded
to each element type, and AdamW's moments. Ours is the whole archive whose base is the archive of the earlier one,
restored and compared. Peers: each alone by the best of zstd-3, ZipNN and z4ai; exclusive or, planes, zstd-3; z4ai's
delta; and our own differences without the base's exponents, folded and packed by pcodec. The chain's twenty checkpoints
are those after steps 3, 6, ... 60, the first alone. Of the six layers one is measured, and of the embeddings as large a
share of their rows, unless ``--layers`` says otherwise; ``--state`` adds the chains of AdamW's moments.
"""

import argparse
import json
import re
import tempfile
from pathlib import Path

import torch

from tasks.codecs.archive import open_archive
from tests.benchmarks.checkpoint import minilm
from tests.benchmarks.checkpoint.lossless import FOLDER, Held, held, joined, pack
from tests.benchmarks.checkpoint.lossless_peers import (
    WIDTHS,
    Z4AI,
    ZIPNN,
    ZSTD,
    installed,
    pack_pcodec,
    pack_xor,
    pack_z4ai_delta,
    zigzagged,
)

PAIRS = ((40, 41), (40, 60), (0, 60))
CHAIN = tuple(range(3, 61, 3))
WORKERS = 2
LAYERS, ROWS = 6, 30_522
"""Of MiniLM: its layers, and the rows of its word embeddings, which are half of its weights."""


def part(step: int, name: str, dtype: str, layers: int) -> tuple[Held, ...]:
    """Return weights or a moment of the state after ``step`` steps; of ``layers`` layers, and as many rows."""
    tensors = getattr(minilm.fine_tuned([step])[step], name)
    taken = {}
    for key, tensor in tensors.items():
        found = re.search(r"layer\.(\d+)", key)
        if found is None or int(found[1]) * layers % LAYERS < layers:
            rows = torch.arange(len(tensor)) * layers % LAYERS < layers if len(tensor) == ROWS else slice(None)
            taken[key] = tensor[rows].to(minilm.DTYPES[dtype])
    return held(taken, dtype)


def ours(tensors: tuple[Held, ...], base: tuple[Held, ...], folder: Path) -> int:
    """Return the bytes of the archive of a difference, restored and compared."""
    below, above = folder / "base.qfz", folder / "difference.qfz"
    below.write_bytes(pack(base))
    with open_archive(below) as archive:
        above.write_bytes(pack(tensors, base=archive, workers=WORKERS))
    with open_archive(above) as archive:
        for tensor in tensors:
            if archive.read(archive.tensor(tensor.name)) != tensor.octets:
                raise ValueError(f"{tensor.name}: expected the bytes that were packed, found others")
    return above.stat().st_size


def peers(tensors: tuple[Held, ...], base: tuple[Held, ...], dtype: str, available: set[str]) -> dict[str, int]:
    """Return the bytes of each peer's difference; one call for each tensor, as their users do."""
    pairs = [(tensor.octets, below.octets) for tensor, below in zip(tensors, base, strict=True)]
    found = {"xor, zstd-3": sum(len(pack_xor(raw, below, dtype)) for raw, below in pairs)}
    if "z4ai" in available:
        found["z4ai delta"] = sum(len(pack_z4ai_delta(raw, below, dtype)) for raw, below in pairs)
    if "pcodec" in available:
        found["zigzag, pcodec 8"] = sum(len(pack_pcodec(zigzagged(raw, below, dtype))) for raw, below in pairs)
    found["alone"] = alone(tensors, dtype, available)
    return found


def alone(tensors: tuple[Held, ...], dtype: str, available: set[str]) -> int:
    """Return the bytes of a checkpoint that stands alone, by the best peer."""
    whole = joined(tensors)
    return min(len(peer.pack(whole, dtype)) for peer in (ZSTD, ZIPNN, Z4AI) if peer.package in available)


def main(argv: list[str] | None = None) -> None:
    """Print the tables, and write them beside the other results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chain", type=int, default=len(CHAIN), help="checkpoints of the chain")
    parser.add_argument("--layers", type=int, default=1, choices=range(1, LAYERS + 1), help="of the model's six")
    parser.add_argument("--state", action="store_true", help="chains of moments, too")
    options = parser.parse_args(argv)
    chain, layers = CHAIN[: options.chain], options.layers
    torch.set_num_threads(2)
    from tests.benchmarks.checkpoint.lossless_peers import PEERS

    available = {peer.package for peer in installed(PEERS)}
    report: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print(f"Ratio of one checkpoint as a difference to an earlier one, {layers} of {LAYERS} layers")
        for first, second in PAIRS:
            rows = [("weights", dtype) for dtype in WIDTHS]
            if first:
                rows += [("exp_avg", "F32"), ("exp_avg_sq", "F32")]
            for kind, dtype in rows:
                base, tensors = part(first, kind, dtype, layers), part(second, kind, dtype, layers)
                size = sum(len(tensor.octets) for tensor in tensors)
                sizes = {"qfz": ours(tensors, base, folder)} | peers(tensors, base, dtype, available)
                ratios = {method: size / octets for method, octets in sizes.items()}
                report[f"{kind} {dtype} {first}->{second}"] = ratios
                cells = "  ".join(f"{method} {ratio:.3f}" for method, ratio in ratios.items())
                print(f"  {first:>2} -> {second:<2} {kind:<10} {dtype:<4} {cells}", flush=True)
        print(f"Bytes of {len(chain)} checkpoints in a chain")
        chains = [("weights", "BF16"), ("weights", "F32")]
        if options.state:
            chains += [("exp_avg", "F32"), ("exp_avg_sq", "F32")]
        for kind, dtype in chains:
            sizes = chained(chain, kind, dtype, layers, folder, available)
            report[f"chain {dtype}" if kind == "weights" else f"chain {kind} {dtype}"] = {
                method: float(octets) for method, octets in sizes.items()
            }
            best = min((method for method in sizes if method not in ("qfz", "raw")), key=lambda method: sizes[method])
            cells = "  ".join(f"{method} {octets / 1e6:.1f} MB" for method, octets in sizes.items())
            print(f"  {kind:<10} {dtype:<4} {cells}")
            print(f"       qfz is {1 - sizes['qfz'] / sizes[best]:.1%} smaller than the best peer's chain ({best})")
    (FOLDER / "deltas.json").write_text(json.dumps(report, indent=1))


def chained(
    steps: tuple[int, ...], kind: str, dtype: str, layers: int, folder: Path, available: set[str]
) -> dict[str, int]:
    """Return the bytes of a chain of checkpoints by each method, each a difference to the one before; ours restored."""
    before = part(steps[0], kind, dtype, layers)
    first = alone(before, dtype, available)
    path = folder / f"{dtype}-{steps[0]}.qfz"
    path.write_bytes(pack(before))
    sizes = {"raw": sum(len(tensor.octets) for tensor in before) * len(steps), "qfz": path.stat().st_size}
    for step in steps[1:]:
        now = part(step, kind, dtype, layers)
        with open_archive(path) as base:
            path = folder / f"{dtype}-{step}.qfz"
            path.write_bytes(pack(now, base=base, workers=WORKERS))
        sizes["qfz"] += path.stat().st_size
        for method, octets in peers(now, before, dtype, available).items():
            sizes[method] = sizes.get(method, first) + octets
        before = now
    with open_archive(path) as archive:
        for tensor in before:
            if archive.read(archive.tensor(tensor.name)) != tensor.octets:
                raise ValueError(f"{tensor.name}: expected the bytes that were packed, found others")
    return sizes


if __name__ == "__main__":
    main()
