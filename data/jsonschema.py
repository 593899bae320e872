"""What may stand in a file of ours? The published JSON schemas, made from the dataclasses."""

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter

from data.digest import PLAN, SNAPSHOT
from data.schemas.fleet import FLEET
from data.schemas.fleet_plan import FLEET_PLAN
from data.schemas.transfers import ROUND_SCHEDULE

Name = Literal["snapshot", "plan", "rounds", "fleet", "fleet_plan"]
NAMES: tuple[Name, ...] = ("snapshot", "plan", "rounds", "fleet", "fleet_plan")
FOLDER = Path(__file__).resolve().parent / "schemas"


def schema_text(name: Name) -> str:
    """Return the JSON schema of a record that is read or written, as it stands in ``data/schemas/<name>.json``."""
    adapters: dict[Name, TypeAdapter[Any]] = {
        "snapshot": SNAPSHOT,
        "plan": PLAN,
        "rounds": ROUND_SCHEDULE,
        "fleet": FLEET,
        "fleet_plan": FLEET_PLAN,
    }
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **adapters[name].json_schema()}
    return json.dumps(schema, indent=1) + "\n"


def publish() -> None:
    """Write the schemas to where they are published."""
    for name in NAMES:
        (FOLDER / f"{name}.json").write_text(schema_text(name), encoding="utf-8")


if __name__ == "__main__":
    publish()
