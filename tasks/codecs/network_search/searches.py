"""Which order of modes is the best? Classical searches over permutations, each until its evaluations are used up."""

import itertools
import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from tasks.codecs.network_search.ledger import Ledger, Order, Spent

STEPS = 4
"""Steps of annealing for each evaluation, if most lead to what was priced before."""


class Search(Protocol):
    """The contract of every search; each is a frozen dataclass of its options, tagged by ``kind``."""

    @property
    def kind(self) -> str:
        """Name of the method, as it stands in reports."""
        ...

    def __call__(self, ledger: Ledger, start: Order, rng: np.random.Generator) -> None:
        """Price orders until the ledger has nothing left or the method is at its end; ``start`` comes first."""
        ...


@dataclass(frozen=True, slots=True)
class Exhaustive:
    """Every order, ``start`` first: what it finds is the optimum where the evaluations suffice.

    Args:
        kind: name in reports.
        mirrored: whether an order and its mirror image are both priced; they have the same bonds, and their prices
            differ by little.
    """

    kind: Literal["exhaustive"] = "exhaustive"
    mirrored: bool = True

    def __call__(self, ledger: Ledger, start: Order, rng: np.random.Generator) -> None:  # noqa: ARG002
        """Price them all."""
        with suppress(Spent):
            for order in itertools.permutations(start):
                if self.mirrored or start.index(order[0]) <= start.index(order[-1]):
                    ledger.price(order)


@dataclass(frozen=True, slots=True)
class Random:
    """Orders drawn at random, uniformly."""

    kind: Literal["random"] = "random"

    def __call__(self, ledger: Ledger, start: Order, rng: np.random.Generator) -> None:
        """Draw until nothing is left."""
        with suppress(Spent):
            ledger.price(start)
            while True:
                ledger.price(tuple(rng.permutation(start).tolist()))


@dataclass(frozen=True, slots=True)
class GreedySwaps:
    """The best swap of neighbours, again and again; from a random order once none helps."""

    kind: Literal["greedy swaps"] = "greedy swaps"

    def __call__(self, ledger: Ledger, start: Order, rng: np.random.Generator) -> None:
        """Descend from ``start``, then from random orders."""
        with suppress(Spent):
            while True:
                here, bits = start, ledger.price(start)
                while True:
                    near = min(neighbours(here), key=ledger.price)
                    if not ledger.price(near) < bits:
                        break
                    here, bits = near, ledger.price(near)
                start = tuple(rng.permutation(start).tolist())


@dataclass(frozen=True, slots=True)
class AnnealOrders:
    """Simulated annealing (Kirkpatrick et al. 1983, doi 10.1126/science.220.4598.671) over swaps and relocations.

    Args:
        kind: name in reports.
        hot: first temperature, in relative change of the bits.
        cold: last temperature.
    """

    kind: Literal["annealing"] = "annealing"
    hot: float = 0.3
    cold: float = 0.003

    def __call__(self, ledger: Ledger, start: Order, rng: np.random.Generator) -> None:
        """Cool down once over all evaluations that are left."""
        whole = max(1, ledger.left)
        with suppress(Spent):
            here, bits = start, ledger.price(start)
            for step in range(STEPS * whole):
                near = moved(here, rng)
                found = ledger.price(near)
                done = max(1.0 - ledger.left / whole, step / (STEPS * whole))
                heat = self.hot * (self.cold / self.hot) ** done
                rise = math.log(found / bits) if math.isfinite(bits) and math.isfinite(found) else found - bits
                if math.isnan(rise) or rise <= 0.0 or rng.random() < math.exp(-rise / heat):
                    here, bits = near, found


@dataclass(frozen=True, slots=True)
class Alternating:
    """One place after the other: all modes that could stand there are tried by swapping, the best stays.

    Alternating local enumeration as in TnALE (Li, Zeng, Li, Caiafa and Zhao 2023, arXiv:2304.12875), there over ranks
    and permutations, here over the permutation, since ranks follow from the spectra. Places are gone through there and
    back; it begins again from a random order once a whole round trip changed nothing.
    """

    kind: Literal["alternating enumeration"] = "alternating enumeration"

    def __call__(self, ledger: Ledger, start: Order, rng: np.random.Generator) -> None:
        """Alternate until nothing is left."""
        places = [*range(len(start)), *range(len(start) - 2, -1, -1)]
        with suppress(Spent):
            while True:
                here, bits, before = start, ledger.price(start), math.inf
                while bits < before:
                    before = bits
                    for place in places:
                        here = min((swapped(here, place, other) for other in range(len(here))), key=ledger.price)
                    bits = ledger.price(here)
                start = tuple(rng.permutation(start).tolist())


def neighbours(order: Order) -> Iterator[Order]:
    """Return the orders with two neighbours swapped."""
    return (swapped(order, place, place + 1) for place in range(len(order) - 1))


def swapped(order: Order, one: int, other: int) -> Order:
    """Return an order with two places swapped."""
    changed = list(order)
    changed[one], changed[other] = changed[other], changed[one]
    return tuple(changed)


def relocated(order: Order, place: int, to: int) -> Order:
    """Return an order with what stood at a place put at another."""
    changed = list(order)
    changed.insert(to, changed.pop(place))
    return tuple(changed)


def moved(order: Order, rng: np.random.Generator) -> Order:
    """Return an order after a random swap of neighbours, swap of any two, or relocation, equally likely."""
    count = len(order)
    kind, one = int(rng.integers(3)), int(rng.integers(count))
    if kind == 0:
        return swapped(order, one, (one + 1) % count)
    other = (one + 1 + int(rng.integers(count - 1))) % count
    return swapped(order, one, other) if kind == 1 else relocated(order, one, other)
