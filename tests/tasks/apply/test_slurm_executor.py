"""Facts about what is done to Slurm jobs, in which order, and what is refused; the commands are a stand-in's."""

from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from data.errors import ApplyFailed, SourceUnavailable
from data.readers.slurm.plan_marks import told_in
from data.schemas.plan import Migrate, MoveReplicas, Place, Recap, Start
from data.transition import inverse
from tasks.apply.slurm import SlurmExecutor
from tasks.apply.slurm_control import _REST_S
from tasks.apply.slurm_standing import WIDTH
from tests.tasks.apply.slurm_cluster import QUICK, TAKEN_S
from tests.tasks.apply.slurm_records import on, record


def test_a_requeued_job_rests_for_more_than_the_second_in_which_slurm_would_kill_it():
    assert _REST_S > 1.0


def test_all_of_a_batch_stop_before_any_starts(slurm):
    slurm.has(record(1, "a"), record(2, "b"), record(3, "c"))
    moves = [Migrate("1", on("a"), on("b"), 0, "r", 1.0), Migrate("2", on("b"), on("a"), 0, "r", 1.0)]
    assert [found.standing for found in QUICK.look(moves)] == ["before", "before"]
    QUICK.carry_out(moves)
    assert [found.standing for found in QUICK.look(moves)] == ["after", "after"]
    verbs = [line.split()[0] for line in slurm.changes()]
    assert verbs == ["requeuehold", "requeuehold", "hold", "hold", "update", "update", "release", "release"]
    QUICK.carry_out(moves)
    assert len(slurm.changes()) == len(verbs), "what is in force is left alone"
    QUICK.carry_out(inverse(moves))
    assert [slurm.job(number)["nodes"] for number in (1, 2, 3)] == ["a", "b", "c"]


def test_a_batch_that_was_cut_off_at_any_command_is_finished(slurm):
    moves = [Migrate("1", on("a"), on("b"), 0, "r", 1.0), Migrate("2", on("b"), on("a"), 0, "r", 1.0)]
    held = {"priority": 0, "state_reason": "JobHeldUser"}
    for halves in (
        (record(1, **held), record(2, "b")),
        (record(1, **held), record(2, **held)),
        (record(1, "b", required_nodes="b"), record(2, **held, required_nodes="a")),
    ):
        slurm.has(*halves)
        QUICK.carry_out(moves)
        assert [found.standing for found in QUICK.look(moves)] == ["after", "after"]


def test_jobs_that_may_not_be_requeued_or_run_elsewhere_stop_nobody(slurm):
    moves = [Migrate("1", on("a"), on("b"), 0, "r", 1.0), Migrate("2", on("b"), on("a"), 0, "r", 1.0)]
    for other, message in ((record(2, "b", requeue=False), "Requeue=0"), (record(2, "x"), "RUNNING, on x:1")):
        slurm.has(record(1, "a"), other)
        found = QUICK.look(moves)
        assert [each.standing for each in found] == ["before", "other"]
        assert message in found[1].detail
        with pytest.raises(ApplyFailed, match=message):
            QUICK.carry_out(moves)
        assert slurm.changes() == []


def test_waits_end_with_what_was_found(slurm):
    move = Migrate("1", on("a"), on("b"), 0, "r", 1.0)
    slurm.has(record(1, "a", stuck=True))
    with pytest.raises(ApplyFailed, match=r"stopped within 0\.3 s, found 1 RUNNING, on a:1"):
        QUICK.carry_out([move])
    slurm.has(record(1, "a", elsewhere=True))
    with pytest.raises(ApplyFailed, match=r"started within 0\.3 s, found 1 PENDING, asks for b"):
        QUICK.carry_out([move])


def test_what_slurm_refuses_names_the_command_and_its_last_words(slurm):
    slurm.has(record(1, "a", refuses="requeuehold"))
    with pytest.raises(ApplyFailed, match=r"scontrol requeuehold 1: exit code 1: .*Invalid node name"):
        QUICK.carry_out([Migrate("1", on("a"), on("b"), 0, "r", 1.0)])
    slurm.has(down=True)
    with pytest.raises(SourceUnavailable, match="Unable to contact"):
        QUICK.look([Recap("1", None, 300.0, "r", 1.0)])


def test_jobs_that_are_gone_are_told_and_left(slurm):
    slurm.has(record(1, "", job_state="TIMEOUT"))
    actions = [Migrate("1", on("a"), on("b"), 0, "r", 1.0), Recap("7", None, 300.0, "r", 1.0)]
    found = QUICK.look(actions)
    assert [each.standing for each in found] == ["gone", "gone"]
    assert "TIMEOUT" in found[0].detail
    for action in (*actions, Place("7", (), on("a"), "r", 1.0), Start("7", None, 0.0, "r", 1.0)):
        QUICK.carry_out([action])
    assert slurm.changes() == []


def test_a_job_that_is_just_ending_is_gone_a_moment_later(slurm):
    move = Migrate("1", on("a"), on("b"), 0, "r", 1.0)
    slurm.has(record(1, "a", ends=2))
    found = QUICK.look([move])[0]
    assert (found.standing, found.detail) == ("gone", "job 1 neither runs nor waits: COMPLETED")
    slurm.has(record(1, "a", ends=99))
    assert QUICK.look([move])[0].detail == "COMPLETING, on a:1"


def test_a_placed_job_is_held_while_it_is_changed_and_undo_leaves_no_trace(slurm):
    slurm.has(record(1, elsewhere=True, admin_comment="ticket 7"))
    before = slurm.job(1)
    place = Place("1", (), on("a", "b"), "r", 1.0)
    assert QUICK.look([place])[0].standing == "before"
    QUICK.carry_out([place])
    assert [line.split()[0] for line in slurm.changes()] == ["hold", "update", "release"]
    job = slurm.job(1)
    assert (job["required_nodes"], job["node_count"], job["priority"]) == ("a,b", 2, 1)
    assert told_in(job["admin_comment"], WIDTH) == "1"
    assert QUICK.look([place])[0].standing == "after"
    QUICK.carry_out(inverse([place]))
    assert slurm.job(1) == before


def test_a_job_that_slurm_places_itself_as_soon_as_it_is_freed_is_undone(slurm):
    slurm.has(record(1, free="c"))
    place = Place("1", (), on("b"), "r", 1.0)
    (undo,) = inverse([place])
    QUICK.carry_out([place])
    assert [QUICK.look([each])[0].standing for each in (place, undo)] == ["after", "before"]
    QUICK.carry_out([undo])
    assert slurm.job(1)["nodes"] == "c"
    assert [QUICK.look([each])[0].standing for each in (place, undo)] == ["other", "after"]
    changes = slurm.changes()
    QUICK.carry_out([undo])
    assert slurm.changes() == changes, "it is not stopped again"


def test_a_job_that_starts_in_the_very_moment_is_left_as_it_is(slurm):
    slurm.has(record(1, races=True))
    with pytest.raises(ApplyFailed, match="started meanwhile"):
        QUICK.carry_out([Place("1", (), on("b"), "r", 1.0)])
    assert [line.split()[0] for line in slurm.changes()] == ["hold", "release"]
    assert (slurm.job(1)["nodes"], slurm.job(1)["priority"]) == ("a", 1)


def test_nodes_that_a_user_chose_are_respected_and_those_of_an_earlier_plan_are_not(slurm):
    place = Place("1", (), on("b"), "r", 1.0)
    slurm.has(record(1, required_nodes="c"))
    assert QUICK.look([place])[0].standing == "other"
    with pytest.raises(ApplyFailed, match="asks for c"):
        QUICK.carry_out([place])
    slurm.has(record(1, elsewhere=True))
    QUICK.carry_out([Place("1", (), on("c"), "r", 1.0)])
    assert QUICK.look([place])[0].standing == "before"
    QUICK.carry_out([place])
    assert slurm.job(1)["required_nodes"] == "b"


def test_without_a_hook_a_cap_is_noted_beside_what_stands_there(slurm):
    slurm.has(record(1, "a", admin_comment="ticket 7"))
    recap = Recap("1", None, 312.5, "r", 1.0)
    assert QUICK.look([recap])[0].standing == "before"
    QUICK.carry_out([recap])
    assert slurm.job(1)["admin_comment"] == "ticket 7 gpu_power_cap_w=312.5"
    assert QUICK.look([recap])[0].standing == "after"
    assert QUICK.look([Recap("1", 200.0, 250.0, "r", 1.0)])[0].standing == "other"
    QUICK.carry_out(inverse([recap]))
    assert slurm.job(1)["admin_comment"] == "ticket 7"


def test_starts_are_set_in_utc_and_undone(slurm):
    slurm.has(record(1))
    start = Start("1", None, 600.0, "r", 1.0)
    assert QUICK.look([start])[0].standing == "before"
    QUICK.carry_out([start])
    mark = f"quantumflow_start={TAKEN_S + 600}"  # an hour that the job's user did not choose
    assert slurm.changes() == [f"update JobId=1 StartTime=2096-10-02T07:16:40 AdminComment={mark}"]
    slurm.has(record(1, eligible_time=TAKEN_S + 600, admin_comment=mark))
    assert QUICK.look([start])[0].standing == "after"
    assert QUICK.look(inverse([start]))[0].standing == "before"
    QUICK.carry_out(inverse([start]))
    assert slurm.changes()[-1] == "update JobId=1 StartTime=now AdminComment="


def test_a_job_beyond_the_horizon_waits_for_a_day_and_is_not_held(slurm):
    slurm.has(record(1, eligible_time=TAKEN_S + 600))
    start = Start("1", 600.0, None, "r", 1.0)
    assert QUICK.look([start])[0].standing == "before"
    QUICK.carry_out([start])
    words = f"update JobId=1 StartTime=2096-10-03T07:06:40 AdminComment=quantumflow_start={TAKEN_S + 86_400}"
    assert slurm.changes() == [words]
    slurm.has(record(1, eligible_time=TAKEN_S + 86_400))
    assert QUICK.look([start])[0].standing == "after"
    QUICK.carry_out(inverse([start]))
    assert slurm.changes()[-1] == "update JobId=1 StartTime=2096-10-02T07:16:40"


def test_a_start_says_what_it_lacks(slurm):
    slurm.has(record(1, "a"))
    with pytest.raises(ApplyFailed, match="expected it to wait for its start, found RUNNING"):
        QUICK.carry_out([Start("1", None, 600.0, "r", 1.0)])
    found = SlurmExecutor().look([Start("1", None, 600.0, "r", 1.0)])[0]
    assert found.standing == "other"
    assert "snapshot was taken" in found.detail


@pytest.mark.parametrize("job", ["--all", "1,2", "1 2", "7;reboot", "", "abc", "1_2_3", "1=2", "$(id)", "\uff11"])
def test_an_id_that_slurm_would_not_write_goes_on_no_command_line(slurm, job):
    slurm.has()
    for action in (
        Migrate(job, on("a"), on("b"), 0, "r", 1.0),
        Place(job, (), on("b"), "r", 1.0),
        Recap(job, None, 300.0, "r", 1.0),
        Start(job, None, 0.0, "r", 1.0),
    ):
        with pytest.raises(ApplyFailed, match="expected a Slurm job id"):
            QUICK.carry_out([action])
        assert QUICK.look([action])[0].standing == "other"
    assert slurm.changes() == []


@pytest.mark.parametrize("node", ["-a", "a,b", "gb[1-999999]", "a b", "a=b", ""])
def test_a_node_that_is_no_host_name_goes_on_no_command_line(slurm, node):
    slurm.has(record(1, "a"))
    with pytest.raises(ApplyFailed, match="expected a host name"):
        QUICK.carry_out([Migrate("1", on("a"), on(node), 0, "r", 1.0)])
    assert slurm.changes() == []


def test_experts_are_refused_without_a_hook(slurm):
    action = MoveReplicas("serve", 0, (0,), (1,), (2,), "r", 1.0)
    assert "experts_hook" in QUICK.look([action])[0].detail
    with pytest.raises(ApplyFailed, match="experts_hook"):
        QUICK.carry_out([action])


def test_before_jobs_are_requeued_they_get_their_signal_and_time(slurm):
    slurm.has(record(1, "a"))
    executor = SlurmExecutor(poll_s=0.1, signal="USR1", signal_to="batch", grace_s=0.2)
    executor.carry_out([Migrate("1", on("a"), on("b"), 0, "r", 1.0)])
    assert slurm.changes()[:2] == ["scancel --signal=USR1 --batch 1", "requeuehold 1"]


def test_a_job_that_dies_of_its_signal_fails_the_step(slurm):
    slurm.has(record(1, "a", dies=True))
    with pytest.raises(ApplyFailed, match="ended when they were told to stop: 1 FAILED"):
        replace(QUICK, signal="USR1", grace_s=0.2).carry_out([Migrate("1", on("a"), on("b"), 0, "r", 1.0)])


def test_a_form_offers_no_fields_that_belong_to_the_plan_and_refuses_odd_signals():
    form = TypeAdapter(SlurmExecutor)
    assert {"taken_s", "folder"}.isdisjoint(form.json_schema()["properties"])
    assert form.validate_python({"kind": "slurm", "cap_hook": "/opt/hooks/cap"}).cap_hook == Path("/opt/hooks/cap")
    for wrong in ({"signal": "USR1"}, {"signal": "--me", "grace_s": 1}, {"poll_s": 0}, {"shell": "bash"}):
        with pytest.raises(ValidationError):
            form.validate_python(wrong)
