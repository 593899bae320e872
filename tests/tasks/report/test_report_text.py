"""Facts about a plan as text: figures with units, honest sentences, tables for terminal and UI, safe strings."""

import re
import unicodedata
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from data.schemas.job import Worker
from data.schemas.plan import Bound, Metric, Migrate, SolverRow, Start
from tasks.report.changes import headline
from tasks.report.outcome import figure_change, key_figures, outcomes
from tasks.report.plain import one_line
from tasks.report.quantities import counted, duration, number, percent, quantity
from tasks.report.text import action_rows, plan_tables, solver_rows, summary_markdown


def printed(plan, width: int = 200) -> str:
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123 - rich writes to it
    with console.file:
        console.print(*plan_tables(plan))
        return console.export_text()


def sentences(*rows: SolverRow, bound: Bound | None = None, plan) -> str:
    (outcome,) = outcomes(replace(plan, solvers=rows, bounds=(bound,) if bound else ()))
    return " ".join(outcome.sentences)


def row(method: str, cost: float, *, windows: int = 0, accepted: int = 0, chosen: bool = False) -> SolverRow:
    return SolverRow("placement", method, cost, 10, windows, accepted, chosen)


@pytest.mark.parametrize(
    ("value", "unit", "told"),
    [
        (999.0, "W", "999 W"),
        (208_812.0, "W", "208.8 kW"),
        (1.2e9, "W", "1.2 GW"),
        (0.0, "kWh", "0 kWh"),
        (1_429.0, "kWh", "1.429 MWh"),
        (347_142.0, "bytes", "347.1 kB"),
        (72.0, "GPUs", "72 GPUs"),
        (1.0303, "racks", "1.03 racks"),
        (0.7467, "share", "74.7 %"),
        (0.4913, "ratio", "0.491"),
        (51.753, "h", "51.75 h"),
    ],
)
def test_a_figure_has_its_unit_and_no_needless_digits(value, unit, told):
    assert quantity(value, unit) == told


@pytest.mark.parametrize(
    ("value", "told"),
    [(0.0, "0"), (1234567.0, "1,234,567"), (-0.0083412, "-0.008341"), (1e-9, "1.0e-09"), (float("inf"), "inf")],
)
def test_a_number_keeps_four_digits(value, told):
    assert number(value) == told


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0.25, "0.25 s"), (59.0, "59 s"), (59.99, "60 s"), (90.0, "1 min 30 s"), (300.0, "5 min"), (3_600.0, "1 h"),
        (3_599.9, "1 h"), (7_500.0, "2 h 05 min"), (172_800.0, "2 d"), (180_000.0, "2 d 2 h"),
    ],
)  # fmt: skip
def test_a_duration_is_told_in_its_two_largest_units(seconds, told):
    assert duration(seconds) == told


def test_counts_and_percentages_read_well():
    assert (counted(1, "job"), counted(1_200, "job"), counted(2, "batch", "batches")) == (
        "1 job", "1,200 jobs", "2 batches"
    )  # fmt: skip
    assert (percent(1, 0), percent(0, 5), percent(1, 3), percent(1, 1e5)) == ("-", "0.0 %", "33.3 %", "0.001 %")


@given(st.text(max_size=400))
def test_one_line_holds_nothing_that_steers_a_terminal(text):
    line = one_line(text)
    assert len(line) <= 240
    assert len(line.splitlines()) <= 1
    assert not any(unicodedata.category(each) in ("Cc", "Cf", "Zl", "Zp", "Cs") for each in line)


def test_a_tie_is_called_a_tie(case):
    told = sentences(
        row("incumbent", 10.0),
        row("classical search", 8.0, chosen=True),
        row("anneal on windows", 8.0, windows=3),
        row("qaoa on windows", 8.0 + 1e-12, windows=3),
        plan=case.plan,
    )
    assert told == (
        "The classical search lowered the cost by 20.0 %. Simulated annealing and QAOA tied with the classical search. "
        "The plan takes what the classical search found."
    )


def test_an_improvement_names_its_size_and_its_windows(case):
    told = sentences(
        row("incumbent", 10.0),
        row("classical search", 8.0),
        row("anneal on windows", 8.0, windows=3),
        row("qaoa on windows", 7.9, windows=3, accepted=1, chosen=True),
        bound=Bound("placement", 7.9, 0.0, "relaxation"),
        plan=case.plan,
    )
    assert "QAOA improved on that by 1.2 % (1 of 3 windows accepted)." in told
    assert "Simulated annealing tied with the classical search." in told
    assert "The plan takes what QAOA found." in told
    assert told.endswith("The plan meets the proven lower bound 7.9: nothing better exists.")


def test_a_bound_of_nought_is_met_by_a_cost_of_nought(case):
    told = sentences(row("incumbent", 0.0, chosen=True), bound=Bound("placement", 0.0, None, "x"), plan=case.plan)
    assert told.endswith("The plan meets the proven lower bound 0: nothing better exists.")


def test_nothing_found_is_said(case):
    told = sentences(
        row("incumbent", 10.0, chosen=True),
        row("classical search", 10.0),
        row("qaoa on windows", 10.0),
        bound=Bound("placement", 0.0, None, "relaxation"),
        plan=case.plan,
    )
    assert told == (
        "The classical search found nothing better than what is in force. QAOA answered no window. "
        "The plan keeps what is in force. No useful lower bound is known (relaxation gives 0)."
    )


def test_what_was_kept_from_the_last_plan_is_said(case):
    kept = (row("incumbent", 10.0), row("last plan", 8.0, chosen=True), row("classical search", 7.99))
    assert sentences(*kept, plan=case.plan) == (
        "What still fits of the last plan lowers the cost by 20.0 %. The classical search lowered the cost by 0.1 %. "
        "The plan keeps to the last plan: nothing was found that is better by more than the stability asked for."
    )
    near = (row("incumbent", 10.0), row("last plan", 8.0), row("classical search", 7.0))
    told = sentences(*near, row("drawn to the last plan", 7.01, chosen=True), plan=case.plan)
    assert "as much kept from the last plan as the stability asked for allows" in told
    assert "no window" not in told


@pytest.mark.parametrize(
    ("metric", "change", "verdict"),
    [
        (Metric("power.peak_w", "W", 200.0, 150.0, "lower"), "-25.0 %", "better"),
        (Metric("power.peak_w", "W", 200.0, 250.0, "lower"), "+25.0 %", "worse"),
        (Metric("placement.whole_domain_gpus", "GPUs", 0.0, 72.0, "higher"), "+72 GPUs", "better"),
        (Metric("placement.moved_gpus", "GPUs", 0.0, 43.0, "lower"), "+43 GPUs", "price"),
        (Metric("power.overload_kwh", "kWh", 3.0, 3.0, "lower"), "unchanged", "same"),
    ],
)
def test_a_figure_says_whether_it_is_better(metric, change, verdict):
    told = figure_change(metric)
    assert (told.change, told.verdict) == (change, verdict)


def test_key_figures_put_those_that_changed_first(case):
    figures = key_figures(case.plan, 3)
    assert [figure.name for figure in figures] == [
        "placement.whole_domain_gpus", "routing.chat.balancedness", "power.peak_w"
    ]  # fmt: skip


def test_a_terminal_shows_figures_actions_solvers_and_what_fell_back(case):
    text = printed(case.plan)
    for told in (
        "GPUs in wholly free domains",
        "Actions: 2 migrate, 1 place, 1 start, 1 recap, 1 move replica, 1 compress",
        "gang on 1 rack instead of 2",
        "Exact enumeration and QAOA tied with the classical search.",
        "Fallbacks: 1",
        "Records set aside: 1",
        "Notes: 1",
        case.plan.sha256,
    ):
        assert told in text


def test_a_terminal_shows_hostile_names_as_text(hostile):
    text = printed(hostile.plan)
    assert "\x1b" not in text
    assert "[2Jtouch pwned" not in "".join(line for line in text.splitlines() if line.startswith("touch"))


def test_markup_in_a_name_is_not_obeyed(case):
    plan = replace(case.plan, cluster="[red]x[/nope]", notes=("[/] [bold]y",))
    assert "[red]x[/nope]" in printed(plan)


def test_rows_beyond_the_limit_are_counted(cluster, make_plan):
    actions = tuple(Start("later", None, float(number), "room", 1.0) for number in range(30))
    rows = action_rows(make_plan(cluster, actions), 10)
    assert len(rows) == 10
    assert (rows[-1]["kind"], rows[-1]["target"], rows[-1]["reason"]) == ("more", "21 in plan.json", "21 start")
    assert len(action_rows(make_plan(cluster, actions), 30)) == 30
    assert action_rows(make_plan(cluster, ()), 10) == []


def test_rows_of_a_table_share_their_columns(case):
    for rows in (action_rows(case.plan, 5), solver_rows(case.plan)):
        assert len({tuple(each) for each in rows}) == 1
        assert all(isinstance(value, str) for each in rows for value in each.values())
    chosen = [each["method"] for each in solver_rows(case.plan) if each["chosen"] == "yes"]
    assert chosen == ["classical search", "QAOA on windows"]


def test_a_summary_is_markdown_that_names_cannot_change(case, hostile, passed):
    summary = summary_markdown(case.plan, passed)
    assert summary.startswith("# Plan for two-racks\n")
    assert "passes 2 checks" in summary
    assert "| GPUs in wholly free domains | 0 GPUs | 16 GPUs | +16 GPUs, better |" in summary
    assert "QAOA reached the same" in summary
    attacked = summary_markdown(hostile.plan, passed)
    assert not re.search(r"(?<!\\)[<\[]", attacked)
    assert sum(line.startswith("|") for line in attacked.splitlines()) == 3


def test_a_job_that_steps_aside_is_one_job_in_the_headline() -> None:
    a, b, c = ((Worker(node, (0, 1)),) for node in "abc")
    told = headline([Migrate("j", a, b, 0, "", 0.0), Migrate("k", b, a, 1, "", 0.0), Migrate("j", b, c, 2, "", 0.0)])
    assert told == "The plan moves 2 running jobs (4 GPUs, 3 batches)."
