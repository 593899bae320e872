"""What can be asked of a fleet's plan? The form that the Prefect UI shows, checked at the door."""

import json
from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from data.errors import BadRecord, BadSource, SourceUnavailable
from data.readers.fleet.catalogue import CatalogueFiles, read_catalogue
from data.readers.fleet.fleet_file import FleetReading, read_fleet
from data.readers.fleet.outages import read_outages
from data.schemas.fleet import Fleet, FleetLimits
from flows.params import EffortName, Solver
from qiskit_solvers.qaoa import Qaoa
from tasks.refine import Effort

SAMPLE = Path(__file__).resolve().parent.parent / "data" / "samples" / "fleet" / "fleet.json"
EFFORTS: dict[EffortName, Effort] = {
    "quick": Effort(evaluations=4_000, rounds=2, window=10, patience=2),
    "standard": Effort(evaluations=50_000, rounds=6, window=12, patience=4),
    "thorough": Effort(evaluations=1_000_000, rounds=40, window=14, patience=12),
}
"""Less than other nouns get: the programme leaves a thousandth of the cost to be gained."""

_LIMITS = TypeAdapter(FleetLimits)


class SampleFleet(BaseModel):
    """The small fleet that ships with the project."""

    model_config = ConfigDict(frozen=True, extra="forbid", title="Sample")

    kind: Literal["sample"] = "sample"

    def __call__(self) -> FleetReading:
        """Read it."""
        return read_fleet(SAMPLE)


class FleetFile(BaseModel):
    """A fleet in our JSON format."""

    model_config = ConfigDict(frozen=True, extra="forbid", title="File")

    path: Path = Field(title="Fleet", description="JSON; data/schemas/fleet.json says what may stand in it")
    kind: Literal["file"] = "file"

    def __call__(self) -> FleetReading:
        """Read it; see :func:`data.readers.fleet.fleet_file.read_fleet`."""
        return read_fleet(self.path)


class Catalogue(BaseModel):
    """The clouds' own lists, and a table of users; see :class:`data.readers.fleet.catalogue.CatalogueFiles`."""

    model_config = ConfigDict(frozen=True, extra="forbid", title="Catalogue")

    prices: tuple[Path, ...] = Field(min_length=1, title="Prices", description="CSV as SkyPilot's catalogues")
    regions: Path = Field(title="Regions", description="CSV as Spare Cores'")
    demand: Path = Field(title="Users", description="CSV zone,country,latitude,longitude,demand[,residency]")
    zones: Path | None = Field(default=None, title="Zones of regions", description="CSV as Spare Cores'")
    azure_rtt: Path | None = Field(default=None, title="Azure's latencies", description="CSV src,dst,rtt_ms")
    cloudping: Path | None = Field(default=None, title="AWS's latencies", description="CSV src,dst,mean,std")
    google_carbon: Path | None = Field(default=None, title="Google's carbon", description="One year of its file")
    emission_factors: dict[str, Path] = Field(
        default={}, title="Carbon of other clouds", description="Cloud Carbon Footprint's file of each cloud"
    )
    machines: Path | None = Field(
        default=None, title="Machines", description="CSV machine,capacity,node_power_w; else an accelerator counts 1"
    )
    quotas: Path | None = Field(default=None, title="Quotas", description="CSV region,machine,purchase,nodes")
    holdings: Path | None = Field(default=None, title="Held now", description="CSV region,machine,purchase,nodes")
    taken_at: str | None = Field(
        default=None,
        title="State of",
        description="ISO 8601 with offset; empty takes the time at which the newest price list was written",
        pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$",
    )
    kind: Literal["catalogue"] = "catalogue"

    def __call__(self) -> FleetReading:
        """Read it; see :func:`data.readers.fleet.catalogue.read_catalogue`."""
        named = {field.name: getattr(self, field.name) for field in fields(CatalogueFiles)}
        return read_catalogue(CatalogueFiles(**named), taken_at=self.taken_at or _newest(self.prices))


def _newest(paths: tuple[Path, ...]) -> str:
    try:
        written = max(path.stat().st_mtime for path in paths)
    except OSError as error:
        raise SourceUnavailable(f"{error.filename}: {error.strerror}") from error
    return datetime.fromtimestamp(written, UTC).isoformat(timespec="seconds")


FleetSource = Annotated[SampleFleet | FleetFile | Catalogue, Field(discriminator="kind")]


class FleetParams(BaseModel):
    """One plan of a fleet: for which, within which limits, and how hard to try."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: FleetSource = Field(default=SampleFleet(), title="Fleet", description="Where it is read from")
    outages: Path | None = Field(
        default=None,
        title="Outages",
        description="CSV region,down,up[,spot_only] instead of those that the fleet knows",
    )
    outage_days: float | None = Field(
        default=None, gt=0, title="Days of that list", description="Empty takes the time from the first to the last"
    )
    limits: Mapping[str, Any] = Field(
        default={},
        title="Limits",
        description="Those that this run asks for instead of the fleet's, as of FleetLimits, e.g. latency_ms",
    )
    solver: Solver = Field(
        default=Qaoa(),
        title="Solver of windows",
        description="Proposes changes after the programme; the exact cost decides, whoever proposes",
    )
    effort: EffortName = Field(default="quick", title="Effort", description="Of the refinement, in moves and windows")
    seconds: float = Field(
        default=60.0, gt=0, le=7_200, title="Seconds of the programme", description="It ends when the gap is reached"
    )
    gap: float = Field(default=1e-3, ge=0, lt=1, title="Gap", description="Share of the cost that may be left open")
    frontier: int = Field(
        default=5,
        ge=0,
        le=16,
        title="Latency limits to compare",
        description="Shows in the report what nearness costs; 0 shows nothing",
    )
    frontier_seconds: float = Field(default=20.0, gt=0, le=7_200, title="Seconds for the comparison")
    guard_s: float = Field(
        default=900.0, gt=0, title="Time guard (s)", description="After it no further window of the refinement is begun"
    )
    previous_plan: Path | None = Field(
        default=None,
        title="Last plan",
        description="fleet_plan.json, a run's folder, or a folder of runs: tells what drifted since",
    )
    seed: int = Field(default=0, ge=0, lt=2**63, title="Seed")
    output: Path = Field(
        default=Path("runs"),
        title="Output folder",
        description="A folder for each run is made in it; 'latest-fleet' points at the last plan",
    )

    def read(self) -> FleetReading:
        """Return the fleet with the outages and limits that this run asks for.

        Raises:
            SourceUnavailable: a file cannot be read.
            BadSource: nothing of one can be used, or a limit cannot be.
        """
        reading = self.source()
        fleet = self.limited(reading.fleet)
        if self.outages is None:
            return replace(reading, fleet=fleet)
        found = read_outages(self.outages, fleet, watched_days=self.outage_days)
        return FleetReading(
            replace(fleet, outages=found.outages),
            (*reading.set_aside, *found.set_aside),
            (*reading.notes, *found.notes),
        )

    def limited(self, fleet: Fleet) -> Fleet:
        """Return ``fleet`` with the limits that this run asks for.

        Raises:
            BadSource: a limit is unknown, or has a value that it cannot have; names each.
        """
        if not self.limits:
            return fleet
        asked = {**_LIMITS.dump_python(fleet.limits, mode="json"), **self.limits}
        try:
            limits = _LIMITS.validate_json(json.dumps(asked))
        except ValidationError as error:
            records = [
                BadRecord(f"limits.{'.'.join(str(part) for part in each['loc'])}", each["msg"], str(each["input"]))
                for each in error.errors(include_url=False)
            ]
            raise BadSource("limits of this run", records) from error
        return replace(fleet, limits=limits)

    def options(self) -> str:
        """Return what shaped the plan, as JSON: everything but where it is written."""
        return self.model_dump_json(exclude={"output"})
