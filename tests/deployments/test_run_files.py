"""What does a nightly job get of a run on another machine? What its server serves, checked; never for another host."""

import base64
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from prefect.client.schemas.objects import Artifact
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from data.readers.plan import write_plan
from data.schemas.cluster import Snapshot
from data.schemas.plan import Plan
from deployments.run_files import fetch
from tasks.plan import assemble

LOGIN = "quantumflow:correct horse"


@pytest.fixture
def plan(cluster: Snapshot) -> Plan:
    return assemble(cluster, (), assumed_power=(), set_aside=(), notes=(), code_version="1", options="{}", seed=0)


@pytest.fixture
def served(plan: Plan, tmp_path: Path) -> Iterator[tuple[str, list[str]]]:
    """The address of somebody who serves a run's files to who knows the password; and what was asked for."""
    write_plan(plan, tmp_path / "plan.json")
    files = {"/runs/r/plan.json": (tmp_path / "plan.json").read_bytes(), "/runs/r/report.html": b"<p>report</p>"}
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.headers.get("Authorization") or "")
            known = asked[-1] == f"Basic {base64.b64encode(LOGIN.encode()).decode()}"
            body = files.get(self.path, b"") if known else b""
            self.send_response(200 if body else 401 if not known else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        with temporary_settings(
            {
                PREFECT_API_URL: f"http://127.0.0.1:{server.server_port}/api",
                PREFECT_API_AUTH_STRING: LOGIN,
            }
        ):
            yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


def link(address: str) -> Artifact:
    return Artifact(key="optimize-cluster-page", type="markdown", data=f"[Report]({address})")


def test_plan_and_report_are_fetched_and_the_plan_is_checked(
    served: tuple[str, list[str]], plan: Plan, tmp_path: Path
) -> None:
    artifacts = [link(f"{served[0]}/runs/r/report.html")]
    output = tmp_path / "nightly"
    output.mkdir()
    assert fetch(artifacts, plan.sha256, output) == []
    assert (output / "report.html").read_bytes() == b"<p>report</p>"
    assert (output / "plan.json").read_bytes() == (tmp_path / "plan.json").read_bytes()
    (wrong,) = fetch(artifacts, "0" * 64, output)
    assert plan.sha256 in wrong


def test_what_is_not_there_is_said(served: tuple[str, list[str]], tmp_path: Path) -> None:
    missed = fetch([link(f"{served[0]}/runs/other/report.html")], "", tmp_path / "none")
    assert [line.partition(":")[0] for line in missed] == ["plan.json", "report.html"]
    assert fetch([], "", tmp_path)[0].startswith("plan and report stay on the worker")


def test_the_password_goes_to_no_other_host(served: tuple[str, list[str]], tmp_path: Path) -> None:
    elsewhere = served[0].replace("127.0.0.1", "localhost")
    (why,) = fetch([link(f"{elsewhere}/runs/r/report.html")], "", tmp_path)
    assert "localhost" in why
    assert served[1] == []
