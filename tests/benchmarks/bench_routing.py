"""How well are experts routed, and how fast? Ours beside EPLB and EPLB with a pair-swap search.

Three tables, on real recordings:

- *balance*: DeepSeek loads (58 layers, 256 experts) on 288 slots of 32 GPUs and of 72. Balancedness is the sum over
  layers of the mean load of a GPU / the sum of the largest; "moved" counts expert replicas that a GPU must load.
  "next" is the median balancedness of the same map on the other recordings (drift). Ours is the classical search of
  the noun from the contiguous map and from EPLB's ("a tenth": of the evaluations).
- *budget*: what ours makes of few moves, from EPLB's map of another recording.
- *crossings*: OLMoE's transitions between layers 0, 7 and 15 (64 experts, 4 GPUs, each a domain): share of tokens
  that cross a domain, on the data that the map was made for and on the other text domains (median), beside
  alternating linear assignments of experts to domains.

Milliseconds are medians of the repetitions, the methods interleaved; compiled code is warm.

Run: ``python tests/benchmarks/bench_routing.py [--repetitions 5] [--evaluations 1000000]``; needs the real data.
"""

import argparse
import csv
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
from scipy.optimize import linear_sum_assignment

from tasks.problems.routing import ExpertMap, Routing, RoutingWeights, balancedness
from tasks.problems.routing_state import Floats, Integers, Transitions
from tasks.yardsticks.eplb import Eplb, contiguous, pair_swap

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("QUANTUMFLOW_DATA", ROOT.parent / "shared" / "data"))
PLENTY = 10_000_000
NO_FLOW = Transitions(*(np.zeros(0, np.int64) for _ in range(3)), np.zeros(0))
LAYERS = {"0": 0, "7": 1, "15": 2}


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--evaluations", type=int, default=1_000_000)
    options = parser.parse_args()
    if not DATA.is_dir():
        print(f"skipped: {DATA} is missing (set QUANTUMFLOW_DATA)")
        return
    recordings = {
        path.stem: np.array(json.loads(path.read_text())["logical_count"], dtype=np.float64)[3:]
        for path in sorted((DATA / "sglang_deepseek_expert_counts").glob("*.json"))
    }
    for ranks in (32, 72):
        balance(recordings, ranks, options.repetitions, options.evaluations)
    budgets(recordings, options.evaluations)
    crossings(options.evaluations)


def routed(loads: Floats, start: Integers, ranks: int, budget: int, evaluations: int) -> Integers:
    """Return the map that the noun's search makes of ``start``, all GPUs in one domain."""
    domain = np.zeros(ranks, dtype=np.int64)
    problem = Routing("r1", loads, loads, start, domain, NO_FLOW, budget)
    return problem.search(problem.incumbent(), evaluations, np.random.default_rng(0)).decision.expert_of


def moved(before: Integers, after: Integers, ranks: int) -> int:
    """Return the replicas that some GPU must load."""
    problem = Routing("r1", np.ones((58, 256)), np.ones((58, 256)), before, np.zeros(ranks, np.int64), NO_FLOW, PLENTY)
    return int(problem.figures(ExpertMap(after))[2].value)


def balance(recordings: dict[str, Floats], ranks: int, repetitions: int, evaluations: int) -> None:
    """Print balancedness, drift, moves and time of each method, medians over the recordings."""
    slots = 288
    eplb, plain = Eplb(ranks, slots), contiguous(256, slots, 58)
    methods: dict[str, Callable[[Floats], Integers]] = {
        "contiguous": lambda _loads: plain,
        "EPLB": eplb,
        "EPLB + pair swap": lambda loads: pair_swap(loads, eplb(loads), ranks),
        "ours from contiguous": lambda loads: routed(loads, plain, ranks, PLENTY, evaluations),
        "ours, a tenth": lambda loads: routed(loads, eplb(loads), ranks, PLENTY, evaluations // 10),
        "ours from EPLB": lambda loads: routed(loads, eplb(loads), ranks, PLENTY, evaluations),
    }
    maps: dict[str, dict[str, Integers]] = {name: {} for name in methods}
    spent: dict[str, list[float]] = {name: [] for name in methods}
    for repetition in range(repetitions + 1):
        for recording, loads in recordings.items():
            for name, method in methods.items():
                started = time.perf_counter()
                maps[name][recording] = method(loads)
                if repetition:
                    spent[name].append(1000.0 * (time.perf_counter() - started) / 58)
    print(
        f"\nbalance: {slots} slots, {ranks} GPUs, {evaluations} evaluations, medians over {len(recordings)} recordings"
    )
    print(f"{'method':22}{'same':>9}{'next':>9}{'moved from contiguous':>23}{'from EPLB':>11}{'ms/layer':>10}")
    for name, made in maps.items():
        same = median(balancedness(loads, made[recording], ranks) for recording, loads in recordings.items())
        later = median(
            balancedness(loads, made[recording], ranks)
            for recording in recordings
            for other, loads in recordings.items()
            if other != recording
        )
        first = median(moved(plain, each, ranks) for each in made.values())
        second = median(moved(maps["EPLB"][recording], each, ranks) for recording, each in made.items())
        print(f"{name:22}{same:9.4f}{later:9.4f}{first:23.0f}{second:11.0f}{median(spent[name]):10.3f}")


def budgets(recordings: dict[str, Floats], evaluations: int) -> None:
    """Print what few moves gain on a new window, from EPLB's map of another one."""
    (_, old), (_, new) = list(recordings.items())[-2:]
    start, ranks = Eplb(32, 288)(old), 32
    again = Eplb(32, 288)(new)
    print("\nbudget: 288 slots, 32 GPUs, from EPLB's map of another recording")
    print(f"{'stale map':22}{balancedness(new, start, ranks):9.4f}{0:8d} moved")
    for budget in (58, 256, 512, 2048, PLENTY):
        made = routed(new, start, ranks, budget, evaluations)
        print(f"{'ours':22}{balancedness(new, made, ranks):9.4f}{moved(start, made, ranks):8d} moved")
    print(f"{'EPLB again':22}{balancedness(new, again, ranks):9.4f}{moved(start, again, ranks):8d} moved")


def crossings(evaluations: int) -> None:
    """Print crossing shares of OLMoE's transitions."""
    flows, loads = olmoe()
    print("\ncrossings: OLMoE, 4 GPUs = 4 domains, share of tokens that cross; balancedness on the same data")
    print(f"{'method':34}{'slots':>6}{'same':>8}{'other text':>12}{'balance':>9}")
    for name, slots, method in (
        ("contiguous", 64, lambda _text: contiguous(64, 64, 3)),
        ("EPLB", 64, lambda text: Eplb(4, 64)(loads[text])),
        ("alternating assignment", 64, lambda text: alternating(flows[text], 4)),
        ("ours, crossings weigh 0.2", 64, lambda text: placed(flows[text], loads[text], 64, 0.2, evaluations)),
        ("ours, crossings weigh 10", 64, lambda text: placed(flows[text], loads[text], 64, 10.0, evaluations)),
        ("EPLB", 72, lambda text: Eplb(4, 72)(loads[text])),
        ("ours, crossings weigh 0.2", 72, lambda text: placed(flows[text], loads[text], 72, 0.2, evaluations)),
        ("ours, crossings weigh 2", 72, lambda text: placed(flows[text], loads[text], 72, 2.0, evaluations)),
    ):
        made = {text: method(text) for text in flows}
        same = median(crossing(flows[text], loads[text], each) for text, each in made.items())
        other = median(
            crossing(flows[far], loads[far], each) for text, each in made.items() for far in flows if far != text
        )
        even = median(balancedness(loads[text], each, 4) for text, each in made.items())
        print(f"{name:34}{slots:6d}{same:8.3f}{other:12.3f}{even:9.4f}")


def olmoe() -> tuple[dict[str, Transitions], dict[str, Floats]]:
    """Return the transitions and the loads, ``(3, 64)``, of each text domain."""
    rows: dict[str, list[tuple[int, int, int, float]]] = {}
    with (DATA / "olmoe_routing" / "crosslayer_top1.csv").open(newline="") as lines:
        for row in csv.DictReader(lines):
            step = (LAYERS[row["layer_i"]], int(row["expert_i"]), int(row["expert_j"]), float(row["count"]))
            rows.setdefault(row["domain"], []).append(step)
    loads = {text: np.zeros((3, 64)) for text in rows}
    with (DATA / "olmoe_routing" / "expert_counts.csv").open(newline="") as lines:
        for row in csv.DictReader(lines):
            if row["kind"] == "expert_counts":
                loads[row["domain"]][LAYERS[row["layer"]], int(row["expert"])] = float(row["count"])
    flows = {}
    for text, steps in rows.items():
        table = np.array(steps)
        layer, source, target = table[:, :3].astype(np.int64).T
        flows[text] = Transitions(layer, source, target, table[:, 3])
    return flows, loads


def posed(flow: Transitions, loads: Floats, start: Integers, weight: float) -> Routing:
    """Return the problem on four GPUs, each a domain."""
    return Routing("olmoe", loads, loads, start, np.arange(4), flow, PLENTY, RoutingWeights(traffic=weight))


def placed(flow: Transitions, loads: Floats, slots: int, weight: float, evaluations: int) -> Integers:
    """Return the map of the noun's search."""
    problem = posed(flow, loads, contiguous(64, slots, 3), weight)
    return problem.search(problem.incumbent(), evaluations, np.random.default_rng(0)).decision.expert_of


def crossing(flow: Transitions, loads: Floats, placement: Integers) -> float:
    """Return the share of tokens that cross a domain."""
    problem = posed(flow, loads, placement, 1.0)
    return problem.figures(problem.incumbent())[1].value


def alternating(flow: Transitions, domains: int) -> Integers:
    """Return the best of 20 alternating assignments of equally many experts to each domain, ``(3, 64)``."""
    tokens = np.zeros((2, 64, 64))
    np.add.at(tokens, (flow.layer, flow.source, flow.target), flow.tokens)
    room, rng = 64 // domains, np.random.default_rng(0)
    best, stays = np.zeros((3, 64), np.int64), -1.0
    for _ in range(20):
        home = np.array([rng.permutation(np.arange(64) // room) for _ in range(3)])
        reached, last = 0.0, -1.0
        while reached > last:
            last = reached
            for layer in range(3):
                gain = np.zeros((64, domains))
                if layer:
                    gain += tokens[layer - 1].T @ np.eye(domains)[home[layer - 1]]
                if layer < 2:
                    gain += tokens[layer] @ np.eye(domains)[home[layer + 1]]
                home[layer] = linear_sum_assignment(np.repeat(gain, room, axis=1), maximize=True)[1] // room
            reached = sum(float((tokens[at] * (home[at][:, None] == home[at + 1])).sum()) for at in range(2))
        if reached > stays:
            best, stays = np.argsort(home, axis=1, kind="stable"), reached
    return best


if __name__ == "__main__":
    main()
