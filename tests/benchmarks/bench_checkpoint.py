"""How small, how exact and how fast are archives, beside their peers? Every table of the checkpoint part in one run.

``make bench-checkpoint`` installs the peers and runs this. A part can be asked for by name:
``python -m tests.benchmarks.bench_checkpoint lossless lossy``. Tables, JSON and plots go to runs/bench-checkpoint;
``python -m tests.benchmarks.checkpoint.readme`` brings the README's figures up to date from there. Bits and
networks take longest, four to six minutes of one core each; ``python -m tests.benchmarks.checkpoint.networks --all``
has more tensors and errors.
"""

import argparse
import importlib
import sys
import time
from pathlib import Path

FOLDER = Path("runs/bench-checkpoint")
PARTS = ("lossless", "deltas", "lossy", "bits", "networks", "learned", "presets", "memory", "damage", "kills")


def main(argv: list[str] | None = None) -> None:
    """Run the parts that are asked for, or all of them, and print which goals they meet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="part", help=f"of {', '.join(PARTS)}; none means all")
    parts = parser.parse_args(argv).parts or PARTS
    for part in parts:
        if part not in PARTS:
            parser.error(f"expected one of {', '.join(PARTS)}, found {part!r}")
    from tests.benchmarks.checkpoint.goals import goals_of
    from tests.benchmarks.solver.goals import show_goals

    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a long run is read while it goes on
    for part in parts:
        print(f"\n== {part}")
        start, worked = time.monotonic(), time.process_time()
        importlib.import_module(f"tests.benchmarks.checkpoint.{part}").main([])
        if goals := goals_of(FOLDER, [part]):
            show_goals(goals)
        taken = time.monotonic() - start
        print(f"({taken:.0f} s, {time.process_time() - worked:.0f} s of them on this process's processor)")
    if len(parts) > 1:
        print("\n== all goals")
        show_goals(goals_of(FOLDER, parts))


if __name__ == "__main__":
    main()
