"""Which fabrics do operators build? NVL72 racks, DGX machines on rails, leaf and spine, fat tree, torus."""

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from data.generators.fabric import fabric_of
from data.generators.hardware import NIC_GB_PER_S, SPINES, dgx_nodes, leaf_spine, nvl72_racks
from data.schemas.cluster import Link, Node
from data.schemas.fabric import Fabric


def nvl72(racks: int, *, spines: int = SPINES, oversubscription: float = 2.0) -> Fabric:
    """Return racks of 18 trays with four GPUs in one NVLink domain each, and four rails over one leaf each."""
    nodes = nvl72_racks(racks)
    links = rails(nodes, unit=18, spines=spines, oversubscription=oversubscription)
    return fabric_of(nodes, links, name=f"NVL72 x {racks}")


def dgx(
    count: int, *, model: str = "H100", spines: int = SPINES, unit: int = 32, oversubscription: float = 1.0
) -> Fabric:
    """Return DGX machines of eight GPUs with eight adapters on eight rails.

    Args:
        count: machines.
        model: H100, H200 or B200.
        spines: switches above the leaves.
        unit: machines of a scalable unit, which share one leaf for each rail.
        oversubscription: adapters under a leaf together over its uplinks together.
    """
    nodes = tuple(replace(node, gpu_model=model) for node in dgx_nodes(count))
    links = rails(nodes, unit=unit, spines=spines, oversubscription=oversubscription)
    return fabric_of(nodes, links, name=f"DGX {model} x {count}")


def rails(nodes: Sequence[Node], *, unit: int, spines: int, oversubscription: float) -> tuple[Link, ...]:
    """Return adapters and trunks of a rail-optimised network: GPU ``g`` of each node is on leaf ``g`` of its unit."""
    links = []
    below: Counter[str] = Counter()
    for index, node in enumerate(nodes):
        for gpu in range(node.gpus):
            leaf = f"unit-{index // unit + 1}-rail-{gpu}"
            below[leaf] += 1
            links.append(Link(f"{node.id}:ib{gpu}", node.id, leaf, NIC_GB_PER_S, kind="infiniband"))
    for leaf, count in below.items():
        speed = count * NIC_GB_PER_S / oversubscription / spines
        links += [
            Link(f"{leaf}--spine-{one}", leaf, f"spine-{one}", speed, "infiniband") for one in range(1, spines + 1)
        ]
    return tuple(links)


def two_tiers(count: int, *, per_rack: int = 4, spines: int = SPINES, oversubscription: float = 2.0) -> Fabric:
    """Return DGX machines under one leaf for each rack, and spines."""
    nodes = dgx_nodes(count, per_rack=per_rack)
    links = leaf_spine(nodes, spines=spines, oversubscription=oversubscription)
    return fabric_of(nodes, links, name=f"leaf and spine x {count}")


def fat_tree(ports: int, *, oversubscription: float = 1.0) -> Fabric:
    """Return a three-tier fat tree of switches with so many ports (Al-Fares et al. 2008, doi 10.1145/1402958.1402967).

    Args:
        ports: even; there are that many pods, and (ports / 2)^2 machines of eight GPUs in each, on one port each.
        oversubscription: of the uplinks of each edge switch.

    Raises:
        ValueError: ``ports`` is odd or below 2.
    """
    if ports < 2 or ports % 2:
        raise ValueError(f"ports: expected an even number of at least 2, got {ports}")
    half = ports // 2
    nodes = dgx_nodes(ports * half * half, per_rack=half)
    port = 8 * NIC_GB_PER_S
    up = port / oversubscription
    links = []
    for index, node in enumerate(nodes):
        links.append(Link(f"{node.id}:bond", node.id, f"edge-{index // half}", port))
    for pod, edge, middle in itertools.product(range(ports), range(half), range(half)):
        name, above = f"edge-{pod * half + edge}", f"middle-{pod * half + middle}"
        links.append(Link(f"{name}--{above}", name, above, up))
    for pod, middle, core in itertools.product(range(ports), range(half), range(half)):
        name, above = f"middle-{pod * half + middle}", f"core-{middle * half + core}"
        links.append(Link(f"{name}--{above}", name, above, up))
    return fabric_of(nodes, links, name=f"fat tree of {ports} ports")


def torus(shape: tuple[int, ...], *, gpus: int = 4, gb_per_s: float = NIC_GB_PER_S) -> Fabric:
    """Return machines wired to their neighbours in each direction, the last to the first.

    Args:
        shape: machines in each direction.
        gpus: of each machine.
        gb_per_s: of each cable.
    """
    nodes = []
    links = []
    for place in itertools.product(*map(range, shape)):
        name = "torus-" + "-".join(map(str, place))
        nodes.append(Node(name, "H100", gpus, name, f"row-{place[0]}"))
        for axis, length in enumerate(shape):
            if length > 2 or (length == 2 and place[axis] == 0):  # two machines need one cable, not two
                after = [*place]
                after[axis] = (place[axis] + 1) % length
                links.append(Link(f"{name}:{axis}", name, "torus-" + "-".join(map(str, after)), gb_per_s))
    return fabric_of(nodes, links, name="torus " + " x ".join(map(str, shape)))
