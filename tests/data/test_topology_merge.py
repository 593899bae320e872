"""Facts about what a topology adds to a snapshot."""

import pytest

from data.crosscheck import cross_check
from data.errors import BadRecord, BadSource
from data.readers.topology.merge import snapshot_of, with_topology
from data.schemas.cluster import Link, Node, Snapshot
from data.schemas.topology import Topology, TopologyNode

TAKEN_AT = "2026-01-31T12:00:00Z"


def snapshot(*nodes: Node, links: tuple[Link, ...] = ()) -> Snapshot:
    return Snapshot(cluster="test", taken_at=TAKEN_AT, nodes=nodes, links=links)


def node(identifier: str, *, gpus: int = 4, domain: str = "", rack: str = "old") -> Node:
    return Node(id=identifier, gpu_model="GB200", gpus=gpus, nvlink_domain=domain or identifier, rack=rack)


def fabric(*nodes: TopologyNode, links: tuple[Link, ...] = (), bad: tuple[BadRecord, ...] = ()) -> Topology:
    return Topology(
        source="dump", format="ibnetdiscover", scope="fabric", nodes=nodes, links=links, set_aside=bad, notes=("odd",)
    )


def machine(identifier: str, *, gpus: int = 4, domain: str | None = None) -> Topology:
    place = TopologyNode(id=identifier, gpus=gpus, nvlink_domain=domain)
    return Topology(source="dump", format="nvidia-smi topo -m", scope="machine", nodes=(place,))


def test_racks_and_domains_come_from_the_topology_and_the_rest_stays() -> None:
    topology = fabric(TopologyNode(id="a", nvlink_domain="d", rack="r"), TopologyNode(id="b"))
    reading = with_topology(snapshot(node("a"), node("b")), topology)
    assert reading.snapshot.nodes == (node("a", domain="d", rack="r"), node("b"))
    assert reading.notes == ("dump: ibnetdiscover: matched 2 of 2 nodes by name, 1 changed", "dump: odd")


def test_a_name_matches_exactly_before_its_short_form() -> None:
    topology = fabric(TopologyNode(id="a.site", rack="short"), TopologyNode(id="a", rack="exact"))
    reading = with_topology(snapshot(node("a")), topology)
    assert reading.snapshot.nodes[0].rack == "exact"
    assert "dump: in the topology only: a.site" in reading.notes


def test_a_short_name_matches_a_long_one_either_way_round_and_in_any_case() -> None:
    topology = fabric(TopologyNode(id="A", rack="r1"), TopologyNode(id="b.fabric", rack="r2"))
    reading = with_topology(snapshot(node("a.site"), node("b")), topology)
    assert [one.rack for one in reading.snapshot.nodes] == ["r1", "r2"]


def test_a_short_name_that_two_nodes_share_matches_neither() -> None:
    topology = fabric(TopologyNode(id="a", rack="r"), TopologyNode(id="b", rack="r"))
    reading = with_topology(snapshot(node("a.east"), node("a.west"), node("b")), topology)
    assert [one.rack for one in reading.snapshot.nodes] == ["old", "old", "r"]


def test_nodes_on_either_side_without_a_match_are_reported() -> None:
    topology = fabric(*(TopologyNode(id=name, rack="r") for name in ("a", "p", "q", "r", "s")))
    reading = with_topology(snapshot(node("a"), node("z")), topology)
    assert "dump: not in the topology, left as they were: z" in reading.notes
    assert "dump: in the topology only: p, q, r and 1 more" in reading.notes


def test_a_topology_of_another_cluster_is_refused() -> None:
    with pytest.raises(BadSource, match="expected nodes of the snapshot: a, found x"):
        with_topology(snapshot(node("a")), fabric(TopologyNode(id="x", rack="r")))


def test_a_model_is_laid_over_a_snapshot_by_order() -> None:
    topology = fabric(TopologyNode(id="model-1", rack="r1"), TopologyNode(id="model-2", rack="r2"))
    reading = with_topology(snapshot(node("a"), node("b"), node("c")), topology, match="order")
    assert [one.rack for one in reading.snapshot.nodes] == ["r1", "r2", "old"]


def test_links_carry_the_snapshots_names_and_replace_links_of_the_same_id() -> None:
    topology = fabric(
        TopologyNode(id="a.fabric", rack="leaf"),
        TopologyNode(id="x", rack="leaf"),
        links=(
            Link("a.fabric:mlx5_0", "a.fabric", "leaf", 50.0),
            Link("x:mlx5_0", "x", "leaf", 50.0),
            Link("leaf--spine", "leaf", "spine", 400.0),
        ),
    )
    old = (Link("a:mlx5_0", "a", "fabric", 12.5), Link("kept", "a", "b", 1.0))
    reading = with_topology(snapshot(node("a"), links=old), topology)
    assert reading.snapshot.links == (
        Link("a:mlx5_0", "a", "leaf", 50.0),
        Link("kept", "a", "b", 1.0),
        Link("leaf--spine", "leaf", "spine", 400.0),
    )
    assert "dump: 1 links of nodes that are not in the snapshot left out" in reading.notes


def test_another_gpu_count_is_set_aside_and_the_snapshots_counts() -> None:
    reading = with_topology(snapshot(node("a", gpus=8)), machine("a", gpus=7, domain="a"))
    assert reading.snapshot.nodes[0].gpus == 8
    assert [record.found for record in reading.set_aside] == ["7 GPUs"]


def test_a_dump_from_inside_one_machine_never_splits_a_domain_of_several() -> None:
    rack = snapshot(node("a", domain="nvl72"), node("b", domain="nvl72"))
    assert with_topology(rack, machine("a", domain="a")).snapshot == rack


def test_a_dump_from_inside_one_machine_names_the_domain_of_a_lone_one() -> None:
    reading = with_topology(snapshot(node("a.site", domain="unknown")), machine("a", domain="a"))
    assert reading.snapshot.nodes[0].nvlink_domain == "a.site"


def test_a_domain_of_whole_nodes_that_spans_racks_is_taken_apart_by_rack() -> None:
    places = (TopologyNode(id=name, nvlink_domain="d", rack=rack) for name, rack in (("a", "r1"), ("b", "r2")))
    reading = with_topology(snapshot(node("a", gpus=8), node("b", gpus=8)), fabric(*places))
    assert [one.nvlink_domain for one in reading.snapshot.nodes] == ["d/r1", "d/r2"]
    assert cross_check(reading.snapshot) == ()
    assert "dump: NVLink domain d spans 2 racks: taken apart by rack" in reading.notes


def test_a_domain_of_trays_may_span_racks() -> None:
    places = (TopologyNode(id=name, nvlink_domain="d", rack=rack) for name, rack in (("a", "r1"), ("b", "r2")))
    reading = with_topology(snapshot(node("a"), node("b")), fabric(*places))
    assert [one.nvlink_domain for one in reading.snapshot.nodes] == ["d", "d"]


def test_records_that_the_dump_lost_are_passed_on() -> None:
    lost = BadRecord("dump: line 3", "a port", "noise")
    assert with_topology(snapshot(node("a")), fabric(TopologyNode(id="a"), bad=(lost,))).set_aside == (lost,)


def test_an_idle_snapshot_takes_limits_from_the_gpu_model_and_counts_its_assumptions() -> None:
    topology = fabric(TopologyNode(id="a", nvlink_domain="d", rack="r"), TopologyNode(id="b", gpus=2))
    reading = snapshot_of(topology, gpu_model="NVIDIA GB200", taken_at=TAKEN_AT)
    first, second = reading.snapshot.nodes
    assert (first.gpus, first.nvlink_domain, first.rack, first.gpu_model) == (4, "d", "r", "GB200")
    assert (second.gpus, second.nvlink_domain, second.rack) == (2, "b", "unknown")
    assert first.gpu_power_max_w > 1_000
    assert reading.snapshot.jobs == ()
    assert "dump: 4 GPUs per node assumed for 1 nodes" in reading.notes
    assert "dump: NVLink domain unknown, each node its own: 1 nodes" in reading.notes


def test_an_unknown_model_needs_the_number_of_gpus() -> None:
    topology = fabric(TopologyNode(id="a", rack="r"))
    with pytest.raises(ValueError, match="give gpus_per_node"):
        snapshot_of(topology, gpu_model="Z9000", taken_at=TAKEN_AT)
    assert snapshot_of(topology, gpu_model="Z9000", taken_at=TAKEN_AT, gpus_per_node=8).snapshot.nodes[0].gpus == 8


def test_a_time_without_offset_is_a_wrong_argument() -> None:
    with pytest.raises(ValueError, match="taken_at"):
        snapshot_of(fabric(TopologyNode(id="a", gpus=8)), gpu_model="H100", taken_at="yesterday")


def test_a_topology_has_nodes_and_each_of_them_once() -> None:
    with pytest.raises(ValueError, match="at least one node"):
        fabric()
    with pytest.raises(ValueError, match="1 repeated"):
        fabric(TopologyNode(id="a"), TopologyNode(id="a"))
