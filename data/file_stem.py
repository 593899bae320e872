"""Which name does a file get that belongs to an id? One that no folder, other id or file system gets in the way of."""

import hashlib

MOST_BYTES = 150
"""Of the name; endings and temporary names must fit into the 255 bytes of a name as well."""


def file_stem(identifier: str) -> str:
    """Return a file name, without its ending, for an id: the id itself where it can be one.

    Ids may hold slashes and hundreds of characters. Where the name differs from the id, part of its digest keeps
    ``a/b`` and ``a_b`` apart.
    """
    plain = identifier.replace("/", "_").replace("\0", "_")
    short = plain.encode()[:MOST_BYTES].decode(errors="ignore")
    if short == identifier:
        return short
    return f"{short}.{hashlib.sha256(identifier.encode()).hexdigest()[:8]}"
