"""The doctor beside a real server with a password and all deployments: well where all is well, and each fault named."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.long, pytest.mark.system, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
PREFECT = Path(sys.executable).with_name("prefect")
PASSWORD = "correct-horse-battery"  # noqa: S105 - of a server that lives for a minute
LIMIT_S = 600.0


@pytest.fixture(scope="module")
def environment(prefect_api, prefect_environment):
    """Of a worker's machine."""
    return {
        **prefect_environment,
        "PREFECT_API_URL": f"http://127.0.0.1:{prefect_api.port}/api",
        "PREFECT_API_AUTH_STRING": f"admin:{PASSWORD}",
        "DO_NOT_TRACK": "1",
        "QUANTUMFLOW_ROOT": str(ROOT),
        "PREFECT_WORKER_QUERY_SECONDS": "1",
    }


@pytest.fixture(scope="module")
def server(prefect_api, environment, background, until, tmp_path_factory):
    """A server that wants a password and tokens against forgery, with every deployment; where its process is."""
    log = tmp_path_factory.mktemp("server") / "server.log"
    settings = {
        "PREFECT_SERVER_API_PORT": str(prefect_api.port),
        "PREFECT_SERVER_API_AUTH_STRING": f"admin:{PASSWORD}",
        "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    }
    with background([PREFECT, "server", "start"], log, {**environment, **settings}) as process:
        until(prefect_api.healthy, LIMIT_S, log)
        for words in (
            (sys.executable, "-m", "deployments.provision"),
            (PREFECT, "--no-prompt", "deploy", "--all"),
        ):
            done = subprocess.run(
                words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False
            )
            assert done.returncode == 0, done.stdout + done.stderr
        yield process


@pytest.fixture(scope="module")
def doctor(environment, tmp_path_factory):
    """Return a function that asks the doctor, and returns exit code, checks by name, and all that was printed."""
    runs = tmp_path_factory.mktemp("runs")

    def ask(**changed):
        done = subprocess.run(
            (sys.executable, "-m", "flows", "doctor", str(runs), "--json"),
            cwd=ROOT, env={**environment, **changed}, capture_output=True, text=True, timeout=LIMIT_S, check=False,
        )  # fmt: skip
        said = done.stdout + done.stderr
        assert "Traceback" not in said
        assert PASSWORD not in said
        return done.returncode, {check["name"]: check for check in json.loads(done.stdout)["checks"]}

    return ask


def test_a_server_as_the_pages_make_it_lacks_only_workers(server, doctor):
    code, found = doctor()
    broken = {name for name, check in found.items() if check["verdict"] == "fail"}
    assert (code, broken) == (1, {"workers"})
    for name in (
        "server",
        "server's clock",
        "database",
        "prefect",
        "login",
        "deployments",
        "apply limit",
        "automations",
    ):
        assert found[name]["verdict"] == "ok", found[name]
    assert found["schedules"]["verdict"] == "warn"


def test_with_a_worker_nothing_is_broken(server, doctor, environment, background, until, tmp_path):
    log = tmp_path / "worker.log"
    command = [PREFECT, "worker", "start", "--pool", "quantumflow", "--type", "process"]
    with background(command, log, environment):
        until(lambda: "started" in log.read_text(), LIMIT_S, log)
        until(lambda: doctor()[1]["workers"]["verdict"] == "ok", LIMIT_S, log)
        code, found = doctor()
    assert code == 0, {name: check for name, check in found.items() if check["verdict"] == "fail"}


def test_a_wrong_password_is_named(server, doctor):
    code, found = doctor(PREFECT_API_AUTH_STRING="admin:wrong-password")
    assert code == 1
    assert found["login"]["verdict"] == "fail"
    assert "PREFECT_API_AUTH_STRING" in found["login"]["advice"]
    assert "deployments" not in found


def test_a_server_that_went_away_is_named(server, doctor):
    server.terminate()
    server.wait(LIMIT_S)
    code, found = doctor()
    assert code == 1
    assert "does not answer" in found["server"]["found"]
    assert found["source"]["verdict"] == "ok", "the rest is still looked at"
