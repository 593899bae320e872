"""Links alone: in which rounds are the messages of a collective sent? From an edge list to rounds as JSON."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from pydantic import BaseModel, ConfigDict, Field

from data.errors import BadRecord, BadSource
from data.readers.transfers import BANDWIDTH_GB_PER_S, GIGABYTES, read_transfers
from data.schemas.transfers import ROUND_SCHEDULE, RoundSchedule
from data.whole_file import write_whole
from flows.params import EFFORTS, TWINS, EffortName, Solver
from flows.permitted import require_permitted
from flows.run_folder import run_folder
from qiskit_solvers.qaoa import Qaoa
from tasks.report.markdown_text import escaped
from tasks.report.plain import one_line
from tasks.schedule_transfers import Method, Sending, schedule_rounds

FILE_NAME = "rounds.json"


class LinksParams(BaseModel):
    """One schedule: which messages, over what, and how hard to try."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    transfers: Path = Field(
        title="Transfers",
        description="CSV with source,target and bandwidth or gigabytes (uses, round), or JSON of the same",
    )
    rounds: int | None = Field(
        default=None, ge=1, title="Rounds", description="Most, of all planes; empty takes the file's limit, or none"
    )
    planes: int = Field(
        default=1,
        ge=1,
        le=1024,
        title="Planes",
        description="Equal copies of the fabric that work side by side, each with a port for every GPU",
    )
    duplex: Literal["full", "half"] = Field(
        default="full", title="Duplex", description="Whether a GPU can send and receive at once"
    )
    cut: bool = Field(
        default=True, title="Cut messages", description="Whether a message may be sent in several rounds (crossbar)"
    )
    method: Method = Field(
        default="auto", title="Method", description="auto is exact on a crossbar, and colours where more is shared"
    )
    gigabytes: float = Field(default=GIGABYTES, gt=0, title="Size (GB)", description="Where the file names none")
    bandwidth_gb_per_s: float = Field(
        default=BANDWIDTH_GB_PER_S, gt=0, title="Bandwidth (GB/s)", description="Where the file names none"
    )
    solver: Solver = Field(default=Qaoa(), title="Solver of windows", description="Of the colouring")
    effort: EffortName = Field(default="standard", title="Effort")
    seed: int = Field(default=0, ge=0, lt=2**63, title="Seed")
    output: Path = Field(default=Path("runs"), title="Output folder")


@flow(name="schedule-links", flow_run_name="links-{params.method}")
def schedule_links(params: LinksParams) -> str:
    """Schedule the transfers of a file in rounds, check them, and write them as JSON.

    Args:
        params: which transfers, over what, and how hard to try.

    Returns:
        The folder of the run; ``rounds.json`` is in it.

    Raises:
        SourceUnavailable: the file cannot be read.
        BadSource: it holds rows that cannot be used, or asks for what cannot be done.
        PlanRefused: the validator found the rounds wrong; nothing was written.
    """
    require_permitted(params)
    transfers = read_transfers(
        params.transfers, gigabytes=params.gigabytes, bandwidth_gb_per_s=params.bandwidth_gb_per_s
    )
    with run_folder(params.output) as folder:
        try:
            schedule = schedule_rounds(
                transfers,
                params.solver,
                effort=EFFORTS[params.effort],
                twins=TWINS,
                sending=Sending(
                    rounds=params.rounds,
                    planes=params.planes,
                    duplex=params.duplex,
                    cut=params.cut,
                    method=params.method,
                ),
                seed=params.seed,
            )
        except ValueError as error:
            record = BadRecord(params.transfers.name, "transfers that can be scheduled", str(error))
            raise BadSource(str(params.transfers), [record]) from error
        content = ROUND_SCHEDULE.dump_json(schedule, indent=1)
        write_whole(folder.path / FILE_NAME, content + b"\n")
    create_markdown_artifact(summary(schedule, escaped), key="schedule-links", description="Rounds of the transfers")
    return str(folder.final)


def summary(schedule: RoundSchedule, shown: Callable[[str], str] = one_line) -> str:
    """Return what an operator reads first; ``shown`` makes the words of the schedule safe for where that is."""
    best = "the least possible" if schedule.optimal else f"at least {schedule.bound_s:.6g} s are needed"
    where = f" on {schedule.planes} planes" if schedule.planes > 1 else ""
    before = "no change" if schedule.before_s <= reached_s(schedule) else f"{schedule.before_s:.6g} s before"
    reached = ", all rounds added up" if schedule.planes > 1 else ""
    clashes = "No two messages of a round share a port, NIC or rail."
    if schedule.conflicts:
        clashes = (
            f"{schedule.conflicts} pairs share a port, NIC or rail in one round; that is taken to cost "
            f"{schedule.congestion_s:.6g} s more."
        )
    lines = [
        f"**{len(schedule.rounds)} rounds{where}, {schedule.makespan_s:.6g} s** ({best}; {before})",
        f"Method: {shown(schedule.method)}.",
        clashes,
        *(f"{shown(row.method)}: {row.cost:.6g} s{reached}{', chosen' * row.chosen}" for row in schedule.solvers),
        *(shown(f"{each.wanted} failed, {each.used} stood in: {each.reason}") for each in schedule.fallbacks),
        *map(shown, schedule.notes),
    ]
    return "\n\n".join(lines) + "\n"


def reached_s(schedule: RoundSchedule) -> float:
    """Return what the rounds take, congestion included."""
    return schedule.makespan_s + schedule.congestion_s
