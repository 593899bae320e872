"""How is everything tried on one machine? A Prefect server on loopback, and one process that serves all deployments."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import typer

from data.errors import SourceUnavailable

HOST = "127.0.0.1"
START_S = 180.0
"""The first start migrates the database, which takes a while."""


def serve_everything(port: int) -> None:
    """Start the server, serve the deployments of prefect.yaml, and end both on Ctrl-C or SIGTERM.

    Raises:
        SourceUnavailable: the port is taken, or the server did not start.
    """
    api = f"http://{HOST}:{port}/api"
    if _answers(api):
        raise SourceUnavailable(f"port {port} of {HOST}: a server answers there already; choose another with --port")
    environment = {**os.environ, "PREFECT_SERVER_API_PORT": str(port), "PREFECT_SERVER_API_HOST": HOST}
    environment.pop("PREFECT_API_URL", None)
    command = [sys.executable, "-m", "prefect", "server", "start"]
    server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)  # noqa: S603  # our own interpreter
    served: subprocess.Popen[bytes] | None = None

    def end(_signal: int, _frame: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)
    try:
        _wait(api, server)
        environment["PREFECT_API_URL"] = api
        served = subprocess.Popen([sys.executable, "-m", "flows.served"], env=environment, cwd=Path.cwd())
        typer.echo(f"UI at http://{HOST}:{port}  (Ctrl-C ends the server)")
        code = served.wait()
        if code:
            raise SourceUnavailable(f"serving the deployments ended with exit code {code}")
    except KeyboardInterrupt:
        typer.echo("ending")
    finally:
        for process in (served, server):
            if process is not None:
                _end(process)


def _answers(api: str) -> bool:
    try:
        return httpx.get(f"{api}/health", timeout=2.0).is_success
    except httpx.HTTPError:
        return False


def _wait(api: str, server: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise SourceUnavailable(f"the Prefect server ended with exit code {server.returncode}")
        if _answers(api):
            return
        time.sleep(0.5)
    raise SourceUnavailable(f"the Prefect server did not answer at {api} within {START_S:.0f} s")


def _end(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(20.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
