"""How good are laws, budgets, plans of fleets and policies over time? Every table of the fleet's part in one run.

``make bench-fleet`` runs this. A part can be asked for by name: ``python -m tests.benchmarks.bench_fleet scaling
placement``. Tables, JSON and plots go to runs/bench-fleet, and at the end stands which goals are met.
``--no-large`` leaves out 1,000 regions x 30 machines x 500 zones, whose plan takes minutes.
"""

import argparse
import importlib
import sys
import time
from pathlib import Path

FOLDER = Path("runs/bench-fleet")
PARTS = ("scaling", "budget", "placement", "refine", "replay")


def main(argv: list[str] | None = None) -> None:
    """Run the parts that are asked for, or all of them, and print which goals they meet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="part", help=f"of {', '.join(PARTS)}; none means all")
    parser.add_argument(
        "--large", action=argparse.BooleanOptionalAction, default=True, help="the largest placement too"
    )
    options = parser.parse_args(argv)
    parts = options.parts or PARTS
    for part in parts:
        if part not in PARTS:
            parser.error(f"expected one of {', '.join(PARTS)}, found {part!r}")
    from tests.benchmarks.fleet.goals import goals_of
    from tests.benchmarks.solver.goals import show_goals

    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a long run is read while it goes on
    for part in parts:
        print(f"\n== {part}")
        start, worked = time.monotonic(), time.process_time()
        large = ["--no-large"] if part == "placement" and not options.large else []
        importlib.import_module(f"tests.benchmarks.fleet.{part}").main(large)
        if goals := goals_of(FOLDER, [part]):
            show_goals(goals)
        taken = time.monotonic() - start
        print(f"({taken:.0f} s, {time.process_time() - worked:.0f} s of them on this process's processor)")
    if len(parts) > 1:
        print("\n== all goals")
        show_goals(goals_of(FOLDER, parts))


if __name__ == "__main__":
    main()
