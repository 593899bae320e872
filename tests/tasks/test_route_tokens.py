"""Routing a stream: every token once, never worse than the classical router, settings by the table."""

import json
from pathlib import Path

import numpy as np
import pytest

from data.generators.tokens import domains_of_experts, token_stream
from tasks.problems.tokens import TokenWeights
from tasks.refine import Effort
from tasks.route_tokens import MOST_IN_WINDOW, adjacency, route, write_routing
from tasks.token_routing.settings import LARGE, SMALL, Hardware, recommended, settings_of

EFFORT = Effort(evaluations=30_000, rounds=1, window=6, patience=1)


@pytest.mark.parametrize(
    ("tokens", "hardware", "start", "refine"),
    [
        (SMALL - 1, "online", "bounded-hash", "quantum"),
        (SMALL - 1, "none", "bounded-hash", "none"),
        (SMALL, "online", "hash", "quantum"),
        (LARGE, "overloaded", "bounded-hash", "classical"),
        (LARGE + 1, "online", "bounded-hash", "quantum"),
    ],
)
def test_the_table_chooses(tokens: int, hardware: Hardware, start: str, refine: str):
    chosen = recommended(tokens, hardware)
    assert (chosen.start, chosen.refine) == (start, refine)
    assert recommended(SMALL, "online").layers == 2


def test_every_token_is_in_one_queue_in_the_order_in_which_it_came(tmp_path: Path):
    graph = domains_of_experts(2, 2, 2)
    tokens = token_stream(500, graph, np.random.default_rng(0))
    routed = route(tokens, graph, settings_of("hqc"), np.random.default_rng(1), effort=EFFORT)
    write_routing(tmp_path / "out.json", tokens, graph, routed, left_out=3)
    told = json.loads((tmp_path / "out.json").read_text())
    assert list(told["experts"]) == list(graph.experts)
    queued = [name for queue in told["experts"].values() for name in queue]
    assert sorted(queued) == sorted(tokens.ids.tolist())
    assert told["experts"] == adjacency(tokens, graph, routed.expert_of)
    assert told["left_out"] == 3
    methods = [row["method"] for row in told["solvers"]]
    assert methods[:2] == ["incumbent", "classical search"]
    assert "qaoa on windows" in methods
    assert min(row["cost"] for row in told["solvers"]) == next(r["cost"] for r in told["solvers"] if r["chosen"])


def test_of_a_large_stream_the_fullest_experts_are_refined_and_the_rest_stays():
    graph = domains_of_experts(2, 2, 2)
    tokens = token_stream(MOST_IN_WINDOW + 4_000, graph, np.random.default_rng(0))
    weights = TokenWeights(way=0.0, contention=0.0)
    asked = settings_of("qaoa")
    routed = route(tokens, graph, asked, np.random.default_rng(1), effort=EFFORT, weights=weights)
    assert routed.window_tokens == MOST_IN_WINDOW
    assert routed.after.fullest < routed.before.fullest


def test_a_hash_alone_is_not_refined():
    graph = domains_of_experts(1, 2, 2)
    tokens = token_stream(50, graph, np.random.default_rng(0))
    routed = route(tokens, graph, settings_of("hash"), np.random.default_rng(1), effort=EFFORT)
    assert routed.rows == ()
    assert routed.before == routed.after
