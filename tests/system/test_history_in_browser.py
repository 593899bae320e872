"""The history page in a real browser: it fits a telephone, draws in light and dark, and filters without scripts.

``.ci/install_chromium.sh`` installs what is needed.
"""

import os
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from tasks.report.history_page import render_history
from tasks.report.history_record import History, Reached, RunRecord, Unreadable

CHROMIUM = shutil.which("chromium")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run", "--hide-scrollbars", "--enable-logging=stderr",
)  # fmt: skip
QUARTER = timedelta(minutes=15)
TELEPHONE = 390
"""Pixels; Chromium's own window is at least 500 wide, so the page is shown in a frame."""

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(CHROMIUM is None, reason="not installed: chromium (see .ci/install_chromium.sh)"),
]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of forty runs for two clusters, one with a name that nothing can break."""
    folder = tmp_path_factory.mktemp("history")
    rng = np.random.default_rng(7)
    records = []
    for number in range(40):
        costs = 100.0 + 10.0 * rng.random(), 70.0 + 10.0 * rng.random()
        records.append(
            RunRecord(
                folder=folder / f"run-{number}", began=datetime(2026, 11, 20, tzinfo=UTC) - number * QUARTER,
                cluster=("east", "w" * 120)[number % 2], flow="optimize-cluster", flow_run="", plan_sha256="ab" * 32,
                snapshot_sha256="cd" * 32, solver="qaoa", effort="quick",
                reached=(Reached("placement", "qaoa on windows", *costs, 60.0, costs[1] / 60.0 - 1.0),),
                actions=(("migrate", 3),), fallbacks=("refine: anneal instead of qaoa",) * (number % 7 == 0),
                set_aside=0, seconds=20.0 + rng.random(), report=True,
            )
        )  # fmt: skip
    history = History(folder, tuple(records), (Unreadable("x" * 200, "y" * 300),))
    (folder / "history.html").write_text(render_history(history, folder, datetime(2026, 11, 21, tzinfo=UTC)))
    frame = f'<body style="margin:0"><iframe src="history.html" width="{TELEPHONE}" height="3000" frameborder="0">'
    (folder / "telephone.html").write_text(frame)
    return folder / "history.html"


def photographed(page: Path, *flags: str, width: int = 1280, height: int = 2000) -> tuple[np.ndarray, list[str]]:
    """Open a page and return its picture, ``(height, width, 3)`` from 0 to 1, and what its console said."""
    picture = page.with_suffix(".png")
    profile = page.parent / "profile"
    done = subprocess.run(
        [
            str(CHROMIUM), *FLAGS, *flags, f"--window-size={width},{height}", f"--user-data-dir={profile}",
            f"--screenshot={picture}", page.as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=True, env={**os.environ, "HOME": str(page.parent)},
    )  # fmt: skip
    shutil.rmtree(profile)
    return imread(picture)[..., :3], [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.mark.parametrize(("flags", "low", "high"), [((), 0.8, 1.0), (("--force-dark-mode",), 0.0, 0.35)])
def test_the_page_draws_in_light_and_dark_and_its_console_is_silent(
    page: Path, flags: tuple[str, ...], low: float, high: float
) -> None:
    picture, console = photographed(page, *flags)
    assert console == []
    assert low < picture.mean() < high
    assert len(np.unique((picture.reshape(-1, 3) * 15).astype(int), axis=0)) > 30, "lines are coloured"


def test_the_page_fits_a_telephone(page: Path) -> None:
    picture, _ = photographed(page.with_name("telephone.html"), width=600, height=3000)
    shown = picture[:, :TELEPHONE]
    assert np.abs(shown[:, -6:] - shown[2, 2]).max() < 0.05, "nothing runs over the edge"
    assert (np.abs(shown - shown[2, 2]).max(axis=2) > 0.05).any(axis=1).mean() > 0.3


def test_choosing_a_cluster_hides_the_other_without_any_script(page: Path) -> None:
    text = page.read_text()
    chosen = page.with_name("chosen.html")
    chosen.write_text(text.replace('id="cluster-all" checked', 'id="cluster-all"').replace(
        'id="cluster-0"', 'id="cluster-0" checked'
    ))  # fmt: skip
    done = [
        subprocess.run(
            [str(CHROMIUM), *FLAGS, f"--user-data-dir={page.parent / 'print'}", "--no-pdf-header-footer",
             f"--print-to-pdf={each.with_suffix('.pdf')}", each.as_uri()],
            capture_output=True, timeout=120, check=True, env={**os.environ, "HOME": str(page.parent)},
        )
        for each in (page, chosen)
    ]  # fmt: skip
    assert all(each.returncode == 0 for each in done)
    sizes = [each.with_suffix(".pdf").stat().st_size for each in (page, chosen)]
    assert sizes[1] < 0.8 * sizes[0], "one of two clusters is left"
