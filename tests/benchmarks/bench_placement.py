"""How good is placement beside the schedulers and the exact solvers, how often optimal, and how fast when it grows?

Three parts, all of them unless some are asked for, on clusters that replayed traces leave in pieces
(``tests/benchmarks/placement/instances.py``); the halves of the traces that were looked at while tuning are left out:

- *columns*: at least 20 clusters of 1,024 GPUs; Kueue's rules, FGD, METIS, CP-SAT (and HiGHS with ``--highs``), our
  loop with annealing and with QAOA, all at equal seconds;
- *proofs*: clusters on which CP-SAT proves the optimum: how often our loop reaches it, and the worst gap (our search
  of such small clusters ends with CP-SAT too, begun from what annealing found);
- *growth*: 1,000 to 50,000 GPUs: seconds from the snapshot to the actions, the exponent, and the goal of two minutes
  for 10,000 GPUs.

Tables on the screen; JSON and plots in the folder. A full run takes about eight minutes, a quick one less than one.

Run: ``python -m tests.benchmarks.bench_placement [--columns] [--proofs N] [--growth] [--quick] [--out DIR]``.
"""

import argparse
import json
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.benchmarks.placement.exactness import Proof
    from tests.benchmarks.placement.growth import Grown

ROOT = Path(__file__).resolve().parents[2]
SIZES = (1_024, 4_096, 10_000, 50_000)
QUICK_SIZES = (256, 1_024)


def main() -> None:
    """Run the parts that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--columns", action="store_true")
    parser.add_argument("--growth", action="store_true")
    parser.add_argument("--proofs", type=int, metavar="N", help="on N instances, 5 with no part asked for")
    parser.add_argument("--quick", action="store_true", help="few and small instances")
    parser.add_argument("--highs", action="store_true", help="HiGHS as one more column")
    parser.add_argument(
        "--seconds", type=float, default=0.0, help="for each method of the columns; 0: 5, or 1 if quick"
    )
    parser.add_argument("--each", type=int, default=0, help="instances of each of five families; 0: 4, or 1 if quick")
    parser.add_argument("--gpus", type=int, default=0, help="of the columns' clusters; 0: 1,024, or 256 if quick")
    parser.add_argument("--tuning", action="store_true", help="the halves of the traces to tune on, not the others")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/bench-placement"), help="folder of JSON and plots")
    options = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[name] = "1"  # each library reads it when it is first loaded
    data = Path(os.environ.get("QUANTUMFLOW_DATA", ROOT.parent / "shared" / "data"))
    if not (data / "philly_sia").is_dir() or not (data / "alibaba_gpu_v2023").is_dir():
        print(f"skipped: {data} has no traces of Philly and openb (set QUANTUMFLOW_DATA)")
        return
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a long run is read while it goes on
    from flows.environment import prepare

    prepare()
    options.out.mkdir(parents=True, exist_ok=True)
    everything = not (options.columns or options.growth or options.proofs)
    told: dict[str, Any] = {"quick": options.quick, "half": "tuning" if options.tuning else "held-out"}
    began = time.perf_counter()
    if options.columns or everything:
        columns(data, options)
    if options.proofs or everything:
        told["proofs"] = proven(data, options)
    if options.growth or everything:
        told["growth"] = grown(data, options)
    told["seconds"] = time.perf_counter() - began
    (options.out / "placement.json").write_text(json.dumps(told, indent=1) + "\n")
    print(f"\nwritten: {options.out}, after {told['seconds']:.0f} s")


def columns(data: Path, options: argparse.Namespace) -> None:
    """Print the columns and the sentence on the quantum step."""
    from tasks.problems.placement import Placement
    from tests.benchmarks.columns import compared
    from tests.benchmarks.placement.contenders import contenders
    from tests.benchmarks.placement.instances import instances

    gpus, each = options.gpus or (256 if options.quick else 1_024), options.each or (1 if options.quick else 4)
    seconds = options.seconds or (1.0 if options.quick else 5.0)
    posed = [
        (name, Placement.from_snapshot(snapshot))
        for name, snapshot in instances(data, "tuning" if options.tuning else "held-out", gpus=gpus, each=each)
    ]
    made = compared(posed, contenders(highs_too=options.highs), seconds=seconds, seed=options.seed)
    made.show(f"placement, {gpus:,} GPUs")
    made.save(options.out, "columns")


def proven(data: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Print our loop beside proven optima: five clusters of 256 GPUs, then five of 512, and so on by turns."""
    from tests.benchmarks.placement.exactness import proofs
    from tests.benchmarks.placement.instances import FAMILIES, instances

    wanted = options.proofs or (3 if options.quick else 5)
    half = "tuning" if options.tuning else "held-out"
    chosen = []
    for step in range(-(-wanted // len(FAMILIES))):
        gpus = 128 if options.quick else 256 * (1 + step % 2)
        for name, snapshot in instances(data, half, gpus=gpus, each=1 + step)[step :: 1 + step]:
            chosen.append((name, snapshot))
    rows = proofs(
        chosen[:wanted],
        limit_s=10.0 if options.quick else 60.0,
        seconds=1.0 if options.quick else 20.0,
        seed=options.seed,
    )
    plot_proofs(rows, options.out / "proofs.png")
    return [asdict(row) | {"optimal": row.optimal, "gap_percent": row.gap_percent} for row in rows]


def grown(data: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Print the seconds at each size."""
    from tests.benchmarks.placement.growth import exponent, growth

    sizes = QUICK_SIZES if options.quick else SIZES
    rows = growth(data, "tuning" if options.tuning else "held-out", sizes, seed=options.seed)
    plot_growth(rows, options.out / "growth.png")
    return {"exponent": exponent(rows), "sizes": [asdict(row) | {"whole_s": row.whole_s} for row in rows]}


def plot_proofs(rows: "Sequence[Proof]", path: Path) -> None:
    """Draw cost over the optimum by instance."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 0.35 * len(rows) + 1.5), layout="constrained")
    names = [f"{row.instance}, {row.gpus} GPUs" for row in rows]
    for word, costs in (
        ("in force", [row.incumbent for row in rows]),
        ("ours", [row.reached for row in rows]),
        ("CP-SAT", [row.exact for row in rows]),
    ):
        axes.plot(costs, range(len(rows)), "o" if word != "CP-SAT" else "x", label=word)
    axes.set_yticks(range(len(rows)), names)
    axes.set_xlabel("cost, GPUs' worth of capacity")
    axes.legend()
    figure.savefig(path, dpi=130)
    plt.close(figure)


def plot_growth(rows: "Sequence[Grown]", path: Path) -> None:
    """Draw seconds over GPUs."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    axes.loglog([row.gpus for row in rows], [row.whole_s for row in rows], "o-", label="snapshot to actions")
    axes.loglog([row.gpus for row in rows], [row.improve_s for row in rows], "s--", label="search and windows")
    axes.set_xlabel("GPUs")
    axes.set_ylabel("seconds")
    axes.grid(visible=True, which="both", alpha=0.2)
    axes.legend()
    figure.savefig(path, dpi=130)
    plt.close(figure)


if __name__ == "__main__":
    main()
