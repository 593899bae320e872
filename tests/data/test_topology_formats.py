"""Facts about the topology readers, on small dumps of our own."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import BadRecord, BadSource, SourceUnavailable
from data.readers.topology.formats import read_topology
from data.schemas.cluster import Link
from data.schemas.topology import Topology, TopologyNode

FOLDER = Path(__file__).parent / "fixtures" / "topology"
READABLE = sorted(path for path in FOLDER.iterdir() if path.name != "entity_bomb.xml")


def read(name: str, *, node: str | None = None) -> Topology:
    return read_topology(FOLDER / name, node=node)


def problems(topology: Topology) -> list[str]:
    return [f"{record.path.partition(': ')[2]} found {record.found}" for record in topology.set_aside]


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "dump"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def refusal(folder: Path, content: str | bytes) -> str:
    with pytest.raises(BadSource) as caught:
        read_topology(written(folder, content))
    return str(caught.value)


def test_nvidia_smi_tells_gpus_islands_and_nearest_nics() -> None:
    topology = read("nvidia_smi_bridged_pairs.txt", node="host-7")
    assert topology.nodes == (TopologyNode(id="host-7", gpus=4, nvlink_domain="host-7"),)
    assert topology.scope == "machine"
    assert topology.set_aside == ()
    assert "2 NVLink islands in one machine, which a snapshot cannot tell apart" in topology.notes
    assert topology.notes[-1] == (
        "nearest NICs: GPU0 mlx5_0 (PIX), GPU1 mlx5_0 (PXB), GPU2 mlx5_1 (PHB), GPU3 mlx5_1 (NODE)"
    )


def test_nvidia_smi_sets_bad_and_missing_rows_aside_and_keeps_the_rest() -> None:
    topology = read("nvidia_smi_damaged.txt")
    assert topology.nodes[0].id == "nvidia_smi_damaged"
    assert topology.nodes[0].gpus == 4
    found = problems(topology)
    assert [text for text in found if text.startswith("line 3")]
    assert "GPU3 found none" in found
    assert len(found) == 3  # the bad row and two rows that are missing, one of them because it is bad


def test_nvidia_smi_without_nvlink_names_no_domain(tmp_path: Path) -> None:
    text = "\tGPU0\tGPU1\tCPU Affinity\tNUMA Affinity\nGPU0\t X \tPHB\t0-7\t0\nGPU1\tPHB\t X \t0-7\t0\n"
    topology = read_topology(written(tmp_path, text))
    assert topology.nodes[0].nvlink_domain is None
    assert "no NVLink between any two GPUs" in topology.notes


def test_nvidia_smi_says_where_the_two_directions_differ(tmp_path: Path) -> None:
    text = "\tGPU0\tGPU1\tCPU Affinity\nGPU0\t X \tNV6\t0\nGPU1\tNV12\t X \t0\n"
    topology = read_topology(written(tmp_path, text))
    assert problems(topology) == ["GPU0 to GPU1 found NV6"]


def test_nccl_topology_tells_links_and_the_gpu_that_lost_the_fabric() -> None:
    topology = read("nccl_switched.xml", node="host-1")
    assert topology.nodes == (TopologyNode(id="host-1", gpus=4, nvlink_domain="host-1"),)
    assert topology.links == (
        Link("host-1:mlx5_0", "host-1", "fabric", 50.0, kind="infiniband"),
        Link("host-1:eth0", "host-1", "fabric", 12.5, kind="ethernet"),
        Link("host-1:nvlink", "host-1", "host-1:nvswitch", 3 * 18 * 25.0, kind="nvlink"),
    )
    assert "without NVLink while 3 others have it, a broken fabric: GPU 3 (0000:ab:00.0)" in topology.notes
    assert [text.partition(" found ")[0] for text in problems(topology)] == ["line 24"]


def test_nccl_graphs_tell_gpus_and_speeds() -> None:
    topology = read("nccl_graphs.xml", node="host-1")
    assert topology.nodes == (TopologyNode(id="host-1", gpus=2, nvlink_domain="host-1"),)
    assert "speedintra 40" in topology.notes[1]
    assert problems(topology) == ["line 4 found ['1', '1']"]


def test_xml_with_a_document_type_is_refused() -> None:
    with pytest.raises(BadSource, match="DOCTYPE or ENTITY"):
        read("entity_bomb.xml")


def test_xml_nested_too_deeply_is_refused(tmp_path: Path) -> None:
    assert "more than 64" in refusal(tmp_path, "<system>" + "<pci>" * 70 + "</pci>" * 70 + "</system>")


def test_nccl_topology_without_classes_is_refused_since_no_gpu_can_be_told(tmp_path: Path) -> None:
    assert "0 among 1 pci" in refusal(tmp_path, '<system version="1"><cpu><pci busid="0000:00:16.0"/></cpu></system>')


def test_ibnetdiscover_tells_hosts_leaves_and_cables() -> None:
    topology = read("ibnetdiscover_two_leaves.txt")
    assert topology.nodes == (
        TopologyNode(id="node01", rack="leaf-a"),
        TopologyNode(id="node02", rack="leaf-a"),
        TopologyNode(id="node03", rack="leaf-b"),
    )
    assert topology.switches == ("leaf-a", "leaf-b", "spine-1")
    assert topology.links == (
        Link("node01:mlx5_0", "node01", "leaf-a", 50.0, kind="infiniband"),
        Link("node02:mlx5_0", "node02", "leaf-a", 12.5, kind="infiniband"),
        Link("node03:mlx5_0", "node03", "leaf-b", 50.0, kind="infiniband"),
        Link("leaf-a--spine-1", "leaf-a", "spine-1", 100.0, kind="infiniband"),
        Link("leaf-b--spine-1", "leaf-b", "spine-1", 50.0, kind="infiniband"),
    )


def test_ibnetdiscover_sets_nameless_adapters_and_damaged_lines_aside_with_their_lines() -> None:
    lines = [text.partition(" found ")[0] for text in problems(read("ibnetdiscover_two_leaves.txt"))]
    assert sorted(lines) == ["line 13", "line 14", "line 17", "line 26"]


def test_ibnetdiscover_sets_a_host_with_few_adapters_aside(tmp_path: Path) -> None:
    ports = [f'[{i + 1}]\t"H-a{i}"[1](a{i}) \t# "node{i // 4} mlx5_{i % 4}" lid {i} 4xNDR' for i in range(12)]
    ports.append('[60]\t"H-ff"[1](ff) \t# "manager mlx5_0" lid 99 4xNDR')
    head = 'vendid=0x2c9\nSwitch\t65 "S-01"\t# "MF0;leaf:M/U1" enhanced port 0 lid 1 lmc 0\n'
    topology = read_topology(written(tmp_path, head + "\n".join(ports)))
    assert [node.id for node in topology.nodes] == ["node0", "node1", "node2"]
    assert problems(topology) == ["host manager found 1"]
    assert all(link.source != "manager" for link in topology.links)


def test_netq_compute_nodes_tell_domains_and_chassis() -> None:
    topology = read("netq_compute_nodes.json")
    assert topology.nodes == (
        TopologyNode(id="tray-1", gpus=4, nvlink_domain="dom-a", rack="1001"),
        TopologyNode(id="tray-2", gpus=4, nvlink_domain="dom-a", rack="1001"),
    )
    assert topology.notes == ("tray-2 is UNHEALTHY",)
    assert problems(topology) == [
        "[2].Name found tray 3",
        "[3].DomainUUID found None",
        "[4].GpuIDList found []",
    ]


def test_netq_topology_graph_tells_the_leaf_even_where_the_spine_has_more_cables() -> None:
    topology = read("netq_topology_graph.json")
    assert topology.nodes == (TopologyNode(id="host-1", rack="leaf-1"),)
    assert topology.switches == ("leaf-1", "spine-1")
    assert len(topology.set_aside) == 3  # an id used twice, a link to nowhere, a host without cables
    assert topology.notes == ("14 cables without a speed: no links",)


def test_topograph_reads_names_as_they_are_written() -> None:
    topology = read("model.yaml")
    assert [node.id for node in topology.nodes[:3]] == ["node0008", "node0009", "0012"]
    assert topology.nodes[0] == TopologyNode(id="node0008", nvlink_domain="nvl-1", rack="rack-1")
    assert topology.nodes[-1] == TopologyNode(id="node0103", nvlink_domain=None, rack="rack-2")
    assert topology.switches == ("rack-1", "rack-2", "spine")
    assert topology.notes == ("1 sub-domains, which a snapshot does not tell apart",)
    assert [text.partition(" found ")[0] for text in problems(topology)] == [
        "blocks[1].annotations .../domain",
        "blocks[1].nodes[1]",
        "blocks[1].nodes[2]",
        "blocks[2]",
    ]


def test_yaml_aliases_are_refused(tmp_path: Path) -> None:
    assert "an alias in line 2" in refusal(tmp_path, "blocks: &a []\nswitches: *a\n")


def test_yaml_nested_too_deeply_is_refused(tmp_path: Path) -> None:
    assert "at most 32 levels" in refusal(tmp_path, "blocks: " + "[" * 40 + "]" * 40)


def test_a_range_of_a_billion_nodes_is_refused(tmp_path: Path) -> None:
    assert "nodes[0]" in refusal(tmp_path, "blocks:\n- switch: s\n  nodes: ['n[1-1000000000]']\n")


def test_slurm_topology_gives_the_leaf_as_rack_and_the_block_as_domain() -> None:
    topology = read("topology.conf")
    assert topology.nodes == (
        TopologyNode(id="n01", nvlink_domain="block1", rack="leaf1"),
        TopologyNode(id="n02", nvlink_domain="block1", rack="leaf1"),
    )
    assert len(topology.set_aside) == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("hello\nworld\n", "text that starts with 'hello'"),
        ('{"nodes": 3, "edges": []}', "JSON: an object with edges, nodes"),
        ("[1, 2]", "JSON: 1"),
        ("<html><body/></html>", "XML with the root element html"),
        ("<!-- nothing -->", "XML without an element"),
        (b"\x7fELF\0\0", "binary data"),
        ("  \n", "an empty file"),
        ("[" * 100_000, "JSON"),
    ],
)
def test_a_file_of_another_kind_is_refused_saying_what_it_is(tmp_path: Path, content: str | bytes, said: str) -> None:
    assert said in refusal(tmp_path, content)


def test_a_missing_file_is_unavailable_and_a_folder_is_no_dump(tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailable, match="nowhere"):
        read_topology(tmp_path / "nowhere")
    with pytest.raises(BadSource, match="a regular file"):
        read_topology(tmp_path)


def test_a_file_that_is_too_large_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(200 << 20)
    with pytest.raises(BadSource, match="at most 134217728 bytes"):
        read_topology(path)


def test_a_machine_name_that_is_no_id_is_a_wrong_argument() -> None:
    with pytest.raises(ValueError, match="without spaces"):
        read("nccl_switched.xml", node="host 1; reboot")


@pytest.mark.parametrize("path", READABLE, ids=lambda path: path.stem)
@settings(max_examples=40, deadline=None, derandomize=True)
@given(cut=st.floats(0.0, 1.0), position=st.floats(0.0, 1.0), byte=st.integers(0, 255))
def test_a_cut_or_altered_file_raises_nothing_but_our_errors(
    path: Path, cut: float, position: float, byte: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = bytearray(path.read_bytes())
    content[int(position * (len(content) - 1))] = byte
    folder = tmp_path_factory.getbasetemp()
    try:
        topology = read_topology(written(folder, bytes(content[: int(cut * len(content))])))
    except (BadSource, SourceUnavailable):
        return
    assert topology.nodes
    assert all(isinstance(record, BadRecord) for record in topology.set_aside)


def test_a_model_of_more_nodes_than_any_cluster_has_is_refused(tmp_path: Path) -> None:
    assert "at most 200000 nodes" in refusal(tmp_path, "blocks:\n- switch: s\n  nodes: ['n[1-300000]']\n")


def test_files_made_to_be_slow_are_not(tmp_path: Path) -> None:
    ports = "\n".join(f'[{i}]\t"S-{i:x}"[1]\t# "MF0;leaf{i}:M/U1" lid 1 4xNDR' for i in range(3_000))
    everywhere = f'vendid=0x1\nCa\t3000 "H-ff"\t# "host mlx5_0"\n{ports}\n'
    assert len(read_topology(written(tmp_path, everywhere)).nodes) == 1
    assert "text that starts with 'x'" in refusal(tmp_path, "\n" * 300_000 + "x")
    assert "at most 2000 characters" in refusal(tmp_path, "vendid=0x1\n" + '"#' * 200_000)


def test_a_document_type_is_refused_even_without_entities(tmp_path: Path) -> None:
    assert "DOCTYPE" in refusal(tmp_path, '<!DOCTYPE system SYSTEM "file:///etc/passwd"><system version="1"/>')


def test_a_host_that_hangs_on_two_racks_does_not_make_them_one(tmp_path: Path) -> None:
    lines = ["vendid=0x2c9"]
    for rack in (1, 2):
        lines.append(f'Switch\t65 "S-{rack}"\t# "MF0;leaf-{rack}:M/U1" enhanced port 0 lid {rack} lmc 0')
        lines += [f'[{i}]\t"H-{rack}{i}"[1]() \t# "n{rack}{i} mlx5_0" lid 9 4xNDR' for i in range(1, 6)]
        lines.append(f'[9]\t"H-f{rack}"[1]() \t# "bridge mlx5_{rack}" lid 9 4xNDR')
    topology = read_topology(written(tmp_path, "\n".join(lines)))
    assert {node.id: node.rack for node in topology.nodes if node.id != "bridge"} == {
        f"n{rack}{i}": f"leaf-{rack}" for rack in (1, 2) for i in range(1, 6)
    }
