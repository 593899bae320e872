"""How is a budget answered from a terminal? One command: measurements and prices in, what to buy out."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from flows import options
from flows.told import say, told
from tasks.report.plain import one_line
from tasks.report.quantities import number


def budget(
    usd: Annotated[float, typer.Option("--budget", help="USD that may be spent, e.g. 1e6.")],
    scaling: Annotated[
        Path | None, typer.Option(help="CSV dimension,scale,performance[,...]. Default: the sample's.")
    ] = None,
    prices: Annotated[
        Path | None,
        typer.Option(help="CSV dimension,usd_per_unit[,growth,least,most,levels]. Default: the sample's."),
    ] = None,
    solver: options.Solver = "qaoa-simulator",
    effort: options.Effort = "standard",
    draws: Annotated[int, typer.Option(min=20, max=10_000, help="Bootstrap draws of each law.")] = 200,
    output: options.Output = Path("runs"),
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Say what a budget is best spent on over the dimensions of a fleet, and write budget.json and budget.html."""
    from pydantic import ValidationError

    from flows.budget import ANSWER, PAGE, BudgetParams, spend_budget
    from flows.console import wide_console
    from flows.params import SOLVERS
    from flows.terminal import with_progress

    fields: dict[str, object] = {
        "budget_usd": usd,
        "solver": SOLVERS[solver],
        "effort": effort,
        "draws": draws,
        "output": output,
        "seed": seed,
        **({} if scaling is None else {"scaling": scaling}),
        **({} if prices is None else {"prices": prices}),
    }
    try:
        params = BudgetParams.model_validate(fields)
    except ValidationError as error:
        lines = [f"{'.'.join(str(part) for part in each['loc'])}: {each['msg']}" for each in error.errors()]
        raise typer.BadParameter("; ".join(lines)) from error
    with told():
        folder = Path(with_progress(spend_budget, params))
        found = json.loads((folder / ANSWER).read_text(encoding="utf-8"))
        wide_console().print(_bought(found), _reached(found))
        say(f"{found['lead']}\n{found['claim']}")
        for each in found["fallbacks"]:
            say(f"  {each['wanted']} failed: {each['reason']}", fg="red", err=True)
        for note in found["notes"]:
            say(f"  {one_line(note)}")
        say(f"answer  {folder / ANSWER}\nreport  {folder / PAGE}")


def _bought(found: dict[str, Any]) -> Table:
    rows = [
        (
            each["name"],
            each["law"],
            f"{number(each['scale'])} {each['unit']}".rstrip(),
            f"{each['spend_usd']:,.0f}",
            f"{100.0 * each['share']:.1f} %",
            _wins(each),
        )
        for each in found["dimensions"]
    ]
    return _table("What to buy", ("dimension", "law", "scale", "USD", "of budget", "wins, of draws"), rows, {3, 4, 5})


def _reached(found: dict[str, Any]) -> Table:
    rows = [(each["method"], _priced(each["evaluations"]), _below(each["gap"])) for each in found["methods"]]
    return _table("What each method reached", ("method", "choices priced", "below the bound"), rows, {1, 2})


def _priced(evaluations: int) -> str:
    return f"{evaluations:,}" if evaluations else "not one by one"


def _wins(dimension: dict[str, Any]) -> str:
    won = [each["share"] for each in dimension["wins"] if each["scale"] == dimension["scale"]]
    return f"{100.0 * sum(won):.1f} %" if dimension["wins"] else ""


def _below(gap: float) -> str:
    return f"{100.0 * gap / (1.0 + gap):.3g} %"


def _table(title: str, head: tuple[str, ...], rows: Sequence[tuple[str, ...]], right: set[int]) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    for place, name in enumerate(head):
        table.add_column(name, justify="right" if place in right else "left")
    for row in rows:
        table.add_row(*(Text(one_line(cell)) for cell in row))
    return table
