"""Is what the server says shown as it says it? Its texts are anybody's, and rich reads brackets as markup."""

import pytest

from deployments.provision import show
from deployments.server_objects import Outcome, Row


@pytest.mark.parametrize("said", ["[inc-4711] switch swap", "[/ops] stop", "[bold]now[/bold]", ":warning: rack 7"])
def test_brackets_of_the_server_are_words(said: str, capsys: pytest.CaptureFixture[str]) -> None:
    show([Row("variable", said, "there", f'says "{said}"'), Row("block", "notify", "wrong", "is a slack")])
    told = capsys.readouterr().out
    assert told.count(said) == 2


@pytest.mark.parametrize("outcome", ["made", "there", "wrong"])
def test_a_text_of_the_server_is_one_line_and_steers_no_terminal(
    outcome: Outcome, capsys: pytest.CaptureFixture[str]
) -> None:
    show([Row("work pool", "one\ntwo", outcome, "three\r\nfour \x1b[2J \u202efive")])
    told = capsys.readouterr().out
    assert "one two" in told
    assert "three four" in told
    assert outcome in told
    assert "\x1b" not in told
    assert "\u202e" not in told
