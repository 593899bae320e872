"""How fast is a crossbar scheduled, and how short are the rounds, beside what scipy and networkx offer?"""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import networkx as nx
import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from tasks.communication.birkhoff import decompose
from tasks.communication.edge_colouring import edge_colouring


@dataclass(frozen=True, slots=True)
class CrossbarRow:
    """One method on one crossbar; ``makespan`` over the busiest port's time, which nothing beats."""

    case: str
    ports: int
    method: str
    rounds: int
    makespan_over_bound: float
    seconds: float


def crossbar_rows(sizes: tuple[int, ...], seed: int) -> Iterator[CrossbarRow]:
    """Yield all methods on unit messages and on skewed all-to-allv, of which the peers get the small ones only."""
    edge_colouring(np.array([0, 0, 1]), np.array([0, 1, 0]))
    decompose(np.array([[1, 2], [3, 1]]))
    for ports in sizes:
        rng = np.random.default_rng(seed)
        source, target = np.nonzero(~np.eye(ports, dtype=bool))
        order = rng.permutation(source.size)
        source, target = source[order], target[order]
        unit: dict[str, Callable[[], np.ndarray]] = {"ours, Konig": lambda s=source, t=target: edge_colouring(s, t)}  # type: ignore[misc]
        if ports <= 72:
            unit["networkx, greedy on the line graph"] = lambda s=source, t=target: line_graph(s, t)  # type: ignore[misc]
            unit["scipy, matching by matching"] = lambda s=source, t=target: matchings(s, t)  # type: ignore[misc]
        for name, method in unit.items():
            started = time.perf_counter()
            rounds = int(method().max()) + 1
            spent = time.perf_counter() - started
            yield CrossbarRow("unit messages, all to all", ports, name, rounds, rounds / (ports - 1), spent)
        amount = (1e6 * rng.lognormal(0.0, 1.5, (ports, ports))).astype(np.int64)
        np.fill_diagonal(amount, 0)
        bound = max(amount.sum(axis=0).max(), amount.sum(axis=1).max())
        started = time.perf_counter()
        found = decompose(amount)
        spent = time.perf_counter() - started
        ratio = float(found.length.sum() / bound)
        yield CrossbarRow(
            "all-to-allv, sigma 1.5", ports, "ours, Birkhoff-von Neumann", found.length.size, ratio, spent
        )
        if ports <= 72:
            started = time.perf_counter()
            count, total = peeled(amount)
            spent = time.perf_counter() - started
            yield CrossbarRow("all-to-allv, sigma 1.5", ports, "scipy, peeling matchings", count, total / bound, spent)
        shifts = [amount[np.arange(ports), (np.arange(ports) + k) % ports].max() for k in range(1, ports)]
        ratio = float(sum(shifts) / bound)
        yield CrossbarRow("all-to-allv, sigma 1.5", ports, "shifts, as all-to-all by ring", ports - 1, ratio, 0.0)


def line_graph(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Colour the line graph with networkx's greedy colouring, busiest first."""
    graph = nx.Graph((("s", int(u)), ("t", int(v))) for u, v in zip(source, target, strict=True))
    colour = nx.greedy_color(nx.line_graph(graph), strategy="largest_first")
    return np.array(list(colour.values()))


def matchings(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Take one maximum matching after another off, by scipy's Hopcroft-Karp."""
    left = np.zeros((source.max() + 1, target.max() + 1), np.int8)
    left[source, target] = 1
    colour = np.zeros(left.shape, np.int64)
    number = 0
    while left.any():
        partner = maximum_bipartite_matching(csr_array(left), perm_type="column")
        rows = np.flatnonzero(partner >= 0)
        left[rows, partner[rows]] = 0
        colour[rows, partner[rows]] = number
        number += 1
    return colour[source, target]


def peeled(amount: np.ndarray) -> tuple[int, int]:
    """Take maximum matchings off, each until its longest entry is sent whole: what cutting nothing gives."""
    left = amount.copy()
    rounds = total = 0
    while left.any():
        partner = maximum_bipartite_matching(csr_array(left > 0), perm_type="column")
        rows = np.flatnonzero(partner >= 0)
        total += int(left[rows, partner[rows]].max())
        left[rows, partner[rows]] = 0
        rounds += 1
    return rounds, total


def table(rows: list[CrossbarRow]) -> str:
    """Return the rows as text."""
    head = f"{'crossbar':28}{'ports':>6}  {'method':38}{'rounds':>8}{'makespan / bound':>18}{'seconds':>10}"
    cells = (
        f"{row.case:28}{row.ports:6d}  {row.method:38}{row.rounds:8d}{row.makespan_over_bound:18.4f}{row.seconds:10.4f}"
        for row in rows
    )
    return "\n".join([head, *cells])


def as_json(rows: list[CrossbarRow]) -> list[dict[str, object]]:
    """Return the rows for JSON."""
    return [asdict(row) for row in rows]
