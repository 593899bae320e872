"""Plans are rendered as scripts: can a job's name run anything but the commands that the script is made of?

The scripts run under bash with nothing on their path but stand-ins, which note how they were called, and the few
tools of the system that the scripts use. Any other command that ran would have left a file or a line.
"""

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from data.schemas.job import Worker
from data.schemas.plan import Migrate, Place, Plan, Recap, Start
from tasks.report.kubernetes import as_kubernetes
from tasks.report.power_caps import NodeCap, as_dcgm, as_nvidia_smi
from tasks.report.script import quoted
from tasks.report.shell import as_shell
from tasks.report.slurm import as_slurm
from tests.security.hostile import ALL, WORDS, hostile_plan

SYSTEM = ("date", "dirname", "sed", "sha256sum", "sort", "head", "sleep")
STAND_INS = ("scontrol", "srun", "squeue", "nvidia-smi", "dcgmi", "hostname", "touch", "alert", "file", "python", "id")
NOTE = """#!/bin/bash
printf '%s' "${0##*/}" >> "$CALLS"; printf '\\037%s' "$@" >> "$CALLS"; printf '\\036' >> "$CALLS"
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with the stand-ins in ``bin`` and an empty ``work``."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "work").mkdir()
    for name in STAND_INS:
        (tmp_path / "bin" / name).write_text(NOTE)
        (tmp_path / "bin" / name).chmod(0o755)
    for name in SYSTEM:
        (tmp_path / "bin" / name).symlink_to(shutil.which(name) or "/missing")
    return tmp_path


def ran(place: Path, script: str, *arguments: str) -> list[list[str]]:
    """Run a script and return the calls of the stand-ins; nothing may be left in its folder."""
    (place / "calls").write_text("")
    (place / "script.sh").write_text(script)
    environment = {"PATH": str(place / "bin"), "CALLS": str(place / "calls"), "TZ": "UTC", "SLURMD_NODENAME": "east-0"}
    before = sorted(place.iterdir())
    done = subprocess.run(
        ["/bin/bash", str(place / "script.sh"), *arguments],
        cwd=place / "work", env=environment, capture_output=True, text=True, errors="replace", timeout=60, check=False,
    )  # fmt: skip
    assert not list((place / "work").iterdir()), "something was written"
    assert sorted(place.iterdir()) == before
    assert "syntax error" not in done.stderr
    calls = (place / "calls").read_text(errors="replace").split("\x1e")[:-1]
    return [call.split("\x1f") for call in calls]


def without_archives(plan: Plan) -> Plan:
    """Return the plan without the archive, whose check would end the script."""
    return replace(plan, actions=plan.actions[:-1], inverse=plan.inverse[1:])


CAPS = [
    NodeCap("east-0", (0, 1), 650.0, ("red",)),
    *(NodeCap(f"{start}{words}", (2,), 700.0, (words,)) for words in WORDS for start in ("", "east-0")),
]
SCRIPTS = {
    "shell": (lambda words: as_shell(without_archives(hostile_plan(words))), set()),
    "slurm": (lambda words: as_slurm(without_archives(hostile_plan(words))), {"scontrol", "squeue", "srun"}),
    "nvidia-smi": (lambda _: as_nvidia_smi(hostile_plan(), CAPS), {"nvidia-smi"}),
    "dcgm": (lambda _: as_dcgm(hostile_plan(), CAPS), {"dcgmi"}),
}


@pytest.mark.parametrize("arguments", [[], ["--run"], ["--undo", "--run"]], ids=["print", "run", "undo"])
@pytest.mark.parametrize("name", SCRIPTS)
def test_nothing_runs_but_the_commands_of_the_script(name, arguments, place):
    render, allowed = SCRIPTS[name]
    assert {call[0] for call in ran(place, render(ALL), *arguments)} <= allowed


@pytest.mark.parametrize("words", WORDS)
def test_no_single_word_breaks_out_of_the_slurm_script(words, place):
    plan = without_archives(hostile_plan(words))
    assert {call[0] for call in ran(place, as_slurm(plan), "--run")} <= {"scontrol", "squeue", "srun"}


def test_the_stand_ins_would_notice_a_name_that_broke_out(place):
    """The proof that the tests above could fail: the same script without its quotes."""
    script = as_shell(without_archives(hostile_plan("$(touch owned)")))
    assert "'red $(touch owned)'" in script
    assert ["touch", "owned"] in ran(place, script.replace("'", '"'))


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_can_be_read_on_a_terminal(name):
    """Whoever reviews a plan reads the script: nothing in it may move the cursor over what it says."""
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", SCRIPTS[name][0](ALL))


@pytest.mark.parametrize("words", [*WORDS, ALL, "\x1b1\x7f", "\u202e9", "\ud800"])
def test_bash_reads_back_the_word_that_was_quoted(words):
    printed = subprocess.run(["/bin/bash", "-c", f"printf %s {quoted(words)}"], capture_output=True, check=True).stdout
    assert printed == words.replace("\0", "\ufffd").encode(errors="replace")


SOUND = (Worker("gb1", (0,)),)
ODD_JOBS = ("name=payroll", "JobName=x", "-1", "--help", "12/../13", "1@2", "a:b", "[1-9]", "ALL=", "\u0661\u0662")
ODD_NODES = ("gb[1-9]", "/etc/hosts", "-w", "a=b", "gb1:gb2", "a@b", "\u00e9")


@pytest.mark.parametrize("job", ODD_JOBS)
def test_slurm_is_told_of_no_job_that_it_could_take_for_many_or_for_an_option(job, place):
    actions = (
        Migrate(job, SOUND, (Worker("gb2", (0,)),), 0, "r", 1.0),
        Place(job, (), SOUND, "r", 1.0),
        Recap(job, None, 500.0, "r", 1.0),
        Start(job, None, 60.0, "r", 1.0),
    )
    script = as_slurm(replace(hostile_plan("x"), actions=actions, inverse=()))
    assert ran(place, script, "--run") == []
    assert script.count("# left out") == len(actions)


@pytest.mark.parametrize("node", ODD_NODES)
def test_slurm_is_told_of_no_node_that_it_could_take_for_many(node, place):
    other = (Worker(node, (0,)),)
    actions = (Migrate("12", SOUND, other, 0, "r", 1.0), Place("13", (), other, "r", 1.0))
    script = as_slurm(replace(hostile_plan("x"), actions=actions, inverse=()))
    assert ran(place, script, "--run") == []
    assert ran(place, as_dcgm(hostile_plan("x"), [NodeCap(node, (0,), 500.0, ())]), "--run") == []


@pytest.mark.parametrize("job", ["1234", "1234_5", "1234_[1-9%4]", "1234+1", "red-2.b"])
def test_slurm_is_told_of_jobs_as_it_names_them(job, place):
    script = as_slurm(replace(hostile_plan("x"), actions=(Start(job, None, 60.0, "r", 1.0),), inverse=()))
    assert ["scontrol", "update", f"JobId={job}"] in [call[:3] for call in ran(place, script, "--run")]


@pytest.mark.parametrize("words", [*WORDS, ALL])
def test_kubernetes_objects_hold_words_and_no_objects_of_theirs(words):
    plan = hostile_plan(words)
    documents = list(yaml.safe_load_all(as_kubernetes(plan)))
    assert {(each["apiVersion"], each["kind"]) for each in documents} == {("batch/v1", "Job"), ("v1", "ConfigMap")}
    for each in documents:
        assert set(each) <= {"apiVersion", "kind", "metadata", "spec", "data"}
        assert set(each["metadata"]) <= {"name", "namespace", "labels", "annotations"}
        assert set(each.get("spec", {})) <= {"suspend", "template"}
    names = [each["metadata"]["name"] for each in documents if each["kind"] == "ConfigMap"]
    assert all(name.replace("-", "a").isalnum() and name.isascii() and name.islower() for name in names)
