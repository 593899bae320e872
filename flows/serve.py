"""How is everything tried on one machine? A Prefect server on loopback, and one process that serves all deployments."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import typer

from data.errors import SourceUnavailable

HOST = "127.0.0.1"
START_S = 600.0
"""The first start migrates the database; as long as the server lives, a slow machine is waited for."""

AGAIN_S = (5.0, 20.0, 60.0)
"""How long deployments wait until they are served once more."""

CHECK_S = 2.0
"""How often it is looked whether the server still lives."""

_GUARD = {"PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED": "true"}
"""There is no password here: without tokens a web page in the browser could make deployments, and run them."""

KEPT = {
    "PREFECT_SERVER_EVENTS_RETENTION_PERIOD": "P7D",
    "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
    "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": "7776000",
}
"""For how long the server keeps what it knows, as in deployments/server.env: a schedule adds about a megabyte a run."""

LOG = "server.log"
LAST_LINES = 15


def serve_everything(port: int) -> None:
    """Start the server, serve the deployments of prefect.yaml, and end both on Ctrl-C or SIGTERM.

    Where deployments could not be served, as on a machine so slow that the server did not answer in time, that is
    tried again a few times: the server stays.

    Raises:
        SourceUnavailable: the port is taken, the server did not start or ended (the end of its log says why), or the
            deployments could not be served for a while.
    """
    api = f"http://{HOST}:{port}/api"
    if not _free(port):
        raise SourceUnavailable(f"port {port} of {HOST}: expected it free, found a program there; choose with --port")
    environment = {**_GUARD, **KEPT, **os.environ, **_settings(port)}
    environment.pop("PREFECT_API_URL", None)
    log = Path(environment.get("PREFECT_HOME", ".prefect")) / LOG
    typer.echo(f"starting the server; the first start makes its database, up to a minute (its log: {log})")
    command = [sys.executable, "-m", "prefect", "server", "start"]
    with log.open("wb") as output:
        server = subprocess.Popen(command, env=environment, stdout=output, stderr=output)  # noqa: S603  # our own interpreter
    served: subprocess.Popen[bytes] | None = None

    def end(_signal: int, _frame: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)
    try:
        _wait(api, server, log)
        environment["PREFECT_API_URL"] = api
        typer.echo(f"UI at http://{HOST}:{port}  (Ctrl-C ends the server)")
        for wait_s in (*AGAIN_S, None):
            served = subprocess.Popen([sys.executable, "-m", "flows.served"], env=environment, cwd=Path.cwd())
            code = _ended(served, server, log)
            if not code:
                break
            told = f"serving the deployments ended with exit code {code}"
            if wait_s is None:
                raise SourceUnavailable(f"{told}, {len(AGAIN_S) + 1} times")
            typer.echo(f"{told}; once more in {wait_s:g} s")
            time.sleep(wait_s)
    except KeyboardInterrupt:
        typer.echo("ending")
    finally:
        for process in (served, server):
            if process is not None:
                _end(process)


def _settings(port: int) -> dict[str, str]:
    """Return where the server listens, and from which addresses a browser may call it."""
    return {
        "PREFECT_SERVER_API_HOST": HOST,
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS": f"http://{HOST}:{port},http://localhost:{port}",
    }


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server will, after one that just ended
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _answers(api: str) -> bool:
    try:
        return httpx.get(f"{api}/health", timeout=2.0).is_success
    except httpx.HTTPError:
        return False


def _wait(api: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        _refuse_an_end(server, log)
        if _answers(api):
            return
        time.sleep(0.5)
    raise SourceUnavailable(f"the Prefect server did not answer at {api} within {START_S:.0f} s{_end_of(log)}")


def _refuse_an_end(server: "subprocess.Popen[bytes]", log: Path) -> None:
    if server.poll() is not None:
        raise SourceUnavailable(f"the Prefect server ended with exit code {server.returncode}{_end_of(log)}")


def _ended(served: "subprocess.Popen[bytes]", server: "subprocess.Popen[bytes]", log: Path) -> int:
    """Return the exit code of what serves the deployments, once it ended."""
    while True:
        _refuse_an_end(server, log)
        try:
            return served.wait(CHECK_S)
        except subprocess.TimeoutExpired:
            continue


def _end_of(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-LAST_LINES:]
    return "".join(f"\n  {line}" for line in (f"the end of {log}:", *lines))


def _end(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(20.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
