"""Where does a person find the page that a run wrote? A path for programs, and an address where one is served."""

import os
from pathlib import Path
from urllib.parse import quote, urlsplit

from prefect.artifacts import create_link_artifact

RUNS_URL = "QUANTUMFLOW_RUNS_URL"
"""Names the address at which the folder ``runs`` of QUANTUMFLOW_ROOT is served, e.g. by deployments/nginx.conf."""


def publish_page(page: Path, key: str, description: str) -> None:
    """Publish links to a page: its path as ``KEY-report``, and ``KEY-page`` where browsers can open it.

    No browser follows the link to a file on another machine, which programs take the path of a run's folder from.
    """
    page = page.resolve()
    create_link_artifact(page.as_uri(), key=f"{key}-report", link_text="Report", description=description)
    if address := address_of(page):
        create_link_artifact(address, key=f"{key}-page", link_text="Report", description=f"{description}, served")


def address_of(page: Path) -> str:
    """Return the address of a page; empty where none is served, or not this one."""
    base = os.environ.get(RUNS_URL, "")
    runs = Path(os.environ.get("QUANTUMFLOW_ROOT") or ".").resolve() / "runs"
    if urlsplit(base).scheme not in ("http", "https") or not page.is_relative_to(runs):
        return ""
    return f"{base.rstrip('/')}/{quote(page.relative_to(runs).as_posix())}"
