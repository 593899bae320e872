"""What can an apply be asked for? The forms that the Prefect UI shows, checked at the door."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from data.schemas.units import Sha256
from tasks.apply.guards import Limits
from tasks.apply.kubernetes import KubernetesExecutor
from tasks.apply.shell import ShellExecutor
from tasks.apply.slurm import SlurmExecutor

FORM = ConfigDict(frozen=True, extra="forbid")


class DryRunForm(BaseModel):
    """A rehearsal on the plan's own snapshot; nothing is touched."""

    model_config = FORM

    kind: Literal["dry-run"] = "dry-run"


ExecutorForm = Annotated[DryRunForm | SlurmExecutor | KubernetesExecutor | ShellExecutor, Field(discriminator="kind")]
"""Who carries the actions out."""

EXECUTOR: TypeAdapter[DryRunForm | SlurmExecutor | KubernetesExecutor | ShellExecutor] = TypeAdapter(ExecutorForm)


class _Applying(BaseModel):
    """What every apply says."""

    model_config = FORM

    alone: bool = Field(
        default=False,
        title="No server",
        description="Only where no Prefect server is set: no other machine applies plans to this cluster",
        json_schema_extra={"position": 90},
    )


class ApplyParams(_Applying):
    """One plan to carry out."""

    plan: Path = Field(
        default=Path("runs/latest"),
        title="Plan",
        description="plan.json, or the folder of a run",
        json_schema_extra={"position": 0},
    )
    sha256: Sha256 | None = Field(
        default=None,
        title="SHA-256 of plan.json",
        description="As sha256sum tells it; empty where a person looks at the plan and approves it",
        json_schema_extra={"position": 1},
    )
    executor: ExecutorForm = Field(
        default=DryRunForm(),
        title="Executor",
        description="Who carries the actions out",
        json_schema_extra={"position": 2},
    )
    approval: Literal["ask", "given"] = Field(
        default="ask",
        title="Approval",
        description="ask: the run waits for a person; given: the SHA-256 is the approval",
        json_schema_extra={"position": 3},
    )
    approved_by: str = Field(
        default="",
        max_length=120,
        title="Approved by",
        description="Where it is given",
        json_schema_extra={"position": 4},
    )
    comment: str = Field(default="", max_length=2_000, title="Comment", json_schema_extra={"position": 5})
    max_age_s: float = Field(
        default=3_600.0,
        gt=0.0,
        le=7 * 86_400.0,
        title="Oldest plan (s)",
        description="Seconds since its snapshot",
        json_schema_extra={"position": 10},
    )
    max_actions: int = Field(default=200, ge=0, title="Most actions", json_schema_extra={"position": 11})
    max_moved_gpus: int = Field(
        default=128,
        ge=0,
        title="Most GPUs stopped",
        description="GPUs of running jobs that are stopped to be moved",
        json_schema_extra={"position": 12},
    )
    protected: tuple[Annotated[str, Field(min_length=1, max_length=256)], ...] = Field(
        default=(),
        max_length=10_000,
        title="Protected jobs",
        description="Ids or patterns; the worker's QUANTUMFLOW_PROTECTED adds to them",
        json_schema_extra={"position": 13},
    )
    protected_priority: float | None = Field(
        default=None,
        title="Protected from priority",
        description="Jobs of this priority or more are never touched; empty for no such rule",
        json_schema_extra={"position": 14},
    )

    def limits(self, also_protected: tuple[str, ...]) -> Limits:
        """Return what one apply may do."""
        return Limits(
            self.max_age_s,
            self.max_actions,
            self.max_moved_gpus,
            (*self.protected, *also_protected),
            self.protected_priority,
        )


class SettleParams(_Applying):
    """One apply that was cut off, to be ended; or one that has ended, to be undone."""

    journal: Path = Field(title="Journal", description="Of the apply", json_schema_extra={"position": 0})
    way: Literal["resume", "rollback"] = Field(
        default="rollback",
        title="Way",
        description="resume: on with the plan; rollback: back to what was before",
        json_schema_extra={"position": 1},
    )
    max_age_s: float = Field(
        default=3_600.0,
        gt=0.0,
        le=7 * 86_400.0,
        title="Oldest plan (s)",
        description="Seconds since its snapshot; an older one can only be rolled back",
        json_schema_extra={"position": 2},
    )
