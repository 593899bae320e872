"""What becomes of the readers of clusters, plans, fleets and tables that are given thousands of wrong files?

``python -m tests.fuzz_inputs --of snapshot --count 10000 --seed 1`` changes sound files (:mod:`tests.fuzz_documents`)
as in :mod:`tests.fuzz_text`, reads each, and does with what was read what a run does next: poses the problems,
validates the plan, renders it. ``--of all`` takes each kind in turn. Anything but a typed refusal or a reading is a
finding: another exception, an end of the process, more than 5 seconds, or more memory than 200 MB.
"""

import argparse
import json
import mmap
import resource
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from data.errors import BadSource, PlanRefused
from tests.fuzz_archives import outcome_of
from tests.fuzz_documents import documents
from tests.fuzz_text import changed

KINDS = ("csv", "experts", "fleet", "fleet_plan", "kubernetes", "plan", "prometheus", "slurm", "snapshot", "topology")
HANGS_S = 20
"""After which a reader is ended by the system."""

_MAPPED_BYTES = 3_000_000_000
_BATCH = 20_000
_ENDED_MAX = 10


def judged(kind: str, seed: int, number: int, folder: Path) -> str:
    """Return ``refused`` or ``accepted``, or what is wrong with the reader of input ``number``."""
    rng = np.random.default_rng((KINDS.index(kind), seed, number))
    kept = documents()[kind]
    document = kept[int(rng.integers(len(kept)))]
    names = sorted(document.files)
    chosen = names[int(rng.integers(len(names)))]
    for name, octets in document.files.items():
        (folder / name).write_bytes(changed(octets, rng) if name == chosen else octets)

    def read() -> str:
        document.read(folder)
        return "accepted"

    return outcome_of(read, BadSource, PlanRefused)


def _child(kind: str, seed: int, first: int, count: int, place: Path) -> None:
    """Judge inputs; ``place`` always holds the number of the one that is being read."""
    warnings.simplefilter("error")
    tally: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name, place.open("r+b") as file, mmap.mmap(file.fileno(), 8) as at:
        folder = Path(name)
        for number in range(50):  # whatever is compiled or imported late is no memory of an input
            judged(kind, 2**32 + seed, number, folder)
        mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (mapped + _MAPPED_BYTES, resource.RLIM_INFINITY))
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        for number in range(first, first + count):
            at[:] = number.to_bytes(8, "little")
            signal.alarm(HANGS_S)
            outcome = judged(kind, seed, number, folder)
            tally[outcome.split(":")[0]] += 1
            if outcome.startswith("FINDING"):
                print(json.dumps({"number": number, "what": outcome}), flush=True)
        signal.alarm(0)
        at[:] = (first + count).to_bytes(8, "little")
    print(json.dumps(dict(tally)), flush=True)


def run(kind: str, count: int, seed: int, told: Callable[[str], None] = print) -> Counter[str]:
    """Judge ``count`` changed inputs of a kind in children; return how many were refused, accepted, crashed, hung."""
    tally: Counter[str] = Counter()
    done = ended = 0
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "number"
        while done < count and ended < _ENDED_MAX:
            asked = min(_BATCH, count - done)
            place.write_bytes(done.to_bytes(8, "little"))
            code = ("import sys; from pathlib import Path; from tests.fuzz_inputs import _child; "
                    "_child(sys.argv[1], *map(int, sys.argv[2:5]), Path(sys.argv[5]))")  # fmt: skip
            command = [sys.executable, "-c", code, kind, str(seed), str(done), str(asked), str(place)]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
                assert child.stdout is not None
                for line in child.stdout:
                    if '"what"' in line:
                        told(f"{kind}: {line.rstrip()}")
                    else:
                        tally.update(json.loads(line))
            reached = int.from_bytes(place.read_bytes(), "little")
            if child.returncode:
                hung = child.returncode == -signal.SIGALRM
                tally["hangs" if hung else "ended"] += 1
                told(f"{kind}: FINDING: input {reached} of seed {seed} ended the process with {child.returncode}")
                tally["lost"] += reached - done  # their counts went with the process; findings were told
                reached += 1
                ended += 1
            done = reached
    tally["tried"] = done
    return tally


def figures(kind: str, tally: Counter[str], seconds: float) -> str:
    """Return a row of the table."""
    crashes = tally["FINDING"] + tally["ended"]
    return (
        f"{kind:<12}{tally['tried']:>9}{tally['refused']:>9}{tally['accepted']:>10}{crashes:>9}{tally['hangs']:>7}"
        f"{seconds:>8.0f}"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Judge inputs; the status is 1 where there is a finding."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--of", choices=(*KINDS, "all"), default="all")
    parser.add_argument("--count", type=int, default=1_000, help="of each kind")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(argv)
    wrong = False
    print(
        f"{'input':<12}{'tried':>9}{'refused':>9}{'accepted':>10}{'crashes':>9}{'hangs':>7}{'seconds':>8}", flush=True
    )
    for kind in KINDS if options.of == "all" else (options.of,):
        begun = time.monotonic()
        tally = run(kind, options.count, options.seed)
        print(figures(kind, tally, time.monotonic() - begun), flush=True)
        wrong |= bool(tally["FINDING"] or tally["ended"] or tally["hangs"])
    return int(wrong)


if __name__ == "__main__":
    raise SystemExit(main())
