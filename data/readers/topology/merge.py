"""What does a topology add to a snapshot, and what snapshot does it make by itself?"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from typing import Literal

from pydantic import ValidationError

from data.digest import SNAPSHOT
from data.errors import BadRecord, BadSource
from data.readers.gpu_models import find_gpu_model
from data.readers.host_names import host_names
from data.readers.reading import Reading
from data.schemas.cluster import Link, Node, Snapshot
from data.schemas.topology import Topology, TopologyNode

UNKNOWN_RACK = "unknown"
_TRAY_GPUS = 4
"""Nodes with more GPUs hold a whole NVLink domain; only trays (4 GPUs and less) share one across racks."""


def with_topology(snapshot: Snapshot, topology: Topology, *, match: Literal["name", "order"] = "name") -> Reading:
    """Return ``snapshot`` with racks, NVLink domains and links as ``topology`` says.

    Nodes are matched by id, then by short host name. What the dump does not say stays as it was; so does an NVLink
    domain that the snapshot spans over several machines while the dump looks inside one only.

    Args:
        snapshot: free of contradictions, as it will be afterwards.
        topology: what :func:`data.readers.topology.formats.read_topology` found.
        match: ``order`` gives the first node of the snapshot the place of the topology's first, and so on: for
            models, which name their nodes freely.

    Raises:
        BadSource: no node of the topology is in the snapshot.
    """
    place_of, stray = _matched(snapshot, topology, match)
    shared = {domain for domain, nodes in _by_domain(snapshot.nodes).items() if len(nodes) > 1}
    bad = list(topology.set_aside)
    nodes = []
    for node in snapshot.nodes:
        place = place_of.get(node.id)
        if place and place.gpus not in (None, node.gpus):
            expected = f"{node.gpus} GPUs, as in the snapshot (which counts)"
            bad.append(BadRecord(f"{topology.source}: {place.id}", expected, f"{place.gpus} GPUs"))
        nodes.append(_moved(node, place, topology, shared) if place else node)
    nodes, split = _split_by_rack(nodes)
    links, lost = _links(snapshot.links, topology, {place.id: node for node, place in place_of.items()})
    changed = sum(old != new for old, new in zip(snapshot.nodes, nodes, strict=True))
    bare = [node.id for node in snapshot.nodes if node.id not in place_of]
    notes = [
        f"{topology.format}: matched {len(place_of)} of {len(snapshot.nodes)} nodes by {match}, {changed} changed",
        *topology.notes,
        *split,
    ]
    notes += [f"not in the topology, left as they were: {_some(bare)}"] if bare else []
    notes += [f"in the topology only: {_some(stray)}"] if stray else []
    notes += [f"{lost} links of nodes that are not in the snapshot left out"] if lost else []
    notes = [f"{topology.source}: {note}" for note in notes]
    return Reading(replace(snapshot, nodes=tuple(nodes), links=links), tuple(bad), tuple(notes))


def snapshot_of(
    topology: Topology, *, gpu_model: str, taken_at: str, cluster: str = "topology", gpus_per_node: int | None = None
) -> Reading:
    """Return an idle cluster with the nodes and links of ``topology``.

    A node whose NVLink domain is unknown is its own domain; racks that are unknown are one, named ``unknown``.

    Args:
        topology: what :func:`data.readers.topology.formats.read_topology` found.
        gpu_model: a model of :data:`data.readers.gpu_models.GPU_MODELS`, which gives the power limits; another name
            is taken as it is, with the schema's default limits.
        taken_at: ISO 8601 with offset.
        cluster: the snapshot's name.
        gpus_per_node: used where the dump does not say; else the model's usual number.

    Raises:
        BadSource: a node or a link does not fit the schema, e.g. more GPUs on a node than there are on any.
        ValueError: nobody says how many GPUs a node has, or ``taken_at`` or ``cluster`` is malformed.
    """
    model = find_gpu_model(gpu_model)
    notes = [f"{topology.source}: {note}" for note in topology.notes]
    guessed = gpus_per_node or (model.gpus_per_node if model else None)
    silent = [place.id for place in topology.nodes if place.gpus is None]
    if silent and guessed is None:
        raise ValueError(f"{topology.source} does not say how many GPUs {_some(silent)} have: give gpus_per_node")
    if silent:
        notes.append(f"{topology.source}: {guessed} GPUs per node assumed for {len(silent)} nodes")
    alone = sum(place.nvlink_domain is None for place in topology.nodes)
    notes += [f"{topology.source}: NVLink domain unknown, each node its own: {alone} nodes"] if alone else []
    nodes = []
    for place in topology.nodes:
        node = Node(
            id=place.id,
            gpu_model=model.name if model else gpu_model,
            gpus=place.gpus or guessed or 1,
            nvlink_domain=place.nvlink_domain or place.id,
            rack=place.rack or UNKNOWN_RACK,
        )
        if model:
            limits = (float(model.power_min_w), float(model.power_max_w), float(model.idle_w))
            node = replace(node, gpu_power_min_w=limits[0], gpu_power_max_w=limits[1], gpu_idle_w=limits[2])
        nodes.append(node)
    nodes, split = _split_by_rack(nodes)
    notes += [f"{topology.source}: {note}" for note in split]
    snapshot = Snapshot(cluster=cluster, taken_at=taken_at, nodes=tuple(nodes), links=topology.links)
    try:
        checked = SNAPSHOT.validate_json(SNAPSHOT.dump_json(snapshot))
    except ValidationError as error:
        wrong = [
            BadRecord(f"{topology.source}: {'.'.join(map(str, each['loc']))}", each["msg"], each["input"])
            for each in error.errors(include_url=False)
            if each["loc"][0] in ("nodes", "links")
        ]
        if not wrong:
            raise
        raise BadSource(topology.source, [*topology.set_aside, *wrong]) from error
    return Reading(checked, topology.set_aside, tuple(notes))


def _matched(
    snapshot: Snapshot, topology: Topology, match: Literal["name", "order"]
) -> tuple[dict[str, TopologyNode], list[str]]:
    """Return the place of each matched node, by the snapshot's id, and the topology's ids that fit nowhere."""
    places: dict[str, TopologyNode] = {}
    stray: list[str] = []
    if match == "order":
        places = {node.id: place for node, place in zip(snapshot.nodes, topology.nodes, strict=False)}
        stray = [place.id for place in topology.nodes[len(places) :]]
    else:
        names = host_names(node.id for node in snapshot.nodes)
        # full names first, so that a short one never takes the place of its owner
        for place in sorted(topology.nodes, key=lambda place: place.id not in names.ids):
            found = names.find(place.id)
            if found is None or found in places:
                stray.append(place.id)
            else:
                places[found] = place
    if not places:
        expected = f"nodes of the snapshot: {_some([node.id for node in snapshot.nodes])}"
        missing = BadRecord(topology.source, expected, _some([place.id for place in topology.nodes]))
        raise BadSource(topology.source, [*topology.set_aside, missing])
    return places, stray


def _moved(node: Node, place: TopologyNode, topology: Topology, shared: set[str]) -> Node:
    domain = place.nvlink_domain or node.nvlink_domain
    if topology.scope == "machine":
        domain = node.nvlink_domain if node.nvlink_domain in shared or not place.nvlink_domain else node.id
    return replace(node, nvlink_domain=domain, rack=place.rack or node.rack)


def _split_by_rack(nodes: Iterable[Node]) -> tuple[list[Node], list[str]]:
    """Return the nodes with every domain of large nodes that spans racks taken apart by rack, and notes on it."""
    nodes = list(nodes)
    wide = {
        domain: len({node.rack for node in members})
        for domain, members in _by_domain(nodes).items()
        if len({node.rack for node in members}) > 1 and any(node.gpus > _TRAY_GPUS for node in members)
    }
    split = [
        replace(node, nvlink_domain=f"{node.nvlink_domain}/{node.rack}"[-256:]) if node.nvlink_domain in wide else node
        for node in nodes
    ]
    return split, [f"NVLink domain {domain} spans {racks} racks: taken apart by rack" for domain, racks in wide.items()]


def _by_domain(nodes: Iterable[Node]) -> dict[str, list[Node]]:
    members: dict[str, list[Node]] = defaultdict(list)
    for node in nodes:
        members[node.nvlink_domain].append(node)
    return members


def _links(old: tuple[Link, ...], topology: Topology, node_of: dict[str, str]) -> tuple[tuple[Link, ...], int]:
    """Return the old links with the topology's over them, under the snapshot's names, and how many fit nowhere."""
    links = {link.id: link for link in old}
    strangers = {place.id for place in topology.nodes} - node_of.keys()
    lost = 0
    for link in topology.links:
        if {link.source, link.target} & strangers:
            lost += 1
            continue
        owner, colon, port = link.id.partition(":")
        renamed = replace(
            link,
            id=f"{node_of.get(owner, owner)}{colon}{port}",
            source=node_of.get(link.source, link.source),
            target=node_of.get(link.target, link.target),
        )
        links[renamed.id] = renamed
    return tuple(links.values()), lost


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more}"
