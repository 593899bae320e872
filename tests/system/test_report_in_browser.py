"""Facts about report.html in a real browser: it draws, in light and dark, and its console stays silent.

``.ci/install_chromium.sh`` installs what is needed.
"""

import os
import shutil
import subprocess

import numpy as np
import pytest
from matplotlib.image import imread

from data.readers.snapshot import read_snapshot
from data.transition import apply_actions
from qiskit_solvers.exact import Exact
from tasks.plan import Part, assemble
from tasks.problems.placement import Placement
from tasks.problems.power import Power
from tasks.problems.routing import Routing
from tasks.refine import Effort, refine
from tasks.report.page import PowerSeries, render_report
from tasks.validate import validate

CHROMIUM = shutil.which("chromium")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run", "--hide-scrollbars", "--enable-logging=stderr",
)  # fmt: skip
EFFORT = Effort(evaluations=20_000, rounds=2, window=8, patience=2)

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(CHROMIUM is None, reason="not installed: chromium (see .ci/install_chromium.sh)"),
]


@pytest.fixture(scope="module")
def report(tmp_path_factory, request):
    """The report of a plan for the small sample cluster."""
    before = read_snapshot(request.config.rootpath / "data" / "samples" / "small" / "cluster.json").snapshot
    state, parts = before, []
    builders = [Placement.from_snapshot, Power.from_snapshot]
    builders += [lambda state, name=each.id: Routing.from_snapshot(state, name) for each in before.deployments]
    for build in builders:
        problem, origin = build(state), build(before)
        refined = refine(problem, Exact(), np.random.default_rng(3), effort=EFFORT)
        figures = origin.figures(origin.incumbent()), problem.figures(refined.decision)
        actions = problem.actions(refined.decision)
        parts.append(Part(actions, *figures, rows=refined.rows, bounds=(refined.bound,), notes=problem.notes))
        state = apply_actions(state, actions)
    plan = assemble(
        before, parts, assumed_power=(), set_aside=(), notes=(), code_version="0.1.0", options="{}", seed=3
    )  # fmt: skip
    draws = [tuple(power.power_w(power.incumbent()).tolist()) for power in map(Power.from_snapshot, (before, state))]
    series = PowerSeries(before.limits.slot_s, *draws, before.limits.power_cap_w)
    path = tmp_path_factory.mktemp("report") / "report.html"
    verdict = validate(plan, before, None)
    path.write_text(render_report(plan, before, state, verdict, (("total", 1.0),), series), encoding="utf-8")
    return path


def photographed(page, *flags, width=1360, height=2000):
    """Open a page and return its picture, ``(height, width, 3)`` from 0 to 1, and what its console said."""
    picture = page.with_suffix(".png")
    window = f"--window-size={width},{height}"
    profile = f"--user-data-dir={page.parent / 'profile'}"
    done = subprocess.run(
        [CHROMIUM, *FLAGS, *flags, window, profile, f"--screenshot={picture}", page.as_uri()],
        capture_output=True, text=True, timeout=120, check=True, env={**os.environ, "HOME": str(page.parent)},
    )  # fmt: skip
    shutil.rmtree(page.parent / "profile")
    return imread(picture)[..., :3], [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.mark.parametrize(("flags", "low", "high"), [((), 0.8, 1.0), (("--force-dark-mode",), 0.0, 0.35)])
def test_the_report_draws_in_light_and_dark_and_its_console_is_silent(report, flags, low, high):
    picture, console = photographed(report, *flags)
    assert console == []
    assert low < picture.mean() < high
    colours = np.unique((picture.reshape(-1, 3) * 15).astype(int), axis=0)
    assert len(colours) > 60, "maps, heat and lines are coloured"
    drawn = (np.abs(picture - picture[2, 2]).max(axis=2) > 0.05).mean(axis=1)
    assert (drawn > 0).mean() > 0.5, "most of the height shows something"


def test_the_report_fits_a_telephone(report):
    picture, console = photographed(report, width=500, height=1200)
    assert console == []
    assert np.abs(picture[:, -6:] - picture[2, 2]).max() < 0.05, "nothing runs over the edge"


def test_a_foreign_script_would_be_refused_and_heard_of(report):
    attacked = report.with_name("attacked.html")
    attacked.write_text(report.read_text(encoding="utf-8").replace("</body>", "<script>alert(1)</script></body>"))
    _, console = photographed(attacked)
    assert len(console) == 1
    assert "Content Security Policy" in console[0]
