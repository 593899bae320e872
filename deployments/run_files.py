"""How does another machine get what a run wrote? From where its pages are served, with the server's own password."""

import re
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

from httpx import HTTPError
from prefect.client.schemas.objects import Artifact

from data.errors import BadRecord, BadSource
from data.readers.plan import read_plan
from data.whole_file import whole_file
from flows.doctor.api import Api, api_of_settings
from flows.run_folder import PLAN, REPORT

MOST_BYTES = 64 * 1024 * 1024
_PAGE = re.compile(r"\((https?://[^)\s]+/)[a-z]+\.html\)")


def fetch(artifacts: Iterable[Artifact], sha256: str, output: Path) -> list[str]:
    """Write plan and report of a run to ``output``, and return what was not fetched, and why.

    The password is sent to the host of PREFECT_API_URL alone, since an artifact is what whoever may write one says.

    Args:
        artifacts: of the run; one whose key ends in ``-page`` links to where its pages are served.
        sha256: that the plan must have; empty where nobody told it.
        output: a folder.
    """
    pages = [str(each.data) for each in artifacts if each.key and each.key.endswith("-page")]
    found = next((match[1] for page in pages if (match := _PAGE.search(page))), "")
    if not found:
        return ["plan and report stay on the worker: the run names no address of them (QUANTUMFLOW_RUNS_URL)"]
    with api_of_settings() as api:
        if api is None or _host(found) != _host(api.url):
            return [f"plan and report are served by {urlsplit(found).hostname}, which is not asked with this password"]
        missed = []
        for name in (PLAN, REPORT):
            try:
                _write(api, f"{found}{name}", output / name)
            except (HTTPError, BadRecord) as error:
                missed.append(f"{name}: {error}")
    if (output / PLAN).is_file():
        try:
            plan = read_plan(output / PLAN)
            if sha256 and plan.sha256 != sha256:
                missed.append(f"{PLAN}: expected the plan {sha256}, found {plan.sha256}")
        except (BadRecord, BadSource) as error:
            missed.append(f"{PLAN}: {error}")
    return missed


def _host(address: str) -> str | None:
    return urlsplit(address).hostname


def _write(api: Api, address: str, path: Path) -> None:
    content = bytearray()
    with api.client.stream("GET", address) as answer:
        answer.raise_for_status()
        for part in answer.iter_bytes():
            content += part
            if len(content) > MOST_BYTES:
                raise BadRecord(address, f"at most {MOST_BYTES} bytes", "more")
    with whole_file(path) as file:
        file.write(bytes(content))
