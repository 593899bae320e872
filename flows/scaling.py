"""Scaling laws: from a table of measurements to a law for each dimension, with intervals, a page and JSON."""

import json
from pathlib import Path

import numpy as np
from prefect import flow
from prefect.artifacts import create_markdown_artifact
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat

from data.errors import BadRecord, BadSource
from data.readers.scaling.series_csv import read_series
from data.schemas.scaling import Dimension, SeriesReading
from data.whole_file import write_whole
from flows.freshness import unless_late
from flows.permitted import require_permitted
from flows.report_link import publish_page
from flows.run_folder import run_folder
from tasks.scaling.account import as_json, markdown
from tasks.scaling.loss import LogHuber
from tasks.scaling.page import chart, page
from tasks.scaling.study import Study, study

LAWS, PAGE, PICTURE = "scaling.json", "scaling.html", "scaling.png"


class ScalingParams(BaseModel):
    """One study: the measurements, and how sure the answer must be."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path = Field(
        title="Measurements",
        description="CSV with dimension,scale,performance; if wanted series, run, scale_unit, performance_unit, better",
    )
    dimensions: tuple[Dimension, ...] = Field(
        default=(), title="Dimensions", description="Those to fit; none means all that the file has"
    )
    draws: int = Field(default=200, ge=20, le=10_000, title="Bootstrap draws", description="For each interval")
    delta: float = Field(
        default=0.01,
        gt=0,
        title="Robustness",
        description="Residuals of logarithms beyond it count by size, not square",
    )
    at: dict[str, PositiveFloat] = Field(
        default={}, title="Scales asked for", description='By series, e.g. {"compute": 16384}; refused where unsure'
    )
    seed: int = Field(default=0, ge=0, lt=2**63, title="Seed")
    output: Path = Field(default=Path("runs"), title="Output folder")


@flow(name="fit-scaling", flow_run_name="scaling-{params.path.name}")
@unless_late
def fit_scaling(params: ScalingParams) -> str:
    """Fit a law to each series, and write what was found to a new folder.

    Args:
        params: the measurements, and how sure the answer must be.

    Returns:
        The folder with ``scaling.json``, ``scaling.html`` and ``scaling.png``.

    Raises:
        SourceUnavailable: the file cannot be read.
        BadSource: it is no such table, has no row of a wanted dimension, or no series of it can be fitted.
        BadRecord: the output cannot be written.
    """
    require_permitted(params)
    with run_folder(params.output) as folder:
        reading = wanted(read_series(params.path), params)
        rng = np.random.default_rng(params.seed)
        found = study(reading.series, rng, draws=params.draws, loss=LogHuber(params.delta), at=params.at)
        if not found.series:
            why = [BadRecord(f"{params.path.name}: {each.series}", "a law", each.why) for each in found.unfitted]
            raise BadSource(str(params.path), why)
        write(found, reading, params, folder.path)
    create_markdown_artifact(markdown(found), key="fit-scaling-summary", description="Laws and their intervals")
    publish_page(folder.final / PAGE, "fit-scaling", "The laws as curves")
    return str(folder.final)


def wanted(reading: SeriesReading, params: ScalingParams) -> SeriesReading:
    """Return the series of the dimensions that were asked for.

    Raises:
        BadSource: the file has none of them, or a scale is asked for of a series that it has not.
    """
    chosen = tuple(each for each in reading.series if not params.dimensions or each.dimension in params.dimensions)
    if not chosen:
        has = ", ".join(sorted({each.dimension for each in reading.series}))
        problem = BadRecord(params.path.name, f"a row of {', '.join(params.dimensions)}", has)
        raise BadSource(str(params.path), [problem])
    names = [each.name for each in chosen]
    unknown = [BadRecord(f"at.{name}", f"one of {', '.join(names)}", name) for name in params.at if name not in names]
    if unknown:
        raise BadSource(str(params.path), unknown)
    return SeriesReading(chosen, reading.set_aside, reading.repeated, reading.notes)


def write(found: Study, reading: SeriesReading, params: ScalingParams, folder: Path) -> None:
    """Write the study into ``folder``."""
    picture = chart(found)
    told = as_json(
        found,
        source=str(params.path),
        seed=params.seed,
        draws=params.draws,
        delta=params.delta,
        set_aside=reading.set_aside,
        repeated=reading.repeated,
        notes=reading.notes,
    )
    shown = page(
        found,
        draws=params.draws,
        set_aside=reading.set_aside,
        repeated=reading.repeated,
        notes=reading.notes,
        picture=picture,
    )
    write_whole(folder / LAWS, json.dumps(told, indent=1, allow_nan=False) + "\n")
    write_whole(folder / PAGE, shown)
    write_whole(folder / PICTURE, picture)
