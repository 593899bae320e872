"""Which things belong together, given pairs that do? Connected parts of an undirected graph."""

from collections.abc import Iterable, Sequence


def islands(names: Sequence[str], pairs: Iterable[tuple[str, str]]) -> list[list[str]]:
    """Return the connected parts, each in the order of ``names``, ordered by their first member.

    Union-find with path halving (Tarjan & van Leeuwen 1984, doi 10.1145/62.2160).
    """
    parent = {name: name for name in names}

    def root(name: str) -> str:
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for a, b in pairs:
        parent[root(b)] = root(a)
    parts: dict[str, list[str]] = {}
    for name in names:
        parts.setdefault(root(name), []).append(name)
    return list(parts.values())
