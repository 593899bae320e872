"""Which fabric do these nodes and links make?

A snapshot, a dump and a plan on paper (:mod:`data.generators.topologies`) all end in the same two lists, nodes and
links, and take the same way into a :class:`~data.schemas.fabric.Fabric`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import shortest_path

from data.generators.hardware import NIC_GB_PER_S, leaf_spine
from data.readers.topology.merge import snapshot_of
from data.schemas.cluster import Link, Node, Snapshot
from data.schemas.fabric import NOWHERE, Fabric, Floats, Ints
from data.schemas.topology import Topology

NVLINK_GB_PER_S = {
    "V100": 150.0,
    "A100": 300.0,
    "H800": 200.0,
    "B200": 900.0,
    "B300": 900.0,
    "GB200": 900.0,
    "GB300": 900.0,
}
"""Of one GPU into its NVSwitches, one way, from the vendor's data sheets; other models count as Hopper."""

HOPPER_NVLINK_GB_PER_S = 450.0


@dataclass(slots=True)
class _Wires:
    """Links as they are found."""

    cables: list[str] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    capacity: list[float] = field(default_factory=list)
    tail: list[int] = field(default_factory=list)
    head: list[int] = field(default_factory=list)

    def add(self, cable: str, kind: str, capacity: float, one: int, other: int) -> int:
        """Add a cable as two links and return the first, which leads from ``one`` to ``other``."""
        self.cables += [cable, cable]
        self.kinds += [kind, kind]
        self.capacity += [capacity, capacity]
        self.tail += [one, other]
        self.head += [other, one]
        return len(self.cables) - 2


@dataclass(slots=True)
class _Roles:
    """What each link and each end of one is.

    Args:
        trunks: links from switch to switch.
        cards: adapters of each node that has any, with the switch at their other end.
        through: GB/s of all cables of each node that forwards.
        hangs_on: the switch of each node without either.
        switches: their index.
        nvlink_gb_per_s: of all GPUs of a node into their NVSwitches, where a link says so.
    """

    trunks: list[Link] = field(default_factory=list)
    cards: dict[str, list[tuple[Link, str]]] = field(default_factory=dict)
    through: dict[str, float] = field(default_factory=dict)
    hangs_on: dict[str, str] = field(default_factory=dict)
    switches: dict[str, int] = field(default_factory=dict)
    nvlink_gb_per_s: dict[str, float] = field(default_factory=dict)


def fabric_of(
    nodes: Sequence[Node], links: Sequence[Link], *, name: str = "fabric", adapter_gb_per_s: float = NIC_GB_PER_S
) -> Fabric:
    """Return the fabric of these nodes and links.

    A link from a node to a switch is an adapter; a node's adapters are dealt to its GPUs in order of their names, so
    that equal positions meet on equal rails. A node that no link names hangs on the switch that its rack (else its
    domain) names, each GPU by an adapter of its own. Nodes that are linked to one another forward, as in a torus.

    Args:
        nodes: at least one; each id once.
        links: without ``nvlink`` between node and NVSwitch, the GPU model says how fast that is.
        name: what the fabric is called in reports.
        adapter_gb_per_s: of the adapters that no link names.

    Raises:
        ValueError: no nodes, or an id that occurs twice.
    """
    row = {node.id: index for index, node in enumerate(nodes)}
    if not nodes or len(row) != len(nodes):
        raise ValueError(f"nodes: expected at least one, each id once, got {len(nodes)} nodes with {len(row)} ids")
    roles = _roles(nodes, links, row)
    switches = roles.switches
    domains = {domain: index for index, domain in enumerate(dict.fromkeys(node.nvlink_domain for node in nodes))}
    first_switch = len(nodes) + len(domains)
    wires = _Wires()
    nvlink_up, adapter_up, adapter_switch = [], [], []
    for at, node in enumerate(nodes):
        plane = len(nodes) + domains[node.nvlink_domain]
        speed = NVLINK_GB_PER_S.get(node.gpu_model, HOPPER_NVLINK_GB_PER_S)
        speed = roles.nvlink_gb_per_s.get(node.id, speed * node.gpus) / node.gpus
        nvlink_up += [wires.add(f"{node.id}:nvlink{gpu}", "nvlink", speed, at, plane) for gpu in range(node.gpus)]
        plugs = [
            (wires.add(cable, "adapter", gb_per_s, at, first_switch + switches[switch]), switches[switch])
            for cable, gb_per_s, switch in _adapters_of(node, roles, adapter_gb_per_s)
        ]
        dealt = [_dealt(plugs, gpu, node.gpus) for gpu in range(node.gpus)]
        adapter_up += [[link for link, _ in plug] for plug in dealt]
        adapter_switch += [[switch for _, switch in plug] for plug in dealt]
    trunks = []
    for link in roles.trunks:
        one, other = switches[link.source], switches[link.target]
        first = wires.add(link.id, "trunk", link.bandwidth_gb_per_s, first_switch + one, first_switch + other)
        trunks.append((first, one, other))
    up, on = _padded(adapter_up), _padded(adapter_switch)
    out, to_switch = _trunk_table(trunks, len(switches))
    return Fabric(
        name=name,
        gpus=tuple((node.id, gpu) for node in nodes for gpu in range(node.gpus)),
        node=np.repeat(np.arange(len(nodes)), [node.gpus for node in nodes]),
        domain=np.repeat([domains[node.nvlink_domain] for node in nodes], [node.gpus for node in nodes]),
        domains=tuple(domains),
        switches=tuple(switches),
        cables=tuple(wires.cables),
        kinds=tuple(wires.kinds),
        capacity_gb_per_s=np.array(wires.capacity),
        tail=np.array(wires.tail, dtype=np.int64),
        head=np.array(wires.head, dtype=np.int64),
        places=(*row, *domains, *switches),
        nvlink_up=np.array(nvlink_up, dtype=np.int64),
        nvlink_down=np.array(nvlink_up, dtype=np.int64) + 1,
        adapter_up=up,
        adapter_down=np.where(up == NOWHERE, NOWHERE, up + 1),
        adapter_switch=on,
        trunks=out,
        trunk_to=to_switch,
        hops=_hops(trunks, len(switches)),
    )


def snapshot_fabric(snapshot: Snapshot) -> Fabric:
    """Return the fabric of a snapshot; one without links is taken for leaf and spine over its racks."""
    links = snapshot.links or leaf_spine(snapshot.nodes)
    return fabric_of(snapshot.nodes, links, name=snapshot.cluster)


def topology_fabric(
    topology: Topology, *, gpu_model: str = "GB200", gpus_per_node: int | None = None, oversubscription: float = 2.0
) -> Fabric:
    """Return the fabric of a dump.

    Args:
        topology: what :func:`data.readers.topology.formats.read_topology` found.
        gpu_model: of the nodes; no dump says.
        gpus_per_node: where the dump does not say; None means the model's usual number.
        oversubscription: of the leaf and spine network that is assumed where the dump tells no speeds.
    """
    moment = "1970-01-01T00:00:00+00:00"
    idle = snapshot_of(topology, gpu_model=gpu_model, taken_at=moment, gpus_per_node=gpus_per_node).snapshot
    links = idle.links or leaf_spine(idle.nodes, oversubscription=oversubscription)
    return fabric_of(idle.nodes, links, name=topology.source)


def _roles(nodes: Sequence[Node], links: Sequence[Link], row: Mapping[str, int]) -> _Roles:
    """Return who forwards, who hangs on whom, and which links lie between switches."""
    roles = _Roles()
    usable = []
    for link in links:
        if link.bandwidth_gb_per_s > 0 and link.source != link.target:
            inside = [end for end in (link.source, link.target) if end in row and link.kind == "nvlink"]
            roles.nvlink_gb_per_s |= dict.fromkeys(inside, link.bandwidth_gb_per_s)
            usable += [] if inside else [link]
    for link in usable:
        if link.source in row and link.target in row:
            for end in (link.source, link.target):
                roles.through[end] = roles.through.get(end, 0.0) + link.bandwidth_gb_per_s
    for link in usable:
        ends = [end for end in (link.source, link.target) if end not in row or end in roles.through]
        for end in ends:
            roles.switches.setdefault(end, len(roles.switches))
        if len(ends) == 2:
            roles.trunks.append(link)
        else:
            end = link.source if link.target in ends else link.target
            roles.cards.setdefault(end, []).append((link, ends[0]))
    for node in nodes:
        if node.id not in roles.cards and node.id not in roles.through:
            by_domain = node.rack not in roles.switches and node.nvlink_domain in roles.switches
            roles.hangs_on[node.id] = node.nvlink_domain if by_domain else node.rack
    for switch in roles.hangs_on.values():
        roles.switches.setdefault(switch, len(roles.switches))
    return roles


def _adapters_of(node: Node, roles: _Roles, usual_gb_per_s: float) -> list[tuple[str, float, str]]:
    """Return cable, GB/s and switch of each adapter of a node, in order of their names (2 before 10)."""
    if node.id in roles.through:
        # what its cables carry together: getting in and out is no bottleneck
        return [(f"{node.id}:inside", roles.through[node.id], node.id)]
    if node.id in roles.cards:
        cards = sorted(roles.cards[node.id], key=lambda card: (len(card[0].id), card[0].id))
        return [(link.id, link.bandwidth_gb_per_s, switch) for link, switch in cards]
    return [(f"{node.id}:adapter{gpu}", usual_gb_per_s, roles.hangs_on[node.id]) for gpu in range(node.gpus)]


def _dealt(plugs: list[tuple[int, int]], gpu: int, gpus: int) -> list[tuple[int, int]]:
    """Return the adapters of one GPU: several, or one that it may share with its neighbours."""
    if len(plugs) < gpus:
        return [plugs[gpu * len(plugs) // gpus]]
    return plugs[gpu * len(plugs) // gpus : (gpu + 1) * len(plugs) // gpus]


def _padded(rows: Sequence[Sequence[int]]) -> Ints:
    width = max((len(row) for row in rows), default=0)
    return np.array([[*row, *[NOWHERE] * (width - len(row))] for row in rows], dtype=np.int64).reshape(len(rows), width)


def _trunk_table(trunks: Sequence[tuple[int, int, int]], switches: int) -> tuple[Ints, Ints]:
    out: list[list[int]] = [[] for _ in range(switches)]
    to: list[list[int]] = [[] for _ in range(switches)]
    for link, one, other in trunks:
        for index, start, end in ((link, one, other), (link + 1, other, one)):
            out[start].append(index)
            to[start].append(end)
    return _padded(out), _padded(to)


def _hops(trunks: Sequence[tuple[int, int, int]], switches: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int16]]:
    ends = np.array([(one, other) for _, one, other in trunks], dtype=np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(switches, switches)).tocsr()
    distance: Floats = shortest_path(graph, directed=False, unweighted=True)
    return np.where(np.isfinite(distance), distance, NOWHERE).astype(np.int16)
