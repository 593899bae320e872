"""Facts about asking a Prometheus server that fails, lies, dawdles, or is another's."""

import datetime
import gzip
import itertools
import json
import ssl
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from data.errors import BadSource, SourceUnavailable
from data.readers.prometheus.api import prometheus_api
from data.readers.prometheus.series import read_series
from data.schemas.cluster import Node

Reply = tuple[int, dict[str, str], bytes | Iterable[bytes]]
Answering = Callable[[str, dict[str, str], dict[str, str]], Reply]
Serving = Callable[[Answering], AbstractContextManager[str]]

VARIABLE, ABSENT, SPLIT = "SITE_TOKEN", "NO_SUCH_TOKEN", "SPLIT_TOKEN"

NODES = (Node(id="gpu-01", gpu_model="H100", gpus=2, nvlink_domain="gpu-01", rack="r"),)


def read(url: str, *, timeout_s: float = 5.0, token_variable: str | None = None) -> object:
    return read_series(url, NODES, range_s=300.0, step_s=60.0, timeout_s=timeout_s, token_variable=token_variable)


def always(reply: Reply) -> Answering:
    def answering(path: str, parameters: dict[str, str], headers: dict[str, str]) -> Reply:
        return reply

    return answering


@pytest.mark.parametrize(
    ("status", "answer", "error", "said"),
    [
        (503, b"starting", SourceUnavailable, "HTTP 503: 'starting'"),
        (429, b"", SourceUnavailable, "HTTP 429"),
        (400, b'{"status":"error","error":"invalid parameter"}', BadSource, "HTTP 400: 'invalid parameter'"),
        (401, b"<html>who are you</html>", BadSource, "HTTP 401"),
        (200, b'{"status":"error","error":"query timed out"}', BadSource, "query timed out"),
        (200, b'{"status":"succ', BadSource, "HTTP 200"),
        (200, b"[" * 100_000, BadSource, "HTTP 200"),
        (200, b'{"status":"success","data":{"resultType":"string"}}', BadSource, "the server's time"),
        (200, b'{"status":"success","data":{"result":[0,"NaN"]}}', BadSource, "a time in Unix seconds"),
    ],
)
def test_failures_are_told_apart_and_carry_the_servers_own_words(
    status: int, answer: bytes, error: type[Exception], said: str, serving: Serving
) -> None:
    with serving(always((status, {}, answer))) as url, pytest.raises(error, match=said):
        read(url)


def test_a_redirect_is_refused(serving: Serving) -> None:
    with (
        serving(always((302, {"Location": "http://169.254.169.254/"}, b""))) as url,
        pytest.raises(BadSource, match=r"not a redirect, found HTTP 302 to 'http://169"),
    ):
        read(url)


def test_a_refused_connection_is_unavailable(serving: Serving) -> None:
    with serving(always((200, {}, b""))) as url:
        pass
    with pytest.raises(SourceUnavailable, match="no answer"):
        read(url)


def test_a_body_shorter_than_announced_is_unavailable(serving: Serving) -> None:
    with (
        serving(always((200, {"Content-Length": "1000"}, [b'{"status":']))) as url,
        pytest.raises(SourceUnavailable, match="no answer"),
    ):
        read(url)


def test_an_answer_that_drips_is_cut_off_at_the_deadline(serving: Serving) -> None:
    def drops() -> Iterator[bytes]:
        for _ in itertools.repeat(b" ", 600):
            time.sleep(0.05)
            yield b" "

    with serving(always((200, {}, drops()))) as url:
        started = time.monotonic()
        with pytest.raises(SourceUnavailable, match=r"not finished after 0\.3 s"):
            read(url, timeout_s=0.3)
        assert time.monotonic() - started < 15.0  # of the 30 that it would drip


def test_an_answer_above_the_size_limit_is_refused_also_when_it_is_compressed(serving: Serving) -> None:
    large = gzip.compress(json.dumps({"warnings": ["x" * 5_000_000]}).encode())
    assert len(large) < 50_000
    with (
        serving(always((200, {"Content-Encoding": "gzip"}, large))) as url,
        prometheus_api(url, max_bytes=1_000_000) as api,
        pytest.raises(BadSource, match="at most 1000000 bytes"),
    ):
        api.instant("up")


def test_a_compressed_answer_that_is_damaged_is_refused(serving: Serving) -> None:
    with (
        serving(always((200, {"Content-Encoding": "gzip"}, b"not gzip"))) as url,
        pytest.raises(BadSource, match="can be decoded"),
    ):
        read(url)


def test_the_token_comes_from_the_environment_and_no_proxy_sees_it(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def answering(path: str, parameters: dict[str, str], headers: dict[str, str]) -> Reply:
        seen.append(headers.get("Authorization", ""))
        return 401, {}, b""

    monkeypatch.setenv("SITE_TOKEN", "secret\n")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with serving(answering) as url, pytest.raises(BadSource) as caught:
        read(url, token_variable=VARIABLE)
    assert seen == ["Bearer secret"]
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        ((400, {}, b"you said Bearer s-e-c-r-e-t"), BadSource),
        ((500, {}, b"x" * 117 + b"s-e-c-r-e-t"), SourceUnavailable),
        ((400, {}, b'{"status":"error","error":"Bearer s-e-c\\u002dr-e-t"}'), BadSource),
        ((302, {"Location": "/?token=s-e-c-r-e-t"}, b""), BadSource),
        ((200, {}, b'{"status":"success","data":{"result":["s-e-c-r-e-t"]}}'), BadSource),
    ],
)
def test_a_server_that_echoes_the_token_does_not_get_it_into_a_message(
    reply: Reply, error: type[Exception], serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SITE_TOKEN", "s-e-c-r-e-t")
    with serving(always(reply)) as url, pytest.raises(error) as caught:
        read(url, token_variable=VARIABLE)
    assert "s-e" not in "".join(traceback.format_exception(caught.value))


def test_a_token_stays_off_plain_http_and_must_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SITE_TOKEN", "secret")
    monkeypatch.setenv("SPLIT_TOKEN", "two\nlines")
    with pytest.raises(ValueError, match="not sent over plain http"):
        read("http://prometheus.example", token_variable=VARIABLE)
    with pytest.raises(ValueError, match="NO_SUCH_TOKEN holds no token"):
        read("https://prometheus.example", token_variable=ABSENT)
    with pytest.raises(ValueError, match="SPLIT_TOKEN holds no token"):
        read("https://prometheus.example", token_variable=SPLIT)


class Quiet(ThreadingHTTPServer):
    """A server that expects handshakes to be refused."""

    def handle_error(self, request: object, client_address: object) -> None:
        pass


def test_a_certificate_that_nobody_known_signed_is_refused(tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(tmp_path))
    server = Quiet(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        with pytest.raises(BadSource, match="a certificate that can be verified"):
            read(f"https://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def self_signed(folder: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC))
        .not_valid_after(datetime.datetime(2120, 1, 1, tzinfo=datetime.UTC))
        .sign(key, hashes.SHA256())
    )
    path = folder / "self.pem"
    encoding, layout = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    private = key.private_bytes(encoding, layout, serialization.NoEncryption())
    path.write_bytes(private + certificate.public_bytes(encoding))
    return path


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ftp://host", "expected http"),
        ("ftp://user:word@host", "credentials"),
        ("user:word@host:9090", "expected http"),
        ("host:9090", "expected http"),
        ("http://user:word@host:9090", "credentials"),
        ("http://host:9090/?query=up", "expected http"),
        ("http://host:notaport", "expected http"),
        ("http://[::1", "expected http"),
    ],
)
def test_an_address_that_is_none_is_a_wrong_argument(url: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        read(url)
    assert "word" not in str(caught.value)


@pytest.mark.parametrize(("range_s", "step_s"), [(30.0, 60.0), (0.0, 0.0), (1e9, 1.0), (60.0, float("nan"))])
def test_a_range_that_does_not_fit_its_step_is_a_wrong_argument(range_s: float, step_s: float) -> None:
    with pytest.raises(ValueError, match=r"expected 0\.1 <= step_s"):
        read_series("http://127.0.0.1:1", NODES, range_s=range_s, step_s=step_s)


def test_warnings_of_the_server_and_malformed_series_come_with_the_answer(serving: Serving) -> None:
    result = [{"metric": {"a": "b"}, "value": [1.5, "2"]}, {"metric": {}, "value": [1.5, 2]}, "nothing"]
    document = {
        "status": "success",
        "data": {"resultType": "vector", "result": result},
        "warnings": ["a store is missing"],
    }
    with serving(always((200, {}, json.dumps(document).encode()))) as url, prometheus_api(url) as api:
        answer = api.instant("up")
    assert [(one.labels, one.times_s.tolist(), one.values.tolist()) for one in answer.series] == [
        ({"a": "b"}, [1.5], [2.0])
    ]
    assert len(answer.set_aside) == 2
    assert answer.warnings == ("a store is missing",)
