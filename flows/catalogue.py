"""Which deployments are there? Those of prefect.yaml, as values that can be served or checked.

``python -m flows.catalogue`` checks the whole file without a server, before ``prefect deploy --all`` changes one.
"""

import sys
from pathlib import Path
from typing import Any

import yaml
from prefect.client.schemas.objects import ConcurrencyLimitConfig
from prefect.deployments.runner import RunnerDeployment
from prefect.flows import Flow, load_flow_from_entrypoint
from prefect.schedules import Cron, Interval, Schedule
from prefect.types.entrypoint import EntrypointType

from flows.catalogue_rules import problems

FILE = Path(__file__).resolve().parent.parent / "prefect.yaml"


def document() -> object:
    """Return prefect.yaml as it stands."""
    return yaml.safe_load(FILE.read_text(encoding="utf-8"))


def entries() -> list[dict[str, Any]]:
    """Return the deployments of prefect.yaml as they stand there."""
    document = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    deployments: list[dict[str, Any]] = document["deployments"]
    return deployments


def flow_of(entry: dict[str, Any]) -> Flow[..., Any]:
    """Return the flow that a deployment runs."""
    return load_flow_from_entrypoint(entry["entrypoint"], use_placeholder_flow=False)


def deployment_of(entry: dict[str, Any]) -> RunnerDeployment:
    """Return a deployment that this process can serve, with the same schedules and limits."""
    limit = entry.get("concurrency_limit")
    deployment = flow_of(entry).to_deployment(
        name=entry["name"],
        description=entry["description"],
        tags=entry["tags"],
        parameters=entry["parameters"],
        enforce_parameter_schema=entry["enforce_parameter_schema"],
        concurrency_limit=None if limit is None else ConcurrencyLimitConfig(**limit),
        schedules=[_schedule(schedule) for schedule in entry["schedules"]],
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    if not isinstance(deployment, RunnerDeployment):
        raise TypeError("to_deployment was called from asynchronous code")
    return deployment


def _schedule(schedule: dict[str, Any]) -> Schedule:
    shared = {key: schedule[key] for key in ("timezone", "active", "slug")}
    if "cron" in schedule:
        return Cron(schedule["cron"], **shared)
    return Interval(schedule["interval"], **shared)


if __name__ == "__main__":
    wrong = problems(document())
    lines = wrong or [f"{len(entries())} deployments, nothing wrong"]
    (sys.stderr if wrong else sys.stdout).writelines(f"{FILE.name}: {line}\n" for line in lines)
    sys.exit(1 if wrong else 0)
