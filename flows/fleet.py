"""The fleet: where, on what and how much to rent, and in which waves to get there."""

from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from pydantic import BaseModel, ConfigDict, Field

from data.readers.fleet.fleet_file import FleetReading, read_fleet, write_fleet
from data.schemas.fleet_plan import FLEET_PLAN
from data.schemas.plan import Bound, SolverRow
from flows.run_folder import run_folder
from flows.watch import Watch, artifact_progress
from tasks.fleet.model import fleet_model
from tasks.fleet.plan import Account, assemble_fleet_plan, diff_text
from tasks.fleet.programme import place_fleet
from tasks.fleet.service import serve
from tasks.fleet.waves import rollout

PLAN_FILE, FLEET_FILE, DIFF_FILE = "fleet_plan.json", "fleet.json", "diff.txt"
SAMPLE = Path(__file__).resolve().parent.parent / "data" / "samples" / "fleet" / FLEET_FILE


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

    path: Path = Field(title="Fleet", description="JSON; `python -m flows schema fleet` says what may stand in it")
    kind: Literal["file"] = "file"

    def __call__(self) -> FleetReading:
        """Read it; see :func:`data.readers.fleet.fleet_file.read_fleet`."""
        return read_fleet(self.path)


FleetSource = Annotated[SampleFleet | FleetFile, Field(discriminator="kind")]


class FleetParams(BaseModel):
    """One plan: for which fleet, and how hard to try."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: FleetSource = Field(default=SampleFleet(), title="Fleet", description="Where it is read from")
    seconds: float = Field(default=60.0, gt=0, le=7_200, title="Seconds of the programme")
    gap: float = Field(default=1e-3, ge=0, lt=1, title="Gap", description="Share of the cost that may be left open")
    seed: int = Field(default=0, ge=0, lt=2**63, title="Seed")
    output: Path = Field(default=Path("runs"), title="Output folder")


@flow(name="plan-fleet", flow_run_name="fleet-{params.source.kind}")
def plan_fleet(params: FleetParams) -> str:
    """Plan what to rent where, prove how good it is, and write the plan with its waves and its inverse.

    Args:
        params: for which fleet, and how hard to try.

    Returns:
        The folder of the run; ``fleet_plan.json`` is in it.

    Raises:
        SourceUnavailable: a file cannot be read.
        BadSource: nothing of it can be planned, or demand cannot be served; says which limit is in the way.
        PlanRefused: the validator found the plan wrong; nothing was written.
    """
    watch = Watch(3_600.0, artifact_progress("ingest", key="plan-fleet-progress"))
    with run_folder(params.output) as folder:
        reading = params.source()
        model = fleet_model(reading.fleet)
        watch.enter("place", 0.1)
        placed = place_fleet(model, gap=params.gap, seconds=params.seconds)
        nodes = placed.nodes
        watch.enter("waves", 0.7)
        order = rollout(model, nodes)
        flows = serve(model, model.region_capacity(nodes)).flows
        held = model.cost_usd_per_h(model.held)
        watch.enter("plan", 0.9)
        plan = assemble_fleet_plan(
            model,
            nodes,
            flows=flows,
            waves=order.waves,
            account=Account(
                solvers=(
                    SolverRow("fleet", "incumbent", held, 0, 0, 0, chosen=False),
                    SolverRow("fleet", "programme", placed.cost_usd_per_h, 0, 0, 0, chosen=True),
                ),
                bounds=(Bound("fleet", placed.bound_usd_per_h, placed.gap, "relaxed programme"),),
                binding=placed.binds,
                set_aside=reading.set_aside,
                notes=(*reading.notes, *placed.notes, *order.notes),
            ),
            code_version=version("quantumflow"),
            options=params.model_dump_json(),
            seed=params.seed,
        )
        write_fleet(reading.fleet, folder.path / FLEET_FILE)
        (folder.path / PLAN_FILE).write_bytes(FLEET_PLAN.dump_json(plan, indent=1) + b"\n")
        text = diff_text(plan)
        (folder.path / DIFF_FILE).write_text(text, encoding="utf-8")
    create_markdown_artifact(f"```\n{text}```\n", key="plan-fleet-summary", description="What the plan changes")
    return str(folder.final)
