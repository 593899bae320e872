"""Which settings does everything that we start share? Set before Prefect is imported; what the user set stays."""

import os
from pathlib import Path

SETTINGS = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "PREFECT_SERVER_EPHEMERAL_ENABLED": "true",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
    "PREFECT_SERVER_API_HOST": "127.0.0.1",
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",  # seconds; the automation of deployments/automations.yaml waits for it
    "OMP_NUM_THREADS": "1",  # one thread per process: the same sums in the same order on every machine
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}


def prepare(home: Path | None = None) -> None:
    """Fill in the settings that the environment does not have.

    Args:
        home: folder of Prefect's database and of what it stores; None keeps it in ``.prefect`` of the
            working folder.
    """
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    folder = Path(os.environ.setdefault("PREFECT_HOME", str(home or Path.cwd() / ".prefect")))
    folder.mkdir(parents=True, exist_ok=True)
