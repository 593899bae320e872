"""How are scaling laws fitted from a terminal? One command: a table in, a folder with the laws out."""

import json
from pathlib import Path
from typing import Annotated, cast

import typer

from flows.told import say, told


def scaling(
    table: Annotated[Path, typer.Argument(help="CSV: dimension,scale,performance[,series,run,units,better].")],
    dimensions: Annotated[str, typer.Option(help="Those to fit, with commas between. Default: all.")] = "",
    at: Annotated[
        list[str] | None, typer.Option(help="SERIES=SCALE: what the law says there; may be given several times.")
    ] = None,
    draws: Annotated[int, typer.Option(min=20, max=10_000, help="Bootstrap draws for each interval.")] = 200,
    delta: Annotated[float, typer.Option(help="Residuals of logs beyond it count by size.")] = 0.01,
    output: Annotated[Path, typer.Option(help="Folder of the runs.")] = Path("runs"),
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Fit a scaling law to each series of a table, and write scaling.json, .html and .png."""
    from pydantic import ValidationError

    from flows.scaling import LAWS, PAGE, ScalingParams, fit_scaling
    from flows.terminal import with_progress

    asked = tuple(name.strip() for name in dimensions.split(",") if name.strip())
    fields: dict[str, object] = {
        "path": table,
        "dimensions": asked,
        "draws": draws,
        "delta": delta,
        "output": output,
        "seed": seed,
    }
    fields["at"] = dict(each.rpartition("=")[::2] for each in at or ())
    try:
        params = ScalingParams.model_validate(fields)
    except ValidationError as error:
        lines = [f"{'.'.join(str(part) for part in each['loc'])}: {each['msg']}" for each in error.errors()]
        raise typer.BadParameter("; ".join(lines)) from error
    with told():
        folder = Path(with_progress(fit_scaling, params))
        found = json.loads((folder / LAWS).read_text(encoding="utf-8"))
        for each in found["series"]:
            say(_line(each))
            if each["asked"]:
                say(f"  {_asked(each)}")
            if each["refused"]:
                say(f"  refused: {each['refused']}", fg="red", err=True)
        for each in found["unfitted"]:
            say(f"not fitted: {each['why']}", fg="red", err=True)
        for record in [*found["set_aside"], *found["repeated"]]:
            say(f"  set aside: {record}", fg="red", err=True)
        for note in found["notes"]:
            say(f"  {note}")
        say(f"laws    {folder / LAWS}")
        say(f"report  {folder / PAGE}")


def _line(series: dict[str, object]) -> str:
    law = cast("dict[str, object]", series["law"])
    parameters = cast("list[dict[str, float | None]]", law["parameters"])
    told_parameters = ", ".join(
        f"{each['name']} {each['estimate']:.4g}"
        + ("" if each["low"] is None else f" [{each['low']:.4g}, {each['high']:.4g}]")
        for each in parameters
    )
    held_out = law["held_out"]
    error = "" if held_out is None else f"; error on the largest scales {100.0 * cast('float', held_out):.2f} %"
    return f"{series['name']}: {law['law']}, {told_parameters}{error}"


def _asked(series: dict[str, object]) -> str:
    asked = cast("dict[str, float | None]", series["asked"])
    between = "" if asked["low"] is None else f" [{asked['low']:.4g}, {asked['high']:.4g}]"
    where = f"at {asked['scale']:g} {series['scale_unit']}".rstrip()
    beyond = f"{asked['octaves']:.1f} octaves beyond the data"
    return f"{where}, {beyond}: {asked['performance']:.4g}{between} {series['performance_unit']}".rstrip()
