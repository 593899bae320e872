"""Which kind of topology dump is this file, and what does it say?"""

import re
from pathlib import Path

from data.errors import BadRecord, BadSource
from data.readers.dump import Dump, is_id, read_dump
from data.readers.slurm.topology import parse_topology
from data.readers.topology.edge_list import read_edge_list, read_node_link, recognises_edge_list, recognises_node_link
from data.readers.topology.ibnetdiscover import read_ibnetdiscover, recognises_ibnetdiscover
from data.readers.topology.nccl import read_nccl_graphs, read_nccl_topology
from data.readers.topology.netq import (
    read_compute_nodes,
    read_topology_graph,
    recognises_compute_nodes,
    recognises_topology_graph,
)
from data.readers.topology.nvidia_smi import read_nvidia_smi, recognises_nvidia_smi
from data.readers.topology.topograph import read_topograph, recognises_topograph
from data.schemas.topology import Topology, TopologyNode

KNOWN = (
    "nvidia-smi topo -m, NCCL topology or graph XML, ibnetdiscover, NetQ JSON (compute nodes, topology graph), "
    "a Topograph model in YAML, Slurm's topology.conf, an edge list (CSV source,target,bandwidth), or NetworkX JSON"
)

_SLURM = re.compile(r"^[ \t]*(SwitchName|BlockName)[ \t]*=", re.IGNORECASE | re.MULTILINE)


def read_topology(path: Path, *, node: str | None = None) -> Topology:
    """Read a topology dump; its content tells the format, whatever the file is called.

    Args:
        path: the file.
        node: the machine that the dump was taken on, for the formats that do not name it (nvidia-smi, NCCL);
            else the file's name without its last ending.

    Raises:
        SourceUnavailable: the file is missing or cannot be read.
        BadSource: no known format, or nothing in it can be used; carries every problem.
        ValueError: ``node`` is no id.
    """
    if node is not None and not is_id(node):
        raise ValueError(f"node: expected an id without spaces, got {node!r}")
    dump = read_dump(path)
    machine = node or re.sub(r"[^\w.\-]", "-", dump.stem)[:200]
    start = dump.text.lstrip()
    if start.startswith("<"):
        return _read_xml(dump, machine)
    if start[0] in "[{" and not recognises_topograph(dump.text):
        return _read_json(dump)
    if recognises_nvidia_smi(dump.text):
        return read_nvidia_smi(dump, machine)
    if recognises_ibnetdiscover(dump.text):
        return read_ibnetdiscover(dump)
    if _SLURM.search(dump.text):
        return _read_slurm(dump)
    if recognises_topograph(dump.text):
        return read_topograph(dump)
    if recognises_edge_list(dump.text):
        return read_edge_list(dump)
    raise dump.refused(KNOWN, f"text that starts with {start.splitlines()[0][:80]!r}")


def _read_xml(dump: Dump, machine: str) -> Topology:
    # read_xml parses strictly afterwards; this only looks for the name of the first element
    root = re.search(r"<([A-Za-z]\w*)", re.sub(r"<!--.*?(-->|\Z)", "", dump.text[:1_000_000], flags=re.DOTALL))
    if root and root[1] == "system":
        return read_nccl_topology(dump, machine)
    if root and root[1] == "graphs":
        return read_nccl_graphs(dump, machine)
    raise dump.refused(KNOWN, f"XML with the root element {root[1]}" if root else "XML without an element")


def _read_json(dump: Dump) -> Topology:
    document = dump.json()
    if recognises_compute_nodes(document):
        return read_compute_nodes(dump, document)
    if recognises_node_link(document):
        return read_node_link(dump, document)
    if recognises_topology_graph(document):
        return read_topology_graph(dump, document)
    first = document[0] if isinstance(document, list) and document else document
    found = f"an object with {', '.join(sorted(first))[:200] or 'no keys'}" if isinstance(first, dict) else repr(first)
    raise dump.refused(KNOWN, f"JSON: {found[:240]}")


def _read_slurm(dump: Dump) -> Topology:
    """Read tree and block lines: the leaf switch counts as the rack, the block as the NVLink domain."""
    slurm = parse_topology(dump.text, dump.name)
    names = list(dict.fromkeys([*slurm.leaves, *slurm.blocks]))
    bad = [*slurm.set_aside]
    for kind, values in (("node", names), ("switch or block", [*slurm.leaves.values(), *slurm.blocks.values()])):
        wrong = sorted({value for value in values if not is_id(value)})
        bad += [BadRecord(f"{dump.name}: {kind}", "a name without spaces", value) for value in wrong]
    unusable = {record.found for record in bad}
    nodes = tuple(
        TopologyNode(id=name, nvlink_domain=slurm.blocks.get(name), rack=slurm.leaves.get(name))
        for name in names
        if not {name, slurm.leaves.get(name), slurm.blocks.get(name)} & unusable
    )
    if not nodes:
        raise BadSource(dump.name, bad or [BadRecord(dump.name, "a switch or block with Nodes=", "none")])
    return Topology(
        source=dump.name,
        format="Slurm topology",
        scope="fabric",
        nodes=nodes,
        switches=tuple(sorted({node.rack for node in nodes if node.rack})),
        set_aside=tuple(bad),
    )
