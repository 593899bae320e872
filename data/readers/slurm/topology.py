"""On which switch or block does each node hang? topology.conf and ``scontrol show topology``, tree and block."""

import re
from dataclasses import dataclass, field

from data.errors import BadRecord
from data.readers.slurm.hostlist import expand_hostlist

_PAIR = re.compile(r"(\w+)=(\S*)")


@dataclass(frozen=True, slots=True, eq=False)
class SlurmTopology:
    """The leaf switch and the block of each node, where known.

    Args:
        leaves: node to leaf switch (topology/tree).
        blocks: node to block (topology/block).
        set_aside: lines that could not be used.
    """

    leaves: dict[str, str] = field(default_factory=dict)
    blocks: dict[str, str] = field(default_factory=dict)
    set_aside: tuple[BadRecord, ...] = ()


def parse_topology(text: str, source: str) -> SlurmTopology:
    """Return the topology that ``text`` describes; lines of other kinds (BlockSizes, spines) carry nothing for nodes.

    A switch that lists nodes is a leaf unless it also lists switches: ``scontrol`` repeats the nodes of the leaves
    at every level.

    Args:
        text: topology.conf (comments, continued lines, any case of keys) or the output of ``scontrol show topology``.
        source: file or command, for messages.
    """
    leaves: dict[str, str] = {}
    blocks: dict[str, str] = {}
    set_aside: list[BadRecord] = []
    for number, line in enumerate(re.sub(r"\\\r?\n", " ", text).splitlines(), start=1):
        pairs = {key.lower(): value for key, value in _PAIR.findall(line.partition("#")[0])}
        names, nodes = pairs.get("blockname") or pairs.get("switchname"), pairs.get("nodes")
        if not names or not nodes or pairs.get("switches"):
            continue
        target = blocks if pairs.get("blockname") else leaves
        try:
            for node in expand_hostlist(nodes):
                target.setdefault(node, names)
        except ValueError as error:
            set_aside.append(BadRecord(f"{source}: line {number}", "a hostlist in Nodes=", str(error)))
    return SlurmTopology(leaves, blocks, tuple(set_aside))
