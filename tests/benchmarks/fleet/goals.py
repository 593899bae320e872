"""Which goals of the fleet are met, by what the parts wrote into their JSON files?

A part that was not run has no goals; a figure that a file lacks meets none. What the project's first document claims of
a deployment that nobody can look at stands here as goals of the replay: what was measured is what counts.
"""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.solver.goals import Goal

Report = Any
"""What a part wrote: a table of tables, or rows."""

OURS, ONE_REGION = "ours", "one region, on demand, follows"


def goals_of(folder: Path, parts: Sequence[str] = ()) -> list[Goal]:
    """Return the goals of the parts whose files are in a folder, all of them or those named."""
    found: list[Goal] = []
    for part, judge in JUDGES.items():
        path = folder / f"{part}.json"
        if (part in parts or not parts) and path.is_file():
            found += judge(json.loads(path.read_text(encoding="utf-8")))
    return found


def scaling(report: Report) -> Iterator[Goal]:
    """Judge fits beside published figures: the one that is off by most of what it is allowed."""
    rows = report.get("targets", [])
    worst = max(rows, key=_off_by, default=None)
    figure = math.nan if worst is None else _off_by(worst)
    name = f"difference from {len(rows)} published figures, over what is allowed"
    yield Goal(name, "at most", 1.0, figure, "none" if worst is None else worst["name"])


def _off_by(row: Report) -> float:
    """Return by how much of what it is allowed a figure is off; counts are allowed nothing."""
    if row["allowed"]:
        return float(row["off"] / row["allowed"])
    return math.inf if row["off"] else 0.0


def budget(report: Report) -> Iterator[Goal]:
    """Judge the exact methods, what annealing and QAOA give up, and frontiers."""
    for family in ("power laws", "gain as spend"):
        given_up = report.get(family, {}).get("given_up_percent", {})
        for method in ("exact: what nothing dominates", "HiGHS"):
            yield Goal(f"% given up, {method}", "at most", 1e-6, max(given_up.get(method, [math.nan])), family)
        ours, other = (
            sum(values) / len(values) if (values := given_up.get(name, [])) else math.nan
            for name in ("QAOA, the 20 spins", "annealing, the 20 spins")
        )
        yield Goal("% given up by QAOA less annealing's, equal choices", "at most", 0.0, ours - other, family)
    rows = [row for row in report.get("frontier_table", []) if row["method"] == "NSGA-II, 100 x 200"]
    ratio = min((row["ratio"] for row in rows), default=math.nan)
    yield Goal("hypervolume of NSGA-II over the exact one", "at least", 0.999, ratio, "100 x 200, worst of all")
    listed = [row for row in report.get("frontier_table", []) if "82,251" in row["method"]]
    volume = listed[0]["hypervolume"] if listed else math.nan
    yield Goal("difference from the published hypervolume", "at most", 5e-5, abs(volume - 915.8056), "82,251 subsets")


def placement(report: Report) -> Iterator[Goal]:
    """Judge gap and seconds at both sizes, and costs beside the greedy planner's."""
    for size, seconds in (("goal", 15.0), ("large", 600.0)):
        rows = [row for row in report if row["size"] == size]
        if rows:
            where = f"{size}, worst of {len(rows)}"
            yield Goal("% of gap", "at most", 0.1, 100.0 * max(row["gap"] for row in rows), where)
            yield Goal("seconds", "at most", seconds, max(row["seconds"] for row in rows), where)
    ratios = [row["greedy_over_ours"] for row in report if row["greedy_over_ours"] is not None]
    least = min(ratios, default=math.nan)
    yield Goal("cost of the greedy planner over ours", "at least", 1.0, least, f"worst of {len(ratios)}")


def refine(report: Report) -> Iterator[Goal]:
    """Judge what search adds to the programme's plans, and QAOA on windows beside annealing on windows."""
    gained = [row["before"] - row["after"] for row in report if row["begin"] == "programme"]
    least = min(gained, default=math.nan)
    yield Goal("% gained on the programme's plan, never below 0", "at least", 0.0, 100.0 * least, "worst of all")
    for begin in ("programme", "greedy"):
        left = {
            method: [row["after"] for row in report if row["begin"] == begin and row["method"] == method]
            for method in ("qaoa on windows", "anneal on windows")
        }
        ours, other = (sum(each) / len(each) if each else math.nan for each in left.values())
        name = "% above the bound by QAOA on windows less annealing's, equal choices"
        yield Goal(name, "at most", 0.0, 100.0 * (ours - other), f"from {begin}")


def replay(report: Report) -> Iterator[Goal]:
    """Judge our policy by what the first document claims."""
    policies = report.get("replay", {}).get("policies", {})
    ours, other = policies.get(OURS, {}), policies.get(ONE_REGION, {})
    figure = {name: ours.get(name, math.nan) for name in ("ticks_served", "utilisation", "latency_p95_ms", "healed")}
    cheaper = 1.0 - ours.get("usd_per_h", math.nan) / other.get("usd_per_h", math.nan)
    where = "45 recorded days, as claimed"
    yield Goal("% cheaper than one region that follows demand", "at least", 23.0, 100.0 * cheaper, where)
    yield Goal("% of time with all demand served", "at least", 99.99, 100.0 * figure["ticks_served"], where)
    yield Goal("% of capacity in use", "at least", 91.7, 100.0 * figure["utilisation"], where)
    yield Goal("ms for 95 % of users", "at most", 89.0, figure["latency_p95_ms"], where)
    yield Goal("% of losses healed in ten minutes", "at least", 98.7, 100.0 * figure["healed"], where)


JUDGES: dict[str, Callable[[Report], Iterator[Goal]]] = {
    "scaling": scaling,
    "budget": budget,
    "placement": placement,
    "refine": refine,
    "replay": replay,
}
