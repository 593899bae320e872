"""What every test may ask for: a seeded generator, the real data where it is at hand, a sound small cluster."""

import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from data.schemas.cluster import Limits, Node, Snapshot
from data.schemas.job import Job, Worker
from flows.environment import prepare

ROOT = Path(__file__).resolve().parent.parent

prepare(ROOT / ".prefect" / "tests")
os.environ["QUANTUMFLOW_ROOTS"] = os.pathsep.join((str(ROOT), tempfile.gettempdir()))
"""Of the workers that tests start: their runs write beside the other files of a test."""

settings.register_profile("quantumflow", deadline=None, derandomize=True)
settings.load_profile("quantumflow")


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator of the same numbers in every run."""
    return np.random.default_rng(20_261)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real traces; CONTRIBUTING says what belongs in it."""
    folder = Path(os.environ.get("QUANTUMFLOW_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data: {folder} is missing (set QUANTUMFLOW_DATA)")
    return folder


@pytest.fixture
def cluster() -> Snapshot:
    """Two racks of four 4-GPU nodes, each rack one NVLink domain; two gangs spread over both, one job waiting."""
    nodes = tuple(
        Node(f"{rack}-{index}", "GB200", 4, rack, rack, 200.0, 1200.0, 60.0, 500.0)
        for rack in ("east", "west")
        for index in range(4)
    )
    whole = (0, 1, 2, 3)

    def on(*names: str) -> tuple[Worker, ...]:
        return tuple(Worker(name, whole) for name in names)

    jobs = (
        Job(
            "red", 2, 4, "running", on("east-0", "west-0"), traffic_gb_per_s=40.0, checkpoint_gb=10.0, gpu_power_w=900.0
        ),
        Job(
            "blue",
            2,
            4,
            "running",
            on("east-1", "west-1"),
            traffic_gb_per_s=40.0,
            checkpoint_gb=10.0,
            gpu_power_w=800.0,
        ),
        Job("pinned", 1, 4, "running", on("east-2"), movable=False, gpu_power_w=700.0),
        Job("waiting", 2, 4, "pending", traffic_gb_per_s=40.0, gpu_power_w=900.0),
        Job("later", 1, 4, "pending", depends_on=("red",), gpu_power_w=900.0),
    )
    return Snapshot("two-racks", "2026-01-31T12:00:00+00:00", nodes, jobs, limits=Limits(migration_budget_gpus=16))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the faults that tests caused: what happened, what was lost, how long it took to recover."""
    rows = [
        (*value, report.nodeid.partition("::")[2])
        for report in terminalreporter.stats.get("passed", [])
        for name, value in report.user_properties
        if name == "fault" and report.when == "call"
    ]
    if rows:
        terminalreporter.section("faults")
        for fault, happened, lost, seconds, test in rows:
            terminalreporter.write_line(f"| {fault} | {happened} | {lost} | {seconds:.1f} | {test} |")
