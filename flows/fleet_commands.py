"""What can be done with a fleet from a terminal? Plan it, look at its plan, check it, print what a wave does."""

import json
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from data.errors import BadRecord
from flows.told import told

if TYPE_CHECKING:
    from flows.fleet_params import FleetParams

fleet_app = typer.Typer(
    no_args_is_help=True,
    help="Look at the plan of a fleet, verify it, or print what a wave does; `run fleet` makes one.",
)

PlanPath = Annotated[Path, typer.Argument(help="fleet_plan.json, or the folder of a run.")]
LATEST = Path("runs/latest-fleet")


def run_fleet(
    fleet: Annotated[
        Path | None, typer.Option("--fleet", help="A fleet in our JSON format. Default: the sample.")
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            help='A source as JSON, e.g. {"kind": "catalogue", "prices": [...], "regions": ..., "demand": ...}.'
        ),
    ] = None,
    outages: Annotated[
        Path | None, typer.Option(help="CSV region,down,up[,spot_only]: what was down together.")
    ] = None,
    outage_days: Annotated[float | None, typer.Option(help="Days over which that list was kept.")] = None,
    limit: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="A limit of this run, e.g. latency_ms=80; may be given again."),
    ] = None,
    solver: Annotated[
        Literal["qaoa", "qaoa-simulator", "rqaoa", "boltzmann", "anneal", "path-integral", "exact"],
        typer.Option(help="Proposes changes after the programme."),
    ] = "qaoa",
    effort: Annotated[Literal["quick", "standard", "thorough"], typer.Option(help="Of the refinement.")] = "quick",
    seconds: Annotated[float, typer.Option(help="Of the programme, which ends sooner when the gap is closed.")] = 60.0,
    gap: Annotated[float, typer.Option(help="Share of the cost that may be left open.")] = 1e-3,
    frontier: Annotated[int, typer.Option(min=0, max=16, help="Latency limits to compare in the report.")] = 5,
    previous_plan: Annotated[
        Path | None,
        typer.Option(help="Tells what drifted since: fleet_plan.json, a run's folder, or a folder of runs."),
    ] = None,
    output: Annotated[Path, typer.Option(help="Folder of the runs.")] = Path("runs"),
    seed: Annotated[int, typer.Option(min=0, help="Same fleet, same seed: same plan.")] = 0,
) -> None:
    """Plan a fleet of regions and clouds: what to rent where, in which waves; nothing is applied."""
    from flows.params import SOLVERS

    if fleet is not None and source is not None:
        raise typer.BadParameter("expected one source, found --fleet, --source")
    params = _form(
        {
            "source": _source(fleet, source),
            "outages": outages,
            "outage_days": outage_days,
            "limits": _limits(limit or []),
            "solver": SOLVERS[solver],
            "effort": effort,
            "seconds": seconds,
            "gap": gap,
            "frontier": frontier,
            "previous_plan": previous_plan,
            "output": output,
            "seed": seed,
        }
    )
    from data.readers.fleet.plan_file import read_fleet_plan
    from flows.fleet import plan_fleet
    from flows.fleet_publish import PLAN, REPORT
    from flows.run_folder import LATEST_FLEET
    from flows.terminal import also, with_progress

    with told():
        result = with_progress(plan_fleet, params)
        folder = params.output / result.rsplit("/", 1)[-1]
        _print(read_fleet_plan(folder))
        typer.echo(f"\nplan    {folder / PLAN}\nreport  {folder / REPORT}\n{also(folder, LATEST_FLEET)}")


def _source(fleet: Path | None, text: str | None) -> object:
    if fleet is not None:
        return {"kind": "file", "path": fleet}
    if text is None:
        return {"kind": "sample"}
    try:
        return json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"--source: expected JSON, found {text!r} ({error})") from error


def _limits(texts: list[str]) -> dict[str, object]:
    """Return limits by name; what their values may be, the form and the schema say."""
    from data.schemas.fleet import FleetLimits

    known = [field.name for field in fields(FleetLimits)]
    found: dict[str, object] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or name not in known:
            raise typer.BadParameter(f"--limit: expected NAME=VALUE with one of {', '.join(known)}, found {text!r}")
        try:
            found[name] = json.loads(value)
        except ValueError as error:
            raise typer.BadParameter(f"--limit {name}: expected a number or JSON, found {value!r}") from error
    return found


def _form(given: dict[str, object]) -> "FleetParams":
    """Return the form with these fields filled in; what is wrong with them is wrong usage."""
    from pydantic import ValidationError

    from flows.fleet_params import FleetParams

    try:
        return FleetParams.model_validate(given)
    except ValidationError as error:
        lines = [f"{'.'.join(str(part) for part in each['loc'])}: {each['msg']}" for each in error.errors()]
        raise typer.BadParameter("; ".join(lines)) from error


def _print(plan: object) -> None:
    from data.schemas.fleet_plan import FleetPlan
    from flows.console import wide_console
    from tasks.report.fleet_text import plan_tables

    if isinstance(plan, FleetPlan):
        wide_console().print(*plan_tables(plan))


@fleet_app.command()
def show(path: PlanPath = LATEST) -> None:
    """Show what a plan changes, what it costs and gains, and who found it."""
    from data.readers.fleet.plan_file import read_fleet_plan

    with told():
        _print(read_fleet_plan(path))


@fleet_app.command()
def diff(
    path: PlanPath = LATEST,
    inverse: Annotated[bool, typer.Option("--inverse", help="The way back instead.")] = False,
    detailed_exitcode: Annotated[
        bool, typer.Option("--detailed-exitcode", help="Exit with 2 where something changes, as OpenTofu's.")
    ] = False,
) -> None:
    """Print the changes: + rent, ~ more or fewer, - give back."""
    from dataclasses import replace

    from data.readers.fleet.plan_file import read_fleet_plan
    from tasks.fleet.plan import diff_text, exit_code

    with told():
        plan = read_fleet_plan(path)
        shown = replace(plan, resource_changes=plan.inverse, resource_drift=(), waves=()) if inverse else plan
        typer.echo(diff_text(shown), nl=False)
        code = exit_code(shown) if detailed_exitcode else 0
    if code:
        raise typer.Exit(code)


@fleet_app.command()
def verify(
    path: PlanPath = LATEST,
    fleet: Annotated[
        Path | None, typer.Option(help="The fleet as it is now. Default: the one that lies beside the plan.")
    ] = None,
) -> None:
    """Check a plan from scratch: limits at its end and at every step, figures, digests, and that it can be undone."""
    from data.readers.fleet.fleet_file import read_fleet
    from data.readers.fleet.plan_file import FILE_NAME, read_fleet_plan
    from flows.console import verdict_table, wide_console
    from flows.fleet_publish import FLEET
    from tasks.fleet.plan import check_fresh
    from tasks.validation.fleet import verify_fleet_plan

    with told():
        file = path / FILE_NAME if path.is_dir() else path
        plan = read_fleet_plan(file)
        state = read_fleet(fleet or file.parent / FLEET).fleet
        check_fresh(plan, state)
        verdict = verify_fleet_plan(plan, state)
        wide_console().print(verdict_table(verdict))
    if not verdict.passed:
        raise typer.Exit(1)


@fleet_app.command()
def wave(
    path: PlanPath,
    number: Annotated[int, typer.Argument(min=1, help="Which wave, from 1.")],
    undo: Annotated[bool, typer.Option("--undo", help="What takes the wave back instead.")] = False,
) -> None:
    """Print what one wave starts and stops, what must hold before the next, and what ends the rollout."""
    from data.readers.fleet.plan_file import read_fleet_plan
    from tasks.report.fleet_text import wave_lines

    with told():
        plan = read_fleet_plan(path)
        found = next((each for each in plan.waves if each.number == number), None)
        if found is None:
            raise BadRecord(f"{path}: wave", f"a number from 1 to {len(plan.waves)}", number)
        for line in wave_lines(found, undo=undo):
            typer.echo(line)
