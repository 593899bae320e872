"""The Python example tells what happened to a run by its errors; tests/system/test_http_live.py asks a real server.

Here a listener says what Prefect 3.8 was seen to say, so that what is rare there (busy, failed, late) is tested.
"""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from deployments.examples import client
from deployments.examples.client import NoPlan, NotOver, Refused, Run, RunFailed, Server, State, Unreachable


class Prefect(ThreadingHTTPServer):
    """What it says, and what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.states: list[tuple[str, str]] = [("COMPLETED", "")]
        self.artifacts: list[dict[str, Any]] = []
        self.busy = 0
        self.asked: list[tuple[str, str, Any]] = []

    def says(self, path: str) -> tuple[int, Any]:
        if self.busy:
            self.busy -= 1
            return 503, {"exception_message": "Service Unavailable"}
        if "absent" in path:
            return 404, {"detail": "Deployment not found"}
        last = len(self.states) == 1 or "flow_runs" not in path
        kind, message = self.states[0] if last else self.states.pop(0)
        return 200, {
            "deployments": {"id": "d1", "name": "gray-owl"},
            "flow_runs": {"state": {"type": kind, "name": kind.title(), "message": message}},
            "artifacts": self.artifacts,
            "logs": [{"message": "no file"}],
        }[path.split("/")[2]]


class Handler(BaseHTTPRequestHandler):
    """Hands requests to :class:`Prefect`."""

    server: Prefect

    def _answer(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))) or "null")
        self.server.asked.append((self.command, self.path, body))
        status, told = self.server.says(self.path)
        content = json.dumps(told).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = _answer  # noqa: N815  # as the base class calls them

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def prefect() -> Iterator[Prefect]:
    with Prefect() as listener:
        threading.Thread(target=listener.serve_forever, args=(0.02,), daemon=True).start()
        yield listener
        listener.shutdown()


@pytest.fixture
def run(prefect: Prefect) -> Iterator[Run]:
    with Server(f"http://127.0.0.1:{prefect.server_port}/api") as server:
        yield Run(server, "r1", "gray-owl")


def test_a_run_is_created_once_however_often_it_takes(prefect: Prefect, run: Run, monkeypatch: Any) -> None:
    monkeypatch.setattr(client.time, "sleep", lambda _seconds: None)
    prefect.busy = 1
    made = run.server.run("optimize-cluster/manual", {"params": {"effort": "quick"}})
    assert made.name == "gray-owl"
    prefect.busy = 2
    run.server.ask("POST", "deployments/d1/create_flow_run", {"idempotency_key": "k"})
    assert [path for _, path, _ in prefect.asked[:2]] == ["/api/deployments/name/optimize-cluster/manual"] * 2
    keys = {body["idempotency_key"] for method, _, body in prefect.asked if method == "POST"}
    assert len(keys) == 2
    assert all(keys)


def test_a_server_that_stays_busy_or_away_is_unreachable(prefect: Prefect, run: Run, monkeypatch: Any) -> None:
    monkeypatch.setattr(client.time, "sleep", lambda _seconds: None)
    prefect.busy = 99
    with pytest.raises(Unreachable, match="503"):
        run.state()
    assert len(prefect.asked) == client.ATTEMPTS
    prefect.shutdown()
    prefect.server_close()
    with pytest.raises(Unreachable, match="Connect"):
        run.state()


def test_what_is_refused_is_not_asked_again(prefect: Prefect, run: Run) -> None:
    with pytest.raises(Refused, match="Deployment not found") as refused:
        run.server.run("optimize-cluster/absent", {})
    assert refused.value.status == 404
    assert len(prefect.asked) == 1


def test_waiting_tells_how_far_a_run_is(prefect: Prefect, run: Run) -> None:
    prefect.states = [("PENDING", ""), ("RUNNING", ""), ("COMPLETED", "")]
    prefect.artifacts = [{"key": "optimize-cluster-progress", "type": "progress", "data": 40.0}]
    told: list[tuple[str, float]] = []
    state = run.wait(30.0, lambda state, share: told.append((state.kind, share)), every_s=0.01)
    assert state == State("COMPLETED", "Completed", "")
    assert told == [("PENDING", 0.4), ("RUNNING", 0.4), ("COMPLETED", 1.0)]


def test_a_run_that_fails_says_why(prefect: Prefect, run: Run) -> None:
    prefect.states = [("FAILED", "Flow run encountered an exception")]
    with pytest.raises(RunFailed, match="encountered an exception") as failed:
        run.wait(30.0)
    assert failed.value.errors == ("no file",)


def test_a_run_that_takes_too_long_goes_on(prefect: Prefect, run: Run) -> None:
    prefect.states = [("RUNNING", "")]
    with pytest.raises(NotOver, match="Running after 0 s"):
        run.wait(0.0, every_s=0.01)
    assert not any("set_state" in path for _, path, _ in prefect.asked)
    run.cancel()
    assert prefect.asked[-1][1:] == ("/api/flow_runs/r1/set_state", {"state": {"type": "CANCELLING"}})


def test_the_plan_lies_beside_the_report(prefect: Prefect, run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "a run (1)"
    folder.mkdir()
    link = f"[Report]({(folder / 'report.html').as_uri()})"
    prefect.artifacts = [{"key": "optimize-cluster-report", "type": "markdown", "data": link}]
    assert run.folder() == folder
    with pytest.raises(NoPlan, match=r"plan\.json"):
        run.plan()
    (folder / "plan.json").write_text('{"sha256": "0"}')
    assert run.plan() == {"sha256": "0"}
    prefect.artifacts = []
    with pytest.raises(NoPlan, match="links to a file"):
        run.plan()


def test_the_command_says_what_is_wrong_with_its_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert client.main([]) == 2
    assert client.main(["optimize-cluster/manual", "{"]) == 1
    assert "JSONDecodeError" in capsys.readouterr().err
