"""What runs or waits? A job, its workers, and what it asks of power and links."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, with_config

from data.schemas.units import (
    RECORD,
    Fraction,
    Gigabytes,
    GigabytesPerSecond,
    GpuIndex,
    GpuPowerW,
    Id,
    Seconds,
)


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class Worker:
    """The GPUs that one worker (pod, Slurm task group, launcher rank) holds; all on one node."""

    node: Id
    gpus: Annotated[tuple[GpuIndex, ...], Field(min_length=1)]


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class PowerLevel:
    """One measured point of a job: its speed, relative to no cap, under a cap on each GPU."""

    cap_w: GpuPowerW
    speed: Annotated[float, Field(gt=0.0, le=1.0, description="throughput relative to the highest cap")]


Degree = Annotated[int, Field(ge=1, le=100_000, description="GPUs of one parallel group")]


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class Parallelism:
    """GPUs of each tensor-, pipeline- and expert-parallel group of a job; what is left over is data parallel."""

    tensor: Degree = 1
    pipeline: Degree = 1
    expert: Degree = 1


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class Job:
    """A job: ``workers`` workers of ``gpus_per_worker`` GPUs each, all started together.

    Args:
        placement: one entry per worker while the job holds GPUs; empty while it does not.
        gang: jobs with the same gang talk to one another and are kept close; empty means the job by itself.
        planned_start_s: seconds after the snapshot at which the schedule in force starts a pending job.
        deadline_s: seconds after the snapshot by which it should be done; None for none.
        gpu_power_w: draw of one of its GPUs without a cap, measured or asked for; None where nobody knows.
        gpu_power_high_w: draw that it exceeds only as often as ``Limits.power_quantile`` allows; None where the draw
            itself is certain.
        gpu_power_cap_w: cap in force on each of its GPUs; None means the node's highest.
        traffic_gb_per_s: collective traffic of each GPU with the rest of its gang.
        parallelism: how the model is split over its GPUs.
        checkpoint_gb: what must be written and read to move it.
        restore_s: from the start of a moved job to its first useful step, beside reading the checkpoint; None where
            nobody knows.
        unsaved_s: work since the last checkpoint, lost if it is stopped without writing one.
        movable: False where it is pinned to its nodes or must not be preempted.
    """

    id: Id
    workers: Annotated[int, Field(ge=1, le=100_000)]
    gpus_per_worker: Annotated[int, Field(ge=1, le=1024)]
    state: Literal["running", "pending"]
    placement: tuple[Worker, ...] = ()
    gang: Annotated[str, Field(max_length=256, pattern=r"^[\w.\-:/@+=\[\]]*$")] = ""
    gpu_model: str | None = None
    priority: Annotated[float, Field(gt=0.0, le=1e6)] = 1.0
    remaining_s: Seconds = 3600.0
    waiting_s: Seconds = 0.0
    depends_on: tuple[Id, ...] = ()
    planned_start_s: Seconds | None = None
    deadline_s: Seconds | None = None
    gpu_power_w: GpuPowerW | None = None
    gpu_power_high_w: GpuPowerW | None = None
    gpu_power_cap_w: GpuPowerW | None = None
    power_levels: tuple[PowerLevel, ...] = ()
    utilisation: Fraction | None = None
    traffic_gb_per_s: GigabytesPerSecond = 0.0
    parallelism: Parallelism = Parallelism()
    checkpoint_gb: Gigabytes = 0.0
    restore_s: Seconds | None = None
    unsaved_s: Seconds = 0.0
    movable: bool = True
    workload: str = ""

    @property
    def gpus(self) -> int:
        """GPUs that the job needs at once."""
        return self.workers * self.gpus_per_worker

    @property
    def gang_id(self) -> str:
        """The gang that it belongs to: its own id unless it shares one."""
        return self.gang or self.id
