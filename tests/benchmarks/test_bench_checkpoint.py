"""Which goals the benchmark of checkpoints calls met, and what it writes into the README."""

import json
from pathlib import Path

import pytest

from tests.benchmarks.bench_checkpoint import PARTS
from tests.benchmarks.checkpoint import goals
from tests.benchmarks.checkpoint.kills import COMPRESS, SAVE, killed
from tests.benchmarks.checkpoint.readme import BEGIN, END, README, ROWS, brought_up_to_date
from tests.benchmarks.solver.goals import Goal


def write(folder: Path, part: str, report: object) -> None:
    (folder / f"{part}.json").write_text(json.dumps(report))


def ratios(ours: float, peer: float) -> dict[str, float]:
    return {"floor": 9.0, "qfz fast": ours, "qfz small": 9.0, "ZipNN": peer, "zstd-3": 1.0, "shuffle, xz-6": 9.0}


def speeds(ours: float, two: float) -> dict[str, dict[str, float]]:
    named = {"qfz fast": ours, "zstd-3": 100.0, "qfz fast, 1 threads": 1.0, "qfz fast, 2 threads": two}
    return {name: {"pack": speed, "unpack": speed} for name, speed in named.items()}


def held_out(method: str, size: float, lost: float) -> dict[str, object]:
    return {"reference": "int8", "method": method, "bits_per_weight": size, "lost": {"drift": lost}}


def reports(folder: Path, *, good: bool) -> None:
    """Write a file for each part that all its goals are met by, or none."""
    lossless: dict[str, object] = {f"ratio {dtype}": ratios(1.2 if good else 1.1, 1.2) for dtype in goals.DTYPES}
    lossless |= {f"speed {dtype}": speeds(*((100.0, 160.0) if good else (99.0, 159.0))) for dtype in goals.DTYPES}
    write(folder, "lossless", lossless)
    own = 16.0 if good else 4.0
    pairs = {f"weights BF16 {pair}": {"qfz": own, "peer": 8.0} for pair in ("40->41", "40->60")}
    chain = {"raw": 100.0, "qfz": 7.5 if good else 8.5, "peer": 10.0}
    write(folder, "deltas", {**pairs, "chain BF16": chain, "chain F32": chain})
    above, ratio = (0.01, 1.0) if good else (0.03, 1.001)
    rate = {"error": 0.1, "ours": 3.0 + above, "order-0 floor": 3.0}
    rate |= {"ours above it, worst matrix": above, "worst error / bound": ratio}
    write(folder, "lossy", {"rates": [rate], "fixed": [{"format": "int8", "smaller by": 0.14 if good else 0.12}]})
    rows = [held_out("reference, codes as they are", 8.0, 1.0), held_out("uniform", 7.0, 1.0)]
    write(folder, "bits", {"held_out": [*rows, held_out("allocated", *((6.0, 1.0) if good else (6.5, 1.1)))]})
    sizes = {name: {"archive_bytes": 100} for name in (*goals.FIXED, "SZ3")}
    sizes |= {"ours, 32 bit": {"archive_bytes": 60 if good else 90}, "ours": {"archive_bytes": 30 if good else 80}}
    cells = [{"tensor": name, "error": 0.01, "raw_bytes": 1, **sizes} for name in ("heat", "turbulence")]
    twin = {"shape": [8, 9], "tensor": "t", "claimed_percent": 20.0, "measured_percent": 21.0 if good else 19.0}
    write(folder, "networks", {"cells": cells, "twin": [twin]})
    write(folder, "presets", {"bound": 0.05, "compress": [{"error": 0.049 if good else 0.051}]})
    steps = [{"what": what, "peak_mb": 299.0 if good else 301.0} for what in ("compress", "restore")]
    report = {"bytes": int(2e9) if good else int(1e9), "workers": 2, "limit_mb": 300.0, "steps": steps}
    write(folder, "memory", report)
    write(folder, "damage", {"flips": 30, "rows": {"ours (qfz)": {"detected": 30 if good else 29}}})
    write(folder, "kills", {"points": 10, "whole": 10 if good else 9})


@pytest.mark.parametrize("good", [True, False])
def test_goals_are_met_or_missed_by_the_figures(tmp_path: Path, *, good: bool) -> None:
    reports(tmp_path, good=good)
    judged = goals.goals_of(tmp_path)
    assert {goal.name for goal in judged if goal.met is not good} == set()
    assert len(judged) == 3 + 12 + 4 + 4 + 3 + 4 + 1 + 3 + 1 + 1


def test_only_parts_that_were_run_have_goals_and_a_missing_figure_meets_none(tmp_path: Path) -> None:
    assert goals.goals_of(tmp_path) == []
    reports(tmp_path, good=True)
    assert [goal.name for goal in goals.goals_of(tmp_path, ["kills"])] == ["kills that left a whole archive"]
    write(tmp_path, "deltas", {})
    assert not any(goal.met for goal in goals.goals_of(tmp_path, ["deltas"]))


def test_each_judged_part_is_one_of_the_benchmark() -> None:
    assert set(goals.JUDGES) <= set(PARTS)


def readme() -> str:
    rows = "\n".join(f"| {first} | stale | stale | stale |" for first in ROWS)
    return f"before\n{rows}\nmiddle\n{BEGIN}\nstale\n{END}\nafter\n"


def test_the_readme_gets_rows_and_goals_and_keeps_the_rest(tmp_path: Path) -> None:
    reports(tmp_path, good=False)
    text = brought_up_to_date(readme(), tmp_path)
    lines = text.split("\n")
    assert "stale" not in text
    assert [lines[0], lines[4], lines[-3:]] == ["before", "middle", [END, "after", ""]]
    assert "fp32 1.100 x smaller against 1.200 x" in text
    assert "**worse on held-out sentences by drift**" in text
    assert "turbulence 20.0 % smaller than SZ3" in text
    assert "| flipped bits noticed | at least 30 | **29, missed** | of 30 |" in lines
    assert brought_up_to_date(text, tmp_path) == text


@pytest.mark.parametrize("gone", [BEGIN, END, "| checkpoints, quantised |"])
def test_a_readme_without_a_place_for_the_figures_is_refused(tmp_path: Path, gone: str) -> None:
    reports(tmp_path, good=True)
    with pytest.raises(ValueError, match=r"README\.md: expected one"):
        brought_up_to_date(readme().replace(gone, "gone"), tmp_path)


def test_our_readme_has_a_place_for_every_figure(tmp_path: Path) -> None:
    reports(tmp_path, good=True)
    brought_up_to_date(README.read_text(encoding="utf-8"), tmp_path)


def test_a_goal_of_several_element_types_is_one_row(tmp_path: Path) -> None:
    from tests.benchmarks.checkpoint.readme import table

    found = table([Goal("F32: x", "at least", 1.0, 2.0, "a"), Goal("F16: x", "at least", 1.0, 0.5, "a")])
    assert found[2:] == ["| x | at least 1 | fp32 2, **fp16 0.5, missed** | a |"]


@pytest.mark.slow
def test_a_killed_writer_leaves_nothing_or_a_whole_archive(tmp_path: Path) -> None:
    rows = killed(tmp_path, 2)
    assert [row["whole"] for row in rows] == [True, True]
    assert rows[0][SAVE] in ("the older", "the new")
    assert rows[0][COMPRESS] in ("nothing", "the new")
