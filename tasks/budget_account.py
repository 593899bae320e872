"""How is an answered budget written down? As JSON for machines, and as rows of two tables for people."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data.schemas.dimension_price import DimensionPrice
from data.schemas.scaling import Series
from tasks.allocate_budget import BudgetAllocation
from tasks.budget_uncertainty import Uncertainty
from tasks.report.markdown_text import escaped
from tasks.report.quantities import number
from tasks.scaling.account import parameters
from tasks.scaling.fitted import Fit

VERSION = 1
Json = dict[str, object]

CLAIM = (
    "No advantage is claimed: exact methods answer budgets of this size, and QAOA stands in the table as a challenger."
)
MOST_WINNERS = 3
"""Levels that a cell names; budget.json names all."""

SAME = 1e-9
"""Gap below which two methods tie."""


@dataclass(frozen=True, slots=True, eq=False)
class Spending:
    """A budget that was answered, with what it was answered from.

    Args:
        budget_usd: what may be spent.
        series: what was measured, by dimension.
        fits: the law of each.
        prices: of each.
        found: the answer.
        notes: assumptions and rows left out, in plain words.
    """

    budget_usd: float
    series: tuple[Series, ...]
    fits: tuple[Fit, ...]
    prices: tuple[DimensionPrice, ...]
    found: BudgetAllocation
    notes: tuple[str, ...]

    @property
    def spent_usd(self) -> float:
        """What the chosen scales take."""
        return float(self.found.spend.sum())


def as_json(spending: Spending, *, scaling: str, prices: str, seed: int, draws: int) -> Json:
    """Return the whole answer as what ``json.dumps`` takes.

    Args:
        spending: what was found.
        scaling: where the measurements stood.
        prices: where the prices stood.
        seed: of all chance.
        draws: of the bootstrap, as asked for.
    """
    found = spending.found
    return {
        "version": VERSION,
        "lead": lead(spending),
        "scaling": scaling,
        "prices": prices,
        "seed": seed,
        "draws": draws,
        "budget_usd": spending.budget_usd,
        "spent_usd": spending.spent_usd,
        "method": found.method,
        "log_performance": found.log_performance,
        "bound": found.bound,
        "gap": found.gap,
        "dimensions": [_dimension(spending, row) for row in range(len(found.names))],
        "methods": [
            {
                "method": row.method,
                "log_performance": row.log_performance,
                "gap": row.gap,
                "evaluations": row.evaluations,
            }
            for row in found.rows
        ],
        "claim": CLAIM,
        "uncertainty": found.uncertainty and _sure(found.uncertainty, found.names),
        "fallbacks": [{"wanted": each.wanted, "used": each.used, "reason": each.reason} for each in found.fallbacks],
        "notes": list(spending.notes),
    }


def _dimension(spending: Spending, row: int) -> Json:
    found, fit, price = spending.found, spending.fits[row], spending.prices[row]
    wins = {} if found.uncertainty is None or found.level_of is None else found.uncertainty.wins(row)
    return {
        "name": found.names[row],
        "unit": fit.scale_unit,
        "law": fit.form.kind,
        "parameters": dict(zip(fit.form.names, fit.parameters.tolist(), strict=True)),
        "usd_per_unit": price.usd_per_unit,
        "growth": price.growth,
        "scale": float(found.scale[row]),
        "performance": float(fit(found.scale[row])),
        "performance_unit": fit.performance_unit,
        "better": spending.series[row].better,
        "spend_usd": float(found.spend[row]),
        "share": float(found.spend[row]) / spending.budget_usd,
        "wins": [{"scale": scale, "share": share} for scale, share in wins.items()],
    }


def _sure(sure: Uncertainty, names: Sequence[str]) -> Json:
    low, high = np.quantile(sure.best_scale, [0.025, 0.975], axis=0)
    return {
        "draws": sure.draws,
        "left_out": sure.left_out,
        "stays_best": sure.stays_best,
        "regret_mean": float(sure.regret.mean()),
        "regret_p95": float(np.quantile(sure.regret, 0.95)),
        "best_scale": {
            name: {"low": float(one), "high": float(other)} for name, one, other in zip(names, low, high, strict=True)
        },
        "hedged": dict(zip(names, sure.hedged.tolist(), strict=True)),
        "hedged_regret_mean": float(sure.hedged_regret.mean()),
    }


HEAD = ("dimension", "law", "scale chosen", "what it brings", "USD", "share of the budget", "best by the draws")
METHODS_HEAD = ("method", "choices priced", "below the bound")


def rows(spending: Spending) -> list[tuple[str, ...]]:
    """Return a row of :data:`HEAD` for each dimension, and one for what is not spent."""
    found, table = spending.found, list[tuple[str, ...]]()
    for row, (name, fit) in enumerate(zip(found.names, spending.fits, strict=True)):
        scale = float(found.scale[row])
        brings = f"{number(float(fit(scale)))} {fit.performance_unit}".rstrip()
        table.append(
            (
                name,
                f"{fit.form.kind}: {parameters(fit)}",
                f"{number(scale)} {fit.scale_unit}".rstrip(),
                brings,
                f"{found.spend[row]:,.0f}",
                f"{100.0 * found.spend[row] / spending.budget_usd:.1f} %",
                winners(found, row),
            )
        )
    left = spending.budget_usd - spending.spent_usd
    share = f"{100.0 * left / spending.budget_usd:.1f} %"
    return [*table, ("not spent", "", "", "", f"{max(0.0, left):,.0f}", share.replace("-", ""), "")]


def winners(found: BudgetAllocation, row: int) -> str:
    """Return how often each level of a dimension wins over the draws, or where the best scale lies in most of them."""
    sure = found.uncertainty
    if sure is None:
        return "no draws"
    if found.level_of is None:
        low, high = np.quantile(sure.best_scale[:, row], [0.025, 0.975])
        return f"{number(float(low))} to {number(float(high))} in 95 %"
    wins = sorted(sure.wins(row).items(), key=lambda each: -each[1])
    told = ", ".join(f"{number(scale)} in {100.0 * share:.1f} %" for scale, share in wins[:MOST_WINNERS])
    return told if len(wins) <= MOST_WINNERS else f"{told}, {len(wins) - MOST_WINNERS} others"


def method_rows(found: BudgetAllocation) -> list[tuple[str, ...]]:
    """Return a row of :data:`METHODS_HEAD` for each method; how far below is a part of the bound's performance."""
    return [
        (
            row.method,
            number(row.evaluations) if row.evaluations else "not one by one",
            "reaches it" if row.gap <= SAME else f"{100.0 * row.gap / (1.0 + row.gap):.3g} %",
        )
        for row in found.rows
    ]


def lead(spending: Spending) -> str:
    """Return the answer in a sentence or two."""
    found = spending.found
    told = (
        f"{spending.spent_usd:,.0f} of {spending.budget_usd:,.0f} USD over {len(found.names)} dimensions, "
        f"by {found.method}; "
        + ("nothing within the budget is better." if found.gap <= SAME else f"at most {100 * found.gap:.2g} % is left.")
    )
    sure = found.uncertainty
    if sure is None:
        return told
    return (
        f"{told} Best in {100.0 * sure.stays_best:.1f} % of {sure.draws} draws of the laws; gives up "
        f"{100.0 * float(sure.regret.mean()):.2g} % of performance on average."
    )


def markdown(spending: Spending) -> str:
    """Return both tables as markdown; what is between bars is made safe for it."""
    tables = [_table(HEAD, rows(spending)), _table(METHODS_HEAD, method_rows(spending.found))]
    return "\n\n".join([lead(spending), *tables, CLAIM, *(f"Note: {escaped(note)}" for note in spending.notes)])


def _table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(escaped(cell) for cell in line) + " |" for line in lines)
