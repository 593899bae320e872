"""Which transfers cannot share a round? Those that hold the same port, NIC, rail or plane."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from data.schemas.transfers import Transfer

Ints = npt.NDArray[np.int64]

Duplex = Literal["full", "half"]
"""Whether a GPU can send and receive at once."""

MOST_PAIRS = 50_000_000
"""Of transfers that hold the same thing: about 2 GB while they are sorted."""


@dataclass(frozen=True, slots=True, eq=False)
class Conflicts:
    """A graph whose vertices are transfers.

    Args:
        first: where the neighbours of each transfer begin in ``neighbour``, ``(transfers + 1,)``.
        neighbour: ascending for each transfer, ``(2 x pairs,)``.
        held: for each thing that at least two transfers hold, who does, ascending; a clique of the graph.
    """

    first: Ints
    neighbour: Ints
    held: tuple[Ints, ...]

    @property
    def pairs(self) -> int:
        """How many pairs of transfers conflict."""
        return int(self.neighbour.size) // 2

    @property
    def degrees(self) -> Ints:
        """With how many others each transfer conflicts, ``(transfers,)``."""
        return np.diff(self.first)

    def of(self, transfer: int) -> Ints:
        """Return the transfers that conflict with one."""
        return self.neighbour[self.first[transfer] : self.first[transfer + 1]]


def conflicts_of(transfers: Sequence[Transfer], duplex: Duplex = "full") -> Conflicts:
    """Return who conflicts with whom.

    Args:
        transfers: in order.
        duplex: ``full`` gives each end a port that sends and one that receives; ``half`` one port for both.

    Raises:
        ValueError: there are more than :data:`MOST_PAIRS` pairs.
    """
    holders: dict[tuple[str, str], list[int]] = defaultdict(list)
    for index, transfer in enumerate(transfers):
        receiving = "in" if duplex == "full" else "out"
        for thing in {
            ("out", transfer.source),
            (receiving, transfer.target),
            *(("uses", name) for name in transfer.uses),
        }:
            holders[thing].append(index)
    held = tuple(np.array(holders[thing], np.int64) for thing in sorted(holders) if len(holders[thing]) > 1)
    pairs = sum(who.size * (who.size - 1) for who in held)
    if pairs > MOST_PAIRS:
        raise ValueError(f"transfers: expected at most {MOST_PAIRS} pairs that share something, got {pairs}")
    count = len(transfers)
    parts = [np.empty(0, np.int64)]
    for who in held:
        one, other = np.repeat(who, who.size), np.tile(who, who.size)
        apart = one != other
        parts.append(one[apart] * count + other[apart])
    keys = np.sort(np.concatenate(parts))  # np.unique hashes, twenty times as slow on five million
    keys = keys[np.concatenate([[True], keys[1:] != keys[:-1]])] if keys.size else keys
    first = np.zeros(count + 1, np.int64)
    np.cumsum(np.bincount(keys // count, minlength=count), out=first[1:])
    return Conflicts(first, keys % count, held)
