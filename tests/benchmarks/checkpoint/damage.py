"""Who notices one flipped bit: our archives, and the formats beside them?

``python -m tests.benchmarks.checkpoint.damage`` writes the same weights in each format, flips one bit at 30 places
spread by a seed, and reads each damaged file in a process of its own, since some readers abort.
"""

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

OUT = Path(__file__).resolve().parents[3] / "runs" / "bench-checkpoint"
PEERS = {
    "ours (qfz)": "numpy", "safetensors": "safetensors", "torch.save": "torch", "zstd without checksum": "zstandard",
    "zstd with checksum": "zstandard", "pcodec": "pcodec", "ZipNN": "zipnn", "z4ai": "z4ai", "blosc2": "blosc2",
    "SZ3 (pysz)": "pysz", "zfp (zfpy)": "zfpy",
}  # fmt: skip
SECONDS = 60.0

STEP = """
import io, sys
from pathlib import Path
import numpy as np
weights = np.load(sys.argv[3])
what, raw, shape = sys.argv[1], weights.tobytes(), weights.shape
def pair():
    if what == "ours (qfz)":
        from tasks.codecs.qfz import load, save
        return lambda: save({"w": weights}), lambda b: load(b)["w"]
    if what == "safetensors":
        from safetensors.numpy import load, save
        return lambda: save({"w": weights}), lambda b: load(b)["w"]
    if what == "torch.save":
        import torch
        def write():
            out = io.BytesIO(); torch.save({"w": torch.from_numpy(weights)}, out); return out.getvalue()
        return write, lambda b: torch.load(io.BytesIO(b), weights_only=True)["w"].numpy()
    if what.startswith("zstd"):
        import zstandard
        packer = zstandard.ZstdCompressor(level=3, write_checksum="with checksum" in what)
        return lambda: packer.compress(raw), lambda b: np.frombuffer(zstandard.decompress(b), "<f4").reshape(shape)
    if what == "pcodec":
        from pcodec import ChunkConfig, standalone
        return (lambda: standalone.simple_compress(weights.ravel(), ChunkConfig()),
                lambda b: standalone.simple_decompress(b).reshape(shape))
    if what == "blosc2":
        import blosc2
        options = {"codec": blosc2.Codec.ZSTD, "clevel": 1, "filters": [blosc2.Filter.SHUFFLE], "nthreads": 1}
        return (lambda: blosc2.compress2(raw, typesize=4, **options),
                lambda b: np.frombuffer(blosc2.decompress2(b, nthreads=1), "<f4").reshape(shape))
    if what in ("ZipNN", "z4ai"):
        from tests.benchmarks.checkpoint import lossless_peers
        peer = lossless_peers.ZIPNN if what == "ZipNN" else lossless_peers.Z4AI
        return lambda: peer.pack(raw, "F32"), lambda b: np.frombuffer(peer.unpack(b, "F32"), "<f4").reshape(shape)
    if what.startswith("SZ3"):
        import pysz
        config = pysz.szConfig(); config.errorBoundMode = pysz.szErrorBoundMode.ABS; config.absErrorBound = 1e-4
        return (lambda: np.asarray(pysz.sz.compress(weights, config)[0]).tobytes(),
                lambda b: pysz.sz.decompress(np.frombuffer(b, np.uint8).copy(), np.float32, shape)[0])
    import zfpy
    return lambda: zfpy.compress_numpy(weights, tolerance=1e-4), lambda b: zfpy.decompress_numpy(b)
write, read = pair()
path = Path(sys.argv[2])
if sys.argv[4] == "write":
    path.write_bytes(bytes(write()))
    np.save(sys.argv[5], np.asarray(read(path.read_bytes())))
else:
    expected = np.load(sys.argv[5])
    octets = bytearray(path.read_bytes())
    for bit in sys.argv[6:]:
        damaged = bytearray(octets)
        damaged[int(bit) // 8] ^= 1 << int(bit) % 8
        print("begun", flush=True)
        try:
            found = np.asarray(read(bytes(damaged)))
            print("harmless" if found.tobytes() == expected.tobytes() else "silent", flush=True)
        except Exception:
            print("detected", flush=True)
"""


def main(argv: list[str] | None = None) -> None:
    """Flip bits, print the table, write damage.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flips", type=int, default=30)
    parser.add_argument("--seed", type=int, default=5)
    options = parser.parse_args(argv)
    rng = np.random.default_rng(options.seed)
    rows: dict[str, dict[str, int]] = {}
    print(f"{'format':<24}{'detected':>9}{'silent':>8}{'harmless':>9}{'crashed':>8}  of {options.flips} flipped bits")
    with tempfile.TemporaryDirectory() as folder:
        weights = (rng.standard_normal((256, 512)) * 0.02).astype("<f4")
        np.save(Path(folder) / "w.npy", weights)
        for name, package in PEERS.items():
            if importlib.util.find_spec(package) is None:
                print(f"{name:<24}not measured: {package} is missing (make peers)")
                continue
            rows[name] = dict(flipped(name, Path(folder), options.flips, rng))
            counts = [rows[name].get(each, 0) for each in ("detected", "silent", "harmless", "crashed")]
            print(f"{name:<24}{counts[0]:>9}{counts[1]:>8}{counts[2]:>9}{counts[3]:>8}", flush=True)
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "damage.json").write_text(json.dumps({"flips": options.flips, "seed": options.seed, "rows": rows}, indent=1))


def flipped(name: str, folder: Path, flips: int, rng: np.random.Generator) -> Counter[str]:
    """Return what became of ``flips`` files of a format, each with another bit flipped.

    Harmless: the flip changed nothing that is read. Crashed: the reader's process ended, or hung for a minute.
    """
    path, expected = folder / "packed", folder / "expected.npy"
    command = [sys.executable, "-c", STEP, name, str(path), str(folder / "w.npy")]
    done = subprocess.run([*command, "write", str(expected)], capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"{name}: {done.stderr.strip().splitlines()[-1]}")
        return Counter({"not measured": 1})
    bits = [str(bit) for bit in rng.integers(8 * path.stat().st_size, size=flips)]
    tally: Counter[str] = Counter()
    while bits:
        try:
            out = subprocess.run(
                [*command, "read", str(expected), *bits], capture_output=True, text=True, check=False, timeout=SECONDS
            ).stdout
        except subprocess.TimeoutExpired as error:
            out = (error.stdout or b"").decode()
        words = out.split()
        tally.update(word for word in words if word in ("silent", "harmless", "detected"))
        tally["crashed"] += len(words) % 2
        bits = bits[max(1, words.count("begun")) :]
    return tally


if __name__ == "__main__":
    main()
