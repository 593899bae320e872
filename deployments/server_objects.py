"""What does a Prefect server need besides deployments, and is it there? One function for each kind of thing."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from prefect.blocks.core import Block
from prefect.blocks.notifications import SlackWebhook
from prefect.blocks.webhook import Webhook
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import VariableCreate, WorkPoolCreate, WorkPoolUpdate
from prefect.client.schemas.objects import BlockDocument
from prefect.events.schemas.automations import Automation, AutomationCore
from prefect.exceptions import ObjectNotFound
from pydantic import SecretStr, ValidationError

Outcome = Literal["there", "made", "changed", "held", "missing", "differs", "not set", "wrong"]

LIMITS = {"quantumflow-apply": 1}
"""Global concurrency limits, and how many may hold each at once: two applies never overlap."""

VARIABLES: dict[str, bool] = {"quantumflow_freeze": False}
"""Variables and what they say until somebody says otherwise; their values are never changed here."""


@dataclass(frozen=True, slots=True)
class Row:
    """What became of one thing."""

    kind: str
    name: str
    outcome: Outcome
    detail: str = ""


@dataclass(frozen=True, slots=True)
class SecretBlock:
    """A block whose value comes from the environment of whoever provisions, and is never shown.

    Args:
        name: under which automations look for it; a block of that name that was made in the UI does as well.
        variable: of the environment.
        kind: the block's class, with ``url`` as its secret.
        what: in words.
    """

    name: str
    variable: str
    kind: type[SlackWebhook] | type[Webhook]
    what: str


BLOCKS = (
    SecretBlock("quantumflow-notify", "QUANTUMFLOW_NOTIFY_URL", SlackWebhook, "Slack's address or any of Apprise's"),
    SecretBlock("quantumflow-webhook", "QUANTUMFLOW_WEBHOOK_URL", Webhook, "an address that takes POST of JSON"),
)


def work_pool(client: SyncPrefectClient, name: str, kind: str, template: Path | None, *, check: bool) -> Row:
    """Make the work pool ``name``, or give it our base job template.

    Args:
        client: of the server.
        name: of the pool.
        kind: process, kubernetes or another that the server knows.
        template: JSON of the base job template; None leaves a pool that is there as it is.
        check: only look.
    """
    ours: dict[str, Any] | None = None if template is None else json.loads(template.read_text(encoding="utf-8"))
    said = kind if template is None else f"{kind}, template {template.name}"
    try:
        found = client.read_work_pool(name)
    except ObjectNotFound:
        if check:
            return Row("work pool", name, "missing", said)
        client.create_work_pool(WorkPoolCreate(name=name, type=kind, base_job_template=ours or _default(client, kind)))
        return Row("work pool", name, "made", said)
    if found.type != kind:
        return Row("work pool", name, "wrong", f"expected type {kind}, found {found.type}; delete it or name another")
    paused = ", paused" if found.is_paused else ""
    if ours is None or found.base_job_template == ours:
        return Row("work pool", name, "there", said + paused)
    if check:
        return Row("work pool", name, "differs", f"its base job template is not {template}")
    client.update_work_pool(name, WorkPoolUpdate(base_job_template=ours))
    return Row("work pool", name, "changed", said + paused)


def _default(client: SyncPrefectClient, kind: str) -> dict[str, Any]:
    """Return Prefect's own template; a pool that was made without one cannot start anything."""
    answer = client.request(
        "GET", "/collections/views/{view}", path_params={"view": "aggregate-worker-metadata"}
    ).json()
    for workers in answer.values():
        if kind in workers:
            template: dict[str, Any] = workers[kind]["default_base_job_configuration"]
            return template
    known = ", ".join(sorted(each for workers in answer.values() for each in workers))
    raise ValueError(f"--type: expected one of {known}, found {kind!r}")


def limits(client: SyncPrefectClient, *, check: bool) -> Iterator[Row]:
    """Make the global concurrency limits; what holds one now goes on holding it.

    One that is 0 or switched off was stopped by a person: with either no apply begins. It stays stopped.
    """
    for name, most in LIMITS.items():
        try:
            found = client.read_global_concurrency_limit_by_name(name)
        except ObjectNotFound:
            if not check:
                client.upsert_global_concurrency_limit_by_name(name, most)
            yield Row("concurrency limit", name, "missing" if check else "made", f"{most} at once")
            continue
        if found.limit == most and found.active:
            yield Row("concurrency limit", name, "there", f"{most} at once, {found.active_slots} held")
            continue
        state = f"{found.limit} at once" if found.active else "switched off"
        if not found.active or found.limit == 0:
            again = f"prefect gcl update {name} --limit {most}, prefect gcl enable {name}"
            yield Row("concurrency limit", name, "held", f"{state}, by a person: nothing takes it. To go on: {again}")
            continue
        if not check:
            wanted = {"limit": most, "active": True}
            client.request(
                "PATCH", "/v2/concurrency_limits/{id_or_name}", path_params={"id_or_name": name}, json=wanted
            )
        yield Row("concurrency limit", name, "differs" if check else "changed", f"{most} at once, was {state}")


def variables(client: SyncPrefectClient, *, check: bool) -> Iterator[Row]:
    """Make the variables that are not there; one that is there keeps its value, whatever it is."""
    for name, value in VARIABLES.items():
        found = client.read_variable_by_name(name)
        if found is not None:
            yield Row("variable", name, "there", f"says {json.dumps(found.value)}")
            continue
        if not check:
            client.create_variable(VariableCreate(name=name, value=value))
        yield Row("variable", name, "missing" if check else "made", f"says {json.dumps(value)}")


def blocks(client: SyncPrefectClient, environment: Mapping[str, str], *, check: bool) -> Iterator[Row]:
    """Make the blocks whose values the environment has; the others are only looked for."""
    for wanted in BLOCKS:
        value = environment.get(wanted.variable, "").strip()
        found = block_named(client, wanted.name)
        if not value:
            if found is None:
                how = f"{wanted.variable} ({wanted.what}), or a block of this name made in the UI"
                yield Row("block", wanted.name, "not set", how)
            else:
                yield Row("block", wanted.name, "there", _slug(found))
            continue
        if found is not None and _slug(found) != wanted.kind.get_block_type_slug():
            said = f"is a {_slug(found)}; delete it, or leave {wanted.variable} empty"
            yield Row("block", wanted.name, "wrong", said)
            continue
        if found is not None and found.data.get("url") == value:
            yield Row("block", wanted.name, "there", f"as {wanted.variable} says")
            continue
        if not check:
            _block(wanted, value).save(wanted.name, overwrite=True)
        outcome: Outcome = "missing" if check else "made"
        if found is not None:
            outcome = "differs" if check else "changed"
        yield Row("block", wanted.name, outcome, f"from {wanted.variable}")


def _block(wanted: SecretBlock, value: str) -> Block:
    """Return the block; the message of an error would show the value."""
    try:
        return wanted.kind(url=SecretStr(value))
    except (ValidationError, ValueError) as error:
        raise ValueError(f"{wanted.variable}: expected {wanted.what}, found something else") from error


def block_named(client: SyncPrefectClient, name: str) -> BlockDocument | None:
    """Return the block of this name, of whatever type, with its secrets."""
    asked = {"block_documents": {"name": {"any_": [name]}, "is_anonymous": {"eq_": False}}, "include_secrets": True}
    found = client.request("POST", "/block_documents/filter", json=asked).json()
    return BlockDocument.model_validate(found[0]) if found else None


def _slug(block: BlockDocument) -> str:
    return block.block_type.slug if block.block_type else "block"


def automations(client: SyncPrefectClient, file: Path, *, check: bool) -> Iterator[Row]:
    """Make the automations of ``file``, or mend those of the same name; twice makes no second one."""
    for entry in read_automations(file):
        name = str(entry["name"])
        filled, absent = _with_blocks(client, entry)
        found = client.read_automations_by_name(name)
        if absent:
            kept = "; the one that is there was left as it is" if found else ""
            yield Row("automation", name, "not set", f"no block {', '.join(absent)}{kept}")
            continue
        if len(found) > 1:
            yield Row("automation", name, "wrong", f"{len(found)} have this name; delete all but one")
            continue
        yield _automation(client, AutomationCore.model_validate(filled), found[0] if found else None, check=check)


def _automation(client: SyncPrefectClient, wanted: AutomationCore, found: Automation | None, *, check: bool) -> Row:
    if found is None:
        if not check:
            client.create_automation(wanted)
        return Row("automation", wanted.name, "missing" if check else "made")
    paused = "" if found.enabled else "paused"
    if _comparable(wanted) == _comparable(found):
        return Row("automation", wanted.name, "there", paused)
    if not check:
        client.update_automation(found.id, wanted.model_copy(update={"enabled": found.enabled}))
    return Row("automation", wanted.name, "differs" if check else "changed", paused)


def read_automations(file: Path) -> list[dict[str, Any]]:
    """Return the automations of a file, as they stand there.

    Raises:
        ValueError: it holds no list of automations with names, or two have the same.
    """
    document = yaml.safe_load(file.read_text(encoding="utf-8"))
    entries = document.get("automations") if isinstance(document, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) and "name" in entry for entry in entries):
        raise ValueError(f"{file}: expected automations: a list of entries with a name, found {type(entries).__name__}")
    names = [entry["name"] for entry in entries]
    if len(set(names)) < len(names):
        raise ValueError(f"{file}: expected a name only once, found {sorted(names)}")
    return entries


def _with_blocks(client: SyncPrefectClient, entry: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return ``entry`` with the ids of the blocks that its actions name, and the names of those that are not there."""
    absent: list[str] = []
    actions = []
    for action in entry["actions"]:
        plain = {key: value for key, value in action.items() if key != "block"}
        if "block" in action:
            block = block_named(client, action["block"])
            if block is None:
                absent.append(action["block"])
            else:
                plain["block_document_id"] = str(block.id)
        actions.append(plain)
    return {**entry, "actions": actions}, absent


def _comparable(automation: AutomationCore) -> object:
    """Return what provision decides of an automation; sets have no order, and whoever paused it had a reason."""
    decided = {"name", "description", "trigger", "actions"}
    return _ordered(automation.model_dump(mode="json", include=decided))


def _ordered(value: object) -> object:
    if isinstance(value, dict):
        return {key: _ordered(inner) for key, inner in value.items() if key != "id"}
    if isinstance(value, list):
        inner = [_ordered(each) for each in value]
        return sorted(inner, key=str) if all(isinstance(each, str) for each in inner) else inner
    return value
