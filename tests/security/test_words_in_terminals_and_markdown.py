"""Words from outside reach terminals and the tables of Prefect's UI: can they steer one, or put a link in the other?"""

import re
from pathlib import Path

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.console import Console
from typer.testing import CliRunner

from data.errors import BadRecord, BadSource, PlanRefused
from flows.commands import app
from flows.console import verdict_table
from flows.links import summary
from flows.told import say, told
from tasks.report.markdown_text import code, escaped, fenced
from tasks.report.text import plan_tables, summary_markdown
from tasks.validation.verdict import Check, Verdict
from tests.security.hostile import WORDS, hostile_plan, hostile_rounds, verdict_of

STEERING = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufeff]")


def elements(markdown: str) -> set[str]:
    """Return what a renderer that lets HTML through makes of a text."""
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(markdown)
    return {each.type for token in tokens for each in (token, *(token.children or ()))}


FORBIDDEN = {"html_block", "html_inline", "link_open", "image"}


def test_the_renderer_of_these_tests_sees_links_images_and_html():
    live = elements("[a](http://h) ![a](http://h) <img src=x>\n\n<script>alert(1)</script>\n")
    assert live >= FORBIDDEN


@pytest.mark.parametrize("words", WORDS)
def test_words_stay_words_in_markdown(words):
    assert not elements(f"- {escaped(words)}\n") & FORBIDDEN
    assert elements(f"x {code(words)} y") == {"paragraph_open", "inline", "text", "code_inline", "paragraph_close"}
    assert elements(fenced(f"{words}\n{words}")) == {"fence"}


@given(st.text(max_size=60))
def test_no_text_becomes_markup(text):
    assert not elements(f"- {escaped(text)}\n\n| a |\n| --- |\n| {escaped(text)} |\n") & FORBIDDEN
    assert elements(fenced(text)) == {"fence"}


def test_the_summary_of_a_hostile_plan_has_no_link_and_no_html():
    plan = hostile_plan()
    text = summary_markdown(plan, verdict_of(plan))
    assert not elements(text) & FORBIDDEN
    assert not STEERING.search(text)


def test_the_summary_of_hostile_rounds_has_no_link_and_no_html():
    assert not elements(summary(hostile_rounds(), escaped)) & FORBIDDEN


def test_a_verdict_with_brackets_is_shown_and_does_not_end_the_command():
    """Ids may hold brackets: to rich ``[/x]`` is the end of a style that never began, an error."""
    said = "job a[/x][red]b[0-3]"
    console = Console(width=200, record=True, force_terminal=True)
    console.print(verdict_table(Verdict(False, (Check("nodes", False, f"{said}\x1b]0;owned\x07"),))))
    shown = console.export_text()
    assert said in shown
    assert "\x1b" not in shown.replace("\x1b[", "")
    assert "owned" in shown


def test_a_plan_on_a_terminal_steers_nothing():
    console = Console(width=200, force_terminal=True, record=True)
    console.print(*plan_tables(hostile_plan()))
    text = console.export_text(styles=False)
    assert not STEERING.search(text)
    assert "alert" in text


@pytest.mark.parametrize("words", WORDS)
def test_errors_and_messages_steer_nothing(words, capsys):
    errors = [
        BadRecord(words, "a number", words),
        BadSource(words, [BadRecord(words, words, {"found": words})]),
        PlanRefused(words),
        FileNotFoundError(2, words, words),
    ]
    for error in errors:
        with pytest.raises(typer.Exit), told():
            raise error
    say(words)
    said = capsys.readouterr()
    assert not STEERING.search(said.out + said.err)


def test_messages_of_records_are_short_whatever_was_found():
    error = BadSource("x" * 10**6, [BadRecord("y" * 10**6, "z", ["w" * 10**6])] * 5_000)
    assert len(str(error)) < 2_000_000
    assert len(error.records) == 5_000
    assert "and 4800 more" in str(error)


def test_a_snapshot_is_checked_without_steering_the_terminal(tmp_path: Path):
    (tmp_path / "c.json").write_text(
        '{"cluster": "\\u001b[2J[red]", "taken_at": "\\u001b]0;owned\\u0007", "nodes": []}'
    )
    done = CliRunner().invoke(app, ["snapshot", "check", str(tmp_path / "c.json")])
    assert done.exit_code == 1
    assert not STEERING.search(done.output)
    assert "owned" in done.output
