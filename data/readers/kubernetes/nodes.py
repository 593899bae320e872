"""Which nodes does a Kubernetes cluster offer, with which GPUs, in which rack and NVLink domain?"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from data.errors import BadRecord
from data.readers.gpu_models import find_gpu_model, is_gpu_slice
from data.readers.kubernetes.objects import GPU_RESOURCES, MOST_GPUS, gpu_quantity, listing, mapping, part, text
from data.schemas.cluster import Node

NO_RACK = "unknown"

CLIQUE = "nvidia.com/gpu.clique"
"""``<ClusterUUID>.<CliqueId>``, set on multi-node NVLink systems only."""

DOMAIN_LABELS = (
    "accelerator.topograph.run/domain",
    "network.topology.nvidia.com/accelerator",
    "ds.coreweave.com/nvlink.domain",
)
"""Labels of the NVLink domain, used where the model's domain spans nodes, in this order."""

RACK_LABELS = (
    "fabric.topograph.run/tier-0",
    "network.topology.nvidia.com/leaf",
    "network.topology.nvidia.com/block",
    "backend.coreweave.cloud/leafgroup",
    "topology.k8s.aws/network-node-layer-3",
    "cloud.google.com/gce-topology-subblock",
    "oci.oraclecloud.com/rdma.local_block_id",
    "topology.kubernetes.io/rack",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
)
"""Labels of the rack or leaf switch, nearest to the node first; a zone is the last resort."""

MODEL_LABELS = (
    "nvidia.com/gpu.product",
    "amd.com/gpu.product-name",
    "gpu.nvidia.com/model",
    "gpu.nvidia.com/class",
    "cloud.google.com/gke-accelerator",
    "k8s.amazonaws.com/accelerator",
    "node.kubernetes.io/instance-type",
)


@dataclass(frozen=True, slots=True, eq=False)
class KubernetesNodes:
    """The nodes with GPUs, what was lost, and what was assumed."""

    nodes: tuple[Node, ...]
    paths: dict[str, str]
    set_aside: tuple[BadRecord, ...]
    notes: tuple[str, ...]


def read_nodes(found: Sequence[tuple[str, dict[str, Any]]], tolerated_taints: frozenset[str]) -> KubernetesNodes:
    """Return the nodes that have GPUs.

    A node is down while it is not Ready; drained while it is cordoned or carries a taint (NoSchedule, NoExecute)
    that is neither that of its GPU resource nor in ``tolerated_taints``. GPUs that are there (capacity) but not
    allocatable are unavailable; the API does not tell which, so they are counted from the highest index.

    Args:
        found: place in the source and object of each node.
        tolerated_taints: keys of taints that every GPU job tolerates (dedicated node pools).
    """
    notes: Counter[str] = Counter()
    set_aside: list[BadRecord] = []
    nodes: list[Node] = []
    paths: dict[str, str] = {}
    for path, item in found:
        try:
            node = _node(item, path, tolerated_taints, notes)
        except BadRecord as problem:
            set_aside.append(problem)
            continue
        if node is None:
            notes["nodes without GPUs were left out"] += 1
        else:
            nodes.append(node)
            paths.setdefault(node.id, path)
    told = tuple(f"{note} ({count} of {len(found)} nodes)" for note, count in notes.items())
    return KubernetesNodes(tuple(_one_rack(nodes)), paths, tuple(set_aside), told)


def _node(item: dict[str, Any], path: str, tolerated: frozenset[str], notes: Counter[str]) -> Node | None:
    name, labels = text(item, "metadata", "name"), mapping(item, "metadata", "labels")
    capacity = gpu_quantity(mapping(item, "status", "capacity"))
    allocatable = gpu_quantity(mapping(item, "status", "allocatable"))
    count = max(capacity, allocatable)
    if count == 0:
        return None
    if count > MOST_GPUS:
        raise BadRecord(f"{path}.status", f"at most {MOST_GPUS} GPUs", count)
    product = next((labels[label] for label in MODEL_LABELS[:2] if label in labels), "")
    if is_gpu_slice(product) or product.endswith("-SHARED") or labels.get("nvidia.com/gpu.replicas", "1") != "1":
        raise BadRecord(f"{path}.metadata.labels", "whole GPUs (no MIG, no time slicing)", product or "gpu.replicas")
    named = [labels[label] for label in MODEL_LABELS if label in labels]
    known = next((model for label in named if (model := find_gpu_model(label))), None)
    if known is None:
        notes["the GPU model is not in the table: caps of 200 to 700 W and one node per NVLink domain"] += 1
    if allocatable < count:
        notes["GPUs that are not allocatable were taken to be those with the highest indexes"] += 1
    domain = labels.get(CLIQUE, "")
    if not domain and (known is None or known.gpus_per_domain > count):
        domain = next((labels[label] for label in DOMAIN_LABELS if labels.get(label)), "")
    if not domain and known is not None and known.gpus_per_domain > count and known.gpus_per_node == count:
        notes["no label tells the NVLink domain: each node is its own"] += 1
    rack = next((labels[label] for label in RACK_LABELS if labels.get(label)), NO_RACK)
    if rack == NO_RACK:
        notes["no label tells the rack"] += 1
    return Node(
        id=name,
        gpu_model=known.name if known else product or "unknown",
        gpus=count,
        nvlink_domain=domain or name,
        rack=rack,
        gpu_power_min_w=float(known.power_min_w) if known else 200.0,
        gpu_power_max_w=float(known.power_max_w) if known else 700.0,
        gpu_idle_w=float(known.idle_w) if known else 60.0,
        state=_state(item, tolerated, notes),
        unavailable_gpus=tuple(range(allocatable, count)),
    )


def _state(item: dict[str, Any], tolerated: frozenset[str], notes: Counter[str]) -> Literal["up", "drained", "down"]:
    ready = [text(condition, "status") for condition in listing(item, "status", "conditions") if _is_ready(condition)]
    if ready != ["True"]:
        return "down"
    if part(item, "spec", "unschedulable") is True:
        return "drained"
    for taint in listing(item, "spec", "taints"):
        key = text(taint, "key")
        harmless = key in GPU_RESOURCES or key in tolerated
        if not harmless and text(taint, "effect") in ("NoSchedule", "NoExecute"):
            notes[f"drained, since the taint {key} is not among those that jobs are known to tolerate"] += 1
            return "drained"
    return "up"


def _is_ready(condition: dict[str, Any]) -> bool:
    return text(condition, "type") == "Ready"


def _one_rack(nodes: list[Node]) -> list[Node]:
    """Let nodes that share an NVLink domain share a rack too, as whole-node domains must."""
    racks: dict[str, set[str]] = {}
    for node in nodes:
        racks.setdefault(node.nvlink_domain, set()).add(node.rack)
    return [
        replace(node, rack=node.nvlink_domain) if len(racks[node.nvlink_domain]) > 1 and node.gpus > 4 else node
        for node in nodes
    ]
