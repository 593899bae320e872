"""What do Slurm's GRES and TRES strings say about GPUs?"""

import re
from dataclasses import dataclass

_GRES = re.compile(
    r"^(?:gres[:/])?gpu(?::(?P<type>(?!\d+(?:[:=(]|$)|no_consume)[^:=()]+))?(?::no_consume)?"
    r"(?:[:=](?P<count>\d+))?(?:\((?P<extra>[^)]*)\))?$"
)


@dataclass(frozen=True, slots=True)
class Gres:
    """GPUs that one entry of a GRES or TRES string names; ``indexes`` is None where it does not tell them."""

    type: str
    count: int
    indexes: tuple[int, ...] | None = None


def parse_gpus(text: str) -> tuple[Gres, ...]:
    """Return the GPU entries of a GRES or TRES string, e.g. ``gpu:h100:2(IDX:0,3),shard:8`` or ``cpu=4,gres/gpu=8``.

    In a TRES string the entry without a type counts the typed ones again; the typed ones alone are returned then.
    """
    entries: list[Gres] = []
    for part in re.split(r",(?![^(]*\))", text):
        match = _GRES.match(part.strip())
        if match is None:
            continue
        extra = match["extra"] or ""
        counted = re.match(r"CNT:(\d+)", extra)
        indexes = _indexes(extra.removeprefix("IDX:")) if extra.startswith("IDX:") else None
        default = _count(counted[1]) if counted else 1
        entries.append(Gres(match["type"] or "", _count(match["count"]) if match["count"] else default, indexes))
    plain = sum(entry.count for entry in entries if not entry.type)
    typed = tuple(entry for entry in entries if entry.type)
    return typed if typed and plain <= sum(entry.count for entry in typed) else tuple(entries)


def _count(digits: str) -> int:
    """Return a count; one of absurd length stays absurd, and is refused where counts are judged."""
    return int(digits[:12])


def _indexes(text: str) -> tuple[int, ...] | None:
    found: list[int] = []
    for part in text.split(","):
        match = re.match(r"^(\d{1,6})(?:-(\d{1,6}))?$", part)
        if match is None or int(match[2] or match[1]) - int(match[1]) > 1024:
            return None
        found += range(int(match[1]), int(match[2] or match[1]) + 1)
    return tuple(found)
