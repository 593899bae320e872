"""`python -m flows http` as a process: slow clients, requests that never end, workers that die, and its own end."""

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

pytestmark = pytest.mark.system

START_S = 600.0
LIMIT_S = 8.0
TOKEN = "token-of-this-test"  # noqa: S105  # of a test
TOKENS = {"tokens": ["a", "b", "c"], "model_graph": {"num_experts": 2}}
ENDLESS = {
    "transfers": [
        {"source": f"g{i % 300}", "target": f"h{i * 7 % 300}", "gigabytes": 1 + i % 17, "uses": [f"rail{i % 50}"]}
        for i in range(3000)
    ],
    "effort": "thorough",
}


@dataclass(frozen=True, slots=True)
class Service:
    """The process under test."""

    port: int
    client: httpx.Client
    process: object

    def ok(self) -> bool:
        try:
            return self.client.get("/health").json()["free"] == 2
        except httpx.TransportError:
            return False

    def processes(self) -> list[int]:
        """Return the processes that it started, and those that these started."""
        return list(_below(self.process.pid))


def _below(pid: int) -> Iterator[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:  # it has ended
        return
    for child in map(int, children):
        yield child
        yield from _below(child)


def lives(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def folders() -> set[Path]:
    return set(Path("/dev/shm").glob("quantumflow-*"))  # noqa: S108  # where it keeps bodies


@pytest.fixture(scope="module")
def service(free_port, background, until, prefect_environment, tmp_path_factory):
    """The service with a token, two workers and a limit of seconds for an answer."""
    port, log = free_port(), tmp_path_factory.mktemp("http") / "http.log"
    command = [sys.executable, "-m", "flows", "http", "--port", str(port), "--seconds", str(LIMIT_S)]
    environment = {**prefect_environment, "QUANTUMFLOW_HTTP_TOKEN": TOKEN}
    before = folders()
    headers = {"authorization": f"Bearer {TOKEN}"}
    with (
        background(command, log, environment) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60.0, trust_env=False) as client,
    ):
        service = Service(port, client, process)
        until(service.ok, START_S, log)
        yield service
        started = service.processes()
    assert process.returncode == 0, log.read_text()
    assert "Traceback" not in log.read_text()
    assert not any(map(lives, started))
    assert folders() <= before


def test_it_listens_on_loopback_only(service):
    lines = [line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    assert {line for line in lines if line.endswith(f":{service.port:04X}")} == {f"0100007F:{service.port:04X}"}


def test_it_answers_whoever_has_the_token(service):
    told = service.client.post("/v1/tokens/route", json=TOKENS)
    assert told.json()["tokens"] == 3
    assert httpx.get(f"http://127.0.0.1:{service.port}/v1/version", trust_env=False).status_code == 401
    assert httpx.get(f"http://127.0.0.1:{service.port}/health", trust_env=False).status_code == 200


def test_a_request_that_takes_too_long_is_ended_and_the_next_is_answered(service, until):
    before = set(service.processes())
    told = service.client.post("/v1/transfers/schedule", json=ENDLESS)
    assert (told.status_code, told.json()["error"]) == (503, "TooLong")
    assert service.client.post("/v1/tokens/route", json=TOKENS).status_code == 200
    until(lambda: len(before - set(service.processes())) == 1)  # the worker that was at it, and no other


def test_who_comes_while_all_are_busy_is_told_to_come_again(service, until):
    with ThreadPoolExecutor(2) as pool:
        busy = [pool.submit(service.client.post, "/v1/transfers/schedule", json=ENDLESS) for _ in range(2)]
        until(lambda: service.client.get("/health").json()["status"] == "busy")
        told = service.client.post("/v1/tokens/route", json=TOKENS)
        assert (told.status_code, told.headers.get("retry-after")) == (429, "1")
        assert {each.result().status_code for each in busy} == {503}
    until(service.ok)


def test_workers_that_were_killed_are_replaced(service):
    nursery, *workers = service.processes()
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    assert service.client.post("/v1/tokens/route", json=TOKENS).status_code == 200
    assert set(service.processes()) - {nursery, *workers}


def test_clients_that_dawdle_are_sent_away_and_keep_nobody_waiting(service):
    head = b"POST /v1/tokens/route HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    rest = f"Authorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n{{".encode()
    with (
        socket.create_connection(("127.0.0.1", service.port)) as half,
        socket.create_connection(("127.0.0.1", service.port)) as slow,
        socket.create_connection(("127.0.0.1", service.port)) as mute,
    ):
        half.sendall(head)
        slow.sendall(head + rest)
        assert service.client.post("/v1/tokens/route", json=TOKENS).status_code == 200
        for one in (half, slow, mute):
            one.settimeout(60.0)
        begun = time.monotonic()
        assert b" 408 " in slow.recv(4096)
        while time.monotonic() - begun < 60.0:
            try:
                half.sendall(b"X: y\r\n")  # a byte now and then shall not keep it open
            except OSError:
                break
            time.sleep(1.0)
        assert mute.recv(4096) == b""
    assert service.ok()


def test_fifty_megabytes_are_refused_before_they_are_sent(service):
    with socket.create_connection(("127.0.0.1", service.port)) as caller:
        caller.sendall(
            b"POST /v1/plans/verify HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            b"Content-Length: 50000000\r\nAuthorization: Bearer " + TOKEN.encode() + b"\r\n\r\n"
        )
        assert b" 413 " in caller.recv(4096)


def test_the_schemas_are_there_for_generators(service):
    document = service.client.get("/openapi.json").json()
    assert "/v1/tokens/route" in document["paths"]
    assert json.dumps(document).count("HTTPBearer") >= 2


def test_when_it_is_killed_nothing_of_it_stays(free_port, background, until, prefect_environment, tmp_path_factory):
    log, port = tmp_path_factory.mktemp("killed") / "http.log", free_port()
    command = [sys.executable, "-m", "flows", "http", "--port", str(port), "--workers", "1"]
    before = folders()
    with background(command, log, prefect_environment) as process:
        until(lambda: "GET /openapi.json" in log.read_text(), START_S, log)
        started = list(_below(process.pid))
        assert len(started) == 2
        process.kill()
        until(lambda: not any(map(lives, started)))
    assert folders() <= before
