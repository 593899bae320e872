"""What does the README say of archives? What the last runs of the benchmark wrote, and nothing by hand.

``python -m tests.benchmarks.checkpoint.readme`` puts the figures of runs/bench-checkpoint into README.md: the rows of
the first table that begin with one of :data:`ROWS`, and the table of goals between the lines :data:`BEGIN` and
:data:`END`. Run ``make bench-checkpoint`` before. With ``--check`` it writes nothing and fails if figures differ.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.checkpoint.goals import DTYPES, FIXED, FUNCTIONS, archive_bytes, goals_of, whole_peers
from tests.benchmarks.solver.goals import Goal
from tests.benchmarks.solver.printing import brief

README, FOLDER = Path("README.md"), Path("runs/bench-checkpoint")
BEGIN, END = "<!-- archives: what was measured -->", "<!-- archives: end -->"
BENCH = "python -m tests.benchmarks.bench_checkpoint"
FORMATS = {"F32": "fp32", "BF16": "bf16", "F16": "fp16"}


def main(argv: list[str] | None = None) -> None:
    """Write the figures, or compare them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if the README says otherwise")
    check = parser.parse_args(argv).check
    before = README.read_text(encoding="utf-8")
    after = brought_up_to_date(before, FOLDER)
    if check and after != before:
        raise SystemExit(f"{README} says other figures than {FOLDER}: run {__spec__.name if __spec__ else 'this'}")
    README.write_text(after, encoding="utf-8")


def brought_up_to_date(text: str, folder: Path) -> str:
    """Return the README with the figures of a folder.

    Raises:
        ValueError: a row or the table of goals has no place in the text, or more than one.
        FileNotFoundError: a part was not run.
    """
    lines = text.split("\n")
    for first, row in ROWS.items():
        places = [number for number, line in enumerate(lines) if line.startswith(f"| {first} |")]
        if len(places) != 1:
            raise ValueError(f"README.md: expected one row of {first!r}, found {len(places)}")
        lines[places[0]] = f"| {first} | {row(folder)} |"
    if lines.count(BEGIN) != 1 or lines.count(END) != 1:
        raise ValueError(f"README.md: expected one line {BEGIN} and one line {END}")
    begin, end = lines.index(BEGIN), lines.index(END)
    return "\n".join([*lines[: begin + 1], *table(goals_of(folder)), *lines[end:]])


def table(goals: list[Goal]) -> list[str]:
    """Return the table of goals, element types of one goal in one row."""
    grouped: dict[tuple[str, str, float], list[tuple[str, Goal]]] = {}
    for goal in goals:
        first, colon, rest = goal.name.partition(": ")
        kind, name = (first, rest) if colon and first in DTYPES else ("", goal.name)
        grouped.setdefault((name, goal.sense, goal.target), []).append((kind, goal))
    lines = ["| goal | wanted | measured | beside, or on |", "| --- | --- | --- | --- |"]
    for (name, sense, target), each in grouped.items():
        cells = ", ".join(_measured(kind, goal) for kind, goal in each)
        beside = ", ".join(dict.fromkeys(goal.where for _, goal in each if goal.where))
        lines.append(f"| {name} | {sense} {brief(target)} | {cells} | {beside} |")
    return lines


def _measured(kind: str, goal: Goal) -> str:
    figure = f"{FORMATS.get(kind, kind)} {brief(goal.figure)}".strip()
    return figure if goal.met else f"**{figure}, missed**"


def _read(folder: Path, part: str) -> dict[str, Any]:
    path = folder / f"{part}.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: expected what `{BENCH} {part}` writes")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _exact(folder: Path) -> str:
    whole, steps = _read(folder, "lossless"), _read(folder, "deltas")
    cells = []
    for dtype in DTYPES:
        ratios = whole[f"ratio {dtype}"]
        cells.append(f"{FORMATS[dtype]} {ratios['qfz fast']:.3f} x smaller against {_best(ratios):.3f} x")
    one, twenty = (steps[f"weights BF16 {pair}"] for pair in ("40->41", "40->60"))
    cells.append(f"one step's difference in bf16 {one['qfz']:.1f} x against {_best(one):.1f} x")
    cells.append(f"20 steps' {twenty['qfz']:.1f} x against {_best(twenty):.1f} x")
    measured = ", ".join(cells[:3]) + "; " + ", ".join(cells[3:])
    return f"best of ZipNN, pcodec, z4ai, Blosc2, zstd | {measured} | `{BENCH} lossless deltas`"


def _best(ratios: dict[str, float]) -> float:
    return max(ratios[name] for name in whole_peers(ratios))


def _quantised(folder: Path) -> str:
    fixed = {row["format"]: row for row in _read(folder, "lossy")["fixed"]}
    rows = {row["method"]: row for row in _read(folder, "bits")["held_out"] if row["reference"] == "int8"}
    plain, ours = rows["reference, codes as they are"], rows["allocated"]
    worse = [name for name, lost in ours["lost"].items() if lost > plain["lost"][name]]
    function = f"**worse on held-out sentences by {', '.join(worse)}**" if worse else "no held-out measure worse"
    smaller = [
        100.0 * (1.0 - ours["bits_per_weight"] / rows[name]["bits_per_weight"]) for name in (plain["method"], "uniform")
    ]
    measured = (
        f"at equal RMS error {100.0 * fixed['int8']['smaller by']:.1f} % smaller; with bits where they matter "
        f"{smaller[0]:.1f} % smaller ({smaller[1]:.1f} % than equal steps), and {function} (MiniLM)"
    )
    return f"int8 per channel | {measured} | `{BENCH} lossy bits`"


def _networks(folder: Path) -> str:
    cells = [{name: archive_bytes(kept) for name, kept in row.items()} for row in _read(folder, "networks")["cells"]]
    functions = [cell for cell in cells if cell["tensor"] in FUNCTIONS]
    saved = [_saved(cell["ours, 32 bit"], min(cell[name] for name in FIXED if name in cell)) for cell in functions]
    coded = [cell["ours, 32 bit"] / cell["ours"] for cell in functions]
    others = [cell for cell in cells if cell["tensor"] in ("turbulence", "MiniLM Q")]
    told = []
    for cell in others:
        rivals = {name: cell[name] for name in ("SZ3", "zfp", "one step") if name in cell}
        best = min(rivals, key=lambda name: rivals[name])
        less = _saved(cell["ours"], rivals[best])
        beside = (
            f"{less:.1f} % smaller than {best}"
            if less > 0
            else f"**{best} is {_saved(rivals[best], cell['ours']):.1f} % smaller**"
        )
        told.append(f"{cell['tensor']} {beside}")
    errors = ", ".join(f"{error:g}" for error in sorted({cell["error"] for cell in cells}, reverse=True))
    measured = (
        f"{len(functions)} cells of functions at errors of {errors}: {np.median(saved):.0f} % smaller (median), "
        f"and coded cores {np.median(coded):.1f} x more; {'; '.join(told)}"
    )
    return f"best of tensor train, TT-SVD, Tucker | {measured} | `{BENCH} networks`"


def _saved(ours: float, other: float) -> float:
    return 100.0 * (1.0 - ours / other)


ROWS: dict[str, Callable[[Path], str]] = {
    "checkpoints, every bit kept, MiniLM": _exact,
    "checkpoints, quantised": _quantised,
    "tensors of functions and physics as networks": _networks,
}

if __name__ == "__main__":
    main()
