"""What a person reads before he approves: every action, its sign, and nothing that a hostile plan could add."""

from dataclasses import replace

import pytest

from data.schemas.apply import Begun, Done, Ended, Failed, Left, Line, Resumed, UndoBegun, UndoDone
from data.schemas.checkpoint import Archive
from data.schemas.job import Worker
from data.schemas.plan import Compress, Metric, Migrate, Place, Recap, Start
from data.transition import inverse
from tasks.apply.diff import diff_lines, diff_markdown, journal_rows, sign
from tests.applying.cluster import ACTIONS, sound_plan, state
from tests.tasks.apply.world import BY, opened

HERE, THERE = (Worker("a", (0,)),), (Worker("b", (0,)),)
SIGNS = [
    (Place("j", (), HERE, "", 0.0), "+"),
    (Place("j", HERE, (), "", 0.0), "-"),
    (Migrate("j", HERE, THERE, 0, "", 0.0), "~"),
    (Recap("j", None, 500.0, "", 0.0), "+"),
    (Recap("j", 500.0, None, "", 0.0), "-"),
    (Recap("j", 500.0, 400.0, "", 0.0), "~"),
    (Start("j", None, 0.0, "", 0.0), "+"),
    (Start("j", 10.0, 0.0, "", 0.0), "~"),
    (Compress("c", None, Archive("c.qfz", "0" * 64, 1), "", 0.0), "+"),
]


@pytest.fixture
def plan():
    return sound_plan(state("2026-01-31T12:00:00+00:00"))


@pytest.mark.parametrize(("action", "expected"), SIGNS, ids=lambda each: getattr(each, "kind", each))
def test_a_sign_says_whether_something_comes_goes_or_changes(action, expected):
    assert sign(action) == expected


def test_the_inverse_has_the_opposite_signs():
    opposite = {"+": "-", "-": "+", "~": "~"}
    actions = [action for action, _ in SIGNS]
    for action, expected in SIGNS:
        assert sign(inverse((action,))[0]) == opposite[expected]
    assert len(diff_lines(actions)) == len(actions)


def test_of_many_actions_the_rest_is_counted():
    lines = diff_lines(ACTIONS * 100, limit=5)
    assert len(lines) == 6
    assert "295 more" in lines[-1]


def test_nothing_in_a_plan_ends_the_fence_or_steers_a_terminal(plan):
    hostile = "```\n```\n<script>alert(1)</script> [x](javascript:y)\x1b[2J\u202e"
    actions = tuple(replace(action, reason=hostile) for action in plan.actions)
    metrics = (Metric("```", "```", 1.0, 2.0, "lower"), *plan.metrics)
    bad = replace(plan, actions=actions, metrics=metrics, cluster="```", snapshot_taken_at="```\n```")
    text = diff_markdown(bad, "0" * 64, "slurm", (hostile,))
    fences = [line for line in text.splitlines() if line.lstrip(" ").startswith("```") and line.index("`") < 4]
    assert fences == ["```diff", "```", "```text", "```"]
    outside = text.split("```diff")[0] + text.rsplit("```", 1)[1]
    assert "<script>" not in outside
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_every_entry_of_a_journal_is_told_in_one_line():
    first = opened(state("2026-01-31T12:00:00+00:00"), ACTIONS)
    entries = (
        replace(first, comment="a\nb"),
        Begun(0, (0,), (Left(1, "nothing to do any more", gone=True),)),
        Done(0, ("as the plan wants it",) * 3),
        Failed(1, "the node is on fire"),
        Resumed(BY, "back"),
        UndoBegun((0,)),
        UndoDone((0,), (Left(0, "could not be undone"),)),
        Ended("partly-rolled-back"),
    )
    lines = [Line(number, "now", "0" * 64, entry, "0" * 64) for number, entry in enumerate(entries)]
    rows = journal_rows(lines)
    assert [row["what"] for row in rows] == [entry.kind for entry in entries]
    assert all("\n" not in row["detail"] for row in rows)
    assert "(3 x)" in rows[2]["detail"]
    assert "on fire" in rows[3]["detail"]
    assert "could not be undone" in rows[6]["detail"]
    assert [row["line"] for row in journal_rows(lines, limit=2)] == ["6", "7"]
