"""What is the cluster's state? The snapshot: the one input of the pipeline."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field, with_config

from data.schemas.checkpoint import Checkpoint
from data.schemas.job import Job
from data.schemas.routing import ExpertDeployment
from data.schemas.telemetry import LinkSeries, NodeSeries
from data.schemas.units import RECORD, ClusterPowerW, Count, GigabytesPerSecond, GpuIndex, GpuPowerW, Id, NodePowerW

SCHEMA_VERSION = "1.0"

Price = Annotated[float, Field(ge=0.0, le=100.0, description="US dollars per kWh")]


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class Node:
    """A machine with GPUs.

    Args:
        nvlink_domain: GPUs of the same domain reach one another over NVLink (an NVL72 rack, one DGX node).
        rack: the rack, or the leaf switch where racks are unknown.
        gpu_power_min_w: lowest cap that the GPUs accept.
        gpu_power_max_w: highest cap, the default.
        gpu_idle_w: draw of a GPU without work.
        base_power_w: draw of the node without its GPUs.
        power_cap_w: the node with its GPUs never draws more; None means no cap of its own.
        unavailable_gpus: GPUs that must not be used: failed, reserved, or held by a record that was set aside.
    """

    id: Id
    gpu_model: Annotated[str, Field(min_length=1, max_length=128)]
    gpus: Annotated[int, Field(ge=1, le=1024)]
    nvlink_domain: Id
    rack: Id
    gpu_power_min_w: GpuPowerW = 200.0
    gpu_power_max_w: GpuPowerW = 700.0
    gpu_idle_w: GpuPowerW = 60.0
    base_power_w: NodePowerW = 0.0
    power_cap_w: NodePowerW | None = None
    state: Literal["up", "drained", "down"] = "up"
    unavailable_gpus: tuple[GpuIndex, ...] = ()


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class Link:
    """A link of the scale-out network; ends name nodes, racks, domains or switches."""

    id: Id
    source: Id
    target: Id
    bandwidth_gb_per_s: GigabytesPerSecond
    kind: Literal["nvlink", "infiniband", "ethernet", "pcie", "unknown"] = "unknown"


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class Limits:
    """What a plan must keep to.

    Args:
        power_cap_w: the whole cluster never draws more; None means no cap.
        rack_power_cap_w: no rack draws more; None means no cap.
        energy_budget_kwh: what all jobs may draw above idle GPUs until they have ended, in or after the horizon; None
            means no budget.
        power_quantile: share of forecast draws that must not exceed what a plan allows for them.
        migration_budget_gpus: GPUs of running jobs that one plan may move.
        migration_budget_replicas: expert replicas that one plan may move.
        next_gangs: whole-domain gangs that are expected next, and for which room is worth keeping together.
        spare_nodes_per_domain: nodes of each NVLink domain that are kept free to stand in for one that fails; a domain
            with no more open nodes than that keeps none.
        slot_s: length of a slot of the schedule.
        horizon_slots: slots that the schedule looks ahead.
        energy_price_usd_per_kwh: where ``energy_prices_usd_per_kwh`` says nothing.
        energy_prices_usd_per_kwh: one for each slot from the snapshot on; the last one holds from then on.
        carbon_g_per_kwh: of the grid, one for each slot likewise; empty where it does not matter.
        carbon_price_usd_per_kg: what a kilogram of carbon dioxide counts in the plan.
    """

    power_cap_w: ClusterPowerW | None = None
    rack_power_cap_w: ClusterPowerW | None = None
    energy_budget_kwh: Annotated[float, Field(ge=0.0, le=1e9)] | None = None
    power_quantile: Annotated[float, Field(ge=0.5, lt=1.0)] = 0.95
    migration_budget_gpus: Count = 64
    migration_budget_replicas: Count = 512
    next_gangs: Count = 1
    spare_nodes_per_domain: Count = 0
    slot_s: Annotated[float, Field(ge=1.0, le=86_400.0)] = 300.0
    horizon_slots: Annotated[int, Field(ge=1, le=2_016)] = 96
    energy_price_usd_per_kwh: Price = 0.10
    energy_prices_usd_per_kwh: tuple[Price, ...] = ()
    carbon_g_per_kwh: tuple[Annotated[float, Field(ge=0.0, le=5_000.0)], ...] = ()
    carbon_price_usd_per_kg: Annotated[float, Field(ge=0.0, le=1_000.0)] = 0.0


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class Snapshot:
    """A cluster at one moment; everything that a plan is made from.

    Args:
        taken_at: ISO 8601 with offset, e.g. ``2026-01-31T12:00:00+00:00``.
    """

    cluster: Id
    taken_at: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$")]
    nodes: tuple[Node, ...]
    jobs: tuple[Job, ...] = ()
    links: tuple[Link, ...] = ()
    deployments: tuple[ExpertDeployment, ...] = ()
    node_series: tuple[NodeSeries, ...] = ()
    link_series: tuple[LinkSeries, ...] = ()
    checkpoints: tuple[Checkpoint, ...] = ()
    limits: Limits = field(default_factory=Limits)
    schema_version: Literal["1.0"] = "1.0"
