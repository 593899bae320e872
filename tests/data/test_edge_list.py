"""The original project's topologies: an edge list in CSV, and a graph as NetworkX writes it."""

import json
from pathlib import Path

import networkx as nx
import pytest

from data.errors import BadSource
from data.readers.sources import Fabric
from data.readers.topology.formats import read_topology


def written(folder: Path, text: str, name: str = "links.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_gpus_that_edges_join_share_a_domain(tmp_path: Path):
    text = "source,target,bandwidth\nn1/gpu0,n1/gpu1,450\nn1/gpu1,n2/gpu0,450\nn3/gpu0,n3/gpu1,300\n"
    topology = read_topology(written(tmp_path, text))
    assert topology.format == "edge list"
    assert [(node.id, node.gpus) for node in topology.nodes] == [("n1", 2), ("n2", 1), ("n3", 2)]
    domain = {node.id: node.nvlink_domain for node in topology.nodes}
    assert domain["n1"] == domain["n2"] != domain["n3"]
    assert [(link.source, link.target, link.bandwidth_gb_per_s) for link in topology.links] == [("n1", "n2", 450.0)]


def test_switches_join_but_hold_no_gpus(tmp_path: Path):
    text = "source,target,bandwidth\na,nvswitch0,900\nb,nvswitch0,900\nb,leaf1,50\n"
    topology = read_topology(written(tmp_path, text))
    assert [node.id for node in topology.nodes] == ["a", "b"]
    assert topology.switches == ("leaf1", "nvswitch0")


def test_edges_of_another_kind_do_not_join(tmp_path: Path):
    text = "source,target,bandwidth,kind\na,b,900,nvlink\nb,c,50,infiniband\n"
    domain = {node.id: node.nvlink_domain for node in read_topology(written(tmp_path, text)).nodes}
    assert domain["a"] == domain["b"] != domain["c"]


@pytest.mark.parametrize("edges", ["links", "edges"])
def test_a_graph_of_networkx_says_the_same(tmp_path: Path, edges: str):
    graph = nx.Graph()
    graph.add_node("x", kind="NVSwitch")
    graph.add_edge("a", "x", bandwidth=900)
    graph.add_edge("b", "x", bandwidth=900)
    document = nx.node_link_data(graph, edges=edges)
    topology = read_topology(written(tmp_path, json.dumps(document), "graph.json"))
    assert [node.id for node in topology.nodes] == ["a", "b"]
    assert len({node.nvlink_domain for node in topology.nodes}) == 1
    assert len(topology.links) == 2


def test_bad_rows_are_named_and_the_rest_is_kept(tmp_path: Path):
    text = "source,target,bandwidth,kind\na,b,fast,\na,,100,\na,b,-1,\na,b,100,string\na,b,100,\n"
    topology = read_topology(written(tmp_path, text))
    assert [link.bandwidth_gb_per_s for link in topology.links] == [100.0]
    told = "\n".join(map(str, topology.set_aside))
    for part in ("line 2.bandwidth", "line 3.target", "line 4.bandwidth", "line 5.kind"):
        assert part in told


def test_nothing_usable_is_refused(tmp_path: Path):
    with pytest.raises(BadSource, match=r"line 2\.bandwidth"):
        read_topology(written(tmp_path, "source,target,bandwidth\na,b,none\n"))


def test_a_fabric_by_itself_is_an_idle_cluster(tmp_path: Path):
    text = "source,target,bandwidth\nn1/gpu0,n1/gpu1,450\nn2/gpu0,n2/gpu1,450\n"
    snapshot = Fabric(written(tmp_path, text))().snapshot
    assert [(node.id, node.gpus, node.gpu_model) for node in snapshot.nodes] == [("n1", 2, "H100"), ("n2", 2, "H100")]
    assert snapshot.jobs == ()
