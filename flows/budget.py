"""Budgets: from measurements and prices to the scale of each dimension that a budget is best spent on."""

import json
from pathlib import Path

import numpy as np
from prefect import flow
from prefect.artifacts import create_markdown_artifact
from pydantic import BaseModel, ConfigDict, Field

from data.readers.scaling.prices_csv import read_prices
from data.readers.scaling.series_csv import read_series
from data.whole_file import write_whole
from flows.params import EffortName, Solver
from flows.permitted import require_permitted
from flows.report_link import publish_page
from flows.run_folder import run_folder
from qiskit_solvers.qaoa import Qaoa
from tasks.allocate_budget import TABLE_LEVELS
from tasks.allocate_budget import spend_budget as allocate
from tasks.budget_account import Spending, as_json, markdown
from tasks.fitted_dimensions import draws_of
from tasks.priced_dimensions import fitted_laws, matched, priced, require_enough
from tasks.refine import Effort
from tasks.report.budget_page import page

ANSWER, PAGE = "budget.json", "budget.html"
SAMPLES = Path(__file__).resolve().parent.parent / "data" / "samples" / "fleet"
EFFORTS: dict[EffortName, Effort] = {
    "quick": Effort(evaluations=2_000, rounds=2, window=20, patience=2),
    "standard": Effort(evaluations=20_000, rounds=4, window=20, patience=4),
    "thorough": Effort(evaluations=400_000, rounds=16, window=20, patience=12),
}
"""Of the challengers; what an exact method answers takes none. A window of 20 holds ten dimensions of four levels."""


class BudgetParams(BaseModel):
    """One budget: what grows along what, what that costs, and how much may be spent."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    budget_usd: float = Field(gt=0, le=1e15, allow_inf_nan=False, title="Budget (USD)")
    scaling: Path | None = Field(
        default=None,
        title="Measurements",
        description="CSV with dimension,scale,performance; see the flow fit-scaling. Empty takes the sample's",
    )
    prices: Path | None = Field(
        default=None,
        title="Prices",
        description="CSV with dimension,usd_per_unit; if wanted growth, least, most, levels (a count, or 1;2;4). "
        "Empty takes the sample's",
    )
    solver: Solver = Field(
        default=Qaoa(on="simulator"),
        title="Challenger",
        description="Stands in the table beside the exact method",
    )
    effort: EffortName = Field(default="standard", title="Effort", description="Of the challengers")
    draws: int = Field(default=200, ge=20, le=10_000, title="Bootstrap draws", description="Of each law")
    seed: int = Field(default=0, ge=0, lt=2**63, title="Seed")
    output: Path = Field(default=Path("runs"), title="Output folder")

    @property
    def measurements_file(self) -> Path:
        """Where measurements are read from; the sample of the machine that runs this, not of the one that deployed."""
        return self.scaling or SAMPLES / "scaling.csv"

    @property
    def prices_file(self) -> Path:
        """Likewise of prices."""
        return self.prices or SAMPLES / "prices.csv"


@flow(name="spend-budget", flow_run_name="budget-{params.budget_usd:g}")
def spend_budget(params: BudgetParams) -> str:
    """Fit a law to each dimension, find the scales that a budget is best spent on, and write them to a new folder.

    Args:
        params: measurements, prices and the budget.

    Returns:
        The folder with ``budget.json`` and ``budget.html``.

    Raises:
        SourceUnavailable: a file cannot be read.
        BadSource: one is no such table, a dimension has no price or no law, or a price is of no dimension.
        BadRecord: the budget does not pay for the smallest scales, or the output cannot be written.
    """
    require_permitted(params)
    with run_folder(params.output) as folder:
        found = answered(params)
        told = as_json(
            found,
            scaling=str(params.measurements_file),
            prices=str(params.prices_file),
            seed=params.seed,
            draws=params.draws,
        )
        write_whole(folder.path / ANSWER, json.dumps(told, indent=1, allow_nan=False) + "\n")
        write_whole(folder.path / PAGE, page(found))
    create_markdown_artifact(markdown(found), key="spend-budget-summary", description="What the budget is spent on")
    publish_page(folder.final / PAGE, "spend-budget", "The budget as a page")
    return str(folder.final)


def answered(params: BudgetParams) -> Spending:
    """Read, fit, and allocate.

    Raises:
        SourceUnavailable, BadSource, BadRecord: see :func:`spend_budget`.
    """
    measured, source = params.measurements_file, str(params.prices_file)
    reading = read_series(measured)
    prices = matched(reading.series, read_prices(params.prices_file), measured.name, source)
    rng = np.random.default_rng(params.seed)
    fits = fitted_laws(reading.series, rng, draws=params.draws, source=str(measured))
    dimensions = priced(reading.series, fits, prices, source)
    require_enough(dimensions, params.budget_usd)
    drawn = min(len(fit.draws) for fit in fits)
    found = allocate(
        dimensions,
        params.budget_usd,
        params.solver,
        seed=params.seed,
        effort=EFFORTS[params.effort],
        draws=draws_of(fits, [each.better for each in reading.series], drawn) if drawn else None,
    )
    few = () if found.level_of is not None else (f"methods after the first chose among {TABLE_LEVELS} scales of each",)
    left_out = [f"left out: {record}" for record in (*reading.set_aside, *reading.repeated)]
    of_laws = [f"{fit.series}: {note}" for fit in fits for note in fit.notes]
    notes = (*found.notes, *few, *of_laws, *reading.notes, *left_out)
    return Spending(params.budget_usd, reading.series, fits, prices, found, notes)
