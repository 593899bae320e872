"""Which nodes does a Slurm cluster offer, with which GPUs, under which switch?"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from data.errors import BadRecord
from data.readers.gpu_models import GpuModel, find_gpu_model, is_gpu_slice
from data.readers.slurm.gres import parse_gpus
from data.readers.slurm.rows import NodeRow
from data.readers.slurm.topology import SlurmTopology
from data.schemas.cluster import Node

NO_RACK = "unknown"
MOST_GPUS = 1_024

_DOWN = {
    "DOWN", "ERROR", "UNKNOWN", "FUTURE", "NOT_RESPONDING", "NO_RESPOND", "POWERED_DOWN", "POWER_DOWN",
    "POWERING_DOWN", "POWER_DRAIN", "INVALID_REG", "INVALID",
}  # fmt: skip
_DRAINED = {
    "DRAIN", "DRAINED", "DRAINING", "FAIL", "FAILING", "MAINT", "MAINTENANCE", "RESERVED", "BLOCKED",
    "REBOOT_REQUESTED", "REBOOT_ISSUED", "REBOOT",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What to take for granted where Slurm does not say.

    Args:
        gpu_model: model of the GPUs of nodes whose GRES and features name none.
        gpus_per_node: their number, for clusters without GRES.
        unlimited_s: remaining seconds of a job without a time limit.
        partition: read this partition only; None reads them all.
    """

    gpu_model: str | None = None
    gpus_per_node: int | None = None
    unlimited_s: float = 604_800.0
    partition: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class SlurmNodes:
    """The nodes, and what had to be guessed.

    Args:
        nodes: those with GPUs.
        rows: what Slurm told of each of them, in the same order.
        gpus_known: whether Slurm counts GPUs (GRES or TRES); if not, only whole nodes can be told apart.
    """

    nodes: tuple[Node, ...]
    rows: tuple[NodeRow, ...]
    gpus_known: bool
    set_aside: tuple[BadRecord, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Gpus:
    model: str
    known: GpuModel | None
    count: int
    note: str = ""


def read_nodes(rows: Sequence[NodeRow], topology: SlurmTopology, assume: Assumptions) -> SlurmNodes:
    """Return the nodes that have GPUs; their number is from GRES, else TRES, else features, else ``assume``.

    The NVLink domain is the block (topology/block), else the leaf switch where the model's domain spans nodes
    (NVL72), else the node itself. The rack is the leaf switch, else the block.
    """
    gpus_known = any(parse_gpus(row.gres) or parse_gpus(row.tres) for row in rows)
    notes: Counter[str] = Counter()
    set_aside: list[BadRecord] = []
    found: list[tuple[NodeRow, _Gpus]] = []
    for row in rows:
        if assume.partition is not None and assume.partition not in row.partitions:
            continue
        try:
            gpus = _declared(row, assume) if gpus_known else _guessed(row, assume)
        except BadRecord as problem:
            set_aside.append(problem)
            continue
        if gpus is None:
            notes["nodes without GPUs were left out"] += 1
            continue
        if gpus.note:
            notes[gpus.note] += 1
        if gpus.known is None:
            notes[
                f"{gpus.model} is not in the table of GPU models: caps of 200 to 700 W and one node per NVLink domain"
            ] += 1
        found.append((row, gpus))
    nodes = _place(found, topology, notes)
    told = [f"{note} ({count} of {len(rows)} nodes)" for note, count in notes.items()]
    partitions = {row.partitions for row, _ in found}
    if len(partitions) > 1 and assume.partition is None:
        told.append(
            "nodes are in different partitions, and a plan may move a job across them: read one partition alone"
        )
    return SlurmNodes(tuple(nodes), tuple(row for row, _ in found), gpus_known, tuple(set_aside), tuple(told))


def _declared(row: NodeRow, assume: Assumptions) -> _Gpus | None:
    entries = parse_gpus(row.gres) or parse_gpus(row.tres)
    if any(is_gpu_slice(entry.type) for entry in entries):
        raise BadRecord(f"{row.path}.gres", "whole GPUs", row.gres or row.tres)
    count = sum(entry.count for entry in entries)
    if not count:
        return None
    if count > MOST_GPUS:
        raise BadRecord(f"{row.path}.gres", f"at most {MOST_GPUS} GPUs on a node", row.gres or row.tres)
    types = Counter[str]()
    for entry in entries:
        types[entry.type] += entry.count
    name = types.most_common(1)[0][0]
    note = "GPUs of several models on one node: the most frequent stands for all" if len(types) > 1 else ""
    if not name:
        name = next((feature for feature in row.features if find_gpu_model(feature)), "") or assume.gpu_model or ""
        note = f"GRES without a type: model {name or 'unknown'} taken from the features or the caller"
    known = find_gpu_model(name)
    return _Gpus(known.name if known else name or "unknown", known, count, note)


def _guessed(row: NodeRow, assume: Assumptions) -> _Gpus | None:
    for feature in row.features:
        known = find_gpu_model(feature)
        if known is not None:
            count = assume.gpus_per_node or known.gpus_per_node
            return _Gpus(known.name, known, count, f"no GRES: {count} x {known.name} taken from the feature {feature}")
    if assume.gpus_per_node:
        known = find_gpu_model(assume.gpu_model or "")
        name = known.name if known else assume.gpu_model or "unknown"
        return _Gpus(
            name, known, assume.gpus_per_node, f"no GRES: {assume.gpus_per_node} x {name} taken from the caller"
        )
    return None


def _place(found: list[tuple[NodeRow, _Gpus]], topology: SlurmTopology, notes: Counter[str]) -> list[Node]:
    racks = _racks(topology)
    under: Counter[str] = Counter()
    for row, gpus in found:
        under[topology.leaves.get(row.name, "")] += gpus.count
    nodes: list[Node] = []
    for row, gpus in found:
        leaf, block = topology.leaves.get(row.name, ""), topology.blocks.get(row.name, "")
        rack = racks.get(block) or leaf or block or NO_RACK
        spans_nodes = gpus.known is not None and gpus.known.gpus_per_domain > gpus.count
        domain = row.name
        if block and (spans_nodes or gpus.known is None):
            domain = block
        elif spans_nodes and gpus.known is not None and leaf:
            if under[leaf] <= gpus.known.gpus_per_domain:
                domain = leaf
            else:
                notes["more GPUs under a leaf switch than in an NVLink domain: each node is its own domain"] += 1
        elif spans_nodes:
            notes["no topology: each node is its own NVLink domain"] += 1
        if rack == NO_RACK:
            notes["no topology: the rack is unknown"] += 1
        state: Literal["up", "drained", "down"] = "up"
        if row.states & _DOWN:
            state = "down"
        elif row.states & _DRAINED:
            state = "drained"
        power = gpus.known
        nodes.append(
            Node(
                id=row.name,
                gpu_model=gpus.model,
                gpus=gpus.count,
                nvlink_domain=domain,
                rack=rack,
                gpu_power_min_w=float(power.power_min_w) if power else 200.0,
                gpu_power_max_w=float(power.power_max_w) if power else 700.0,
                gpu_idle_w=float(power.idle_w) if power else 60.0,
                state=state,
            )
        )
    return nodes


def _racks(topology: SlurmTopology) -> dict[str, str]:
    """Return the rack of each block: its leaf switch where it has one only, else the block itself."""
    leaves: dict[str, set[str]] = {}
    for node, block in topology.blocks.items():
        leaves.setdefault(block, set()).add(topology.leaves.get(node, ""))
    return {block: min(under) if len(under) == 1 and "" not in under else block for block, under in leaves.items()}
