"""What does Prometheus read of plans? The newest of each cluster, and how applies ended; once, or as often as asked."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from data.errors import SourceUnavailable
from flows.told import told

LOOPBACK = "127.0.0.1"


def metrics(
    runs: Annotated[Path, typer.Argument(help="Folder of the runs.")] = Path("runs"),
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Serve them on this port, instead of printing them once.")
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to serve them on; another one than loopback lets the network read them.")
    ] = LOOPBACK,
) -> None:
    """Tell Prometheus of plans: age, cost in force, of the plan and proven, actions, fallbacks; and how applies ended.

    Printed once, for the textfile collector of node_exporter, or served until Ctrl-C. Plans are read again each time.
    Exit codes: 0 done, 1 no such folder, or the port is taken.
    """
    from prometheus_client import generate_latest, start_http_server

    from flows.journals import journal_folders
    from tasks.report.metrics import plan_registry

    with told():
        registry = plan_registry(runs, partial(journal_folders, runs))
        now = generate_latest(registry)  # also where they are served: a wrong folder is told at once
        if port is None:
            typer.echo(now.decode(), nl=False)
            return
        try:
            _server, thread = start_http_server(port, host, registry)
        except OSError as error:
            found = error.strerror or error
            raise SourceUnavailable(f"port {port} of {host}: expected to listen there, found: {found}") from error
        typer.echo(f"http://{host}:{port}/metrics  (Ctrl-C ends it)")
        thread.join()
