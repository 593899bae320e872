"""Which machines does a generated cluster have, and how are they wired?"""

from collections.abc import Sequence

from data.schemas.cluster import Link, Node

GB200 = "GB200"
H100 = "H100"
NIC_GB_PER_S = 50.0
"""Line rate of the one 400 Gb/s adapter that each GPU has on the scale-out network."""

SPINES = 4


def nvl72_racks(racks: int, *, trays: int = 18, first: int = 1) -> tuple[Node, ...]:
    """Return ``racks`` GB200 NVL72 racks of ``trays`` nodes with four GPUs; each rack is one NVLink domain.

    Watts of a GPU are those of :mod:`data.readers.gpu_models`. A rack draws about 120 kW by the vendor's figures; that
    the trays draw the rest of it is an assumption.
    """
    return tuple(
        Node(
            id=f"gb200-{rack:03d}-{tray:02d}",
            gpu_model=GB200,
            gpus=4,
            nvlink_domain=f"nvl72-{rack:03d}",
            rack=f"rack-g{rack:03d}",
            gpu_power_min_w=200.0,
            gpu_power_max_w=1200.0,
            gpu_idle_w=166.0,
            base_power_w=1500.0,
        )
        for rack in range(first, first + racks)
        for tray in range(1, trays + 1)
    )


def dgx_nodes(count: int, *, per_rack: int = 4) -> tuple[Node, ...]:
    """Return ``count`` DGX H100 nodes of eight GPUs, each its own NVLink domain, ``per_rack`` to a rack.

    Watts of a GPU are those of :mod:`data.readers.gpu_models`; a machine draws at most 10.2 kW by the vendor's figures.
    """
    return tuple(
        Node(
            id=f"dgx-{index:04d}",
            gpu_model=H100,
            gpus=8,
            nvlink_domain=f"dgx-{index:04d}",
            rack=f"rack-h{(index - 1) // per_rack + 1:03d}",
            gpu_power_min_w=200.0,
            gpu_power_max_w=700.0,
            gpu_idle_w=70.0,
            base_power_w=2600.0,
        )
        for index in range(1, count + 1)
    )


def leaf_spine(nodes: Sequence[Node], *, spines: int = SPINES, oversubscription: float = 2.0) -> tuple[Link, ...]:
    """Return the uplinks of every rack's leaf to each spine; below the leaf the network does not block.

    Args:
        nodes: their racks are the leaves.
        spines: spine switches.
        oversubscription: a rack's adapters together over its uplinks together.
    """
    gpus: dict[str, int] = {}
    for node in nodes:
        gpus[node.rack] = gpus.get(node.rack, 0) + node.gpus
    return tuple(
        Link(
            id=f"{rack}:spine-{spine}",
            source=rack,
            target=f"spine-{spine}",
            bandwidth_gb_per_s=round(count * NIC_GB_PER_S / oversubscription / spines, 3),
            kind="infiniband",
        )
        for rack, count in gpus.items()
        for spine in range(1, spines + 1)
    )
