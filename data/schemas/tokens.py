"""Which tokens wait for which experts? A stream in columns, and the experts with the network between them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
NOWHERE = -1
"""Place of a token whose origin nobody knows."""


@dataclass(frozen=True, slots=True, eq=False)
class Tokens:
    """A stream of tokens, in columns so that a million of them are a few arrays.

    Args:
        ids: as they came; the same id may come more than once, ``(tokens,)``.
        complexity: work that each token is, in tokens of ordinary size, ``(tokens,)``.
        origin: index of the place in the graph where it is, or :data:`NOWHERE`, ``(tokens,)``.

    Raises:
        ValueError: shapes differ, or a complexity is not a number above 0.
    """

    ids: NDArray[np.object_]
    complexity: Floats
    origin: Integers

    def __post_init__(self) -> None:
        if not self.ids.shape == self.complexity.shape == self.origin.shape or self.ids.ndim != 1:
            shapes = f"{self.ids.shape}, {self.complexity.shape}, {self.origin.shape}"
            raise ValueError(f"tokens: expected three columns of one length, got {shapes}")
        if not (np.isfinite(self.complexity) & (self.complexity > 0.0)).all():
            raise ValueError("complexity: expected numbers above 0")

    def __len__(self) -> int:
        return int(self.ids.size)

    def take(self, rows: Integers) -> "Tokens":
        """Return the tokens at ``rows``."""
        return Tokens(self.ids[rows], self.complexity[rows], self.origin[rows])


@dataclass(frozen=True, slots=True, eq=False)
class ExpertGraph:
    """The experts, and how far they are from every place where tokens come from.

    Args:
        experts: their names, ``(experts,)``.
        capacity: speed of each relative to the others, above 0, ``(experts,)``.
        domain: number of the NVLink domain of each, ``(experts,)``.
        places: names of all places, ``(places,)``; experts are places too.
        place_domain: domain of each place, ``(places,)``.
        distance: from each place to each expert, 0 where it is local to 1 for the farthest, ``(places, experts)``.

    Raises:
        ValueError: shapes do not agree, or a capacity is not above 0.
    """

    experts: tuple[str, ...]
    capacity: Floats
    domain: Integers
    places: tuple[str, ...]
    place_domain: Integers
    distance: Floats

    def __post_init__(self) -> None:
        count = len(self.experts)
        if not count or self.capacity.shape != (count,) or self.domain.shape != (count,):
            shapes = f"{self.capacity.shape}, {self.domain.shape}"
            raise ValueError(f"experts: expected at least one, with capacity and domain each, got {count}: {shapes}")
        if self.distance.shape != (len(self.places), count) or self.place_domain.shape != (len(self.places),):
            raise ValueError(f"distance: expected shape ({len(self.places)}, {count}), got {self.distance.shape}")
        if not (np.isfinite(self.capacity) & (self.capacity > 0.0)).all():
            raise ValueError("capacity: expected numbers above 0")

    @property
    def share(self) -> Floats:
        """Part of all work that each expert should get, ``(experts,)``."""
        return np.asarray(self.capacity / self.capacity.sum())
