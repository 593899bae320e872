"""Which goals of the archives are met, by what the parts wrote into their JSON files?

A part that was not run has no goals; a figure that a file lacks meets none.
"""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.solver.goals import Goal

Report = dict[str, Any]
DTYPES = ("F32", "BF16", "F16")
FUNCTIONS = ("Hilbert", "Coulomb", "pulse", "heat", "Vlasov", "Coulomb, nearer", "pulse, narrower", "Vlasov, sheared")
"""Tensors of the networks that are functions; the last three were looked at only after all was decided."""

FIXED = ("TT, one rank", "TT-SVD", "Tucker")
"""Networks of the networks' table whose form is fixed; the first has one rank as an option."""


def goals_of(folder: Path, parts: Sequence[str] = ()) -> list[Goal]:
    """Return the goals of the parts whose files are in a folder, all of them or those named."""
    found: list[Goal] = []
    for part, judge in JUDGES.items():
        path = folder / f"{part}.json"
        if (part in parts or not parts) and path.is_file():
            found += judge(json.loads(path.read_text(encoding="utf-8")))
    return found


def lossless(report: Report) -> Iterator[Goal]:
    """Judge ratios and speeds of archives that keep every bit."""
    for dtype in DTYPES:
        ratios = report[f"ratio {dtype}"]
        best = max(whole_peers(ratios), key=lambda name: ratios[name])
        yield Goal(f"{dtype}: ratio over the best peer's", "at least", 0.995, ratios["qfz fast"] / ratios[best], best)
    for workers, least in ((1, 1.0), (2, 1.6)):
        for way in ("pack", "unpack"):
            for dtype in DTYPES:
                speeds = report[f"speed {dtype}"]
                ours = speeds.get("qfz fast" if workers == 1 else "qfz fast, 2 threads", {}).get(way, math.nan)
                name = f"{dtype}: speed of {way} on {workers} {'thread' if workers == 1 else 'threads'}"
                yield Goal(name, "at least", least, ours / speeds["zstd-3"][way], "over zstd-3 on one")


def whole_peers(ratios: Report) -> list[str]:
    """Return the peers that packed the whole: xz packs an excerpt."""
    return [name for name in ratios if not name.startswith(("qfz", "floor")) and "xz" not in name]


def deltas(report: Report) -> Iterator[Goal]:
    """Judge differences of checkpoints."""
    for pair, steps, least in (("40->41", "one step", 15.0), ("40->60", "20 steps", 4.5)):
        ratios = report.get(f"weights BF16 {pair}", {})
        yield Goal(
            f"BF16: ratio of a difference of {steps}",
            "at least",
            least,
            ratios.get("qfz", math.nan),
            "MiniLM fine-tune",
        )
    for dtype in ("BF16", "F32"):
        sizes = report.get(f"chain {dtype}", {})
        peers = [name for name in sizes if not name.startswith(("qfz", "raw"))]
        best = min(peers, key=lambda name: sizes[name]) if peers else ""
        smaller = 100.0 * (1.0 - sizes["qfz"] / sizes[best]) if peers else math.nan
        of = f"{best}; {sizes['raw'] / 1e6:.0f} MB of checkpoints" if sizes else best
        yield Goal(f"{dtype}: % that a chain is smaller than the best peer's", "at least", 20.0, smaller, of)


def lossy(report: Report) -> Iterator[Goal]:
    """Judge quantised archives."""
    rates = report["rates"]
    worst = max(rates, key=lambda rate: rate["ours"] - rate["order-0 floor"])
    above, name = worst["ours"] - worst["order-0 floor"], "bits above the scalar floor"
    yield Goal(f"{name}, all matrices", "at most", 0.02, above, f"error {worst['error']:g}")
    worst = max(rates, key=lambda rate: rate["ours above it, worst matrix"])
    yield Goal(
        f"{name}, worst matrix", "at most", 0.02, worst["ours above it, worst matrix"], f"error {worst['error']:g}"
    )
    eight = next(row for row in report["fixed"] if row["format"] == "int8")
    yield Goal(
        "% smaller than int8 per channel at its error", "at least", 13.0, 100.0 * eight["smaller by"], "one step"
    )
    kept = max(rate["worst error / bound"] for rate in rates)
    yield Goal("greatest error over its bound", "at most", 1.0, kept, "all errors and matrices")


def bits(report: Report) -> Iterator[Goal]:
    """Judge bits by sensitivity, beside int8 as other formats have it."""
    rows = {row["method"]: row for row in report["held_out"] if row["reference"] == "int8"}
    if not rows:
        return
    ours, plain = rows["allocated"], rows["reference, codes as they are"]
    for other, least in ((plain, 20.0), (rows["uniform"], 11.0)):
        name = "int8 per channel" if other is plain else "uniform steps"
        smaller = 100.0 * (1.0 - ours["bits_per_weight"] / other["bits_per_weight"])
        yield Goal(
            f"% smaller than {name} at its losses, by bits per tensor", "at least", least, smaller, "whole model"
        )
    worse = sum(ours["lost"][name] > plain["lost"][name] for name in plain["lost"])
    yield Goal("held-out measures worse than int8's", "at most", 0.0, float(worse), f"of {len(plain['lost'])}")


def networks(report: Report) -> Iterator[Goal]:
    """Judge tensor networks at equal error."""
    cells = [{name: archive_bytes(kept) for name, kept in row.items()} for row in report.get("cells", [])]
    functions = [cell for cell in cells if cell["tensor"] in FUNCTIONS and FIXED[0] in cell]
    if functions:
        saved = [100.0 * (1.0 - cell["ours, 32 bit"] / cell[FIXED[0]]) for cell in functions]
        worst = functions[int(np.argmin(saved))]
        where = f"{worst['tensor']}, error {worst['error']:g}, worst of {len(functions)}"
        yield Goal("% smaller than a train of one rank, functions", "at least", 35.0, min(saved), where)
    if cells:
        saved = [
            100.0 * (1.0 - cell["ours, 32 bit"] / min(cell[name] for name in FIXED if name in cell)) for cell in cells
        ]
        name = "% smaller than the best fixed network, median"
        yield Goal(name, "at least", 15.0, float(np.median(saved)), f"{len(cells)} cells")
        coded = float(np.median([cell["ours, 32 bit"] / cell["ours"] for cell in cells]))
        yield Goal("times smaller once coded, median", "at least", 1.7, coded, f"{len(cells)} cells")
    for row in report.get("twin", []):
        size = " x ".join(map(str, row["shape"]))
        name = "% smaller than a train of one rank, as the first design claimed"
        yield Goal(name, "at least", row["claimed_percent"], row["measured_percent"], f"{row['tensor']}, {size}")


def archive_bytes(kept: Any) -> Any:
    """Return the bytes of what a method made of a tensor; anything else as it is."""
    return kept["archive_bytes"] if isinstance(kept, dict) else kept


def presets(report: Report) -> Iterator[Goal]:
    """Judge that what presets compress keeps the bound that was asked for, as restored."""
    rows = report["compress"]
    worst = max(row["error"] for row in rows) / report.get("bound", math.nan)
    yield Goal("greatest error of a preset over its bound", "at most", 1.0, worst, f"{len(rows)} presets and tensors")


def memory(report: Report) -> Iterator[Goal]:
    """Judge the peak of a large archive."""
    size = report["bytes"] / 1e9
    for step in report["steps"]:
        name = f"peak MB, {step['what']}"
        yield Goal(name, "at most", report["limit_mb"], step["peak_mb"], f"{size:.2f} GB, {report['workers']} threads")
    yield Goal("GB of that checkpoint", "at least", 2.0, round(size, 2), "noise of weights")


def damage(report: Report) -> Iterator[Goal]:
    """Judge who notices a flipped bit."""
    seen = report["rows"]["ours (qfz)"].get("detected", 0)
    yield Goal("flipped bits noticed", "at least", float(report["flips"]), float(seen), f"of {report['flips']}")


def kills(report: Report) -> Iterator[Goal]:
    """Judge what stands after kill -9."""
    where = "the old, the new or none, whole"
    yield Goal("kills that left a whole archive", "at least", float(report["points"]), float(report["whole"]), where)


JUDGES: dict[str, Callable[[Report], Iterator[Goal]]] = {
    "lossless": lossless, "deltas": deltas, "lossy": lossy, "bits": bits,
    "networks": networks, "presets": presets, "memory": memory, "damage": damage, "kills": kills,
}  # fmt: skip
