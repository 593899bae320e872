"""What can a run be asked for? The forms that the Prefect UI shows, checked at the door."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from data.errors import BadRecord
from data.readers.sources import Prometheus, Source
from data.schemas.cluster import Limits
from qiskit_solvers.anneal import Anneal
from qiskit_solvers.boltzmann import Boltzmann
from qiskit_solvers.exact import Exact
from qiskit_solvers.path_integral import PathIntegral
from qiskit_solvers.qaoa import Qaoa
from qiskit_solvers.rqaoa import Rqaoa
from tasks.fan_out.dask import Dask, trusted
from tasks.fan_out.processes import Processes
from tasks.fan_out.workers import Local
from tasks.problems.placement_tables import PlacementWeights
from tasks.problems.routing import RoutingWeights
from tasks.refine import Effort

Noun = Literal["placement", "power", "routing", "checkpoints"]
Solver = Annotated[Qaoa | Rqaoa | Boltzmann | Anneal | PathIntegral | Exact, Field(discriminator="kind")]
Workers = Annotated[Local | Processes | Dask, Field(discriminator="kind")]
SolverName = Literal["qaoa", "qaoa-simulator", "rqaoa", "boltzmann", "anneal", "path-integral", "exact"]
EffortName = Literal["quick", "standard", "thorough"]

SOLVERS: dict[SolverName, Qaoa | Rqaoa | Boltzmann | Anneal | PathIntegral | Exact] = {
    "qaoa": Qaoa(),
    "qaoa-simulator": Qaoa(on="simulator"),
    "rqaoa": Rqaoa(),
    "boltzmann": Boltzmann(),
    "anneal": Anneal(),
    "path-integral": PathIntegral(),
    "exact": Exact(),
}
TWINS = (Anneal(), Exact())
"""The classical solvers that get the same windows beside whoever is asked."""

EFFORTS: dict[EffortName, Effort] = {
    "quick": Effort(evaluations=50_000, rounds=4, window=12, patience=4),
    "standard": Effort(evaluations=400_000, rounds=10, window=14, patience=6),
    "thorough": Effort(evaluations=10_000_000, rounds=60, window=16, patience=20),
}


class RunParams(BaseModel):
    """What every run is asked for: where the cluster's state comes from, and how hard to try."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Source = Field(
        title="Cluster",
        description="Where the cluster's state is read from",
        json_schema_extra={"position": 0},
    )
    topology: Path | None = Field(
        default=None,
        title="Topology dump",
        description="Says better where nodes stand: ibnetdiscover, NetQ, Topograph, NCCL, nvidia-smi, topology.conf",
        json_schema_extra={"position": 10},
    )
    topology_match: Literal["name", "order"] = Field(
        default="name",
        title="Match the dump's nodes by",
        description="Name, or order: a model's first node stands for the cluster's first",
        json_schema_extra={"position": 11},
    )
    telemetry: Prometheus | None = Field(
        default=None,
        title="Telemetry",
        description="A Prometheus server with DCGM's metrics; empty keeps the source's series",
        json_schema_extra={"position": 12},
    )
    solver: Solver = Field(
        default=Qaoa(),
        title="Solver of windows",
        description="Proposes changes after the classical search; the exact cost decides, whoever proposes",
        json_schema_extra={"position": 2},
    )
    effort: EffortName = Field(
        default="standard",
        title="Effort",
        description="Counted in moves and windows, not in seconds, so that a seed gives the same plan again",
        json_schema_extra={"position": 3},
    )
    seed: int = Field(default=0, ge=0, lt=2**63, title="Seed", json_schema_extra={"position": 4})
    migration_budget_gpus: int | None = Field(
        default=None,
        ge=0,
        title="Migration budget (GPUs)",
        description="GPUs of running jobs that the plan may move; empty takes the snapshot's",
        json_schema_extra={"position": 5},
    )
    migration_budget_replicas: int | None = Field(
        default=None,
        ge=0,
        title="Migration budget (expert replicas)",
        description="Expert replicas that the plan may move; empty takes the snapshot's",
        json_schema_extra={"position": 14},
    )
    power_cap_w: float | None = Field(
        default=None,
        ge=100,
        title="Power cap (W)",
        description="Of the whole cluster; empty takes the snapshot's",
        json_schema_extra={"position": 6},
    )
    energy_budget_kwh: float | None = Field(
        default=None,
        gt=0,
        title="Energy budget (kWh)",
        description="Of all jobs until they end, above idle GPUs; empty takes the snapshot's",
        json_schema_extra={"position": 15},
    )
    energy_frontier: int = Field(
        default=0,
        ge=0,
        le=16,
        title="Plans of the energy frontier",
        description="Shows in the report how much later jobs end under this many energy budgets; 0 shows nothing",
        json_schema_extra={"position": 16},
    )
    output: Path = Field(
        default=Path("runs"),
        title="Output folder",
        description="A folder for each run is made in it; 'latest' points at the last plan of a cluster",
        json_schema_extra={"position": 7},
    )
    power_model: Path | None = Field(
        default=None,
        title="Power model",
        description="Folder of a trained power forecaster; empty trains one on the snapshot's measured jobs",
        json_schema_extra={"position": 8},
    )
    custom_effort: Effort | None = Field(
        default=None,
        title="Effort in detail",
        description="Goes before the named effort",
        json_schema_extra={"position": 13},
    )
    guard_s: float = Field(
        default=900.0,
        gt=0,
        title="Time guard (s)",
        description="Only a guard: a plan that met it says so",
        json_schema_extra={"position": 9},
    )

    workers: Workers = Field(
        default=Local(),
        title="Workers",
        description="Who computes: this process, more of this machine, or a Dask cluster; the plan is the same",
        json_schema_extra={"position": 17},
    )

    previous_plan: Path | None = Field(
        default=None,
        title="Last plan",
        description="Begin at a plan.json, a run's folder, or the newest plan that suits in a folder of runs",
        json_schema_extra={"position": 15},
    )
    stability: float = Field(
        default=0.01,
        ge=0.0,
        le=1.0,
        title="Stability",
        description="Share of the gain that may be given up to keep to the last plan",
        json_schema_extra={"position": 16},
    )

    placement_weights: PlacementWeights = Field(
        default=PlacementWeights(),
        title="What losses of placement weigh",
        description="In GPUs' worth of capacity",
        json_schema_extra={"position": 20},
    )
    routing_weights: RoutingWeights = Field(
        default=RoutingWeights(),
        title="What crossings, moves and the worst case weigh",
        description="In layers' worth of time",
        json_schema_extra={"position": 21},
    )

    @field_validator("workers")
    @classmethod
    def _vouched(cls, workers: Workers) -> Workers:
        """Refuse a scheduler that the environment does not list before anything is computed."""
        if isinstance(workers, Dask) and workers.address is not None:
            try:
                trusted(workers.address, os.environ)
            except BadRecord as error:
                raise ValueError(str(error)) from error
        return workers

    @property
    def live(self) -> bool:
        """Whether a service is asked, so that a retry may help."""
        return self.source.live or self.telemetry is not None

    @property
    def work(self) -> Effort:
        """How much is computed."""
        return self.custom_effort or EFFORTS[self.effort]

    def limit(self, limits: Limits) -> Limits:
        """Return ``limits`` with what this run asks for instead."""
        if self.migration_budget_gpus is not None:
            limits = replace(limits, migration_budget_gpus=self.migration_budget_gpus)
        if self.migration_budget_replicas is not None:
            limits = replace(limits, migration_budget_replicas=self.migration_budget_replicas)
        if self.power_cap_w is not None:
            limits = replace(limits, power_cap_w=self.power_cap_w)
        if self.energy_budget_kwh is not None:
            limits = replace(limits, energy_budget_kwh=self.energy_budget_kwh)
        return limits

    def options(self) -> str:
        """Return what shaped the plan, as JSON: everything but where it is written and who computed it."""
        return self.model_dump_json(exclude={"output", "workers"})


class OptimizeParams(RunParams):
    """One run of the main job: what to improve, from which state, and how hard to try."""

    nouns: tuple[Noun, ...] = Field(
        default=("placement", "power", "routing", "checkpoints"),
        min_length=1,
        title="What to improve",
        description="Gangs on GPUs, start times and power caps, experts on GPUs, checkpoints in archives",
        json_schema_extra={"position": 1},
    )


class PlacementParams(RunParams):
    """One run for gangs alone: back onto whole NVLink domains, within the migration budget."""

    nouns: tuple[Literal["placement"]] = Field(default=("placement",), json_schema_extra={"position": 99})


class RoutingParams(RunParams):
    """One run for experts alone: balanced for the loads that are expected, within the budget of moved replicas."""

    nouns: tuple[Literal["routing"]] = Field(default=("routing",), json_schema_extra={"position": 99})


class PowerParams(RunParams):
    """One run for power alone: when each job starts, and under which cap."""

    nouns: tuple[Literal["power"]] = Field(default=("power",), json_schema_extra={"position": 99})


Params = OptimizeParams | PlacementParams | RoutingParams | PowerParams
