"""Facts about the nodes of a plan while its jobs move: nobody else may start there, and nothing is left behind."""

import json
from datetime import UTC, datetime

import pytest

from data.errors import ApplyFailed
from data.schemas.plan import Migrate, Place, Recap
from tasks.apply.journal import new_journal
from tasks.apply.loop import go_on
from tests.tasks.apply.slurm_cluster import QUICK
from tests.tasks.apply.slurm_records import on, record
from tests.tasks.apply.world import opened, sample

MOVE = Migrate("1", on("a"), on("b"), 0, "r", 1.0)
PLACED = Place("2", (), on("a"), "r", 1.0)
NAME = "ReservationName=quantumflow_apply"


def state(slurm):
    return json.loads((slurm.folder / "state.json").read_text())


def applied(path, actions):
    first = opened(sample("small"), actions)
    with new_journal(path, first, lambda: datetime.now(UTC), lambda _: None) as journal:
        return go_on(journal, QUICK)


@pytest.fixture
def waiting():
    return record(2, job_state="PENDING", priority=5, user_name="eve")


def test_the_nodes_are_reserved_for_the_jobs_of_the_plan_and_left_behind_by_all(slurm, waiting, tmp_path):
    slurm.has(record(1, "a", user_name="ada"), waiting, record(3, "c"))
    assert applied(tmp_path / "j", (MOVE, PLACED)).outcome == "applied"
    made, *rest = [line for line in slurm.changes() if NAME in line]
    assert made.startswith(f"create reservation {NAME} Nodes=a,b StartTime=now")
    assert "Users=ada,eve" in made
    assert "Flags=IGNORE_JOBS,FLEX,NO_HOLD_JOBS_AFTER" in made
    assert rest[-1] == f"delete {NAME}"
    changed = [line.split()[1] for line in rest if line.startswith("update JobId=")]
    assert changed == ["JobId=1", "JobId=2"], "both may start there"
    assert [slurm.job(number).get("resv_name", "") for number in (1, 2)] == ["", ""]
    assert not state(slurm)["reserved"]


def test_nodes_that_somebody_else_reserved_keep_a_plan_from_being_begun(slurm, tmp_path):
    slurm.has(record(1, "a"), taken=True)
    found = applied(tmp_path / "j", (MOVE,))
    assert (found.outcome, found.done) == ("rolled-back", 0)
    assert "overlaps with another reservation" in found.why
    assert slurm.job(1)["nodes"] == "a"


@pytest.mark.slow
def test_what_a_killed_apply_reserved_is_taken_over(slurm, tmp_path):
    slurm.has(record(1, "a", resv_name="quantumflow_apply"), reserved=True)
    assert applied(tmp_path / "j", (MOVE,)).outcome == "applied"
    assert (slurm.job(1)["nodes"], slurm.job(1)["resv_name"], state(slurm)["reserved"]) == ("b", "", False)


def test_where_nothing_moves_nothing_is_reserved(slurm, waiting, tmp_path):
    slurm.has(waiting, record(3, "c"))
    assert applied(tmp_path / "j", (PLACED, Recap("3", None, 300.0, "r", 1.0))).outcome == "applied"
    assert not [line for line in slurm.changes() if NAME in line]


@pytest.mark.slow
def test_a_step_that_fails_goes_back_within_the_reservation(slurm, tmp_path):
    slurm.has(record(1, "a"), record(3, "c", elsewhere=True))
    moves = (MOVE, Migrate("3", on("c"), on("d"), 1, "r", 1.0))
    found = applied(tmp_path / "j", moves)
    assert found.outcome in ("rolled-back", "partly-rolled-back")
    verbs = [line.split()[0] for line in slurm.changes() if NAME in line and "JobId" not in line]
    assert (verbs.count("create"), verbs.count("delete"), verbs[-1]) == (1, 1, "delete")
    assert slurm.job(1)["nodes"] == "a"


def test_a_user_whose_name_is_none_goes_on_no_command_line(slurm):
    slurm.has(record(1, "a", user_name="a,b Flags=MAINT"))
    with pytest.raises(ApplyFailed, match="names of users"), QUICK.room((MOVE,)):
        pass
    assert not [line for line in slurm.changes() if "create" in line]
