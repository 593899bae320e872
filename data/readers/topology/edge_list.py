"""Which GPUs are joined by NVLink? An edge list ``source,target,bandwidth``, or a graph in NetworkX's JSON.

An end called ``node/gpu`` or ``node:gpu`` is a GPU of that machine; any other is a machine of its own, unless its name
or its attribute ``kind`` says that it is a switch. Machines that edges join, directly or over switches, share an NVLink
domain, unless the edge is of another kind.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast, get_args, get_type_hints

import networkx as nx

from data.errors import BadRecord, BadSource
from data.readers.csv_file import parse_csv
from data.readers.dump import Dump, is_id, shown
from data.schemas.cluster import Link
from data.schemas.topology import Topology, TopologyNode

COLUMNS = ("source", "target", "bandwidth")
_GPU = re.compile(r"(?P<node>.+?)[/:](?:gpu)?\d+$", re.IGNORECASE)
_SWITCH = re.compile(r"(nv)?switch|leaf|spine|(^|[-_])sw\d*$", re.IGNORECASE)
_KINDS = get_args(get_type_hints(Link)["kind"])
_JOINING = ("nvlink",)


def recognises_edge_list(text: str) -> bool:
    """Say whether the first line names the columns ``source``, ``target`` and ``bandwidth``."""
    head = [name.strip().lower() for name in text.lstrip().split("\n", 1)[0].split(",")]
    return set(COLUMNS) <= set(head)


def recognises_node_link(document: object) -> bool:
    """Say whether a JSON document is a graph as ``networkx.node_link_data`` writes it, under either name of edges."""
    if not isinstance(document, dict) or "nodes" not in document:
        return False
    edges = document.get("edges", document.get("links"))
    first = edges[0] if isinstance(edges, list) and edges else None
    return "multigraph" in document or (isinstance(first, dict) and {"source", "target"} <= first.keys())


def read_edge_list(dump: Dump) -> Topology:
    """Read a CSV with the columns ``source``, ``target``, ``bandwidth`` (GB/s) and, if it has one, ``kind``.

    Raises:
        BadSource: no row can be used.
    """
    head, line_end, rest = dump.text.lstrip().partition("\n")
    table = parse_csv(head.lower() + line_end + rest, dump.name, dump.name, COLUMNS)
    return _topology(dump, table.rows, {}, table.set_aside)


def read_node_link(dump: Dump, document: dict[str, Any]) -> Topology:
    """Read a NetworkX graph: nodes with ``id``, edges with ``bandwidth`` (GB/s); both may have a ``kind``.

    Raises:
        BadSource: no edge can be used.
    """
    key = "edges" if "edges" in document else "links"
    nodes, edges = document["nodes"], document[key]
    if not isinstance(nodes, list) or not isinstance(edges, list):
        raise dump.refused(f"lists of nodes and {key}", shown(document))
    kinds = {str(node["id"]): str(node.get("kind", "")) for node in nodes if isinstance(node, dict) and "id" in node}
    placed = ((f"{dump.name}: {key}[{index}]", edge) for index, edge in enumerate(edges))
    return _topology(dump, placed, kinds, ())


def _topology(
    dump: Dump, edges: Iterable[tuple[str, object]], kinds: Mapping[str, str], set_aside: Sequence[BadRecord]
) -> Topology:
    bad = list(set_aside)
    links: dict[tuple[str, str], Link] = {}
    gpus: dict[str, set[str]] = {}
    switches: set[str] = set()
    joined = nx.Graph()
    for place, edge in edges:
        try:
            source, target, bandwidth, kind = _edge(place, edge)
        except BadRecord as error:
            bad.append(error)
            continue
        ends = []
        for end in (source, target):
            switch = "switch" in kinds.get(end, "").lower() or bool(_SWITCH.search(end))
            match = None if switch else _GPU.match(end)
            name = match["node"] if match else end
            (switches.add(name) if switch else gpus.setdefault(name, set()).add(end))
            joined.add_node(name)
            ends.append(name)
        if kind in _JOINING:
            joined.add_edge(*ends)
        if ends[0] != ends[1]:
            pair = (min(ends), max(ends))
            before = links[pair].bandwidth_gb_per_s if pair in links else 0.0
            links[pair] = Link(f"{pair[0]}--{pair[1]}", *pair, bandwidth_gb_per_s=before + bandwidth, kind=kind)  # type: ignore[arg-type]  # checked against the literal
    if not gpus:
        raise BadSource(dump.name, bad or [BadRecord(dump.name, "at least one edge that ends at a GPU", "none")])
    domain = {
        name: f"nvlink-{number:04d}"
        for number, part in enumerate(sorted(nx.connected_components(joined), key=min), start=1)
        for name in part
    }
    return Topology(
        source=dump.name,
        format="edge list",
        scope="fabric",
        nodes=tuple(
            TopologyNode(id=name, gpus=len(ends), nvlink_domain=domain[name]) for name, ends in sorted(gpus.items())
        ),
        links=tuple(links[pair] for pair in sorted(links)),
        switches=tuple(sorted(switches)),
        set_aside=tuple(bad),
        notes=("edges without a kind are taken as NVLink; parallel edges are one link",),
    )


def _edge(place: str, edge: object) -> tuple[str, str, float, str]:
    """Return the ends, the bandwidth in GB/s and the kind of an edge."""
    if not isinstance(edge, dict):
        raise BadRecord(place, "an object with source, target and bandwidth", shown(edge))
    row = cast("dict[str, object]", edge)
    ends = [str(row.get(column, "")).strip() for column in COLUMNS[:2]]
    for column, end in zip(COLUMNS, ends, strict=False):
        if not is_id(end):
            raise BadRecord(f"{place}.{column}", "a name without spaces", shown(row.get(column)))
    value = row.get("bandwidth", row.get("weight"))
    try:
        bandwidth = float(str(value))
    except ValueError:
        bandwidth = math.nan
    if not 0.0 < bandwidth <= 1e6:
        raise BadRecord(f"{place}.bandwidth", "GB/s above 0 and at most 1e6", shown(value))
    kind = str(row.get("kind") or "nvlink").strip().lower()
    if kind not in _KINDS:
        raise BadRecord(f"{place}.kind", f"one of {', '.join(_KINDS)}", shown(kind))
    return ends[0], ends[1], bandwidth, kind
