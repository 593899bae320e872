"""Facts about power caps of running Slurm jobs: a hook sets them, and they go with a job; commands are a stand-in's."""

from dataclasses import replace

import pytest

from data.errors import ApplyFailed, SourceUnavailable
from data.readers.slurm.plan_marks import CAP
from data.schemas.plan import Migrate, Place, Recap
from data.transition import inverse
from tests.tasks.apply.slurm_cluster import QUICK
from tests.tasks.apply.slurm_records import on, record


@pytest.fixture
def capping(slurm, monkeypatch):
    """An executor whose hook keeps the cap of each job in a file, and the file of job 1; ``fault`` is run before."""
    hook = slurm.folder / "hooks" / "cap"
    hook.parent.mkdir(mode=0o755)
    hook.write_text(
        f'#!/bin/bash\ncd {slurm.folder}\n[ "$1" = look ] && {{ cat cap.$2 2>/dev/null || echo max; exit; }}\n'
        '[ -e fault ] && . ./fault\necho "$2 $3" >>caps; echo "$3" >cap.$2\n'
    )
    hook.chmod(0o755)
    monkeypatch.setenv("QUANTUMFLOW_HOOKS", str(hook.parent))
    return replace(QUICK, cap_hook=hook), slurm.folder / "cap.1"


def test_a_hook_caps_what_runs_and_what_waits_is_noted(slurm, capping):
    executor, file = capping
    slurm.has(record(1, "a"), record(2))
    recaps = [Recap("1", None, 300.0, "r", 1.0), Recap("2", None, 250.0, "r", 1.0)]
    executor.carry_out(recaps)
    assert file.with_name("caps").read_text() == "1 300\n"
    assert [slurm.job(number)["admin_comment"] for number in (1, 2)] == [f"{CAP}=300", f"{CAP}=250"]
    assert [found.standing for found in executor.look(recaps)] == ["after", "after"]
    executor.carry_out(inverse(recaps))
    assert (file.read_text(), slurm.job(1)["admin_comment"]) == ("max\n", "")


def test_a_job_that_starts_before_its_cap_is_noted_is_capped(slurm, capping):
    executor, _ = capping
    slurm.has(record(1, starts=True))
    recap = Recap("1", None, 300.0, "r", 1.0)
    executor.carry_out([recap])
    assert slurm.job(1)["job_state"] == "RUNNING"
    assert executor.look([recap])[0].standing == "after"


def test_a_cap_leaves_with_its_job(slurm, capping):
    executor, file = capping
    slurm.has(record(1, "a", admin_comment=f"{CAP}=300"))
    executor.carry_out([Migrate("1", on("a"), on("b"), 0, "r", 1.0)])
    assert file.with_name("caps").read_text().splitlines() == ["1 max", "1 300"]


def test_a_moved_job_is_not_there_before_its_cap_is(slurm, capping):
    executor, file = capping
    slurm.has(record(1, "a", admin_comment=f"{CAP}=300"))
    file.with_name("fault").write_text('[ "$3" = 300 ] && rm fault && exit 75')
    move = Migrate("1", on("a"), on("b"), 0, "r", 1.0)
    with pytest.raises(SourceUnavailable):
        executor.carry_out([move])
    found = executor.look([move])[0]
    assert (found.standing, found.detail) == (
        "other",
        "RUNNING, on b:1, asks for b, no power cap, while power cap 300 W is noted",
    )
    executor.carry_out([move])
    assert executor.look([move])[0].standing == "after"
    assert [line.split()[0] for line in slurm.changes()].count("requeuehold") == 1
    assert file.read_text() == "300\n"


def test_jobs_of_a_batch_that_failed_keep_their_caps_where_they_run(slurm, capping):
    executor, file = capping
    moves = [Migrate("1", on("a"), on("c"), 0, "r", 1.0), Migrate("2", on("b"), on("a"), 0, "r", 1.0)]
    for one, two, lifted in (
        ({"refuses": "requeuehold"}, {}, ["1 max"]),
        ({}, {"refuses": "requeuehold"}, ["1 max", "2 max"]),
        ({}, {"elsewhere": True}, ["1 max", "2 max"]),
    ):
        slurm.has(record(1, "a", admin_comment=f"{CAP}=300", **one), record(2, "b", admin_comment=f"{CAP}=300", **two))
        for job in (1, 2):
            file.with_name(f"cap.{job}").write_text("300\n")
        with pytest.raises(ApplyFailed):
            executor.carry_out(moves)
        set_caps = file.with_name("caps").read_text().splitlines()
        file.with_name("caps").unlink()
        running = [f"{job} 300" for job in (1, 2) if f"{job} max" in lifted and slurm.job(job)["nodes"]]
        assert set_caps == [*lifted, *running]


def test_a_job_whose_place_is_undone_leaves_no_cap_on_its_gpus(slurm, capping):
    executor, file = capping
    slurm.has(record(1, "a", admin_comment=f"{CAP}=300", required_nodes="a"))
    file.write_text("300\n")
    executor.carry_out(inverse([Place("1", (), on("a"), "r", 1.0)]))
    assert file.with_name("caps").read_text().splitlines()[0] == "1 max"


@pytest.mark.parametrize("noted", ["$(id)", "mixed", "-1"])
def test_a_note_that_is_no_cap_goes_to_no_hook_and_stops_nobody(slurm, capping, noted):
    executor, file = capping
    move = Migrate("1", on("a"), on("b"), 0, "r", 1.0)
    slurm.has(record(1, "a", admin_comment=f"{CAP}={noted}"))
    assert executor.look([move])[0].standing == "other"
    with pytest.raises(ApplyFailed, match="power cap"):
        executor.carry_out([move])
    assert (slurm.changes(), file.with_name("caps").exists()) == ([], False)


@pytest.mark.parametrize(
    ("said", "told"), [("mixed", "caps that differ"), ("hot", "found 'hot'"), ("299.8", "299.8 W")]
)
def test_what_a_cap_hook_says_is_judged(slurm, capping, said, told):
    executor, file = capping
    slurm.has(record(1, "a", admin_comment=f"{CAP}=300"))
    file.write_text(said)
    found = executor.look([Recap("1", None, 300.0, "r", 1.0)])[0]
    assert found.standing == ("after" if said == "299.8" else "other")
    assert told in found.detail
