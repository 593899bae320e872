"""What may stand in a file of ours? The published JSON schemas, made from the dataclasses."""

import json
from pathlib import Path
from typing import Literal

from data.digest import PLAN, SNAPSHOT

Name = Literal["snapshot", "plan"]
NAMES: tuple[Name, ...] = ("snapshot", "plan")
FOLDER = Path(__file__).resolve().parent / "schemas"


def schema_text(name: Name) -> str:
    """Return the JSON schema of a snapshot or a plan, as it stands in ``data/schemas/<name>.json``."""
    adapter = SNAPSHOT if name == "snapshot" else PLAN
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **adapter.json_schema()}
    return json.dumps(schema, indent=1) + "\n"


def publish() -> None:
    """Write both schemas to where they are published."""
    for name in NAMES:
        (FOLDER / f"{name}.json").write_text(schema_text(name), encoding="utf-8")


if __name__ == "__main__":
    publish()
