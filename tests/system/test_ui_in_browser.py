"""A person at the Prefect UI, in a real browser: fills in a deployment's form, runs it and reads what came of it.

``.ci/install_chromium.sh`` installs what is needed. With ``QUANTUMFLOW_SCREENSHOTS`` the pictures go to that folder.
"""

import os
import shutil
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(
        shutil.which("chromium") is None, reason="not installed: chromium (see .ci/install_chromium.sh)"
    ),
]

PATIENCE_S = 600.0
PRESSES, BUSY = 5, 503
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--no-first-run", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)  # fmt: skip


@pytest.fixture(scope="module")
def served(prefect_api, prefect_environment, background, until, tmp_path_factory):
    """The API of a server that `python -m flows serve` started, with all deployments registered."""
    log = tmp_path_factory.mktemp("serve") / "serve.log"
    command = [sys.executable, "-m", "flows", "serve", "--port", str(prefect_api.port)]
    with background(command, log, prefect_environment):
        until(lambda: "manual" in prefect_api.deployments(), PATIENCE_S, log)
        yield prefect_api


@pytest.fixture
def page(served):
    """A page of Chromium that knows no other address than the server's."""
    from playwright.sync_api import sync_playwright

    own = f"http://127.0.0.1:{served.port}/"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        page = browser.new_page(viewport={"width": 1400, "height": 1000}, base_url=own)
        page.set_default_timeout(1000.0 * PATIENCE_S)
        yield page
        browser.close()


def pictured(page, name, folder):
    """Photograph the page, and make sure that there is something on it."""
    from matplotlib.image import imread

    path = Path(os.environ.get("QUANTUMFLOW_SCREENSHOTS", folder)) / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=path)
    picture = imread(path)[..., :3]
    assert (abs(picture - picture[-2, -2]).max(axis=2) > 0.05).mean() > 0.02, f"{name}: an empty page"


def submitted(page):
    """Press Submit, again where the database was busy as ``deployments/LAPTOP.md`` says, and return the run."""

    def last(answer):
        created = answer.url.endswith("/create_flow_run")
        return created or (answer.status == BUSY and answer.url.endswith("/ui/schemas/validate"))

    for _ in range(PRESSES):
        with page.expect_response(last) as awaited:
            page.get_by_role("button", name="Submit").click()
        answer = awaited.value
        if answer.status != BUSY:
            break
    assert answer.status == 201, answer.text()
    return answer.json()


def test_a_run_from_the_form_to_its_artifacts(served, page, until, tmp_path):
    page.goto("/")
    page.get_by_role("link", name="Deployments").click()
    page.get_by_role("link", name="manual", exact=True).click()
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Custom run").click()
    page.get_by_label("Select Sample").click()
    page.get_by_role("option", name="over-cap").click()
    page.get_by_label("Seed (Optional)").fill("7")
    page.get_by_label("Output folder (Optional)").fill(str(tmp_path))
    pictured(page, "form", tmp_path)
    run = submitted(page)
    params = run["parameters"]["params"]
    assert (params["source"]["name"], params["seed"], params["effort"]) == ("over-cap", 7, "quick")
    until(lambda: served.ended(run["id"]), PATIENCE_S)
    assert served.state(run["id"]) == "COMPLETED", served.of_run("logs", run["id"])

    page.goto(f"/v2/runs/flow-run/{run['id']}")
    page.get_by_text("run.finished").wait_for()
    pictured(page, "run", tmp_path)
    page.get_by_role("tab", name="Artifacts").click()
    page.get_by_text("optimize-cluster-summary").first.wait_for()
    pictured(page, "artifacts", tmp_path)
    page.get_by_text("optimize-cluster-summary").first.click()
    summary = next(each for each in served.of_run("artifacts", run["id"]) if each["key"] == "optimize-cluster-summary")
    page.get_by_text(summary["id"][:8]).click()
    page.get_by_role("cell", name="peak draw", exact=True).wait_for()
    pictured(page, "summary", tmp_path)
    assert (tmp_path / "latest" / "plan.json").is_file()


def test_the_form_refuses_what_the_schema_refuses(served, page, tmp_path):
    before = served.client.post("/api/flow_runs/count", json={}).json()
    page.goto(f"/v2/deployments/deployment/{served.deployments()['manual']['id']}/run")
    seed = page.get_by_label("Seed (Optional)")
    seed.fill("-1")
    page.get_by_role("button", name="Submit").click()
    page.wait_for_timeout(2000)
    pictured(page, "refused", tmp_path)
    assert "0" in seed.evaluate("field => field.validationMessage"), "the browser names the smallest value"
    assert page.url.endswith("/run"), "the form stays"
    assert served.client.post("/api/flow_runs/count", json={}).json() == before
