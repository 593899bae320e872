"""How does a Prefect server get what the deployments need? ``python -m deployments.provision``, again and again."""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from httpx import HTTPStatusError, TransportError
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.settings import PREFECT_API_URL
from rich.console import Console
from rich.table import Table
from rich.text import Text

from deployments.server_objects import Row, automations, blocks, limits, variables, work_pool
from flows.catalogue import entries
from tasks.report.plain import one_line

HERE = Path(__file__).resolve().parent
AUTOMATIONS = HERE / "automations.yaml"
TEMPLATES = HERE / "work_pools"
INCOMPLETE = ("missing", "differs", "wrong")
WIDTH = 118

DONE, NOT_DONE, NO_SERVER = 0, 1, 2


def provision(client: SyncPrefectClient, asked: argparse.Namespace) -> list[Row]:
    """Make on the server what is not there, or with ``asked.check`` only look; say what became of each thing."""
    check: bool = asked.check
    template = asked.template or TEMPLATES / f"{asked.type}.json"
    ours = template if asked.template or template.is_file() else None
    return [
        work_pool(client, asked.pool, asked.type, ours, check=check),
        *limits(client, check=check),
        *variables(client, check=check),
        *blocks(client, os.environ, check=check),  # before the automations, which name them
        *automations(client, asked.automations, check=check),
    ]


def main(words: Sequence[str] | None = None) -> int:
    """Provision the server of PREFECT_API_URL; return the exit code."""
    asked = arguments(words)
    logging.getLogger("prefect").setLevel(logging.ERROR)
    url = PREFECT_API_URL.value()
    if not url:
        return _told(NO_SERVER, "PREFECT_API_URL: expected the address of a server, e.g. http://127.0.0.1:4200/api")
    try:
        with get_client(sync_client=True) as client:
            rows = provision(client, asked)
    except (TransportError, HTTPStatusError, OSError, ValueError, RuntimeError) as error:
        return _told(NO_SERVER, _why(error, url))
    show(rows)
    incomplete = [row for row in rows if row.outcome in INCOMPLETE]
    if not incomplete:
        return DONE
    names = ", ".join(row.name for row in incomplete)
    return _told(NOT_DONE, f"{len(incomplete)} not as wanted: {names}")


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    """Return what a command line asks for; None means that of this process."""
    pool = str(entries()[0]["work_pool"]["name"])
    parser = argparse.ArgumentParser(
        prog="python -m deployments.provision",
        description="Make the work pool, concurrency limits, variables, blocks and automations that the deployments "
        "need, or mend them. Asks the server of PREFECT_API_URL, with PREFECT_API_AUTH_STRING if it has a password.",
        epilog="Exit codes: 0 all is there, 1 something is missing or wrong, 2 wrong usage or no server.",
    )
    parser.add_argument("--check", action="store_true", help="change nothing")
    parser.add_argument("--pool", default=pool, help=f"name of the work pool (default: {pool}, as in prefect.yaml)")
    parser.add_argument("--type", default="process", help="of the work pool: process (default), kubernetes, docker")
    parser.add_argument(
        "--template",
        type=Path,
        help="base job template, JSON (default: deployments/work_pools/TYPE.json, else Prefect's)",
    )
    parser.add_argument("--automations", type=Path, default=AUTOMATIONS, help="default: deployments/automations.yaml")
    return parser.parse_args(words)


def _why(error: Exception, url: str) -> str:
    """Say in one line what to do; a response may hold what was sent, so only its code is told."""
    if isinstance(error, HTTPStatusError):
        code = error.response.status_code
        if code in (401, 403):
            return f"{url}: the server refused PREFECT_API_AUTH_STRING ({code}); it must equal the server's own"
        return f"{url}: {error.request.method} {error.request.url.path} was answered with {code}; see the server's log"
    if isinstance(error, TransportError) or "Failed to reach API" in str(error):
        return f"{url}: no server answers; start it, or set PREFECT_API_URL to where it listens"
    return str(error)


def show(rows: Sequence[Row]) -> None:
    """Print what became of each thing; names and reasons come from the server, so nothing in them is markup."""
    table = Table(title="Prefect server", title_justify="left")
    for column in ("what", "name", "", "detail"):
        table.add_column(column, overflow="fold")
    colours = {"made": "green", "changed": "green", "not set": "yellow", "held": "yellow", "there": "dim"}
    for row in rows:
        outcome = Text(row.outcome, colours.get(row.outcome, "red"))
        table.add_row(Text(row.kind), _cell(row.name), outcome, _cell(row.detail))
    console = Console()
    (console if console.is_terminal else Console(width=WIDTH)).print(table)


def _cell(text: str) -> Text:
    return Text(one_line(" ".join(text.split())))


def _told(code: int, *lines: str) -> int:
    sys.stderr.writelines(f"{line}\n" for line in lines)
    return code


if __name__ == "__main__":
    sys.exit(main())
