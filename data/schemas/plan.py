"""What shall be changed? The plan: actions, their inverse, and the account of how they were found."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, with_config

from data.schemas.checkpoint import Archive
from data.schemas.job import Worker
from data.schemas.routing import Index
from data.schemas.units import RECORD, Fraction, GpuPowerW, Id, Seconds, Sha256


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class Migrate:
    """Move a running job; moves of one ``batch`` wait for one another (all stop, then all start)."""

    job: Id
    before: tuple[Worker, ...]
    after: tuple[Worker, ...]
    batch: int
    reason: str
    gain: float
    kind: Literal["migrate"] = "migrate"


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class Place:
    """Give GPUs to a job that holds none (or, in an inverse, take them back)."""

    job: Id
    before: tuple[Worker, ...]
    after: tuple[Worker, ...]
    reason: str
    gain: float
    kind: Literal["place"] = "place"


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class Recap:
    """Change the power cap on each GPU of a job; None means the node's highest."""

    job: Id
    before: GpuPowerW | None
    after: GpuPowerW | None
    reason: str
    gain: float
    kind: Literal["recap"] = "recap"


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class Start:
    """Change when a pending job starts, in seconds after the snapshot; None means not scheduled."""

    job: Id
    before: Seconds | None
    after: Seconds | None
    reason: str
    gain: float
    kind: Literal["start"] = "start"


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class ReplicaLoad:
    """Let a slot load an expert in a step; loads of one step go on at the same time, and the next step waits for them.

    Meanwhile the slot is out of service. With ``staged`` the expert is loaded into a spare buffer of the slot's rank
    instead while the slot serves on, and all of the step switch together at its end.
    """

    step: Index
    slot: Index
    expert: Index
    staged: bool = False


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class MoveReplicas:
    """Change which experts the named slots of one layer hold, and how their tokens are split.

    Args:
        slots: whose expert or share changes; ``before`` and ``after`` are their experts, ``(slots,)`` all.
        order: the loads, by step; empty means that all slots that change load at once.
        before_shares: share of its expert's tokens that each of ``slots`` takes; empty where the layer's tokens are
            split evenly over the replicas on ranks that have not failed.
        after_shares: likewise.
    """

    deployment: Id
    layer: Index
    slots: tuple[Index, ...]
    before: tuple[Index, ...]
    after: tuple[Index, ...]
    reason: str
    gain: float
    order: tuple[ReplicaLoad, ...] = ()
    before_shares: tuple[Fraction, ...] = ()
    after_shares: tuple[Fraction, ...] = ()
    kind: Literal["move_replica"] = "move_replica"


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class Compress:
    """Register a verified archive of a checkpoint (the original stays where it is)."""

    checkpoint: Id
    before: Archive | None
    after: Archive | None
    reason: str
    gain: float
    kind: Literal["compress"] = "compress"


Action = Annotated[Migrate | Place | Recap | Start | MoveReplicas | Compress, Field(discriminator="kind")]


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class Metric:
    """One figure of the cluster before and after the plan."""

    name: str
    unit: str
    before: float
    after: float
    better: Literal["lower", "higher"]


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class SolverRow:
    """What one method reached on one problem.

    Args:
        problem: placement, power, or routing with the deployment's id.
        method: incumbent, classical search, or a solver run on windows from where the classical search stopped.
        cost: exact cost reached (lower is better).
        evaluations: moves evaluated by the classical search, or windows solved times spins.
        windows: windows solved.
        accepted: changes that the exact cost confirmed.
        chosen: whether the plan is this method's decision.
    """

    problem: str
    method: str
    cost: float
    evaluations: int
    windows: int
    accepted: int
    chosen: bool


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class Bound:
    """A proven lower bound on a problem's cost and how far above it the plan is."""

    problem: str
    value: float
    gap: Annotated[float, Field(ge=0.0)] | None
    method: str


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class Fallback:
    """A part that could not do its work, what stood in for it, and why."""

    stage: str
    wanted: str
    used: str
    reason: str


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class SetAside:
    """An input record that was not used."""

    path: str
    expected: str
    found: str


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class AssumedPower:
    """The draw that was assumed for a job whose ``gpu_power_w`` the snapshot does not know, and who said so.

    ``gpu_power_high_w`` is what it exceeds only as often as ``Limits.power_quantile`` allows.
    """

    job: Id
    gpu_power_w: GpuPowerW
    source: str
    gpu_power_high_w: GpuPowerW | None = None


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class Plan:
    """What to change in the cluster of the snapshot whose digest is ``snapshot_sha256``, and how to undo it.

    ``inverse`` undoes ``actions`` in order. ``sha256`` is the digest of the plan without that field.
    """

    cluster: Id
    snapshot_sha256: Sha256
    snapshot_taken_at: str
    code_version: str
    options: str
    seed: int
    actions: tuple[Action, ...]
    inverse: tuple[Action, ...]
    assumed_power: tuple[AssumedPower, ...]
    metrics: tuple[Metric, ...]
    solvers: tuple[SolverRow, ...]
    bounds: tuple[Bound, ...]
    fallbacks: tuple[Fallback, ...]
    set_aside: tuple[SetAside, ...]
    notes: tuple[str, ...]
    sha256: Sha256
    plan_version: Literal["1.0"] = "1.0"
