"""What does the nightly script leave without a server: verdict, summary, outputs, a log that nobody can command?"""

import json
import re
import shlex
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import pytest
import yaml
from httpx import ConnectError, ReadTimeout
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL, temporary_settings

from data.readers.plan import write_plan
from data.readers.snapshot import write_snapshot
from deployments.job_log import JobLog
from deployments.nightly import DONE, FAILED, NO_RUN, main
from deployments.nightly import arguments as nightly_arguments
from deployments.provision import arguments as provision_arguments
from tasks.plan import assemble

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def on_actions(tmp_path, monkeypatch):
    """The environment of a job on GitHub Actions: the files that it writes."""
    summary, output = tmp_path / "summary.md", tmp_path / "output"
    for name, value in (("ACTIONS", "true"), ("STEP_SUMMARY", str(summary)), ("OUTPUT", str(output))):
        monkeypatch.setenv(f"GITHUB_{name}", value)
    return summary, output


@pytest.fixture
def run(cluster, tmp_path):
    """A folder with a plan that changes nothing, and the cluster that it is for."""
    folder = tmp_path / "run"
    folder.mkdir()
    plan = assemble(
        cluster, (), assumed_power=(), set_aside=(), notes=(), code_version="1", options="{}", seed=0
    )  # fmt: skip
    write_plan(plan, folder / "plan.json")
    write_snapshot(cluster, folder / "snapshot.json")
    return folder, plan


def test_a_plan_is_verified_and_told(run, on_actions, capsys):
    folder, plan = run
    assert main(["--run", str(folder)]) == 0
    assert plan.sha256 in on_actions[0].read_text()
    assert on_actions[1].read_text() == f"plan-sha256={plan.sha256}\nstate=Completed\n"
    assert capsys.readouterr().out == ""


def test_a_plan_that_was_altered_is_a_failure(run, on_actions, capsys):
    folder, _ = run
    file = folder / "plan.json"
    file.write_text(file.read_text().replace('"seed":0', '"seed":1').replace('"seed": 0', '"seed": 1'))
    assert main(["--run", str(folder)]) == 1
    assert "::error::" in capsys.readouterr().out


def test_a_folder_without_a_plan_is_a_failure(tmp_path, capsys):
    assert main(["--run", str(tmp_path)]) == 1
    assert "plan.json" in capsys.readouterr().err


def test_without_the_address_of_a_server_nothing_is_started(capsys):
    with temporary_settings({PREFECT_API_URL: None}):
        assert main(["--deployment", "optimize-cluster/nightly"]) == 2
    assert "PREFECT_API_URL: expected the address of a server" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [[], ["--deployment", "a/b", "--run", "runs"], ["--deployment", "a/b", "--params", "[1]"], ["--params", "{"]],
)
def test_wrong_usage_is_refused(arguments, capsys):
    with pytest.raises(SystemExit) as refused:
        main(arguments)
    assert refused.value.code == 2


def test_what_a_server_says_is_no_command_to_the_runner(capsys):
    log = JobLog({"GITHUB_ACTIONS": "true"})
    with log.group("a run"):
        log.say("::set-env name=PATH::/tmp\n::error::mine\x1b[2J")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "::group::a run"
    assert lines[1] == f"::stop-commands::{log.token}"
    assert lines[2:] == ["::set-env name=PATH::/tmp ::error::mine [2J", f"::{log.token}::", "::endgroup::"]


def test_an_output_of_several_lines_stays_one(tmp_path):
    output = tmp_path / "output"
    JobLog({"GITHUB_OUTPUT": str(output)}).outputs({"state": "Failed\nplan-sha256=0"})
    assert output.read_text() == "state=Failed plan-sha256=0\n"


def test_elsewhere_lines_are_plain(capsys):
    log = JobLog({})
    with log.group("a run"):
        log.say("Running")
    log.error("it failed")
    log.summary("# It failed")
    told = capsys.readouterr()
    assert told.out == "a run\nRunning\n# It failed\n"
    assert told.err == "it failed\n"


def test_the_workflow_holds_no_secret_and_may_write_nothing():
    text = (ROOT / ".github/workflows/nightly.yml").read_text()
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["concurrency"]["cancel-in-progress"] is False
    for name, job in workflow["jobs"].items():
        assert job["timeout-minutes"] > 0, name
    triggering = workflow["jobs"]["deployment"]
    for word in ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING"):
        assert f"secrets.{word}" in json.dumps(triggering)
        assert f"secrets.{word}" not in json.dumps({**workflow["jobs"], "deployment": None})


def test_commands_of_the_workflow_take_nothing_from_outside_into_a_shell():
    workflow = yaml.safe_load((ROOT / ".github/workflows/nightly.yml").read_text())
    for job in workflow["jobs"].values():
        for step in job["steps"]:
            given = step.get("run", "")
            assert "github.event" not in given
            assert "inputs." not in given
            assert "secrets." not in given


@pytest.mark.parametrize("page", ["NIGHTLY.md", "PROVISIONING.md"])
def test_the_commands_of_a_page_are_understood(page):
    parsers = {"deployments.nightly": nightly_arguments, "deployments.provision": provision_arguments}
    text = (ROOT / "deployments" / page).read_text()
    commands = [
        shlex.split(line, comments=True) for line in re.findall(r"^ {4}python -m (deployments\..*)$", text, re.M)
    ]
    assert commands
    for module, *arguments in commands:
        parsers[module](arguments)


def test_the_page_names_every_exit_code():
    text = (ROOT / "deployments" / "NIGHTLY.md").read_text()
    assert {int(code) for code in re.findall(r"^\| (\d) \|", text, re.M)} == {DONE, FAILED, NO_RUN}


class Watched:
    """A client of a server on which one run completed; its later answers are those that a test gives.

    Stands for the server alone: a real one that times out at a chosen question cannot be had in a quick test.
    """

    def __init__(self, fails):
        self.fails = dict(fails)
        done = State(type=StateType.COMPLETED, name="Completed")
        self.run = FlowRun(flow_id=uuid4(), deployment_id=uuid4(), name="a-key", state=done, state_type=done.type)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def _answer(self, question, value):
        left, error = self.fails.get(question, (0, None))
        self.fails[question] = (left - 1, error)
        if left > 0:
            raise error
        return value

    def read_deployment_by_name(self, name):
        return SimpleNamespace(id=self.run.deployment_id)

    def create_flow_run_from_deployment(self, *_, **__):
        return self.run

    def read_flow_run(self, run):
        return self._answer("run", self.run)

    def read_artifacts(self, artifact_filter):
        return self._answer("artifacts", [])

    def request(self, *_, **__):
        events = [{"payload": {"sha256": "ab" * 32}}]
        return self._answer("events", SimpleNamespace(json=lambda: {"events": events}))


@pytest.mark.parametrize(
    ("fails", "code", "said"),
    [
        ({}, DONE, "plan-sha256=abab"),
        ({"artifacts": (2, ReadTimeout("late"))}, DONE, "plan-sha256=abab"),
        ({"events": (1, ReadTimeout("late"))}, DONE, "plan-sha256=abab"),
        ({"artifacts": (10**9, ReadTimeout("late"))}, DONE, "summary is not known"),
        ({"events": (10**9, ConnectError("gone"))}, DONE, "digest is not known"),
        ({"run": (1, ObjectNotFound(http_exc=Exception("404")))}, NO_RUN, "somebody deleted it"),
    ],
)
def test_how_a_run_ended_is_told_whatever_the_server_does_afterwards(
    fails, code, said, monkeypatch, on_actions, capsys
):
    monkeypatch.setattr("deployments.nightly.get_client", lambda **_: Watched(fails))
    monkeypatch.setattr("deployments.nightly.PATIENCE_S", 0.3)
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        assert main(["--deployment", "optimize-cluster/nightly", "--poll", "0.01"]) == code
    written = on_actions[1].read_text() if on_actions[1].exists() else ""
    assert said in capsys.readouterr().out + written
