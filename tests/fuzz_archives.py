"""What becomes of a reader that is given a million archives by somebody who means harm?

``python -m tests.fuzz_archives --archives 1000000 --seed 1`` mutates archives of every element type, operation and
recipe: bytes at random, and, with every checksum made right again, fields of the index and the bytes of chunks. Each
is read to its end in a child process. ``--of files`` mutates checkpoints of every format, their archives and chains
of them, and compresses, restores and loads those (:mod:`tests.fuzz_files`). Anything but a typed refusal, or whole
tensors, is a finding: another exception, an abort, more than 5 seconds, more memory than 200 MB, a file that is left
behind, or other tensors though no checksum was mended.
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
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from data.errors import BadRecord, SourceUnavailable
from tests.fuzz_mutations import mutated
from tests.fuzz_samples import Sample, read_all, samples

SECONDS = 5.0
MEMORY_BYTES = 200_000_000
_MAPPED_BYTES = 2_000_000_000  # beyond what is mapped once all is warm; an allocation of more fails, and is a finding
_HANGS_S = 60  # after which an archive's reader is ended by the system
_ENDED_MAX = 20
"""Processes that may end before they should; then something is wrong with all of them."""


def judged(sample: Sample, octets: bytes, *, mended: bool) -> str:
    """Return ``refused`` or ``read``, or what is wrong with the reader."""

    def read() -> str:
        found = read_all(octets, sample.base)
        return "read" if mended or found == sample.tensors else "FINDING: other tensors, without a word"

    return outcome_of(read)


def outcome_of(work: Callable[[], str], *allowed: type[Exception]) -> str:
    """Return what ``work`` says, ``refused`` if it raises what it may, or what is wrong with it."""
    begun, before = time.process_time(), _peak_bytes()
    try:
        outcome = work()
    except (BadRecord, SourceUnavailable, *allowed):
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


def _judged_archive(seed: int, number: int) -> tuple[str, str]:
    sample, octets, mended = case(seed, number)
    return sample.name, judged(sample, octets, mended=mended)


def _judged_files(seed: int, number: int) -> tuple[str, str]:
    from tests.fuzz_files import judged_case

    return judged_case(seed, number)


_JUDGES = {"archives": _judged_archive, "files": _judged_files}


def _peak_bytes() -> int:
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _child(of: str, seed: int, first: int, count: int, place: Path) -> None:
    """Judge archives; ``place`` always holds the number of the one that is being read."""
    warnings.simplefilter("error")
    judge = _JUDGES[of]
    for number in range(20 * len(samples())):  # whatever is compiled or imported late is no memory of an archive
        judge(2**32 + seed, number)
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + _MAPPED_BYTES, resource.RLIM_INFINITY))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    tally: Counter[str] = Counter()
    with place.open("r+b") as file, mmap.mmap(file.fileno(), 8) as at:
        for number in range(first, first + count):
            at[:] = number.to_bytes(8, "little")
            signal.alarm(_HANGS_S)
            name, outcome = judge(seed, number)
            tally[outcome.split(":")[0]] += 1
            if outcome.startswith("FINDING"):
                print(json.dumps({"number": number, "sample": name, "what": outcome}), flush=True)
        at[:] = (first + count).to_bytes(8, "little")
    print(json.dumps(dict(tally)), flush=True)


def run(archives: int, seed: int, told: Callable[[str], None] = print, of: str = "archives") -> tuple[int, int]:
    """Judge ``archives`` mutated archives, 50,000 to a child; return how many were read in sum, and findings."""
    done = findings = ended = 0
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "number"
        while done < archives and ended < _ENDED_MAX:
            count = min(50_000, archives - done)
            place.write_bytes(done.to_bytes(8, "little"))
            code = ("import sys; from pathlib import Path; from tests.fuzz_archives import _child; "
                    "_child(sys.argv[1], *map(int, sys.argv[2:5]), Path(sys.argv[5]))")  # fmt: skip
            command = [sys.executable, "-c", code, of, str(seed), str(done), str(count), str(place)]
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
                ended += 1
            done = reached
    return done, findings


def main(argv: list[str] | None = None) -> int:
    """Judge archives; the status is 1 where there is a finding."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--archives", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--of", choices=sorted(_JUDGES), default="archives")
    options = parser.parse_args(argv)
    begun = time.monotonic()
    done, findings = run(options.archives, options.seed, of=options.of)
    print(f"{done} {options.of}, {findings} findings, {time.monotonic() - begun:.0f} s")
    return int(findings > 0)


if __name__ == "__main__":
    raise SystemExit(main())
