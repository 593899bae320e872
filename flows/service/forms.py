"""What can be asked of the service, and what does it answer? The bodies, as OpenAPI describes them."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, FailFast, Field
from pydantic.config import JsonDict, JsonValue

from data.readers.transfers import BANDWIDTH_GB_PER_S, GIGABYTES
from data.schemas.plan import Bound, Fallback, SolverRow
from flows.params import EffortName
from flows.service.refusals import Problem
from tasks.route_tokens import Measures
from tasks.schedule_transfers import Method
from tasks.token_routing.settings import Settings
from tasks.validate import Check

STRICT = ConfigDict(frozen=True, extra="forbid", strict=True)
Seed = Annotated[int, Field(ge=0, lt=2**63, description="Same body, same seed: same answer")]

GRAPH: JsonDict = {"num_experts": 4}
STREAM: list[JsonValue] = ["t1", "t2", {"token_id": "t3", "complexity": 2.5}]
MESSAGES: list[JsonValue] = [
    {"source": "g0", "target": "g1", "gigabytes": 4},
    {"source": "g1", "target": "g2", "gigabytes": 2},
]


class TokensForm(BaseModel):
    """A stream of tokens, the experts, and who decides; the fields of the flow ``route-tokens``, files inlined."""

    model_config = ConfigDict(**STRICT, json_schema_extra={"example": {"tokens": STREAM, "model_graph": GRAPH}})

    tokens: Annotated[list[str | int | dict[str, Any]], FailFast()] = Field(
        min_length=1,
        description="Ids, or objects with token_id, complexity (ordinary tokens, above 0) and source (a place of the "
        "graph); a token that is wrong is set aside and named",
    )
    model_graph: dict[str, Any] = Field(
        description='NetworkX node-link JSON with nodes and edges, or {"num_experts": 64}'
    )
    method: Literal["hash", "bounded-hash"] = Field(
        default="bounded-hash", description="Those that answer at once; refining takes seconds: flow route-tokens"
    )


class PlanForm(BaseModel):
    """A plan and the state that it was made for; formats: ``/v1/schemas/plan`` and ``/v1/schemas/snapshot``."""

    model_config = STRICT

    plan: dict[str, Any] = Field(description="What stands in plan.json")
    snapshot: dict[str, Any] = Field(description="What stands in snapshot.json; the digest of the plan must match it")


class SnapshotForm(BaseModel):
    """A snapshot; its format is ``/v1/schemas/snapshot``. Records that break it are set aside and named."""

    model_config = ConfigDict(frozen=True, extra="allow")


class RoundsForm(BaseModel):
    """Messages that cross a fabric; the fields of the flow ``schedule-links``, the file inlined."""

    model_config = ConfigDict(**STRICT, json_schema_extra={"example": {"transfers": MESSAGES}})

    transfers: Annotated[list[dict[str, Any]], FailFast()] = Field(
        min_length=1, description="Objects with source, target, and gigabytes or bandwidth (GB/s); also uses, round"
    )
    rounds: int | None = Field(default=None, ge=1, le=1_000_000, description="Most, of all planes")
    planes: int = Field(default=1, ge=1, le=1024, description="Equal copies of the fabric side by side")
    duplex: Literal["full", "half"] = Field(default="full", description="Whether a GPU sends and receives at once")
    cut: bool = Field(default=True, description="Whether a message may be sent in several rounds (crossbar)")
    method: Method = Field(default="auto", description="auto is exact on a crossbar, and colours elsewhere")
    gigabytes: float = Field(default=GIGABYTES, gt=0, le=1e9, description="Where a message names none")
    bandwidth_gb_per_s: float = Field(default=BANDWIDTH_GB_PER_S, gt=0, le=1e6, description="Where none is named")
    effort: EffortName = Field(default="quick", description="Of the colouring, by annealing")
    seed: Seed = 0


@dataclass(frozen=True, slots=True)
class TokensAnswer:
    """The queue of each expert, and the account of how they came about: the file of the flow ``route-tokens``.

    Args:
        tokens: that were routed.
        left_out: that could not be used.
        set_aside: what was wrong with the first of them.
        settings: how the stream was routed.
        before: as the classical router sent it.
        after: as it is sent.
        window_tokens: tokens that were refined.
        solvers: what each method reached on them.
        bound: proven for them; null where nothing was refined.
        fallbacks: solvers that failed.
        experts: ids of the tokens of each expert, in the order in which they came.
    """

    tokens: int
    left_out: int
    set_aside: tuple[str, ...]
    settings: Settings
    before: Measures
    after: Measures
    window_tokens: int
    solvers: tuple[SolverRow, ...]
    bound: Bound | None
    fallbacks: tuple[Fallback, ...]
    experts: dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class PlanAnswer:
    """What the validator found.

    Args:
        plan_sha256: of the plan that was looked at.
        snapshot_sha256: of the state.
        passed: whether every check that was made passed.
        checks: what was looked at, each with everything that is wrong with it.
        not_examined: what cannot be seen from here, e.g. archives, which are files.
    """

    plan_sha256: str
    snapshot_sha256: str
    passed: bool
    checks: tuple[Check, ...]
    not_examined: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SnapshotAnswer:
    """What stands in a snapshot, and which of its records would be set aside; ``passed`` where none would be."""

    passed: bool
    sha256: str
    nodes: int
    gpus: int
    jobs: int
    deployments: int
    checkpoints: int
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class Health:
    """That the service answers, and how many of its workers are free."""

    status: Literal["ok", "busy"]
    workers: int
    free: int


@dataclass(frozen=True, slots=True)
class Version:
    """What answers here."""

    quantumflow: str
    formats: tuple[str, ...]
