"""What shall be rented and given back, and in which order? The fleet's plan: a file that is reviewed before it is done.

It reads as OpenTofu's plans do: a list of resources, each with what happens to it, from what to what, and why. One
resource is one kind of machine in one region, bought in one way; its address is ``region/sku/purchase``.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, with_config

from data.schemas.fleet import Purchase
from data.schemas.plan import Bound, Fallback, Metric, SetAside, SolverRow
from data.schemas.units import RECORD, Fraction, Id, Sha256

HOURS_PER_MONTH = 730.0

Doing = Literal["create", "update", "delete", "no-op"]
Nodes = Annotated[int, Field(ge=0, le=10_000_000)]
Address = Annotated[str, Field(min_length=5, max_length=1024, pattern=r"^[\w.\-:/@+=\[\]]+$")]


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class Change:
    """What happens to a resource.

    Args:
        actions: one of them; a list, as in OpenTofu's plans.
        before: nodes in force.
        after: nodes after the last wave.
    """

    actions: tuple[Doing]
    before: Nodes
    after: Nodes


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class ResourceChange:
    """One resource and its change.

    Args:
        address: ``region/sku/purchase``.
        reason: why, in words.
        cost_delta_usd_per_h: of its rent.
        capacity_delta: in the fleet's unit, interruptions taken off.
        risk: what may go wrong with it: spot is interrupted, a quota is used up; empty where nothing is known.
    """

    address: Address
    region: Id
    sku: Id
    purchase: Purchase
    change: Change
    reason: str
    cost_delta_usd_per_h: float
    capacity_delta: float
    risk: str = ""


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class Drift:
    """A resource that is not as the last plan left it."""

    address: Address
    planned: Nodes
    found: Nodes


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class Step:
    """Nodes of a resource that a wave starts (above 0) or stops (below 0)."""

    address: Address
    nodes: Annotated[int, Field(ge=-10_000_000, le=10_000_000)]


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class Wave:
    """What is done at one time; the next wave waits for the barrier.

    No two regions that fail together are changed in one wave: regions of one metro, regions that were down together in
    an outage (neither one of spot alone, nor one of more than a tenth of all regions and more than two, which no order
    could keep apart), and of regions of which neither is known those of one cloud and country.

    Args:
        number: from 1.
        starts: they come first, and serve before anything is stopped.
        stops: of machines that the starts made needless.
        share: that starts and stops come to, the greater of the two, of the capacity in force as the wave begins (of a
            fleet without any: of the one planned). At most the limit ``wave_share``, or a single node.
        least_capacity: at any moment of the wave, in the fleet's unit.
        barrier: what must hold before the next wave.
        abort_if: what ends the rollout.
        undo: steps that take the wave back, in order.
        passing: limits that only this moment of the rollout exceeds, by name: shares, carbon, the number of regions.
    """

    number: Annotated[int, Field(ge=1)]
    starts: tuple[Step, ...]
    stops: tuple[Step, ...]
    share: Annotated[float, Field(ge=0.0)]
    least_capacity: float
    barrier: str
    abort_if: str
    undo: tuple[Step, ...]
    passing: tuple[str, ...] = ()


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class Binding:
    """A limit that keeps the plan from being cheaper.

    Args:
        limit: its name, of :class:`data.schemas.fleet.FleetLimits` or a quota.
        detail: in words.
        usd_per_h: what a unit more of it would save, where the relaxation tells; None where it does not.
    """

    limit: str
    detail: str
    usd_per_h: float | None = None


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class Flow:
    """Users of a zone that a region serves, as a share of the zone's demand."""

    zone: Id
    region: Id
    share: Fraction
    rtt_ms: float


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class FleetPlan:
    """What to change in the fleet whose digest is ``prior_state_sha256``, in waves, and how to undo it.

    Args:
        resource_changes: every resource that is held before or after.
        resource_drift: what differs from the last plan's end, where one was given.
        inverse: the changes that lead from the planned state back to the one in force.
        flows: who serves whom, when nothing is lost.
        sha256: digest of the plan without that field.
    """

    fleet: Id
    prior_state_sha256: Sha256
    prior_state_taken_at: str
    catalogue_sha256: Sha256
    code_version: str
    options: str
    seed: int
    resource_changes: tuple[ResourceChange, ...]
    resource_drift: tuple[Drift, ...]
    waves: tuple[Wave, ...]
    inverse: tuple[ResourceChange, ...]
    flows: tuple[Flow, ...]
    metrics: tuple[Metric, ...]
    solvers: tuple[SolverRow, ...]
    bounds: tuple[Bound, ...]
    binding: tuple[Binding, ...]
    fallbacks: tuple[Fallback, ...]
    set_aside: tuple[SetAside, ...]
    notes: tuple[str, ...]
    sha256: Sha256
    format_version: Literal["1.0"] = "1.0"


FLEET_PLAN: TypeAdapter[FleetPlan] = TypeAdapter(FleetPlan)
