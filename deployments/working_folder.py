"""In which folder does a worker run a deployment? In the one that QUANTUMFLOW_ROOT names on the worker's machine."""

import os
from pathlib import Path
from uuid import UUID

from prefect.logging.loggers import flow_run_logger

VARIABLE = "QUANTUMFLOW_ROOT"


def enter_root() -> dict[str, str]:
    """Change into the folder that the environment names; the pull step of prefect.yaml.

    Left to itself a process worker runs in a temporary folder, and the plan would vanish with it.

    Returns:
        The ``directory``, as Prefect expects it of a pull step.

    Raises:
        ValueError: the variable is not set, or names no folder by its whole path.
    """
    named = os.environ.get(VARIABLE, "")
    folder = Path(named)
    if not folder.is_absolute() or not folder.is_dir():
        found = repr(named) if named else "nothing"
        message = (
            f"{VARIABLE}: expected the whole path of the project's folder in the worker's environment, found {found}"
        )
        _tell_the_run(message)
        raise ValueError(message)
    os.chdir(folder)
    return {"directory": str(folder)}


def _tell_the_run(message: str) -> None:
    """Log ``message`` where the UI shows it; why a pull step failed, Prefect tells the worker's terminal alone."""
    run = os.environ.get("PREFECT__FLOW_RUN_ID")
    if run:
        flow_run_logger(flow_run_id=UUID(run)).error(message)
