"""Which scheduled runs are made after an outage, and which give way?"""

import inspect
from datetime import UTC, datetime, timedelta

import pytest
from prefect import flow
from prefect.client.schemas.objects import StateType

from flows import freshness
from flows.catalogue import entries, flow_of
from flows.freshness import LATEST, Due, too_late, unless_late

START = datetime(2026, 1, 31, 12, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
LATE, CANCELLED, COMPLETED, CRASHED = StateType.SCHEDULED, StateType.CANCELLED, StateType.COMPLETED, StateType.CRASHED


def due(number, state=LATE):
    """The run that is due ``number`` quarters of an hour after the first."""
    return Due(START + number * QUARTER, state)


def test_a_run_on_time_is_made():
    assert too_late(due(0).at, [due(1), due(2)], START + timedelta(seconds=5)) is None


@pytest.mark.parametrize("hours", [1, 5])
def test_of_a_backlog_only_the_youngest_is_made(hours):
    runs = [due(number) for number in range(4 * hours + 3)]
    now = START + timedelta(hours=hours, minutes=1)
    made = [run for run in runs if run.at <= now and too_late(run.at, [o for o in runs if o != run], now) is None]
    assert made == [due(4 * hours)]


def test_the_one_that_held_the_only_place_stands_for_those_that_were_cancelled_for_it():
    others = [due(1, CANCELLED), due(2, CANCELLED), due(3, CANCELLED), due(4)]
    assert too_late(START, others, due(3).at + timedelta(minutes=2)) is None


def test_a_run_that_came_after_a_younger_one_was_made_is_not_made():
    said = too_late(START, [due(1, COMPLETED), due(2)], due(1).at + timedelta(minutes=2))
    assert said is not None
    assert "2026-01-31T12:15:00+00:00" in said


def test_a_run_whose_younger_ones_crashed_is_made_while_it_is_not_too_old():
    others = [due(1, CRASHED), due(2)]
    assert too_late(START, others, due(1).at + timedelta(minutes=2)) is None


def test_after_two_intervals_a_run_is_too_old_where_the_server_stood_and_made_no_younger_one():
    before, after = due(-1, COMPLETED), due(8)
    assert too_late(START, [before, after], START + 2 * QUARTER) is None
    said = too_late(START, [before, after], START + 2 * QUARTER + timedelta(seconds=1))
    assert said is not None
    assert "late by 1801 s" in said


def test_a_run_without_neighbours_is_made_however_old_it_is():
    assert too_late(START, [], START + timedelta(days=30)) is None


def test_a_stated_age_goes_before_the_intervals():
    now = START + timedelta(seconds=61)
    said = too_late(START, [due(1)], now, latest_s=60)
    assert said is not None
    assert "QUANTUMFLOW_LATEST_START_S=60" in said
    assert too_late(START, [due(1)], now, latest_s=62) is None


@pytest.mark.parametrize("text", ["soon", "-1", "inf", "nan"])
def test_an_age_that_is_none_is_refused(text, monkeypatch):
    monkeypatch.setenv(LATEST, text)
    with pytest.raises(ValueError, match=f"{LATEST}: expected seconds, 0 or more, found '{text}'"):
        freshness._latest_s()


def test_a_run_that_a_person_started_is_made(monkeypatch):
    monkeypatch.setenv(LATEST, "0")

    @flow(name="test-freshness")
    @unless_late
    def made(number: int) -> str:
        return f"made {number}"

    assert made(number=3) == "made 3"


def test_every_scheduled_flow_gives_way():
    scheduled = [entry for entry in entries() if entry["schedules"]]
    assert scheduled
    for entry in scheduled:
        function = flow_of(entry).fn
        assert function.__code__ is unless_late(lambda: "").__code__, entry["name"]
        assert inspect.signature(function).parameters, "the form is that of the function beneath"
