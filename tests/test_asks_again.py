"""What do tests ask a busy server for twice, and what never?"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from tests.asks_again import AsksAgain

RUN = "/api/deployments/d/create_flow_run"
KEY = {"idempotency_key": "k"}


@contextmanager
def busy(first: int) -> Iterator[tuple[httpx.Client, list[str]]]:
    """A client of a server that answers its first request with a status, or too late (0); and what that was asked."""
    asked: list[str] = []
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status = first if len(asked) == 1 else 200
            if not status:
                over.wait(60.0)
            self.send_response(status or 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_POST(self) -> None:
            self.do_GET()

        def do_PATCH(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        with httpx.Client(
            base_url=f"http://127.0.0.1:{server.server_port}", timeout=60.0 if first else 0.2, transport=AsksAgain()
        ) as client:
            try:
                yield client, asked
            finally:
                over.set()
        server.shutdown()


@pytest.mark.parametrize(
    ("method", "path", "body", "statuses"),
    [
        ("GET", "/api/flow_runs/r", None, (0, 500, 503)),
        ("POST", "/api/flow_runs/filter", {}, (0, 500, 503)),
        ("PATCH", "/api/variables/name/v", {"value": 1}, (0, 500, 503)),
        ("POST", RUN, KEY, (0, 500, 503)),
        ("POST", RUN, {}, (503,)),
    ],
)
def test_what_may_happen_twice_is_asked_for_again(
    method: str, path: str, body: dict[str, object] | None, statuses: tuple[int, ...]
) -> None:
    for first in statuses:
        with busy(first) as (client, asked):
            assert client.request(method, path, json=body).status_code == 200
        assert asked[:2] == [path, path]
        assert len(asked) == 2 or not first  # the patience that has to run out there can run out again


def test_what_may_not_is_not() -> None:
    with busy(0) as (client, asked), pytest.raises(httpx.ReadTimeout):
        client.post(RUN, json={})
    assert asked == [RUN]
    with busy(500) as (client, asked):
        assert client.post(RUN, json={}).status_code == 500
    assert asked == [RUN]


def test_a_probe_may_say_503() -> None:
    with busy(503) as (client, asked):
        assert client.get("/api/ready").status_code == 503
    assert asked == ["/api/ready"]
