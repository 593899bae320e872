"""Which wires lie between which GPUs, and who wants to send how much? A fabric with directed links, and demands."""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

NOWHERE = -1
"""Where an index would stand: no such link, switch or domain."""


@dataclass(frozen=True, slots=True, eq=False)
class Fabric:
    """Everything that a byte can cross on its way from one GPU to another. A full-duplex cable is two links.

    A GPU reaches its NVLink domain over one link each way, and the network over one or more adapters, which it may
    share with other GPUs of its node. Switches forward; GPUs do not, but for the relay of
    :func:`data.generators.ecmp.routes_of`.

    Args:
        name: what it is called in reports.
        gpus: node and index within it of each GPU, ``(gpus,)``.
        node: of each GPU, in order of appearance, ``(gpus,)``.
        domain: NVLink domain of each GPU, ``(gpus,)``.
        domains: their names.
        switches: names of what forwards.
        cables: id of each link's cable: of a snapshot's link, or made up where the snapshot says nothing, ``(links,)``.
        kinds: ``nvlink``, ``adapter`` (between GPUs and their first switch) or ``trunk``, ``(links,)``.
        capacity_gb_per_s: in one direction, ``(links,)``.
        tail: place where each link starts, ``(links,)``; see ``places``.
        head: place where it ends, ``(links,)``.
        places: ends of links: node ids, then NVLink domains, then switches.
        nvlink_up: link of each GPU into its NVLink domain, ``(gpus,)``.
        nvlink_down: the other way, ``(gpus,)``.
        adapter_up: links of each GPU into the network, ``(gpus, adapters)``, filled up with ``NOWHERE``.
        adapter_down: the other way, in the same order.
        adapter_switch: the switch that they go to, an index into ``switches``, in the same order.
        trunks: switch to switch, as an index into links, ``(switches, neighbours)``, filled up with ``NOWHERE``.
        trunk_to: the switch that each of them leads to, in the same order.
        hops: fewest trunks from switch to switch, ``(switches, switches)``; ``NOWHERE`` where no way is known.
    """

    name: str
    gpus: tuple[tuple[str, int], ...]
    node: Ints
    domain: Ints
    domains: tuple[str, ...]
    switches: tuple[str, ...]
    cables: tuple[str, ...]
    kinds: tuple[str, ...]
    capacity_gb_per_s: Floats
    tail: Ints
    head: Ints
    places: tuple[str, ...]
    nvlink_up: Ints
    nvlink_down: Ints
    adapter_up: Ints
    adapter_down: Ints
    adapter_switch: Ints
    trunks: Ints
    trunk_to: Ints
    hops: NDArray[np.int16]

    def __post_init__(self) -> None:
        gpus, links = len(self.gpus), len(self.cables)
        expected = {
            "node": (gpus,),
            "domain": (gpus,),
            "capacity_gb_per_s": (links,),
            "tail": (links,),
            "head": (links,),
            "nvlink_up": (gpus,),
            "nvlink_down": (gpus,),
            "adapter_down": self.adapter_up.shape,
            "adapter_switch": self.adapter_up.shape,
            "trunk_to": self.trunks.shape,
            "hops": (len(self.switches),) * 2,
        }
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name}: expected shape {shape}, got {getattr(self, name).shape}")
        if len(self.kinds) != links or len(self.adapter_up) != gpus or len(self.trunks) != len(self.switches):
            raise ValueError(f"expected {links} kinds, {gpus} rows of adapters and {len(self.switches)} of trunks")
        if not (self.capacity_gb_per_s > 0).all():
            raise ValueError("capacity_gb_per_s: expected positive numbers")
        for one in fields(self):
            if isinstance(getattr(self, one.name), np.ndarray):
                getattr(self, one.name).flags.writeable = False


@dataclass(frozen=True, slots=True, eq=False)
class Demands:
    """Who wants to send how much to whom, at one moment.

    Args:
        source: GPU of the fabric that sends, ``(flows,)``.
        target: GPU that receives, ``(flows,)``.
        gb_per_s: asked for, ``(flows,)``.
        owner: index of the job that asks, in the order in which jobs were given, ``(flows,)``.
    """

    source: Ints
    target: Ints
    gb_per_s: Floats
    owner: Ints

    def __post_init__(self) -> None:
        for name in ("target", "gb_per_s", "owner"):
            if getattr(self, name).shape != self.source.shape:
                raise ValueError(f"{name}: expected shape {self.source.shape}, got {getattr(self, name).shape}")
        if not (np.isfinite(self.gb_per_s).all() and (self.gb_per_s >= 0).all()):
            raise ValueError("gb_per_s: expected finite numbers of at least 0")


@dataclass(frozen=True, slots=True, eq=False)
class Routes:
    """Links that each flow crosses: those of flow ``f`` are ``links[first[f] : first[f + 1]]``, in order.

    Args:
        first: ``(flows + 1,)``.
        links: ``(crossings,)``.
    """

    first: Ints
    links: Ints

    @property
    def flow(self) -> Ints:
        """The flow of each crossing, ``(crossings,)``."""
        return np.repeat(np.arange(len(self.first) - 1), np.diff(self.first))
