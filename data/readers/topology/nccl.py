"""What did NCCL see inside one machine? Its topology XML (NCCL_TOPO_DUMP_FILE) and its graph XML."""

from dataclasses import dataclass, field, replace

from data.errors import BadRecord, BadSource
from data.readers.dump import Dump, is_id, shown
from data.readers.topology.islands import islands
from data.readers.topology.xml_tree import Element, read_xml
from data.schemas.cluster import Link
from data.schemas.topology import Topology, TopologyNode

NVLINK_GB_PER_S = {60: 20.0, 70: 25.0, 75: 25.0, 80: 25.0, 86: 14.0625, 90: 25.0, 100: 50.0, 103: 50.0}
"""Bandwidth of one NVLink in one direction, by compute capability (``sm``), from the vendor's data sheets."""

_SWITCH, _GPU_CLASS = "0x068000", "0x03"
_VIRTUAL_SWITCH = "fffffff:ff:ff.0"  # written where the switch is hidden: virtual machines, NVL72 trays
_MBIT_PER_GB = 8_000.0
_MAX_GPUS = 1024
_MAX_GB_PER_S = 1e6


@dataclass(slots=True)
class _Seen:
    """What one pass over the document gathers; GPUs by PCI bus id."""

    gpus: dict[str, str] = field(default_factory=dict)
    sm: dict[str, int] = field(default_factory=dict)
    nvlinks: list[tuple[str, str, str, int]] = field(default_factory=list)
    links: dict[str, Link] = field(default_factory=dict)
    bad: list[BadRecord] = field(default_factory=list)


def read_nccl_topology(dump: Dump, node: str) -> Topology:
    """Read ``<system>`` as the topology of the machine ``node``.

    Raises:
        BadSource: not such XML, or no GPU in it.
    """
    root = read_xml(dump)
    if root.tag != "system":
        raise dump.refused("the element <system>", f"<{root.tag}>")
    seen = _Seen()
    for element, inside in root.walk():
        pci = next((outer for outer in reversed(inside) if outer.tag == "pci"), None)
        if element.tag == "pci" and element.attributes.get("class", "").startswith(_GPU_CLASS):
            _note_gpu(dump, element, seen)
        elif element.tag == "gpu":
            _note_processor(dump, element, pci, seen)
        elif element.tag == "nvlink":
            _note_nvlink(dump, element, pci, seen)
        elif element.tag == "net":
            _note_net(dump, element, pci, node, seen)
    if not 0 < len(seen.gpus) <= _MAX_GPUS:
        devices = sum(element.tag == "pci" for element, _ in root.walk())
        expected = f"1 to {_MAX_GPUS} pci elements of class {_GPU_CLASS}.... (a GPU)"
        seen.bad.append(BadRecord(dump.name, expected, f"{len(seen.gpus)} among {devices} pci elements"))
        raise BadSource(dump.name, seen.bad)
    domain, switch_gb_per_s, notes = _nvlink(seen, node)
    if switch_gb_per_s > 0:
        seen.links["nvlink"] = Link(f"{node}:nvlink", node, f"{node}:nvswitch", switch_gb_per_s, kind="nvlink")
    return Topology(
        source=dump.name,
        format="NCCL topology",
        scope="machine",
        nodes=(TopologyNode(id=node, gpus=len(seen.gpus), nvlink_domain=domain),),
        links=tuple(seen.links.values()),
        set_aside=tuple(seen.bad),
        notes=(f"the dump names no machine: taken for {node}", *notes),
    )


def read_nccl_graphs(dump: Dump, node: str) -> Topology:
    """Read ``<graphs>``: the GPUs that the channels visit, and in the notes how fast NCCL thinks that they are.

    Raises:
        BadSource: not such XML, or no GPU in any channel.
    """
    root = read_xml(dump)
    if root.tag != "graphs":
        raise dump.refused("the element <graphs>", f"<{root.tag}>")
    devices: set[str] = set()
    notes = [f"the dump names no machine: taken for {node}"]
    bad: list[BadRecord] = []
    for graph in (child for child in root.children if child.tag == "graph"):
        channels = [channel for channel in graph.children if channel.tag == "channel"]
        for channel in channels:
            visited = [gpu.attributes.get("dev", "") for gpu in channel.children if gpu.tag == "gpu"]
            if not visited or len(set(visited)) != len(visited) or not all(dev.isdecimal() for dev in visited):
                bad.append(dump.bad_line(channel.line, "a channel that visits each of its GPUs once", visited))
            else:
                devices |= set(visited)
        said = [f"{key} {graph.attributes[key]}" for key in _GRAPH_SAYS if key in graph.attributes]
        notes.append(
            f"graph {shown(graph.attributes.get('id', '?'))}: {len(channels)} channels, {shown(', '.join(said))}"
        )
    if not 0 < len(devices) <= _MAX_GPUS:
        bad.append(BadRecord(dump.name, f"channels over 1 to {_MAX_GPUS} GPUs", f"{len(devices)} GPUs"))
        raise BadSource(dump.name, bad)
    over_nvlink = any(graph.attributes.get("typeintra") in {"NVL", "NVB"} for graph in root.children)
    return Topology(
        source=dump.name,
        format="NCCL graphs",
        scope="machine",
        nodes=(TopologyNode(id=node, gpus=len(devices), nvlink_domain=node if over_nvlink else None),),
        set_aside=tuple(bad),
        notes=tuple(notes),
    )


_GRAPH_SAYS = ("pattern", "speedintra", "speedinter", "typeintra", "typeinter")


def _note_gpu(dump: Dump, pci: Element, seen: _Seen) -> None:
    bus = pci.attributes.get("busid", "").lower()
    if not bus or bus in seen.gpus:
        seen.bad.append(dump.bad_line(pci.line, "a bus id that occurs once", bus or "none"))
        return
    processors = [child for child in pci.children if child.tag == "gpu"]
    seen.gpus[bus] = f"GPU {processors[0].attributes.get('dev', '?')} ({bus})" if processors else f"GPU at {bus}"


def _note_processor(dump: Dump, gpu: Element, pci: Element | None, seen: _Seen) -> None:
    bus = _bus(pci)
    if bus not in seen.gpus:
        seen.bad.append(
            dump.bad_line(gpu.line, f"<gpu> inside a pci element of class {_GPU_CLASS}....", gpu.attributes)
        )
        return
    sm = gpu.attributes.get("sm", "")
    if sm.isdecimal() and len(sm) < 5:
        seen.sm[bus] = int(sm)


def _note_nvlink(dump: Dump, nvlink: Element, pci: Element | None, seen: _Seen) -> None:
    bus, said = _bus(pci), nvlink.attributes
    count, target = said.get("count", ""), said.get("target", "").lower()
    if bus in seen.gpus and target and count.isdecimal() and len(count) < 4 and int(count) > 0:
        seen.nvlinks.append((bus, target, said.get("tclass", ""), int(count)))
    else:
        seen.bad.append(dump.bad_line(nvlink.line, "target and count of an NVLink of a GPU", said))


def _note_net(dump: Dump, net: Element, pci: Element | None, node: str, seen: _Seen) -> None:
    name, speed = net.attributes.get("name", ""), net.attributes.get("speed", "")
    identifier = f"{node}:{name}"
    if identifier in seen.links:
        identifier += f":{net.attributes.get('port', '')}"
    usable = speed.isdecimal() and len(speed) < 9 and int(speed) > 0
    if not (name and usable and is_id(identifier)) or identifier in seen.links:
        seen.bad.append(dump.bad_line(net.line, "a new name and a speed in Mbit/s", net.attributes))
        return
    device_class = pci.attributes.get("class", "") if pci else ""
    link = Link(identifier, node, "fabric", int(speed) / _MBIT_PER_GB)
    if device_class.startswith("0x0207"):
        link = replace(link, kind="infiniband")
    elif device_class.startswith("0x0200") or name.startswith("eth"):
        link = replace(link, kind="ethernet")
    seen.links[identifier] = link


def _nvlink(seen: _Seen, node: str) -> tuple[str | None, float, list[str]]:
    """Return the NVLink domain, the GPUs' bandwidth into a switch in GB/s (0 where unknown), and notes."""
    notes = []
    switched = [link for link in seen.nvlinks if link[2] == _SWITCH or link[1] == _VIRTUAL_SWITCH]
    joined = [(bus, "switch") for bus, *_ in switched]
    joined += [(bus, target) for bus, target, *_ in seen.nvlinks if target in seen.gpus and target != bus]
    parts = islands([*seen.gpus, "switch"], joined)
    groups = [part for part in ([name for name in part if name != "switch"] for part in parts) if part]
    with_nvlink = {bus for bus, *_ in seen.nvlinks}
    without = [text for bus, text in seen.gpus.items() if bus not in with_nvlink]
    if not with_nvlink:
        notes.append("no NVLink in the dump: NCCL finds it when it starts, or there is none")
    elif without:
        notes.append(
            f"without NVLink while {len(with_nvlink)} others have it, a broken fabric: {shown(', '.join(without))}"
        )
    if any(target == bus for bus, target, *_ in seen.nvlinks):
        notes.append("NVLinks that end where they start: the dump hides which GPUs they join")
    if joined and len(groups) > 1:
        notes.append(f"{len(groups)} NVLink islands in one machine, which a snapshot cannot tell apart")
    per_gpu = [(NVLINK_GB_PER_S.get(seen.sm.get(bus, 0), 0.0), count) for bus, _, _, count in switched]
    total = sum(rate * count for rate, count in per_gpu)
    known = all(rate > 0 for rate, _ in per_gpu) and total <= _MAX_GB_PER_S
    if switched and not known:
        notes.append("NVLink generation unknown: no bandwidth for its links")
    return node if joined else None, total if known else 0.0, notes


def _bus(pci: Element | None) -> str:
    return pci.attributes.get("busid", "").lower() if pci else ""
