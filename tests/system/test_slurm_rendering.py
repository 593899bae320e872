"""Facts about plans carried out on a Slurm cluster that really runs: jobs move, and move back.

The plan is made by the command that a user types, and carried out by the script that it leaves.
"""

import subprocess
import sys
from collections import Counter

import pytest

from data.readers.plan import read_plan
from data.readers.slurm.cluster import read_slurm_live
from data.schemas.plan import Migrate, Place
from tests.system.slurm_jobs import RACKS, interleaved

pytestmark = pytest.mark.system

LIMIT_S = 600.0


@pytest.fixture(scope="module")
def gangs(slurm, until):
    return interleaved(slurm, until)


@pytest.fixture(scope="module")
def made(gangs, prefect_environment, tmp_path_factory):
    """The folder of a run on the live cluster."""
    runs = tmp_path_factory.mktemp("runs")
    for command in (
        ("run", "--slurm", "--nouns", "placement", "--effort", "quick", "--output", runs),
        ("plan", "verify", runs / "latest"),
    ):
        ended([sys.executable, "-m", "flows", *command], prefect_environment)
    return runs / "latest"


def ended(command, environment=None):
    """Return what a command prints; it must end well."""
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def script(folder, *arguments):
    return ended(["bash", folder / "plan.slurm.sh", *arguments])


def told(slurm):
    """All that a plan could change of a job: state, nodes, start, and the nodes that it asks for."""
    return set(slurm.run("squeue", "--noheader", "--format=%i|%T|%N|%S|%n").stdout.splitlines())


def held(slurm):
    """GPUs that each job holds on each node, as the reader tells; which ones of a node, Slurm decides."""
    return {job.id: gpus_on(job.placement) for job in read_slurm_live(timeout_s=20).snapshot.jobs}


def gpus_on(workers):
    return dict(sum((Counter({worker.node: len(worker.gpus)}) for worker in workers), Counter()))


def test_without_run_the_script_prints_every_step_and_changes_nothing(slurm, gangs, made):
    before = told(slurm)
    for way in ((), ("--undo",)):
        printed = script(made, *way)
        assert all(f"scontrol requeuehold {gang}" in printed for gang in gangs[:2])
        assert told(slurm) == before


def test_run_moves_the_jobs_where_the_plan_says_and_undo_brings_them_back(slurm, gangs, made):
    first, second, waiting = gangs
    actions = {action.job: action for action in read_plan(made / "plan.json").actions}
    assert {job: type(action) for job, action in actions.items()} == {first: Migrate, second: Migrate, waiting: Place}
    assert actions[first].batch == actions[second].batch, "neither has room before the other has left"
    before = held(slurm)
    assert before == {job: gpus_on(action.before) for job, action in actions.items()}
    assert all({RACKS[node] for node in before[gang]} == {"rack1", "rack2"} for gang in (first, second))

    script(made, "--run")
    after = held(slurm)
    for gang in (first, second):
        assert after[gang] == gpus_on(actions[gang].after)
        assert len({RACKS[node] for node in after[gang]}) == 1
    assert slurm.where()[waiting][0] == "PENDING", "it still waits for its licence"
    assert asks_for(slurm, waiting) == actions[waiting].after[0].node

    script(made, "--undo", "--run")
    assert held(slurm) == before
    assert asks_for(slurm, waiting) == ""
    assert slurm.where()[waiting][0] == "PENDING"


def asks_for(slurm, job):
    return slurm.run("squeue", "--noheader", "--format=%n", f"--jobs={job}").stdout.strip()
