"""Who may ask, and how much may they send? What is settled before a body is looked at.

The service listens on loopback, which a web page can reach through the browser of whoever opens it. Such a page is
kept out three times: a name that was rebound to 127.0.0.1 is no name of ours (Host), browsers state where a request
comes from (Origin), and JSON cannot be sent without a preflight, which nothing here answers.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass

import anyio
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flows.service.refusals import Answer, refusal

OWN_NAMES = ("127.0.0.1", "localhost", "[::1]")
OPEN_TO_ALL = ("/health",)
"""Paths without a token: a probe has none."""


def response(answer: Answer, headers: Mapping[str, str] | None = None) -> Response:
    """Return an answer as a response; nobody keeps it, and nobody takes it for anything but JSON."""
    fixed = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
    return Response(answer.content, answer.status, {**fixed, **(headers or {})}, "application/json")


@dataclass(frozen=True, slots=True)
class Door:
    """Lets requests through to ``app`` whose head is in order and whose body arrived whole.

    Args:
        app: behind the door.
        token: that every request must bear; None asks for none.
        max_bytes: of a body.
        body_s: seconds in which a body must have arrived.
    """

    app: ASGIApp
    token: str | None
    max_bytes: int
    body_s: float

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that is not in order; pass on any other, with its whole body."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        heads = [(name.lower().decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        refused = self._refused(scope, heads)
        if refused is None and scope["method"] == "POST":
            body = await self._body(receive)
            if body is None:
                return
            if isinstance(body, bytes):
                receive = _replayed(body, receive)
            else:
                refused = body
        if refused is None:
            await self.app(scope, receive, send)
            return
        extra = {401: {"www-authenticate": "Bearer"}, 408: {"connection": "close"}, 413: {"connection": "close"}}
        await response(refused, extra.get(refused.status))(scope, receive, send)

    def _refused(self, scope: Scope, heads: list[tuple[str, str]]) -> Answer | None:
        """Return why the head of a request is not in order."""
        head = dict(heads)
        hosts = [value for name, value in heads if name == "host"]
        if len(hosts) != 1 or hosts[0].lower().removesuffix(_port(hosts[0])) not in OWN_NAMES:
            return refusal(421, "WrongHost", f"expected one Host, a name of loopback, found {hosts}")
        if "origin" in head:
            return refusal(403, "WebPage", "requests of web pages are not answered; programs send no Origin")
        if scope["path"] not in OPEN_TO_ALL and not self._known(head.get("authorization", "")):
            return refusal(401, "Unauthorized", "expected Authorization: Bearer and the token of the service")
        if scope["method"] != "POST":
            return None
        media, *parameters = (part.strip().lower() for part in head.get("content-type", "").split(";"))
        if media != "application/json" or not set(parameters) <= {"", "charset=utf-8", 'charset="utf-8"'}:
            found = head.get("content-type", "none")
            return refusal(415, "WrongMediaType", f"expected Content-Type: application/json in UTF-8, found {found}")
        if head.get("content-encoding", "identity").strip().lower() != "identity":
            found = head["content-encoding"]
            return refusal(415, "WrongEncoding", f"expected a body that is not compressed, found {found}")
        length = head.get("content-length", "0")
        if not length.isdigit() or int(length[:20]) > self.max_bytes:
            return self._too_large(f"Content-Length: {length[:20]}")
        return None

    def _known(self, authorization: str) -> bool:
        if self.token is None:
            return True
        scheme, _, token = authorization.partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(token.strip().encode(), self.token.encode())

    async def _body(self, receive: Receive) -> bytes | Answer | None:
        """Return the whole body, why it was not read, or None where the client has left."""
        parts: list[bytes] = []
        size = 0
        with anyio.move_on_after(self.body_s):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return None
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                if size > self.max_bytes:
                    return self._too_large("more")
                if not message.get("more_body", False):
                    return b"".join(parts)
        return refusal(408, "TooSlow", f"expected the whole body within {self.body_s:g} s")

    def _too_large(self, found: str) -> Answer:
        return refusal(413, "TooLarge", f"expected a body of at most {self.max_bytes} bytes, found {found}")


def _port(host: str) -> str:
    """Return the end of a Host that names a port."""
    _, colon, port = host.rpartition(":")
    return f":{port}" if colon and port.isascii() and port.isdigit() else ""


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Return what hands over ``body`` at once, and after it what happens to the connection."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay
