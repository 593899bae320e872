"""Facts about the addresses at which runs name their pages: only where somebody serves them, and what lies there."""

from pathlib import Path

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

from flows.report_link import RUNS_URL, address_of, publish_page

RUN = "20261122T120000Z-abcdef"


@pytest.mark.parametrize(
    ("base", "page", "found"),
    [
        ("https://there/runs", f"runs/{RUN}/report.html", f"https://there/runs/{RUN}/report.html"),
        ("https://there/runs/", f"runs/{RUN}/a b#c.html", f"https://there/runs/{RUN}/a%20b%23c.html"),
        ("", f"runs/{RUN}/report.html", ""),
        ("javascript:alert(1)//", f"runs/{RUN}/report.html", ""),
        ("https://there/runs", f"elsewhere/{RUN}/report.html", ""),
        ("https://there/runs", "runs/../secret/report.html", ""),
    ],
)
def test_a_page_has_an_address_where_its_folder_is_served(
    base: str, page: str, found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(RUNS_URL, base)
    monkeypatch.setenv("QUANTUMFLOW_ROOT", str(tmp_path))
    assert address_of((tmp_path / page).resolve()) == found


def test_a_run_links_to_its_page_by_path_and_where_it_is_served_by_address(
    prefect_server: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUANTUMFLOW_ROOT", str(tmp_path))
    page = tmp_path / "runs" / RUN / "report.html"
    for base, key in (("", "unserved"), ("https://there/runs", "served")):
        monkeypatch.setenv(RUNS_URL, base)
        flow(publish_page)(page, key, "The report")
    mine = ArtifactFilter(key=ArtifactFilterKey(like_="%served-%"))  # the server has those of other tests too
    with get_client(sync_client=True) as client:
        found = {str(each.key): str(each.data) for each in client.read_artifacts(artifact_filter=mine)}
    assert page.as_uri() in found["unserved-report"]
    assert "unserved-page" not in found
    assert page.as_uri() in found["served-report"]
    assert f"(https://there/runs/{RUN}/report.html)" in found["served-page"]
