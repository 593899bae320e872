"""What stands at an archive's name after kill -9 at ten points of its writing?

``python -m tests.benchmarks.checkpoint.kills`` writes the same tensors two ways, each in a process that is killed after
a tenth, two tenths ... of the time that the writing takes. ``qfz.save_file`` writes over an older archive: either of
the two must be there, whole. ``compress_checkpoint`` writes where nothing stands: nothing or the whole archive must be
there, and writing it again must give the same bytes, from what the killed process left, and leave nothing else.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, Any

import numpy as np

ROOT = Path(__file__).resolve().parents[3]
OUT = ROOT / "runs" / "bench-checkpoint"
TENSORS, ELEMENTS = 8, 1_000_000
SAVE, COMPRESS = "save_file", "compress"

STEP = """
import os, signal, sys, time
from pathlib import Path
from data.readers.checkpoint.file import read_checkpoint
from tasks.codecs import qfz
from tasks.codecs.compress import compress_checkpoint
import numpy as np

source, target = Path(sys.argv[1]), Path(sys.argv[2])
with np.load(sys.argv[3]) as held:
    tensors = dict(held)
work = {"save_file": lambda: qfz.save_file(tensors, target), "compress": lambda: compress_checkpoint(source, target)}
qfz.save({"warm": tensors["0"]})
read_checkpoint(source)
for line in sys.stdin:
    what, seconds = line.split()
    began = time.monotonic()
    child = os.fork()
    if not child:
        work[what]()
        os._exit(0)
    if float(seconds) >= 0.0:
        time.sleep(float(seconds))
        os.kill(child, signal.SIGKILL)  # nobody else has its number: it is waited for only now
    status = os.waitpid(child, 0)[1]
    print("killed" if os.WIFSIGNALED(status) else f"ended {os.waitstatus_to_exitcode(status)}",
          time.monotonic() - began, flush=True)
"""


def main(argv: list[str] | None = None) -> None:
    """Kill, print the table, write kills.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=10)
    points = parser.parse_args(argv).points
    with tempfile.TemporaryDirectory() as name:
        rows = killed(Path(name), points)
    head = ("killed after", "save_file over an older one", "compress where none stands", "left, MB")
    print("{:>13}  {:<30}{:<30}{:>9}  next write".format(*head))
    for row in rows:
        print(
            f"{row['point']:>12.0%}  {row[SAVE]:<30}{row[COMPRESS]:<30}{row['left_bytes'] / 1e6:>9.1f}  {row['next']}"
        )
    whole = sum(row["whole"] for row in rows)
    print(f"old, new or nothing, never a part, and the same bytes by the next write: {whole} of {len(rows)}")
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "kills.json").write_text(json.dumps({"points": len(rows), "whole": whole, "rows": rows}, indent=1) + "\n")


def killed(folder: Path, points: int) -> list[dict[str, Any]]:
    """Return what was found after each kill.

    Args:
        folder: an empty one.
        points: how many kills of each way, spread over the time that the writing takes.
    """
    from safetensors.numpy import save_file

    from tasks.codecs import qfz

    rng = np.random.default_rng(0)
    tensors = {str(number): rng.standard_normal(ELEMENTS, dtype=np.float32) for number in range(TENSORS)}
    source, target, arrays = folder / "m.safetensors", folder / "written" / "m.qfz", folder / "m.npz"
    target.parent.mkdir()
    save_file(tensors, source)
    np.savez(arrays, **tensors)  # type: ignore[arg-type]  # its stubs take the arrays for the flag of a later version
    qfz.save_file({"old": np.ones(3)}, target)
    old = target.read_bytes()
    command = [sys.executable, "-c", STEP, str(source), str(target), str(arrays)]
    rows: list[dict[str, Any]] = []
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        ends = (process.stdin, process.stdout)
        (saved, save_s), (compressed, compress_s) = (_whole(*ends, what, target) for what in (SAVE, COMPRESS))
        for point in ((number + 0.5) / points for number in range(points)):
            row: dict[str, Any] = {"point": point}
            _clear(target)
            target.write_bytes(old)
            _told(*ends, SAVE, point * save_s)
            row[SAVE] = _found(target, {"the older": old, "the new": saved})
            _clear(target)
            _told(*ends, COMPRESS, point * compress_s)
            row[COMPRESS] = _found(target, {"the new": compressed})
            row["left_bytes"] = sum(path.stat().st_size for path in target.parent.iterdir() if path != target)
            _expect_end(_told(*ends, COMPRESS, -1.0))
            alone = [path.name for path in target.parent.iterdir()] == [target.name]
            row["next"] = "same bytes" if alone and target.read_bytes() == compressed else "other bytes or files"
            row["whole"] = "damaged" not in row[SAVE] + row[COMPRESS] and row[SAVE] != "nothing"
            row["whole"] &= row["next"] == "same bytes"
            rows.append(row)
    return rows


def _told(into: IO[str], out: IO[str], what: str, seconds: float) -> tuple[str, float]:
    """Have something written, and killed after so many seconds unless they are negative; return how it ended, when."""
    print(what, seconds, file=into, flush=True)
    *words, taken = out.readline().split()
    return " ".join(words), float(taken)


def _whole(into: IO[str], out: IO[str], what: str, target: Path) -> tuple[bytes, float]:
    """Return the archive that is written undisturbed, and the median of how long that takes."""
    seconds = []
    for _ in range(3):
        _clear(target)
        seconds.append(_expect_end(_told(into, out, what, -1.0)))
    return target.read_bytes(), statistics.median(seconds)


def _expect_end(told: tuple[str, float]) -> float:
    if told[0] != "ended 0":
        raise ValueError(f"expected a writer that ends by itself, found {told[0]}")
    return told[1]


def _found(target: Path, known: dict[str, bytes]) -> str:
    if not target.exists():
        return "nothing"
    octets = target.read_bytes()
    return next((name for name, expected in known.items() if octets == expected), "damaged")


def _clear(target: Path) -> None:
    for path in target.parent.iterdir():
        path.unlink()


if __name__ == "__main__":
    main()
