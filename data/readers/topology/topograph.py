"""Which switch serves which nodes? A Topograph model: YAML with switches, blocks and node ranges."""

import re
from typing import Any

from data.errors import BadRecord, BadSource
from data.readers.dump import Dump, is_id, shown
from data.readers.slurm.hostlist import expand_hostlist
from data.readers.yaml_file import parse_plain_yaml
from data.schemas.topology import Topology, TopologyNode

MAX_CHARACTERS = 8 << 20
MAX_NODES = 200_000


def recognises_topograph(text: str) -> bool:
    """Say whether ``switches`` or ``blocks`` stands as a key of the document."""
    return bool(re.search(r"^(switches|blocks):", text, re.MULTILINE))


def read_topograph(dump: Dump) -> Topology:
    """Read blocks: the switch counts as the rack, the annotation ``.../domain`` as the NVLink domain.

    Raises:
        BadSource: no YAML, an alias or deep nesting in it, or no usable block.
    """
    document = _load(dump)
    blocks = document.get("blocks")
    switches = document.get("switches")
    bad: list[BadRecord] = []
    nodes: dict[str, TopologyNode] = {}
    inner = set()
    for index, block in enumerate(blocks if isinstance(blocks, list) else []):
        path = f"{dump.name}: blocks[{index}]"
        if not isinstance(block, dict) or not isinstance(block.get("nodes"), list):
            bad.append(BadRecord(path, "a switch and a list of nodes", shown(block)))
            continue
        rack, domain, sub_domain = block.get("switch"), _annotation(block, "domain"), _annotation(block, "sub-domain")
        for field, value in (("switch", rack), ("annotations .../domain", domain)):
            if value is not None and not is_id(value):
                bad.append(BadRecord(f"{path}.{field}", "a name without spaces", shown(value)))
        inner |= {sub_domain} if sub_domain else set()
        for position, expression in enumerate(block["nodes"]):
            names = _expanded(expression, f"{path}.nodes[{position}]", bad)
            if len(nodes) + len(names) > MAX_NODES:
                raise dump.refused(f"at most {MAX_NODES} nodes", f"more at blocks[{index}].nodes[{position}]")
            for name in names:
                if name in nodes or not is_id(name):
                    bad.append(BadRecord(f"{path}.nodes[{position}]", "a node that no other block has", shown(name)))
                else:
                    nodes[name] = TopologyNode(
                        id=name,
                        nvlink_domain=domain if is_id(domain) else None,
                        rack=rack if is_id(rack) else None,
                    )
    if not nodes:
        raise BadSource(dump.name, bad or [BadRecord(dump.name, "blocks with nodes", "none")])
    return Topology(
        source=dump.name,
        format="Topograph model",
        scope="fabric",
        nodes=tuple(nodes.values()),
        switches=_switches(switches, {node.rack for node in nodes.values()}),
        set_aside=tuple(bad),
        notes=(f"{len(inner)} sub-domains, which a snapshot does not tell apart",) if inner else (),
    )


def _load(dump: Dump) -> dict[Any, Any]:
    dump.refuse_above(MAX_CHARACTERS)
    try:
        document = parse_plain_yaml(dump.text, dump.name)
    except BadRecord as record:
        raise BadSource(dump.name, [record]) from None
    if not isinstance(document, dict):
        raise dump.refused("a mapping with switches and blocks", type(document).__name__)
    return document


def _annotation(block: dict[Any, Any], last: str) -> str | None:
    annotations = block.get("annotations")
    for key, value in annotations.items() if isinstance(annotations, dict) else ():
        if isinstance(key, str) and key.rpartition("/")[2] == last:
            return value if isinstance(value, str) else repr(value)
    return None


def _expanded(expression: Any, path: str, bad: list[BadRecord]) -> tuple[str, ...]:
    """Return the names that ``node[0001-0009,0012]`` stands for."""
    names: tuple[str, ...] = ()
    try:
        names = expand_hostlist(expression) if isinstance(expression, str) else ()
    except ValueError as error:
        bad.append(BadRecord(path, "a name or a range such as node[0001-0018]", shown(str(error))))
    else:
        bad += [] if names else [BadRecord(path, "a name or a range such as node[0001-0018]", shown(expression))]
    return names


def _switches(tree: Any, racks: set[str | None]) -> tuple[str, ...]:
    names = {rack for rack in racks if rack}
    for name, switch in tree.items() if isinstance(tree, dict) else ():
        below = switch.get("switches") if isinstance(switch, dict) else None
        names |= {child for child in [name, *(below if isinstance(below, list) else [])] if is_id(child)}
    return tuple(sorted(names))
