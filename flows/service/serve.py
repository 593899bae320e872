"""How is the service started? On loopback only, with its workers warm before the port answers."""

import os
import signal
import socket
from contextlib import suppress
from typing import Never

import typer
import uvicorn

from data.errors import BadRecord, SourceUnavailable
from flows.service.app import application
from flows.service.connection import PunctualProtocol
from flows.service.workers import Workers

HOST = "127.0.0.1"
TOKEN = "QUANTUMFLOW_HTTP_TOKEN"  # noqa: S105  # the name of a variable
TOKEN_LENGTH = 16
CONNECTIONS = 64
"""Open at a time; uvicorn answers 503 beyond."""


def serve_programs(port: int, workers: int, limit_s: float, max_bytes: int) -> None:
    """Serve until Ctrl-C or SIGTERM.

    Args:
        port: on 127.0.0.1.
        workers: requests that are answered at a time.
        limit_s: seconds that an answer may take.
        max_bytes: of a body.

    Raises:
        BadRecord: the token in the environment is too short to keep anybody out.
        SourceUnavailable: the port is taken, or a worker does not start.
    """
    token = os.environ.get(TOKEN)
    if token is not None and (len(token) < TOKEN_LENGTH or not token.isascii()):
        raise BadRecord(TOKEN, f"at least {TOKEN_LENGTH} ASCII characters", f"{len(token)} characters")
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((HOST, port))
        except OSError as error:
            raise SourceUnavailable(f"port {port} of {HOST}: {error.strerror}; choose another with --port") from error
        typer.echo(f"starting {workers} worker(s)", err=True)
        signal.signal(signal.SIGTERM, _interrupt)  # uvicorn raises it again when it has ended
        with suppress(KeyboardInterrupt), Workers(workers, limit_s) as answers:
            config = uvicorn.Config(
                application(answers, token=token, max_bytes=max_bytes),
                http=PunctualProtocol,
                ws="none",
                lifespan="off",
                access_log=False,
                log_level="warning",
                server_header=False,
                limit_concurrency=CONNECTIONS,
                timeout_keep_alive=5,
                timeout_graceful_shutdown=5,
            )
            asks = f"with the token of {TOKEN}" if token else f"without a token (set {TOKEN} to ask for one)"
            typer.echo(f"http://{HOST}:{port} answers {asks}; GET /openapi.json says what (Ctrl-C ends it)", err=True)
            uvicorn.Server(config).run(sockets=[listening])


def _interrupt(_signal: int, _frame: object) -> Never:
    raise KeyboardInterrupt
