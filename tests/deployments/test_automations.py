"""Are the automations that ship what Prefect will read? It ignores keys that it does not know."""

import json
import re
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from prefect.events.schemas.automations import AutomationCore
from prefect.server.utilities.user_templates import validate_user_template
from prefect.settings import PREFECT_API_URL, temporary_settings

from deployments.provision import AUTOMATIONS, main
from deployments.server_objects import BLOCKS, read_automations
from flows.plan_events import READY

SHIPPED = read_automations(AUTOMATIONS)


def understood(given: Any, read: Any) -> bool:
    """Tell whether everything that was given is in what was read; sets have no order."""
    if isinstance(given, dict):
        return all(key in read and understood(value, read[key]) for key, value in given.items())
    if isinstance(given, list) and all(isinstance(each, str) for each in given):
        return sorted(given) == sorted(read)
    if isinstance(given, list):
        return len(given) == len(read) and all(map(understood, given, read))
    return bool(given == read)


@pytest.mark.parametrize("entry", SHIPPED, ids=lambda entry: entry["name"])
def test_every_key_is_one_that_prefect_knows(entry: dict[str, Any]) -> None:
    known = {block.name for block in BLOCKS}
    actions = []
    for action in entry["actions"]:
        assert action.get("block") in {None, *known}
        extra = {"block_document_id": str(uuid4())} if "block" in action else {}
        actions.append({key: value for key, value in action.items() if key != "block"} | extra)
    given = {**entry, "actions": actions}
    read = AutomationCore.model_validate(given).model_dump(mode="json")
    assert understood(given, read), (given, read)
    assert entry["description"]
    for action in actions:
        for key in {"subject", "body", "payload"} & set(action):
            validate_user_template(action[key])


def test_a_misspelt_key_would_be_seen() -> None:
    given = {**SHIPPED[0], "trigger": {**SHIPPED[0]["trigger"], "withn": 3}}
    assert not understood(given, AutomationCore.model_validate(given).model_dump(mode="json"))


def test_three_signs_of_life_fit_into_what_an_automation_waits() -> None:
    waits = [entry["trigger"]["within"] for entry in SHIPPED if "prefect.flow-run.heartbeat" in str(entry["trigger"])]
    assert waits
    for template in (AUTOMATIONS.parent / "work_pools").glob("*.json"):
        environment = json.loads(template.read_text(encoding="utf-8"))["job_configuration"]["env"]
        assert min(waits) >= 3 * int(environment["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"])


def test_the_sign_of_life_is_set_where_the_automation_says() -> None:
    (description,) = (
        entry["description"] for entry in SHIPPED if "prefect.flow-run.heartbeat" in str(entry["trigger"])
    )
    named = re.findall(r"[\w/]+\.(?:yaml|env|json|py)|[\w/]+/(?=[\s,)])", description)
    assert len(named) == 3
    for name in named:
        place = AUTOMATIONS.parents[1] / name
        for file in place.glob("*") if place.is_dir() else (place,):
            assert "PREFECT_FLOWS_HEARTBEAT_FREQUENCY" in file.read_text(encoding="utf-8"), file


def test_the_event_of_a_plan_is_listened_for() -> None:
    assert sum(READY in entry["trigger"]["expect"] for entry in SHIPPED) == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("automations: 3", "expected automations: a list"),
        ("- name: x", "expected automations: a list"),
        ("automations: [{name: x}, {name: x}]", "expected a name only once"),
    ],
)
def test_a_file_without_automations_is_refused(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "automations.yaml"
    file.write_text(text)
    with pytest.raises(ValueError, match=said):
        read_automations(file)


def test_without_the_address_of_a_server_nothing_is_started(capsys: pytest.CaptureFixture[str]) -> None:
    with temporary_settings({PREFECT_API_URL: None}):
        assert main(["--check"]) == 2
    assert "PREFECT_API_URL: expected the address of a server" in capsys.readouterr().err
