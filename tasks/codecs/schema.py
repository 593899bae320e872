"""What may stand in the index of an archive? Its JSON schema: ``python -m tasks.codecs.schema`` writes it anew."""

import json
from pathlib import Path

from tasks.codecs.index import index_schema

PATH = Path(__file__).with_name("index.schema.json")


def schema_text() -> str:
    """Return the JSON schema as it is published."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **index_schema()}
    return json.dumps(schema, indent=1) + "\n"


if __name__ == "__main__":
    PATH.write_text(schema_text(), encoding="utf-8")
