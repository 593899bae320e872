"""How is a Prefect server asked? Over its REST API, with the client's own settings, and nothing is changed."""

import secrets
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
from prefect.settings import get_current_settings

TIMEOUT_S = 10.0
PAGE = 200
_CSRF = "Prefect-Csrf-"
_LOCKED_S = (0.5, 1.0, 2.0, 0.0)
"""Seconds to wait after each time that a server's SQLite was locked."""


@dataclass(frozen=True, slots=True)
class Api:
    """A server.

    Args:
        url: of its API, ending in ``/api``.
        client: that knows how to log in.
        verify: what its certificate is checked against, for a client that does not log in.
    """

    url: str
    client: httpx.Client
    verify: ssl.SSLContext | bool = True

    def get(self, path: str) -> httpx.Response:
        """Ask for ``path``, below the address of the API."""
        return self.client.get(f"{self.url}{path}")

    def found(self, path: str) -> dict[str, Any] | None:
        """Return the object at ``path``; None where there is none.

        Raises:
            httpx.HTTPError: the server does not answer as it should.
        """
        answer = self.answer("GET", path)
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        found: dict[str, Any] = answer.raise_for_status().json()
        return found

    def ask(self, path: str, question: Mapping[str, object]) -> Any:
        """Return what the server answers to a question that changes nothing.

        Raises:
            httpx.HTTPError: it does not answer as it should.
        """
        return self.answer("POST", path, question).raise_for_status().json()

    def answer(self, method: str, path: str, question: Mapping[str, object] | None = None) -> httpx.Response:
        """Return what the server answers in the end: it is asked again while its SQLite is locked."""
        for wait_s in _LOCKED_S:
            answer = self.client.request(method, f"{self.url}{path}", json=question)
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                break
            time.sleep(wait_s)
        return answer

    def every(self, path: str, question: Mapping[str, object], most: int = 2_000) -> list[dict[str, Any]]:
        """Return all objects that answer a question, page by page."""
        found: list[dict[str, Any]] = []
        while len(found) < most:
            page = self.ask(path, {**question, "limit": PAGE, "offset": len(found)})
            found += page
            if len(page) < PAGE:
                break
        return found

    @property
    def on_this_machine(self) -> bool:
        """Whether nobody else can hear what is said."""
        return urlsplit(self.url).hostname in ("127.0.0.1", "::1", "localhost")


@contextmanager
def api_of_settings() -> Iterator[Api | None]:
    """Return the server that Prefect's settings name; None where they name none."""
    settings = get_current_settings()
    if not settings.api.url:
        yield None
        return
    url = settings.api.url.rstrip("/")
    headers = dict(settings.client.custom_headers)
    login = None
    if settings.api.auth_string is not None:
        user, _, password = settings.api.auth_string.get_secret_value().partition(":")
        login = httpx.BasicAuth(user, password)
    elif settings.api.key is not None:
        headers["Authorization"] = f"Bearer {settings.api.key.get_secret_value()}"
    trust: bool | str = settings.api.ssl_cert_file or True
    if settings.api.tls_insecure_skip_verify:
        trust = False
    verify = trust if isinstance(trust, bool) else ssl.create_default_context(cafile=trust)
    with httpx.Client(auth=login, headers=headers, timeout=TIMEOUT_S, verify=verify) as client:
        yield Api(url, client, verify)


def log_in(api: Api) -> None:
    """Get the token without which some servers answer no questions; those that want none have none."""
    name = f"doctor-{secrets.token_hex(8)}"
    with suppress(httpx.HTTPError, ValueError, KeyError, TypeError):
        answer = api.client.get(f"{api.url}/csrf-token", params={"client": name})
        if answer.is_success:
            api.client.headers.update({f"{_CSRF}Client": name, f"{_CSRF}Token": str(answer.json()["token"])})
