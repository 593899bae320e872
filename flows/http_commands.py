"""What can be done from a terminal for programs? The service on loopback that answers at once."""

from typing import Annotated

import typer

from flows.told import told


def http(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on 127.0.0.1.")] = 4280,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Requests that are answered at a time.")] = 2,
    seconds: Annotated[float, typer.Option(min=0.1, max=600, help="That an answer may take.")] = 30.0,
    megabytes: Annotated[int, typer.Option(min=1, max=256, help="Largest body, in MiB.")] = 16,
) -> None:
    """Answer programs on 127.0.0.1 at once: route tokens, verify plans, check snapshots, schedule messages.

    Set QUANTUMFLOW_HTTP_TOKEN to ask for a bearer token of at least 16 characters. Ctrl-C ends it. What takes long,
    or is to be kept, is a run of a deployment: deployments/HTTP.md.
    """
    from flows.service.serve import serve_programs

    with told():
        serve_programs(port, workers, seconds, megabytes << 20)
