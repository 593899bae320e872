"""How do tests talk to a Prefect server on SQLite? As Prefect's own client does: what was locked is asked for again."""

import time
import uuid
from collections.abc import Mapping

import httpx

WAITS_S = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0)
LOCKED = (429, 503)
"""Answers of a server that did nothing, since its SQLite was locked or it had too much to do."""

MAYBE_DONE = (500, 502)
_QUESTIONS = ("/filter", "/count", "/paginate", "/history")
_PROBES = ("/health", "/ready")
"""Here 503 is the answer."""


class AsksAgain(httpx.HTTPTransport):
    """A transport that sends a request again while the server is busy, a few times.

    Where nobody knows whether the server did something (it said nothing in time, or failed) only what may be done twice
    is sent again: a question, a change to a stated value, a run with an idempotency key.
    """

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        again = () if path.endswith(_PROBES) else LOCKED + (MAYBE_DONE if _may_happen_twice(request) else ())
        for wait_s in WAITS_S:
            try:
                answer = super().handle_request(request)
            except httpx.ReadTimeout:
                if not _may_happen_twice(request):
                    raise
            else:
                if answer.status_code not in again:
                    return answer
                answer.close()
            time.sleep(wait_s)
        return super().handle_request(request)


def _may_happen_twice(request: httpx.Request) -> bool:
    if request.method in ("GET", "HEAD", "PUT", "PATCH"):
        return True
    return request.method == "POST" and (
        request.url.path.endswith(_QUESTIONS) or b'"idempotency_key"' in request.content
    )


def create_run(client: httpx.Client, deployment: str, asked: Mapping[str, object]) -> httpx.Response:
    """Ask the server for a run of a deployment (its id), and for no second one where the first answer was lost."""
    return client.post(
        f"/api/deployments/{deployment}/create_flow_run", json={"idempotency_key": uuid.uuid4().hex, **asked}
    )
