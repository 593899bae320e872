"""What does NetQ know of the fabric? Its JSON lists of compute nodes (NVLink domains) and its topology graph."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from data.errors import BadRecord, BadSource
from data.readers.dump import Dump, is_id, shown
from data.schemas.topology import Topology, TopologyNode

_MAX_GPUS = 1024


def recognises_compute_nodes(document: Any) -> bool:
    """Say whether a record has the list of GPUs or the NVLink domain of a compute node."""
    return any("GpuIDList" in record or "DomainUUID" in record for _, record in _records(document))


def recognises_topology_graph(document: Any) -> bool:
    """Say whether a record has both links and nodes."""
    return any({"links", "nodes"} <= record.keys() for _, record in _records(document))


def read_compute_nodes(dump: Dump, document: Any) -> Topology:
    """Read the nodes of NVLink domains; the chassis counts as the rack.

    Raises:
        BadSource: no usable node.
    """
    nodes: dict[str, TopologyNode] = {}
    bad: list[BadRecord] = []
    notes: list[str] = []
    for path, record in _records(document):
        name, domain, gpus = record.get("Name"), record.get("DomainUUID"), record.get("GpuIDList")
        place = record.get("LocationInfo")
        serial = place.get("ChassisSerialNumber") if isinstance(place, dict) else None
        if not is_id(name) or name in nodes:
            bad.append(BadRecord(f"{dump.name}: {path}.Name", "a host name that occurs once", shown(name)))
        elif not is_id(domain):
            bad.append(BadRecord(f"{dump.name}: {path}.DomainUUID", "the id of an NVLink domain", shown(domain)))
        elif not isinstance(gpus, list) or not 0 < len(gpus) <= _MAX_GPUS:
            bad.append(BadRecord(f"{dump.name}: {path}.GpuIDList", f"1 to {_MAX_GPUS} GPUs", shown(gpus)))
        else:
            rack = serial if is_id(serial) else None
            nodes[name] = TopologyNode(id=name, gpus=len(gpus), nvlink_domain=domain, rack=rack)
            if record.get("Health") not in (None, "HEALTHY"):
                notes.append(f"{name} is {shown(record['Health'])}")
    if not nodes:
        raise BadSource(dump.name, bad or [BadRecord(dump.name, "a compute node", "none")])
    return Topology(
        source=dump.name,
        format="NetQ compute nodes",
        scope="fabric",
        nodes=tuple(nodes.values()),
        set_aside=tuple(bad),
        notes=tuple(notes),
    )


def read_topology_graph(dump: Dump, document: Any) -> Topology:
    """Read hosts and the switch of the lowest tier that each is cabled to; the graph tells no speeds, so no links.

    Raises:
        BadSource: no host with a switch.
    """
    bad: list[BadRecord] = []
    names: dict[str, str] = {}
    taken: set[str] = set()
    tier_of: dict[str, int] = {}
    cables: list[tuple[str, str, int]] = []
    for path, record in _records(document):
        for where, device in _devices(record.get("nodes"), f"{path}.nodes"):
            identifier, name, tier = device.get("id"), device.get("name"), device.get("tier")
            if not isinstance(identifier, str) or not is_id(name) or identifier in names or name in taken:
                bad.append(BadRecord(f"{dump.name}: {where}", "an id and a name, each used once", shown(device)))
                continue
            names[identifier] = name
            taken.add(name)
            if device.get("device_type") == "switch":
                tier_of[identifier] = tier if type(tier) is int else 0
        for where, link in _items(record.get("links"), f"{path}.links"):
            ends, size = (link.get("src"), link.get("target")), link.get("size", 1)
            if all(isinstance(end, str) and end in names for end in ends) and type(size) is int and size > 0:
                cables.append((str(ends[0]), str(ends[1]), size))
            else:
                bad.append(
                    BadRecord(f"{dump.name}: {where}", "src and target among the nodes, and a size", shown(ends))
                )
    leaf_of = _leaves(tier_of, cables)
    hosts = {name: leaf_of[key] for key, name in names.items() if key in leaf_of}
    bad += [
        BadRecord(f"{dump.name}: host {name}", "a cable to a switch", "none")
        for key, name in names.items()
        if key not in tier_of and key not in leaf_of
    ]
    if not hosts:
        raise BadSource(dump.name, bad or [BadRecord(dump.name, "a host on a switch", "none")])
    return Topology(
        source=dump.name,
        format="NetQ topology graph",
        scope="fabric",
        nodes=tuple(TopologyNode(id=name, rack=names[leaf]) for name, leaf in sorted(hosts.items())),
        switches=tuple(sorted(names[switch] for switch in tier_of)),
        set_aside=tuple(bad),
        notes=(f"{sum(size for *_, size in cables)} cables without a speed: no links",),
    )


def _leaves(tier_of: dict[str, int], cables: list[tuple[str, str, int]]) -> dict[str, str]:
    """Return for each host the switch of the lowest tier with most of its cables, the first by id if tied."""
    reach: dict[str, Counter[str]] = {}
    for a, b, size in cables:
        for host, switch in ((a, b), (b, a)):
            if host not in tier_of and switch in tier_of:
                reach.setdefault(host, Counter())[switch] += size
    return {
        host: min(switches, key=lambda switch: (tier_of[switch], -switches[switch], switch))
        for host, switches in reach.items()
    }


def _records(document: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    yield from _items(document if isinstance(document, list) else [document], "")


def _devices(tiers: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for where, tier in _items(tiers, path):
        yield from _items(tier.get("compounded_nodes"), f"{where}.compounded_nodes")


def _items(value: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for index, item in enumerate(value if isinstance(value, list) else []):
        if isinstance(item, dict):
            yield f"{path}[{index}]", item
