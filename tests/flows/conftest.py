"""What takes most of the time of a test of flows, once for all: a Prefect server, and training a power model."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, PREFECT_LOGGING_TO_API_ENABLED, temporary_settings
from prefect.testing.utilities import prefect_test_harness

from data.readers.sources import Sample
from tasks.predict import train_power_model
from tests.prefect_database import fresh_database, prefect_home


@pytest.fixture(scope="session", autouse=True)
def prefect_server() -> Iterator[None]:
    """A temporary server; without heartbeats, which would add a second to each run."""
    folder = prefect_home()  # the harness removes it
    fresh_database(folder / "prefect-test.db")
    quiet = {PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None, PREFECT_LOGGING_TO_API_ENABLED: False}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("prefect.testing.utilities.mkdtemp", lambda: str(folder))
        with prefect_test_harness(server_startup_timeout=600), temporary_settings(quiet):
            yield


@pytest.fixture(scope="session")
def power_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A power model of the small sample, for runs that need not show that they train one."""
    return train_power_model.fn(Sample()().snapshot, tmp_path_factory.mktemp("power_model"), seed=0)
