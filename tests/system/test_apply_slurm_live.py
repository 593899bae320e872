"""Facts about plans that are applied to a Slurm cluster that really runs: jobs move, are capped, and come back."""

import json
import os
import shutil
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from data.schemas.apply import Opened, Process, Resumed
from data.schemas.job import Worker
from data.schemas.plan import Migrate, Place, Recap, Start
from data.transition import inverse
from tasks.apply.journal import new_journal, old_journal, read_journal
from tasks.apply.loop import go_on
from tasks.apply.slurm import SlurmExecutor
from tests.system.slurm_jobs import write_hook

pytestmark = pytest.mark.system


@pytest.fixture
def caps(tmp_path, monkeypatch):
    """The hook that ships as an example, in an allowed folder, and what it set: watts by node and GPU."""
    folder, programs = tmp_path / "caps", tmp_path / "programs"
    write_hook(programs, folder)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("QUANTUMFLOW_HOOKS", str(programs))
    return folder


@pytest.fixture
def crowd(slurm, until):
    """A gang on gb1 and gb3 beside one on gb2, and a job of one GPU that waits for its hour."""

    def start(*options):
        number = slurm.submit("--time=60", "--requeue", *options)
        until(lambda: slurm.where().get(number, ("",))[0] == "RUNNING")
        return number

    blocker = start("--nodes=2", "--gres=gpu:gb200:4", "--nodelist=gb[2,4]")
    torn = start("--nodes=2", "--gres=gpu:gb200:4")
    slurm.run("scancel", blocker)
    until(lambda: blocker not in slurm.where())
    small = start("--nodes=1", "--gres=gpu:gb200:2", "--exclude=gb4")
    waiting = slurm.submit("--ntasks=1", "--time=60", "--requeue", "--gres=gpu:gb200:1", "--begin=now+1hour")
    yield torn, small, waiting
    slurm.run("scancel", torn, small, waiting)
    until(lambda: not slurm.where())


def on(gpus, *nodes):
    return tuple(Worker(node, tuple(range(gpus))) for node in nodes)


def plan_of(crowd):
    """Bring the gang together on gb1 and gb2 for the small job's move to gb3, and give the waiting one a node."""
    torn, small, waiting = crowd
    return (
        Recap(torn, None, 800.0, "a cap binds", 1.0),
        Migrate(torn, on(4, "gb1", "gb3"), on(4, "gb1", "gb2"), 0, "together", 1.0),
        Migrate(small, on(2, "gb2"), on(2, "gb3"), 0, "out of the way", 1.0),
        Place(waiting, (), on(1, "gb4"), "free", 1.0),
        Recap(torn, 800.0, 700.0, "a cap binds", 1.0),
        Recap(waiting, None, 650.0, "a cap binds", 1.0),
        Start(waiting, 3_600.0, 7_200.0, "after the peak", 1.0),
    )


def executor_of(taken_s, hook=None):
    return SlurmExecutor(poll_s=0.3, stop_timeout_s=180.0, start_timeout_s=180.0, cap_hook=hook, taken_s=taken_s)


def opened(actions):
    taken = datetime.now(UTC).isoformat()
    by = Process("", "here", os.getpid(), "tester")
    digests = ("1" * 64, "2" * 64, "3" * 64)
    return Opened(by, "loopback", "plan.json", *digests, taken, "slurm", "{}", "tester", "as a test", (), actions)


def apply(path, actions, executor):
    with new_journal(path, opened(actions), lambda: datetime.now(UTC), lambda _: None) as journal:
        return go_on(journal, executor)


def resume(path, executor, way):
    with old_journal(path, lambda: datetime.now(UTC), lambda _: None) as journal:
        journal.append(Resumed(Process("", "here", os.getpid(), "tester"), way))
        return go_on(journal, executor)


def told(slurm, *jobs):
    """Everything that a plan changes, as Slurm tells it; which nodes a job asks for only while it has none."""
    told = {}
    for line in slurm.run("squeue", "--noheader", "--format=%i|%T|%N|%D|%r|%n").stdout.splitlines():
        number, state, nodes, width, reason, asked = line.split("|")
        if number in jobs:
            told[number] = (state, nodes, width, reason == "JobHeldAdmin", asked if state == "PENDING" else "")
    return told


def record(slurm, job):
    """What ``squeue --json`` tells of a job, times in Unix seconds."""
    jobs = json.loads(slurm.run("squeue", "--json").stdout)["jobs"]
    return next(each for each in jobs if str(each["job_id"]) == job)


def watts(caps):
    return {file.name: file.read_text().strip() for file in caps.iterdir()}


def test_jobs_move_and_are_capped_and_undoing_brings_all_back(slurm, until, crowd, caps, tmp_path, monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    torn, small, waiting = crowd
    actions = plan_of(crowd)
    taken_s = int(time.time())
    executor = executor_of(taken_s, Path(shutil.which("set_cap")))
    before, begins = told(slurm, *crowd), record(slurm, waiting)["eligible_time"]
    assert [found.standing for found in executor.look((*actions[:4], actions[5]))] == ["before"] * 5

    applied = apply(tmp_path / "journal", actions, executor)
    assert (applied.outcome, applied.done, applied.skipped) == ("applied", 7, ()), applied
    after = told(slurm, *crowd)
    assert [after[job][:2] for job in (torn, small)] == [("RUNNING", "gb[1-2]"), ("RUNNING", "gb3")]
    assert after[waiting] == ("PENDING", "", "1", False, "gb4")
    limits = {f"gb{node}.{gpu}": "700" for node in (1, 2) for gpu in range(4)}
    assert watts(caps) == {**limits, **{f"gb3.{gpu}": "1200" for gpu in range(4)}}, "the cap moves with the job"
    assert "gpu_power_cap_w=650" in record(slurm, waiting)["admin_comment"]
    assert record(slurm, waiting)["eligible_time"] == taken_s + 7_200

    undone = resume(tmp_path / "journal", executor, "back")
    assert (undone.outcome, undone.left) == ("rolled-back", ())
    assert told(slurm, *crowd) == before
    assert set(watts(caps).values()) == {"1200"}
    assert record(slurm, waiting)["admin_comment"] == ""
    assert abs(record(slurm, waiting)["eligible_time"] - begins) <= 2

    slurm.run("scontrol", "update", f"JobId={waiting}", "StartTime=now")
    until(lambda: slurm.where()[waiting][0] == "RUNNING")


def test_a_placed_job_runs_on_its_node_once_its_hour_comes(slurm, until, crowd, tmp_path):
    *_, waiting = crowd
    place = Place(waiting, (), on(1, "gb4"), "free", 1.0)
    applied = apply(tmp_path / "journal", (place,), executor_of(0))
    assert applied.outcome == "applied", applied
    slurm.run("scontrol", "update", f"JobId={waiting}", "StartTime=now")
    until(lambda: slurm.where()[waiting] == ("RUNNING", "gb4"))
    assert executor_of(0).look([place])[0].standing == "after"
    undone = resume(tmp_path / "journal", executor_of(0), "back")
    assert undone.outcome == "rolled-back", undone
    assert record(slurm, waiting)["required_nodes"] == ""
    until(lambda: slurm.where()[waiting][0] == "RUNNING")  # wherever Slurm likes, maybe before anybody looked
    assert executor_of(0).look(inverse([place]))[0].standing == "after"


def test_a_failure_in_the_middle_brings_everything_back(slurm, crowd, caps, tmp_path):
    torn, _, waiting = crowd
    hook = Path(shutil.which("set_cap"))
    works = hook.with_name("works")
    hook.rename(works)
    hook.write_text(f'#!/bin/bash\n[ "$3" = 700 ] && echo no such GPU >&2 && exit 3\nexec {works} "$@"\n')
    hook.chmod(0o755)
    before = told(slurm, *crowd)
    applied = apply(tmp_path / "journal", plan_of(crowd), executor_of(int(time.time()), hook))
    assert applied.outcome == "rolled-back"
    assert f"set {torn} 700: exit code 3: no such GPU" in applied.why
    assert told(slurm, *crowd) == before
    assert "gpu_power_cap_w" not in record(slurm, torn)["admin_comment"]
    assert record(slurm, waiting)["admin_comment"] == ""
    assert set(watts(caps).values()) == {"1200"}


@pytest.mark.parametrize("way", ["on", "back"])
@pytest.mark.parametrize("verb", ["requeuehold", "release"])
def test_an_apply_that_is_killed_among_its_commands_ends_either_way(slurm, crowd, tmp_path, monkeypatch, verb, way):
    torn, small, waiting = crowd
    actions, executor = plan_of(crowd)[1:4], executor_of(int(time.time()))
    before = told(slurm, *crowd)
    real, deadly = shutil.which("scontrol"), tmp_path / "deadly"
    deadly.mkdir()
    (deadly / "scontrol").write_text(f'#!/bin/bash\n{real} "$@"\n[ "$1" = {verb} ] && kill -9 $PPID\ntrue\n')
    (deadly / "scontrol").chmod(0o755)
    path = tmp_path / "journal"
    child = os.fork()
    if child == 0:
        os.environ["PATH"] = f"{deadly}:{os.environ['PATH']}"
        apply(path, actions, executor)
        os._exit(1)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
    assert [entry.kind for entry in read_journal(path).entries] == ["open", "begin"]

    ended = resume(path, executor, way)
    assert ended.outcome == ("applied" if way == "on" else "rolled-back"), ended
    if way == "back":
        assert told(slurm, *crowd) == before
    else:
        after = told(slurm, *crowd)
        assert [after[job][1] for job in (torn, small)] == ["gb[1-2]", "gb3"]
        assert [record(slurm, job)["restart_cnt"] for job in (torn, small)] == [1, 1], "nobody stopped twice"
        assert after[waiting][4] == "gb4"


@pytest.mark.parametrize("then", ["", "scontrol requeue $SLURM_JOB_ID"], ids=["goes on", "requeues itself"])
def test_jobs_get_their_signal_and_time_for_a_checkpoint(slurm, until, tmp_path, then):
    saved, ready = tmp_path / "saved", tmp_path / "ready"
    script = f"trap 'echo step 7 >>{saved}; {then}' USR1; touch {ready}; while :; do sleep 1 & wait; done"
    options = ("--nodes=1", "--time=60", "--requeue", "--gres=gpu:gb200:1", "--nodelist=gb1", "--output=/dev/null")
    job = slurm.run("sbatch", "--parsable", *options, "--wrap", script).stdout.strip()
    until(ready.exists)
    executor = replace(executor_of(0), signal="USR1", signal_to="batch", grace_s=4.0)
    move = Migrate(job, on(1, "gb1"), on(1, "gb2"), 0, "r", 1.0)
    applied = apply(tmp_path / "journal", (move,), executor)
    assert applied.outcome == "applied", applied
    assert slurm.where()[job] == ("RUNNING", "gb2")
    assert saved.read_text() == "step 7\n"
    slurm.run("scancel", job)
    until(lambda: not slurm.where())


def test_a_job_that_dies_of_its_signal_is_told(slurm, until, tmp_path):
    job = slurm.submit("--nodes=1", "--time=60", "--requeue", "--gres=gpu:gb200:1", "--nodelist=gb1")
    until(lambda: slurm.where()[job][0] == "RUNNING")
    time.sleep(1)  # the script has to become what sleeps
    executor = replace(executor_of(0), signal="USR1", signal_to="batch", grace_s=4.0)
    applied = apply(tmp_path / "journal", (Migrate(job, on(1, "gb1"), on(1, "gb2"), 0, "r", 1.0),), executor)
    assert (applied.outcome, applied.why) == (
        "rolled-back",
        f"jobs were stopped, and ended when they were told to stop: {job} FAILED",
    )
