"""Which experts are there, and what joins them? A ``model_graph`` as NetworkX JSON."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from data.errors import BadRecord, BadSource
from data.expert_distance import connected
from data.readers.dump import is_id, read_dump, shown
from data.schemas.tokens import ExpertGraph

_FLOAT_END = 10**308


def read_expert_graph(path: Path) -> ExpertGraph:
    """Read a ``model_graph``: NetworkX JSON, or only how many experts there are, ``{"num_experts": 64}``.

    Nodes have an ``id``; those whose ``kind`` is ``expert`` are the experts, all of them where no node says. They may
    say ``capacity`` (1) and ``domain`` or ``nvlink_domain``. Edges may say ``bandwidth``: a token's way takes the sum
    of the inverse bandwidths. Without edges an expert is near (0.5) in its own domain and far (1) in another.

    Raises:
        SourceUnavailable: the file cannot be read.
        BadSource: it holds no experts; every bad node and edge is named.
    """
    dump = read_dump(path)
    document = dump.json()
    if not isinstance(document, dict):
        raise dump.refused("a graph: an object with nodes, or num_experts", shown(document))
    count = document.get("num_experts", document.get("experts"))
    if isinstance(count, int) and not isinstance(count, bool) and 0 < count <= 1_000_000:
        return expert_graph([{"id": f"expert-{number}"} for number in range(count)], [], dump.name)
    nodes, edges = document.get("nodes"), document.get("edges", document.get("links", []))
    if not isinstance(nodes, list) or not isinstance(edges, list):
        raise dump.refused("lists of nodes and of edges (or links), or num_experts", ", ".join(document) or "no keys")
    return expert_graph(nodes, edges, dump.name)


def expert_graph(nodes: list[Any], edges: list[Any], source: str = "model_graph") -> ExpertGraph:
    """Return the graph of ``nodes`` and ``edges`` as :func:`read_expert_graph` describes them.

    Raises:
        BadSource: a node or an edge is wrong; every one of them is named.
    """
    bad: list[BadRecord] = []
    names: dict[str, Mapping[str, Any]] = {}
    for index, node in enumerate(nodes):
        place = f"{source}: nodes[{index}]"
        name = str(node.get("id", "")) if isinstance(node, dict) else ""
        if not is_id(name) or name in names:
            bad.append(BadRecord(f"{place}.id", "a name of its own without spaces", shown(node)))
        elif _positive(node.get("capacity", 1.0)) is None:
            bad.append(BadRecord(f"{place}.capacity", "a number above 0", shown(node["capacity"])))
        else:
            names[name] = node
    index_of = {name: number for number, name in enumerate(names)}
    ways: list[tuple[int, int, float]] = []
    for index, edge in enumerate(edges):
        place = f"{source}: edges[{index}]"
        ends = [str(edge.get(end, "")) for end in ("source", "target")] if isinstance(edge, dict) else []
        width = _positive(edge.get("bandwidth", 1.0)) if isinstance(edge, dict) else None
        if not ends or any(end not in index_of for end in ends):
            bad.append(BadRecord(place, "source and target among the nodes", shown(edge)))
        elif width is None:
            bad.append(BadRecord(f"{place}.bandwidth", "a number above 0", shown(edge["bandwidth"])))
        else:
            ways.append((index_of[ends[0]], index_of[ends[1]], 1.0 / width))
    marked = [name for name, node in names.items() if str(node.get("kind", "")).lower() == "expert"]
    experts = marked or list(names)
    if bad or not experts:
        raise BadSource(source, bad or [BadRecord(source, "at least one expert", "none")])
    return connected(
        places=tuple(names),
        domains=[str(node.get("domain", node.get("nvlink_domain", ""))) for node in names.values()],
        experts=np.array([index_of[name] for name in experts], dtype=np.int64),
        capacity=np.array([float(names[name].get("capacity", 1.0)) for name in experts]),
        ways=ways,
    )


def _positive(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < _FLOAT_END:
        return None
    return float(value)
