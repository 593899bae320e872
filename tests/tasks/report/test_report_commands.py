"""Facts about a plan as commands: sound shell and YAML, the order to keep, nothing run unasked, nothing injected."""

import json
import re
import subprocess
from dataclasses import replace

import pytest
import yaml

from data.errors import BadRecord
from data.schemas.job import Worker
from data.schemas.plan import Migrate, MoveReplicas, Place, Recap, ReplicaLoad, Start
from tasks.report.kubernetes import as_kubernetes
from tasks.report.kubernetes_objects import STEP
from tasks.report.shell import as_shell
from tasks.report.slurm import as_slurm

SCRIPTS = [as_shell, as_slurm]


def bash(path, *arguments, cwd):
    """Run a script with nothing but coreutils within reach."""
    return subprocess.run(
        ["/bin/bash", str(path), *arguments],
        capture_output=True, text=True, timeout=30, check=False, cwd=cwd, env={"PATH": "/usr/bin:/bin", "TZ": "UTC"},
    )  # fmt: skip


def written(tmp_path, text: str):
    (tmp_path / "plan.sh").write_text(text)
    return tmp_path / "plan.sh"


def calls(text: str, way: str) -> list[str]:
    """Return the commands of one way of a script, without comments."""
    body = re.search(rf"^{way}\(\) {{\n(.*?)^}}$", text, re.DOTALL | re.MULTILINE).group(1)
    lines = [line.strip().removeprefix("step ") for line in body.splitlines()]
    return [line for line in lines if line and not line.startswith("#") and line != ":"]


@pytest.mark.parametrize("render", SCRIPTS)
@pytest.mark.parametrize("which", ["case", "hostile"])
def test_scripts_are_sound_bash(render, which, request, tmp_path):
    path = written(tmp_path, render(request.getfixturevalue(which).plan))
    checked = bash("-n", str(path), cwd=tmp_path)
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize("render", SCRIPTS)
@pytest.mark.parametrize("which", ["case", "hostile"])
@pytest.mark.parametrize("way", [[], ["--undo"]])
def test_without_run_a_script_only_prints(render, which, way, request, tmp_path):
    plan = request.getfixturevalue(which).plan
    path = written(tmp_path, render(plan))
    done = bash(path, *way, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"^\+ ", done.stdout, re.MULTILINE)
    assert [each.name for each in tmp_path.iterdir()] == ["plan.sh"], "nothing was touched"


def test_a_script_of_calls_prints_even_when_it_runs_until_it_is_filled_in(case, tmp_path):
    done = bash(written(tmp_path, as_shell(replace(case.plan, actions=case.plan.actions[:-1]))), "--run", cwd=tmp_path)
    assert done.returncode == 0
    assert "start red from its last checkpoint on east-0:0,1,2,3 east-1:0,1,2,3" in done.stdout
    assert "let later start at Sat Jan 31 13:00:00 UTC 2026" in done.stdout


def test_a_script_checks_archives_and_stops_where_one_is_wrong(case, tmp_path):
    path = written(tmp_path, as_shell(replace(case.plan, actions=case.plan.actions[-1:])))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "red-step-9.qfz").write_bytes(b"damaged")
    done = bash(path, "--run", cwd="/")
    assert done.returncode != 0
    assert "FAILED" in done.stdout


@pytest.mark.parametrize("render", SCRIPTS)
def test_unknown_arguments_are_refused(render, case, tmp_path):
    done = bash(written(tmp_path, render(case.plan)), "--force", cwd=tmp_path)
    assert done.returncode == 2
    assert "usage" in done.stderr


@pytest.mark.parametrize("render", [*SCRIPTS, as_kubernetes])
def test_the_head_names_plan_and_state_and_asks_for_review(render, case):
    head = "\n".join(line for line in render(case.plan).splitlines() if line.startswith("#"))
    assert "REVIEW BEFORE" in head
    assert case.plan.sha256 in head
    assert case.plan.snapshot_sha256 in head
    assert "plan verify" in head


def test_all_of_a_batch_stop_before_any_starts_and_batches_follow_one_another(cluster, make_plan):
    def move(job: str, batch: int) -> Migrate:
        return Migrate(job, (Worker("a", (0,)),), (Worker("b", (0,)),), batch, "closer", 1.0)

    plan = make_plan(cluster, (move("1", 0), move("2", 0), move("3", 1)))
    assert [line.split()[:2] for line in calls(as_shell(plan), "apply")] == [
        ["stop_job", "1"], ["stop_job", "2"], ["start_job", "1"], ["start_job", "2"],
        ["stop_job", "3"], ["start_job", "3"],
    ]  # fmt: skip
    assert calls(as_slurm(plan), "undo") == [
        "scontrol requeuehold 3",
        "wait_stopped 3",
        "scontrol update JobId=3 ReqNodeList=a NumNodes=1 StartTime=now",
        "scontrol release 3",
        "wait_started 3",
        "scontrol requeuehold 2",
        "scontrol requeuehold 1",
        "wait_stopped 2,1",
        "scontrol update JobId=2 ReqNodeList=a NumNodes=1 StartTime=now",
        "scontrol update JobId=1 ReqNodeList=a NumNodes=1 StartTime=now",
        "scontrol release 2",
        "scontrol release 1",
        "wait_started 2,1",
    ]


def test_slurm_commands_carry_out_each_kind_of_action(case):
    assert calls(as_slurm(case.plan), "apply")[8:] == [
        "pending waiting ReqNodeList=east-3 NumNodes=1",
        "set_cap blue 650",
        'pending later StartTime="$(at 1769864400)"',
        "set_experts chat 0 1=2 2=1",
        f"check_archive {'a' * 64} checkpoints/red-step-9.qfz",
    ]
    assert calls(as_slurm(case.plan), "undo")[:4] == [
        "set_experts chat 0 1=1 2=2",
        'pending later StartTime="$(at 1769861400)"',
        "set_cap blue max",
        "take_back waiting",
    ]


def test_experts_are_loaded_in_the_steps_of_the_plan_and_then_their_tokens_split(cluster, make_plan):
    order = (ReplicaLoad(0, 3, 1), ReplicaLoad(1, 0, 2, staged=True), ReplicaLoad(1, 1, 3))
    slots, before, after = (0, 1, 3), (1, 2, 3), (2, 3, 1)
    move = MoveReplicas("chat", 0, slots, before, after, "why", 1.0, order, (), (0.25, 1.0, 0.75))
    plan = replace(make_plan(cluster, ()), actions=(move,), inverse=())
    expected = ["set_experts chat 0 3=1", "set_experts chat 0 0=2/spare 1=3", "split_tokens chat 0 0=0.25 1=1 3=0.75"]
    for render in SCRIPTS:
        assert calls(render(plan), "apply") == expected
    data = next(document for document in yaml.safe_load_all(as_kubernetes(plan)) if document)["data"]
    assert [len(step) for step in json.loads(data["layer-0.steps.json"])] == [1, 2]
    assert json.loads(data["layer-0.shares.json"]) == {"0": 0.25, "1": 1.0, "3": 0.75}
    evenly = replace(move, order=(), before=(2, 3, 1), before_shares=move.after_shares, after_shares=())
    assert calls(as_shell(replace(plan, actions=(evenly,))), "apply") == ["split_tokens chat 0 evenly"]


def test_a_job_kept_out_of_the_horizon_is_held_and_released_again(cluster, make_plan):
    plan = make_plan(cluster, (Start("9", 600.0, None, "no room", 1.0), Start("8", None, 300.0, "room", 1.0)))
    text = as_slurm(plan)
    assert calls(text, "apply") == ["scontrol hold 9", 'pending 8 StartTime="$(at 1769861100)"']
    assert calls(text, "undo") == [
        "pending 8 StartTime=now", "scontrol release 9", 'pending 9 StartTime="$(at 1769861400)"'
    ]  # fmt: skip


def test_an_id_that_looks_like_an_option_is_left_out_of_slurm_commands(cluster, make_plan):
    plan = make_plan(cluster, (Recap("--help", None, 500.0, "r", 1.0), Recap("7", None, 500.5, "r", 1.0)))
    assert calls(as_slurm(plan), "apply") == ["set_cap 7 500.5"]
    assert "left out, to Slurm not one job on one node each: --help" in as_slurm(plan)


def test_kubernetes_objects_come_in_steps_and_hold_only_what_the_plan_decides(case):
    documents = list(yaml.safe_load_all(as_kubernetes(case.plan)))
    steps = [document["metadata"]["labels"][STEP] for document in documents]
    assert list(dict.fromkeys(steps)) == [
        "apply-001-stop", "apply-001-place", "apply-001-start", "apply-002-place",
        "apply-power-caps", "apply-start-times", "apply-archives", "apply-experts",
        "undo-001-stop", "undo-001-release", "undo-002-stop", "undo-002-place", "undo-002-start",
        "undo-power-caps", "undo-start-times", "undo-experts",
    ]  # fmt: skip
    stop, start = documents[0], documents[4]
    assert stop["spec"] == {"suspend": True}
    assert start["metadata"]["name"] == "red"
    terms = start["spec"]["template"]["spec"]["affinity"]["nodeAffinity"]
    names = terms["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert [term["matchFields"][0]["values"] for term in names] == [["east-0"], ["east-1"]]
    maps = {document["metadata"]["labels"][STEP]: document["data"] for document in documents if "data" in document}
    assert maps["apply-power-caps"] == {"blue": "650"}
    assert maps["undo-power-caps"] == {"blue": "max"}
    assert maps["apply-start-times"] == {"later": "2026-01-31T13:00:00Z"}
    assert json.loads(maps["apply-experts"]["layer-0.json"]) == {"1": 2, "2": 1}


def test_kubernetes_names_tell_namespaces_and_stay_valid(cluster, make_plan):
    actions = (
        Place("team-a/train", (), (Worker("node-1", (0,)),), "room", 1.0),
        Recap("team-a/train", None, 500.0, "r", 1.0),
        Recap("team.a/train", None, 400.0, "r", 1.0),
    )
    documents = list(yaml.safe_load_all(as_kubernetes(make_plan(cluster, actions))))
    assert (documents[0]["metadata"]["namespace"], documents[0]["metadata"]["name"]) == ("team-a", "train")
    caps = next(document["data"] for document in documents if "data" in document)
    assert len(caps) == 2
    assert all(re.fullmatch(r"[-._a-zA-Z0-9]+", key) for key in caps)


def test_a_job_that_starts_later_stays_suspended(cluster, make_plan):
    place = Place("a", (), (Worker("n", (0,)),), "room", 1.0)
    for after, suspended in ((0.0, False), (600.0, True), (None, True)):
        plan = make_plan(cluster, (place, Start("a", None, after, "s", 1.0)))
        job = next(yaml.safe_load_all(as_kubernetes(plan)))
        assert job["spec"]["suspend"] is suspended


def test_hostile_names_stay_inside_their_scalar(hostile, hostile_text):
    documents = list(yaml.safe_load_all(as_kubernetes(hostile.plan)))
    assert {document["kind"] for document in documents} == {"Job", "ConfigMap"}
    assert documents[0]["metadata"]["name"].endswith(hostile_text.rpartition("/")[2])


@pytest.mark.parametrize("moment", ["yesterday", "2026-01-31T12:00:00"])
@pytest.mark.parametrize("render", [*SCRIPTS, as_kubernetes])
def test_a_plan_that_does_not_tell_its_time_is_refused(render, case, moment):
    with pytest.raises(BadRecord, match="snapshot_taken_at"):
        render(replace(case.plan, snapshot_taken_at=moment))
