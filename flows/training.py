"""How is the power forecaster taught ahead of the runs that use it?"""

from pathlib import Path

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from pydantic import BaseModel, ConfigDict, Field

from data.readers.sources import Prometheus, Sample, Source
from flows.freshness import unless_late
from flows.permitted import require_permitted
from flows.pipeline import RETRIES
from tasks.ingest import ingest_snapshot
from tasks.predict import train_power_model
from tasks.report.markdown_text import code


class TrainParams(BaseModel):
    """One training: where the measured jobs come from, and where the model goes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Source = Field(default=Sample(), title="Cluster", description="Its measured jobs teach the forecaster")
    telemetry: Prometheus | None = Field(
        default=None, title="Telemetry", description="A Prometheus server with DCGM's metrics"
    )
    output: Path = Field(default=Path("runs/models/power"), title="Folder of the model")
    seed: int = Field(default=0, ge=0, lt=2**63, title="Seed")


@flow(name="train-power", flow_run_name="train-{params.source.kind}")
@unless_late
def train_power(params: TrainParams) -> str:
    """Train the graph network of job power on a cluster's measured jobs, and store it with what it was taught on.

    Args:
        params: where the jobs come from and where the model goes.

    Returns:
        The model's file.

    Raises:
        SourceUnavailable: the source does not answer.
        BadSource: nothing of it can be used.
        ForecastFailed: too few jobs are measured, all in one gang, or nothing was learned.
    """
    require_permitted(params)
    live = params.source.live or params.telemetry is not None
    ingest = ingest_snapshot.with_options(retries=RETRIES if live else 0)
    reading = ingest(params.source, lambda limits: limits, None, "name", params.telemetry)
    model = train_power_model(reading.snapshot, params.output, seed=params.seed)
    create_markdown_artifact(
        f"Model: {code(str(model.resolve()))}", key="train-power-model", description="The stored model"
    )
    return str(model)
