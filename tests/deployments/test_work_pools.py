"""What may a run say about how it is started? As Prefect's server and worker read deployments/work_pools."""

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prefect.utilities.schema_tools import ValidationError, validate
from prefect.workers.process import ProcessJobConfiguration

FOLDER = Path(__file__).resolve().parents[2] / "deployments" / "work_pools"
TEMPLATES = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))}
HOSTILE = {
    "command": "sh -c id",
    "working_dir": "/srv",
    "env": {"QUANTUMFLOW_ROOTS": "/"},
    "env.QUANTUMFLOW_ROOTS": "/",
    "name": "{{ prefect.blocks.secret.word }}",
    "labels": {"quantumflow/database": "yes"},
    "image": "registry.example.com/other:1",
    "namespace": "kube-system",
    "service_account_name": "worker",
    "runs_claim": "other",
    "memory_limit": "{{ prefect.blocks.secret.word }}",
}


def accepted(template: dict[str, Any], **variables: object) -> None:
    """Check the variables of a run as the server does before it makes the run."""
    defaults = {name: each["default"] for name, each in template["variables"]["properties"].items()}
    validate({**defaults, **variables}, template["variables"], raise_on_error=True, allow_none_with_default=True)


@pytest.mark.parametrize("kind", TEMPLATES)
@pytest.mark.parametrize("name", HOSTILE)
def test_a_run_cannot_say_what_it_is_started_as(kind: str, name: str) -> None:
    accepted(TEMPLATES[kind])
    with pytest.raises(ValidationError):
        accepted(TEMPLATES[kind], **{name: HOSTILE[name]})


def test_what_a_run_may_say_is_accepted() -> None:
    accepted(TEMPLATES["kubernetes"], memory_limit="512Gi", cpu_request="500m", active_deadline_seconds=60)
    accepted(TEMPLATES["process"], stream_output=False)


def test_the_worker_takes_no_command_either() -> None:
    """What got past the server, such as a deployment of an earlier template, is left out."""
    client: Any = SimpleNamespace()  # asked for blocks alone, which the template does not name
    made = asyncio.run(
        ProcessJobConfiguration.from_template_and_values(
            TEMPLATES["process"], {"command": "sh -c id", "working_dir": "/srv"}, client=client
        )
    )
    assert (made.command, made.working_dir) == (None, None)


@pytest.mark.parametrize("kind", TEMPLATES)
def test_runs_give_signs_of_life_and_compute_alike_everywhere(kind: str) -> None:
    environment = TEMPLATES[kind]["job_configuration"]["env"]
    worker = (FOLDER.parent / "worker.env").read_text(encoding="utf-8").splitlines()
    assert {f"{name}={value}" for name, value in environment.items()} <= set(worker)
    assert environment["OMP_NUM_THREADS"] == "1"
