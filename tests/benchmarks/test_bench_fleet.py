"""Which goals the benchmark of the fleet calls met."""

import importlib.util
import json
import math
from pathlib import Path

import pytest

from tests.benchmarks.bench_fleet import PARTS, main
from tests.benchmarks.fleet import goals


def write(folder: Path, part: str, report: object) -> None:
    (folder / f"{part}.json").write_text(json.dumps(report))


def reports(folder: Path, *, good: bool) -> None:
    """Write a file for each part that all its goals are met by, or none."""
    targets = [{"name": "a", "off": 0.9 if good else 1.1, "allowed": 1.0}, {"name": "count", "off": 0, "allowed": 0}]
    write(folder, "scaling", {"targets": targets})
    lost = {
        "exact: what nothing dominates": [0.0, 0.0 if good else 0.1],
        "HiGHS": [0.0, 0.0 if good else 0.1],
        "QAOA, the 20 spins": [1.0, 1.0 if good else 1.2],
        "annealing, the 20 spins": [1.0, 1.0],
    }
    frontier = [
        {"method": "82,251 subsets listed", "ratio": 1.0, "hypervolume": 915.80561 if good else 915.8},
        {"method": "NSGA-II, 100 x 200", "ratio": 0.9995 if good else 0.99, "hypervolume": 1.0},
    ]
    budget = {name: {"given_up_percent": lost} for name in ("power laws", "gain as spend")}
    write(folder, "budget", budget | {"frontier_table": frontier})
    gap = 0.0009 if good else 0.002
    rows = [
        {"size": "goal", "gap": gap, "seconds": 14.0 if good else 16.0, "greedy_over_ours": None},
        {"size": "large", "gap": gap, "seconds": 500.0 if good else 700.0, "greedy_over_ours": None},
        {"size": "middle", "gap": gap, "seconds": 1.0, "greedy_over_ours": 1.1 if good else 0.99},
    ]
    write(folder, "placement", rows)
    left = {"anneal on windows": 0.1, "qaoa on windows": 0.1 if good else 0.11}
    before = 0.2 if good else 0.09
    write(
        folder,
        "refine",
        [
            {"begin": begin, "method": method, "before": before, "after": after}
            for begin in ("programme", "greedy")
            for method, after in left.items()
        ],
    )
    ours = {"usd_per_h": 70.0, "ticks_served": 0.99995, "utilisation": 0.92, "latency_p95_ms": 80.0, "healed": 0.99}
    bad = {"usd_per_h": 90.0, "ticks_served": 0.99, "utilisation": 0.8, "latency_p95_ms": 90.0, "healed": 0.9}
    policies = {goals.OURS: ours if good else bad, goals.ONE_REGION: {"usd_per_h": 100.0}}
    write(folder, "replay", {"replay": {"policies": policies}})


@pytest.mark.parametrize("good", [True, False])
def test_goals_are_met_or_missed_by_the_figures(tmp_path: Path, *, good: bool) -> None:
    reports(tmp_path, good=good)
    judged = goals.goals_of(tmp_path)
    assert {goal.name for goal in judged if goal.met is not good} == set()
    assert len(judged) == 1 + 8 + 5 + 3 + 5


def test_only_parts_that_were_run_have_goals_and_a_missing_figure_meets_none(tmp_path: Path) -> None:
    assert goals.goals_of(tmp_path) == []
    reports(tmp_path, good=True)
    assert len(goals.goals_of(tmp_path, ["scaling"])) == 1
    for part in ("scaling", "budget", "replay"):
        write(tmp_path, part, {})
    for part in ("placement", "refine"):
        write(tmp_path, part, [])
    emptied = goals.goals_of(tmp_path)
    assert not any(goal.met for goal in emptied)
    assert all(math.isnan(goal.figure) for goal in emptied)


def test_each_part_is_a_module_and_each_judged_part_is_one_of_them() -> None:
    assert set(goals.JUDGES) <= set(PARTS)
    assert all(importlib.util.find_spec(f"tests.benchmarks.fleet.{part}") for part in PARTS)


def test_an_unknown_part_is_wrong_usage() -> None:
    with pytest.raises(SystemExit):
        main(["speed"])
