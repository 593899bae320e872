"""How is YAML from outside read without giving it any power? No tags, no aliases, bounded depth."""

from typing import Any

import yaml

from data.errors import BadRecord
from data.readers.dump import shown

MAX_DEPTH = 32


def parse_plain_yaml(content: str | bytes, source: str) -> Any:
    """Return strings, lists and mappings; every scalar is a string.

    The node 0012 is a name here, not the octal ten that YAML 1.1 sees. Aliases are refused: nine lines of them stand
    for more values than there is memory, as soon as anybody looks at them.

    Raises:
        BadRecord: it is no YAML, uses an alias, is nested too deeply, or makes a mapping's key of a list.
    """
    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    try:
        depth = 0
        for event in yaml.parse(content, Loader=loader):
            if isinstance(event, yaml.AliasEvent):
                raise BadRecord(source, "YAML without aliases", f"an alias {_where(event)}")
            opens = isinstance(event, yaml.CollectionStartEvent)
            depth += 1 if opens else -isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:
                raise BadRecord(source, f"at most {MAX_DEPTH} levels", f"more {_where(event)}")
        return yaml.load(content, Loader=loader)  # noqa: S506  # builds strings, lists and mappings only
    except (yaml.YAMLError, ValueError, TypeError) as error:
        raise BadRecord(source, "YAML", shown(" ".join(str(error).split()))) from None


def _where(event: yaml.Event) -> str:
    return f"in line {event.start_mark.line + 1}" if event.start_mark else "somewhere"
