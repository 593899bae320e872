"""Which tokens came, and which experts are there? Streams as JSON lists, CSV or DataFrames; graphs as NetworkX JSON."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra

from data.errors import BadRecord, BadSource
from data.readers.dump import Dump, is_id, read_dump, shown
from data.schemas.tokens import NOWHERE, ExpertGraph, Floats, Integers, Tokens

_ORIGINS = ("source", "device", "origin")
_FLOAT_END = 10**308
MOST_TOLD = 20
"""Bad rows that are named; the others are counted."""


@dataclass(frozen=True, slots=True, eq=False)
class TokenReading:
    """A stream, the rows that were set aside (the first of them named), and how many there were."""

    tokens: Tokens
    set_aside: tuple[BadRecord, ...]
    left_out: int


def read_tokens(path: Path, graph: ExpertGraph) -> TokenReading:
    """Read a stream: a JSON list of ids or objects, or a CSV with the column ``token_id``.

    Objects and rows may say ``complexity`` (work in ordinary tokens, 1 where nothing is said) and ``source``,
    ``device`` or ``origin`` (a place of the graph), by themselves or in ``metadata``; the rest is left alone.

    Args:
        path: the file.
        graph: its places are the origins that are known.

    Raises:
        SourceUnavailable: the file cannot be read.
        BadSource: it is no such stream, or no row of it can be used.
    """
    if path.suffix.lower() == ".csv":
        return tokens_of(_csv(read_dump(path)), graph, path.name, first=2, what="line")
    dump = read_dump(path)
    document = dump.json()
    if isinstance(document, dict) and isinstance(document.get("tokens"), list):
        document = document["tokens"]
    if not isinstance(document, list):
        raise dump.refused("a list of tokens", shown(document))
    return tokens_of(pd.DataFrame([_row(entry) for entry in document]), graph, dump.name, first=0, what="token")


def tokens_of(
    frame: pd.DataFrame, graph: ExpertGraph, source: str = "tokens", *, first: int = 0, what: str = "row"
) -> TokenReading:
    """Return the stream in a DataFrame with the columns of :func:`read_tokens`.

    Args:
        frame: one row for each token.
        graph: its places are the origins that are known.
        source: for messages.
        first: number of the first row, for messages.
        what: a row is called, for messages.

    Raises:
        BadSource: ``token_id`` is missing, or no row can be used.
    """
    if "token_id" not in frame.columns:
        found = ", ".join(map(str, frame.columns)) or "no columns"
        raise BadSource(source, [BadRecord(source, "a column or field token_id", found)])
    text = frame["token_id"].astype("string")
    ids = text.str.strip()
    named = ids.notna().to_numpy(dtype=bool) & (ids.fillna("") != "").to_numpy(dtype=bool)
    given = frame["complexity"] if "complexity" in frame.columns else pd.Series(np.ones(len(frame)))
    said = given.notna().to_numpy(dtype=bool) & (given.astype("string").fillna("") != "").to_numpy(dtype=bool)
    complexity = np.where(said, pd.to_numeric(given, errors="coerce").to_numpy(dtype=np.float64), 1.0)
    sound = np.isfinite(complexity) & (complexity > 0.0)
    origin, known = _origins(frame, graph)
    kept = named & sound & known
    bad = _told(frame, named, sound, known, source, first, what)
    if not kept.any():
        raise BadSource(source, bad or [BadRecord(source, "at least one token", "none")])
    tokens = Tokens(ids.to_numpy(dtype=object)[kept], complexity[kept], origin[kept])
    return TokenReading(tokens, tuple(bad), int((~kept).sum()))


def read_expert_graph(path: Path) -> ExpertGraph:
    """Read a ``model_graph``: NetworkX JSON, or only how many experts there are, ``{"num_experts": 64}``.

    Nodes have an ``id``; those whose ``kind`` is ``expert`` are the experts, all of them where no node says. They may
    say ``capacity`` (1) and ``domain`` or ``nvlink_domain``. Edges may say ``bandwidth``: a token's way takes the sum
    of the inverse bandwidths. Without edges an expert is near (0.5) in its own domain and far (1) in another.

    Raises:
        SourceUnavailable: the file cannot be read.
        BadSource: it holds no experts; every bad node and edge is named.
    """
    dump = read_dump(path)
    document = dump.json()
    if not isinstance(document, dict):
        raise dump.refused("a graph: an object with nodes, or num_experts", shown(document))
    count = document.get("num_experts", document.get("experts"))
    if isinstance(count, int) and not isinstance(count, bool) and 0 < count <= 1_000_000:
        return expert_graph([{"id": f"expert-{number}"} for number in range(count)], [], dump.name)
    nodes, edges = document.get("nodes"), document.get("edges", document.get("links", []))
    if not isinstance(nodes, list) or not isinstance(edges, list):
        raise dump.refused("lists of nodes and of edges (or links), or num_experts", ", ".join(document) or "no keys")
    return expert_graph(nodes, edges, dump.name)


def expert_graph(nodes: list[Any], edges: list[Any], source: str = "model_graph") -> ExpertGraph:
    """Return the graph of ``nodes`` and ``edges`` as :func:`read_expert_graph` describes them.

    Raises:
        BadSource: a node or an edge is wrong; every one of them is named.
    """
    bad: list[BadRecord] = []
    names: dict[str, Mapping[str, Any]] = {}
    for index, node in enumerate(nodes):
        place = f"{source}: nodes[{index}]"
        name = str(node.get("id", "")) if isinstance(node, dict) else ""
        if not is_id(name) or name in names:
            bad.append(BadRecord(f"{place}.id", "a name of its own without spaces", shown(node)))
        elif _positive(node.get("capacity", 1.0)) is None:
            bad.append(BadRecord(f"{place}.capacity", "a number above 0", shown(node["capacity"])))
        else:
            names[name] = node
    index_of = {name: number for number, name in enumerate(names)}
    ways: list[tuple[int, int, float]] = []
    for index, edge in enumerate(edges):
        place = f"{source}: edges[{index}]"
        ends = [str(edge.get(end, "")) for end in ("source", "target")] if isinstance(edge, dict) else []
        width = _positive(edge.get("bandwidth", 1.0)) if isinstance(edge, dict) else None
        if not ends or any(end not in index_of for end in ends):
            bad.append(BadRecord(place, "source and target among the nodes", shown(edge)))
        elif width is None:
            bad.append(BadRecord(f"{place}.bandwidth", "a number above 0", shown(edge["bandwidth"])))
        else:
            ways.append((index_of[ends[0]], index_of[ends[1]], 1.0 / width))
    marked = [name for name, node in names.items() if str(node.get("kind", "")).lower() == "expert"]
    experts = marked or list(names)
    if bad or not experts:
        raise BadSource(source, bad or [BadRecord(source, "at least one expert", "none")])
    domains = [str(node.get("domain", node.get("nvlink_domain", ""))) for node in names.values()]
    _, codes = np.unique(np.array(domains), return_inverse=True)
    place_domain = codes.astype(np.int64)
    columns = np.array([index_of[name] for name in experts], dtype=np.int64)
    return ExpertGraph(
        experts=tuple(experts),
        capacity=np.array([float(names[name].get("capacity", 1.0)) for name in experts]),
        domain=place_domain[columns],
        places=tuple(names),
        place_domain=place_domain,
        distance=_distance(ways, place_domain, columns),
    )


def _distance(ways: list[tuple[int, int, float]], place_domain: Integers, columns: Integers) -> Floats:
    """Return how far each place is from each expert, 0 to 1, ``(places, experts)``."""
    count = place_domain.size
    if not ways:
        near = np.where(place_domain[:, None] == place_domain[columns][None, :], 0.5, 1.0)
        near[columns, np.arange(columns.size)] = 0.0
        return near
    rows, ends, length = (np.array(column) for column in zip(*ways, strict=True))
    # parallel edges: the widest is taken, since a sparse matrix would add them up
    order = np.argsort(length, kind="stable")
    _, first = np.unique(np.minimum(rows, ends)[order] * count + np.maximum(rows, ends)[order], return_index=True)
    kept = order[first]
    net = coo_array((length[kept], (rows[kept], ends[kept])), shape=(count, count)).tocsr()
    paths = dijkstra(net, directed=False, indices=columns).T
    reached = paths[np.isfinite(paths)]
    longest = float(reached.max(initial=0.0)) or 1.0
    return np.asarray(np.where(np.isfinite(paths), paths / longest, 1.0))


def _positive(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < _FLOAT_END:
        return None
    return float(value)


def _csv(dump: Dump) -> pd.DataFrame:
    try:
        return pd.read_csv(io.StringIO(dump.text), dtype="string", skipinitialspace=True)
    except pd.errors.ParserError as error:
        raise dump.refused("CSV", str(error)) from error


def _row(entry: object) -> dict[str, object]:
    """Return a token of a JSON list as a row; fields of its metadata count where it has none itself."""
    if not isinstance(entry, dict):
        return {"token_id": _name(entry)}
    inner = entry.get("metadata")
    row = {**(inner if isinstance(inner, dict) else {}), **entry}
    return {
        "token_id": _name(row.get("token_id", row.get("id"))),
        "complexity": _held(row.get("complexity")),
        **{name: _name(row[name]) for name in _ORIGINS if row.get(name) is not None},
    }


def _name(value: object) -> str | None:
    """Return an id as text: a column of numbers with a gap would become one of floats, and 7 would be called 7.0."""
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else None


def _held(value: object) -> object:
    """Return ``value``, or as text a whole number that no column of floats can hold."""
    return str(value) if isinstance(value, int) and abs(value) >= _FLOAT_END else value


def _origins(frame: pd.DataFrame, graph: ExpertGraph) -> tuple[Integers, np.ndarray]:
    """Return the place of each token, and whether what it says is a place or nothing."""
    column = next((name for name in _ORIGINS if name in frame.columns), None)
    if column is None:
        return np.full(len(frame), NOWHERE, np.int64), np.ones(len(frame), bool)
    text = frame[column].astype("string").fillna("")
    codes, uniques = pd.factorize(text)
    number = {name: index for index, name in enumerate(graph.places)}
    place = np.array([number.get(str(name), NOWHERE) for name in uniques], dtype=np.int64)
    known = np.array([str(name) == "" or str(name) in number for name in uniques], dtype=bool)
    return place[codes], known[codes]


def _told(
    frame: pd.DataFrame, named: np.ndarray, sound: np.ndarray, known: np.ndarray, source: str, first: int, what: str
) -> list[BadRecord]:
    bad = []
    for row in np.flatnonzero(~(named & sound & known))[:MOST_TOLD].tolist():
        place = f"{source}: {what} {first + row}"
        if not named[row]:
            bad.append(BadRecord(f"{place}.token_id", "an id", shown(frame["token_id"].iloc[row])))
        elif not sound[row]:
            bad.append(BadRecord(f"{place}.complexity", "a number above 0", shown(frame["complexity"].iloc[row])))
        else:
            column = next(name for name in _ORIGINS if name in frame.columns)
            bad.append(BadRecord(f"{place}.{column}", "a place of the graph", shown(frame[column].iloc[row])))
    return bad
