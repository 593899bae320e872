"""How small, how exact and how fast are archives, beside their peers? Every table of the checkpoint part in one run.

``make bench-checkpoint`` installs the peers and runs this. A part can be asked for by name:
``python -m tests.benchmarks.bench_checkpoint lossless lossy``. Tables, JSON and plots go to runs/bench-checkpoint.
"""

import argparse
import importlib
import time

PARTS = ("lossless", "lossy", "bits", "networks", "learned", "presets", "memory", "damage")


def main(argv: list[str] | None = None) -> None:
    """Run the parts that are asked for, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="part", help=f"of {', '.join(PARTS)}; none means all")
    parts = parser.parse_args(argv).parts or PARTS
    for part in parts:
        if part not in PARTS:
            parser.error(f"expected one of {', '.join(PARTS)}, found {part!r}")
    for part in parts:
        print(f"\n== {part}")
        start = time.monotonic()
        importlib.import_module(f"tests.benchmarks.checkpoint.{part}").main([])
        print(f"({time.monotonic() - start:.0f} s)")


if __name__ == "__main__":
    main()
