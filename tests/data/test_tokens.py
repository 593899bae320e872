"""Streams of tokens and graphs of experts: three forms that say the same, and whatever is wrong with them by name."""

import json
from pathlib import Path

import networkx as nx
import numpy as np
import pandas as pd
import pytest

from data.errors import BadSource
from data.readers.expert_graph import expert_graph, read_expert_graph
from data.readers.tokens import read_tokens, tokens_of
from data.schemas.tokens import NOWHERE, ExpertGraph

NODES = [
    {"id": "e0", "kind": "expert", "domain": "a", "capacity": 2.0},
    {"id": "e1", "kind": "expert", "domain": "b"},
    {"id": "gpu0", "kind": "gpu", "domain": "a"},
    {"id": "gpu1", "kind": "gpu", "domain": "b"},
]
EDGES = [
    {"source": "e0", "target": "gpu0", "bandwidth": 100.0},
    {"source": "e1", "target": "gpu1", "bandwidth": 100.0},
    {"source": "gpu0", "target": "gpu1", "bandwidth": 10.0},
]


@pytest.fixture
def graph() -> ExpertGraph:
    return expert_graph(NODES, EDGES)


def written(folder: Path, name: str, content: object) -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_three_forms_of_a_stream_say_the_same(tmp_path: Path, graph: ExpertGraph):
    listed = [
        {"token_id": "x", "complexity": 2.5, "metadata": {"source": "gpu0", "lang": "en"}},
        {"token_id": 7, "source": "gpu1"},
        {"token_id": "y"},
    ]
    table = "token_id,complexity,source\nx,2.5,gpu0\n7,,gpu1\ny,,\n"
    frame = pd.DataFrame({"token_id": ["x", "7", "y"], "complexity": [2.5, None, 1.0], "source": ["gpu0", "gpu1", ""]})
    readings = [
        read_tokens(written(tmp_path, "t.json", listed), graph),
        read_tokens(written(tmp_path, "t.csv", table), graph),
        tokens_of(frame, graph),
    ]
    for reading in readings:
        assert reading.tokens.ids.tolist() == ["x", "7", "y"]
        np.testing.assert_array_equal(reading.tokens.complexity, [2.5, 1.0, 1.0])
        np.testing.assert_array_equal(reading.tokens.origin, [2, 3, NOWHERE])
        assert reading.left_out == 0


def test_a_plain_list_of_ids_is_a_stream(tmp_path: Path, graph: ExpertGraph):
    assert read_tokens(written(tmp_path, "t.json", [3, "a", 3]), graph).tokens.ids.tolist() == ["3", "a", "3"]


def test_bad_rows_are_named_and_counted_and_the_rest_is_kept(tmp_path: Path, graph: ExpertGraph):
    table = "token_id,complexity,source\n,1,gpu0\na,-2,gpu0\nb,x,gpu0\nc,1,mars\nd,1,gpu0\n"
    reading = read_tokens(written(tmp_path, "t.csv", table), graph)
    assert reading.tokens.ids.tolist() == ["d"]
    assert reading.left_out == 4
    told = "\n".join(map(str, reading.set_aside))
    for part in ("line 2.token_id", "line 3.complexity", "line 4.complexity", "line 5.source: expected a place"):
        assert part in told


def test_a_number_is_told_as_it_was_written(tmp_path: Path, graph: ExpertGraph):
    rows = [{"token_id": "a", "complexity": -2.5}, {"token_id": "b", "complexity": 1.5}]
    (bad,) = read_tokens(written(tmp_path, "t.json", rows), graph).set_aside
    assert bad.found == "-2.5"


@pytest.mark.parametrize("content", ["{", '{"a": 1}', "[]", '[{"word": 1}]'])
def test_what_is_no_stream_is_refused(tmp_path: Path, graph: ExpertGraph, content: str):
    with pytest.raises(BadSource, match=r"t\.json"):
        read_tokens(written(tmp_path, "t.json", content), graph)


def test_distances_follow_the_widest_way(graph: ExpertGraph):
    assert graph.experts == ("e0", "e1")
    far = 1 / 100 + 1 / 10 + 1 / 100
    expected = np.array([[0.0, far], [far, 0.0], [0.01, 0.11], [0.11, 0.01]]) / far
    np.testing.assert_allclose(graph.distance, expected)
    np.testing.assert_allclose(graph.share, [2 / 3, 1 / 3])


def test_networkx_writes_such_a_graph(tmp_path: Path, graph: ExpertGraph):
    made = nx.Graph()
    for node in NODES:
        made.add_node(node["id"], **{key: value for key, value in node.items() if key != "id"})
    for edge in EDGES:
        made.add_edge(edge["source"], edge["target"], bandwidth=edge["bandwidth"])
    read = read_expert_graph(written(tmp_path, "g.json", nx.node_link_data(made, edges="edges")))
    np.testing.assert_allclose(read.distance, graph.distance)


def test_a_number_of_experts_is_enough(tmp_path: Path):
    read = read_expert_graph(written(tmp_path, "g.json", {"num_experts": 4}))
    assert len(read.experts) == 4
    assert read.distance[0].tolist() == [0.0, 0.5, 0.5, 0.5]


def test_everything_wrong_with_a_graph_is_named(tmp_path: Path):
    nodes = [{"id": "a"}, {"id": "a"}, {"id": "b", "capacity": 0}]
    edges = [{"source": "a", "target": "z"}, {"source": "a", "target": "a", "bandwidth": -1}]
    with pytest.raises(BadSource) as error:
        read_expert_graph(written(tmp_path, "g.json", {"nodes": nodes, "edges": edges}))
    for part in ("nodes[1].id", "nodes[2].capacity", "edges[0]", "edges[1].bandwidth"):
        assert part in str(error.value)


def test_a_bad_token_does_not_change_what_the_others_are_called(tmp_path: Path) -> None:
    graph = expert_graph([{"id": "1"}, {"id": "2"}], [])
    good, bad = {"token_id": 7, "source": 1}, {"token_id": 3, "complexity": 10**400}
    tokens = [good, {"token_id": None}, {"token_id": 2**53 + 1}, bad]
    read = read_tokens(written(tmp_path, "t.json", tokens), graph)
    assert read.tokens.ids.tolist() == ["7", str(2**53 + 1)]
    assert read.tokens.origin.tolist() == [0, -1]
    assert [record.path for record in read.set_aside] == ["t.json: token 1.token_id", "t.json: token 3.complexity"]
