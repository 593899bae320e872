"""What does a Prometheus server answer to one query? Its HTTP API, asked safely."""

import json
import math
import os
import ssl
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import SplitResult, urlsplit

import httpx
import numpy as np
from numpy.typing import NDArray

from data.errors import BadRecord, BadSource, SourceUnavailable

MAX_RESPONSE_BYTES = 256 << 20
"""About 100,000 series of 100 samples; more than that needs a longer step."""

MAX_TIME_S = 1e11
"""Later than this is no time in Unix seconds, but perhaps one in milliseconds."""

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_TOO_MANY = 429
_MASK = "***"


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """One series of an answer: labels, times in Unix seconds and values, each ``(samples,)``; NaN is no number."""

    labels: dict[str, str]
    times_s: NDArray[np.float64]
    values: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """The series of one answer, what in it was malformed, and the server's warnings."""

    series: tuple[Series, ...]
    set_aside: tuple[BadRecord, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class PrometheusApi:
    """A server to ask; made by :func:`prometheus_api`.

    Args:
        url: base address, without ``/api/v1``.
        timeout_s: seconds that one whole answer may take.
        max_bytes: bytes that one answer may have.
        token: what the client sends; a server that echoes it does not get it into a message of ours.
    """

    url: str
    client: httpx.Client
    timeout_s: float
    max_bytes: int = MAX_RESPONSE_BYTES
    token: str = field(default="", repr=False)

    def instant(self, query: str, *, at_s: float | None = None) -> Answer:
        """Return the value of ``query`` at a moment in Unix seconds, the server's own now by default.

        Raises:
            SourceUnavailable: no answer in time, the server failed, or it is too busy.
            BadSource: it refused the query, redirected, or answered something else.
        """
        parameters = {"query": query} if at_s is None else {"query": query, "time": f"{at_s:.3f}"}
        return self._ask("query", parameters, "vector")

    def range(self, query: str, *, start_s: float, end_s: float, step_s: float) -> Answer:
        """Return the values of ``query`` from start to end, both included, every ``step_s`` seconds.

        Raises:
            SourceUnavailable: no answer in time, the server failed, or it is too busy.
            BadSource: it refused the query, redirected, or answered something else.
        """
        times = {"start": f"{start_s:.3f}", "end": f"{end_s:.3f}", "step": f"{step_s:.3f}"}
        return self._ask("query_range", {"query": query, **times}, "matrix")

    def now_s(self) -> float:
        """Return the server's clock in Unix seconds."""
        document = self._document("query", {"query": "time()"})
        try:
            now = float(document["data"]["result"][1])
        except (KeyError, IndexError, TypeError, ValueError):
            raise self._refused("the server's time", document.get("data")) from None
        if not 0 <= now <= MAX_TIME_S:
            raise self._refused("a time in Unix seconds", now)
        return now

    def _ask(self, endpoint: str, parameters: dict[str, str], kind: Literal["vector", "matrix"]) -> Answer:
        document = self._document(endpoint, parameters)
        data = document.get("data")
        results = data.get("result") if isinstance(data, dict) and data.get("resultType") == kind else None
        if not isinstance(results, list):
            raise self._refused(f"a {kind}", data)
        series: list[Series] = []
        bad: list[BadRecord] = []
        for index, result in enumerate(results):
            try:
                times_s, values = _samples(result["values"] if kind == "matrix" else [result["value"]])
                labels = dict(result["metric"].items())
                _require(labels.values(), str)
            except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
                path = f"{self.url}: {parameters['query']}: result[{index}]"
                bad.append(BadRecord(path, "labels and [time, text] samples", self._masked(repr(result))[:120]))
            else:
                series.append(Series(labels, times_s, values))
        warnings = document.get("warnings")
        said = tuple(self._masked(str(warning))[:300] for warning in warnings) if isinstance(warnings, list) else ()
        return Answer(tuple(series), tuple(bad), said)

    def _document(self, endpoint: str, parameters: dict[str, str]) -> dict[str, Any]:
        try:
            status, location, body = self._get(f"{self.url}/api/v1/{endpoint}", parameters)
        except httpx.TransportError as error:
            if _is_certificate_error(error):
                raise self._refused("a certificate that can be verified", str(error)) from error
            said = self._masked(str(error)) or type(error).__name__
            cause = error if said == str(error) else None  # a status line may hold the token too
            raise SourceUnavailable(f"{self.url}: no answer to {parameters['query']!r}: {said}") from cause
        except httpx.DecodingError as error:
            raise self._refused("a body that can be decoded", str(error)) from error
        if 300 <= status < 400:
            raise self._refused("an answer, not a redirect", f"HTTP {status} to {location!r}")
        document: Any = None
        with suppress(ValueError, RecursionError):
            document = json.loads(body)
        complaint = document.get("error") if isinstance(document, dict) else None
        head = body[: 120 * (1 + len(self.token))].decode(errors="replace")  # 120 are left of it, whatever is masked
        said = self._masked(str(complaint))[:300] if complaint else self._masked(head)[:120]
        found = f"HTTP {status}: {said!r}"
        if status >= 500 or status == _TOO_MANY:
            raise SourceUnavailable(f"{self.url}: {parameters['query']!r}: {found}")
        if status >= 400 or not isinstance(document, dict) or document.get("status") != "success":
            raise self._refused(f"an answer to {parameters['query']!r}", found)
        return document

    def _get(self, address: str, parameters: dict[str, str]) -> tuple[int, str, bytes]:
        """Return status, redirect target and body; the clock and the size are watched while the body comes in."""
        deadline = time.monotonic() + self.timeout_s
        body = bytearray()
        with self.client.stream("GET", address, params=parameters) as response:
            for chunk in response.iter_bytes():  # as they arrive: a fixed size would wait for the last byte of each
                body += chunk
                if len(body) > self.max_bytes:
                    raise self._refused(f"at most {self.max_bytes} bytes (a longer step asks for less)", "more")
                if time.monotonic() > deadline:
                    raise httpx.ReadTimeout(f"not finished after {self.timeout_s:g} s")
            return response.status_code, self._masked(response.headers.get("location", ""))[:200], bytes(body)

    def _refused(self, expected: str, found: object) -> BadSource:
        said = found if isinstance(found, str) else repr(found)
        return BadSource(self.url, [BadRecord(self.url, expected, self._masked(said)[:400])])

    def _masked(self, text: str) -> str:
        """Return ``text`` without the token, before it is cut: half a token would not be found."""
        if not self.token:
            return text
        return text.replace(self.token, _MASK).replace(repr(self.token)[1:-1], _MASK)


@contextmanager
def prometheus_api(
    url: str, *, timeout_s: float = 30.0, token_variable: str | None = None, max_bytes: int = MAX_RESPONSE_BYTES
) -> Iterator[PrometheusApi]:
    """Open a connection to the server at ``url``; certificates are verified, proxies and redirects are not followed.

    Args:
        url: ``http`` or ``https`` address, with a path where Prometheus has one, e.g. ``https://host/prometheus``.
        timeout_s: seconds that one whole answer may take.
        token_variable: name of the environment variable that holds a bearer token. It is sent over https, or to
            the loopback address, and nowhere else.
        max_bytes: bytes that one answer may have.

    Raises:
        ValueError: the address is no such address or holds credentials, or the variable is empty or not set.
    """
    parts = _address(url)
    if not (math.isfinite(timeout_s) and timeout_s > 0):
        raise ValueError(f"timeout_s: expected seconds above 0, got {timeout_s}")
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    token = ""
    if token_variable is not None:
        token = os.environ.get(token_variable, "").strip()
        if not token or not token.isascii() or not token.isprintable():
            raise ValueError(f"token_variable: {token_variable} holds no token")
        if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
            raise ValueError(f"token_variable: a token is not sent over plain http to {parts.hostname}")
        headers["Authorization"] = f"Bearer {token}"
    # trust_env=False: no proxy and no .netrc from the environment decides where the token goes
    with httpx.Client(
        headers=headers,
        timeout=timeout_s,
        follow_redirects=False,
        trust_env=False,
        verify=ssl.create_default_context(),
    ) as client:
        yield PrometheusApi(url.rstrip("/"), client, timeout_s, max_bytes, token)


def _address(url: str) -> SplitResult:
    """Return the parts of a base address; messages leave out what stands before an @."""
    try:
        parts = urlsplit(url)
        httpx.URL(url)
    except (ValueError, httpx.InvalidURL):
        parts = SplitResult("", "", "", "", "")
    if "@" in parts.netloc:
        raise ValueError("url: credentials do not belong in an address; give the name of a token variable")
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f"url: expected http(s)://host[:port][/path], got {url.rpartition('@')[2]!r}")
    return parts


def _samples(pairs: list[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return times and values of ``[seconds, "number"]`` pairs, as arrays since there are millions of them."""
    moments, texts = zip(*pairs, strict=True) if pairs else ((), ())
    _require(moments, int, float)
    _require(texts, str)
    times_s = np.array(moments, dtype=np.float64)
    if not np.all((times_s >= 0) & (times_s <= MAX_TIME_S)):
        raise ValueError("not times in Unix seconds")
    return times_s, np.array([_number(text) for text in texts], dtype=np.float64)


def _require(values: Iterable[Any], *types: type) -> None:
    if not set(map(type, values)) <= set(types):
        raise TypeError(f"not of {types}")


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _is_certificate_error(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False
