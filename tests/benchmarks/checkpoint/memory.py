"""How much memory and time do 2 GB need to be compressed and restored?

``python -m tests.benchmarks.checkpoint.memory`` writes a checkpoint of noise with the spread of weights, half of it
bfloat16, compresses and restores it in processes of their own, and reads their peak (VmHWM) as the system counts it.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[3]
OUT = ROOT / "runs" / "bench-checkpoint"
TENSOR_BYTES = 32 * 1024 * 1024
LIMIT_MB = 300.0
FILES = 3.2
"""Space that is needed, over that of the checkpoint: it, its archive, what is restored, and some to spare."""

STEP = """
import json, sys, time
from pathlib import Path
from tasks.codecs.compress import compress_checkpoint
from tasks.codecs.keeping import Packing
from tasks.codecs.restore import Restoring, restore_checkpoint

what, source, target, workers = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
began, used = time.monotonic(), time.process_time()
if what == "compress":
    done = compress_checkpoint(source, target, packing=Packing(workers=workers))
else:
    done = restore_checkpoint(source, target, restoring=Restoring(workers=workers))
status = Path("/proc/self/status").read_text()
print(json.dumps({
    "seconds": time.monotonic() - began,
    "process_seconds": time.process_time() - used,
    "peak_mb": int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6,
    "torch": "torch" in sys.modules,
}))
"""


def main(argv: list[str] | None = None) -> None:
    """Measure, print a table, and write memory.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=OUT, help="on a disk; where the files go for a while")
    options = parser.parse_args(argv)
    options.folder.mkdir(parents=True, exist_ok=True)
    size = int(options.gigabytes * 1e9)
    room = int(shutil.disk_usage(options.folder).free / FILES)
    if room < size:
        print(f"{options.folder}: {FILES * size / 1e9:.1f} GB are needed, less is free: {room / 1e9:.2f} GB instead")
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        written = write_model(folder / "m.safetensors", min(size, room))
        rows = [
            measured("compress", folder / "m.safetensors", folder / "m.qfz", options.workers),
            measured("restore", folder / "m.qfz", folder / "r.safetensors", options.workers),
        ]
        packed = (folder / "m.qfz").stat().st_size
    ratio = f"{written / packed:.3f} x smaller"
    print(f"{written / 1e9:.2f} GB -> {packed / 1e9:.2f} GB, {ratio}, {options.workers} threads")
    print(f"{'':10}{'peak MB':>10}{'limit':>8}{'seconds':>10}{'MB/s':>8}{'of it in the processor':>24}")
    for row in rows:
        speed = written / 1e6 / row["seconds"]
        print(
            f"{row['what']:10}{row['peak_mb']:10.0f}{LIMIT_MB:8.0f}{row['seconds']:10.1f}{speed:8.0f}"
            f"{row['process_seconds']:22.1f} s"
        )
    OUT.mkdir(parents=True, exist_ok=True)
    sizes = {"bytes": written, "archive_bytes": packed}
    report = {**sizes, "workers": options.workers, "steps": rows, "limit_mb": LIMIT_MB}
    (OUT / "memory.json").write_text(json.dumps(report, indent=1) + "\n")
    if any(row["peak_mb"] > LIMIT_MB for row in rows):
        raise SystemExit(f"a step took more than {LIMIT_MB:.0f} MB")


def write_model(path: Path, size_bytes: int) -> int:
    """Write a safetensors file tensor by tensor, so that this process stays small too; return its size."""
    tensors = max(1, -(-size_bytes // TENSOR_BYTES))
    header: dict[str, object] = {}
    for number in range(tensors):
        width, dtype = ((4, "F32"), (2, "BF16"))[number % 2]
        at = number * TENSOR_BYTES
        header[f"layer{number}"] = {
            "dtype": dtype,
            "shape": [1024, TENSOR_BYTES // width // 1024],
            "data_offsets": [at, at + TENSOR_BYTES],
        }
    text = json.dumps(header).encode()
    rng = np.random.default_rng(0)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for number in range(tensors):
            values = rng.standard_normal(TENSOR_BYTES // (4 - 2 * (number % 2)), dtype=np.float32) * np.float32(0.02)
            words = values.view("<u4")
            file.write(words.tobytes() if number % 2 == 0 else (words >> 16).astype("<u2").tobytes())
    return path.stat().st_size


def measured(what: str, source: Path, target: Path, workers: int) -> dict[str, Any]:
    """Run one step in a process of its own."""
    command = [sys.executable, "-c", STEP, what, str(source), str(target), str(workers)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return {"what": what, **json.loads(done.stdout)}


if __name__ == "__main__":
    main()
