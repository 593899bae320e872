"""Which node does a host name mean?"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, eq=False)
class HostNames:
    """Ids of nodes, by full name and by the part before the first dot."""

    ids: frozenset[str]
    by_short: dict[str, str]

    def find(self, name: str) -> str | None:
        """Return the id that equals ``name``, else the only one with the same short host name, else None."""
        return name if name in self.ids else self.by_short.get(short(name))


def host_names(ids: Iterable[str]) -> HostNames:
    """Return a lookup over ``ids``; a short name that two of them share finds neither."""
    full = frozenset(ids)
    counts = Counter(short(name) for name in full)
    return HostNames(full, {short(name): name for name in full if counts[short(name)] == 1})


def short(name: str) -> str:
    """Return the host name without its domain, in lower case, as name services compare it."""
    return name.partition(".")[0].lower()
