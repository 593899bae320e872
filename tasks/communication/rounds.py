"""How do matchings or colours become rounds that a communication library can send? And what does a crossbar need?"""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from numba import njit

from data.schemas.transfers import Part, Round, RoundSchedule, Transfer, Transfers
from tasks.communication.birkhoff import decompose
from tasks.communication.conflict_graph import Duplex
from tasks.communication.edge_colouring import edge_colouring
from tasks.communication.planes import cut_for_planes, end_of_planes, on_planes

Ints = npt.NDArray[np.int64]

TICK_S = 1e-9
"""Unequal messages are counted in whole nanoseconds, rounded up: so sums are exact."""

LONGEST_S = 1e8
"""Of a port's messages in all, so that nanoseconds stay within 64 bits."""

EQUAL = 1e-9
"""Relative difference up to which two messages count as equally long."""

COLOURED = "crossbar: bipartite edge colouring (exact, polynomial: no quantum step)"
DECOMPOSED = "crossbar: Birkhoff-von Neumann decomposition (exact, polynomial, messages cut: no quantum step)"


def is_crossbar(transfers: Sequence[Transfer], duplex: Duplex) -> bool:
    """Return whether transfers share nothing but ports that send and receive at once: the polynomial case."""
    return duplex == "full" and not any(transfer.uses for transfer in transfers)


def are_equal(transfers: Sequence[Transfer]) -> bool:
    """Return whether all transfers take equally long."""
    seconds = [transfer.seconds for transfer in transfers]
    return max(seconds) - min(seconds) <= EQUAL * max(seconds)


def crossbar_rounds(transfers: Transfers, *, planes: int = 1, cut: bool = True) -> RoundSchedule:
    """Return the shortest rounds on crossbars that work side by side.

    Messages stay whole if all are equally long and the rounds of the busiest port divide among the planes, else they
    are cut. The rounds replace those that the file gives, if those are matchings; else first fit in the file's order.

    Args:
        transfers: that share nothing but ports.
        planes: crossbars, each with a port for every GPU.
        cut: whether messages may be cut; without, equal ones are sent whole.

    Raises:
        ValueError: they share more than ports, are unequal and may not be cut, or a port is busy for more than
            :data:`LONGEST_S`.
    """
    items = transfers.transfers
    if not is_crossbar(items, "full"):
        raise ValueError(f"{transfers.source}: expected transfers that share nothing but ports, got 'uses'")
    if not (cut or are_equal(items)):
        raise ValueError(f"{transfers.source}: expected equal messages where none may be cut, got unequal ones")
    rows, columns = _numbered([t.source for t in items]), _numbered([t.target for t in items])
    before_s = end_of_planes(on_planes(whole_rounds(items, _in_force(items, rows, columns)), planes))
    busiest = int(max(np.bincount(rows).max(), np.bincount(columns).max()))
    whole = are_equal(items) and not (cut and busiest % planes)
    if whole:
        rounds = on_planes(whole_rounds(items, edge_colouring(rows, columns)), planes)
        bound = -(-busiest // planes) * min(transfer.seconds for transfer in items)
        method, notes = COLOURED, transfers.notes
    else:
        rounds, bound, most = _cut_rounds(items, rows, columns, planes)
        method = DECOMPOSED
        notes = (
            *transfers.notes,
            f"a message is cut into pieces sent in several rounds; {len(rounds)} rounds, by the theory at most {most}",
            "times are whole nanoseconds, rounded up for each message",
        )
    return RoundSchedule(
        source=transfers.source,
        method=method,
        makespan_s=end_of_planes(rounds),
        bound_s=bound,
        optimal=True,
        conflicts=0,
        congestion_s=0.0,
        cut=not whole,
        before_s=before_s,
        rounds=rounds,
        notes=notes,
        planes=planes,
    )


def whole_rounds(transfers: Sequence[Transfer], round_of: Ints) -> tuple[Round, ...]:
    """Return rounds of whole messages, in the order of their numbers; a number that nobody has is no round."""
    inside: dict[int, list[Part]] = defaultdict(list)
    for index, (transfer, number) in enumerate(zip(transfers, round_of.tolist(), strict=True)):
        part = Part(index, transfer.source, transfer.target, transfer.gigabytes, transfer.seconds)
        inside[number].append(part)
    ordered = [tuple(inside[number]) for number in sorted(inside)]
    return tuple(Round(max(part.seconds for part in parts), parts) for parts in ordered)


def _cut_rounds(
    transfers: Sequence[Transfer], rows: Ints, columns: Ints, planes: int
) -> tuple[tuple[Round, ...], float, int]:
    """Return the rounds, the makespan that no others beat, and the proven bound on their number."""
    seconds = np.array([transfer.seconds for transfer in transfers])
    busiest = max(np.bincount(rows, seconds).max(), np.bincount(columns, seconds).max())
    if busiest > LONGEST_S:
        raise ValueError(f"transfers: expected at most {LONGEST_S:g} s on a port, got {busiest:g}")
    ticks = np.maximum(1, np.ceil(np.round(seconds / TICK_S, 3))).astype(np.int64)
    amount = np.zeros((int(rows.max()) + 1, int(columns.max()) + 1), np.int64)
    np.add.at(amount, (rows, columns), ticks)
    queue: dict[tuple[int, int], list[int]] = defaultdict(list)
    for index in range(len(transfers) - 1, -1, -1):  # popped from the end: the file's order
        queue[int(rows[index]), int(columns[index])].append(index)
    left = ticks.copy()
    found = decompose(amount)
    rounds = []
    for plane, length, partner, sent in cut_for_planes(found, planes):
        parts = []
        for row in np.flatnonzero(partner >= 0).tolist():
            waiting, budget = queue[row, int(partner[row])], int(sent[row])
            while budget > 0:
                index = waiting[-1]
                step = min(budget, int(left[index]))
                transfer = transfers[index]
                size = transfer.gigabytes * step / int(ticks[index])
                parts.append(Part(index, transfer.source, transfer.target, size, step * TICK_S))
                left[index] -= step
                budget -= step
                if left[index] == 0:
                    waiting.pop()
        rounds.append(Round(length * TICK_S, tuple(parts), plane))
    return tuple(rounds), -(-found.makespan // planes) * TICK_S, found.most_rounds + planes - 1


def _in_force(transfers: Sequence[Transfer], rows: Ints, columns: Ints) -> Ints:
    given = [transfer.given_round for transfer in transfers if transfer.given_round is not None]
    taken = {(end, number) for end, number in zip(rows.tolist(), given, strict=False)}
    taken |= {(-1 - end, number) for end, number in zip(columns.tolist(), given, strict=False)}
    if len(given) == len(transfers) and len(taken) == 2 * len(given):
        return np.array(given, np.int64)
    return np.asarray(_first_fit(rows, columns, int(np.bincount(rows).max() + np.bincount(columns).max())))


@njit(cache=True)
def _first_fit(rows: Ints, columns: Ints, most: int) -> Ints:
    """Return the first round in which both ports of each message are free, in order."""
    sends, receives = np.zeros((rows.max() + 1, most), np.bool_), np.zeros((columns.max() + 1, most), np.bool_)
    round_of = np.empty(rows.size, np.int64)
    for edge in range(rows.size):
        t = 0
        while sends[rows[edge], t] or receives[columns[edge], t]:
            t += 1
        sends[rows[edge], t] = receives[columns[edge], t] = True
        round_of[edge] = t
    return round_of


def _numbered(names: Sequence[str]) -> Ints:
    """Return the number of each name in alphabetical order."""
    place = {name: number for number, name in enumerate(sorted(set(names)))}
    return np.array([place[name] for name in names], np.int64)
