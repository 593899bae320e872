"""What is wired to what? The part of a cluster's state that a topology dump knows, and nothing else."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, with_config

from data.errors import BadRecord
from data.schemas.cluster import Link
from data.schemas.units import RECORD, Id

Format = Literal[
    "nvidia-smi topo -m",
    "NCCL topology",
    "NCCL graphs",
    "ibnetdiscover",
    "NetQ compute nodes",
    "NetQ topology graph",
    "Topograph model",
    "Slurm topology",
    "edge list",
]


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class TopologyNode:
    """A machine as a dump shows it; None where the dump does not say.

    Args:
        gpus: GPUs of the machine.
        nvlink_domain: GPUs of the same domain reach one another over NVLink.
        rack: the rack, or the leaf switch where racks are unknown.
    """

    id: Id
    gpus: Annotated[int, Field(ge=1, le=1024)] | None = None
    nvlink_domain: Id | None = None
    rack: Id | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Topology:
    """A dump, read.

    Args:
        source: the file that it was read from.
        scope: whether the dump looks out over the fabric or only inside one machine. From inside, an NVLink
            domain that spans machines cannot be told from one that does not.
        links: links whose bandwidth is known; parallel cables between two switches are one link. Ends are ids of
            ``nodes``, names of switches, or ``fabric`` where the far end is not in the dump.
        switches: names of the switches.
        set_aside: lines and records that were not used.
        notes: assumptions and oddities in plain words.
    """

    source: str
    format: Format
    scope: Literal["fabric", "machine"]
    nodes: tuple[TopologyNode, ...]
    links: tuple[Link, ...] = ()
    switches: tuple[Id, ...] = ()
    set_aside: tuple[BadRecord, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        ids = [node.id for node in self.nodes]
        if not ids:
            raise ValueError(f"{self.source}: a topology needs at least one node")
        if len(set(ids)) != len(ids):
            raise ValueError(f"{self.source}: expected every node once, got {len(ids) - len(set(ids))} repeated")
