"""Facts about a fleet's report.html in a real browser: its map draws, in light and dark, and its console stays silent.

``.ci/install_chromium.sh`` installs what is needed.
"""

from pathlib import Path

import numpy as np
import pytest

from data.readers.fleet.fleet_file import read_fleet
from flows.fleet_params import SAMPLE
from tasks.fleet.latency_frontier import LatencyChoice
from tasks.fleet.model import fleet_model
from tasks.fleet.plan import Account, assemble_fleet_plan
from tasks.fleet.programme import place_fleet
from tasks.fleet.waves import rollout
from tasks.report.fleet_page import render_fleet_report
from tasks.validation.fleet import verify_fleet_plan
from tests.system.test_report_in_browser import CHROMIUM, photographed

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(CHROMIUM is None, reason="not installed: chromium (see .ci/install_chromium.sh)"),
]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a plan for the sample."""
    fleet = read_fleet(SAMPLE).fleet
    model = fleet_model(fleet)
    placed = place_fleet(model, gap=0.01, seconds=60.0)
    waves = rollout(model, placed.nodes).waves
    plan = assemble_fleet_plan(
        model, placed.nodes, flows=placed.flows, waves=waves, account=Account(), code_version="0", options="{}", seed=0
    )
    cost = placed.cost_usd_per_h
    frontier = (LatencyChoice(40.0, None, None, "too near"), LatencyChoice(80.0, 1.1 * cost, cost))
    path = tmp_path_factory.mktemp("fleet") / "report.html"
    verdict = verify_fleet_plan(plan, fleet)
    path.write_text(render_fleet_report(plan, fleet, verdict, frontier=frontier), encoding="utf-8")
    return path


@pytest.mark.parametrize(("flags", "low", "high"), [((), 0.8, 1.0), (("--force-dark-mode",), 0.0, 0.35)])
def test_the_map_draws_in_light_and_dark_and_the_console_is_silent(
    report: Path, flags: tuple[str, ...], low: float, high: float
) -> None:
    picture, console = photographed(report, *flags)
    assert console == []
    assert low < picture.mean() < high
    colours = np.unique((picture.reshape(-1, 3) * 15).astype(int), axis=0)
    assert len(colours) > 60, "dots and lines are coloured"
    blue = (picture[..., 2] - picture[..., 0] > 0.25).mean()
    orange = (picture[..., 0] - picture[..., 2] > 0.25).mean()
    assert min(blue, orange) > 5e-4, "regions that grow and that shrink are drawn"


def test_the_report_fits_a_telephone(report: Path) -> None:
    picture, console = photographed(report, width=500, height=1200)
    assert console == []
    assert np.abs(picture[:, -6:] - picture[2, 2]).max() < 0.05, "nothing runs over the edge"
