"""The history of runs: what their plans say, whatever else lies in the folder, and a page that needs nothing else."""

import json
import os
import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from data.digest import PLAN
from data.errors import SourceUnavailable
from data.schemas.plan import Fallback, SetAside, SolverRow
from flows.commands import app
from flows.journals import APPLIES
from flows.logs import FILE, FORMAT
from tasks.report.history import EVENTS, read_history
from tasks.report.history_chart import Curve, Point, curves_chart
from tasks.report.history_page import render_history
from tasks.report.history_record import Reached
from tests.stored_runs import applied, leave, plan_of

NOW = datetime(2026, 11, 22, tzinfo=UTC)
HOSTILE = '</style><script>alert("1")</script>\n\x1b[2J'


def page(runs: Path, limit: int = 200) -> str:
    return render_history(read_history(runs, limit), runs, NOW)


class Tags(HTMLParser):
    """What a browser would see: tags, links and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.said = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]

    def handle_data(self, data: str) -> None:
        self.said += data


def test_a_run_is_told_as_its_plan_says(tmp_path: Path) -> None:
    fallback = Fallback("refine power", "qaoa", "anneal", "the child did not answer")
    aside = SetAside("jobs[0]", "a job", "nothing")
    folder = leave(tmp_path, 3, plan_of(fallbacks=(fallback,), set_aside=(aside,)))
    (folder / EVENTS).write_text('{"flow": "optimize-power", "flow_run": "abc"}\n{"broken')
    (record,) = read_history(tmp_path, 10).records
    assert record.began == datetime(2026, 11, 20, 0, 45, tzinfo=UTC)
    assert (record.cluster, record.flow, record.flow_run) == ("small", "optimize-power", "abc")
    assert (record.solver, record.effort, record.seconds, record.report) == ("qaoa", "quick", 23.0, True)
    assert record.reached == (Reached("power", "qaoa on windows", 100.0, 80.0, 64.0, 0.25),)
    assert record.reached[0].gain == pytest.approx(0.2)
    assert record.reached[0].left == pytest.approx(0.2)
    assert record.actions == (("recap", 1),)
    assert (record.fallbacks, record.set_aside) == (
        ("refine power: anneal instead of qaoa: the child did not answer",), 1
    )  # fmt: skip


def test_the_newest_come_first_and_the_rest_is_counted(tmp_path: Path) -> None:
    for number in (2, 0, 4, 1, 3):
        leave(tmp_path, number)
    (tmp_path / "latest").symlink_to(tmp_path)
    found = read_history(tmp_path, 3)
    assert [record.seconds for record in found.records] == [24.0, 23.0, 22.0]
    assert found.older == 2


def test_runs_that_cannot_be_read_are_listed_with_the_reason(tmp_path: Path) -> None:
    leave(tmp_path, 0)
    altered = leave(tmp_path, 1) / "plan.json"
    altered.write_text(altered.read_text().replace('"seed":0', '"seed":1'))
    (leave(tmp_path, 2) / "plan.json").write_text("{")
    (leave(tmp_path, 3) / "plan.json").write_text("[" * 100_000)
    (leave(tmp_path, 4) / "plan.json").unlink()
    os.mkfifo(leave(tmp_path, 5) / "pipe")
    pipe = leave(tmp_path, 6) / "plan.json"
    pipe.unlink()
    os.mkfifo(pipe)
    endless = leave(tmp_path, 7) / "plan.json"
    endless.unlink()
    endless.symlink_to("/dev/zero")
    with (leave(tmp_path, 8) / "plan.json").open("wb") as file:
        file.truncate(65 << 20)
    (leave(tmp_path, 9) / "plan.json").write_bytes(b"\xff\xfe")
    (tmp_path / ".20261120T000000Z-abcdef.partial").mkdir()
    (tmp_path / "bench").mkdir()
    found = read_history(tmp_path, 100)
    assert len(found.records) == 2
    reasons = {each.name[-1]: each.reason for each in found.unreadable}
    assert sorted(reasons) == ["1", "2", "3", "6", "7", "8", "9"]
    assert "altered" in reasons["1"]
    assert "something else" in reasons["6"]
    assert "something else" in reasons["7"]
    assert "at most" in reasons["8"]
    assert not any("\n" in reason for reason in reasons.values())
    assert (len(found.unfinished), found.others) == (1, 2)
    seen = Tags(page(tmp_path)).said
    assert all(each.reason[:40] in seen for each in found.unreadable)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"total": "x"}',
        '{"total": 1e999}',
        '{"total": -1}',
        '{"total": 1' + "0" * 400 + "}",
        "[" * 50_000,
    ],
)
def test_timings_that_cannot_be_read_leave_the_run_as_it_is(tmp_path: Path, text: str) -> None:
    (leave(tmp_path, 0) / "timings.json").write_text(text)
    assert read_history(tmp_path, 1).records[0].seconds is None
    assert page(tmp_path)


@pytest.mark.parametrize("options", ["", "[]", "{}", '{"nouns": 3, "solver": "x"}', "[" * 50_000])
def test_options_that_say_nothing_are_no_obstacle(tmp_path: Path, options: str) -> None:
    leave(tmp_path, 0, plan_of(options=options))
    assert read_history(tmp_path, 1).records[0].flow == "optimize-cluster"


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailable, match="missing"):
        read_history(tmp_path / "missing", 1)


def test_the_page_has_a_row_and_pictures_for_each_cluster(tmp_path: Path) -> None:
    for number in range(6):
        leave(tmp_path, number, plan_of("east" if number % 2 else "west", after=80.0 - number))
    seen = Tags(page(tmp_path))
    assert seen.tags.count("svg") == 2 * 5
    assert seen.tags.count("tr") == 1 + 6
    assert "script" not in seen.tags
    assert "east: optimize-power" in seen.said
    assert "25.0 %" in seen.said
    reports = [link for link in seen.links if link.endswith("report.html")]
    assert len(reports) == 6
    assert all((tmp_path / link).is_file() for link in reports)


def test_links_lead_from_wherever_the_page_stands(tmp_path: Path) -> None:
    leave(tmp_path / "runs", 0, name="javascript:alert(1)")
    elsewhere = tmp_path / "pages" / "deep"
    elsewhere.mkdir(parents=True)
    seen = Tags(render_history(read_history(tmp_path / "runs", 1), elsewhere, NOW))
    (link,) = [link for link in seen.links if link.endswith("report.html")]
    assert link == "../../runs/javascript%3Aalert%281%29/report.html"
    seen = Tags(page(tmp_path / "runs"))
    (link,) = [link for link in seen.links if link.endswith("report.html")]
    assert ":" not in link


def test_nothing_of_a_plan_becomes_markup(tmp_path: Path) -> None:
    fallback = Fallback(HOSTILE, HOSTILE, HOSTILE, HOSTILE)
    rows = (SolverRow(HOSTILE, "incumbent", 2.0, 0, 0, 0, False), SolverRow(HOSTILE, HOSTILE, 1.0, 0, 0, 0, True))
    hostile = plan_of(solvers=rows, fallbacks=(fallback,), options=json.dumps({"nouns": [HOSTILE]}), bounds=())
    folder = leave(tmp_path, 0, hostile)
    (folder / EVENTS).write_text(json.dumps({"flow": HOSTILE, "flow_run": HOSTILE}) + "\n")
    (tmp_path / 'evil"><script>').mkdir()
    (tmp_path / 'evil"><script>' / "plan.json").write_text("{")
    leave(tmp_path, 1)  # so that there is something to choose from
    text = page(tmp_path)
    seen = Tags(text)
    assert "script" not in seen.tags
    assert "\x1b" not in text
    assert seen.tags.count("style") == 1
    assert text.count("</style>") == 1


def test_the_page_and_its_filters_name_nothing_from_outside(tmp_path: Path) -> None:
    for number in range(3):
        leave(tmp_path, number, plan_of(f"cluster-{number}"))
    text = page(tmp_path)
    assert not re.search(r"https?:|url\(|@import", text)
    assert "default-src 'none'" in text
    rules = text[text.index("body:has(") : text.index(".nothing {")]
    assert set(re.findall(r'data-(?:cluster|flow)="(\d+)"', rules)) == {"0", "1", "2"}


def test_figures_that_are_not_finite_or_beyond_measure_are_not_drawn(tmp_path: Path) -> None:
    for number, cost in enumerate((1e308, -5.0, 0.0, 3.0)):
        leave(tmp_path, number, plan_of(before=cost, after=cost - 1.0))
    text = page(tmp_path)
    assert not re.search(r'(?:cx|cy|x|y|d)="[^"]*(?:nan|inf)', text)


@given(st.lists(st.tuples(st.datetimes(), st.floats(-1e14, 1e14)), max_size=9))
def test_every_point_stands_inside_the_picture(points: list[tuple[datetime, float]]) -> None:
    curve = Curve("c0", tuple(Point(moment.replace(tzinfo=UTC), value, "x") for moment, value in points))
    drawn = curves_chart([curve], "a picture")
    assert (drawn is None) == (not points)
    for x, y in re.findall(r'cx="([-\d.]+)" cy="([-\d.]+)"', drawn or ""):
        assert 0 <= float(x) <= 520
        assert 0 <= float(y) <= 190


def test_a_thousand_runs_make_a_page_of_bounded_size(tmp_path: Path) -> None:
    plan = PLAN.dump_json(plan_of())
    for number in range(1_000):
        folder = tmp_path / f"{datetime(2026, 1, 1) + timedelta(minutes=number):%Y%m%dT%H%M%SZ}-{number:06x}"
        folder.mkdir()
        (folder / "plan.json").write_bytes(plan)
    text = page(tmp_path, 1_000)
    assert text.count("<tr") == 1 + 1_000
    assert len(text) < 2_000_000


def test_the_command_writes_the_page_beside_the_runs_or_prints_a_table(tmp_path: Path) -> None:
    leave(tmp_path, 0)
    (leave(tmp_path, 1) / "plan.json").write_text("{")
    done = CliRunner().invoke(app, ["history", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert done.output == f"{tmp_path / 'history.html'}: 1 run, 1 unreadable\n"
    assert Tags((tmp_path / "history.html").read_text()).tags.count("svg") == 5
    done = CliRunner().invoke(app, ["history", str(tmp_path), "--table", "--limit", "5"])
    assert "QAOA on windows" in done.output
    assert "20.0 %" in done.output
    done = CliRunner().invoke(app, ["history", str(tmp_path / "missing")])
    assert (done.exit_code, done.output.count("\n")) == (1, 1)


def test_an_empty_folder_says_what_to_do(tmp_path: Path) -> None:
    assert "python -m flows run" in Tags(page(tmp_path)).said


def test_applies_are_told_beside_their_plan(tmp_path: Path) -> None:
    plan = plan_of()
    leave(tmp_path, 0, plan)
    leave(tmp_path, 1, plan_of(after=70.0))
    applied(tmp_path / "elsewhere", plan, None, first=1)
    applied(tmp_path / "applies", plan, "applied")
    applied(tmp_path / "applies", plan, "rolled-back", first=2)
    (tmp_path / "applies" / f"3-{plan.sha256[:12]}.jsonl").write_text("{")
    found = read_history(tmp_path, 10, [tmp_path / "elsewhere", tmp_path / "applies"])
    newer, older = found.records
    assert newer.applied == ()
    assert older.applied == (
        "applied (slurm)", "not ended (slurm)", "rolled back (slurm)", "its journal cannot be read"
    )  # fmt: skip
    assert "rolled back (slurm)" in Tags(render_history(found, tmp_path, NOW)).said


def test_the_command_asks_the_folder_of_applies_that_the_environment_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of()
    leave(tmp_path / "runs", 0, plan)
    applied(tmp_path / "runs" / "applies", plan, "rolled-back", first=1)
    applied(tmp_path / "named", plan, "applied")
    monkeypatch.setenv(APPLIES, str(tmp_path / "named"))
    done = CliRunner().invoke(app, ["history", str(tmp_path / "runs")])
    assert (done.exit_code, done.output.count("\n")) == (0, 1), done.output
    told = (tmp_path / "runs" / "history.html").read_text()
    assert "applied (slurm), rolled back (slurm)" in told
    monkeypatch.setenv(APPLIES, str(tmp_path / "runs" / ".." / "runs" / "applies"))
    assert CliRunner().invoke(app, ["history", str(tmp_path / "runs")]).exit_code == 0
    assert (tmp_path / "runs" / "history.html").read_text().count("rolled back (slurm)") == 1, "two names of one folder"


@pytest.mark.parametrize("options", [[], ["--table"]])
def test_a_named_folder_of_applies_that_cannot_be_listed_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    plan = plan_of()
    leave(tmp_path, 0, plan)
    applied(tmp_path / "applies", plan, "applied")
    (tmp_path / "a-file").write_text("")
    for named, why in (("nowhere", "No such file or directory"), ("a-file", "Not a directory")):
        monkeypatch.setenv(APPLIES, str(tmp_path / named))
        done = CliRunner().invoke(app, ["history", str(tmp_path), *options])
        assert done.exit_code == 0
        line = f"{tmp_path / named}: {why}, so applies may be missing"
        assert "".join(done.output.split()).count("".join(line.split())) == 1, "a terminal may be narrow"
    monkeypatch.delenv(APPLIES)
    assert "missing" not in CliRunner().invoke(app, ["history", str(tmp_path), *options]).output


def test_every_command_and_variable_of_the_page_on_observing_exists() -> None:
    text = (Path(__file__).resolve().parents[3] / "deployments" / "OBSERVING.md").read_text()
    commands = re.findall(r"^ {4}(?:\S+=\S+ )?python -m flows (\w+)(.*?)(?:\s{2,}#.*)?$", text, re.M)
    assert {name for name, _ in commands} == {"doctor", "history", "metrics", "run"}
    for name, rest in commands:
        told = re.sub(r"\x1b\[[0-9;]*m", "", CliRunner().invoke(app, [name, "--help"]).output)
        assert all(option in told for option in re.findall(r"--[\w-]+", rest)), (name, rest)
    assert set(re.findall(r"QUANTUMFLOW_LOG_\w+", text)) == {FORMAT, FILE}
