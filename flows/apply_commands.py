"""How is a plan carried out from a terminal? The same flow as in the UI; the question is asked here."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import typer

from flows.told import told

if TYPE_CHECKING:
    from prefect import Flow

    from flows.apply_params import ApplyParams
    from tasks.apply.reviewed import Reviewed

Form = TypeVar("Form")

ROLLED_BACK, UNFINISHED = 3, 4
"""Exit codes beside those of all commands."""


def apply(  # each option is one field of the form
    plan: Annotated[Path, typer.Argument(help="plan.json, or the folder of a run")] = Path("runs/latest"),
    executor: Annotated[
        Literal["dry-run", "slurm", "kubernetes", "shell"],
        typer.Option("--with", help="Who carries it out; dry-run touches nothing."),
    ] = "dry-run",
    options: Annotated[
        str | None, typer.Option(help='Of the executor, as JSON, e.g. {"cap_hook": "/opt/hooks/set_cap"}.')
    ] = None,
    sha256: Annotated[str | None, typer.Option(help="Of plan.json, as sha256sum tells it.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; needs --sha256.")] = False,
    comment: Annotated[str, typer.Option(help="Why, for the journal.")] = "",
    max_age: Annotated[float, typer.Option(help="Oldest plan, in seconds since its snapshot.")] = 3_600.0,
    max_actions: Annotated[int, typer.Option(help="Most actions.")] = 200,
    max_moved_gpus: Annotated[int, typer.Option(help="Most GPUs of running jobs that are stopped to be moved.")] = 128,
    protect: Annotated[list[str] | None, typer.Option(help="A job that is not touched, or a pattern; repeat.")] = None,
    protect_priority: Annotated[
        float | None, typer.Option(help="Jobs of this priority or more are not touched.")
    ] = None,
    alone: Annotated[
        bool, typer.Option("--alone", help="No Prefect server is set, and no other machine applies plans.")
    ] = False,
    resume: Annotated[
        Path | None, typer.Option(help="Go on with the apply of this journal, which was cut off.")
    ] = None,
    rollback: Annotated[Path | None, typer.Option(help="Undo the apply of this journal.")] = None,
    show: Annotated[Path | None, typer.Option(help="Print this journal.")] = None,
) -> None:
    """Carry out a plan: shows what changes, asks, and goes step by step; back on the first failure.

    Exit codes: 0 done (the plan is in force, or the rollback is complete); 1 refused, nothing was done; 2 wrong usage;
    3 a step failed and what was done is undone; 4 not at its end, or not all undone: read the journal with --show.
    """
    journals = [each for each in (resume, rollback, show) if each is not None]
    if len(journals) > 1:
        raise typer.BadParameter("expected one of --resume, --rollback and --show, found several")
    if show is not None:
        with told():
            _show(show)
        return
    with told():
        if resume is not None or rollback is not None:
            _settle(resume or rollback or Path(), "resume" if resume is not None else "rollback", max_age, alone)
            return
        params = _form(
            {
                "plan": plan,
                "sha256": sha256,
                "executor": {"kind": executor, **_object(options)},
                "approval": "given",
                "approved_by": _me(),
                "comment": comment,
                "max_age_s": max_age,
                "max_actions": max_actions,
                "max_moved_gpus": max_moved_gpus,
                "protected": tuple(protect or ()),
                "protected_priority": protect_priority,
                "alone": alone,
            }
        )
        _apply(params, yes=yes)


def _apply(params: "ApplyParams", *, yes: bool) -> None:
    from tasks.apply.reviewed import read_reviewed

    rehearsal = params.executor.kind == "dry-run"
    if yes and params.sha256 is None and not rehearsal:
        raise typer.BadParameter("--yes: expected --sha256 with it, so that what is carried out is what was reviewed")
    reviewed = read_reviewed(params.plan, params.sha256)
    _show_diff(reviewed, params.executor.kind)
    if not reviewed.plan.actions:
        return
    if not (yes or rehearsal):
        if not sys.stdin.isatty():
            raise typer.BadParameter("expected a terminal to ask on, or --yes with --sha256")
        if not typer.confirm(f"Carry this out through {params.executor.kind}?"):
            typer.echo("nothing was done")
            raise typer.Exit(1)
    from flows.apply import apply_plan

    _run(apply_plan, params.model_copy(update={"sha256": reviewed.sha256}))


def _settle(journal: Path, way: Literal["resume", "rollback"], max_age_s: float, alone: bool) -> None:
    from flows.apply import settle_apply
    from flows.apply_params import SettleParams

    _run(settle_apply, SettleParams(journal=journal, way=way, max_age_s=max_age_s, alone=alone))


def _run(flow: "Flow[[Form], str]", params: "Form") -> None:
    """Run a flow in this process, and print how it ended.

    Raises:
        typer.Exit: it did not end as it was asked to.
    """
    from flows.applying import CutOff, RolledBack
    from flows.journals import applies_folder
    from flows.terminal import with_progress

    try:
        journal = Path(with_progress(flow, params))
    except RolledBack as error:
        typer.secho(str(error), fg="red", err=True)
        raise typer.Exit(ROLLED_BACK if error.outcome == "rolled-back" else UNFINISHED) from error
    except CutOff as error:
        typer.secho(f"CutOff: {error}", fg="red", err=True)
        raise typer.Exit(UNFINISHED) from error
    except KeyboardInterrupt as error:
        typer.secho(
            f"cut off; the newest journal of {applies_folder()} says how far: --show, --resume or --rollback it",
            fg="red",
            err=True,
        )
        raise typer.Exit(UNFINISHED) from error
    _show(journal)


def _show_diff(reviewed: "Reviewed", executor: str) -> None:
    from tasks.apply.diff import diff_lines
    from tasks.report.changes import headline
    from tasks.report.plain import one_line

    plan = reviewed.plan
    typer.secho(f"{headline(plan.actions)} Through {executor}.", bold=True)
    colours = {"+": "green", "-": "red", "~": "yellow"}
    for line in diff_lines(plan.actions):
        typer.secho(one_line(line, 1_000), fg=colours.get(line[:1]))
    typer.echo(f"cluster {one_line(plan.cluster)}, state of {one_line(plan.snapshot_taken_at)}")
    typer.echo(f"sha256  {reviewed.sha256}  {reviewed.path}")


def _show(path: Path) -> None:
    """Print a journal, and how it stands."""
    from tasks.apply.diff import journal_rows
    from tasks.apply.journal import read_journal
    from tasks.apply.progress import progress_of

    found = read_journal(path)
    for row in journal_rows(found.lines):
        typer.echo(f"{row['line']:>4} {row['at'][:19]} {row['what']:10} {row['detail']}")
    if found.torn:
        typer.echo(f"     and {found.torn} bytes of a line that was being written when its process ended")
    outcome = progress_of(found.entries).outcome if found.lines else "nothing was begun"
    typer.secho(f"{outcome or 'cut off'}  {path}", bold=True)
    if outcome is None:
        typer.echo(f"python -m flows apply --resume {path}, or --rollback {path}")


def _form(fields: dict[str, object]) -> "ApplyParams":
    """Return the form with these fields filled in; what is wrong with them is wrong usage."""
    from pydantic import ValidationError

    from flows.apply_params import ApplyParams

    try:
        return ApplyParams.model_validate(fields)
    except ValidationError as error:
        lines = [f"{'.'.join(str(part) for part in each['loc'])}: {each['msg']}" for each in error.errors()]
        raise typer.BadParameter("; ".join(lines)) from error


def _object(text: str | None) -> dict[str, object]:
    try:
        found = json.loads(text or "{}")
    except ValueError as error:
        raise typer.BadParameter(f"--options: expected JSON ({error})") from error
    if not isinstance(found, dict):
        raise typer.BadParameter(f"--options: expected a JSON object, found {type(found).__name__}")
    return found


def _me() -> str:
    from getpass import getuser

    return f"{getuser()} at a terminal"
