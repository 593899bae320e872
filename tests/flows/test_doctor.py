"""What the doctor finds: on a real server, without one, and where something is broken; never a traceback."""

import fcntl
import json
import os
import re
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from types import SimpleNamespace
from typing import Protocol, cast
from uuid import uuid4

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_SSL_CERT_FILE,
    PREFECT_API_TLS_INSECURE_SKIP_VERIFY,
    PREFECT_API_URL,
    temporary_settings,
)
from typer.testing import CliRunner

from data.readers.sources import Sample, Slurm, SlurmFiles, SnapshotFile
from flows.commands import app
from flows.doctor import deployed, machine, runs, server, sources
from flows.doctor.api import Api, api_of_settings, log_in
from flows.doctor.check import Check, asked
from flows.leftovers import JUST_BEGUN_S, OLD_S, TRIED_AGAIN_S, leftovers, remove
from flows.run_folder import RUNNING, run_folder
from tests.asks_again import AsksAgain

ROOT = Path(__file__).resolve().parents[2]
LEFT = ".20261120T000000Z-abcdef.partial"


def verdicts(checks: Iterator[Check] | list[Check]) -> dict[str, str]:
    return {check.name: check.verdict for check in checks}


# a real server


@pytest.fixture
def api() -> Iterator[Api]:
    with api_of_settings() as found, httpx.Client(transport=AsksAgain(), timeout=30.0) as client:
        assert found is not None
        again = replace(found, client=client)
        log_in(again)
        yield again


@pytest.fixture
def deployment(api: Api) -> Iterator[dict[str, object]]:
    """An entry as prefect.yaml has them, and the same deployment on the server; both are gone afterwards."""
    entry: dict[str, object] = {
        "name": "doctors-own", "description": "a trial", "entrypoint": "flows.cluster.optimize_cluster",
        "tags": ["quantumflow", "trial"], "parameters": {"params": {"source": {"kind": "sample", "name": "small"}}},
        "enforce_parameter_schema": True, "concurrency_limit": {"limit": 1, "collision_strategy": "CANCEL_NEW"},
        "schedules": [{"slug": "often", "interval": 900, "timezone": "UTC", "active": False}],
    }  # fmt: skip
    flow = api.client.post(f"{api.url}/flows/", json={"name": "doctor-trial"}).json()["id"]
    made = {name: entry[name] for name in ("name", "description", "entrypoint", "tags", "parameters")}
    api.client.post(f"{api.url}/work_pools/", json={"name": "doctors-pool", "type": "process"})
    schedule = {"schedule": {"interval": 900.0, "timezone": "UTC"}, "active": False, "slug": "often"}
    answer = api.client.post(
        f"{api.url}/deployments/",
        json=made
        | {"flow_id": flow, "enforce_parameter_schema": True, "concurrency_limit": 1, "schedules": [schedule]}
        | {"work_pool_name": "doctors-pool", "parameter_openapi_schema": {}},
    )
    assert answer.is_success, answer.text
    yield entry
    api.client.delete(f"{api.url}/deployments/{answer.json()['id']}")
    api.client.delete(f"{api.url}/work_pools/doctors-pool")


@pytest.mark.slow
def test_a_server_is_reached_and_its_clock_and_version_agree(api: Api) -> None:
    names = ("server", "server's clock", "database", "prefect", "login")
    assert verdicts(server.reached(api)) == dict.fromkeys(names, "ok")


def test_a_deployment_as_in_the_file_is_well_and_each_change_is_named(api: Api, deployment: dict[str, object]) -> None:
    there = deployed.deployments(api)
    assert [each["name"] for each in there] == ["doctors-own"]
    assert verdicts(deployed.same_as_file(there, [deployment])) == {"deployments": "ok"}
    changes: dict[str, object] = {
        "entrypoint": "flows.power.optimize_power", "parameters": {"params": {}}, "tags": ["quantumflow"],
        "schedules": [], "concurrency_limit": {"limit": 2},
    }  # fmt: skip
    for name, value in changes.items():
        (check,) = deployed.same_as_file(there, [deployment | {name: value}])
        assert (check.verdict, f"doctors-own ({name})" in check.found) == ("warn", True), check
    (check,) = deployed.same_as_file(there, [{**deployment, "name": "another"}])
    assert check.verdict == "fail"
    assert "missing: another" in check.found
    assert "not in prefect.yaml: doctors-own" in check.found


def test_workers_are_counted_and_a_pool_without_any_is_broken(api: Api, deployment: dict[str, object]) -> None:
    there = deployed.deployments(api)
    assert verdicts(deployed.worked(api, there)) == {"work pool": "ok", "workers": "fail"}
    api.client.post(f"{api.url}/work_pools/doctors-pool/workers/heartbeat", json={"name": "hand"}).raise_for_status()
    assert verdicts(deployed.worked(api, there)) == {"work pool": "ok", "workers": "ok"}
    queue = f"{api.url}/work_pools/doctors-pool/queues/default"
    api.client.patch(queue, json={"is_paused": True}).raise_for_status()
    assert verdicts(deployed.worked(api, there)) == {"work pool": "ok", "work queues": "fail", "workers": "ok"}
    api.client.patch(queue, json={"is_paused": False}).raise_for_status()
    api.client.patch(f"{api.url}/work_pools/doctors-pool", json={"is_paused": True}).raise_for_status()
    assert verdicts(deployed.worked(api, there))["work pool"] == "fail"
    assert verdicts(deployed.worked(api, [{"name": "x", "work_pool_name": "no-such-pool"}]))["work pool"] == "fail"
    assert verdicts(deployed.worked(api, [{"name": "x", "status": "NOT_READY"}])) == {"served": "fail"}


def test_schedules_that_are_off_are_said(api: Api, deployment: dict[str, object]) -> None:
    (check,) = deployed.scheduled(deployed.deployments(api))
    assert check.verdict == "warn"
    assert "active: true" in check.advice
    assert "not in the UI" in check.advice
    (check,) = deployed.scheduled([{"name": "nightly", "schedules": [{"active": True}]}])
    assert (check.verdict, "nightly" in check.found) == ("ok", True)


def test_what_guards_runs_is_missed_and_found(api: Api, tmp_path: Path) -> None:
    wanted = tmp_path / "automations.yaml"
    wanted.write_text("automations: [{name: watch, actions: [{type: cancel-flow-run}]}]")
    assert verdicts(deployed.guarded(api, wanted)) == {
        "apply limit": "warn", "automations": "warn", "freeze switch": "ok"
    }  # fmt: skip
    limit = {"name": deployed.LIMIT, "limit": 2}
    api.client.post(f"{api.url}/v2/concurrency_limits/", json=limit).raise_for_status()
    frozen = {"name": deployed.FREEZE, "value": "the rack is open"}
    api.client.post(f"{api.url}/variables/", json=frozen).raise_for_status()
    found = {check.name: check for check in deployed.guarded(api, wanted)}
    assert found["apply limit"].verdict == "fail"
    for stopped in ({"limit": 0}, {"limit": 1, "active": False}):
        api.client.patch(f"{api.url}/v2/concurrency_limits/{deployed.LIMIT}", json=stopped).raise_for_status()
        (check,) = (each for each in deployed.guarded(api, wanted) if each.name == "apply limit")
        assert (check.verdict, "somebody stopped" in check.found) == ("warn", True)
    assert "the rack is open" in found["freeze switch"].found
    api.client.patch(
        f"{api.url}/v2/concurrency_limits/{deployed.LIMIT}", json={"limit": 1, "active": True}
    ).raise_for_status()
    assert verdicts(deployed.guarded(api, tmp_path / "none"))["apply limit"] == "ok"
    api.client.delete(f"{api.url}/v2/concurrency_limits/{deployed.LIMIT}")
    api.client.delete(f"{api.url}/variables/name/{deployed.FREEZE}")


def test_failed_late_and_hanging_runs_are_counted(api: Api, deployment: dict[str, object]) -> None:
    assert verdicts(deployed.ran(api)) == {"last day": "ok"}
    there = deployed.deployments(api)[0]["id"]
    states: tuple[dict[str, object], ...] = ({"type": "SCHEDULED", "name": "Late"}, {"type": "FAILED"})
    for state in states:
        run = {"state": {"type": "SCHEDULED"}, "idempotency_key": uuid4().hex}
        made = api.client.post(f"{api.url}/deployments/{there}/create_flow_run", json=run).json()["id"]
        answer = api.client.post(f"{api.url}/flow_runs/{made}/set_state", json={"state": state, "force": True})
        assert answer.is_success, answer.text
    found = {check.name: check for check in deployed.ran(api)}
    assert "1 run late" in found["runs"].found
    assert (found["last day"].verdict, "1 failed" in found["last day"].found) == ("fail", True)


@pytest.mark.parametrize(
    ("completed", "skipped", "bad", "verdict", "found"),
    [
        (96, 96, 0, "warn", "0 completed, 96 skipped, 0 failed or crashed"),
        (96, 95, 0, "ok", "1 completed, 95 skipped, 0 failed or crashed"),
        (96, 96, 1, "fail", "0 completed, 96 skipped, 1 failed or crashed"),
        (96, 0, 1, "warn", "96 completed, 1 failed or crashed"),
    ],
)
def test_a_day_of_skipped_runs_is_no_good_day(completed: int, skipped: int, bad: int, verdict: str, found: str) -> None:
    def ask(path: str, body: dict[str, dict[str, dict[str, dict[str, list[str]]]]]) -> int:
        state = body["flow_runs"]["state"]
        if state.get("type") == {"any_": ["FAILED", "CRASHED"]}:
            return bad
        if state.get("type") != {"any_": ["COMPLETED"]}:
            return 0
        return skipped if "name" in state else completed

    (check,) = deployed.ran(cast("Api", SimpleNamespace(ask=ask)))
    assert (check.verdict, check.found) == (verdict, found)


def test_the_whole_examination_names_what_a_bare_server_lacks(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["doctor", str(tmp_path / "runs"), "--json"])
    told = json.loads(done.output)
    found = {check["name"]: check for check in told["checks"]}
    assert done.exit_code == 1
    assert told["ok"] is False
    assert found["deployments"]["verdict"] == "fail"
    assert "deploy --all" in found["deployments"]["advice"]
    assert found["server"]["verdict"] == "ok"
    assert all(check["advice"] for check in told["checks"] if check["verdict"] != "ok")
    assert list(tmp_path.iterdir()) == [], "the doctor leaves nothing behind"


# no server, or a broken one


class Answers(Protocol):
    """Status and content of each path."""

    def get(self, path: str, default: tuple[int, object], /) -> tuple[int, object]: ...


@contextmanager
def answering(answers: Answers, date: str | None = None, certificate: Path | None = None) -> Iterator[str]:
    """Start something that answers as told, by path, and return its address."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, content = answers.get(self.path.partition("?")[0].removeprefix("/api"), (404, {}))
            body = json.dumps(content).encode()
            self.send_response_only(status)
            self.send_header("Date", date or format_datetime(datetime.now(UTC), usegmt=True))
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = answer  # noqa: N815 - the names they have there

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name it has there
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            http.socket = context.wrap_socket(http.socket, server_side=True)
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        try:
            yield f"{'https' if certificate else 'http'}://127.0.0.1:{http.server_port}/api"
        finally:
            http.shutdown()
            thread.join()


WELL: dict[str, tuple[int, object]] = {
    "/health": (200, True), "/ready": (200, {}), "/admin/version": (200, "0.1"),
    "/flow_runs/count": (200, 7), "/automations/count": (200, 0),
}  # fmt: skip


def reached(url: str) -> dict[str, Check]:
    with temporary_settings({PREFECT_API_URL: url}), api_of_settings() as found:
        assert found is not None
        log_in(found)
        return {check.name: check for check in server.reached(found)}


def test_without_a_server_it_is_laptop_mode() -> None:
    with temporary_settings(restore_defaults={PREFECT_API_URL}), api_of_settings() as found:
        assert found is None


def test_a_server_that_is_not_there_is_one_failure() -> None:
    found = reached("http://127.0.0.1:9/api")
    assert {name: check.verdict for name, check in found.items()} == {"server": "fail"}
    assert "PREFECT_API_URL" in found["server"].advice


@pytest.mark.parametrize(
    ("changed", "name", "word"),
    [
        ({"/health": (502, "bad gateway")}, "server", "502"),
        ({"/health": (200, "welcome")}, "server", "not as a Prefect server"),
        ({"/ready": (503, {})}, "database", "503"),
        ({"/ready": (401, {})}, "login", "401"),
        ({"/admin/version": (403, {})}, "login", "403"),
        ({"/flow_runs/count": (500, {})}, "database", "500"),
        ({"/automations/count": (500, {})}, "database", "500"),
    ],
)
def test_each_fault_of_a_server_is_named(changed: dict[str, tuple[int, object]], name: str, word: str) -> None:
    with answering(WELL | changed) as url:
        found = reached(url)
    assert found[name].verdict == "fail"
    assert word in found[name].found
    assert found[name].advice
    assert sum(check.verdict == "fail" for check in found.values()) == 1


class LockedAtFirst:
    """Answers by path, the first time 503."""

    def __init__(self, answers: dict[str, tuple[int, object]]) -> None:
        self.answers = answers
        self.asked: set[str] = set()

    def get(self, path: str, default: tuple[int, object], /) -> tuple[int, object]:
        if path in self.asked:
            return self.answers.get(path, default)
        self.asked.add(path)
        return 503, {"exception_message": "database is locked"}


def test_a_server_whose_sqlite_is_locked_for_a_moment_is_asked_again() -> None:
    with (
        answering(LockedAtFirst({"/work_pools/quantumflow": (200, {"name": "quantumflow"})})) as url,
        temporary_settings({PREFECT_API_URL: url}),
        api_of_settings() as found,
    ):
        assert found is not None
        assert found.found("/work_pools/quantumflow") == {"name": "quantumflow"}


def test_another_version_and_another_time_are_said() -> None:
    with answering(WELL, format_datetime(datetime.now(UTC) - timedelta(hours=2), usegmt=True)) as url:
        found = reached(url)
    assert found["prefect"].verdict == "warn"
    assert found["server's clock"].verdict == "fail"
    assert re.match(r"ours is 7[12]\d\d s ahead", found["server's clock"].found)
    with answering(WELL, "yesterday") as url:
        assert reached(url)["server's clock"].found == "not told by the server"


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate of this machine that nobody known signed, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a site's own")])
    here = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(days=1), now + timedelta(days=1))
        .add_extension(here, critical=False)
        .sign(key, hashes.SHA256())
    )
    private = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = tmp_path / "own.pem"
    path.write_bytes(key.private_bytes(*private) + made.public_bytes(serialization.Encoding.PEM))
    return path


def test_a_stranger_trusts_the_certificates_that_the_settings_name(certificate: Path) -> None:
    with answering(WELL, certificate=certificate) as url:
        with temporary_settings({PREFECT_API_SSL_CERT_FILE: str(certificate)}):
            found = reached(url)
        assert (found["login"].verdict, "no password is needed" in found["login"].found) == ("ok", True)
        with temporary_settings({PREFECT_API_TLS_INSECURE_SKIP_VERIFY: True}):
            assert reached(url)["login"].verdict == "ok"


def test_a_stranger_who_gets_no_answer_is_one_finding(certificate: Path) -> None:
    settings = {PREFECT_API_SSL_CERT_FILE: str(certificate)}
    with (
        answering(WELL, certificate=certificate) as url,
        temporary_settings(settings | {PREFECT_API_URL: url}),
        api_of_settings() as found,
    ):
        assert found is not None
        checks = list(server.reached(replace(found, verify=True)))
    assert [check.name for check in checks] == ["server", "server's clock", "database", "prefect", "login"]
    assert (checks[-1].verdict, "CERTIFICATE_VERIFY_FAILED" in checks[-1].found) == ("warn", True)


@pytest.mark.parametrize(
    ("changed", "hours", "broken"),
    [({}, 2, "server's clock"), ({"/deployments/filter": (500, {})}, 0, "deployments")],
)
def test_what_is_broken_hides_nothing_that_comes_after(
    changed: dict[str, tuple[int, object]], hours: int, broken: str, tmp_path: Path
) -> None:
    answers = WELL | {"/deployments/filter": (200, [])} | changed
    date = format_datetime(datetime.now(UTC) - timedelta(hours=hours), usegmt=True)
    with answering(answers, date) as url, temporary_settings({PREFECT_API_URL: url}):
        done = CliRunner().invoke(app, ["doctor", str(tmp_path), "--json"])
    found = {check["name"]: check for check in json.loads(done.output)["checks"]}
    assert found[broken]["verdict"] == "fail"
    assert found["server"]["verdict"] == found["database"]["verdict"] == found["login"]["verdict"] == "ok"
    assert {"deployments", "work pool", "apply limit", "last day"} <= set(found)


def test_the_password_is_sent_and_never_shown() -> None:
    with (
        answering(WELL | {"/ready": (401, {})}) as url,
        temporary_settings({PREFECT_API_URL: url, PREFECT_API_AUTH_STRING: "admin:correct-horse"}),
    ):
        done = CliRunner().invoke(
            app, ["doctor", "/nonexistent"], env={"PREFECT_API_AUTH_STRING": "admin:correct-horse"}
        )
        with api_of_settings() as found:
            assert found is not None
            assert found.get("/health").request.headers["Authorization"].startswith("Basic ")
    assert "correct-horse" not in done.output
    assert "PREFECT_API_AUTH_STRING" in done.output


def test_a_check_that_breaks_is_a_finding_without_a_traceback() -> None:
    def broken() -> Iterator[Check]:
        yield Check("first", "ok", "well")
        raise RuntimeError("line one\nhttps://me:hunter22@host")

    first, second = asked("second", broken)
    assert (first.verdict, second.verdict) == ("ok", "fail")
    assert second.found == "could not be checked: RuntimeError: line one https://***@host"


# the machine


def test_this_machine_is_fit() -> None:
    checks = [*machine.python_and_packages(), *machine.clock(), *machine.memory()]
    assert {check.name for check in checks} >= {"python", "packages", "clock", "memory"}
    assert verdicts(checks)["python"] == verdicts(checks)["packages"] == "ok"


def test_little_memory_of_the_container_counts(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 99999999 kB\nMemAvailable: 99999999 kB\n")
    for most, verdict in ((8 << 30, "ok"), (1 << 30, "warn"), (1 << 28, "fail")):
        (tmp_path / "memory.max").write_text(str(most))
        (tmp_path / "memory.current").write_text("0")
        assert verdicts(machine.memory(meminfo, tmp_path)) == {"memory": verdict}
    (tmp_path / "memory.max").write_text("max\n")
    assert verdicts(machine.memory(meminfo, tmp_path)) == {"memory": "ok"}


@pytest.mark.parametrize(
    ("most", "used", "cache"),
    [
        ("memory.max", "memory.current", "inactive_file"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file"),
    ],
)
def test_cached_files_of_a_container_are_free_memory(most: str, used: str, cache: str, tmp_path: Path) -> None:
    meminfo, stat = tmp_path / "meminfo", (tmp_path / most).with_name("memory.stat")
    meminfo.write_text("MemAvailable: 99999999 kB\n")
    stat.parent.mkdir(exist_ok=True)
    (tmp_path / most).write_text(f"{8 << 30}\n")
    (tmp_path / used).write_text(f"{8 << 30}\n")
    stat.write_text(f"anon 5\ninactive_anon 7\nactive_file 9\n{cache} {4 << 30}\n")
    (check,) = machine.memory(meminfo, tmp_path)
    assert (check.verdict, check.found) == ("ok", "4.295 GB available")
    stat.unlink()
    assert verdicts(machine.memory(meminfo, tmp_path)) == {"memory": "fail"}


def test_a_folder_that_is_a_file_or_cannot_be_written_is_broken(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    places = (("a", tmp_path / "new" / "deep"), ("b", tmp_path / "file" / "runs"), ("c", Path("/proc/runs")))
    assert verdicts(machine.room(places)) == {"a": "ok", "b": "fail", "c": "fail"}
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_kernels_are_ready_stale_or_missing(tmp_path: Path) -> None:
    source = tmp_path / "tasks" / "search.py"
    source.parent.mkdir()
    source.write_text("@njit(cache=True)\ndef search(): ...\n")
    (tmp_path / "tasks" / "plain.py").write_text("x = 1\n")
    assert verdicts(machine.kernels(tmp_path)) == {"compiled kernels": "warn"}
    kept = source.parent / "__pycache__" / "search.search-1.py311.nbi"
    kept.parent.mkdir()
    kept.write_text("")
    (check,) = machine.kernels(tmp_path)
    assert (check.verdict, check.found) == ("ok", "1 of 1 module ready")
    os.utime(kept, (1, 1))
    (check,) = machine.kernels(tmp_path)
    assert (check.verdict, "older" in check.found) == ("warn", True)


def test_kernels_are_found_in_the_folder_that_the_environment_names(tmp_path: Path) -> None:
    source, cache = tmp_path / "tasks" / "search.py", tmp_path / "cache"
    source.parent.mkdir()
    source.write_text("from numba import njit\n@njit(cache=True)\ndef search(x):\n    return x + 1\n")
    code = "import sys; sys.path.insert(0, sys.argv[1]); from search import search; search(1)"
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache)}
    subprocess.run([sys.executable, "-c", code, str(source.parent)], env=environment, check=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NUMBA_CACHE_DIR", str(cache))
        (check,) = machine.kernels(tmp_path)
    assert (check.verdict, check.found) == ("ok", "1 of 1 module ready")


# runs


def test_the_age_of_the_last_plan_is_told_and_can_be_a_failure(tmp_path: Path) -> None:
    assert verdicts(runs.last_plan(tmp_path / "none", None)) == {"last plan": "ok"}
    assert verdicts(runs.last_plan(tmp_path / "none", 60.0)) == {"last plan": "fail"}
    (tmp_path / "20261120T000000Z-abcdef").mkdir()
    (tmp_path / "20261120T000000Z-abcdef" / "plan.json").write_text("{")
    assert verdicts(runs.last_plan(tmp_path, None)) == {"last plan": "fail"}


@pytest.mark.parametrize("name", ["latest", "latest-fleet"])
def test_a_latest_that_leads_nowhere_is_said(tmp_path: Path, name: str) -> None:
    assert list(runs.latest(tmp_path)) == []
    (tmp_path / name).symlink_to("gone")
    assert verdicts(runs.latest(tmp_path)) == {name: "warn"}
    (tmp_path / name).unlink()
    (tmp_path / name).mkdir()
    assert verdicts(runs.latest(tmp_path)) == {name: "warn"}


def test_settings_of_logs_are_checked(tmp_path: Path) -> None:
    assert verdicts(runs.logs({})) == {"logs": "ok"}
    assert verdicts(runs.logs({"QUANTUMFLOW_LOG_FORMAT": "jsno"})) == {"logs": "warn"}
    assert verdicts(runs.logs({"QUANTUMFLOW_LOG_FILE": str(tmp_path / "no" / "file")})) == {"logs": "warn"}


# what killed runs left


def aged(path: Path, seconds: float = JUST_BEGUN_S + 1) -> None:
    moment = time.time() - seconds
    for each in (*path.rglob("*"), path):
        os.utime(each, (moment, moment), follow_symlinks=False)


def test_a_run_that_goes_on_is_never_removed(tmp_path: Path) -> None:
    with run_folder(tmp_path) as folder:
        for seconds in (0.0, JUST_BEGUN_S + 1, 100 * OLD_S):
            aged(folder.path, seconds)
            (found,) = leftovers(tmp_path)
            assert not found.removable
        assert f"process {os.getpid()}" in found.told
        with pytest.raises(BlockingIOError):
            remove(found)
    assert list(leftovers(tmp_path)) == []
    assert not (folder.final / RUNNING).exists()


def test_what_a_killed_process_left_is_told_from_what_goes_on_and_removed(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from flows.run_folder import run_folder\n"
        "with run_folder(Path(sys.argv[1])) as folder:\n"
        '    (folder.path / \'events.jsonl\').write_text(\'{"phase": "refine power", "time": "noon"}\\n{torn\')\n'
        "    os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, check=False)
    assert done.returncode == -9
    (found,) = leftovers(tmp_path)
    assert not found.removable, "it may have just begun"
    aged(found.path)
    (found,) = leftovers(tmp_path)
    assert found.removable
    assert "came to refine power at noon" in found.told
    assert verdicts(runs.left_behind(tmp_path, clean=False)) == {"leftovers": "warn"}
    assert found.path.exists()
    assert verdicts(runs.left_behind(tmp_path, clean=True)) == {"leftovers": "ok"}
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_a_lock_goes_by_its_age(tmp_path: Path) -> None:
    (tmp_path / LEFT / "deep").mkdir(parents=True)
    (tmp_path / LEFT / "deep" / "file").write_text("")
    aged(tmp_path / LEFT, OLD_S - 60)
    assert [each.removable for each in leftovers(tmp_path)] == [False]
    aged(tmp_path / LEFT, OLD_S + 60)
    assert [each.removable for each in leftovers(tmp_path)] == [True]
    (tmp_path / LEFT / "deep" / "file").write_text("new")
    assert [each.removable for each in leftovers(tmp_path)] == [False]


def test_a_free_lock_of_another_machine_tells_nothing(tmp_path: Path) -> None:
    (tmp_path / LEFT).mkdir()
    for said in ('{"process": 4711, "host": "worker-b"}', "{}", "", "[1]", "\0"):
        (tmp_path / LEFT / RUNNING).write_text(said)
        aged(tmp_path / LEFT, OLD_S - 60)
        (found,) = leftovers(tmp_path)
        assert not found.removable
        assert "another machine's" in found.told
        aged(tmp_path / LEFT, OLD_S + 60)
        assert [each.removable for each in leftovers(tmp_path)] == [True]


def test_archives_wait_a_day_for_a_run_that_takes_them_up_whatever_else_ran(tmp_path: Path) -> None:
    (tmp_path / LEFT / "checkpoints").mkdir(parents=True)
    (tmp_path / LEFT / "checkpoints" / "a.qfz").write_text("")
    (tmp_path / LEFT / RUNNING).write_text("")
    (tmp_path / "20261120T000100Z-abcdef").mkdir()
    aged(tmp_path / LEFT, TRIED_AGAIN_S - 60)
    assert [each.removable for each in leftovers(tmp_path)] == [False]
    aged(tmp_path / LEFT, TRIED_AGAIN_S + 60)
    assert [each.removable for each in leftovers(tmp_path)] == [True]


def test_nothing_but_what_runs_leave_is_touched(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("")
    folder = tmp_path / "runs"
    folder.mkdir()
    (folder / LEFT).symlink_to(outside)
    for name in (".git", "..partial", ".20261120T000000Z-abcdef.partial2", "20261120T000000Z-abcdef"):
        (folder / name).mkdir()
    aged(folder, 10 * OLD_S)
    assert list(leftovers(folder)) == []
    assert (outside / "kept").exists()
    (folder / ".20261120T000000Z-abcdee.partial").mkdir()
    (folder / ".20261120T000000Z-abcdee.partial" / "link").symlink_to(outside)
    aged(folder, 10 * OLD_S)
    (found,) = leftovers(folder)
    remove(found)
    assert (outside / "kept").exists()


def test_a_lock_file_that_is_a_link_or_a_pipe_removes_nothing(tmp_path: Path) -> None:
    (tmp_path / LEFT).mkdir()
    (tmp_path / LEFT / RUNNING).symlink_to("/etc/hostname")
    aged(tmp_path / LEFT, 10 * OLD_S)
    (found,) = leftovers(tmp_path)
    assert not found.removable
    assert "cannot be told" in found.told


@pytest.mark.parametrize("name", ["latest", "latest-fleet"])
def test_a_link_that_was_not_put_in_place_is_removed_after_a_minute(tmp_path: Path, name: str) -> None:
    link = tmp_path / f".{name}-20261120T000000Z-abcdef"
    link.symlink_to("20261120T000000Z-abcdef")
    assert [each.removable for each in leftovers(tmp_path)] == [False]
    aged(tmp_path, 120.0)
    (found,) = leftovers(tmp_path)
    remove(found)
    assert not link.is_symlink()


def test_a_run_goes_on_where_files_cannot_be_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_descriptor: int, _operation: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with run_folder(tmp_path) as folder:
        aged(folder.path)
        (found,) = leftovers(tmp_path)
        assert not found.removable
        assert "Operation not supported" in found.told
    assert folder.final.is_dir()


# sources


def test_sources_that_answer_and_those_that_do_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert verdicts(sources.sample()) == {"source": "ok"}
    assert verdicts(sources.source(SnapshotFile(tmp_path / "none.json"))) == {"source": "fail"}
    assert verdicts(sources.source(SnapshotFile(tmp_path / "none.json"), wanted=False)) == {"source": "warn"}
    files = SlurmFiles(tmp_path / "a", tmp_path / "b")
    assert verdicts(sources.source(files)) == {"source": "fail"}
    monkeypatch.setenv("PATH", str(tmp_path))
    (check,) = sources.source(Slurm())
    assert check.verdict == "fail"
    assert "\n" not in check.found


def test_a_source_that_never_answers_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sample, "__call__", lambda _self: threading.Event().wait(60))
    (check,) = sources.source(Sample(), patience_s=0.1)
    assert (check.verdict, "does not answer within" in check.found) == ("fail", True)


def test_sources_of_deployments_stay_within_what_the_environment_allows(tmp_path: Path) -> None:
    def of(source: object) -> dict[str, str]:
        there = [{"name": "x", "parameters": {"params": {"source": source}}}]
        return verdicts(sources.of_deployments(there, {"QUANTUMFLOW_ROOTS": str(tmp_path)}))

    assert of({"kind": "sample", "name": "fragmented"}) == {"source": "ok"}
    assert of({"kind": "sample", "name": "no such"}) == {}
    assert of({"kind": "snapshot", "path": "/etc/shadow"}) == {"source": "warn"}
    assert list(sources.of_deployments([{"name": "y", "parameters": {"params": []}}, {"name": "z"}], {})) == []


def test_a_secret_that_runs_may_not_send_is_not_sent_by_an_examination_either() -> None:
    telemetry = {"url": "http://127.0.0.1:9", "token_variable": "PREFECT_API_AUTH_STRING"}
    there = [{"name": "x", "parameters": {"params": {"telemetry": telemetry}}}]
    (check,) = sources.of_deployments(there, {"QUANTUMFLOW_TOKENS": "SITE_TOKEN"})
    assert check.verdict == "warn"
    assert "token_variable" in check.found


def test_a_prometheus_that_does_not_answer_is_said() -> None:
    asked_for = sources.TELEMETRY.validate_python({"url": "http://127.0.0.1:9"})
    assert verdicts(sources.telemetry(asked_for)) == {"telemetry": "fail"}


@pytest.mark.parametrize(("gpus", "verdict"), [("8", "ok"), (None, "warn")])
def test_a_prometheus_is_asked_for_the_power_of_gpus(gpus: str | None, verdict: str) -> None:
    rows = [{"metric": {}, "value": [1.0, gpus]}] if gpus else []
    answer = {"status": "success", "data": {"resultType": "vector", "result": rows}}
    with answering({"/v1/query": (200, answer)}) as url:
        asked_for = sources.TELEMETRY.validate_python({"url": url.removesuffix("/api")})
        (check,) = sources.telemetry(asked_for)
    assert check.verdict == verdict, check


def test_wrong_usage_is_told_before_anything_is_looked_at() -> None:
    for text in ("{", '{"kind": "moon"}'):
        done = CliRunner().invoke(app, ["doctor", "--source", text])
        assert done.exit_code == 2
        assert "--source" in done.output
