"""Which host hangs on which leaf switch? The output of ``ibnetdiscover``."""

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from data.errors import BadRecord, BadSource
from data.readers.dump import Dump, is_id
from data.readers.topology.islands import islands
from data.schemas.cluster import Link
from data.schemas.topology import Topology, TopologyNode

LANE_GB_PER_S = {
    "SDR": 0.25,
    "DDR": 0.5,
    "QDR": 1.0,
    "FDR10": 1.25,
    "FDR": 1.705,
    "EDR": 3.125,
    "HDR": 6.25,
    "NDR": 12.5,
    "XDR": 25.0,
}
"""Data rate of one InfiniBand lane, after line coding, in GB/s."""

_DEVICE = re.compile(r'^(Switch|Ca|Rt)\s+\d+\s+"([SHR]-[0-9a-f]+)"\s*#\s*"([^"]*)"')
_PORT = re.compile(
    r'^\[(\d+)\](?:\[[^\]]*\])?(?:\([0-9a-f]*\))?\s+"([SHR]-[0-9a-f]+)"\[(\d+)\](?:\[[^\]]*\])?(?:\([0-9a-f]*\))?\s*'
    r'#.*"([^"]*)"\s+lid\s+\d+\s+(\d+)x([A-Z]+\d*)'
)
_HEAD = re.compile(r"^(vendid|devid|sysimgguid|switchguid|caguid|rtguid)=|^#|^\s*$|^DR path")
_SWITCH_NAME = re.compile(r"^(?:MF0;)?([^:;]+)(?::.*)?$")
_MAKERS = re.compile(r"Mellanox|ConnectX|NVIDIA|Technologies|HFI|OmniPath", re.IGNORECASE)
_MAX_LINE = 2_000
_MAX_RAILS = 64  # one name on more leaves than this is no host, and says nothing about which belong together
_NOBODY = frozenset({"localhost", "ubuntu", "debian", "centos", "(none)"})


@dataclass(slots=True)
class _Fabric:
    """What the lines say: descriptions and first lines by GUID, cables by their two ends, each end a (GUID, port)."""

    described: dict[str, str] = field(default_factory=dict)
    first_line: dict[str, int] = field(default_factory=dict)
    cables: dict[tuple[tuple[str, int], tuple[str, int]], float] = field(default_factory=dict)
    bad: list[BadRecord] = field(default_factory=list)


def recognises_ibnetdiscover(text: str) -> bool:
    """Say whether the first lines are those of a device or of the head comment."""
    return bool(
        re.search(r"^(vendid=0x|switchguid=0x|caguid=0x|# Topology file: generated)", text[:65_536], re.MULTILINE)
    )


def read_ibnetdiscover(dump: Dump) -> Topology:
    """Read hosts, switches and cables.

    Hosts are told by the first word of their adapters' descriptions. An adapter that describes its maker, or a host
    that was never given a name, is set aside, and so is a host with at most half of the usual number of adapters,
    which manages the fabric or stores data. Leaf switches that serve the same hosts (rails) count as one rack, named
    after the first of them.

    Raises:
        BadSource: no host with a name and a switch.
    """
    fabric = _lines(dump)
    switches = _switch_names(fabric.described)
    hosts, notes = _hosts(dump, fabric)
    uplinks: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    links: list[Link] = []
    trunks: Counter[tuple[str, str]] = Counter()
    trunk_gb_per_s: dict[tuple[str, str], float] = defaultdict(float)
    for ((a, _), (b, _)), gb_per_s in sorted(fabric.cables.items()):
        if a in switches and b in switches:
            pair = (min(switches[a], switches[b]), max(switches[a], switches[b]))
            trunks[pair] += 1
            trunk_gb_per_s[pair] += gb_per_s
        for adapter, switch in ((a, b), (b, a)):
            if adapter in hosts and switch in switches:
                host, card = hosts[adapter]
                uplinks[host][switches[switch]].append(card)
                links.append(Link(f"{host}:{card}", host, switches[switch], gb_per_s, kind="infiniband"))
    usual = Counter(sum(map(len, leaves.values())) for leaves in uplinks.values()).most_common(1)
    for host in [host for host, leaves in uplinks.items() if 2 * sum(map(len, leaves.values())) <= usual[0][0]]:
        expected = f"about {usual[0][0]} adapters, as most hosts have"
        fabric.bad.append(BadRecord(f"{dump.name}: host {host}", expected, sum(map(len, uplinks.pop(host).values()))))
    links = [link for link in links if link.source in uplinks]
    if not uplinks:
        raise BadSource(dump.name, [*fabric.bad, BadRecord(dump.name, "a named host on a switch", "none")])
    racks = _racks({host: set(leaves) for host, leaves in uplinks.items()})
    for pair, cables in sorted(trunks.items()):
        if is_id(f"{pair[0]}--{pair[1]}"):
            links.append(Link(f"{pair[0]}--{pair[1]}", *pair, trunk_gb_per_s[pair], kind="infiniband"))
        notes += [f"{pair[0]} is cabled to itself {cables} times"] if pair[0] == pair[1] else []
    known, repeated = _once(links)
    notes += [f"{repeated} ports left out: their adapters share a name on one host"] if repeated else []
    return Topology(
        source=dump.name,
        format="ibnetdiscover",
        scope="fabric",
        nodes=tuple(TopologyNode(id=host, rack=racks[host]) for host in sorted(uplinks)),
        links=known,
        switches=tuple(sorted(switches.values())),
        set_aside=tuple(fabric.bad),
        notes=tuple(notes),
    )


def _lines(dump: Dump) -> _Fabric:
    fabric = _Fabric()
    device: str | None = None
    for number, line in enumerate(dump.text.splitlines(), 1):
        if len(line) > _MAX_LINE:
            fabric.bad.append(dump.bad_line(number, f"at most {_MAX_LINE} characters", line))
        elif match := _DEVICE.match(line):
            device = match[2]
            fabric.described[device] = match[3]
            fabric.first_line.setdefault(device, number)
        elif match := _PORT.match(line):
            lanes, lane = int(match[5][:3]), LANE_GB_PER_S.get(match[6])
            if device is None or lane is None or not 0 < lanes <= 12:
                expected = f"a port of a device, at {', '.join(LANE_GB_PER_S)}"
                fabric.bad.append(dump.bad_line(number, expected, line))
                continue
            ends = sorted([(device, int(match[1][:6])), (match[2], int(match[3][:6]))])
            fabric.cables[ends[0], ends[1]] = lanes * lane
            fabric.described.setdefault(match[2], match[4])
            fabric.first_line.setdefault(match[2], number)
        elif not _HEAD.match(line):
            fabric.bad.append(dump.bad_line(number, "a device, one of its ports, or a comment", line))
            if line.startswith(("Switch", "Ca", "Rt")):
                device = None  # its ports must not be counted as another's
    return fabric


def _switch_names(described: dict[str, str]) -> dict[str, str]:
    """Return a name for each switch's GUID: what it calls itself, or the GUID where that is shared or no id."""
    names: dict[str, str] = {}
    for guid, description in described.items():
        if guid.startswith("S-"):
            match = _SWITCH_NAME.match(description)
            name = match[1].strip() if match else ""
            names[guid] = name if is_id(name) else guid
    shared = Counter(names.values())
    return {guid: name if shared[name] == 1 else guid for guid, name in names.items()}


def _hosts(dump: Dump, fabric: _Fabric) -> tuple[dict[str, tuple[str, str]], list[str]]:
    """Return (host, card) for each adapter's GUID that tells its host."""
    hosts: dict[str, tuple[str, str]] = {}
    aggregation = 0
    for guid, description in fabric.described.items():
        if not guid.startswith("H-"):
            continue
        host, _, card = description.strip().partition(" ")
        card = card.strip() or guid
        if description.endswith("Aggregation Node"):
            aggregation += 1
        elif _MAKERS.search(description) or host.lower() in _NOBODY or not is_id(f"{host}:{card}"):
            expected = "a description that starts with the host's name"
            fabric.bad.append(dump.bad_line(fabric.first_line[guid], expected, description))
        else:
            hosts[guid] = (host, card)
    return hosts, [f"{aggregation} aggregation nodes of the switches left out"] if aggregation else []


def _racks(leaves_of: dict[str, set[str]]) -> dict[str, str]:
    """Return the rack of each host: leaf switches are of one rack if they share at least half of either's hosts."""
    hosts_of: dict[str, set[str]] = defaultdict(set)
    for host, leaves in leaves_of.items():
        for leaf in leaves:
            hosts_of[leaf].add(host)
    railed = [leaves for leaves in leaves_of.values() if len(leaves) <= _MAX_RAILS]
    neighbours = sorted({(a, b) for leaves in railed for a in leaves for b in leaves if a < b})
    pairs = [
        (a, b) for a, b in neighbours if 2 * len(hosts_of[a] & hosts_of[b]) >= min(len(hosts_of[a]), len(hosts_of[b]))
    ]
    rack_of_leaf = {leaf: part[0] for part in islands(sorted(hosts_of), pairs) for leaf in part}
    racks = {}
    for host, leaves in leaves_of.items():
        votes = Counter(rack_of_leaf[leaf] for leaf in sorted(leaves))
        racks[host] = votes.most_common(1)[0][0]
    return racks


def _once(links: list[Link]) -> tuple[tuple[Link, ...], int]:
    first: dict[str, Link] = {}
    for link in links:
        first.setdefault(link.id, link)
    return tuple(first.values()), len(links) - len(first)
