"""Facts about real dumps: what the readers must find in output that clusters really gave."""

import os
from collections import Counter
from pathlib import Path

import pytest

from data.crosscheck import cross_check
from data.errors import BadSource, SourceUnavailable
from data.readers.topology.formats import read_topology
from data.readers.topology.merge import snapshot_of, with_topology
from data.schemas.topology import Topology

DATA = Path(os.environ.get("QUANTUMFLOW_DATA", Path(__file__).parents[3] / "shared" / "data"))
FOLDER = DATA / "topologies"

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no real topology dumps in {FOLDER}")

IBNETDISCOVER = "topograph_output_ibnetdiscover_example.out"


def read(name: str) -> Topology:
    return read_topology(FOLDER / name)


def sizes(values: list[str | None]) -> list[int]:
    return sorted(Counter(values).values())


def test_a_fabric_of_eight_gb200_racks_has_its_hosts_on_eight_groups_of_rail_leaves() -> None:
    topology = read(IBNETDISCOVER)
    assert len(topology.switches) == 40
    assert len(topology.nodes) == 119
    assert sizes([node.rack for node in topology.nodes]) == [10, 11, 14, 15, 16, 17, 18, 18]
    # the names say the rack as well: a05-p1-dgx-01-c17 is tray 17 of rack 01
    by_rack = {node.rack: set[str]() for node in topology.nodes}
    for node in topology.nodes:
        by_rack[node.rack].add(node.id.rpartition("-")[0])
    assert all(len(names) == 1 for names in by_rack.values())
    assert len(by_rack) == 8


def test_nameless_adapters_of_the_fabric_are_set_aside_and_counted() -> None:
    topology = read(IBNETDISCOVER)
    found = Counter(record.found.split()[0] for record in topology.set_aside)
    assert found == {"MT4129": 69, "localhost": 3, "ubuntu": 2, "2": 1}  # the last is the fabric manager's host
    assert topology.notes == ("40 aggregation nodes of the switches left out",)


def test_every_cable_of_the_fabric_is_ndr_and_every_leaf_reaches_the_spines() -> None:
    topology = read(IBNETDISCOVER)
    hosts = {node.id for node in topology.nodes}
    host_links = [link for link in topology.links if link.source in hosts]
    trunks = [link for link in topology.links if link.source not in hosts]
    assert len(host_links) == 466
    assert {link.bandwidth_gb_per_s for link in host_links} == {50.0}
    assert len(trunks) == len(topology.links) - 466
    assert all(link.bandwidth_gb_per_s % 50 == 0 for link in trunks)
    leaves = {link.target for link in host_links}
    assert len(leaves) == 31  # four rails of eight racks; one leaf is missing
    assert leaves <= {link.source for link in trunks} | {link.target for link in trunks}


@pytest.mark.parametrize(
    ("name", "nodes", "domains", "racks"),
    [
        ("topograph_models_nvl72.yaml", 72, [18] * 4, [18] * 4),
        ("topograph_models_medium.yaml", 8, [2] * 4, [2] * 4),
        ("topograph_models_large.yaml", 96, [8] * 12, [8] * 12),
        ("topograph_models_dual-xclr-irregular.yaml", 255, [124, 131], [5, 7, *[9] * 27]),
        ("topograph_ci_expected.slinky-dra-block.conf", 96, [8] * 12, [96]),
        ("topograph_ci_expected.slinky-oci-sim-tree.conf", 96, [96], [8] * 12),
        ("topograph_output_netq_computeNodes.json", 2, [2], [2]),
        ("topograph_output_netq_topologyGraph.json", 8, [8], [4, 4]),
    ],
)
def test_models_and_dumps_have_the_domains_and_racks_that_they_draw(
    name: str, nodes: int, domains: list[int], racks: list[int]
) -> None:
    topology = read(name)
    assert len(topology.nodes) == nodes
    assert sizes([node.nvlink_domain for node in topology.nodes]) == domains
    assert sizes([node.rack for node in topology.nodes]) == racks
    assert topology.set_aside == ()


@pytest.mark.parametrize(
    ("name", "gpus", "joined"),
    [
        ("nvidia-smi_topo_m_H200x8.txt", 8, True),
        ("nvidia-smi_topo_m_GB200_tray.txt", 4, True),
        ("aws_p4d-24xl-topo.xml", 8, False),
        ("aws_p4de-24xl-topo.xml", 8, False),
        ("azure_ncv4-topo.xml", 4, False),
        ("azure_ncv4-graph.xml", 4, False),
        ("azure_ndv2-topo.xml", 8, False),
        ("azure_ndv4-topo.xml", 8, False),
        ("azure_ndv5-topo.xml", 8, False),
    ],
)
def test_machines_have_their_gpus_and_nvlink_only_where_the_dump_shows_it(name: str, gpus: int, joined: bool) -> None:
    topology = read(name)
    (node,) = topology.nodes
    assert node.gpus == gpus
    assert node.nvlink_domain == (node.id if joined else None)
    assert topology.set_aside == ()


def test_a_template_without_device_classes_is_refused() -> None:
    with pytest.raises(BadSource, match="0 among 9 pci elements"):
        read("aws_g5.48xl-topo.xml")


@pytest.mark.parametrize("gpus", [4, 8])
def test_every_readable_dump_makes_a_sound_idle_snapshot(gpus: int) -> None:
    for path in sorted(FOLDER.iterdir()):
        if path.name == "aws_g5.48xl-topo.xml":
            continue
        topology = read_topology(path)
        reading = snapshot_of(topology, gpu_model="GB200", taken_at="2026-01-31T12:00:00Z", gpus_per_node=gpus)
        assert cross_check(reading.snapshot) == (), path.name
        again = with_topology(reading.snapshot, topology)
        assert again.snapshot == reading.snapshot, path.name


def test_the_captured_slurm_switches_are_read_as_racks() -> None:
    path = DATA / "slurm_22.05.8_debian12_capture" / "scontrol_show_topology.txt"
    if not path.exists():
        pytest.skip(f"no Slurm capture in {path.parent}")
    topology = read_topology(path)
    assert sizes([node.rack for node in topology.nodes]) == [18, 18]


def test_a_real_dump_cut_anywhere_raises_nothing_but_our_errors(tmp_path: Path) -> None:
    content = (FOLDER / IBNETDISCOVER).read_bytes()
    path = tmp_path / "cut"
    for length in range(0, len(content), len(content) // 37):
        path.write_bytes(content[:length])
        try:
            assert len(read_topology(path).nodes) <= 119 + 1
        except (BadSource, SourceUnavailable):
            assert length < 1_000
