"""How are the parts of a Kubernetes object looked up when any of them may be missing or of a wrong kind?"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from data.errors import BadRecord

GPU_RESOURCES = ("nvidia.com/gpu", "amd.com/gpu")
MOST_GPUS = 1_024
"""Of one node, and so of one pod."""

_NEVER = datetime.fromtimestamp(0, UTC)


def items(raw: dict[str, Any], source: str) -> Iterator[tuple[str, dict[str, Any]] | BadRecord]:
    """Yield place and object of each item of a list (``List``, ``NodeList``, ``PodList``)."""
    listed = raw.get("items")
    for index, item in enumerate(listed if isinstance(listed, list) else []):
        path = f"{source}: items[{index}]"
        name = text(item, "metadata", "name") if isinstance(item, dict) else ""
        yield (path, item) if name else BadRecord(f"{path}.metadata.name", "a name", type(item).__name__)


def part(value: Any, *keys: str) -> Any:
    """Return what stands at ``keys``, or None."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def text(value: Any, *keys: str) -> str:
    """Return the string or number at ``keys``, or an empty string."""
    found = part(value, *keys)
    return str(found) if isinstance(found, str | int | float) and not isinstance(found, bool) else ""


def listing(value: Any, *keys: str) -> list[dict[str, Any]]:
    """Return the objects in the list at ``keys``, or an empty list."""
    found = part(value, *keys)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def mapping(value: Any, *keys: str) -> dict[str, str]:
    """Return the labels, annotations or quantities at ``keys`` as strings."""
    found = part(value, *keys)
    return {str(key): str(item) for key, item in found.items()} if isinstance(found, dict) else {}


def gpu_quantity(quantities: dict[str, str]) -> int:
    """Return the GPUs in a resource list; devices are whole numbers, and Kubernetes refuses anything else."""
    # twelve digits: one of absurd length stays absurd, and is refused where counts are judged
    return sum(int(quantities[name][:12]) for name in GPU_RESOURCES if quantities.get(name, "").isdecimal())


def seconds(stamp: str) -> float:
    """Return a timestamp of the API as Unix seconds, in UTC where it states no zone; 0 where there is none.

    Go writes the year 1 where a time was never set.
    """
    try:
        found = datetime.fromisoformat(stamp) if stamp else _NEVER
        return max((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp(), 0.0)
    except (ValueError, OverflowError):
        return 0.0


def natural(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts ``worker-10`` behind ``worker-9``."""
    return [(int(piece[:18]), "") if piece.isdecimal() else (-1, piece) for piece in re.split(r"(\d+)", name)]
