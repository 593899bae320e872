"""Is everything fit for the next run? One line for each thing, and what to do about what is not."""

import json
from pathlib import Path
from typing import Annotated

import typer

from flows.doctor.check import Check

MARKS = {"ok": ("ok", "green"), "warn": ("warn", "yellow"), "fail": ("FAIL", "red")}


def doctor(
    runs: Annotated[Path, typer.Argument(help="Folder of the runs.")] = Path("runs"),
    source: Annotated[
        str,
        typer.Option(help='Where the state is read from, as JSON, e.g. {"kind": "slurm"}. Default: the deployments\'.'),
    ] = "",
    prometheus: Annotated[str, typer.Option(help="Address of a Prometheus server to ask as well.")] = "",
    plan_age: Annotated[
        float | None, typer.Option(min=0.0, help="Hours that the last plan may be old; older is a failure.")
    ] = None,
    clean: Annotated[
        bool, typer.Option("--clean", help="Remove what killed runs left, if nobody works there.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Check this machine, the server, what is deployed, the sources and the last plan, and say what to do.

    Exit codes: 0 nothing is broken (warnings may stand), 1 something is, 2 wrong usage.
    """
    if source:
        _expect_source(source)
    checks = _checks(runs, source, prometheus, plan_age, clean=clean)
    failed = sum(check.verdict == "fail" for check in checks)
    if as_json:
        rows = [
            {"name": each.name, "verdict": each.verdict, "found": each.found, "advice": each.advice} for each in checks
        ]
        typer.echo(json.dumps({"ok": not failed, "checks": rows}, indent=1))
    else:
        _print(checks)
    if failed:
        raise typer.Exit(1)


def _expect_source(text: str) -> None:
    """Refuse what describes no source."""
    from flows.doctor.sources import source_of

    try:
        source_of(text)
    except ValueError as error:
        raise typer.BadParameter(f"--source: {' '.join(str(error).split())[:400]}") from error


def _checks(runs: Path, source: str, prometheus: str, plan_age: float | None, *, clean: bool) -> list[Check]:
    """Return every check; where the doctor's own parts cannot even be loaded, that is what is wrong."""
    try:
        from flows.doctor.examination import Asked, examined
    except ImportError as error:
        return [Check("packages", "fail", f"{error}", "run make setup, or pip install --editable .")]
    return examined(Asked(runs, source, prometheus, None if plan_age is None else 3600.0 * plan_age, clean))


def _print(checks: list[Check]) -> None:
    width = max(len(check.name) for check in checks)
    for check in checks:
        mark, colour = MARKS[check.verdict]
        typer.secho(f"{mark:>4}", fg=colour, nl=False)
        typer.echo(f"  {check.name:<{width}}  {check.found}")
        if check.advice:
            typer.echo(f"{'':>{width + 8}}-> {check.advice}")
    counts = {verdict: sum(check.verdict == verdict for check in checks) for verdict in MARKS}
    typer.echo(f"\n{counts['ok']} ok, {counts['warn']} to look at, {counts['fail']} broken")
