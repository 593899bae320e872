"""Facts about fabrics and ways through them."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.generators.ecmp import routes_of
from data.generators.fabric import fabric_of, snapshot_fabric, topology_fabric
from data.generators.topologies import dgx, fat_tree, nvl72, torus, two_tiers
from data.readers.topology.formats import read_topology
from data.schemas.cluster import Link, Node
from data.schemas.fabric import Demands, Fabric, Routes

FABRICS = {
    "nvl72": lambda: nvl72(2),
    "dgx": lambda: dgx(6, unit=3),
    "two tiers": lambda: two_tiers(8),
    "fat tree": lambda: fat_tree(4),
    "torus": lambda: torus((3, 2, 4)),
}


@pytest.fixture(scope="module", params=FABRICS)
def fabric(request: pytest.FixtureRequest) -> Fabric:
    return FABRICS[request.param]()


def between(*pairs: tuple[int, int]) -> Demands:
    source, target = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return Demands(source, target, np.ones(len(source)), np.zeros(len(source), dtype=np.int64))


def anybody(fabric: Fabric, count: int, seed: int = 0) -> Demands:
    rng = np.random.default_rng(seed)
    return between(*rng.integers(len(fabric.gpus), size=(count, 2)).tolist())


def way(fabric: Fabric, routes: Routes, flow: int) -> list[str]:
    """Return the places that a flow visits."""
    links = routes.links[routes.first[flow] : routes.first[flow + 1]]
    if not len(links):
        return []
    return [fabric.places[fabric.tail[links[0]]], *(fabric.places[head] for head in fabric.head[links])]


def test_every_way_is_connected_and_goes_from_the_sender_to_the_receiver(fabric):
    demands = anybody(fabric, 300)
    routes = routes_of(fabric, demands)
    for flow, (source, target) in enumerate(zip(demands.source, demands.target, strict=True)):
        links = routes.links[routes.first[flow] : routes.first[flow + 1]]
        assert (fabric.head[links[:-1]] == fabric.tail[links[1:]]).all()
        assert len(set(links.tolist())) == len(links)
        if source != target:
            places = way(fabric, routes, flow)
            assert (places[0], places[-1]) == (fabric.gpus[source][0], fabric.gpus[target][0])


def test_gpus_of_one_domain_use_nvlink_only(fabric):
    demands = anybody(fabric, 300)
    routes = routes_of(fabric, demands)
    for flow in np.flatnonzero(fabric.domain[demands.source] == fabric.domain[demands.target]):
        links = routes.links[routes.first[flow] : routes.first[flow + 1]]
        assert all(fabric.kinds[link] == "nvlink" for link in links)
        assert len(links) in (0, 2)


def test_the_same_flow_takes_the_same_way_and_another_salt_may_take_another(fabric):
    demands = anybody(fabric, 300)
    first, second, salted = routes_of(fabric, demands), routes_of(fabric, demands), routes_of(fabric, demands, salt=1)
    assert first.links.tobytes() == second.links.tobytes()
    assert len(salted.first) == len(first.first)
    if fabric.name.startswith(("fat", "leaf", "NVL72")):
        assert salted.links.tolist() != first.links.tolist()


def test_every_cable_is_two_links_of_one_capacity(fabric):
    assert set(Counter(fabric.cables).values()) == {2}
    assert (fabric.tail[0::2] == fabric.head[1::2]).all()
    assert (fabric.head[0::2] == fabric.tail[1::2]).all()
    assert (fabric.capacity_gb_per_s[0::2] == fabric.capacity_gb_per_s[1::2]).all()


def test_ways_of_a_torus_are_as_long_as_the_machines_are_apart():
    shape = (4, 5, 3)
    fabric = torus(shape, gpus=1)
    demands = anybody(fabric, 200)
    routes = routes_of(fabric, demands)
    for flow, (source, target) in enumerate(zip(demands.source, demands.target, strict=True)):
        a, b = np.unravel_index(source, shape), np.unravel_index(target, shape)
        apart = sum(min(abs(x - y), length - abs(x - y)) for x, y, length in zip(a, b, shape, strict=True))
        kinds = [fabric.kinds[link] for link in routes.links[routes.first[flow] : routes.first[flow + 1]]]
        assert kinds.count("trunk") == apart


def test_a_fat_tree_has_the_parts_of_its_paper():
    """K pods of k/2 edge and k/2 middle switches, (k/2)^2 cores, k^3/4 hosts (Al-Fares et al. 2008)."""
    fabric = fat_tree(6)
    assert len(fabric.switches) == 6 * 3 * 2 + 9
    assert len(set(fabric.node.tolist())) == 6**3 // 4
    assert fabric.kinds.count("trunk") == 2 * 2 * 6**3 // 4
    assert fabric.hops.max() == 4


def test_hashing_spreads_flows_over_spines_about_evenly():
    fabric = two_tiers(8, spines=4)
    demands = between(*[(source, target) for source in range(32) for target in range(32, 64)])
    routes = routes_of(fabric, demands)
    trunks = [link for link in routes.links if fabric.kinds[link] == "trunk"]
    counts = np.array(list(Counter(trunks).values()))
    assert len(counts) == 8
    assert counts.sum() == 2 * 1024
    assert ((counts - 256) ** 2).sum() / 256 < 30.0  # chi squared of 8 even parts


def test_a_relay_saves_the_spine_on_rails():
    fabric = dgx(4, unit=4)
    demands = between((0, 8 + 5))  # GPU 0 of the first machine to GPU 5 of the second
    assert way(fabric, routes_of(fabric, demands), 0) == [
        "dgx-0001",
        "dgx-0001",
        "dgx-0001",
        "unit-1-rail-5",
        "dgx-0002",
    ]
    direct = way(fabric, routes_of(fabric, demands, relay=False), 0)
    assert direct[1] == "unit-1-rail-0"
    assert direct[2].startswith("spine-")
    assert direct[3:] == ["unit-1-rail-5", "dgx-0002"]


def test_a_node_with_fewer_adapters_than_gpus_shares_them():
    node = Node("a", "H100", 4, "a", "r")
    fabric = fabric_of(
        [node, Node("b", "H100", 4, "b", "r")], [Link("a:0", "a", "s", 25.0), Link("a:1", "a", "s", 25.0)]
    )
    assert fabric.adapter_up[0, 0] == fabric.adapter_up[1, 0] != fabric.adapter_up[2, 0] == fabric.adapter_up[3, 0]
    assert fabric.cables[fabric.adapter_up[0, 0]] == "a:0"


def test_a_node_with_more_adapters_than_gpus_gives_each_gpu_its_own():
    links = [Link(f"a:{card}", "a", f"rail-{card}", 50.0) for card in range(4)]
    fabric = fabric_of([Node("a", "H100", 2, "a", "r"), Node("b", "H100", 2, "b", "r")], links)
    named = [[fabric.cables[link] for link in row if link >= 0] for row in fabric.adapter_up]
    assert named == [["a:0", "a:1"], ["a:2", "a:3"], ["b:adapter0"], ["b:adapter1"]]


def test_where_no_way_is_known_only_the_adapters_count():
    fabric = fabric_of([Node("a", "H100", 1, "a", "r"), Node("b", "H100", 1, "b", "q")], [])
    routes = routes_of(fabric, between((0, 1)))
    assert way(fabric, routes, 0) == ["a", "r", "b"]
    assert [fabric.kinds[link] for link in routes.links] == ["adapter", "adapter"]


def test_the_speed_of_nvlink_is_what_the_link_says_else_that_of_the_gpu_model():
    nodes = [Node("a", "GB200", 4, "d", "r"), Node("b", "GB200", 4, "d", "r")]
    fabric = fabric_of(nodes, [Link("a:nvlink", "a", "a:nvswitch", 1_800.0, kind="nvlink")])
    assert fabric.capacity_gb_per_s[fabric.nvlink_up[[0, 4]]].tolist() == [450.0, 900.0]


def test_a_snapshot_without_links_is_leaf_and_spine_over_its_racks(cluster):
    fabric = snapshot_fabric(cluster)
    assert len(fabric.gpus) == 32
    assert {"east", "west", "spine-1"} <= set(fabric.switches)
    assert fabric.hops[fabric.switches.index("east"), fabric.switches.index("west")] == 2


@pytest.mark.parametrize(
    ("nodes", "message"),
    [((), "at least one"), ((Node("a", "H100", 1, "a", "r"),) * 2, "each id once")],
)
def test_no_nodes_or_an_id_twice_is_refused(nodes, message):
    with pytest.raises(ValueError, match=message):
        fabric_of(nodes, [])


@settings(max_examples=15)
@given(st.integers(1, 6), st.integers(0, 100))
def test_a_way_exists_between_any_two_gpus_of_any_wiring(count, seed):
    rng = np.random.default_rng(seed)
    nodes = [Node(f"n{one}", "H100", int(rng.integers(1, 4)), f"d{one // 2}", f"r{one % 2}") for one in range(count)]
    ends = [node.id for node in nodes] + ["r0", "r1", "s0", "s1"]
    links = [
        Link(f"l{one}", *rng.choice(ends, size=2, replace=False).tolist(), 10.0) for one in range(int(rng.integers(12)))
    ]
    fabric = fabric_of(nodes, links)
    demands = anybody(fabric, 30, seed)
    routes = routes_of(fabric, demands)
    lengths = np.diff(routes.first)
    assert ((lengths >= 2) | (demands.source == demands.target)).all()


def test_the_dump_of_a_real_fabric_leads_over_its_own_cables(real_data):
    path = real_data / "topologies" / "topograph_output_ibnetdiscover_example.out"
    if not path.exists():
        pytest.skip(f"no real dump: {path} is missing")
    topology = read_topology(path)
    fabric = topology_fabric(topology)
    assert len(fabric.gpus) == 4 * 119
    real = {link.id for link in topology.links}
    demands = anybody(fabric, 500)
    routes = routes_of(fabric, demands, relay=False)
    used = {fabric.cables[link] for link in routes.links if fabric.kinds[link] != "nvlink"}
    assert used <= real
    assert len(used) > 400
