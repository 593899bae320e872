"""From a Slurm cluster that really runs to a plan, to the plan in force, and back: with the commands that a user types.

Nothing is handed from step to step but the files of the run: the live state is read, the plan made, applied, undone.
"""

import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from data.readers.plan import read_plan
from data.readers.slurm.cluster import read_slurm_live
from data.schemas.plan import Migrate, Place, Recap
from tests.system.slurm_jobs import RACKS, fragmented, write_hook

pytestmark = pytest.mark.system

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 600.0
CAP_W = 17_000.0
"""Below what sixteen GPUs at their highest draw and four nodes need."""


@pytest.fixture(scope="module")
def jobs(slurm, until):
    return fragmented(slurm, until)


@pytest.fixture(scope="module")
def caps(tmp_path_factory):
    """Where the GPUs of the nodes keep their limits, and the hook that sets them."""
    folder = tmp_path_factory.mktemp("caps")
    return folder / "watts", write_hook(folder / "programs", folder / "watts")


@pytest.fixture(scope="module")
def command(slurm, caps, prefect_environment, tmp_path_factory):
    """Return a function that runs a command of ours to its end, in a folder of its own; its code and what it prints."""
    folder, hook = tmp_path_factory.mktemp("here"), caps[1]
    environment = {
        **prefect_environment,
        "SLURM_CONF": os.environ["SLURM_CONF"],
        "PATH": f"{hook.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "QUANTUMFLOW_HOOKS": str(hook.parent),
        "QUANTUMFLOW_APPLIES": str(folder / "applies"),
    }

    def run(*words):
        line = [sys.executable, "-m", "flows", *map(str, words)]
        done = subprocess.run(
            line, cwd=folder, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False
        )
        return done.returncode, done.stdout + done.stderr

    run.folder = folder
    return run


@pytest.fixture(scope="module")
def made(jobs, command):
    """The folder of a run on the live cluster, under a power cap that binds."""
    words = ("--slurm", "--nouns", "placement,power", "--power-cap", CAP_W, "--effort", "quick")
    code, printed = command("run", *words, "--output", command.folder / "runs")
    assert code == 0, printed
    return command.folder / "runs" / "latest"


def applied(command, made, hook, *more):
    digest = hashlib.sha256((made / "plan.json").read_bytes()).hexdigest()
    options = json.dumps({"cap_hook": str(hook), "poll_s": 0.3})
    return command(
        "apply", made, "--with", "slurm", "--options", options, "--sha256", digest, "--yes", "--alone", *more
    )


def standing():
    """GPUs of each job on each node, as our reader tells; which ones of a node, Slurm decides."""
    return {job.id: on(job.placement) for job in read_slurm_live(timeout_s=20).snapshot.jobs}


def on(workers):
    return dict(sum((Counter({worker.node: len(worker.gpus)}) for worker in workers), Counter()))


def asked(slurm, job):
    return slurm.run("squeue", "--noheader", "--format=%n", f"--jobs={job}").stdout.strip()


def test_the_plan_makes_room_for_the_job_that_waits(jobs, made):
    torn, *_, waiting = jobs
    plan = read_plan(made / "plan.json")
    kinds = {(type(action), action.job) for action in plan.actions}
    assert {(Migrate, torn), (Place, waiting)} <= kinds
    assert (Recap, torn) in kinds


def test_a_plan_whose_jobs_another_has_changed_is_refused(slurm, jobs, made, command, caps):
    *_, waiting = jobs
    slurm.run("scontrol", "update", f"JobId={waiting}", "ReqNodeList=gb1")
    before = standing()
    code, printed = applied(command, made, caps[1])
    assert (code, "asks for gb1" in printed) == (1, True), printed
    assert standing() == before
    slurm.run("scontrol", "update", f"JobId={waiting}", "ReqNodeList=")


def test_jobs_move_the_waiting_one_gets_its_room_and_all_come_back(slurm, until, jobs, made, command, caps):
    """While the others move nothing but the plan's jobs may start: the waiting one would take the first free node."""
    torn, *_, waiting = jobs
    watts, hook = caps
    plan = read_plan(made / "plan.json")
    goals = {action.job: on(action.after) for action in plan.actions if isinstance(action, Migrate | Place)}
    limits = {action.job: action.after for action in plan.actions if isinstance(action, Recap)}
    before = standing()
    assert before[waiting] == {}

    code, printed = applied(command, made, hook)
    assert code == 0, printed
    until(lambda: slurm.where()[waiting][0] == "RUNNING")
    after = standing()
    assert {job: after[job] for job in goals} == goals
    assert len({RACKS[node] for node in after[torn]}) == 1
    found = {file.name.partition(".")[0]: file.read_text().strip() for file in watts.iterdir()}
    assert {found[node] for node in after[torn]} == {f"{limits[torn]:.10g}"}
    assert "quantumflow" not in slurm.run("scontrol", "show", "reservation").stdout

    code, printed = applied(command, made, hook)
    assert code == 0, printed
    assert standing() == after, "what is in force is left as it is"

    first = min((command.folder / "applies").glob("*.jsonl"), key=lambda file: file.stat().st_mtime)
    code, printed = command("apply", "--rollback", first, "--alone")
    assert code == 0, printed
    assert standing() == before
    assert asked(slurm, waiting) == ""
    assert {file.read_text().strip() for file in watts.iterdir()} == {"1200"}
    assert "quantumflow" not in slurm.run("scontrol", "show", "reservation").stdout
